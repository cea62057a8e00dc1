"""What steps in shadow would have done is kept with the change that tells it, and read for the report."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest_asyncio

from responder.decide.case import ShadowRun
from responder.model.guard import Guard, Ruling
from responder.model.incident import Command, CommandKind, IncidentState
from responder.model.rule import Recurrence
from responder.model.timeline import EntryDraft, EntryKind
from tests.support.stored import RULE, Stored, alert, change, intent, question, stored

RUN = ShadowRun(
    step=0,
    action="postgres.terminate_queries",
    target="postgres/orders",
    ruling=Ruling.GO,
    guard=Guard.AUTONOMY,
    reason="shadow, no effect\x00",
    elements=("pid 7",),
    element_count=3,
)
QUIET = EntryDraft(kind=EntryKind.ALERT, text="no alert fires any more (1 in all)", facts={"firing": 0})


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def test_a_run_is_read_back_with_when_it_became_quiet(db: Stored) -> None:
    """By time and by rule; an earlier silence of the same incident is none after it."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, entries=(QUIET,)))
    case = await db.store.load(lease)
    await db.store.record(lease, case, change(case, IncidentState.RECORDED, shadow_runs=(RUN,)))
    since = await db.store.now() - timedelta(minutes=1)
    [told] = await db.store.shadow_runs(since, None, 10)
    assert (told.incident_id, told.rule, told.key) == (case.incident.id, case.rule.name, case.incident.key)
    assert (told.target, told.ruling, told.guard) == (RUN.target, Ruling.GO, "autonomy")
    assert (told.elements, told.element_count, told.reason) == (("pid 7",), 3, "shadow, no effect\\x00")
    assert (told.quiet_at, told.person, told.other_incident) == (None, None, None)
    case = await db.store.load(lease)
    await db.store.record(lease, case, change(case, IncidentState.RECORDED, entries=(QUIET,)))
    [told] = await db.store.shadow_runs(since, case.rule.name, 10)
    assert told.quiet_at is not None
    assert told.quiet_at >= told.at
    assert await db.store.shadow_runs(since, "another", 10) == []
    assert await db.store.shadow_runs(await db.store.now(), None, 10) == []


async def test_what_was_not_looked_at_says_so(db: Stored) -> None:
    """By the judgement that stands in the timeline with it; not by that of another step, or another time."""
    since = await db.store.now() - timedelta(minutes=1)
    lease, case = await db.held()
    found = []
    for facts in ({"step": 0}, {"step": 1, "observed": True}, {"step": 0, "observed": True}, {"step": 0}):
        case = await db.store.load(lease)
        judged = EntryDraft(kind=EntryKind.JUDGED, text="judged", facts=facts)
        recorded = change(case, IncidentState.RECORDED, shadow_runs=(RUN,), entries=(judged,))
        await db.store.record(lease, case, recorded)
        [newest, *_] = await db.store.shadow_runs(since, None, 10)
        found.append(newest.observed)
    assert found == [False, False, True, False]


async def test_who_acted_instead_is_told(db: Stored) -> None:
    """A person who did something, not one who has only seen it; or another incident's attempt on it."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, IncidentState.RECORDED, shadow_runs=(RUN,)))
    since = await db.store.now() - timedelta(minutes=1)
    for kind, person in ((CommandKind.ACKNOWLEDGE, None), (CommandKind.TAKE_OVER, "ada")):
        given = Command(
            id=uuid4(),
            incident_id=case.incident.id,
            kind=kind,
            actor="ada",
            given_at=await db.store.now(),
        )
        await db.store.give_command(given)
        [told] = await db.store.shadow_runs(since, None, 10)
        assert told.person == person
    await db.observe(alert("b", server="db2"))
    other, another = await db.leased()
    await db.store.commit_intent(other, intent(another, target="postgres/orders"), change(another))
    [told] = await db.store.shadow_runs(since, None, 10)
    assert told.other_incident == another.incident.id


async def test_what_shadow_would_have_started_counts_in_shadow_alone(db: Stored) -> None:
    """Cooldown, attempts and recurrence show in shadow as they would in auto; no real step is held by it."""
    lease, case = await db.held()
    held = RUN.model_copy(update={"ruling": Ruling.WAIT, "guard": Guard.COOLDOWN})
    for run in (RUN, held):
        case = await db.store.load(lease)
        assert await db.store.record(lease, case, change(case, IncidentState.RECORDED, shadow_runs=(run,)))
    await db.observe(alert("b", server="db2"))
    _, other = await db.leased()
    limits = RULE.limits.model_copy(update={"recurrence": Recurrence(count=9, within=timedelta(hours=1))})
    asked = question(other, shadow=True, limits=limits, now=await db.store.now())
    seen = await db.store.ledger_view(asked, other.incident)
    assert [(past.spent, past.same_ladder) for past in seen.history] == [(True, False)]
    assert seen.recurred == 1
    assert seen.newest is None, "no attempt was made"
    for elsewhere in ({"shadow": False}, {"rule": "Other"}, {"target": "postgres/billing"}):
        real = await db.store.ledger_view(asked.model_copy(update=elsewhere), other.incident)
        assert (real.history, real.recurred) == ((), 0), elsewhere


async def test_an_incident_that_was_acted_on_after_its_promotion_is_told_as_ours(db: Stored) -> None:
    """Its own attempt, made after the judgement in shadow and before the alert ended."""
    lease, case = await db.held()
    await db.store.record(lease, case, change(case, IncidentState.OPEN, shadow_runs=(RUN,)))
    since = await db.store.now() - timedelta(minutes=1)
    [told] = await db.store.shadow_runs(since, None, 10)
    assert not told.own_attempt
    case = await db.store.load(lease)
    assert await db.store.commit_intent(lease, intent(case, target="postgres/orders"), change(case))
    [told] = await db.store.shadow_runs(since, None, 10)
    assert told.own_attempt
    assert told.other_incident is None
    case = await db.store.load(lease)
    await db.store.record(lease, case, change(case, shadow_runs=(RUN,)))
    later, _ = await db.store.shadow_runs(since, None, 10)
    assert not later.own_attempt, "what came before the judgement has not ended what was judged"
