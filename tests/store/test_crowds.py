"""The cap on open incidents of a rule: further alerts join one overflow incident, and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.model.alert import AlertKey, Delivery
from responder.model.incident import OVERFLOW
from responder.model.rule import Rulebook
from responder.store.connection import Connections
from responder.store.settings import StoreSettings
from tests.support.writer import RULE, Writer, alert, delivery

CAP = 3
EACH = RULE.model_copy(update={"group_by": ("pod",)})
OTHER = EACH.model_copy(update={"name": "Other", "match": EACH.match[:0]})
SIZES = """
SELECT i.rule, i.key ->> 'pod', count(m.fingerprint)::int
FROM incidents i LEFT JOIN members m ON m.incident_id = i.id
WHERE i.state <> 'closed' GROUP BY i.id ORDER BY i.id
"""


@pytest.fixture
async def writers(dsn: str) -> AsyncIterator[list[Writer]]:
    """Two processes that take in alerts, with a cap of three."""
    async with asyncio.TaskGroup() as running:
        opened = [await Connections.open(dsn, StoreSettings()) for _ in range(2)]
        both = [Writer(dsn, connections, open_incidents_per_rule=CAP) for connections in opened]
        await both[0].store.activate(Rulebook(rules=(EACH, OTHER)), "test")
        for one in both:
            await one.rules.follow()
            running.create_task(one.intake.run())
        yield both
        for one in both:
            one.intake.close()
    for connections in opened:
        await connections.close()


def pods(*names: Any) -> Delivery:
    """One alert of each pod."""
    return delivery(*(alert(pod=f"p{name}") for name in names))


async def sizes(writer: Writer) -> dict[str | None, int]:
    """The members of each incident, by pod; those of the overflow incident under None."""
    return {pod: number for _, pod, number in await writer.ask(SIZES)}  # type: ignore[misc]  # rows are untyped


async def test_beyond_the_cap_alerts_join_one_overflow_incident(writers: list[Writer]) -> None:
    """In one delivery or in many; an open group goes on to take its own, and other rules go on as ever."""
    one, _ = writers
    await one.intake.take(pods(*range(6)))
    await one.intake.take(pods(7))
    await one.intake.take(delivery(alert(pod="p0", more="yes")))
    assert await sizes(one) == {"p0": 2, "p1": 1, "p2": 1, None: 4}
    assert await one.ask("SELECT key FROM incidents WHERE NOT key ? 'pod'") == [('{"": "overflow"}',)]
    await one.intake.take(delivery(alert(alertname="B", pod="p9")))
    assert (await sizes(one))["p9"] == 1
    assert OVERFLOW == {"": "overflow"}


async def test_the_cap_holds_where_alerts_are_folded(writers: list[Writer]) -> None:
    """The long way into an incident knows the same cap: what waited for a rule is matched under it."""
    one, _ = writers
    empty = Rulebook(rules=())
    await one.store.activate(empty, "test")
    await one.rules.follow()
    waited = pods(*range(7))
    await one.intake.take(waited)
    await one.store.activate(Rulebook(rules=(EACH,)), "test")
    await one.rules.follow()
    keys = tuple(AlertKey("am", each.fingerprint) for each in waited.alerts)
    await one.intake.take(Delivery(source="am", alerts=(), refold=keys))
    assert sorted((await sizes(one)).values()) == [1, 1, 1, 4]


async def test_what_ended_makes_room_and_what_others_opened_is_seen(writers: list[Writer]) -> None:
    """The store is asked: a closed or resolved incident counts no more, another process's does."""
    one, other = writers
    await one.intake.take(pods(*range(3)))
    await other.intake.take(pods("x"))  # it has opened nothing yet, and knows of nothing
    await other.intake.crowds.round()
    await other.intake.take(pods("y"))
    assert await sizes(one) == {"p0": 1, "p1": 1, "p2": 1, "px": 1, None: 1}
    await one.ask(
        "UPDATE incidents SET state = 'resolved' WHERE key ->> 'pod' IN ('p0', 'p1', 'p2') RETURNING id"
    )
    await one.intake.take(pods("z"))
    assert (await sizes(one))["pz"] == 1


BURSTS = st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=8), min_size=1, max_size=6)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BURSTS, st.booleans())
async def test_every_alert_is_a_member_of_one_incident_and_no_more_are_open_than_the_cap(
    writers: list[Writer], bursts: list[list[int]], together: bool
) -> None:
    """However they come: no episode without an incident, none in two; the cap and the overflow incident."""
    one, _ = writers
    for table in ("incidents", "members", "alerts", "journal"):
        await one.ask(f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone")
    sent = [one.intake.take(pods(*burst)) for burst in bursts]
    if together:
        await asyncio.gather(*sent)
    else:
        for each in sent:
            await each
    distinct = {number for burst in bursts for number in burst}
    found = await sizes(one)
    assert sum(found.values()) == len(distinct)
    assert len(found) == min(len(distinct), CAP + 1)
