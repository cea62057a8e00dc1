"""The fold under a cluster of Alertmanagers that does everything a real one does, in any order.

`Peer` is one Alertmanager as far as one alert goes: it merges starts, times an alert out that Prometheus does
not send again, forgets it, restarts empty, and tells of it as often as it likes. What it tells stands in a
network that reorders, doubles and loses. The responder's side is what intake, contests and reconcile do with
the fold: row by row where it can be, all rows anew where one comes late.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from responder.decide.fold import AlertRecord, fold, settle_contest, step
from responder.decide.reconcile import NOTHING_ABSENT, Absences, after_poll, gone
from responder.model.alert import Alert, Observation, Standing, content_hash

WINDOW = timedelta(seconds=60)
RESEND = timedelta(seconds=60)
TIMES_OUT = 4 * RESEND
"""After so long without Prometheus's word Alertmanager takes an alert as ended."""
POLLS = 3
START = datetime(2026, 1, 1, tzinfo=UTC)
PEERS = 3
ONE = "0" * 16
ANY = st.integers(0, PEERS - 1)
HANGS = st.sampled_from([None, None, None, *range(PEERS)])
FIRES = {Standing.FIRING, Standing.CONFIRMED}


def an_alert(standing: Standing, starts: datetime, ends: datetime | None = None, note: str = "") -> Alert:
    """What somebody says of the alert."""
    return Alert(
        fingerprint=ONE,
        labels={"alertname": "A"},
        annotations={"note": note},
        standing=standing,
        starts_at=starts,
        ends_at=ends,
    )


@dataclass
class Peer:
    """One Alertmanager's own copy of the alert."""

    up_since: datetime = START - timedelta(days=1)
    starts: datetime | None = None
    ends: datetime = START
    notified: bool = False
    """Whether a receiver was told that it fires: only then it is told of the end."""
    answers: bool = True

    def fires(self, now: datetime) -> bool:
        """Whether its API has the alert."""
        return self.starts is not None and now < self.ends

    def young(self, now: datetime) -> bool:
        """Whether its list may not be complete yet."""
        return now - self.up_since <= 2 * RESEND

    def told(self, starts: datetime, ends: datetime, *, over: bool) -> None:
        """Prometheus's word: overlapping alerts are merged to the earliest start."""
        if self.starts is not None and starts < self.ends and self.starts < ends:
            starts = min(starts, self.starts)
            ends = ends if over else max(ends, self.ends)
        self.starts, self.ends = starts, ends

    def notification(self, now: datetime, note: str) -> Alert | None:
        """What it tells its receiver now."""
        if self.starts is None:
            return None
        if self.fires(now):
            self.notified = True
            return an_alert(Standing.FIRING, self.starts, None, note)
        if not self.notified:
            return None
        return an_alert(Standing.RESOLVED, self.starts, self.ends, note)


class Held:
    """What the responder keeps of one alert, as intake does it."""

    def __init__(self) -> None:
        self.rows: list[Observation] = []
        self.record: AlertRecord | None = None

    def take(self, *new: Observation, now: datetime) -> None:
        """Journal and fold; a row that sorts before the last one folded folds all of them again."""
        ordered = sorted(new, key=lambda row: row.order)
        if self.record is not None and ordered and ordered[0].order <= self.record.last_order:
            self.record = fold([*self.rows, *ordered], WINDOW, now)
        else:
            for row in ordered:
                self.record = step(self.record, row, WINDOW)
            if self.record is not None:
                self.record = settle_contest(self.record, WINDOW, now)
        self.rows = [*{row.order: row for row in (*self.rows, *ordered)}.values()]


ALL = 2**PEERS - 1
MASK = st.sampled_from([*range(ALL), ALL, ALL, ALL, ALL])
CHOICE = st.integers(0, 10**6 - 1)
TOLD = st.tuples(MASK, MASK, CHOICE)
"""Whom Prometheus reaches, who notifies, and what of all that is under way arrives."""


def peers_of(mask: int) -> list[int]:
    """Some of the peers."""
    return [number for number in range(PEERS) if mask >> number & 1]


def digits(choice: int) -> list[int]:
    """Up to six choices in one: drawn one by one they would cost more than all the folding."""
    return [int(one) for one in str(choice)]


def happens(**given: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule after which some of what is known is told: else too little of what happens is ever heard of."""

    def with_words(function: Callable[..., None]) -> Any:
        @wraps(function)
        def happening(self: "Cluster", told: Any, **drawn: Any) -> None:
            function(self, **drawn)
            self.it_is_told(*told)

        made: Any = rule(told=TOLD, **given)
        return made(happening)

    return with_words


def as_they_say(before: AlertRecord, alert: Alert, after: AlertRecord, at: datetime) -> None:
    """What one more row means, in the words of the rules of folding."""
    ends = before.last_end
    told = alert.ends_at is not None and ends is not None and alert.ends_at <= ends
    match alert.standing:
        case Standing.FIRING if before.firing:
            assert (after.generation, after.annotations) == (before.generation, alert.annotations)
            assert (after.starts_at, after.seen_at) == (min(before.starts_at, alert.starts_at), at)
        case Standing.FIRING if ends is not None and alert.starts_at < ends:
            assert after.contested_at == (before.contested_at or at), "the window begins with the first"
        case Standing.FIRING | Standing.CONFIRMED:
            contest_begins = before.contested_at is None and after.contested_at == at
            assert after.firing or contest_begins
        case Standing.RESOLVED if told and not before.firing:
            assert after == before._replace(last_order=after.last_order), "it says nothing new"
        case Standing.RESOLVED if told and ends is not None and before.starts_at < ends:
            assert after.firing, "it is the end after which it was found to fire again"
        case Standing.RESOLVED if alert.ends_at is not None and alert.ends_at < before.starts_at:
            assert after.firing is before.firing, "it is the end of another episode"
        case Standing.RESOLVED:
            assert not after.firing
            assert (after.contested_at is None) is (before.newest_start <= (alert.ends_at or at))
        case Standing.ABSENT:
            assert (after.contested_at, after.firing) == (None, before.firing)
        case Standing.GONE:
            heard_since = alert.ends_at is not None and before.seen_at > alert.ends_at
            assert after.firing is (before.firing and heard_since)


class Cluster(RuleBasedStateMachine):
    """One alert, one Prometheus, several Alertmanagers, one responder."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.since: datetime | None = None
        """Since when it fires in truth."""
        self.last: tuple[datetime, datetime] | None = None
        """Its last true episode."""
        self.episodes = 0
        self.peers = [Peer() for _ in range(PEERS)]
        self.network: list[Alert] = []
        self.held = Held()
        self.absences: Absences = NOTHING_ABSENT
        self.excuses = 0
        """How often something may have made one true episode look like two."""

    @property
    def record(self) -> AlertRecord | None:
        """What is stored."""
        return self.held.record

    def receive(self, *alerts: Alert, early: float = 0) -> None:
        """One delivery. `early`: by a replica whose transaction began a little before the last one's."""
        self.now += timedelta(seconds=1)
        self.settle()
        at, before = self.now - timedelta(seconds=early), self.record
        self.held.take(*(Observation("am", one, at, content_hash(one)) for one in alerts), now=self.now)
        if before is not None and self.record is not None and not early:
            if len(alerts) == 1:
                as_they_say(before, alerts[0], self.record, at)
            elif any(one.standing in FIRES for one in alerts):
                fires = self.record.firing or self.record.contested_at is not None
                assert fires, "of what is told at one moment the last word is that it fires"

    # --- the truth, the cluster and the network ------------------------------------------------------

    @initialize()
    def it_is_known_to_some(self) -> None:
        """It fires, and two peers have it."""
        self.since, self.episodes = self.now, 1
        self.it_is_told(3, 3, 0)

    @happens()
    def it_begins_or_ends(self) -> None:
        """In truth; nobody knows yet."""
        self.now += timedelta(seconds=1)
        if self.since is None:
            self.since = self.now
            self.episodes += 1
        else:
            self.last, self.since = (self.since, self.now), None

    def it_is_told(self, reached: int, telling: int, arrives: int) -> None:
        """Prometheus reaches some peers, some notify, and some of what is under way arrives."""
        for number in peers_of(reached):
            self.prometheus_sends(number)
        for number in peers_of(telling):
            self.peer_notifies(number, "xxy"[arrives % 3])
        for chosen in digits(arrives)[1:]:
            if self.network:
                self.receive(self.network.pop(chosen % len(self.network)))

    def prometheus_sends(self, number: int) -> None:
        """To a peer that it reaches."""
        if self.since is not None:
            self.peers[number].told(self.since, self.now + TIMES_OUT, over=False)
        elif self.last is not None:
            self.peers[number].told(*self.last, over=True)

    def peer_notifies(self, number: int, note: str) -> None:
        """What it tells is under way."""
        told = self.peers[number].notification(self.now, note)
        self.network += [] if told is None else [told]

    @happens(which=CHOICE, how=st.sampled_from(["twice", "early", "together", "lost"]))
    def the_network_plays_up(self, which: int, how: str) -> None:
        """Copies, a replica whose transaction began before, two in one delivery, nothing at all."""
        for chosen in digits(which):
            if not self.network:
                return
            at = chosen % len(self.network)
            match how:
                case "twice":
                    self.receive(self.network[at])
                case "early":
                    self.receive(self.network.pop(at), early=4 * chosen)
                case "together":
                    self.excuses += 1
                    self.receive(*(self.network.pop(which % len(self.network)) for _ in self.network[:2]))
                case _:
                    self.network.pop(at)

    @happens(seconds=st.sampled_from([5, 20, 61, 61, 130, 250]))
    def time_passes(self, seconds: int) -> None:
        """Where Prometheus does not reach a peer for so long, the alert times out there."""
        before = self.now
        self.now += timedelta(seconds=seconds)
        if self.since is not None and any(one.starts and before < one.ends <= self.now for one in self.peers):
            self.excuses += 1
        self.settle()

    @happens(number=ANY, what=st.sampled_from(["restarts", "forgets"]))
    def a_peer_plays_up(self, number: int, what: str) -> None:
        """It restarts without the alert, or forgets what ended."""
        peer = self.peers[number]
        if what == "restarts":
            self.peers[number] = Peer(up_since=self.now)
        elif not peer.fires(self.now):
            peer.starts, peer.notified = None, False

    # --- what the responder does by itself -----------------------------------------------------------

    def settle(self) -> None:
        """A contest whose window is over is folded again."""
        before = self.record
        self.held.take(now=self.now)
        self.excuses += before != self.record

    @happens(rounds=st.integers(1, POLLS + 1), hangs=HANGS, slow=st.booleans())
    def the_peers_are_asked(self, rounds: int, hangs: int | None, *, slow: bool) -> None:
        """Whether what is contested fires, and for all that they know; what follows may be taken in late."""
        for number, peer in enumerate(self.peers):
            peer.answers = number != hangs
        for _ in range(rounds):
            for answer in (self.ask(), self.reconcile()):
                if answer is not None and slow:
                    self.network.append(answer)
                elif answer is not None:
                    self.receive(answer)
            self.now += RESEND / 2

    def ask(self) -> Alert | None:
        """As `engine.contests`: what is said of a contest."""
        record = self.record
        if record is None or record.contested_at is None:
            return None
        starts = record.contested_starts_at or record.starts_at
        if any(one.answers and one.fires(self.now) for one in self.peers):
            self.excuses += 1
            return an_alert(Standing.CONFIRMED, starts)
        return an_alert(Standing.ABSENT, starts) if self.all_deny() else None

    def all_deny(self) -> bool:
        """Whether every peer can be believed, and none has it."""
        return all(one.answers and not one.young(self.now) and not one.fires(self.now) for one in self.peers)

    def reconcile(self) -> Alert | None:
        """As `engine.reconcile`: what is made good."""
        record = self.record
        held = {ONE: record.seen_at} if record is not None and record.firing else {}
        knowing = [one.starts for one in self.peers if one.starts and one.answers and one.fires(self.now)]
        known = {ONE} if knowing else set()
        believed = all(one.answers and not one.young(self.now) for one in self.peers)
        self.absences = after_poll(self.absences, held, known, self.now, believed=believed, apart=RESEND / 2)
        if knowing and not held:
            self.excuses += 1
            return an_alert(Standing.CONFIRMED, knowing[0])
        if ONE in gone(self.absences, POLLS) and record is not None:
            self.excuses += 1
            return an_alert(Standing.GONE, record.starts_at, self.now)
        return None

    # --- what must hold ------------------------------------------------------------------------------

    @invariant()
    def at_any_time(self) -> None:
        """What is stored is the fold of all rows; what fires by the last word fires after the window."""
        last = max(self.held.rows, key=lambda row: row.order, default=None)
        if last is None:
            assert self.record is None
            return
        assert self.record is not None
        truth = fold(self.held.rows, WINDOW, last.received_at)
        assert truth is not None
        whole = settle_contest(truth, WINDOW, max(self.now, last.received_at))
        assert settle_contest(self.record, WINDOW, self.now) == whole
        if last.alert.standing in FIRES:
            assert settle_contest(truth, WINDOW, last.received_at + WINDOW).firing
        self.a_contest_is_about_what_does_not_fire_and_is_not_older_than_its_window(whole)
        self.episodes_are_as_they_must_be(whole)

    @precondition(lambda self: self.held.rows)
    @happens(seed=st.integers(0, 99))
    def neither_a_row_twice_nor_the_order_of_arrival_changes_anything(self, seed: int) -> None:
        """Each row with the time that it was received, taken in in any order, some together, some twice."""
        shuffled, other = random.Random(seed), Held()  # noqa: S311 - no secret
        rows = [*self.held.rows, *shuffled.choices(self.held.rows, k=3)]
        shuffled.shuffle(rows)
        assert fold(rows, WINDOW, self.now) == fold(self.held.rows, WINDOW, self.now)
        while rows:
            other.take(*[rows.pop() for _ in range(min(len(rows), shuffled.randint(1, 3)))], now=self.now)
        assert other.record == fold(self.held.rows, WINDOW, self.now)

    def a_contest_is_about_what_does_not_fire_and_is_not_older_than_its_window(
        self, record: AlertRecord
    ) -> None:
        """Then it is decided."""
        if record.contested_at is not None:
            assert not record.firing
            assert record.contested_starts_at is not None
            assert self.now < record.contested_at + WINDOW

    def episodes_are_as_they_must_be(self, record: AlertRecord) -> None:
        """Several peers make one episode of one, where nothing made it look like two."""
        due = record != self.record  # the window of a contest is over, and nobody has folded it yet
        assert record.generation <= self.episodes + self.excuses + due
        if record.generation > 0:
            assert record.firing or record.last_end is not None
            assert record.newest_start >= record.starts_at or not record.firing

    def teardown(self) -> None:
        """Whatever has happened, what is held comes to the truth when the faults stop."""
        self.calm()

    def calm(self) -> None:
        """Ten minutes in which everybody answers and nothing is lost."""
        for peer in self.peers:
            peer.answers = True
        for _ in range(9):
            self.now += RESEND
            for number in range(PEERS):
                self.prometheus_sends(number)
                self.peer_notifies(number, "x")
            while self.network:
                self.receive(self.network.pop(0))
            for answer in (self.ask(), self.reconcile()):
                if answer is not None:
                    self.receive(answer)
        assert (self.record is not None and self.record.firing) is (self.since is not None)
        assert self.record is None or self.record.contested_at is None


TestCluster = Cluster.TestCase
TestCluster.settings = settings(report_multiple_bugs=False)
