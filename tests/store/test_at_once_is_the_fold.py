"""What one statement stores is what folding stores: both are told the same, in databases of their own."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest

from responder.decide.case import Terms
from responder.engine.commit import Commit
from responder.engine.crowds import Crowds
from responder.engine.rules import ActiveRules
from responder.engine.wake import Wake
from responder.model.alert import Alert, Delivery, Standing, fingerprint
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rulebook, SeverityCase
from responder.model.severity import Severity
from responder.ports import Numbered, Taken, Wanted
from responder.store.connection import Connections
from responder.store.postgres import PostgresStore
from responder.store.settings import StoreSettings
from responder.store.timeline import TimelineKeys
from responder.telemetry import build_metrics
from tests.support.databases import fresh_database
from tests.support.virtual import ladder

START = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 160
MANY = 10**6


def is_(name: str, value: str) -> Matcher:
    """A matcher of one value."""
    return Matcher(name=name, op=MatchOp.EQUAL, value=value)


BAD = SeverityCase(when=(is_("tier", "1"),), severity=Severity.P0)
GRADED = ladder().model_copy(
    update={
        "name": "graded",
        "match": (is_("alertname", "A"),),
        "group_by": ("pod",),
        "severity": (BAD, SeverityCase(severity=Severity.P2)),
    }
)
PATIENT = ladder().model_copy(
    update={
        "name": "patient",
        "match": (is_("alertname", "B"),),
        "group_by": ("pod",),
        "wait_for": timedelta(seconds=30),
    }
)
EVERY = ladder().model_copy(
    update={
        "name": "every",
        "match": (Matcher(name="alertname", op=MatchOp.REGEX, value="A|B"),),
        "group_by": ("pod", "tier"),
        "severity": (BAD, SeverityCase(severity=Severity.P3)),
        "continues": True,
    }
)
"""Takes alerts that the others take, too."""
ALERTS = tuple(
    {"alertname": name, "pod": pod, "tier": tier}
    for name, pods in (("A", "xyz"), ("B", "xy"), ("C", "x"))  # no rule takes the last
    for pod in pods
    for tier in "12"
)
STATES = ("pending", "open", "remediating", "escalated", "resolved", "recorded", "closed")


class _Store(PostgresStore):
    """Takes in at once what it can, or folds everything; notes whether it did both."""

    def __init__(self, connections: Connections, *, folds: bool) -> None:
        super().__init__(connections, timedelta(seconds=15), TimelineKeys("1", {"1": b"k" * 16}))
        self._folds = folds
        self.in_parts = False

    async def take_in(self, source: str, said: Mapping[str, Sequence[Numbered]], wanted: Wanted) -> Taken:
        """Nothing is taken in where everything is to be folded."""
        if self._folds:
            return Taken((), (), 0, frozenset(said))
        taken = await super().take_in(source, said, wanted)
        self.in_parts = 0 < len(taken.left_over) < len(said)
        return taken


class _Counts(Wake):
    """How many incidents it was told are due."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    def due(self, incidents: int) -> None:
        """Instead of waking anybody."""
        self.told += incidents


class Stands(NamedTuple):
    """What there is when something has happened."""

    stored: dict[str, str]
    concerned: list[Any]
    woken: tuple[dict[str, str], int]
    """How often each incident was woken and when it is due, and how many were told to be."""
    in_parts: bool
    """Whether some was taken in at once and some was folded, in two transactions: then both wake."""


class Way:
    """Intake on a database of its own: whole batches, without a queue before it."""

    def __init__(self, store: _Store, raw: Any) -> None:
        self.raw = raw
        self.store = store
        self.rules = ActiveRules(self.store)
        self.wake = _Counts()
        crowds = Crowds(self.store, MANY)
        self.commit = Commit(
            self.store, self.rules, crowds, Terms().contest_window, build_metrics("test"), self.wake
        )

    async def after(self, happens: "Happens") -> Stands:
        """Let it happen."""
        await self.raw.execute(MEANWHILE, *happens[1:])
        before = self.wake.told
        receipts = await self.commit([self.commit.prepare(one) for one in happens.batch])
        concerned = {one for receipt in receipts for one in receipt.incidents}
        rows = await self.raw.fetch(STORED)
        stored = {f"{row['what']} {row['which']}": row["how"] for row in rows if row["what"] != "wake"}
        wakes = {row["which"]: row["how"] for row in rows if row["what"] == "wake"}
        assert len(stored) + len(wakes) == len(rows)
        which = [tuple(row) for row in await self.raw.fetch(CONCERNED, concerned)]
        assert len(which) == len(concerned)
        return Stands(stored, which, (wakes, self.wake.told - before), self.store.in_parts)


@pytest.fixture
async def ways(server_dsn: str, _migrated: str) -> AsyncIterator[tuple[Way, Way]]:
    """One that takes in at once what it can, and one that folds everything."""
    async with AsyncExitStack() as stack:
        made = []
        for folds in (False, True):
            dsn = stack.enter_context(fresh_database(server_dsn, _migrated))
            connections = await Connections.open(dsn, StoreSettings())
            stack.push_async_callback(connections.close)
            raw: Any = await asyncpg.connect(dsn)
            stack.push_async_callback(raw.close)
            way = Way(_Store(connections, folds=folds), raw)
            await way.store.activate(Rulebook(rules=(EVERY, GRADED, PATIENT)), "test")
            await way.rules.follow()
            made.append(way)
        yield made[0], made[1]


STORED = """
WITH heard AS (
    SELECT *, row_number() OVER (PARTITION BY source, fingerprint ORDER BY received_at, content_hash) AS place
    FROM journal
),
named AS (
    SELECT *, row_number() OVER (PARTITION BY rule, key ORDER BY opened_at) AS place FROM incidents
),
now AS (SELECT max(received_at) AS at FROM journal)
SELECT 'journal' AS what, concat_ws(' ', source, labels, place) AS which,
       jsonb_build_array(content_hash, standing, starts_at, ends_at, annotations, generator_url)::text AS how
FROM heard
UNION ALL
SELECT 'alert', concat_ws(' ', a.source, a.labels),
       jsonb_build_object(
           'annotations', annotations, 'url', generator_url, 'generation', generation, 'starts', starts_at,
           'newest', newest_start, 'ends', ends_at, 'end', last_end, 'hash', last_hash,
           'contested from', contested_starts_at,
           'ended', {end}, 'seen', {seen}, 'received', {received}, 'contested', {contested})::text
FROM alerts a
UNION ALL
SELECT 'member', concat_ws(' ', m.source, a.labels, m.generation, m.rule),
       jsonb_build_array(i.rule, i.key, i.place, m.starts_at, m.ends_at, {seen_then}, {heard_then})::text
FROM members m JOIN alerts a USING (source, fingerprint) JOIN named i ON i.id = m.incident_id
UNION ALL
SELECT 'incident', concat_ws(' ', rule, key, place),
       jsonb_build_object(
           'rulebook', rulebook_hash, 'severity', severity, 'state', state, 'owned', owner IS NOT NULL,
           'state for', state_since - opened_at, 'deadline', deadline - opened_at)::text
FROM named
UNION ALL
SELECT 'wake', concat_ws(' ', rule, key, place),
       jsonb_build_object(
           'wakes', wakes,
           'due', CASE WHEN due_at > '2099-01-01' THEN 'far' WHEN wakes = 0 THEN (due_at - opened_at)::text
                       WHEN due_at > now.at + interval '1 s' THEN 'soon' ELSE 'now' END)::text
FROM named, now
"""
"""Times of hearing differ between databases: each is told by its place in all that was heard of the alert."""


def _place(of: str, column: str) -> str:
    return f"""
    (SELECT h.place FROM heard h
     WHERE h.source = {of}.source AND h.fingerprint = {of}.fingerprint AND h.received_at = {column})
    """


STORED = STORED.format(
    end=_place("a", "last_end_received_at"),
    seen=_place("a", "seen_at"),
    received=_place("a", "last_received_at"),
    contested=_place("a", "contested_at"),
    seen_then=_place("m", "m.seen_at"),
    heard_then=_place("m", "m.heard_at"),
)

CONCERNED = """
SELECT rule, key::text, (SELECT count(*) FROM incidents o WHERE (o.rule, o.key) = (i.rule, i.key))
FROM incidents i WHERE id = ANY ($1) ORDER BY 1, 2
"""

MEANWHILE = """
UPDATE incidents
SET wakes = 1,
    due_at = CASE WHEN state = 'closed' OR (key ->> 'pod' = $1 AND rule ~ $5 AND $2 = 'closed') THEN NULL
                  WHEN key ->> 'pod' = $4 THEN timestamptz '2020-01-01' ELSE '2100-01-01' END,
    state = CASE WHEN state <> 'closed' AND key ->> 'pod' = $1 AND rule ~ $5 THEN $2 ELSE state END,
    owner = CASE WHEN key ->> 'pod' <> $1 THEN owner WHEN $3 THEN gen_random_uuid() END
"""


class Happens(NamedTuple):
    """What one round is: the deliveries of a batch, and what becomes of an incident before it."""

    batch: list[Delivery]
    pod: str
    state: str
    owned: bool
    overdue: str
    """The pod of those that were due before."""
    rules: str
    """An expression: of which rules the incident may be."""


class Walk:
    """A random walk: what is said of some alerts, each in the same words in one batch."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - the same walk each time
        self._said: dict[tuple[str, int], Alert] = {}

    def next(self, second: int) -> Happens:
        """What happens then."""
        chance = self._chance
        source = chance.choice(["am", "am", "other"])
        batch = []
        for number in chance.sample(range(len(ALERTS)), chance.randint(1, 4)):
            one = self._words(source, number, second)
            batch += [Delivery(source=source, alerts=(one,), rejected=())] * chance.choice([1, 1, 2, 3])
        chance.shuffle(batch)
        return Happens(
            batch,
            chance.choice("xyz"),
            chance.choice(STATES),
            chance.random() < 0.3,
            chance.choice("xyz"),
            chance.choice(["", "every", "graded|patient"]),
        )

    def _words(self, source: str, number: int, second: int) -> Alert:
        labels = ALERTS[number]
        new = Alert(fingerprint(labels), labels, {"summary": "s"}, Standing.FIRING, START, None, "http://a")
        last = self._said.get((source, number), new)
        ways = (self._again, self._told, self._ended, self._anew, self._odd)
        say: Callable[[Alert, int], Alert] = self._chance.choices(ways, weights=(3, 3, 4, 4, 2))[0]
        one = self._said[source, number] = say(last, second)
        return one

    def _again(self, last: Alert, second: int) -> Alert:
        del second
        return last

    def _told(self, last: Alert, second: int) -> Alert:
        url = self._chance.choice(["", "http://b"])
        one = replace(last, annotations={"summary": str(second)}, generator_url=url)
        return replace(one, standing=Standing.FIRING, ends_at=None)

    def _ended(self, last: Alert, second: int) -> Alert:
        at = self._chance.choice([second, second, second, second - 9, None, second + 9])
        ends = None if at is None else START + timedelta(seconds=at)
        starts = self._chance.choice([last.starts_at, last.starts_at, START + timedelta(seconds=second)])
        one = replace(last, annotations={"summary": "over"}, generator_url="http://over")
        return replace(one, standing=Standing.RESOLVED, starts_at=starts, ends_at=ends)

    def _anew(self, last: Alert, second: int) -> Alert:
        if self._chance.random() < 0.5 and last.ends_at is not None:
            at = last.ends_at + timedelta(seconds=self._chance.choice([-1, 0, 1]))
        else:
            at = START + timedelta(seconds=self._chance.choice([second, second, second - 5, second + 5]))
        return replace(last, standing=Standing.FIRING, starts_at=at, ends_at=None)

    def _odd(self, last: Alert, second: int) -> Alert:
        standing = self._chance.choice([Standing.ABSENT, Standing.CONFIRMED, Standing.GONE])
        gone = datetime(2099, 1, 1, tzinfo=UTC) if standing is Standing.GONE else None
        del second
        return replace(last, standing=standing, ends_at=gone)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.real)])  # each takes long
async def test_what_is_taken_in_at_once_is_what_folding_stores(ways: tuple[Way, Way], seed: int) -> None:
    """New, told again or otherwise, ended, firing anew, odd, by several deliveries and sources: all the same.

    The journal, the alerts, their episodes, the incidents that these open, join and wake, which are due.
    """
    walk = Walk(seed)
    for second in range(ROUNDS):
        happens = walk.next(second)
        at_once, folded = [await way.after(happens) for way in ways]
        assert at_once.stored == folded.stored, f"round {second}: {happens}"
        assert at_once.concerned == folded.concerned, f"round {second}: {happens}"
        if not at_once.in_parts:
            assert at_once.woken == folded.woken, f"round {second}: {happens}"
