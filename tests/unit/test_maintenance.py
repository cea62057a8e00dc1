"""Under maintenance an incident is recorded only; what still fires at its end is judged and told then."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from responder.decide.case import SourceView
from responder.model.autonomy import Autonomy
from responder.model.incident import Hold, IncidentState, MemberAlert, Members, Progress
from responder.model.restraint import Restraint, RestraintKind
from responder.rulebook.matchers import parse_matchers
from tests.support import virtual
from tests.support.virtual import START, VirtualStore, World, incident, ladder, member

HOUR = timedelta(hours=1)
API, OTHER = member(service="api"), member(service="other")


def window(end: timedelta = HOUR, number: int = 1) -> Restraint:
    return Restraint(
        id=number,
        kind=RestraintKind.MAINTENANCE,
        match=parse_matchers('service="api"'),
        actor="ci",
        reason="deploy",
        since=START,
        until=START + end,
    )


def a_store(*sample: MemberAlert, state: IncidentState = IncidentState.PENDING, **more: Any) -> VirtualStore:
    """An incident of these alerts, under maintenance for an hour."""
    members = Members(
        firing=len(sample),
        total=len(sample),
        sample=sample,
        first_starts_at=START,
        newest_seen_at=START,
    )
    return VirtualStore(
        World(), ladder(), incident(state, **more), members, windows=(window(),), promoted=None
    )


def drive(store: VirtualStore, now: timedelta | None = None) -> None:
    """Let it go as far as it goes, at a moment after the start."""
    if now is not None:
        store.world.now = START + now
        store.members = store.members.model_copy(update={"newest_seen_at": store.world.now})
    asyncio.run(virtual.drive(store))


def wake(store: VirtualStore) -> None:
    """Something is new."""
    store.incident = store.incident.model_copy(update={"due_at": store.world.now})


def texts(store: VirtualStore) -> list[str]:
    return [entry.text for change in store.changes for entry in change.entries]


def notices(store: VirtualStore) -> list[str]:
    return [notice.text for change in store.changes for notice in change.notices]


def test_what_opens_under_maintenance_is_suppressed_before_anything_and_opens_at_its_end() -> None:
    """Its state moves first, so nobody is told and nothing is looked at; at the end it opens as any other."""
    store = a_store(API)
    store.promoted = Autonomy.AUTO
    drive(store)
    assert store.incident.state is IncidentState.SUPPRESSED
    assert texts(store)[0] == (
        "Suppressed: under maintenance by ci until 2026-01-01 01:00 UTC (maintenance 1): deploy"
    )
    assert (notices(store), store.world.effects) == ([], [])
    assert store.incident.due_at == START + HOUR
    assert not any("opened" in text for text in texts(store))
    drive(store, HOUR)
    assert any(text.startswith("P1 Hit opened for") for text in texts(store))
    assert len(store.world.effects) == 2
    assert store.incident.progress.opened_at == START + HOUR


def test_a_window_that_is_ended_before_its_time_is_over_at_once() -> None:
    """Whoever ends it wakes the incident."""
    store = a_store(API)
    drive(store)
    store.windows = ()
    wake(store)
    drive(store, timedelta(minutes=5))
    assert store.incident.progress.opened_at == START + timedelta(minutes=5)


def test_what_ends_under_maintenance_tells_nobody_and_opens_when_it_fires_again_later() -> None:
    """It was never opened, so it is resolved without a word; within its time it is the same incident."""
    store = a_store(API)
    drive(store)
    firing = store.members
    store.members = firing.model_copy(update={"firing": 0, "sample": ()})
    wake(store)
    drive(store, timedelta(minutes=50))
    assert (store.incident.state, notices(store)) == (IncidentState.RESOLVED, [])
    store.members = firing
    wake(store)
    drive(store, timedelta(minutes=55))
    assert store.incident.state is IncidentState.SUPPRESSED
    store.members = firing.model_copy(update={"firing": 0, "sample": ()})
    wake(store)
    drive(store, timedelta(minutes=56))
    store.members = firing
    wake(store)
    drive(store, timedelta(minutes=61))
    assert store.incident.progress.opened_at == START + timedelta(minutes=61)


def test_an_alert_that_is_in_no_window_ends_the_quiet() -> None:
    """A member that joins and is not under maintenance: people would want to know."""
    store = a_store(API)
    drive(store)
    more = {"firing": 2, "total": 2, "sample": (API, OTHER)}
    store.members = store.members.model_copy(update=more)
    wake(store)
    drive(store, timedelta(minutes=5))
    assert store.incident.progress.opened_at == START + timedelta(minutes=5)


HELD = Hold(
    guard="claim",
    reason="held by incident 7",
    until=START,
    since=START - HOUR,
    deadline=START,
    holder="incident 7",
)


@pytest.mark.parametrize(
    ("state", "progress"),
    [
        (IncidentState.OPEN, {}),
        (IncidentState.HELD, {"hold": HELD}),
        (IncidentState.AWAITING_APPROVAL, {}),
        (IncidentState.ESCALATED, {"escalations": 1, "covered_members": 1}),
        (IncidentState.ESCALATED, {"escalations": 1, "covered_members": 0}),
        (IncidentState.RESOLVED, {"outcome": "the alert ended"}),
    ],
    ids=["open", "held, late", "approval, late", "escalated, late", "escalated, news", "fires again"],
)
def test_what_is_under_way_is_told_to_nobody_either_and_goes_on_at_the_end(
    state: IncidentState, progress: dict[str, Any]
) -> None:
    """Where somebody would be told now, it is suppressed instead; at the end it is judged anew."""
    known = {"opened_at": START - HOUR, "told_severity": "P1", "told_members": 1, "told_firing": 1}
    store = a_store(API, state=state, progress=Progress.model_validate({**known, **progress}))
    drive(store)
    assert (store.incident.state, notices(store)) == (IncidentState.SUPPRESSED, [])
    assert store.incident.due_at == START + HOUR
    drive(store, HOUR)
    assert store.incident.state is not IncidentState.SUPPRESSED
    assert store.incident.progress.maintenance is None
    assert store.incident.progress.outcome != "the alert ended"


def test_an_incident_that_is_partly_under_maintenance_acts_on_nothing_and_is_told() -> None:
    """The guard holds its step to the window's end; at the response time a person hears by what."""
    store = a_store(API, OTHER)
    store.promoted = Autonomy.AUTO
    drive(store)
    held, hold = store.incident.state, store.incident.progress.hold
    assert held is IncidentState.HELD
    assert hold is not None
    assert (hold.guard, hold.holder) == ("maintenance", "maintenance 1")
    store.windows = (window(9 * HOUR),)
    store.world.now = hold.deadline
    wake(store)
    drive(store)
    assert store.incident.state is IncidentState.ESCALATED
    assert "held for" in notices(store)[0]
    assert "under maintenance by ci" in notices(store)[0]
    assert store.world.effects == []


def test_a_silence_after_maintenance_is_asked_for_as_ever() -> None:
    """What maintenance kept quiet before leaves no mark by which a silence would end at once."""
    store = a_store(API)
    store.promoted = Autonomy.AUTO
    drive(store)
    store.world.source = SourceView(configured=True, suppressed=1, suppressed_by="silence 9")
    drive(store, HOUR)
    assert store.incident.state is IncidentState.SUPPRESSED
    assert store.incident.progress.maintenance is None
    drive(store, HOUR + timedelta(minutes=1))
    assert store.incident.state is IncidentState.SUPPRESSED
