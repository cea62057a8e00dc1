"""Loading rulebooks: from files, checked, into the one active row; a broken one changes nothing.

The files are read and checked beside the event loop: a large rulebook takes longer than a heartbeat may wait.
One at a time: of two that read at different moments the later must not bring back what the earlier has read.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from responder.engine.rules import ActiveRules
from responder.ports import Store
from responder.rulebook.load import Report, check_texts, read_files
from responder.rulebook.mistake import Mistake, Mistakes
from responder.rulebook.surroundings import Surroundings
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)


_LOOKS = 10
"""So often the files are read again while they change: who never ceases to write them gets what is there."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What stood in the files at one moment: what is checked is what was compared."""

    texts: tuple[tuple[str, str], ...]
    unread: tuple[Mistake, ...]
    """What could not be read."""

    @property
    def content(self) -> str:
        """The same for the same texts under the same names, and only then."""
        told = [*self.texts, *(("", str(mistake)) for mistake in self.unread)]
        hashed = hashlib.sha256()
        for part in (part for pair in sorted(told) for part in pair):
            one = part.encode("utf-8", errors="surrogatepass")
            hashed.update(b"%d:%b" % (len(one), one))
        return hashed.hexdigest()


class RuleFiles:
    """The rule files that the settings name."""

    def __init__(
        self,
        paths: Sequence[Path],
        surroundings: Surroundings,
        store: Store,
        active: ActiveRules,
        metrics: Metrics,
    ) -> None:
        self._paths = tuple(paths)
        self._surroundings = surroundings
        self._store = store
        self._active = active
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._taken: str | None = None
        """The content that was activated or refused last."""
        self._moving: str | None = None
        """Another content, as the last look has seen it: whoever writes it may not be done."""
        self.mistakes: Sequence[Mistake] = ()
        """Those that the files had when they were taken last: then what they say is not active."""

    async def reload(self, *, log_each: bool = True) -> Sequence[Mistake]:
        """Read the files again and activate them; with mistakes nothing changes, and they come back.

        The log names each mistake, or only how many there are where they are told to a person anyway.
        """
        async with self._one_at_a_time:
            return await self._take(await asyncio.to_thread(self._read_whole), log_each=log_each)

    async def round(self) -> None:
        """Take the files where they have changed, and stand as they stood a round ago.

        So of files that are written one after the other no half is taken, unless two of them are a round
        apart.
        """
        async with self._one_at_a_time:
            read = await asyncio.to_thread(self._read)
            if (content := read.content) == self._taken:
                self._moving = None
            elif content != self._moving:
                self._moving = content
            else:
                _log.info("the rule files have changed")
                await self._take(read, log_each=True)

    async def _take(self, read: _Read, *, log_each: bool) -> Sequence[Mistake]:
        report = await asyncio.to_thread(self._checked, read)
        if report.rulebook is None:
            self._refuse(report.mistakes, log_each=log_each)
        else:
            origin = ", ".join(str(path) for path in self._paths) or "no files"
            await self._store.activate(report.rulebook, origin)
            await self._active.follow()
        self.mistakes, self._taken = report.mistakes, read.content
        return report.mistakes

    def _refuse(self, mistakes: Sequence[Mistake], *, log_each: bool) -> None:
        self._metrics.rulebook_load_failures.inc()
        for mistake in mistakes if log_each else ():
            _log.error("rule file refused", mistake=str(mistake))
        if not log_each:
            _log.warning("rule files refused", mistakes=len(mistakes))

    def stand_in(self) -> None:
        """Match by the files as they are until the database can be asked; with mistakes by nothing."""
        report = self._checked(self._read_whole())
        self.mistakes = report.mistakes
        if report.rulebook is not None:
            self._active.stand_in(report.rulebook)

    async def check(self, files: Mapping[str, str]) -> Sequence[Mistake]:
        """Check texts of rule files; nothing is activated."""
        return check_texts(sorted(files.items()), self._surroundings).mistakes

    def _read_whole(self) -> _Read:
        """As two looks in a row have seen it: a folder may be exchanged between two files of one look."""
        read = self._read()
        for _ in range(_LOOKS):
            before, read = read, self._read()
            if before.content == read.content:
                break
        return read

    def _read(self) -> _Read:
        mistakes = Mistakes()
        texts = read_files(self._paths, mistakes)
        return _Read(tuple(texts), mistakes.sorted())

    def _checked(self, read: _Read) -> Report:
        return check_texts(read.texts, self._surroundings, read.unread)
