"""What can be done to sessions of a PostgreSQL server: look at them, cancel their queries, terminate them.

How sessions are read and which are protected stands in `postgres_sessions`. An effect is one statement that
finds its session by what the look saw (pid, start of the backend, state, start of the query) and signals it
in the same breath, so a session that has moved on is never hit. `now()` in it is the moment at which the
living caller began; a statement that reaches the server later than `_START_WITHIN` finds nothing.
"""

import asyncio
from abc import abstractmethod
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import Field, ValidationError

from responder.actions.base import ChangingAction, ReadOnlyAction
from responder.actions.parameters import AtMost, Connection, LikePattern, Name
from responder.actions.postgres_sessions import (
    LOOK_TIMEOUT,
    Choice,
    Fence,
    MatchingSessions,
    Protected,
    Session,
    all_clients,
    element,
    matching,
    server_facts,
    waiting_for,
)
from responder.clients.postgres import NotStartedError
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.duration import PositiveDuration, format_duration
from responder.model.errors import PermanentError, TemporaryError
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target

_SHOWN = 20
"""How many sessions of each sort the evidence names; the counts are of all."""
_START_WITHIN = timedelta(seconds=5)
"""How late an effect may start: sooner than any step's timeout lets it count as not done."""
_ENDING = timedelta(milliseconds=250)
"""How long a signalled session may take to end before we say that it has not yet: all elements of a step must
start within one window. The look after the effects tells more."""
_ENDING_EVERY = timedelta(milliseconds=25)
_KEY_PREFIX = "postgres/"

_EFFECT = """/* responder attempt {attempt} */
SELECT {function}(a.pid) AS signalled
  FROM pg_stat_activity AS a
 WHERE a.pid = $1 AND a.backend_start = $2
   AND a.state IS NOT DISTINCT FROM $3 AND a.query_start IS NOT DISTINCT FROM $4
   AND clock_timestamp() < now() + $5::interval
"""
_NOW = "SELECT backend_start, state, query_start FROM pg_stat_activity WHERE pid = $1"


class ActivityParams(Frozen):
    """What `postgres.activity` takes."""

    connection: Connection
    longer_than: PositiveDuration = Field(
        default=timedelta(minutes=1), description="Sessions that are busy for longer are named."
    )


class Blocker(Frozen):
    """One session that blocks others without being blocked itself: the root of a tree of waiters."""

    pid: int
    session: Session | None
    """None for a prepared transaction (pid 0) and for what our role may not see."""
    waiting: int
    """How many wait for it, directly or behind others."""


class ActivityState(State):
    """What a PostgreSQL server is busy with. Lists name the worst, counts are of all."""

    max_connections: int
    connections: int
    by_state: dict[str, int]
    long_running_total: int
    long_running: tuple[Session, ...]
    blockers: tuple[Blocker, ...]
    blocked_total: int
    hidden: int
    in_recovery: bool

    @property
    def percent(self) -> float:
        """How much of `max_connections` is in use."""
        return 100 * self.connections / self.max_connections

    @property
    def summary(self) -> str:
        """Connections, long-running, blocked and by whom."""
        parts = [
            f"{self.connections} of {self.max_connections} connections ({self.percent:.0f} %)",
            f"{self.long_running_total} long-running",
            f"{self.blocked_total} blocked",
        ]
        if self.blockers:
            worst = self.blockers[0]
            who = worst.session.title if worst.session else f"pid {worst.pid}"
            parts.append(f"most wait for {who}")
        if self.hidden:
            parts.append(f"{self.hidden} may not be seen")
        return "; ".join(parts)


class Activity(ReadOnlyAction[ActivityParams, ActivityState]):
    """Looks at what a PostgreSQL server is busy with.

    Sessions by state against `max_connections`, the ones that are busy for long, and who blocks whom.
    Statements are told without their literals.
    """

    name: ClassVar[str] = "postgres.activity"
    deadline: ClassVar[timedelta] = LOOK_TIMEOUT
    Params: ClassVar[type[Frozen]] = ActivityParams

    def resolve(self, params: ActivityParams) -> tuple[Target, ...]:
        """The connection of the inventory."""
        found = self._inventory.find_postgres(params.connection)
        return (found.target,)

    async def look(self, params: ActivityParams, target: Target) -> ActivityState:
        """All sessions of clients, ours left out."""
        server = await server_facts(self._postgres, target.name, None)
        sessions, hidden = await all_clients(self._postgres, target.name)
        long_running = sorted(
            (session for session in sessions if _busy(session, params.longer_than)),
            key=lambda session: -(session.age_s or 0),
        )
        return ActivityState(
            ground=await self._postgres.ground(target.name),
            max_connections=server["max_connections"],
            connections=len(sessions) + hidden,
            by_state=dict(sorted(Counter(session.state or "unknown" for session in sessions).items())),
            long_running_total=len(long_running),
            long_running=tuple(long_running[:_SHOWN]),
            blockers=_blockers(sessions)[:_SHOWN],
            blocked_total=sum(1 for session in sessions if session.blocked_by),
            hidden=hidden,
            in_recovery=server["in_recovery"],
        )


def _busy(session: Session, longer_than: timedelta) -> bool:
    return session.state != "idle" and (session.age_s or 0) > longer_than.total_seconds()


def _blockers(sessions: tuple[Session, ...]) -> tuple[Blocker, ...]:
    by_pid = {session.pid: session for session in sessions}
    trees = waiting_for(sessions)
    roots = (Blocker(pid=pid, session=by_pid.get(pid), waiting=len(behind)) for pid, behind in trees.items())
    return tuple(sorted(roots, key=lambda root: (-root.waiting, root.pid)))


class CancelParams(Frozen):
    """What `postgres.cancel_queries` takes. Every choice that is given must fit."""

    connection: Connection
    older_than: PositiveDuration = Field(
        description="Only sessions that have been in their state for longer; `active` counts from its query."
    )
    database: Name | None = Field(default=None, description="The session's database.")
    user: Name | None = Field(default=None, description="The session's role.")
    application: Name | None = Field(default=None, description="The session's `application_name`.")
    query: LikePattern | None = Field(
        default=None,
        description="A LIKE pattern over the statement: `%` is any text, the case does not matter.",
    )
    blocking: bool = Field(
        default=False,
        description="Only sessions that block others and wait for nobody: the cause, not those in its queue.",
    )
    include: tuple[Literal["backups", "maintenance"], ...] = Field(
        default=(), description="Protected work that may be hit after all."
    )
    on_standby: bool = Field(default=False, description="Whether it may act on a server in recovery.")
    at_most: AtMost = 1

    def choice(self) -> Choice:
        """The question for the server. Only a running query can be cancelled."""
        return self._choice("active")

    def _choice(self, state: str) -> Choice:
        return Choice(
            database=self.database,
            user=self.user,
            application=self.application,
            state=state,
            older_than=self.older_than,
            query=self.query,
            blocking=self.blocking,
            include=frozenset(Protected(word) for word in self.include),
        )


class TerminateParams(CancelParams):
    """What `postgres.terminate_queries` takes. Every choice that is given must fit."""

    state: Literal["active", "idle", "idle in transaction", "idle in transaction (aborted)"] = Field(
        default="active", description="What the session is doing."
    )

    def choice(self) -> Choice:
        """The question for the server."""
        return self._choice(self.state)


P = TypeVar("P", bound=CancelParams)


class _SignalSessions(ChangingAction[P, MatchingSessions], Generic[P]):
    """What cancelling and terminating share: everything but the signal and what counts as its effect."""

    kind: ClassVar[StepKind] = StepKind.DISRUPTIVE
    deadline: ClassVar[timedelta] = timedelta(seconds=10)
    fenced: ClassVar[bool] = True
    _function: ClassVar[str]
    """The server's own function that sends the signal."""
    _effect: ClassVar[str]
    """What was done, in the past tense."""

    def resolve(self, params: P) -> tuple[Target, ...]:
        """The connection of the inventory."""
        found = self._inventory.find_postgres(params.connection)
        return (found.target,)

    async def look(self, params: P, target: Target) -> MatchingSessions:
        """The sessions that fit and may be touched."""
        return await matching(self._postgres, target.name, params.choice())

    def pin(self, params: P, state: MatchingSessions) -> tuple[Element, ...]:
        """Every session that fits, by pid and start of its backend."""
        del params
        return tuple(element(session) for session in state.sessions)

    def at_most(self, params: P) -> int:
        """The rule's own number."""
        return params.at_most

    def refuse(self, params: P, state: MatchingSessions) -> str | None:
        """Where our rights do not reach, and on a standby unless the rule says so."""
        if state.in_recovery and not params.on_standby:
            return "the server is a standby (in recovery); `on_standby: true` would allow it"
        if state.hidden:
            return (
                f"{state.hidden} sessions may not be seen by our role, so they cannot be judged: "
                "grant it pg_read_all_stats"
            )
        beyond = [session for session in state.sessions if not session.may_signal]
        if beyond:
            who = ", ".join(sorted({f"pid {session.pid} of {session.user}" for session in beyond}))
            return (
                f"our role may not signal {who}: grant it pg_signal_backend "
                "(a superuser's session takes a superuser)"
            )
        return None

    async def run(
        self, target: Target, element: Element, params: P, state: MatchingSessions, attempt_id: UUID
    ) -> ElementOutcome:
        """Signal the session, if it still is what it was, and see it end."""
        del params, state
        fence = Fence.model_validate(element.facts)
        sql = _EFFECT.format(attempt=attempt_id, function=self._function)
        values = (fence.pid, fence.backend_start, fence.state, fence.query_start, _START_WITHIN)
        try:
            rows = await self._postgres.fetch(target.name, sql, *values, timeout=self.deadline)
        except NotStartedError as error:
            return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail=str(error))
        if not (rows and rows[0]["signalled"]):
            detail = await self._why_not(target.name, fence)
            return ElementOutcome(element=element.key, outcome=Outcome.NOT_DONE, detail=detail)
        detail = await self._see_it_end(target.name, fence)
        return ElementOutcome(element=element.key, outcome=Outcome.DONE, detail=detail)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """What is still there was not hit; what is gone cannot be hit twice."""
        return tuple([await self._settled(attempt, one) for one in attempt.elements])

    @abstractmethod
    def _untouched(self, fence: Fence, now: "_Now") -> bool:
        """Whether the session, as it is now, shows that the effect has not happened."""

    async def _settled(self, attempt: Attempt, one: Element) -> ElementOutcome:
        name = attempt.target.removeprefix(_KEY_PREFIX)
        try:
            if _moved(attempt, await self._postgres.ground(name)):
                detail = "the connection leads to another server now"
                return ElementOutcome(element=one.key, outcome=Outcome.UNKNOWN, detail=detail)
            fence = Fence.model_validate(one.facts)
            outcome, detail = self._judged(fence, await self._now(name, fence.pid))
        except (TemporaryError, PermanentError, ValidationError) as error:
            told = "the pinned facts cannot be read" if isinstance(error, ValidationError) else str(error)
            return ElementOutcome(element=one.key, outcome=Outcome.UNKNOWN, detail=told)
        return ElementOutcome(element=one.key, outcome=outcome, detail=detail)

    def _judged(self, fence: Fence, now: "_Now | None") -> tuple[Outcome, str]:
        if now is not None and now.backend_start is None:
            return Outcome.UNKNOWN, f"pid {fence.pid} may not be seen by our role"
        if now is not None and self._untouched(fence, now):
            return Outcome.NOT_DONE, "it is as it was"
        return Outcome.DONE, f"it is gone: {self._effect}, or ended by itself"

    async def _now(self, name: str, pid: int) -> "_Now | None":
        rows = await self._postgres.fetch_read_only(name, _NOW, LOOK_TIMEOUT, (pid,))
        return _Now.model_validate(rows[0]) if rows else None

    async def _why_not(self, name: str, fence: Fence) -> str:
        try:
            now = await self._now(name, fence.pid)
        except TemporaryError:
            return "nothing was signalled: the session is not what it was"
        if now is None or now.backend_start != fence.backend_start:
            return "the session had ended by itself"
        return "the session had gone on: what it was pinned for had ended"

    async def _see_it_end(self, name: str, fence: Fence) -> str:
        """In words, what became of a signalled session; the signal itself is certain."""
        try:
            async with asyncio.timeout(_ENDING.total_seconds()):
                while True:
                    now = await self._now(name, fence.pid)
                    if now is None or not self._untouched(fence, now):
                        return self._effect
                    await asyncio.sleep(_ENDING_EVERY.total_seconds())
        except TemporaryError as error:
            return f"signalled; then {error}"
        except TimeoutError:
            return f"signalled, and not seen to end within {format_duration(_ENDING)}"


class _Now(Frozen):
    """A session of that pid at this moment; without `backend_start` our role may not see it."""

    backend_start: datetime | None
    state: str | None
    query_start: datetime | None


def _moved(attempt: Attempt, ground: tuple[str, ...]) -> bool:
    """Whether the connection led to another system when the intent was made."""
    before: Any = attempt.state_before.get("ground")
    return bool(before) and list(before) != list(ground)


class CancelQueries(_SignalSessions[CancelParams]):
    """Cancels running queries of a PostgreSQL server; their sessions stay.

    What a query did is rolled back. Protected, and never chosen: the responder's own sessions, replication,
    autovacuum and other server processes, and databases whose comment says `responder/opt-out: REASON`;
    backups and maintenance unless `include` names them.
    """

    name: ClassVar[str] = "postgres.cancel_queries"
    Params: ClassVar[type[Frozen]] = CancelParams
    _function: ClassVar[str] = "pg_cancel_backend"
    _effect: ClassVar[str] = "cancelled"

    def _untouched(self, fence: Fence, now: _Now) -> bool:
        """The same query still runs."""
        return now == _Now(
            backend_start=fence.backend_start, state=fence.state, query_start=fence.query_start
        )


class TerminateQueries(_SignalSessions[TerminateParams]):
    """Ends sessions of a PostgreSQL server; the client's connection breaks.

    What a transaction did is rolled back. Protected, and never chosen: the responder's own sessions,
    replication, autovacuum and other server processes, and databases whose comment says
    `responder/opt-out: REASON`; backups and maintenance unless `include` names them.
    """

    name: ClassVar[str] = "postgres.terminate_queries"
    Params: ClassVar[type[Frozen]] = TerminateParams
    _function: ClassVar[str] = "pg_terminate_backend"
    _effect: ClassVar[str] = "terminated"

    def _untouched(self, fence: Fence, now: _Now) -> bool:
        """The session is still there, whatever it does."""
        return now.backend_start == fence.backend_start
