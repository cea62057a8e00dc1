"""Intents, claims, quarantine and halt: what stops an attempt before it starts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from responder.decide.case import AttemptEnd, AttemptVerdict, Case, IntentLost, LedgerQuestion, Quarantine
from responder.model.attempt import Attempt, ElementOutcome, Outcome, PastAttempt, Verdict
from responder.model.autonomy import Autonomy
from responder.model.incident import Command, CommandKind, Incident, IncidentState
from responder.model.severity import Severity
from responder.ports import Lease
from tests.support.stored import MINUTE, RULE, Stored, alert, change, ended, intent, question, stored

TARGET = "postgres/orders"
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def started(db: Stored, lease: Lease, case: Case, **more: Any) -> Attempt:
    """A committed intent, of a step that was judged by all that the ledger has."""
    wanted = intent(case, **more)
    known = (await db.store.ledger_view(question(case, wanted.target), case.incident)).newest
    wanted = wanted.model_copy(update={"newest_known": known})
    attempt = await db.store.commit_intent(lease, wanted, change(case))
    assert isinstance(attempt, Attempt)
    return attempt


async def second(db: Stored) -> tuple[Lease, Case]:
    """Another incident that fires, with its owner."""
    await db.observe(alert(server="db2"))
    return await db.leased()


async def test_an_intent_is_attempt_claim_and_change_in_one(db: Stored) -> None:
    """The attempt comes back as it was intended, with its start window; target claimed, state moved."""
    lease, case = await db.held()
    wanted = intent(case)
    attempt = await db.store.commit_intent(lease, wanted, change(case, IncidentState.REMEDIATING))
    assert isinstance(attempt, Attempt)
    assert (attempt.id, attempt.outcome, attempt.elements) == (
        wanted.attempt_id,
        Outcome.STARTED,
        wanted.elements,
    )
    assert attempt.start_before - attempt.intended_at == timedelta(seconds=5)
    claim = await db.claim(TARGET)
    assert claim is not None
    assert (claim.attempt_id, claim.incident_id, claim.quarantined) == (attempt.id, case.incident.id, False)
    after = await db.store.load(lease)
    assert (after.incident.state, after.attempt) == (IncidentState.REMEDIATING, attempt)
    assert await db.one("SELECT count(*) FROM timeline") == 1


async def test_a_claimed_target_is_nobody_elses(db: Stored) -> None:
    """A second intent on the same target writes nothing, whoever it is from; another target is free."""
    lease, case = await db.held()
    await started(db, lease, case)
    other_lease, other = await second(db)
    for asked_by, on in ((other_lease, other), (lease, case)):
        assert await db.store.commit_intent(asked_by, intent(on), change(on)) is IntentLost.CLAIMED
    assert await db.one("SELECT count(*) FROM attempts") == 1
    assert await db.one("SELECT count(*) FROM timeline") == 1
    await started(db, other_lease, other, target="postgres/billing")


async def test_of_two_intents_at_once_one_is_committed(db: Stored) -> None:
    """The claim decides between two incidents on one target."""
    lease, case = await db.held()
    other_lease, other = await second(db)
    answers = await asyncio.gather(
        db.store.commit_intent(lease, intent(case), change(case)),
        db.store.commit_intent(other_lease, intent(other), change(other)),
    )
    assert sorted(isinstance(answer, Attempt) for answer in answers) == [False, True]
    assert IntentLost.CLAIMED in answers


async def test_halt_stops_an_intent(db: Stored) -> None:
    """The flag, and a flag that is missing: nothing is written. Resumed, it goes."""
    lease, case = await db.held()
    await db.store.halt("ada", "too many restarts")
    assert (await db.store.restraints()).halts_all == "by ada: too many restarts"
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.HALTED
    await db.raw.execute("DELETE FROM halt")
    assert "missing" in str((await db.store.restraints()).halts_all)
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.HALTED
    assert await db.one("SELECT count(*) FROM attempts") == 0
    await db.store.resume("ada", "understood")
    assert (await db.store.restraints()).halts_all is None
    await started(db, lease, case)
    history = await db.sql("SELECT halted, actor, reason FROM halt_history ORDER BY id")
    assert history == [(True, "ada", "too many restarts"), (False, "ada", "understood")]


async def test_an_intent_needs_a_firing_member(db: Stored) -> None:
    """What ended between judging and intent stops the step, seen under the lock."""
    lease, case = await db.held()
    await db.observe(ended())
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.NOT_FIRING
    assert await db.one("SELECT count(*) FROM attempts") == 0


@pytest.mark.parametrize("disruptive", [False, True])
async def test_an_intent_that_others_overtook_is_lost(db: Stored, *, disruptive: bool) -> None:
    """Judged by another newest attempt than there is, at the cost of a budget or none: nothing is written."""
    lease, case = await db.held()
    late = intent(case, disruptive=disruptive, newest_known=uuid4())
    assert await db.store.commit_intent(lease, late, change(case)) is IntentLost.OVERTAKEN
    for table in ("attempts", "claims", "starts", "timeline"):
        assert await db.one(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("disruptive", [False, True])
async def test_what_another_rule_did_is_in_no_intents_way(db: Stored, *, disruptive: bool) -> None:
    """Neither its attempt on the same target, which is over, nor its breaker, which is open."""
    lease, case = await db.held()
    other = await started(db, *await second(db), rule="Other")
    await db.sql("DELETE FROM claims")
    await db.sql("INSERT INTO breakers (rule, opened_at, attempts) VALUES ('Other', service_time(), '{}')")
    assert (await db.store.ledger_view(question(case, TARGET), case.incident)).newest is None
    ours = await started(db, lease, case, disruptive=disruptive)
    assert ours.target == other.target


async def approval(db: Stored, case: Case) -> dict[str, Any]:
    """A person's yes, given just now; what an intent says of it."""
    now = await db.store.now()
    given = Command(
        id=uuid4(), incident_id=case.incident.id, kind=CommandKind.APPROVE, actor="ada", given_at=now
    )
    assert await db.store.give_command(given)
    await db.raw.execute("UPDATE commands SET applied_at = $1", now)
    return {"approval": given.id, "approved_until": now + MINUTE}


async def test_an_approval_is_bound_to_its_own_attempt(db: Stored) -> None:
    """What somebody else does meanwhile without one has none."""
    other = await started(db, *await second(db), target="postgres/billing")
    lease, case = await db.held()
    yes = await approval(db, case)
    mine = await started(db, lease, case, **yes)
    bound = dict(await db.sql("SELECT id, approval FROM attempts"))
    assert bound == {other.id: None, mine.id: yes["approval"]}


async def test_one_approval_never_gives_two_intents(db: Stored) -> None:
    """Not from two replicas at once, one of which was deposed; expired it gives none at all."""
    lease, case = await db.held()
    yes = await approval(db, case)
    late = intent(case, **{**yes, "approved_until": await db.store.now()})
    assert await db.store.commit_intent(lease, late, change(case)) is IntentLost.APPROVAL
    await db.silence(lease.worker_id)
    new_lease, new = await db.leased()
    answers = await asyncio.gather(
        db.store.commit_intent(lease, intent(case, **yes), change(case)),
        db.store.commit_intent(new_lease, intent(new, **yes), change(new)),
        db.store.commit_intent(new_lease, intent(new, target="postgres/billing", **yes), change(new)),
    )
    assert answers[0] is IntentLost.DEPOSED
    assert sorted(isinstance(answer, Attempt) for answer in answers) == [False, False, True]
    assert IntentLost.APPROVAL in answers
    assert await db.sql("SELECT approval FROM attempts") == [(yes["approval"],)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.raw.execute(
            """INSERT INTO attempts OVERRIDING USER VALUE
               SELECT (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid()))).*
               FROM attempts a"""
        )


async def test_a_worse_alert_is_not_lowered_unseen(db: Stored) -> None:
    """A person made it P3 just before a P0 joined: nothing is written, and the case is decided anew."""
    lease, case = await db.held()
    await db.observe(alert("worse"), severity=Severity.P0)
    assert not await db.store.record(lease, case, change(case, severity=Severity.P3))
    again = await db.store.load(lease)
    assert await db.store.record(lease, again, change(again, severity=Severity.P3))
    assert (await db.store.load(lease)).incident.severity is Severity.P3


async def finish(db: Stored, lease: Lease, case: Case, attempt: UUID, verdict: Verdict | None) -> None:
    given = AttemptVerdict(attempt_id=attempt, verdict=verdict)
    assert await db.store.record(lease, case, change(case, verdict=given))


async def test_an_undo_needs_no_firing_member_and_takes_the_claim_over(db: Stored) -> None:
    """The target is never free between an attempt and its undo; the undo's verdict frees it."""
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    await db.observe(ended())
    undo = await started(db, lease, case, undo_of=attempt.id)
    claim = await db.claim(TARGET)
    assert claim is not None
    assert claim.attempt_id == undo.id
    await finish(db, lease, case, attempt.id, Verdict.NOT_RECOVERED)
    assert await db.claim(TARGET) is not None
    await finish(db, lease, case, undo.id, None)
    assert await db.claim(TARGET) is None


async def test_an_undo_does_not_take_what_somebody_else_claims(db: Stored) -> None:
    """Where the claim of what is undone is gone and another attempt holds the target, the undo waits."""
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    await finish(db, lease, case, attempt.id, Verdict.NOT_RECOVERED)
    other_lease, other = await second(db)
    await started(db, other_lease, other)
    undo = intent(case, undo_of=attempt.id)
    assert await db.store.commit_intent(lease, undo, change(case)) is IntentLost.CLAIMED


async def test_the_outcome_is_kept_and_the_verdict_frees_the_target(db: Stored) -> None:
    """A claim lasts from intent to verdict, not to the outcome."""
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    results = (ElementOutcome(element="7/100", outcome=Outcome.DONE, detail="ended \x00"),)
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.DONE, results=results, state_after={"active": 0})
    await db.store.record(lease, case, change(case, end=end))
    assert await db.claim(TARGET) is not None
    kept = (await db.store.load(lease)).attempt
    assert kept is not None
    assert (kept.outcome, kept.state_after, kept.results[0].detail) == (
        Outcome.DONE,
        {"active": 0},
        "ended \\x00",
    )
    assert kept.ended_at is not None
    assert kept.verdict_at is None
    await finish(db, lease, case, attempt.id, Verdict.RECOVERED)
    assert await db.claim(TARGET) is None
    kept = (await db.store.load(lease)).attempt
    assert kept is not None
    assert kept.verdict is Verdict.RECOVERED
    assert kept.verdict_at is not None


async def test_an_outcome_without_a_look_afterwards_has_no_state(db: Stored) -> None:
    """None is kept as none, not as a state that is empty."""
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.UNKNOWN, results=())
    await db.store.record(lease, case, change(case, end=end))
    assert await db.sql("SELECT outcome, state_after IS NULL FROM attempts") == [("unknown", True)]


async def test_a_verdict_before_an_undo_keeps_the_target(db: Stored) -> None:
    """What is about to be taken back is nobody else's meanwhile."""
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    verdict = AttemptVerdict(attempt_id=attempt.id, verdict=Verdict.NOT_RECOVERED, claim_stays=True)
    await db.store.record(lease, case, change(case, verdict=verdict))
    claim = await db.claim(TARGET)
    assert claim is not None
    assert claim.attempt_id == attempt.id


@pytest.mark.parametrize("state", [IncidentState.VERIFYING, IncidentState.REMEDIATING])
async def test_a_step_sees_who_holds_its_target_and_until_when_that_verifies(
    db: Stored, state: IncidentState
) -> None:
    """The deadline is the holder's own, and only while it verifies; nobody holds another target."""
    other_lease, other = await second(db)
    held = await started(db, other_lease, other)
    ends = other.incident.opened_at + HOUR
    other = await db.store.load(other_lease)
    assert await db.store.record(other_lease, other, change(other, state, deadline=ends))
    _, case = await db.held()
    await db.sql("UPDATE incidents SET state = 'verifying' WHERE id = $1", case.incident.id)
    claim = (await db.store.ledger_view(question(case, TARGET), case.incident)).claim
    assert claim is not None
    assert (claim.attempt_id, claim.incident_id) == (held.id, other.incident.id)
    assert claim.proven_by == (ends if state is IncidentState.VERIFYING else None)
    assert (await db.store.ledger_view(question(case, "postgres/billing"), case.incident)).claim is None


async def test_a_step_without_a_target_is_counted_on_no_budget(db: Stored) -> None:
    """Nobody knows whose it would be."""
    _, case = await db.held()
    assert (await db.store.ledger_view(question(case, None), case.incident)).budgets == ()
    assert len((await db.store.ledger_view(question(case, TARGET), case.incident)).budgets) == 3


async def quarantined(db: Stored) -> tuple[Lease, Case, Attempt]:
    lease, case = await db.held()
    attempt = await started(db, lease, case)
    quarantine = Quarantine(attempt_id=attempt.id, reason="nobody can say")
    await db.store.record(lease, case, change(case, quarantine=quarantine))
    return lease, case, attempt


async def test_a_quarantine_gives_way_to_a_person_alone(db: Stored) -> None:
    """Neither a verdict nor an undo nor another intent gets past it."""
    lease, case, attempt = await quarantined(db)
    await finish(db, lease, case, attempt.id, Verdict.RECOVERED)
    undo = intent(case, undo_of=attempt.id)
    assert await db.store.commit_intent(lease, undo, change(case)) is IntentLost.CLAIMED
    assert await db.store.commit_intent(lease, intent(case), change(case)) is IntentLost.CLAIMED
    (claim,) = await db.store.claims()
    assert (claim.attempt_id, claim.quarantined, claim.reason) == (attempt.id, True, "nobody can say")
    assert await db.store.release(TARGET, "ada", "I looked: it is gone")
    assert await db.store.claims() == []
    await started(db, lease, case)


async def test_a_quarantine_is_of_one_target_and_keeps_its_first_reason(db: Stored) -> None:
    """What another attempt holds is free again after its verdict; what is said later explains nothing."""
    other_lease, other = await second(db)
    await started(db, other_lease, other, target="postgres/billing")
    lease, case, attempt = await quarantined(db)
    again = Quarantine(attempt_id=attempt.id, reason="asked once more")
    await db.store.record(lease, case, change(case, quarantine=again))
    held = {claim.target: (claim.quarantined, claim.reason) for claim in await db.store.claims()}
    assert held == {TARGET: (True, "nobody can say"), "postgres/billing": (False, "")}
    assert await db.store.release(TARGET, "ada", "I looked: it is gone")
    assert [claim.target for claim in await db.store.claims()] == ["postgres/billing"]


async def test_only_a_quarantine_can_be_released(db: Stored) -> None:
    """A claim whose attempt runs is not, and neither is a target that nobody holds."""
    lease, case = await db.held()
    assert not await db.store.release(TARGET, "ada", "why not")
    await started(db, lease, case)
    assert not await db.store.release(TARGET, "ada", "why not")
    assert await db.claim(TARGET) is not None


async def test_a_release_is_told_in_the_timeline_by_the_owner(db: Stored) -> None:
    """It reaches the incident as a finding, which wakes it; who and why stand in a table of their own."""
    lease, _, attempt = await quarantined(db)
    before = (await db.store.load(lease)).incident.wakes
    await db.store.release(TARGET, "ada", "it is gone")
    case = await db.store.load(lease)
    assert [found.summary for found in case.findings] == [f"ada released {TARGET}: it is gone"]
    assert case.incident.wakes == before + 1
    rows = await db.sql("SELECT target, attempt_id, held_for, actor, reason FROM releases")
    assert rows == [(TARGET, attempt.id, "nobody can say", "ada", "it is gone")]


async def test_what_was_left_quarantined_is_told_with_who_released_it(db: Stored) -> None:
    """Of the incident whose attempt it was, in the order of the attempts; what is held alone is not of it."""
    other_lease, other = await second(db)
    lease, case, first = await quarantined(db)
    assert await db.store.release(TARGET, "ada", "it is gone")
    later = await started(db, lease, case)
    again = Quarantine(attempt_id=later.id, reason="once more")
    await db.store.record(lease, case, change(case, quarantine=again))
    await started(db, lease, case, target="postgres/held")
    await started(db, other_lease, other, target="postgres/billing")
    dossier = await db.store.incident(case.incident.id)
    assert dossier is not None
    released, stands = dossier.quarantined
    assert (released.attempt_id, released.target, released.reason) == (first.id, TARGET, "nobody can say")
    assert released.released_by == "ada"
    assert released.released_at is not None
    assert (stands.attempt_id, stands.reason) == (later.id, "once more")
    assert (stands.released_at, stands.released_by) == (None, None)
    beside = await db.store.incident(other.incident.id)
    assert beside is not None
    assert beside.quarantined == ()


async def past_attempts(
    db: Stored, rule: str, target: str, since: datetime, incident: Incident
) -> tuple[PastAttempt, ...]:
    asked = LedgerQuestion(
        rule=rule,
        target=target,
        namespace=target,
        disruptive=True,
        now=since + HOUR,
        limits=RULE.limits,
        shadow=False,
    )
    return (await db.store.ledger_view(asked, incident)).history


async def test_past_attempts_are_of_rule_and_target_since_then(db: Stored) -> None:
    """Every incident counts, undos do not; only what is proven not to have happened is not spent.

    The last one before that time is told, too: it may have ended after it, as the cooldown counts.
    """
    lease, case = await db.held()
    other_lease, other = await second(db)
    attempts = []
    for outcome in (Outcome.DONE, Outcome.NOT_DONE, Outcome.UNKNOWN):
        attempts.append(attempt := await started(db, lease, case))
        end = AttemptEnd(attempt_id=attempt.id, outcome=outcome, results=())
        await db.store.record(lease, case, change(case, end=end))
        await finish(db, lease, case, attempt.id, Verdict.NOT_RECOVERED)
    undo = await started(db, lease, case, undo_of=attempts[0].id)
    await finish(db, lease, case, undo.id, None)
    await started(db, other_lease, other)
    await started(db, lease, case, target="postgres/billing")
    now = await db.store.now()
    past = await past_attempts(db, case.incident.rule, TARGET, now - HOUR, case.incident)
    assert [one.spent for one in past] == [True, False, True, True]
    assert [one.verdict for one in past] == [Verdict.NOT_RECOVERED] * 3 + [None]
    assert await past_attempts(db, "Other", TARGET, now - HOUR, case.incident) == ()
    assert await past_attempts(db, case.incident.rule, TARGET, now, case.incident) == past[-1:]


async def test_the_same_ladder_is_this_incident_since_it_last_opened(db: Stored) -> None:
    """Not before it opened, not after a reopening counts anew, not another incident's."""
    lease, case = await db.held()
    other_lease, other = await second(db)
    await started(db, other_lease, other, target="postgres/x")
    attempt = await started(db, lease, case)
    rule = case.incident.rule

    async def same(seconds: int | None, target: str = TARGET) -> list[bool]:
        opened_at = None if seconds is None else attempt.intended_at + timedelta(seconds=seconds)
        progress = case.incident.progress.model_copy(update={"opened_at": opened_at})
        incident = case.incident.model_copy(update={"progress": progress})
        past = await past_attempts(db, rule, target, attempt.intended_at - HOUR, incident)
        return [one.same_ladder for one in past]

    assert await same(0) == [True]
    assert await same(1) == [False]
    assert await same(None) == [False]
    assert await same(-60, "postgres/x") == [False]


async def test_the_newest_promotion_of_an_acting_part_counts(db: Stored) -> None:
    """For that rule and that hash alone."""
    assert await db.store.promotion("R", "h1") is None
    await db.store.promote("R", "h1", Autonomy.AUTO, "ada", "ten good runs")
    await db.store.promote("R", "h1", Autonomy.APPROVE, "ada", "one bad run")
    assert await db.store.promotion("R", "h1") is Autonomy.APPROVE
    assert await db.store.promotion("R", "h2") is None
    assert await db.store.promotion("Other", "h1") is None


async def test_a_case_knows_how_far_each_version_of_its_rule_was_promoted(db: Stored) -> None:
    """The newest word on each; nothing of another rule's."""
    lease, case = await db.held()
    assert case.promotions == {}
    for rule, acting, level in (
        (RULE.name, RULE.acting_hash, Autonomy.AUTO),
        (RULE.name, RULE.acting_hash, Autonomy.APPROVE),
        (RULE.name, "another version", Autonomy.AUTO),
        ("Other", RULE.acting_hash, Autonomy.AUTO),
    ):
        await db.store.promote(rule, acting, level, "ada", "good runs")
    said = {RULE.acting_hash: Autonomy.APPROVE, "another version": Autonomy.AUTO}
    assert (await db.store.load(lease)).promotions == said


async def test_the_store_knows_its_own_ground(db: Stored) -> None:
    """The system identifier of the server that carries it."""
    identifier = await db.one("SELECT system_identifier FROM pg_control_system()")
    assert await db.store.ground() == (f"postgres-system/{identifier}",)


async def test_an_attempt_is_found_by_its_id(db: Stored) -> None:
    """That one, whichever others there are; none where nobody made it."""
    lease, case = await db.held()
    wanted = [intent(case, target) for target in ("t/1", "t/2")]
    for one in wanted:
        assert isinstance(await db.store.commit_intent(lease, one, change(case)), Attempt)
    for one in wanted:
        found = await db.store.attempt(one.attempt_id)
        assert found is not None
        assert (found.id, found.target) == (one.attempt_id, one.target)
    assert await db.store.attempt(uuid4()) is None
