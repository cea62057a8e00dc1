"""What the victim's own log says was done to it: by which attempt, and what was ended."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tests.support.victim import STUCK_USER

_ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)
_HEAD = re.compile(
    r"(?P<at>\S+ \S+) UTC \[(?P<pid>\d+)\] (?P<user>\S*?)@(?P<database>\S+) .*?(?P<kind>[A-Z]+):  ", re.DOTALL
)
_ATTEMPT = re.compile(r"/\* responder attempt (?P<id>[0-9a-f-]{36}) \*/")
_PARAMETERS = re.compile(r"arameters: \$1 = '(?P<pid>\d+)', \$2 = '(?P<started>[^']+)'")
_ENDED = "terminating connection due to administrator command"
_CANCELLED = "canceling statement due to user request"


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution of an effect's statement: for which attempt, on which session, when."""

    attempt: UUID
    pid: int
    backend_start: datetime
    at: datetime

    @property
    def session(self) -> tuple[int, datetime]:
        """The session, for ever: a pid alone comes again."""
        return (self.pid, self.backend_start)


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that the server ended because somebody asked for it, or a stuck one's query."""

    pid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was done to the sessions of one database."""

    executed: tuple[Executed, ...]
    ended: tuple[Ended, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    at: datetime
    pid: int
    user: str
    kind: str
    text: str

    @property
    def tells_of_an_end(self) -> bool:
        """A cancelled query counts of the stuck alone: drivers cancel what they wait for no more."""
        if self.kind == "FATAL":
            return _ENDED in self.text
        return self.kind == "ERROR" and self.user == STUCK_USER and _CANCELLED in self.text


def seen(log: str, database: str) -> Seen:
    """What a log (`%m [%p] %u@%d %a`, in UTC, every statement) says about one database."""
    lines = list(_lines(log, database))
    executed = [
        _executed(UUID(found["id"]), line, after)
        for line, after in zip(lines, [*lines[1:], None], strict=True)
        if line.kind == "LOG" and (found := _ATTEMPT.search(line.text)) is not None
    ]
    ended = [Ended(line.pid, line.at) for line in lines if line.tells_of_an_end]
    return Seen(tuple(executed), tuple(ended))


def _lines(log: str, database: str) -> Iterator[_Line]:
    for entry in _ENTRY.split(log):
        head = _HEAD.match(entry)
        if head is not None and head["database"] == database:
            at = datetime.fromisoformat(head["at"]).replace(tzinfo=UTC)
            yield _Line(at, int(head["pid"]), head["user"], head["kind"], entry[head.end() :])


def _executed(attempt: UUID, line: _Line, after: _Line | None) -> Executed:
    """The server writes an execution and its parameters in one breath, as two entries."""
    detail = None if after is None or after.kind != "DETAIL" else _PARAMETERS.search(after.text)
    if detail is None:
        raise AssertionError(f"an effect without readable parameters in the log: {line.text} / {after}")
    return Executed(attempt, int(detail["pid"]), datetime.fromisoformat(detail["started"]), line.at)
