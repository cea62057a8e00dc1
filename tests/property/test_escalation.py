"""Who is told, when, and how far up: over the real ladder in virtual time, whatever happens to it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from responder.decide import changes
from responder.decide.case import Apply, Change, Notice, Page, SourceView, Terms, Wait
from responder.decide.next_move import next_move
from responder.model.autonomy import Autonomy
from responder.model.incident import Command, CommandKind, Incident, IncidentState, Progress
from responder.model.policy import EscalationPolicy, NoticeKind, PolicyLevel
from responder.model.restraint import Restraint, RestraintKind
from responder.model.rule import Notify, PageAfter, PageAt
from responder.model.severity import MANUAL_TERMS, Severity
from responder.model.storm import Storm
from responder.model.timeline import EntryKind
from responder.rulebook.matchers import parse_matchers
from tests.support.virtual import START, VirtualStore, World, drive, incident, ladder, lease_of, members

LEVELS = EscalationPolicy(levels=tuple(PolicyLevel(channels=(name,)) for name in ("chat", "phone", "boss")))
TERMS = Terms(
    severities={each: terms.model_copy(update={"policy": "usual"}) for each, terms in MANUAL_TERMS.items()},
    policies={"usual": LEVELS},
    verify_every=timedelta(seconds=30),
    hold_every=timedelta(seconds=30),
)
INTERVAL = TERMS.severities[Severity.P1].update_interval
SILENCED = SourceView(configured=True, suppressed=1, suppressed_by="a silence")
FIRES = SourceView(configured=True, firing=1)
PAGES = st.sampled_from(
    [
        Notify(),
        Notify(page=PageAt.AT_ONCE),
        Notify(page=PageAfter(after=timedelta(minutes=5))),
        Notify(page=PageAfter(after=timedelta(minutes=40))),
    ]
)

TIMES = st.sampled_from([1, 6, 31, 100, 340, 700, 2000, 4000])
AUTOMATION = ["nothing", "ends", "fires", "joins", "halt", "resume", "appear", "breaks", "mends", "refuses"]
"""What happens to automation and to the alerts; nobody says anything."""
WELL = [name for name in AUTOMATION if name != "breaks"]
PEOPLE = ["acknowledges", "takes over", "hands back", "approves", "declines", "worse", "worse by a person"]
QUIET = ["silenced", "heard", "maintenance", "maintenance over"]
DEATHS = ["die before effect", "die after effect", "die before outcome"]


def events(*kinds: list[str]) -> st.SearchStrategy[list[str | int]]:
    """Some of these, with time between them."""
    known = [name for kind in kinds for name in kind]
    return st.lists(st.one_of(st.sampled_from(known), TIMES), min_size=1, max_size=25)


class Recorded(NamedTuple):
    """One change, when it was recorded, the incident before it, and what was said to it."""

    at: datetime
    before: Incident
    change: Change
    command: Command | None


@dataclass
class Told(VirtualStore):
    """The ledger of one incident, that keeps when each change was recorded."""

    record_: list[Recorded] = field(default_factory=list)

    def _apply(self, change: Change) -> None:
        said = self.command if change.command is not None else None
        self.record_.append(Recorded(self.world.now, self.incident, change, said))
        super()._apply(change)

    def notices(self) -> Iterator[tuple[Recorded, Notice]]:
        """Every word to people, in order."""
        return ((one, notice) for one in self.record_ for notice in one.change.notices)

    def kinds(self) -> list[tuple[float, NoticeKind, int]]:
        """The same in short: seconds since the start, what, and at which level."""
        return [((one.at - START).total_seconds(), n.kind, n.level) for one, n in self.notices()]


def a_store(notify: Notify = Notify(), autonomy: Autonomy = Autonomy.AUTO) -> Told:  # noqa: B008 - frozen
    """A fresh P1 whose steps do not help, over a world that has elements enough for both of them."""
    rule = ladder(autonomy=autonomy).model_copy(update={"notify": notify})
    return Told(World(source=FIRES), rule, incident(), members())


def window(now: datetime) -> Restraint:
    """Maintenance of everything that this incident has, for an hour."""
    until, match = now + timedelta(hours=1), parse_matchers('alertname="A"')
    kind = RestraintKind.MAINTENANCE
    return Restraint(id=1, kind=kind, match=match, actor="ci", reason="deploy", since=now, until=until)


def _of_alerts(store: Told, event: str) -> bool:
    world, seen = store.world, store.members
    match event:
        case "ends":
            store.members = seen.model_copy(update={"firing": 0})
            world.source = SourceView(configured=True, absent=1)
        case "fires":
            more = {"firing": 1, "total": seen.total + 1, "newest_seen_at": world.now}
            store.members, world.source = seen.model_copy(update=more), FIRES
        case "joins":
            more = {"firing": seen.firing + 1, "total": seen.total + 1, "newest_seen_at": world.now}
            store.members, world.source = seen.model_copy(update=more), FIRES
        case "worse":
            store.incident = store.incident.model_copy(update={"severity": Severity.P0})
        case "maintenance":
            store.windows = (window(world.now),)
        case "maintenance over":
            store.windows = ()
        case _:
            return False
    return True


def _of_the_world(store: Told, event: str) -> bool:
    world = store.world
    changed: dict[str, dict[str, Any]] = {
        "nothing": {},
        "halt": {"halted": "by the test"},
        "resume": {"halted": None},
        "appear": {"present": {"a", "b"}},
        "breaks": {"broken": True},
        "mends": {"broken": False},
        "refuses": {"refuses": True},
        "die before effect": {"die_before_effect": True},
        "die after effect": {"die_after_effect": True},
        "silenced": {"source": SILENCED if store.members.firing else world.source},
        "heard": {"source": FIRES if store.members.firing else world.source},
    }
    if event == "die before outcome":
        store.die_before_outcome = True
        return True
    for name, value in changed.get(event, {}).items():
        setattr(world, name, value)
    return event in changed


def _of_people(store: Told, event: str) -> None:
    match event:
        case "acknowledges":
            store.say(CommandKind.ACKNOWLEDGE, "ada")
        case "takes over":
            store.say(CommandKind.TAKE_OVER, "ada")
        case "hands back":
            store.say(CommandKind.HAND_BACK, "ada")
        case "approves":
            store.answer(CommandKind.APPROVE, "ada")
        case "declines":
            store.answer(CommandKind.DECLINE, "ada")
        case "closes":
            store.say(CommandKind.CLOSE, "ada")
        case "worse by a person":
            store.say(CommandKind.CHANGE_SEVERITY, "ada", severity=Severity.P0)
        case _:
            raise AssertionError(event)


def happen(store: Told, event: str) -> None:
    """One event; what an incident would be woken for wakes it."""
    if not _of_the_world(store, event):
        if not _of_alerts(store, event):
            _of_people(store, event)
        if store.incident.due_at is not None:
            due = min(store.incident.due_at, store.world.now)
            store.incident = store.incident.model_copy(update={"due_at": due})


async def pass_time(store: Told, seconds: float, terms: Terms = TERMS) -> None:
    """Time goes on, and the incident is looked at whenever it is due."""
    end = store.world.now + timedelta(seconds=seconds)
    await drive(store, terms=terms)
    while (due := store.incident.due_at) is not None and due <= end:
        store.world.now = max(store.world.now, due)
        await drive(store, terms=terms)
    store.world.now = end


def run(store: Told, happening: list[str | int]) -> Told:
    """Drive an incident through the events."""

    async def all_of_it() -> None:
        await pass_time(store, 0)
        for event in happening:
            if isinstance(event, int):
                await pass_time(store, event)
            else:
                happen(store, event)
                await pass_time(store, 0)

    asyncio.run(all_of_it())
    return store


# --- however it goes, a person hears of it ------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(events(AUTOMATION, PEOPLE, QUIET, DEATHS), PAGES, st.sampled_from([Autonomy.AUTO, Autonomy.APPROVE]))
def test_what_fires_and_is_not_kept_quiet_is_told_to_a_person(
    happening: list[str | int], notify: Notify, autonomy: Autonomy
) -> None:
    """After anything at all: nobody holds it quiet, it goes on firing, and within four hours people hear."""
    store = run(a_store(notify, autonomy), [*happening, "maintenance over", "heard", "fires", 60])
    since = store.world.now
    run(store, [4 * 3600])
    heard = [notice for one, notice in store.notices() if one.at >= since]
    assert heard or store.incident.state is IncidentState.CLOSED


@settings(max_examples=150, deadline=None)
@given(events(AUTOMATION, PEOPLE, DEATHS), PAGES, st.sampled_from([Autonomy.AUTO, Autonomy.APPROVE]))
def test_no_deadline_of_a_state_that_waits_for_people_passes_without_a_word(
    happening: list[str | int], notify: Notify, autonomy: Autonomy
) -> None:
    """Held, unanswered, escalated, taken over: none of these outlives its deadline by a second."""
    store = run(a_store(notify, autonomy), happening)
    waits = {
        IncidentState.HELD,
        IncidentState.AWAITING_APPROVAL,
        IncidentState.ESCALATED,
        IncidentState.TAKEN_OVER,
    }
    for one in store.record_:
        before = one.before
        if before.state in waits:
            assert before.deadline is not None
            assert one.at <= before.deadline
    for one, notice in store.notices():
        if notice.kind in {NoticeKind.AGAIN, NoticeKind.REMINDER} and one.change.deadline is not None:
            assert one.change.deadline > one.at


@settings(max_examples=200, deadline=None)
@given(events(AUTOMATION, PEOPLE, QUIET, DEATHS), PAGES, st.sampled_from(list(Autonomy)))
def test_levels_go_up_one_by_one_and_never_down(
    happening: list[str | int], notify: Notify, autonomy: Autonomy
) -> None:
    """From the first on, up to the last of the policy: nobody is passed over, nobody is let go again."""
    store = run(a_store(notify, autonomy), happening)
    levels = [notice.level for _, notice in store.notices() if notice.level > 0]
    assert levels[:1] in ([], [1])
    for lower, higher in pairwise(levels):
        assert higher - lower in {0, 1}
    assert max(levels, default=1) <= len(LEVELS.levels)


@settings(max_examples=200, deadline=None)
@given(events(AUTOMATION, PEOPLE, QUIET), PAGES)
def test_nobody_higher_up_hears_of_what_somebody_acknowledged(
    happening: list[str | int], notify: Notify
) -> None:
    """While it is acknowledged the level stays, unless who took it over was reminded in vain."""
    store = run(a_store(notify), happening)
    for one, notice in store.notices():
        before = one.before.progress
        if before.acknowledged_by is not None and one.before.state is not IncidentState.TAKEN_OVER:
            assert notice.level <= max(1, before.escalations)


@settings(max_examples=200, deadline=None)
@given(events(AUTOMATION, PEOPLE, QUIET), PAGES)
def test_a_level_goes_up_only_after_its_time_without_an_answer(
    happening: list[str | int], notify: Notify
) -> None:
    """The level before was told first an update interval ago (P0's where it became one), whatever joined."""
    store = run(a_store(notify), happening)
    first: dict[int, Recorded] = {}
    for then, notice in store.notices():
        level = notice.level
        if level > 1 and level not in first:
            taken_over = then.before.state is IncidentState.TAKEN_OVER
            patience = (
                TERMS.taken_over_deadline if taken_over else TERMS.severities[Severity.P0].update_interval
            )
            below = first[level - 1]
            assert then.at - below.at >= min(patience, INTERVAL) or below.before.severity is Severity.P0
        first.setdefault(level, then)


@settings(max_examples=200, deadline=None)
@given(events(AUTOMATION), PAGES)
def test_nothing_gives_a_level_more_time(happening: list[str | int], notify: Notify) -> None:
    """Escalated, and nobody answers: the next level hears of it in time, whatever joins meanwhile."""
    store = run(a_store(notify), happening)
    for one in store.record_:
        told, since = one.change.progress.escalations, one.change.progress.level_since
        if one.change.state is IncidentState.ESCALATED and 0 < told < len(LEVELS.levels):
            assert since is not None
            assert one.change.deadline is not None
            assert one.change.deadline <= since + INTERVAL


@settings(max_examples=200, deadline=None)
@given(events([*AUTOMATION, "closes"], PEOPLE, QUIET, DEATHS), PAGES, st.sampled_from(list(Autonomy)))
def test_the_end_is_told_exactly_where_somebody_was_told_before(
    happening: list[str | int], notify: Notify, autonomy: Autonomy
) -> None:
    """A page, a question, an escalation: whoever heard of it hears that it is over; nobody else does."""
    store = run(a_store(notify, autonomy), happening)
    heard = False
    for one in store.record_:
        ends = one.change.state in {IncidentState.RESOLVED, IncidentState.CLOSED}
        over_before = one.before.state in {IncidentState.RESOLVED, IncidentState.CLOSED}
        kinds = {notice.kind for notice in one.change.notices}
        assert (NoticeKind.RESOLVED in kinds) == (ends and not over_before and heard)
        heard = heard or bool(kinds)


# --- the page ------------------------------------------------------------------------------------------


def openings(store: Told) -> list[int]:
    """The records by which it opened, and fired again after it was over: two may be of one moment."""
    again = {IncidentState.RESOLVED, IncidentState.RECORDED}
    return [
        index
        for index, one in enumerate(store.record_)
        if any(entry.kind is EntryKind.OPENED for entry in one.change.entries)
        or (one.before.state in again and one.change.state is IncidentState.OPEN)
    ]


def moot(one: Recorded) -> bool:
    """Whether people know of it otherwise from here on, or it is over."""
    over = {IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.TAKEN_OVER}
    escalates = {NoticeKind.ESCALATED, NoticeKind.AGAIN, NoticeKind.REMINDER}
    seen = one.command is not None and one.command.kind is CommandKind.ACKNOWLEDGE
    return seen or one.change.state in over or bool(escalates & {n.kind for n in one.change.notices})


def check_pages(store: Told, after: timedelta, late: timedelta = timedelta(0)) -> None:
    """One page for each opening, on time, unless people knew before or it was over; and no other page."""
    opened, end = openings(store), store.world.now
    for first, following in zip(opened, [*opened[1:], None], strict=True):
        within, at = store.record_[first:following], store.record_[first].at
        pages = [
            one.at for one in within for notice in one.change.notices if notice.kind is NoticeKind.OPENED
        ]
        ends = min((one.at for one in within if moot(one)), default=None)
        due = at + after
        assert len(pages) <= 1
        assert all(due <= page <= due + late for page in pages)
        if not pages:
            assert due + late >= end or (ends is not None and ends <= due + late)
        elif ends is not None:
            assert due <= ends


@settings(max_examples=300, deadline=None)
@given(
    events(AUTOMATION, ["acknowledges", "takes over", "hands back", "approves", "declines"]),
    st.sampled_from([0, 1, 300, 2400]),
    st.sampled_from([Autonomy.AUTO, Autonomy.APPROVE]),
)
@example([1, "takes over", 340, "hands back", 10], 300, Autonomy.AUTO)
@example(["ends", "fires", 1], 0, Autonomy.APPROVE)
@example(["ends", "fires", 1], 1, Autonomy.APPROVE)
@example([1, "declines", 340, "joins", 10], 300, Autonomy.APPROVE)
def test_a_page_is_told_once_and_on_time(
    happening: list[str | int], seconds: int, autonomy: Autonomy
) -> None:
    """To the second, in whatever state automation is by then; not where it is over or a person knows."""
    after = timedelta(seconds=seconds)
    page = PageAfter(after=after) if seconds else PageAt.AT_ONCE
    check_pages(run(a_store(Notify(page=page), autonomy), happening), after)


@settings(max_examples=150, deadline=None)
@given(events(AUTOMATION, DEATHS), st.sampled_from([1, 300]))
def test_a_process_that_dies_makes_a_page_late_by_its_attempt_at_most(
    happening: list[str | int], seconds: int
) -> None:
    """While an effect may be running its outcome comes first; the page is not lost, nor told twice."""
    after = timedelta(seconds=seconds)
    store = run(a_store(Notify(page=PageAfter(after=after))), happening)
    check_pages(store, after, late=timedelta(minutes=2))


@settings(max_examples=200, deadline=None)
@given(events(AUTOMATION, QUIET), PAGES)
@example([1, "maintenance", 340], Notify(page=PageAfter(after=timedelta(minutes=5))))
@example([1, "silenced", 340], Notify(page=PageAfter(after=timedelta(minutes=5))))
def test_nobody_is_paged_of_what_is_kept_quiet(happening: list[str | int], notify: Notify) -> None:
    """Under maintenance and silence no page is told, in whatever state the incident is."""
    store = run(a_store(notify), [])
    for event in happening:
        before = len(store.record_)
        run(store, [event])
        silenced, windows = store.world.source.suppressed > 0, store.windows
        for one in store.record_[before:]:
            if any(notice.kind is NoticeKind.OPENED for notice in one.change.notices):
                assert not silenced
                assert not any(w.since <= one.at < (w.until or w.since) for w in windows)


@settings(max_examples=100, deadline=None)
@given(events(WELL, QUIET), PAGES, st.sampled_from([Autonomy.OBSERVE, Autonomy.SHADOW]))
def test_in_shadow_nobody_is_told_anything(
    happening: list[str | int], notify: Notify, autonomy: Autonomy
) -> None:
    """Nobody is paged because nothing was done, also where the rule would page at once.

    What breaks in the responder itself is told, as ever.
    """
    assert run(a_store(notify, autonomy), happening).kinds() == []


@pytest.mark.parametrize(("quiet", "over"), [("maintenance", "maintenance over"), ("silenced", "heard")])
def test_a_page_that_was_put_off_is_told_when_nothing_keeps_it_quiet(quiet: str, over: str) -> None:
    """Verified all the time; within `suppressed_every` of the end of the silence or the window, once."""
    notify = Notify(page=PageAfter(after=timedelta(minutes=3)))
    store = run(a_store(notify), [1, quiet, 200])
    assert store.kinds() == []
    ended = store.world.now
    run(store, [over, 60])
    ((told, _),) = store.notices()
    assert timedelta(0) <= told.at - ended <= TERMS.suppressed_every
    assert store.incident.state is IncidentState.VERIFYING


def test_the_time_suppressed_does_not_count_for_a_page() -> None:
    """Five minutes that it may be heard of, silenced for ten from the beginning on: told after fifteen."""
    store = a_store(Notify(page=PageAfter(after=timedelta(minutes=5))))
    store.world.source = SILENCED
    run(store, [599, "heard", 400])
    assert [(at // 60, kind) for at, kind, _ in store.kinds()] == [(15, OPENED)]


def test_what_is_over_when_its_page_is_due_pages_nobody() -> None:
    """Looked at late, after both: whoever was asked hears that it ended, and not that it opened."""
    store = run(a_store(Notify(page=PageAfter(after=timedelta(minutes=5))), Autonomy.APPROVE), [1])
    store.world.now += timedelta(minutes=10)
    happen(store, "ends")
    run(store, [])
    assert [each[1:] for each in store.kinds()] == [(QUESTION, 0), (RESOLVED, 0)]


def test_a_page_that_cannot_be_told_is_tried_again_a_little_later() -> None:
    """A source that breaks whoever asks it must not have the incident looked at without a pause."""
    progress = Progress(opened_at=START, page_at=START, told_members=1, told_firing=1)
    given_ = incident(IncidentState.OPEN, deadline=START + timedelta(minutes=5))
    store = Told(World(), ladder(), given_.model_copy(update={"progress": progress}), members())
    case = asyncio.run(store.load(lease_of(store)))
    assert next_move(case, START, TERMS) == Page()
    change = changes.failed(case, START, TERMS, "by the test")
    assert change.due_at == change.progress.page_at == START + TERMS.hold_every


def test_what_nobody_promoted_pages_nobody_and_says_what_auto_would_have_told() -> None:
    """A rule that may act and is not trusted to yet is in shadow: so is its page."""
    store = a_store(Notify(page=PageAt.AT_ONCE))
    store.promoted = None
    run(store, [10])
    assert (store.kinds(), store.incident.state) == ([], IncidentState.RECORDED)
    assert store.incident.progress.in_auto == "a person would have been told at once (P1)"


@pytest.mark.parametrize(("severity", "told"), [(Severity.P1, True), (Severity.P2, False)])
def test_in_a_storm_the_umbrella_tells_of_p2_and_p3(severity: Severity, told: bool) -> None:
    """A P1 is paged as ever; of a P2 the page is put off until the storm is over."""
    progress = Progress(opened_at=START, page_at=START, told_members=1, told_firing=1, told_severity=severity)
    open_ = incident(IncidentState.OPEN, deadline=START + timedelta(minutes=5), severity=severity)
    store = Told(World(), ladder(), open_.model_copy(update={"progress": progress}), members())
    case = asyncio.run(store.load(lease_of(store)))
    raging = case.model_copy(update={"storm": Storm(openings=TERMS.storm.openings)})
    move = next_move(raging, START, TERMS)
    if told:
        assert move == Page()
        return
    assert isinstance(move, Apply)
    assert (move.change.progress.page_at, move.change.notices) == (START + TERMS.storm.look_every, ())
    assert next_move(case, START, TERMS) == Page()


# --- examples: a night ----------------------------------------------------------------------------------

FAILED = 12 * 60
"""After so many seconds neither step has helped."""
OPENED, ESCALATED, AGAIN = NoticeKind.OPENED, NoticeKind.ESCALATED, NoticeKind.AGAIN
RESOLVED, REMINDER, QUESTION = NoticeKind.RESOLVED, NoticeKind.REMINDER, NoticeKind.QUESTION


def test_a_page_at_once_tells_the_end_too_where_automation_solved_it() -> None:
    """People hear that it began and that it is over; nobody had to act."""
    store = run(a_store(Notify(page=PageAt.AT_ONCE)), [20, "ends", 100])
    assert [told[1:] for told in store.kinds()] == [(OPENED, 1), (RESOLVED, 0)]
    assert store.kinds()[0][0] == 0
    assert len(store.world.effects) == 2


def test_unanswered_it_goes_up_level_by_level_and_then_tells_the_last_again() -> None:
    """Each update interval one level, as long as nobody acknowledges."""
    store = run(a_store(), [FAILED, 4 * 1800])
    assert [told[1:] for told in store.kinds()] == [
        (ESCALATED, 1),
        (AGAIN, 2),
        (AGAIN, 3),
        (AGAIN, 3),
        (AGAIN, 3),
    ]
    first = store.kinds()[0][0]
    assert [told[0] - first for told in store.kinds()] == [0, 1800, 3600, 5400, 7200]


def test_each_level_has_its_own_time_whatever_joins_meanwhile() -> None:
    """A further alert a minute after level 2 was told is told at level 2; its half hour goes on."""
    store = run(a_store(), [FAILED, 1800, 60, "joins", 1800])
    told = [(ESCALATED, 1), (AGAIN, 2), (ESCALATED, 2), (AGAIN, 3)]
    assert [each[1:] for each in store.kinds()] == told


def test_who_acknowledged_long_ago_has_that_time_again_for_what_joins() -> None:
    """Acknowledged for an hour; what joins is told to the same level, and half an hour later to the next."""
    store = run(a_store(), [FAILED, "acknowledges", 3700, "joins", 1700, 200])
    (*_, joined, last) = store.kinds()
    assert [each[1:] for each in store.kinds()] == [
        (ESCALATED, 1),
        (AGAIN, 1),
        (AGAIN, 1),
        (ESCALATED, 1),
        (AGAIN, 2),
    ]
    assert last[0] - joined[0] == 1800


def test_an_acknowledged_page_stays_at_its_level_when_the_ladder_fails() -> None:
    """Whoever acknowledged the page hears that automation failed, and is reminded; nobody else is woken."""
    store = run(a_store(Notify(page=PageAt.AT_ONCE)), [20, "acknowledges", FAILED, 2 * 1800])
    assert [told[1:] for told in store.kinds()] == [
        (OPENED, 1),
        (ESCALATED, 1),
        (AGAIN, 1),
        (AGAIN, 1),
    ]


def test_what_becomes_worse_while_it_is_escalated_is_told_at_once_at_its_level() -> None:
    """By a worse alert or by a person: told anew, unacknowledged, and then at the pace of what it is now."""
    for event in ("worse", "worse by a person"):
        store = run(a_store(), [FAILED, "acknowledges", 60, event, 15 * 60])
        assert [told[1:] for told in store.kinds()] == [(ESCALATED, 1), (ESCALATED, 1), (AGAIN, 2)]
        (_, first), (_, second), _ = store.notices()
        assert (first.text[:2], second.text[:2]) == ("P1", "P0")


def test_a_worse_alert_is_paged_and_asked_again() -> None:
    """Whoever answers for a P0 heard of a P1 at most: the page and the question are told anew, as a P0's."""
    store = run(a_store(Notify(page=PageAt.AT_ONCE)), [20, "worse", 1])
    assert [(notice.kind, notice.text[:2]) for _, notice in store.notices()] == [
        (OPENED, "P1"),
        (OPENED, "P0"),
    ]
    store = run(a_store(autonomy=Autonomy.APPROVE), [20, "worse", 1])
    assert [each[1:] for each in store.kinds()] == [(QUESTION, 0), (QUESTION, 0)]


def test_what_was_paged_does_not_end_in_a_record_that_nobody_hears_of() -> None:
    """Told, held, and then capped at shadow: people who know of it hear that nothing will be done."""
    store = a_store(Notify(page=PageAt.AT_ONCE))
    store.world.halted = "by the test"
    run(store, [60])
    store.promoted, store.world.halted = None, None
    run(store, [60])
    assert [each[1:] for each in store.kinds()] == [(OPENED, 1), (ESCALATED, 1)]
    reason = store.incident.progress.escalation_reason
    assert reason is not None
    assert reason.startswith("people were told of it, and the next step may not act")


def test_a_worse_alert_is_told_to_whoever_took_over() -> None:
    """The P1 in their hands has become a P0: they are reminded at once, before anybody else."""
    store = run(a_store(), [20, "takes over", 60, "worse", 1])
    assert [told[1:] for told in store.kinds()] == [(REMINDER, 1)]


def test_whoever_took_over_is_reminded_once_before_the_next_level_hears() -> None:
    """After an hour the same level, then one up; one who answers the reminder has another hour."""
    store = run(a_store(), [FAILED, "takes over", 2 * 3600])
    assert [told[1:] for told in store.kinds()] == [(ESCALATED, 1), (REMINDER, 1), (REMINDER, 2)]
    store = run(a_store(), [FAILED, "takes over", 3700, "acknowledges", 3600])
    assert [told[1:] for told in store.kinds()] == [(ESCALATED, 1), (REMINDER, 1), (REMINDER, 1)]


def test_a_level_is_not_passed_over_because_it_became_worse_twice_in_their_hands() -> None:
    """Reminded of each at once, at the same level; who is silent for an hour after that is passed over."""
    store = a_store()
    store.incident = store.incident.model_copy(update={"severity": Severity.P2})
    run(store, [20, "takes over", 60])
    for severity in (Severity.P1, Severity.P0):
        store.incident = store.incident.model_copy(update={"severity": severity, "due_at": store.world.now})
        run(store, [60])
    run(store, [3600])
    assert [told[1:] for told in store.kinds()] == [(REMINDER, 1), (REMINDER, 1), (REMINDER, 2)]


def test_whoever_took_over_answered_for_their_level_when_they_hand_it_back() -> None:
    """Fifty minutes in their hands are no half hour without an answer: that begins when it is handed back."""
    store = run(a_store(), [FAILED, "takes over", 3000, "hands back", 1790, 20])
    assert [told[1:] for told in store.kinds()] == [(ESCALATED, 1), (ESCALATED, 1), (AGAIN, 2)]


def test_a_severity_that_a_person_raises_is_told_to_those_who_answer_for_it() -> None:
    """A question that waits is asked again as a P0's; who took it over is reminded of a P0 at once."""
    store = run(a_store(autonomy=Autonomy.APPROVE), [20, "worse by a person", 1])
    assert [each[1:] for each in store.kinds()] == [(QUESTION, 0), (QUESTION, 0)]
    (_, second) = (notice.text for _, notice in store.notices())
    assert "is P0 now" in second
    store = run(a_store(), [20, "takes over", 60, "worse by a person", 1])
    assert [each[1:] for each in store.kinds()] == [(REMINDER, 1)]
    assert [one.change.severity or one.before.severity for one, _ in store.notices()] == [Severity.P0]


def test_a_question_that_nobody_answers_escalates_and_the_end_is_told() -> None:
    """Asked at level 1's channels, escalated at the response time, over for whoever was asked."""
    store = run(a_store(autonomy=Autonomy.APPROVE), [1, 3600, "ends", 1])
    assert [told[1:] for told in store.kinds()] == [(QUESTION, 0), (ESCALATED, 1), (RESOLVED, 0)]
    store = run(a_store(autonomy=Autonomy.APPROVE), [1, "ends", 1])
    assert [told[1:] for told in store.kinds()] == [(QUESTION, 0), (RESOLVED, 0)]


def test_an_alert_that_joins_while_a_step_is_left_is_told_and_the_step_is_taken() -> None:
    """Declined, acknowledged; a further alert withdraws that, people hear of it, automation goes on."""
    store = run(a_store(autonomy=Autonomy.APPROVE), [1, "declines", 60, "acknowledges", 60, "joins", 1])
    told = [(QUESTION, 0), (ESCALATED, 1), (AGAIN, 1), (QUESTION, 0)]
    assert [each[1:] for each in store.kinds()] == told
    assert store.incident.progress.acknowledged_by is None


def test_a_page_waits_in_the_timeline_and_wakes_a_state_that_sleeps_longer() -> None:
    """Asked for an hour, paged after five minutes: the due time is the page's, then the question's again."""
    page = Notify(page=PageAfter(after=timedelta(minutes=5)))
    store = run(a_store(page, Autonomy.APPROVE), [1])
    assert store.incident.due_at == START + timedelta(minutes=5)
    run(store, [300])
    assert store.incident.due_at == store.incident.deadline
    told = [entry for one in store.record_ for entry in one.change.entries if entry.kind is EntryKind.TOLD]
    assert [entry.text for entry in told] == ["People are told (level 1): opened 5m ago, a person is asked"]
    case = asyncio.run(store.load(lease_of(store)))
    assert isinstance(next_move(case, store.world.now, TERMS), Wait)
