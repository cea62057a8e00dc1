"""Stands in for the store behind the HTTP API, where a test is about requests and answers alone.

These implement `ports.Intake`, `Desk` and the few questions of `Store` that the routes ask. What the store
really does is proved in tests/store and by the tests over HTTP that use the real one.
"""

# ruff: noqa: D102 - the methods are those of the Protocols in ports.py, which say what they are

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from aiohttp import web
from pydantic import SecretStr

from responder.actions.base import Clients
from responder.actions.registry import BuiltActions, Registry
from responder.clients.postgres import PostgresServers
from responder.engine.by_hand import ActsByHand
from responder.engine.foresight import Foreseen
from responder.engine.halting import file_reason
from responder.model.alert import Alert, Delivery, Receipt, Rejected, Standing, fingerprint
from responder.model.anchor import AnchorCheck, AnchorState
from responder.model.approval import Consent, Question
from responder.model.attempt import Claim, Owed
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.breaker import Breaker
from responder.model.budget import Start
from responder.model.errors import PermanentError
from responder.model.guard import Guard, Ruling
from responder.model.incident import Command, Hold, Incident, IncidentState, Members, Progress
from responder.model.matcher import Matcher
from responder.model.notification import ChannelStanding, Notification, Word
from responder.model.policy import NoticeKind
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.rule import Limits, Position, Rule, Rulebook, SeverityCase
from responder.model.schedule import PlanStanding, RunState, ScheduledRun, ScheduleStanding
from responder.model.severity import Severity
from responder.model.source import PeerReport, SourceStanding
from responder.model.timeline import Entry, EntryKind
from responder.ports import (
    Added,
    DeadLetter,
    Dossier,
    HeardPage,
    JournalPage,
    KeptPast,
    NewByHand,
    NewRestraint,
    OpenedByHand,
    RecordedPage,
    RunAsked,
    ShadowRunTold,
    Store,
)
from responder.rulebook.considered import considered
from responder.rulebook.mistake import Mistake
from responder.telemetry import build_metrics
from responder.web.api import Api, Part, ReviewFormat, StartedWith, WebhookSource
from responder.web.server import runner
from responder.web.settings import WebSettings
from tests.support.rule_surroundings import surroundings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
INCIDENT = UUID("019ab3c2-1111-7000-8000-000000000001")
OTHER = UUID("019ab3c2-2222-7000-8000-000000000002")

OWED = Owed(
    attempt_id=OTHER,
    incident_id=INCIDENT,
    rule="RunawayQueries",
    action="postgres.cancel_queries",
    target="postgres/orders",
    due_at=NOW + timedelta(hours=2),
)
QUESTION = Question(
    id=OTHER,
    step=0,
    consent=Consent(
        action="postgres.cancel_queries",
        target="postgres/orders",
        params={"at_most": 3},
        facts="0" * 64,
        elements=("7/100",),
        titles=("pid 7",),
    ),
    guards=(Guard.AUTONOMY,),
    reasons=("a person must approve (the rule)",),
    asked_at=NOW,
    times=1,
)
"""What a person may be asked."""


def notification(number: int, **more: Any) -> Notification:
    """A word of the first incident to the pager."""
    return Notification(
        id=UUID(f"019ab3c2-3333-7000-8000-00000000000{number}"),
        incident_id=INCIDENT,
        channel="pager",
        kind=NoticeKind.ESCALATED,
        level=1,
        thread=str(INCIDENT),
        body=Word(text="P1 StuckQuery: nobody knows", incident=INCIDENT, severity=Severity.P1),
        key=f"msg_{number}",
        created_at=NOW,
        due_at=NOW,
        tries=number,
        **more,
    )


NOTIFICATIONS = (
    notification(1, delivered_at=NOW),
    notification(2, last_error="the pager answered 503 Service Unavailable"),
)


class PayloadError(PermanentError):
    """As a decoder raises it: with the field."""

    def __init__(self, message: str, field_name: str) -> None:
        super().__init__(message)
        self.field = field_name


def decode(source: str) -> Any:
    """A decoder that is small enough to read: `{"alerts": [labels, ...]}`; what is no mapping is rejected."""

    def decoded(body: bytes) -> Delivery:
        try:
            alerts = list(json.loads(body)["alerts"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise PayloadError("alerts are missing", "alerts") from None
        good = [labels for labels in alerts if isinstance(labels, dict)]
        bad = [Rejected("labels are no object", str(item)) for item in alerts if not isinstance(item, dict)]
        return Delivery(source=source, alerts=tuple(map(alert, good)), rejected=tuple(bad))

    return decoded


def divide(source: str) -> Any:
    """The same in slices of 500."""

    def divided(body: bytearray) -> Iterator[Delivery]:
        whole = decode(source)(bytes(body))
        for start in range(0, len(whole.alerts), 500):
            rejected = () if start else whole.rejected
            yield replace(whole, alerts=whole.alerts[start : start + 500], rejected=rejected)

    return divided


def alert(labels: dict[str, str]) -> Alert:
    """A firing alert."""
    return Alert(fingerprint(labels), labels, {}, Standing.FIRING, NOW)


@dataclass
class RememberingIntake:
    """Remembers what it took; raises what it was told to."""

    taken: list[Delivery] = field(default_factory=list)
    problem: Exception | None = None

    def admit(self) -> None:
        if self.problem is not None:
            raise self.problem

    async def take(self, delivery: Delivery) -> Receipt:
        if self.problem is not None:
            raise self.problem
        self.taken.append(delivery)
        return Receipt(len(delivery.alerts), len(delivery.rejected))


def incident(incident_id: UUID = INCIDENT, state: IncidentState = IncidentState.HELD) -> Incident:
    """An incident that began five minutes ago; where it has ended, shadow ended it."""
    quiet = None if state.live else "a person would have been told at once (P1)"
    return Incident(
        id=incident_id,
        rule="RunawayQueries",
        rulebook_hash="b" * 64,
        key={"server": "orders"},
        severity=Severity.P1,
        state=state,
        opened_at=NOW - timedelta(minutes=5),
        state_since=NOW - timedelta(minutes=1),
        deadline=NOW + timedelta(hours=1),
        due_at=NOW,
        epoch=1,
        progress=Progress(in_auto=quiet),
    )


def letter(number: int = 1, payload: str = "{}", reason: str = "no labels") -> DeadLetter:
    """A dead letter that came just now."""
    return DeadLetter(number, "default", reason, payload, len(payload), NOW)


def _entry(command: Command, *, changed: bool) -> Entry:
    """What the owner tells of a command that it applied."""
    text = f"{command.actor} {command.kind.value}" + ("" if changed else ", which changes nothing")
    return Entry(
        incident_id=command.incident_id,
        number=1,
        at=NOW,
        kind=EntryKind.PERSON,
        actor=command.actor,
        text=text,
        facts={"id": str(command.id), **({} if changed else {"changed": False})},
        body_hash=b"",
        mac=b"",
        key_id="1",
    )


def standing(**more: Any) -> SourceStanding:
    """A source that was asked half a minute ago, by a live worker."""
    told: dict[str, Any] = {
        "source": "default",
        "now": NOW,
        "since": NOW - timedelta(days=1),
        "owner": OTHER,
        "owner_alive": True,
        "epoch": 1,
        "due_at": NOW + timedelta(seconds=30),
        "began_at": NOW - timedelta(seconds=30),
        "ended_at": NOW - timedelta(seconds=29),
        "complete_at": NOW - timedelta(seconds=30),
        "rounds": 1440,
        "peers": (PeerReport(name="http://am:9093", answered=True, alerts=7, up_for_s=86400.0),),
    }
    return SourceStanding(**{**told, **more})


@dataclass
class RememberingDesk:
    """Two incidents, one quarantined target, and everything that people did."""

    scheduled: tuple[Rule, ...] = ()
    """Scheduled rules of the active rulebook."""
    commands: dict[UUID, Command] = field(default_factory=dict)
    by_hand: dict[UUID, tuple[Incident, NewByHand]] = field(default_factory=dict)
    """What was opened by hand, by its key or its id."""
    acts: list[tuple[str, ...]] = field(default_factory=list)
    flag: str | None = None
    """The last halt, until it is resumed."""
    stands: list[Restraint] = field(default_factory=list)
    keys: dict[str, Restraint] = field(default_factory=dict)
    letters: dict[int, DeadLetter] = field(default_factory=lambda: {1: letter()})
    entries: list[Entry] = field(default_factory=list)
    members: Members = field(default_factory=lambda: Members(firing=1, total=1))
    """Of every incident."""
    question: Question | None = None
    """What the first incident asks a person."""
    owner: Literal["applies", "finds nothing to change", "is busy"] = "applies"
    """What becomes of a command."""
    standing: SourceStanding = field(default_factory=standing)
    hold: Hold | None = None
    """What the first incident is held by."""

    async def incidents(self, *, live_only: bool, limit: int) -> Sequence[Incident]:
        progress = incident().progress.model_copy(update={"question": self.question, "hold": self.hold})
        known = [
            incident().model_copy(update={"progress": progress}),
            incident(OTHER, IncidentState.CLOSED),
        ]
        return [one for one in known if one.state.live or not live_only][:limit]

    async def waiting(self, limit: int) -> Sequence[Incident]:
        return await self.awaiting_approval(limit)

    async def awaiting_approval(self, limit: int) -> Sequence[Incident]:
        return [one for one in await self.incidents(live_only=True, limit=limit) if one.progress.question]

    async def incident(self, incident_id: UUID) -> Dossier | None:
        by_hand = {one.id: one for one, _ in self.by_hand.values()}
        known = by_hand | {one.id: one for one in await self.incidents(live_only=False, limit=10)}
        if incident_id not in known:
            return None
        commands = tuple(one for one in self.commands.values() if one.incident_id == incident_id)
        members = self.members
        rule = RULE.model_dump(mode="json", by_alias=True)
        return Dossier(
            incident=known[incident_id],
            rule=rule,
            members=members,
            attempts=(),
            entries=tuple(one for one in self.entries if one.incident_id == incident_id),
            commands=commands,
        )

    async def source_standings(self) -> Sequence[SourceStanding]:
        return (self.standing,)

    async def notifications(
        self, limit: int, *, incident: UUID | None, undelivered: bool
    ) -> Sequence[Notification]:
        """One that is delivered, and one that waits."""
        found = [one for one in NOTIFICATIONS if incident in {None, one.incident_id}]
        return [one for one in found if one.waits or not undelivered][:limit]

    async def notification(self, notification_id: UUID) -> Notification | None:
        return next((one for one in NOTIFICATIONS if one.id == notification_id), None)

    async def channels(self, names: Sequence[str]) -> Sequence[ChannelStanding]:
        calm = {"waiting": 0, "oldest": None, "given_up": 0, "last_error": None}
        return [ChannelStanding(channel=name, **calm) for name in names]

    def wake(self) -> None:
        self.acts.append(("wake", "", ""))

    async def write_test(self, channel: str, text: str) -> UUID:
        self.acts.append(("test", channel, text))
        return NOTIFICATIONS[0].id

    async def ask_for_round(self, source: str, actor: str) -> bool:
        self.acts.append(("round", source, actor))
        return source == self.standing.source

    async def chain_break(self, incident_id: UUID) -> str | None:
        return None if incident_id == INCIDENT else "entry 2 is missing"

    async def check_anchors(self, lines: Sequence[str]) -> Sequence[AnchorCheck]:
        """A line holds unless it says otherwise."""
        return [
            AnchorCheck(line=n, number=n, holds="behind" not in line, text=line)
            for n, line in enumerate(lines, 1)
        ]

    async def give_command(self, command: Command) -> bool:
        new = command.id not in self.commands
        self.commands.setdefault(command.id, command)
        if new and self.owner != "is busy":
            self.entries.append(_entry(command, changed=self.owner == "applies"))
        return new

    async def open_by_hand(self, new: NewByHand) -> OpenedByHand:
        opened = incident(OTHER).model_copy(
            update={
                "id": uuid4(),
                "rule": new.rule.name,
                "key": dict(new.labels),
                "severity": new.severity,
                "by_hand": new.asked,
            }
        )
        known = self.by_hand.setdefault(new.key or opened.id, (opened, new))
        same = (known[1].rule, known[1].asked) == (new.rule, new.asked)
        return OpenedByHand(incident=known[0], new=known[0] is opened, same=same)

    async def halt(self, actor: str, reason: str, scope: tuple[Matcher, ...] = ()) -> Restraint:
        self.flag = f"{actor}: {reason}"
        new = NewRestraint(RestraintKind.HALT, f"halt {len(self.stands)}", actor, reason, scope)
        return (await self.restrain(new)).restraint

    async def resume(self, actor: str, reason: str, ids: Sequence[int] | None = None) -> Sequence[Restraint]:
        self.acts.append(("resume", actor, reason))
        halts = [one for one in self.stands if one.kind is RestraintKind.HALT]
        ended = [one for one in halts if ids is None or one.id in ids]
        self.stands = [one for one in self.stands if one not in ended]
        self.flag = None
        return ended

    async def restrain(self, new: NewRestraint) -> Added:
        if new.key in self.keys:
            return Added(self.keys[new.key], new=False)
        until = new.until if new.lasts is None else NOW + new.lasts
        given = {"match": new.match, "allow": new.allow, "actor": new.actor, "reason": new.reason}
        one = Restraint(id=len(self.keys) + 1, kind=new.kind, **given, since=new.since or NOW, until=until)
        self.stands.append(one)
        self.keys[new.key] = one
        return Added(one, new=True)

    async def restraint(self, kind: RestraintKind, which: int | str) -> Restraint | None:
        if isinstance(which, str):
            return self.keys.get(which)
        return next((one for one in self.stands if one.id == which and one.kind is kind), None)

    async def end_restraint(
        self, kind: RestraintKind, which: int | str, actor: str, reason: str
    ) -> Restraint | None:
        self.acts.append((f"end {kind.value}", str(which), actor, reason))
        one = await self.restraint(kind, which)
        if one is not None:
            self.stands.remove(one)
        return one

    async def claims(self) -> Sequence[Claim]:
        return [
            Claim(
                target="postgres/orders",
                attempt_id=OTHER,
                incident_id=INCIDENT,
                rule="RunawayQueries",
                since=NOW,
                quarantined=True,
                reason="nobody knows whether it happened",
            )
        ]

    async def release(self, target: str, actor: str, reason: str) -> bool:
        self.acts.append(("release", target, actor, reason))
        return target == "postgres/orders"

    async def owing(self, limit: int, *, pending_only: bool) -> Sequence[Owed]:
        kept = {"kept_at": NOW, "kept_by": "bo", "kept_reason": "it is needed"}
        given = OWED.model_copy(update={"opened_as": OTHER})
        every = [OWED, given, OWED.model_copy(update=kept)]
        return [one for one in every if one.pending or not pending_only][:limit]

    async def owed(self, attempt_id: UUID) -> Owed | None:
        return OWED if attempt_id == OWED.attempt_id else None

    async def keep(self, owed: Owed, actor: str, reason: str) -> bool:
        first = not any(act[0] == "keep" for act in self.acts)
        self.acts.append(("keep", str(owed.attempt_id), actor, reason))
        return first

    async def starts(self, since: datetime, limit: int) -> Sequence[Start]:
        one = Start(
            at=since + timedelta(minutes=40),
            target="postgres/orders",
            namespace="postgres/orders",
            attempt_id=OTHER,
            incident_id=INCIDENT,
            rule="RunawayQueries",
            action="postgres.terminate_queries",
        )
        return [one.model_copy(update={"at": one.at - n * timedelta(minutes=5)}) for n in range(3)][:limit]

    async def open_breaker(self, rule: str) -> Breaker | None:
        return next((one for one in await self.breakers(1, open_only=True) if one.rule == rule), None)

    async def breakers(self, limit: int, *, open_only: bool) -> Sequence[Breaker]:
        open_one = Breaker(rule="RunawayQueries", opened_at=NOW, attempts=(OTHER, INCIDENT, OTHER))
        past = {"reset_at": NOW, "actor": "ada", "reason": "the index is back"}
        return [open_one, *([] if open_only else [open_one.model_copy(update=past)])][:limit]

    async def reset_breaker(self, rule: str, actor: str, reason: str) -> bool:
        self.acts.append(("reset", rule, actor, reason))
        return rule == "RunawayQueries"

    async def promote(self, rule: str, acting_hash: str, level: Autonomy, actor: str, reason: str) -> None:
        self.acts.append(("promote", rule, acting_hash, level.word, actor, reason))

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        return [replace(letter, payload=letter.payload[:200]) for letter in self.letters.values()][:limit]

    async def dead_letter(self, number: int) -> DeadLetter | None:
        return self.letters.get(number)

    async def drop_dead_letters(self, numbers: Sequence[int], actor: str, reason: str) -> Sequence[int]:
        gone = [number for number in numbers if self.letters.pop(number, None) is not None]
        self.acts.append(("drop", *map(str, gone), actor, reason))
        return gone

    async def shadow_runs(self, since: datetime, rule: str | None, limit: int) -> Sequence[ShadowRunTold]:
        """One, which began a minute ago and recovered by itself."""
        one = ShadowRunTold(
            incident_id=OTHER,
            severity=Severity.P1,
            key={"server": "orders"},
            rule="RunawayQueries",
            step=0,
            action="postgres.terminate_queries",
            target="postgres/orders",
            ruling=Ruling.GO,
            guard="autonomy",
            reason="shadow, no effect",
            elements=("pid 7",),
            element_count=1,
            at=NOW - timedelta(minutes=1),
            quiet_at=NOW,
            person=None,
            other_incident=None,
            own_attempt=False,
        )
        return [one][:limit] if since < one.at and rule in {None, one.rule} else []

    async def unmatched(self, limit: int) -> Sequence[Mapping[str, Any]]:
        labels = {"alertname": "Nobody"}
        one = {"source": "default", "fingerprint": "0" * 16, "labels": labels, "starts_at": NOW}
        return [one][:limit]


RULE = Rule.model_validate(
    {
        "name": "RunawayQueries",
        "match": (),
        "severity": (SeverityCase(severity=Severity.P1),),
        "group_by": ("server",),
        "for": "0s",
        "autonomy": "auto",
        "limits": Limits.model_validate({"attempts": 3, "per": "1h", "cooldown": "10m"}),
        "position": Position(file="rules/postgres.yaml", line=3, column=5),
    }
)


@dataclass
class SmallStore:
    """The questions of `ports.Store` that the routes ask."""

    desk: RememberingDesk

    async def now(self) -> datetime:
        return NOW

    async def restraints(self) -> Restraints:
        return Restraints(standing=tuple(self.desk.stands), civil=NOW)

    async def promotion(self, rule: str, acting_hash: str) -> Autonomy | None:
        given = [act for act in self.desk.acts if act[:3] == ("promote", rule, acting_hash)]
        return Autonomy[given[-1][3].upper()] if given else None

    async def active_rulebook(self) -> Rulebook:
        return Rulebook(rules=(RULE, *self.desk.scheduled))

    async def active_hash(self) -> str:
        return (await self.active_rulebook()).hash


@dataclass
class RememberingSchedules:
    """Implements `ports.ScheduleDesk`: what a test puts there, and what people ask for."""

    plans: list[PlanStanding] = field(default_factory=list)
    kept: list[ScheduledRun] = field(default_factory=list)

    async def standing(self) -> ScheduleStanding:
        return ScheduleStanding(now=NOW, civil=NOW, plans=tuple(self.plans))

    async def runs(self, rule: str | None, limit: int) -> Sequence[ScheduledRun]:
        return [run for run in self.kept if rule in {None, run.rule}][:limit]

    async def run(self, run_id: UUID) -> ScheduledRun | None:
        return next((run for run in self.kept if run.id == run_id), None)

    async def ask(self, asked: RunAsked) -> tuple[ScheduledRun, bool]:
        there = [run for run in self.kept if run.id == asked.key or run.state.going]
        if there:
            return there[0], False
        run = ScheduledRun(
            id=asked.key or uuid4(),
            rule=asked.rule,
            rulebook_hash=asked.rulebook,
            state=RunState.WAITING,
            asked_by=asked.actor,
            reason=asked.reason,
            at=NOW,
        )
        self.kept.append(run)
        return run, True


class OneMistake:
    """A rule desk that finds one mistake wherever the text contains `wrong`."""

    def __init__(self, on_disk: str = "") -> None:
        self.on_disk = on_disk
        self.mistakes: Sequence[Mistake] = ()

    async def reload(self) -> Sequence[Mistake]:
        self.mistakes = await self.check({"rules/a.yaml": self.on_disk})
        return self.mistakes

    async def check(self, files: Mapping[str, str]) -> Sequence[Mistake]:
        return [
            Mistake(Position(file=name, line=1, column=1), "this is wrong", "Write right")
            for name, text in files.items()
            if "wrong" in text
        ]


@dataclass
class Served:
    """A listening API and everything behind it."""

    url: str
    intake: RememberingIntake
    desk: RememberingDesk
    rules: OneMistake
    parts: list[Part]
    halt_files: list[str]
    schedules: RememberingSchedules
    api: Api


_STARTED = StartedWith(settings={})


def _review(dossier: Dossier, form: ReviewFormat) -> str:
    return f"{form}: {dossier.incident.rule}"


class NoHistory:
    """Implements `ports.History`: nothing was heard of."""

    async def heard_since(self) -> datetime | None:
        return None

    async def keep(self, source: str, episodes: Sequence[Alert]) -> KeptPast:
        del source
        return KeptPast(new=len(episodes), longer=0, known=0)

    async def forget(self, before: datetime) -> None:
        del before

    async def rows(self, after: datetime, until: datetime, at_least: int) -> JournalPage:
        del after, at_least
        return JournalPage((), until)

    async def recorded(
        self, since: datetime, until: datetime, after: UUID | None, incidents: int
    ) -> RecordedPage:
        del since, after, incidents
        return RecordedPage((), None, until)

    async def heard(self, since: datetime, after: tuple[str, str], at_least: int) -> HeardPage:
        del since, after, at_least
        return HeardPage(alerts=(), after=None)


@asynccontextmanager
async def listening(
    settings: WebSettings | None = None, started: StartedWith = _STARTED, **source: Any
) -> AsyncIterator[Served]:
    """The API on a real port of loopback, with one source called `default`."""
    intake, desk, rules = RememberingIntake(), RememberingDesk(), OneMistake()
    parts: list[Part] = [Part(name="store", ready=True)]
    files: list[str] = []
    schedules = RememberingSchedules()
    around = surroundings()
    clients = Clients(inventory=around.inventory, postgres=PostgresServers(around.inventory))
    api = Api(
        settings=settings or WebSettings(),
        intake=intake,
        desk=desk,
        store=cast("Store", SmallStore(desk)),
        history=NoHistory(),
        sources={"default": WebhookSource("default", decode("default"), divide("default"), **source)},
        metrics=build_metrics("0"),
        rules=rules,
        ready=lambda: _later(parts),
        review=_review,
        askable=frozenset({"default"}),
        halt_file=lambda: files[-1] if files else file_reason(started.halt_file),
        started_with=started,
        ceilings=lambda _: (Ceiling(level=Autonomy.SHADOW, origin="the settings' ceiling"),),
        anchor=AnchorState,
        dispatch=desk,
        channels=("log", "pager"),
        describe_rule=lambda rule: rule.model_dump(mode="json", by_alias=True),
        schedules=schedules,
        foresee=_foreseen,
        by_hand=ActsByHand(BuiltActions(Registry(installed=()), clients), around),
    )
    async with serving(api) as url:
        yield Served(url, intake, desk, rules, parts, files, schedules, api)


async def _later(parts: list[Part]) -> list[Part]:
    return parts


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    """The API on a real port of loopback; gives its URL."""
    running = runner(api)
    await running.setup()
    try:
        await web.TCPSite(running, "127.0.0.1", 0).start()
        host, port = running.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await running.cleanup()


TOKEN = SecretStr("an-api-token-of-tests")


async def _foreseen(labels: Mapping[str, str], source: str) -> Foreseen:
    del source
    return Foreseen(matching=considered([RULE], labels))
