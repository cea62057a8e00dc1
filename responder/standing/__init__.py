"""How this process stands: each of its parts, for whoever asks whether it is ready.

A part that is not ready takes the process out of service: no delivery is taken in. One that warns is what a
person should know of, and says what it affects; everything else goes on.
Nobody has to show a token for these words: they name no person, no reason and no place of a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from responder.decide.freezes import Freeze, in_force_until
from responder.engine.emergency import pages_p0
from responder.engine.engine import Engine
from responder.engine.halting import UNREADABLE
from responder.engine.loading import RuleFiles
from responder.engine.outbox import Dispatcher
from responder.engine.rules import rules_in_words
from responder.model.duration import format_duration
from responder.model.restraint import RestraintKind, Restraints
from responder.notify.dead_mans_switch import DeadMansSwitch
from responder.review.words import count
from responder.standing.asked import Asked
from responder.standing.stored import StoreAsked, nothing_stored
from responder.telemetry import LogOutput
from responder.web.api import Part
from responder.web.refusals import Refusals

_FLAG = "the flag in the database"
_MISTAKES = "responder rules list tells them"
"""Nobody has to show a token for readiness: what stands in the files is told elsewhere."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks each part of this process how it stands."""

    stored: StoreAsked
    engine: Engine
    files: RuleFiles
    pages: bool
    """Whether a P0 pages while the database is away."""
    asked: Asked
    log: LogOutput | None = None
    """Where the log goes, where this process has set that up."""

    async def parts(self) -> Sequence[Part]:
        """Each part, and what is wrong with it."""
        engine, dead = self.engine, self.engine.dead()
        store, stands = await self.stored()
        return [
            Part(name="loops", ready=not dead, text=f"ended: {', '.join(dead)}" if dead else "all loops run"),
            _intake(engine, pages=self.pages),
            _worker(engine),
            _crew(engine),
            _event_loop(engine),
            _active_rules(engine, self.files),
            _halts(stands, by_file=engine.halt.file_reason() is not None),
            _freezes(stands, engine.freezes),
            _maintenance(stands),
            _emergency(engine, pages=self.pages),
            *_reconciled(engine),
            *_scheduled(engine),
            _notifications(engine.dispatcher),
            *self.asked.parts(),
            *store,
            *_log(self.log),
        ]

    async def unready(self) -> str | None:
        """Why nobody outside should be told that this process is well, or None."""
        told = [f"{part.name}: {part.text}" for part in await self.parts() if not part.ready or part.unwell]
        return "; ".join(told) or None


def _intake(engine: Engine, *, pages: bool) -> Part:
    why = engine.intake.refuses
    text = "deliveries are taken in" if why is None else f"deliveries are refused: {why}"
    return Part(name="intake", ready=why is None, text=text, affects=nothing_stored(pages=pages))


def _worker(engine: Engine) -> Part:
    """Without it no step of this process starts; what comes is taken in all the same, and done by others."""
    alive, stopping = engine.ownership.alive(), engine.ownership.stopping
    text = "the heartbeat is fresh" if alive else "the heartbeat is too old"
    affects = "No step of this process starts until it is fresh again; other replicas take its incidents over"
    return Part(
        name="worker", ready=not stopping, text=text, warning=not alive, affects=affects, unwell=not alive
    )


def _crew(engine: Engine) -> Part:
    crew = engine.crew
    waiting = f"incidents that wait for systems which are slow to answer: {crew.waiting}"
    text = waiting if crew.waiting else "no incident waits for a system that is slow to answer"
    affects = "No more of them may wait beside the others: what else is due is late"
    return Part(name="workers", ready=True, text=text, warning=crew.exhausted, affects=affects)


def _log(log: LogOutput | None) -> Sequence[Part]:
    if log is None or log.problem is None:
        return []
    text = f"it cannot be written ({log.problem}): {count(log.lost, 'line')} lost since the start"
    affects = "Words to people that only the log tells are tried again until it can. Everything else goes on"
    return [Part(name="log", ready=True, text=text, warning=True, affects=affects)]


def refused(refusals: Refusals) -> Sequence[Part]:
    """A source whose deliveries are refused delivers nothing, and nobody else would say so."""
    return [
        Part(name=f"source {one.source}", ready=True, text=one.text, warning=one.fresh)
        for one in refusals.by_source()
    ]


def _event_loop(engine: Engine) -> Part:
    """What blocks it longer than a heartbeat may be late would depose this process."""
    worst = engine.lag.worst
    blocked = worst >= engine.ownership.lease_time / 3
    text = f"it was blocked for {format_duration(worst)} within the last minute" if blocked else "it turns"
    affects = "Answers and heartbeats were late; blocked for longer than its lease a process starts nothing"
    return Part(name="event loop", ready=True, text=text, warning=blocked, affects=affects)


def _active_rules(engine: Engine, files: RuleFiles) -> Part:
    book = engine.rules.rulebook
    wrong = len(files.mistakes)
    refused = f"; the rule files have {count(wrong, 'mistake')}, so what they say is not active: {_MISTAKES}"
    text = rules_in_words(book) + (refused if wrong else "")
    return Part(name="rules", ready=True, text=text, warning=not book.rules or wrong > 0)


def _emergency(engine: Engine, *, pages: bool) -> Part:
    if pages:
        return Part(name="emergency", ready=True, text="a P0 pages while the database is away, too")
    text = "no emergency webhook: a P0 would not page while the database is away"
    return Part(name="emergency", ready=True, text=text, warning=pages_p0(engine.rules))


def _notifications(dispatcher: Dispatcher) -> Part:
    """Words that do not get through make no process unready: another one would fare no better."""
    late = dispatcher.standing.late
    text = f"{'; '.join(late)}: responder notifications list --undelivered" if late else "words get through"
    return Part(name="notifications", ready=True, text=text, warning=bool(late))


def life_signs(switch: DeadMansSwitch | None) -> Sequence[Part]:
    """Whether somebody outside hears that this process lives; no reason to be unready."""
    if switch is None:
        return []
    last, name = switch.last, "dead man's switch"
    if last.problem is not None:
        return [Part(name=name, ready=True, text=last.problem, warning=True)]
    at = last.taken_at
    text = "no sign of life was sent yet" if at is None else f"it took a sign of life at {at:%H:%M:%S} UTC"
    return [Part(name=name, ready=True, text=text)]


def _reconciled(engine: Engine) -> Sequence[Part]:
    """A source that cannot be asked makes no process unready: its deliveries are taken in all the same."""
    late = engine.reconcile.late()
    return [Part(name=f"reconcile {source}", ready=True, text=late[source], warning=True) for source in late]


def _scheduled(engine: Engine) -> Sequence[Part]:
    """A check that was not made says nothing, which is easily taken for good news."""
    troubled = engine.schedules.troubled
    affects = "What it would have found is not known; its next run is made as planned"
    return [
        Part(name=f"schedule {rule}", ready=True, text=troubled[rule], warning=True, affects=affects)
        for rule in sorted(troubled)
    ]


def _halts(stands: Restraints, *, by_file: bool) -> Part:
    """Without the words of who halts: readiness asks for no token."""
    flag = "a flag in the database that cannot be read" if stands.flag == UNREADABLE else _FLAG
    by = [*(["the halt file"] if by_file else []), *([flag] if stands.halts_all is not None else [])]
    parts = [one for one in stands.of(RestraintKind.HALT) if one.match]
    whole = f"halted by {' and '.join(by)}: no action starts" if by else ""
    some = f"{count(len(parts), 'halt')} over a part: nothing of it starts" if parts else ""
    text = "; ".join(filter(None, (whole, some))) or "nothing halts"
    return Part(name="halt", ready=True, text=text, warning=bool(by or parts))


def _freezes(stands: Restraints, written: Sequence[Freeze]) -> Part:
    civil = stands.civil
    given = [(one.name, one.until) for one in stands.of(RestraintKind.FREEZE) if civil and one.since <= civil]
    in_force = [(f"freeze {one.name}", in_force_until(one, civil)) for one in written] if civil else []
    told = [f"{name} until {until:%Y-%m-%d %H:%M %Z}" for name, until in (*given, *in_force) if until]
    text = f"in force: {', '.join(told)}" if told else "no freeze is in force"
    return Part(name="freeze", ready=True, text=text, warning=bool(told))


def _maintenance(stands: Restraints) -> Part:
    windows = stands.of(RestraintKind.MAINTENANCE)
    stand = f"{count(len(windows), 'window')} under which alerts are recorded only"
    return Part(
        name="maintenance", ready=True, text=stand if windows else "no maintenance", warning=bool(windows)
    )
