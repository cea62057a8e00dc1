"""Which incident inhibits another, by the rows of the database: at each look, and once more at the intent."""

import json
import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from responder.decide.case import IntentLost
from responder.decide.inhibit import has_values
from responder.model.attempt import Attempt
from responder.model.incident import OVERFLOW, IncidentState
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.rule import Rulebook
from tests.support.stored import BOOK, MINUTE, RULE, Stored, alert, change, intent, stored

S = IncidentState
CAUSE = RULE.model_copy(update={"name": "Cause", "escalate": True})
INHIBITED = RULE.model_copy(update={"inhibited_by": ("Cause",)})
WITH_CAUSE = Rulebook(rules=(INHIBITED, CAUSE))
HERE = Inhibits(rule="Cause", labels={"server": "db1"})
_INSERT = """
INSERT INTO incidents (id, rule, key_hash, key, rulebook_hash, severity, state, opened_at, state_since,
                       deadline, by_hand)
VALUES ($1, $2, $3, $4::text::jsonb, '', 'P1', $5, $6, $6, $7, $8::text::jsonb)
"""


@pytest_asyncio.fixture
async def db(dsn: str) -> AsyncIterator[Stored]:
    async with stored(dsn) as opened:
        yield opened


async def there(
    db: Stored,
    state: IncidentState = S.OPEN,
    key: dict[str, str] | None = None,
    *,
    rule: str = "Cause",
    deadline: timedelta = MINUTE,
    by_hand: bool = False,
) -> Inhibitor:
    """An incident that is there, whoever opened it."""
    now: datetime = await db.store.now()
    made, text = uuid4(), json.dumps({"server": "db1"} if key is None else key)
    asked = "{}" if by_hand else None
    await db.raw.execute(_INSERT, made, rule, made.bytes, text, state.value, now, now + deadline, asked)
    return Inhibitor(id=made, rule=rule)


@pytest.mark.parametrize("state", list(S))
async def test_an_incident_inhibits_while_it_is_under_way(state: IncidentState, db: Stored) -> None:
    """Neither resolved nor recorded nor closed, nor before its `for` is over."""
    made = await there(db, state)
    inhibits = state not in {S.PENDING, S.RESOLVED, S.RECORDED, S.CLOSED}
    assert await db.store.inhibitor([HERE]) == (made if inhibits else None)


async def test_what_is_due_to_open_inhibits_already(db: Stored) -> None:
    """Of two that are heard of together neither opens before it sees the other."""
    made = await there(db, S.PENDING, deadline=timedelta(0))
    assert await db.store.inhibitor([HERE]) == made


async def test_what_has_no_values_or_another_rule_inhibits_nothing(db: Stored) -> None:
    """An overflow incident, one that a person opened, one of a rule that is not named; nothing is asked."""
    nowhere = Inhibits(rule="Cause", labels={})
    await there(db, key=OVERFLOW)
    await there(db, by_hand=True)
    await there(db, rule="Other")
    assert await db.store.inhibitor([HERE, nowhere]) is None
    made = await there(db)
    assert await db.store.inhibitor([]) is None
    assert await db.store.inhibitor([HERE]) == made


async def test_values_are_compared_as_decided(db: Stored) -> None:
    """For drawn keys and questions the database finds one just where `has_values` says so."""
    drawn = random.Random(7)  # noqa: S311 - to be the same each time
    names, values = ("server", "db", 'q"uote'), ("", "a", "b", "x\\y", "\u00e4")

    def labels() -> dict[str, str]:
        return {name: drawn.choice(values) for name in names if drawn.random() < 0.6}

    keys = [labels() for _ in range(30)]
    made = {(await there(db, key=key)).id: key for key in keys}
    found = 0
    for _ in range(100):
        asked = Inhibits(rule="Cause", labels=labels())
        one = await db.store.inhibitor([asked])
        expected = [id_ for id_, key in made.items() if has_values(key, asked)]
        assert (one is None) == (not expected)
        assert one is None or one.id == expected[0], "the one that opened first"
        found += one is not None
    assert 20 < found < 100


async def test_a_case_knows_what_inhibits_it_by_the_pinned_and_the_current_rule(db: Stored) -> None:
    """A newer rulebook that inhibits counts at once; one that does not any more loosens nothing."""
    await db.observe(alert())
    lease, case = await db.leased()
    assert (case.inhibits, case.inhibitor) == ((), None)
    made = await there(db)
    await db.store.activate(WITH_CAUSE, "the test")
    case = await db.store.load(lease)
    assert (case.inhibits, case.inhibitor) == ((HERE,), made)
    await db.raw.execute("UPDATE incidents SET rulebook_hash = $1", WITH_CAUSE.hash)
    await db.store.activate(BOOK, "the test")
    case = await db.store.load(lease)
    assert (case.inhibits, case.inhibitor) == ((HERE,), made)


@pytest.mark.parametrize("disruptive", [False, True])
async def test_no_intent_where_a_cause_has_opened_since_it_was_judged(disruptive: bool, db: Stored) -> None:
    """Whoever opened it, on the short way and on the long one; when it is over the intent goes."""
    await db.store.activate(WITH_CAUSE, "the test")
    lease, case = await db.held()
    wanted = intent(case, disruptive=disruptive, inhibits=case.inhibits)
    assert case.inhibitor is None
    made = await there(db)
    assert await db.store.commit_intent(lease, wanted, change(case)) is IntentLost.INHIBITED
    assert await db.one("SELECT count(*) FROM attempts") == 0
    await db.raw.execute("UPDATE incidents SET state = 'resolved' WHERE id = $1", made.id)
    assert isinstance(await db.store.commit_intent(lease, wanted, change(case)), Attempt)


async def test_an_undo_is_done_whatever_explains_the_incident(db: Stored) -> None:
    """What was changed is taken back: that is no further step."""
    await db.store.activate(WITH_CAUSE, "the test")
    lease, case = await db.held()
    first = await db.store.commit_intent(lease, intent(case), change(case))
    assert isinstance(first, Attempt)
    await there(db)
    undo = intent(case, undo_of=first.id, inhibits=case.inhibits)
    assert isinstance(await db.store.commit_intent(lease, undo, change(case)), Attempt)


def test_an_inhibitor_is_told_by_its_id_and_rule() -> None:
    """A person finds it by that."""
    assert str(Inhibitor(id=UUID(int=8), rule="Cause")) == (
        "incident 00000000-0000-0000-0000-000000000008 of Cause"
    )
