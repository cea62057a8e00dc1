"""A delivery is matched by one rulebook, on a real PostgreSQL: whatever becomes active while it is stored."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from responder.engine.commit import Commit
from responder.engine.rules import IndexedRules
from responder.model.alert import Delivery, Rejected, Standing
from responder.model.rule import Rulebook
from tests.support.writer import RULE, B, Writer, alert, delivery, writing

_MATCHED = """
SELECT DISTINCT i.rule FROM members m JOIN incidents i ON i.id = m.incident_id ORDER BY 1
"""
_MEMBERS = "SELECT count(*) FROM members"


def version(name: str) -> Rulebook:
    """Both rules, each with the version in its name."""
    return Rulebook(
        rules=tuple(rule.model_copy(update={"name": f"{rule.name}-{name}"}) for rule in (RULE, B))
    )


OLD, NEW = version("old"), version("new")


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    async with writing(dsn, NEW, OLD) as one:
        yield one


def mixed() -> Delivery:
    """One alert that is stored at once, and one that has to be folded: it is told twice, in other words."""
    first = alert(alertname="B")
    return delivery(alert(), first, replace(first, annotations={"summary": "another"}))


def committing(writer: Writer) -> Commit:
    """What the intake of this writer commits by."""
    return writer.intake._commit


async def test_what_is_folded_goes_by_the_rulebook_of_what_was_stored_at_once(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another became the active one between the two transactions of the delivery."""
    take_in = writer.store.take_in

    async def and_then_switched(*given: Any) -> Any:
        taken = await take_in(*given)
        writer.rules.indexed = IndexedRules(NEW)
        return taken

    monkeypatch.setattr(writer.store, "take_in", and_then_switched)
    await writer.intake.take(mixed())
    assert await writer.ask(_MEMBERS) == [(2,)]
    assert await writer.ask(_MATCHED) == [("Hit-old",), ("Second-old",)]


async def test_what_was_prepared_by_an_older_rulebook_is_matched_anew_as_a_whole(writer: Writer) -> None:
    """It waited in the queue while another became the active one."""
    prepared = committing(writer).prepare(mixed())
    writer.rules.indexed = IndexedRules(NEW)
    await committing(writer)([prepared])
    assert await writer.ask(_MEMBERS) == [(2,)]
    assert await writer.ask(_MATCHED) == [("Hit-new",), ("Second-new",)]


async def test_the_rounds_of_a_batch_go_by_one_rulebook(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a batch with a letter in it is folded, in parts: the switch comes between two looks at it."""
    crowds = writer.intake.crowds
    within = crowds.all_within

    async def and_then_switched(wanted: Any) -> Any:
        writer.rules.indexed = IndexedRules(NEW)
        return await within(wanted)

    monkeypatch.setattr(crowds, "all_within", and_then_switched)
    bad = delivery(alert(), alert(alertname="B"), rejected=(Rejected("a test's", "{}"),))
    over, again = delivery(alert(Standing.RESOLVED, ends=9)), delivery(alert(pod="p-2"))
    commit = committing(writer)
    await commit([commit.prepare(one) for one in (bad, over, again)])
    assert await writer.ask(_MEMBERS) == [(3,)]
    assert await writer.ask(_MATCHED) == [("Hit-old",), ("Second-old",)]
