"""The state table of an incident: each state leaves when it must, and each deadline makes its move."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from responder.decide import changes
from responder.decide.case import (
    Apply,
    Case,
    Change,
    Check,
    Move,
    Recheck,
    Settle,
    SourceView,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.next_move import next_move
from responder.model.attempt import Claim
from responder.model.autonomy import Autonomy
from responder.model.incident import OVERFLOW, Command, CommandKind, Hold, IncidentState, Progress
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.virtual import START, VirtualStore, World, incident, ladder, lease_of, members, perform_on

TERMS = Terms()
LATER = START + timedelta(minutes=5)
TOLD = {"told_members": 1, "told_firing": 1, "covered_members": 1}


def hold(**changed: Any) -> Hold:
    """A hold by a claim, until in five seconds, for a minute at most."""
    given: dict[str, Any] = {
        "guard": "claim",
        "reason": "held by incident 7",
        "until": START + timedelta(seconds=5),
        "since": START,
        "deadline": START + timedelta(minutes=1),
    }
    return Hold(**{**given, **changed})


def move(
    state: IncidentState, now: datetime, *, firing: int = 1, deadline: datetime = LATER, **progress: Any
) -> Move:
    """The move of an incident in that state."""
    told = {**TOLD, "told_firing": firing, **progress}
    given = incident(state, deadline=deadline, progress=Progress(**told))
    store = VirtualStore(World(now=now), ladder(), given, members(firing=firing))
    case = asyncio.run(store.load(lease_of(store)))
    return next_move(case, now, TERMS)


def applied(found: Move) -> Change:
    """The change of a move that is one."""
    assert isinstance(found, Apply)
    return found.change


LIVE_WITHOUT_ALERT = [
    IncidentState.OPEN,
    IncidentState.HELD,
    IncidentState.SUPPRESSED,
    IncidentState.AWAITING_APPROVAL,
    IncidentState.TAKEN_OVER,
    IncidentState.ESCALATED,
]


@pytest.mark.parametrize("state", LIVE_WITHOUT_ALERT)
def test_when_the_alert_ends_it_is_resolved(state: IncidentState) -> None:
    """Not firing any more is recovery, wherever the incident stands, and is checked again when recorded."""
    change = applied(move(state, START, firing=0))
    assert (change.state, change.quiet) == (IncidentState.RESOLVED, True)


DEADLINES = [
    (IncidentState.PENDING, IncidentState.OPEN),
    (IncidentState.OPEN, IncidentState.ESCALATED),
    (IncidentState.AWAITING_APPROVAL, IncidentState.ESCALATED),
    (IncidentState.SUPPRESSED, IncidentState.OPEN),
    (IncidentState.TAKEN_OVER, IncidentState.TAKEN_OVER),
    (IncidentState.ESCALATED, IncidentState.ESCALATED),
]


@pytest.mark.parametrize(("state", "then"), DEADLINES)
def test_a_deadline_makes_its_move(state: IncidentState, then: IncidentState) -> None:
    """Each state's deadline leads where the table says, and what follows has a deadline of its own."""
    change = applied(move(state, LATER))
    assert change.state is then
    assert change.deadline is not None
    assert change.deadline > LATER


def test_held_takes_the_step_again_and_escalates_at_its_deadline_naming_what_held_it() -> None:
    """A hold is tried again when it says; at its deadline a person hears what held it."""
    assert isinstance(move(IncidentState.HELD, START, hold=hold()), Wait)
    assert move(IncidentState.HELD, START + timedelta(seconds=5), hold=hold()) == TakeStep(index=0)
    change = applied(move(IncidentState.HELD, START + timedelta(minutes=1), hold=hold()))
    assert change.state is IncidentState.ESCALATED
    assert "held by incident 7" in change.notices[0].text


def test_resolved_fires_again_on_the_same_ladder() -> None:
    """A re-fire goes on with the next unused step, not from the start."""
    change = applied(move(IncidentState.RESOLVED, START, step=1, opened_at=START))
    assert (change.state, change.progress.step) == (IncidentState.OPEN, 1)


def test_resolved_is_closed_after_its_time() -> None:
    """It stays resolved for `reopen_within`, then it is closed, unless something fires."""
    change = applied(move(IncidentState.RESOLVED, LATER, firing=0))
    assert (change.state, change.quiet) == (IncidentState.CLOSED, True)


def test_a_ladder_without_a_step_left_escalates() -> None:
    """No step left and it still fires: a person."""
    assert applied(move(IncidentState.OPEN, START, step=2)).state is IncidentState.ESCALATED


def test_shadow_never_pages_because_nothing_was_done() -> None:
    """At the end of a ladder in shadow the incident is recorded."""
    change = applied(move(IncidentState.OPEN, START, step=2, shadow=True))
    assert (change.state, change.notices) == (IncidentState.RECORDED, ())


def test_a_member_after_the_ladder_tells_people_again() -> None:
    """A new alert on an escalated incident withdraws the acknowledgement and tells again, at its level."""
    change = applied(
        move(IncidentState.ESCALATED, START, step=2, covered_members=0, acknowledged_by="ann", escalations=1)
    )
    assert (change.notices[0].level, change.progress.acknowledged_by) == (1, None)


def test_an_attempt_without_outcome_is_settled_never_repeated() -> None:
    """`remediating` found by a new owner asks whether it happened; without a ledger row it escalates."""
    store = VirtualStore(World(), ladder(), incident(), members())

    async def until_intent() -> Move:
        perform, lease = perform_on(store), lease_of(store)
        store.world.die_after_effect = True
        while not store.attempts:
            case = await store.load(lease)
            try:
                change = await perform(lease, case, next_move(case, START, TERMS), START)
            except BaseException:  # noqa: BLE001 - the death that was asked for
                break
            assert change is not None
            await store.record(lease, case, change)
        return next_move(await store.load(lease), START, TERMS)

    assert isinstance(asyncio.run(until_intent()), Settle)
    lost = applied(move(IncidentState.REMEDIATING, START))
    assert lost.state is IncidentState.ESCALATED


def test_verifying_and_suppressed_ask_the_world() -> None:
    """Their moves are questions, never effects."""
    assert isinstance(move(IncidentState.VERIFYING, START), Check)
    assert isinstance(move(IncidentState.SUPPRESSED, START), Recheck)


def drive(store: VirtualStore, autonomy: Autonomy | None = None) -> VirtualStore:
    """Make moves until it rests."""
    store.promoted = autonomy

    async def all_of_it() -> None:
        perform, lease = perform_on(store), lease_of(store)
        for _ in range(20):
            case = await store.load(lease)
            if case.incident.due_at is None or case.incident.due_at > store.world.now:
                return
            change = await perform(lease, case, next_move(case, store.world.now, TERMS), store.world.now)
            if change is not None:
                await store.record(lease, case, change)

    asyncio.run(all_of_it())
    return store


def test_a_shadow_that_had_nothing_left_to_do_says_that_auto_would_have_told_a_person() -> None:
    """Nobody is paged, so the incident and its timeline say it in the same words."""
    change = applied(move(IncidentState.OPEN, START, step=2, shadow=True))
    assert change.progress.in_auto == "a person would have been told at once (P1)"
    assert (change.progress.outcome or "").endswith("; in auto a person would have been told at once (P1)")
    assert change.entries[-1].text.endswith("; in auto a person would have been told at once (P1)")
    assert change.entries[-1].facts["in_auto"] == change.progress.in_auto
    assert change.notices == ()


@pytest.mark.parametrize(
    ("source", "state", "people"),
    [
        (SourceView(configured=True, suppressed=1, suppressed_by="silence 9"), IncidentState.SUPPRESSED, 0),
        (SourceView(configured=True, suppressed=1, firing=1), IncidentState.ESCALATED, 1),
        (SourceView(configured=True, problem="timeout"), IncidentState.ESCALATED, 1),
        (SourceView(configured=False), IncidentState.ESCALATED, 1),
    ],
)
def test_a_person_is_not_told_of_what_is_silenced(
    source: SourceView, state: IncidentState, people: int
) -> None:
    """A rule that only asks for a person asks the source first; where that says nothing, a person is told."""
    rule = ladder(steps=0).model_copy(update={"escalate": True})
    store = drive(VirtualStore(World(source=source), rule, incident(), members()))
    assert store.incident.state is state
    assert sum(len(change.notices) for change in store.changes) == people


SIX = {str(number) for number in range(6)}


@pytest.mark.parametrize(
    ("world", "in_auto"),
    [
        (World(), None),
        (World(probe=None, present=SIX), "a person would have been told at once (P1)"),
        (World(halted="by the test"), "a person would have been told within 1h (P1) if nothing changed"),
    ],
)
def test_in_shadow_each_verdict_says_what_people_would_have_heard(world: World, in_auto: str | None) -> None:
    """Refused: at once. Held: within the response time. A step that may go wakes nobody by itself."""
    store = drive(VirtualStore(world, ladder(), incident(), members()))
    assert (store.incident.state, store.incident.progress.in_auto) == (IncidentState.RECORDED, in_auto)
    assert ("in auto" in (store.incident.progress.outcome or "")) == (in_auto is not None)


def test_what_people_would_have_heard_is_forgotten_when_it_fires_again() -> None:
    """A new ladder says its own."""
    change = applied(move(IncidentState.RECORDED, START, covered_members=0, in_auto="told at once"))
    assert (change.state, change.progress.in_auto) == (IncidentState.OPEN, None)


NEWER = "c" * 64


def _case(store: VirtualStore) -> Case:
    return asyncio.run(store.load(lease_of(store)))


@pytest.mark.parametrize(
    ("state", "mended", "taken", "told"),
    [
        (IncidentState.RECORDED, {"escalate": True}, NEWER, True),
        (IncidentState.RECORDED, {"notes": "more"}, NEWER, False),
        (IncidentState.RECORDED, {"escalate": True, "group_by": ("server",)}, None, False),
        (IncidentState.RECORDED, None, None, False),
        (IncidentState.RESOLVED, {"escalate": True}, None, False),
    ],
)
def test_what_was_recorded_fires_again_under_the_rule_as_it_is_now(
    state: IncidentState, mended: dict[str, Any] | None, taken: str | None, told: bool
) -> None:
    """A mended rule counts for it and is told; one that groups otherwise or is gone leaves it pinned.

    A resolved one is live: it goes on with the steps that it began with.
    """
    begun = Progress(**{**TOLD, "covered_members": 0}, opened_at=START)
    given = incident(state, deadline=LATER, progress=begun)
    case = _case(VirtualStore(World(), ladder(), given, members()))
    current = None if mended is None else case.rule.model_copy(update=mended)
    case = case.model_copy(update={"current": current, "current_hash": NEWER})
    change = applied(next_move(case, START, TERMS))
    assert (change.state, change.rulebook_hash) == (IncidentState.OPEN, taken)
    words = ["judged by Hit as it is now: a newer rulebook is active"] if told else []
    assert [entry.text for entry in change.entries if entry.kind is EntryKind.RULE] == words


def test_a_rule_that_nobody_promoted_runs_in_shadow_and_says_what_it_would_have_done() -> None:
    """Everything but the effect: no attempt, recorded, with the words for the review."""
    store = drive(VirtualStore(World(), ladder(), incident(), members()))
    assert (store.world.effects, store.attempts) == ([], {})
    assert store.incident.state is IncidentState.RECORDED
    assert "would have started on 2 elements" in (store.incident.progress.outcome or "")


def test_shadow_names_the_elements_in_words_and_facts_and_counts_those_beyond_twenty() -> None:
    """The timeline says what would have been hit, so that a person can judge the step before promoting it."""
    few = drive(VirtualStore(World(), ladder(), incident(), members()))
    [judged] = [e for c in few.changes for e in c.entries if e.kind is EntryKind.JUDGED]
    assert (judged.facts["elements"], judged.facts["element_count"]) == (["a", "b"], 2)
    told = [e.text for c in few.changes for e in c.entries if e.kind is EntryKind.STATE]
    assert told[-1].endswith("step 1 (test.hit on test/target) would have started on 2 elements: a; b")
    world, rule = World({f"{n:02}" for n in range(25)}), ladder(steps=1)
    wide = rule.model_copy(update={"steps": (rule.steps[0].model_copy(update={"params": {"at_most": 50}}),)})
    many = drive(VirtualStore(world, wide, incident(), members()))
    [judged] = [e for c in many.changes for e in c.entries if e.kind is EntryKind.JUDGED]
    assert (len(judged.facts["elements"]), judged.facts["element_count"]) == (20, 25)
    assert many.incident.progress.outcome is not None
    assert many.incident.progress.outcome.endswith(
        "on 25 elements: " + "; ".join(f"{n:02}" for n in range(20)) + "; and 5 more"
    )


def test_the_opening_says_when_an_alert_was_heard_of_that_no_rule_took_then() -> None:
    """The timeline must not pass the moment of a reload off as the alert's arrival."""

    def opening(heard_at: datetime) -> EntryDraft:
        known = members().model_copy(update={"first_heard_at": heard_at})
        store = VirtualStore(World(), ladder(), incident(), known)
        case = asyncio.run(store.load(lease_of(store)))
        return applied(next_move(case, START, TERMS)).entries[0]

    assert "heard" not in opening(START).text
    told = opening(START - timedelta(hours=2))
    assert told.facts["heard_at"] == "2025-12-31T22:00:00+00:00"
    assert "no rule took it when it was heard of at 2025-12-31 22:00:00 UTC, a new rulebook did" in told.text


def test_a_silenced_alert_is_suppressed_and_judged_anew_afterwards() -> None:
    """Silenced: nothing is done, and the silence is named. No longer silenced: the step is taken."""
    world = World(source=SourceView(configured=True, suppressed=1, suppressed_by="silence 9"))
    store = drive(VirtualStore(world, ladder(), incident(), members()), Autonomy.AUTO)
    assert (store.incident.state, world.effects) == (IncidentState.SUPPRESSED, [])
    assert any("silence 9" in entry.text for change in store.changes for entry in change.entries)
    world.source = SourceView(configured=True, firing=1)
    world.now += timedelta(seconds=30)
    drive(store, Autonomy.AUTO)
    assert len(world.effects) == 2


def test_more_elements_than_allowed_refuse_and_are_not_truncated() -> None:
    """Beyond at_most nothing is hit; the ladder ends at a person who is told the numbers."""
    world = World(present={str(number) for number in range(6)})
    store = drive(VirtualStore(world, ladder(), incident(), members()), Autonomy.AUTO)
    assert (world.effects, store.incident.state) == ([], IncidentState.ESCALATED)
    judged = [e for c in store.changes for e in c.entries if e.kind is EntryKind.JUDGED]
    assert "6 elements were found, more than the 5 that at_most allows" in judged[0].text


def test_a_silent_source_holds_and_no_data_after_the_effect_escalates_without_a_next_step() -> None:
    """Configured and hung: held before the effect; after it, no undo and no next step, but a person."""
    world = World(source=SourceView(configured=True, problem="timeout"))
    store = drive(VirtualStore(world, ladder(), incident(), members()), Autonomy.AUTO)
    assert (store.incident.state, world.effects) == (IncidentState.HELD, [])
    world.source = SourceView(configured=True, firing=1)
    world.now += timedelta(seconds=5)
    drive(store, Autonomy.AUTO)
    assert len(world.effects) == 2
    world.source = SourceView(configured=True, problem="timeout")
    world.now += timedelta(minutes=6)
    drive(store, Autonomy.AUTO)
    assert (store.incident.state, len(store.attempts)) == (IncidentState.ESCALATED, 1)


def test_recovery_must_last() -> None:
    """The alert ends and comes back within `stable_for`: not recovered, the count starts anew."""
    store = drive(VirtualStore(World(), ladder(), incident(), members()), Autonomy.AUTO)
    for firing in (0, 1, 0):
        store.members = store.members.model_copy(update={"firing": firing})
        store.world.now += timedelta(seconds=20)
        drive(store, Autonomy.AUTO)
        assert store.incident.state is IncidentState.VERIFYING
    store.world.now += timedelta(seconds=30)
    drive(store, Autonomy.AUTO)
    assert store.incident.state is IncidentState.RESOLVED


def test_a_person_takes_over_and_automation_is_off() -> None:
    """Taken over: no step is taken until it is handed back."""
    store = VirtualStore(World(), ladder(), incident(IncidentState.OPEN, deadline=LATER), members())
    store.command = Command(
        id=uuid4(), incident_id=store.incident.id, kind=CommandKind.TAKE_OVER, actor="ann", given_at=START
    )
    drive(store, Autonomy.AUTO)
    assert (store.incident.state, store.world.effects) == (IncidentState.TAKEN_OVER, [])
    store.command = Command(
        id=uuid4(), incident_id=store.incident.id, kind=CommandKind.HAND_BACK, actor="ann", given_at=START
    )
    store.incident = store.incident.model_copy(update={"due_at": START})
    drive(store, Autonomy.AUTO)
    assert len(store.world.effects) == 2


@pytest.mark.parametrize(("step", "acts"), [(0, True), (1, True), (2, False)])
def test_what_people_were_told_of_is_handed_back(step: int, *, acts: bool) -> None:
    """Automation goes on where it stood, and nobody has acknowledged it; with no step left nothing moves."""
    told = {"told_members": 1, "told_firing": 1, "covered_members": 1, "told_severity": Severity.P1}
    seen = {"escalations": 2, "acknowledged_by": "ann", "acknowledged_at": START, "level_since": START}
    progress = Progress(**told, **seen, step=step)
    given = incident(IncidentState.ESCALATED, deadline=LATER, progress=progress)
    store = VirtualStore(World(), ladder(), given, members())
    store.world.now = now = START + timedelta(seconds=1)
    store.command = Command(
        id=uuid4(), incident_id=given.id, kind=CommandKind.HAND_BACK, actor="ann", given_at=START
    )
    change = applied(next_move(_case(store), now, TERMS))
    after, texts = change.progress, [entry.text for entry in change.entries]
    assert change.notices == (), "nobody is told again"
    assert (after.escalations, after.step) == (2, step)
    if acts:
        assert change.state is IncidentState.OPEN
        assert (after.acknowledged_by, after.acknowledged_at) == (None, None)
        assert after.level_since == now
        assert texts == ["ann handed it back to automation", "Open: ann handed it back"]
    else:
        assert (change.state, change.deadline, after) == (IncidentState.ESCALATED, LATER, progress)
        assert texts == ["ann handed it back to automation; no step is left, it stays with people"]
    drive(store, Autonomy.AUTO)
    assert bool(store.world.effects) is acts


def test_of_many_alerts_it_is_news_that_they_doubled_and_that_a_worse_one_joined() -> None:
    """A storm of one group must not page with every delivery: from twenty alerts on each doubling is told."""
    told = {"told_members": 39, "told_firing": 1, "step": 2, "escalations": 1}
    few = {**told, "covered_members": 20, "told_severity": Severity.P1}
    given = incident(IncidentState.ESCALATED, deadline=LATER, progress=Progress(**few))
    store = VirtualStore(World(), ladder(), given, members(total=39))
    assert next_move(_case(store), START, TERMS) == Wait(until=LATER)
    store.members = members(total=40)
    store.incident = given.model_copy(update={"progress": Progress(**{**few, "told_members": 40})})
    assert applied(next_move(_case(store), START, TERMS)).notices[0].level == 1
    store.members = members(total=39)
    store.incident = given.model_copy(update={"severity": Severity.P0})
    change = applied(next_move(_case(store), START, TERMS))
    worse = store.incident.model_copy(update={"progress": change.progress})
    store.incident = worse
    assert applied(next_move(_case(store), START, TERMS)).notices[0].text.startswith("P0 ")


def test_an_overflow_incident_acts_on_nothing_and_says_why() -> None:
    """It stands for many groups: no target is its own, though the step's parameters name one."""
    crowd = incident(key=OVERFLOW)
    store = drive(VirtualStore(World(), ladder(), crowd, members(firing=7, total=9)), Autonomy.AUTO)
    assert (store.world.effects, store.incident.state) == ([], IncidentState.ESCALATED)
    assert "opened for its further alerts: too many of its incidents" in store.changes[0].entries[0].text
    assert store.changes[-1].notices[0].text == (
        "P1 Hit: too many incidents of Hit are open, and all its further alerts are in this one "
        "(9, 7 firing): it has no target of its own"
    )


def test_a_move_that_fails_and_a_silence_are_looked_at_again_by_the_deadline() -> None:
    """No wait outlives the state's deadline, though the pace of looking again would."""
    soon = START + timedelta(seconds=2)
    for state in (IncidentState.OPEN, IncidentState.SUPPRESSED):
        store = VirtualStore(World(), ladder(), incident(state, deadline=soon), members())
        case = asyncio.run(store.load(lease_of(store)))
        silent = changes.rechecked(case, SourceView(configured=True, suppressed=1), START, TERMS)
        assert (changes.failed(case, START, TERMS, "it broke").due_at, silent.due_at) == (soon, soon)


def test_what_held_it_before_a_silence_is_told_again_when_it_holds_it_afterwards() -> None:
    """The timeline says that it is open again; that the same claim holds it still has to follow."""
    store = VirtualStore(World(), ladder(), incident(IncidentState.OPEN, deadline=LATER), members())
    store.claim_ = Claim(
        target="test/target", attempt_id=uuid4(), incident_id=uuid4(), rule="Other", since=START
    )
    held = hold(holder=f"incident {store.claim_.incident_id} (rule Other)")
    store.incident = store.incident.model_copy(update={"progress": Progress(**TOLD, hold=held)})
    case = asyncio.run(store.load(lease_of(store)))
    change = asyncio.run(perform_on(store)(lease_of(store), case, TakeStep(index=0), START))
    assert change is not None
    assert (change.state, change.progress.hold.since if change.progress.hold else None) == (
        IncidentState.HELD,
        held.since,
    )
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.STATE]
