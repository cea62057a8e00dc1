"""Claims about what is written together and what beside it: order is kept for each alert, nobody starves."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.engine import batches
from responder.engine.batches import Batch, Batches, Waiting
from responder.engine.commit import Prepared
from responder.engine.crowds import Crowds
from responder.model.alert import Alert, Delivery, Rejected, Standing, heard
from responder.ports import IncidentKey

LIMIT = 3


class Room:
    """Says whether any rule could be at its cap."""

    over = False

    def may_be_over(self, wanted: Iterable[IncidentKey]) -> bool:
        """Whatever is wanted."""
        del wanted
        return self.over


def queue(room: Room | None = None) -> Batches:
    """An empty one."""
    return Batches(LIMIT, cast("Crowds", room or Room()))


def speaking_of(*names: int, rejected: bool = False) -> Waiting:
    """A delivery that speaks of these alerts."""
    alerts = tuple(
        Alert(f"{name:016x}", {"n": str(name)}, {}, Standing.FIRING, datetime(2026, 1, 1, tzinfo=UTC))
        for name in names
    )
    letters = (Rejected("it is none", "{}"),) if rejected else ()
    one = Delivery(source="am", alerts=alerts, rejected=letters)
    said = tuple((heard(alert), ()) for alert in alerts)
    prepared = Prepared(one, said, "", frozenset(alert.fingerprint for alert in alerts))
    return Waiting(one, prepared, cast("asyncio.Future[object]", None))  # type: ignore[arg-type]


def names_of(batch: Batch) -> set[str]:
    """The alerts that it speaks of."""
    return {alert.fingerprint for one in batch.waiting for alert in one.delivery.alerts}


@pytest.fixture(autouse=True)
def of_one_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of one alert is large enough."""
    monkeypatch.setattr(batches, "BESIDE_AT_LEAST", 1)


RARELY = st.sampled_from([False] * 7 + [True])
DELIVERIES = st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=3), RARELY), min_size=4)


@settings(max_examples=300)
@given(DELIVERIES, st.lists(st.sampled_from([0, 0, 1, 2, 2]), min_size=20, max_size=60))
def test_each_is_written_once_and_in_order_for_each_alert(
    deliveries: list[tuple[list[int], bool]], acts: list[int]
) -> None:
    """However they come and end: no two under way share an alert, and of each alert the order is kept."""
    of = queue()
    coming = [speaking_of(*names, rejected=odd) for names, odd in deliveries]
    left, written = list(coming), []
    for act in (*acts, *[2, 0, 1] * 3 * len(coming)):
        if act == 0 and left:
            of.add(left.pop(0))
        elif act == 1 and of.under_way:
            of.done(of.under_way[-1 if len(acts) % 2 else 0])
        elif act == 2 and (batch := of.next()) is not None:
            written += batch.waiting
            assert 0 < len(batch.waiting) <= LIMIT
        if len(of.under_way) > 1:
            first, second = of.under_way
            assert names_of(first).isdisjoint(names_of(second))
            assert all(one.plain for batch in of.under_way for one in batch.waiting)
    assert not of
    assert sorted(map(id, written)) == sorted(map(id, coming))
    for name in range(4):
        telling = [id(one) for one in coming if f"{name:016x}" in (one.prepared or _none()).fingerprints]
        assert [id(one) for one in written if id(one) in set(telling)] == telling


def _none() -> Prepared:
    raise AssertionError("all are prepared")


def test_what_is_more_than_alerts_is_written_alone() -> None:
    """Dead letters, positions, what could not be prepared: nothing beside it, and nothing overtakes it."""
    of = queue()
    of.add(speaking_of(1, rejected=True))
    first = of.next()
    of.add(speaking_of(2))
    assert of.next() is None
    assert first is not None
    of.done(first)
    assert of.next() is not None
    for one in (speaking_of(3, rejected=True), speaking_of(4)):
        of.add(one)
    assert of.next() is None


def test_where_a_rule_could_be_at_its_cap_one_is_written_after_the_other() -> None:
    """Whoever counts open incidents must not miss those that are being opened."""
    room = Room()
    of = queue(room)
    of.add(speaking_of(1))
    first = of.next()
    room.over = True
    of.add(speaking_of(2))
    assert of.next() is None
    room.over = False
    assert of.next() is None
    assert first is not None
    of.done(first)
    room.over = True
    assert of.next() is not None
    of.add(speaking_of(3))
    room.over = False
    assert of.next() is None


def test_few_alerts_wait_for_more() -> None:
    """As many as are under way at least: many small transactions would cost more than they gain."""
    of = queue()
    of.add(speaking_of(1, 2))
    assert of.next() is not None
    of.add(speaking_of(3))
    assert of.next() is None
    of.add(speaking_of(4))
    assert of.next() is not None
