"""The storm brake: what acts and pages in a storm, what its umbrella incident tells, and how it ends."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.decide.case import Apply, Case, Change, Terms, Wait
from responder.decide.next_move import next_move
from responder.model.incident import Command, CommandKind, IncidentState, Progress
from responder.model.policy import EscalationPolicy, PolicyLevel
from responder.model.severity import MANUAL_TERMS, Severity
from responder.model.storm import ACTING, UMBRELLA, Storm
from tests.support.virtual import START, VirtualStore, World, incident, ladder, lease_of, members

TERMS = Terms()
SEE = UUID(int=7)
RAGES = Storm(openings=TERMS.storm.openings, umbrella=SEE)
LATER = START + timedelta(days=2)


def case(state: IncidentState, severity: Severity, storm: Storm, **told: Any) -> Case:
    """An incident with one firing alert, all of whose deadlines are over."""
    progress = {"told_severity": severity, "told_members": 1, "told_firing": 1, "covered_members": 1, **told}
    found = incident(state, severity=severity, progress=Progress(**progress))
    store = VirtualStore(World(now=LATER), ladder(), found, members())
    return asyncio.run(store.load(lease_of(store))).model_copy(update={"storm": storm})


def change_of(one: Case) -> Change | None:
    """What follows without a look at the world, or None."""
    move = next_move(one, LATER, TERMS)
    return move.change if isinstance(move, Apply) else None


def pages(change: Change | None) -> bool:
    """Whether people are told."""
    return change is not None and any(notice.level > 0 for notice in change.notices)


STATES = st.sampled_from([state for state in IncidentState if state is not IncidentState.CLOSED])


@settings(max_examples=300)
@given(STATES, st.sampled_from(list(Severity)), st.integers(0, 2), st.booleans())
def test_in_a_storm_only_p0_and_p1_page_for_the_first_time(
    state: IncidentState, severity: Severity, step: int, opened: bool
) -> None:
    """P2 and P3 go into the umbrella incident whatever they would be told for; P0 and P1 are told as ever."""
    told = {"step": step, "opened_at": START if opened else None}
    braked = change_of(case(state, severity, RAGES, **told))
    ever = change_of(case(state, severity, Storm(), **told))
    if severity in ACTING or state is IncidentState.TAKEN_OVER:
        assert braked == ever
        return
    assert not pages(braked)
    if pages(ever):
        assert braked is not None
        assert (braked.state, braked.progress.part_of) == (IncidentState.RECORDED, SEE)
        assert str(SEE) in braked.entries[-1].text
        assert braked.due_at is not None


def test_a_person_who_took_over_is_reminded_in_a_storm_too() -> None:
    """Somebody works on it: that is no page of one among too many."""
    assert pages(change_of(case(IncidentState.TAKEN_OVER, Severity.P2, RAGES)))


def test_what_people_were_told_of_before_goes_on_telling() -> None:
    """Only an incident that nobody has heard of is told by the umbrella incident."""
    assert pages(change_of(case(IncidentState.ESCALATED, Severity.P2, RAGES, escalations=1)))


def test_a_new_storm_is_told_at_the_level_of_the_last_one() -> None:
    """Nobody acknowledged the last one, which is over: the next level has no part in that yet."""
    levels = EscalationPolicy(levels=(PolicyLevel(channels=("chat",)), PolicyLevel(channels=("boss",))))
    severities = {each: told.model_copy(update={"policy": "usual"}) for each, told in MANUAL_TERMS.items()}
    terms = Terms(severities=severities, policies={"usual": levels})
    last = umbrella(IncidentState.RESOLVED, RAGES, escalations=1, level_since=LATER - timedelta(days=1))
    move = next_move(last, LATER, terms)
    assert isinstance(move, Apply)
    assert [notice.level for notice in move.change.notices] == [1]
    assert move.change.progress.level_since == LATER


def test_the_first_to_be_held_back_has_the_umbrella_incident_opened() -> None:
    """Nothing is written before there is an incident that it can be part of."""
    change = change_of(case(IncidentState.OPEN, Severity.P2, RAGES.model_copy(update={"umbrella": None})))
    assert change is not None
    assert (change.opens_storm, change.state, change.entries) == (True, IncidentState.OPEN, ())


def test_what_is_part_of_a_storm_waits_for_its_end_and_is_judged_anew() -> None:
    """While people hear of it by the umbrella incident it rests; then it starts over; a P1 does at once."""
    part = {"part_of": SEE}
    rests = change_of(case(IncidentState.RECORDED, Severity.P2, Storm(umbrella=SEE), **part))
    assert rests is not None
    assert (rests.state, rests.due_at) == (IncidentState.RECORDED, LATER + TERMS.storm.within)
    over = change_of(case(IncidentState.RECORDED, Severity.P2, Storm(), **part))
    worse = change_of(case(IncidentState.RECORDED, Severity.P1, RAGES, **part))
    for begun in (over, worse):
        assert begun is not None
        assert (begun.state, begun.progress.part_of) == (IncidentState.OPEN, None)


def umbrella(state: IncidentState, storm: Storm, **progress: Any) -> Case:
    """The umbrella incident, long after its deadline."""
    found = incident(state, rule=UMBRELLA.name, key={}, progress=Progress(**progress))
    store = VirtualStore(World(now=LATER), UMBRELLA, found, members(firing=0, total=0))
    return asyncio.run(store.load(lease_of(store))).model_copy(update={"storm": storm})


BIG = RAGES.model_copy(update={"covered": {"Disk": 40, "Down": 2}, "still_firing": 41})


def test_the_umbrella_incident_pages_once_and_says_what_is_part_of_it() -> None:
    """From pending to escalated: one page, the numbers by rule, looked at again soon."""
    change = change_of(umbrella(IncidentState.PENDING, BIG))
    assert change is not None
    assert change.state is IncidentState.ESCALATED
    [page] = change.notices
    assert page.text == (
        "P1 storm: 50 incidents or more opened within 5m; only P0 and P1 act; "
        "42 incidents are part of it (Disk 40, Down 2), 41 still fire"
    )
    assert change.due_at == LATER + TERMS.storm.look_every


def test_it_is_told_rarely_that_it_grew_and_nobody_is_paged_for_it() -> None:
    """A timeline entry when it has doubled; nothing before."""
    told = {"told_members": 22, "escalations": 1}
    ahead = umbrella(IncidentState.ESCALATED, BIG, **told)
    later = ahead.incident.model_copy(update={"deadline": LATER + timedelta(minutes=20)})
    ahead = ahead.model_copy(update={"incident": later})
    assert next_move(ahead, LATER, TERMS) == Wait(until=LATER + TERMS.storm.look_every)
    fewer = later.model_copy(update={"progress": Progress(**{**told, "told_members": 21})})
    change = change_of(ahead.model_copy(update={"incident": fewer}))
    assert change is not None
    assert (len(change.entries), change.notices, change.progress.told_members) == (1, (), 42)


def test_it_is_over_when_few_open_and_few_still_fire() -> None:
    """As long as as many still fire as make a storm, people would hear of each: the storm goes on."""
    few, many = Storm(covered={"Disk": 60}, still_firing=49), Storm(covered={"Disk": 60}, still_firing=50)
    assert pages(change_of(umbrella(IncidentState.ESCALATED, many)))
    for state in (IncidentState.ESCALATED, IncidentState.TAKEN_OVER):
        over = change_of(umbrella(state, few, escalations=1))
        assert over is not None
        assert over.state is IncidentState.RESOLVED
        assert [notice.level for notice in over.notices] == [0]
    again = change_of(umbrella(IncidentState.RESOLVED, RAGES, escalations=1, acknowledged_by="ann"))
    assert again is not None
    assert (again.state, again.progress.acknowledged_by) == (IncidentState.ESCALATED, None)


@given(STATES, st.integers(0, 200), st.integers(0, 200))
def test_no_state_of_the_umbrella_incident_is_for_ever(state: IncidentState, opened: int, fire: int) -> None:
    """Each has a move, and each move that waits says until when."""
    storm = Storm(openings=min(opened, 50), umbrella=SEE, covered={"Disk": fire}, still_firing=fire)
    change = change_of(umbrella(state, storm, escalations=1, taken_over_by="ann"))
    if change is None:
        move = next_move(umbrella(state, storm, escalations=1), LATER, TERMS)
        assert isinstance(move, Wait)
        assert move.until is not None
    elif change.state is not IncidentState.CLOSED:
        assert change.deadline is not None
        assert change.due_at is not None
        assert change.due_at <= change.deadline


def test_a_person_closes_it() -> None:
    """A person's word comes first, as for every incident."""
    word = Command(id=SEE, incident_id=SEE, kind=CommandKind.CLOSE, actor="ann", given_at=START)
    said = umbrella(IncidentState.ESCALATED, BIG).model_copy(update={"command": word})
    change = change_of(said)
    assert change is not None
    assert change.state is IncidentState.CLOSED
