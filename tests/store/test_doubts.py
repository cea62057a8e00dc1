"""What the store knows of our own acts nearby, and of the watchdog alert."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from responder.decide.case import AttemptEnd, LedgerQuestion
from responder.engine.watchdog import Watchdog, WatchdogSettings
from responder.model.attempt import Attempt, Outcome, OwnAct
from responder.model.incident import Incident
from responder.model.target import Target
from tests.support.stored import MINUTE, RULE, T0, Stored, alert, change, intent, stored

DEPLOYMENT = "kubernetes/prod/web/deployment/api"
SPACE = "kubernetes/prod/web"
ITSELF = Target(key=DEPLOYMENT, name="api", namespace=SPACE)
BESIDE = Target(key="kubernetes/prod/web/deployment/db", name="db", namespace=SPACE)


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def act(db: Stored, target: str = DEPLOYMENT) -> Attempt:
    """An attempt on a target, for an incident of its own."""
    await db.observe(alert("ours", server="ours"))
    lease, case = await db.leased()
    attempt = await db.store.commit_intent(lease, intent(case, target), change(case))
    assert isinstance(attempt, Attempt)
    return attempt


async def later(db: Stored, rule: str = "Other") -> Incident:
    """An incident that opens now."""
    [found] = await db.observe(alert("later", server="later"))
    await db.sql("UPDATE incidents SET due_at = NULL WHERE id = $1", found)
    dossier = await db.store.incident(found)
    assert dossier is not None
    return dossier.incident.model_copy(update={"rule": rule})


async def own_act(db: Stored, of: Incident, target: Target, since: datetime) -> OwnAct | None:
    """What the ledger knows of acts of ours that may have caused an incident."""
    asked = LedgerQuestion(
        rule=of.rule,
        target=target.key,
        namespace=target.namespace,
        disruptive=False,
        now=await db.store.now(),
        limits=RULE.limits,
        acts_since=since,
        shadow=False,
    )
    return (await db.store.ledger_view(asked, of)).own_act


async def test_an_act_of_ours_before_an_incident_may_have_caused_it(db: Stored) -> None:
    """On the target itself and beside it; not on another one, not long ago, and not after the incident."""
    before = await later(db)
    attempt = await act(db)
    await db.observe(alert("more", server="more"))
    after = before.model_copy(update={"opened_at": await db.store.now()})
    ago = attempt.intended_at - MINUTE
    found = await own_act(db, after, ITSELF, ago)
    assert found is not None
    assert (found.target, found.rule, found.at) == (DEPLOYMENT, attempt.rule, attempt.intended_at)
    assert await own_act(db, after, BESIDE, ago) == found
    for elsewhere in ("kubernetes/prod/website", "kubernetes/test/web", "postgres/orders"):
        target = Target(key=f"{elsewhere}/deployment/api", name="api", namespace=elsewhere)
        assert await own_act(db, after, target, ago) is None
    assert await own_act(db, after, ITSELF, attempt.intended_at) is None
    assert await own_act(db, before, ITSELF, ago) is None


async def test_a_target_that_is_a_place_of_its_own_is_looked_at_itself(db: Stored) -> None:
    """A server has nothing beside it: what was done there is found by its own name."""
    server = Target(key="postgres/orders", name="orders", namespace="postgres/orders")
    attempt = await act(db, server.key)
    of = (await later(db)).model_copy(update={"opened_at": await db.store.now()})
    found = await own_act(db, of, server, attempt.intended_at - MINUTE)
    assert found is not None
    assert found.target == server.key


async def test_neither_its_own_attempts_nor_what_did_not_happen_explain_an_incident(db: Stored) -> None:
    """Its own ladder's effects are verified; the same rule on the same target has its cooldown."""
    attempt = await act(db)
    ago, now = attempt.intended_at - MINUTE, await db.store.now()
    other = await later(db)
    own = other.model_copy(update={"id": attempt.incident_id, "opened_at": now})
    same = other.model_copy(update={"rule": attempt.rule, "opened_at": now})
    assert await own_act(db, own, ITSELF, ago) is None
    assert await own_act(db, same, ITSELF, ago) is None
    assert await own_act(db, same, BESIDE, ago) is not None
    end = AttemptEnd(attempt_id=attempt.id, outcome=Outcome.NOT_DONE, results=())
    await db.sql("UPDATE attempts SET outcome = $1", end.outcome.value)
    assert await own_act(db, other.model_copy(update={"opened_at": now}), ITSELF, ago) is None


class Slow:
    """A clock that a test moves."""

    at = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.at


SETTINGS = WatchdogSettings(alertname="Stuck", interval=timedelta(minutes=1))


async def test_without_a_setting_nobody_is_blind(db: Stored) -> None:
    """The guard is for those who have such an alert."""
    assert await Watchdog(db.store, None).blind(("am",), T0) is None


async def test_a_watchdog_that_is_heard_of_keeps_its_source_trusted(db: Stored) -> None:
    """Three intervals may be missed, no more; another source's watchdog says nothing of this one."""
    clock = Slow()
    dog = Watchdog(db.store, SETTINGS, clock)
    now = await db.store.now()
    assert await dog.blind(("am",), now) == "the watchdog alert Stuck has never been heard of from am"
    await db.observe(alert())
    now = await db.one("SELECT seen_at FROM alerts")
    clock.at += 10
    assert await dog.blind(("am",), now + 3 * MINUTE) is None
    late = now + 3 * MINUTE + timedelta(seconds=1)
    assert await dog.blind(("am",), late) == (
        "the watchdog alert Stuck was last heard of from am 3m1s ago, more than 3 intervals of 1m"
    )
    assert (
        await dog.blind(("am", "other"), now) == "the watchdog alert Stuck has never been heard of from other"
    )


@pytest.mark.parametrize("ended", [False, True])
async def test_a_watchdog_under_another_name_is_found_again(db: Stored, ended: bool) -> None:
    """A Prometheus that is replaced sends it with other labels; the search is not made for every step."""
    clock = Slow()
    dog = Watchdog(db.store, SETTINGS, clock)
    await db.observe(alert("first"))
    first = await db.one("SELECT seen_at FROM alerts")
    assert await dog.blind(("am",), first) is None
    much_later = first + 10 * MINUTE
    await db.observe(alert("second"))
    await db.sql("UPDATE alerts SET seen_at = $1 WHERE labels ->> 'pod' = 'second'", much_later)
    if ended:
        await db.sql("UPDATE alerts SET ends_at = seen_at WHERE labels ->> 'pod' = 'first'")
    assert await dog.blind(("am",), much_later) is not None
    clock.at += 10
    assert await dog.blind(("am",), much_later) is None
