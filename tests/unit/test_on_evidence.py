"""Conditions of steps on the rule's own evidence: awaited, compared, and never guessed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.decide.case import Case, Finding, GatherEvidence, TakeStep, Wait
from responder.decide.changes import evidence_started, findings_told
from responder.decide.evidence import GRACE, reading
from responder.model.expectation import ExpectedField, FieldKind, compared, together
from responder.model.incident import EvidenceFound, IncidentState
from responder.model.rule import OnEvidence, Step, StepKind
from tests.support.virtual import START, ladder
from tests.unit.test_next_move import TICK, case, move

S = IncidentState
MORE_THAN_0 = (ExpectedField(field="blocked", kind=FieldKind.NUMBER, op=">", value=0.0),)
WHEN = OnEvidence(evidence="sessions", index=1, expect=MORE_THAN_0)
LOOKS = Step(action="test.look", name="sessions", kind=StepKind.READ_ONLY, timeout="20s")
TIMEOUT = timedelta(seconds=20)


def waiting(**progress: Any) -> Case:
    """An open incident whose first step asks for its second piece of evidence."""
    first, *rest = ladder().steps
    asking = (first.model_copy(update={"when": WHEN}), *rest)
    rule = {"evidence": (LOOKS.model_copy(update={"name": "other"}), LOOKS), "steps": asking}
    return case(S.OPEN, rule=rule, **progress)


def found(results: dict[str, dict[str, Any]] | None, index: int = 1) -> dict[str, Any]:
    return {"found": (EvidenceFound(index=index, results=results, problem="it is away"),)}


BEGUN = {"evidence_started": True, "evidence_at": START}


def test_a_step_waits_for_evidence_that_it_asks_for_and_no_longer_than_that_may_take() -> None:
    """To the moment; what has come, or is asked for by another step, is not waited for."""
    until = START + TIMEOUT + GRACE
    assert move(waiting()) == GatherEvidence()
    assert move(waiting(**BEGUN)) == Wait(until=until)
    assert move(waiting(**BEGUN), until - TICK) == Wait(until=until)
    assert move(waiting(**BEGUN), until) == TakeStep(index=0)
    assert move(waiting(**BEGUN, **found({}, index=0))) == Wait(until=until)
    for come in (found({"t": {"blocked": 0}}), found(None)):
        assert move(waiting(**BEGUN, **come)) == TakeStep(index=0)
    assert move(waiting(**BEGUN, step=1)) == TakeStep(index=1)


@pytest.mark.parametrize(
    ("results", "holds", "text"),
    [
        ({"t/a": {"blocked": 3.0}}, True, "evidence sessions: blocked is 3, expected > 0"),
        ({"t/a": {"blocked": 0}}, False, "evidence sessions: blocked is 0, expected > 0"),
        ({"t/a": {}}, None, "evidence sessions: blocked is not known (no data), expected > 0"),
        ({"t/a": {"blocked": 3}, "t/b": {"blocked": 0}}, False, "t/b blocked is 0, expected > 0"),
        ({}, None, "evidence sessions: there was nothing to look at"),
        (None, None, "evidence sessions: it is away"),
    ],
)
def test_a_condition_says_what_was_found_and_what_was_wanted(
    results: dict[str, dict[str, Any]] | None, holds: bool | None, text: str
) -> None:
    """Of several targets each has to be so; what is not known is neither yes nor no."""
    told = reading(waiting(**BEGUN, **found(results)), WHEN)
    assert told.holds is holds
    assert text in told.text


def test_evidence_that_never_came_is_no_data() -> None:
    """A crash cuts it off, and it is not gathered again: a person is asked."""
    assert reading(waiting(**BEGUN), WHEN).holds is None


def test_what_conditions_ask_for_is_kept_until_evidence_is_gathered_anew() -> None:
    """Nothing else of it, and none of it in the timeline beside what was seen."""
    facts = {"evidence": 1, "results": {"t": {"blocked": 2}}, "states": {"t": {"blocked": 2, "who": "x"}}}
    asked = Finding(id=uuid4(), action="test.look", summary="2", facts=facts)
    other = asked.model_copy(update={"facts": {**facts, "evidence": 0}})
    failed = asked.model_copy(update={"facts": {"evidence": 1}, "summary": "could not be gathered: x"})
    told = findings_told(waiting(**BEGUN).model_copy(update={"findings": (asked, other)}), START)
    assert told.progress.found == (EvidenceFound(index=1, results={"t": {"blocked": 2}}),)
    assert set(told.entries[0].facts) == {"action", "summary", "states"}
    again = waiting(**BEGUN, found=told.progress.found).model_copy(update={"findings": (failed,)})
    assert findings_told(again, START).progress.found == (
        EvidenceFound(index=1, problem="could not be gathered: x"),
    )
    assert evidence_started(again, START).progress.found == ()


numbers = st.none() | st.floats(allow_nan=True) | st.integers(-5, 5) | st.booleans() | st.just("text")


@given(
    values=st.lists(numbers, max_size=5),
    op=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    limit=st.integers(-3, 3).map(float),
)
def test_a_list_holds_where_each_of_it_does_and_no_data_is_never_a_yes(
    values: list[Any], op: str, limit: float
) -> None:
    """Against the plain words: a wrong value is a no, whatever is missing; NaN and text are no data."""
    (one,) = compared((ExpectedField(field="f", kind=FieldKind.NUMBER, op=op, value=limit),), {"f": values})
    tests = {
        "<": lambda x: x < limit,
        "<=": lambda x: x <= limit,
        ">": lambda x: x > limit,
        ">=": lambda x: x >= limit,
        "==": lambda x: x == limit,
        "!=": lambda x: x != limit,
    }
    known = [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and x == x]  # noqa: PLR0124
    if any(not tests[op](x) for x in known):
        assert one.holds is False
    elif not known or len(known) < len(values):
        assert one.holds is None
    else:
        assert one.holds is True


@pytest.mark.parametrize(
    ("kind", "op", "value", "found", "holds", "words"),
    [
        (FieldKind.TRUTH, "==", True, True, True, "f is true, expected == true"),
        (FieldKind.TRUTH, "!=", True, True, False, "f is true, expected != true"),
        (FieldKind.TRUTH, "==", True, 1, None, "f is not known (no data), expected == true"),
        (FieldKind.TEXT, "==", "running", "stopped", False, "f is stopped, expected == running"),
        (FieldKind.TEXT, "!=", "stopped", "running", True, "f is running, expected != stopped"),
        (FieldKind.DURATION, ">", 14 * 86400.0, 86400.0, False, "f is 1d, expected > 2w"),
        (FieldKind.NUMBER, "<", 5.0, [1, None], None, "f is not known (1 of 2 have no data), expected < 5"),
        (
            FieldKind.NUMBER,
            "<",
            5.0,
            [7, 1, 9, 8, 6],
            False,
            "f is 7, 9, 8 and 1 more (4 of 5), expected < 5",
        ),
        (FieldKind.NUMBER, "<", 5.0, [], None, "f is not known (no data), expected < 5"),
    ],
)
def test_each_kind_of_field_is_compared_and_told(
    kind: FieldKind, op: str, value: Any, found: Any, holds: bool | None, words: str
) -> None:
    """For people: what it is, what was expected, and of many values the first few."""
    (one,) = compared((ExpectedField(field="f", kind=kind, op=op, value=value),), {"f": found})
    assert one.holds is holds
    assert one.words.startswith(words)
    assert together([one]) is holds


def test_what_has_a_name_is_told_by_it() -> None:
    """One action asked twice is two lines that can be told apart, in the timeline and in the review."""
    unnamed = LOOKS.model_copy(update={"name": None})
    rule = {"evidence": (LOOKS, unnamed)}
    findings = tuple(
        Finding(id=uuid4(), action="test.look", summary="t/a: busy", facts={"evidence": index})
        for index in (0, 1, 7)
    )
    asked = case(S.OPEN, rule=rule).model_copy(update={"findings": findings})
    told = findings_told(asked, START).entries
    assert [(entry.text, entry.facts["summary"]) for entry in told] == [
        ("test.look: sessions: t/a: busy", "sessions: t/a: busy"),
        ("test.look: t/a: busy", "t/a: busy"),
        ("test.look: t/a: busy", "t/a: busy"),
    ]
