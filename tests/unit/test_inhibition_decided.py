"""What another incident explains: whose values are compared, who inhibits, and what a look at it decides."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.cli.rule_explained import lines_of
from responder.cli.story import next_lines
from responder.decide.case import Apply, Case, Recheck, TakeBack, TakeStep, Terms, Wait
from responder.decide.changes import quieted, reopened, unsuppressed
from responder.decide.inhibit import has_values, inhibits, shared_labels, together
from responder.decide.restraints import quiet
from responder.decide.told_next import promised
from responder.model.attempt import Outcome
from responder.model.incident import OVERFLOW, IncidentState
from responder.model.inhibition import Inhibitor, Inhibits
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rule, Rulebook
from responder.model.way import WayKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START, ladder
from tests.unit.test_next_move import LATER, TERMS, applied, case, move
from tests.unit.test_state_table import hold

S = IncidentState
TICK = timedelta(microseconds=1)
EVERY = TERMS.suppressed_every
DAY = timedelta(hours=24)
CAUSE = Inhibitor(id=UUID(int=8), rule="Cause")
OTHER = Inhibitor(id=UUID(int=9), rule="Cause")
WANTED = (Inhibits(rule="Cause", labels={"server": "a"}),)


def a_rule(
    name: str, group_by: tuple[str, ...] | None, inhibited_by: tuple[str, ...] = (), **fixed: str
) -> Rule:
    matchers = tuple(Matcher(name=label, op=MatchOp.EQUAL, value=value) for label, value in fixed.items())
    given = {"name": name, "group_by": group_by, "match": matchers, "inhibited_by": inhibited_by}
    return ladder().model_copy(update=given)


SHARED: list[tuple[Rule, Rule, set[str]]] = [
    (a_rule("A", ("server", "db")), a_rule("B", ("server", "pod")), {"server"}),
    (a_rule("A", ("db",)), a_rule("B", ("server",)), set()),
    (a_rule("A", ("server",)), a_rule("B", (), server="a"), {"server"}),
    (a_rule("A", (), server="a"), a_rule("B", ("server",)), {"server"}),
    (a_rule("A", None), a_rule("B", ("server",)), {"server"}),
    (a_rule("A", ("server",)), a_rule("B", None), {"server"}),
    (a_rule("A", None), a_rule("B", None), set()),
    (a_rule("A", ("alertname", "server")), a_rule("B", ("server",), alertname="B"), {"server"}),
    (a_rule("A", (), cluster="x"), a_rule("B", (), cluster="x"), {"cluster"}),
    (a_rule("A", (), cluster="x"), a_rule("B", None), {"cluster"}),
    (a_rule("A", ("server",), tier="web"), a_rule("B", ("server",), tier="db"), {"server"}),
]


@pytest.mark.parametrize(("rule", "other", "shared"), SHARED)
def test_compared_is_what_both_rules_know_of_an_incident(rule: Rule, other: Rule, shared: set[str]) -> None:
    """By group or by an equality matcher; not the name of the alert, nor what the rules fix otherwise."""
    assert shared_labels(rule, other) == shared
    assert shared_labels(other, rule) == shared


def would(rule: Rule, key: dict[str, str], *others: Rule) -> tuple[Inhibits, ...]:
    """What would inhibit an incident of the rule with that key."""
    return inhibits(rule, key, Rulebook(rules=(rule, *others)))


def test_what_would_inhibit_has_the_values_of_this_incident() -> None:
    """Asked of the other's key; what the other rule fixes is known already, and must be the same."""
    rule = a_rule("A", ("server", "db"), ("Cause",), tier="web")
    here = {"server": "a", "db": "x"}
    assert would(rule, here, a_rule("Cause", ("server",))) == WANTED
    fixed = a_rule("Cause", ("db",), server="a")
    assert would(rule, here, fixed) == (Inhibits(rule="Cause", labels={"db": "x"}),)
    assert would(rule, {"server": "b", "db": "x"}, fixed) == ()
    of_tier = a_rule("Cause", ("tier",))
    assert would(rule, here, of_tier) == (Inhibits(rule="Cause", labels={"tier": "web"}),)
    assert would(a_rule("A", None, ("Cause",)), {"pod": "p"}, a_rule("Cause", ("server",))) == (
        Inhibits(rule="Cause", labels={"server": ""}),
    )


def test_what_would_inhibit_nothing() -> None:
    """No rule named, none of that name, nothing in common, an overflow incident."""
    cause = a_rule("Cause", ("server",))
    assert would(a_rule("A", ("server",)), {"server": "a"}, cause) == ()
    assert would(a_rule("A", ("server",), ("Gone",)), {"server": "a"}, cause) == ()
    assert would(a_rule("A", ("db",), ("Cause",)), {"db": "x"}, cause) == ()
    assert would(a_rule("A", ("server",), ("Cause",)), OVERFLOW, cause) == ()


def test_an_incident_inhibits_by_its_values() -> None:
    """All that is asked; a missing one is empty; an overflow incident has none."""
    asked = Inhibits(rule="Cause", labels={"server": "a", "db": ""})
    assert has_values({"server": "a"}, asked)
    assert not has_values({"server": "a", "db": "x"}, asked)
    assert not has_values({"server": "b"}, asked)
    assert not has_values(OVERFLOW, Inhibits(rule="Cause", labels={}))


def test_the_pinned_and_the_current_rule_count_together() -> None:
    """What runs may not be loosened by a newer rulebook; the same twice is asked once."""
    more = Inhibits(rule="Other", labels={})
    assert together(WANTED, (*WANTED, more)) == (*WANTED, more)


def explained(state: IncidentState, by: Inhibitor | None = CAUSE, **more: Any) -> Case:
    """A case that an incident of Cause may explain."""
    given = {"deadline": START + DAY, **more}
    return case(state, **given).model_copy(update={"inhibits": WANTED, "inhibitor": by})


WAITING: list[tuple[IncidentState, dict[str, Any]]] = [
    (S.PENDING, {"deadline": START}),
    (S.OPEN, {}),
    (S.HELD, {"hold": hold()}),
    (S.AWAITING_APPROVAL, {}),
    (S.ESCALATED, {"deadline": START}),
    (S.RESOLVED, {}),
]


@pytest.mark.parametrize(("state", "more"), WAITING)
def test_what_another_explains_is_suppressed_before_anything_of_its_own(
    state: IncidentState, more: dict[str, Any]
) -> None:
    """With the other's name, for a day at most, and looked at often; nobody is told."""
    change = applied(explained(state, **more))
    assert (change.state, change.notices) == (S.SUPPRESSED, ())
    assert (change.progress.inhibited, change.progress.maintenance) == (CAUSE, None)
    assert (change.deadline, change.due_at) == (START + DAY, START + EVERY)
    why = f"inhibited: only recorded while incident {CAUSE.id} of Cause is under way"
    assert change.entries[-1].facts["why"] == why
    window = quiet(explained(state), START)
    assert window is not None
    assert window.way is not None
    assert (window.way.kind, window.way.of) == (WayKind.SEE_INCIDENT, str(CAUSE.id))


def test_what_runs_is_taken_back_or_is_in_a_persons_hands_goes_on() -> None:
    """An effect ends and is proven, an undo that is owed is done, and a person is reminded."""
    done = an_attempt(START, Outcome.DONE, None)
    owed = explained(S.OPEN, attempt=done, take_back=ATTEMPT)
    assert isinstance(move(owed), TakeBack)
    assert applied(explained(S.TAKEN_OVER, deadline=START)).state is S.TAKEN_OVER
    later = explained(S.VERIFYING, page_at=START)
    assert applied(later).progress.page_at == START + EVERY


def suppressed(by: Inhibitor | None, **more: Any) -> Case:
    """It is suppressed because of CAUSE."""
    return explained(S.SUPPRESSED, by, **{"inhibited": CAUSE, **more})


def test_it_stays_quiet_as_long_as_the_other_is_under_way() -> None:
    """Looked at again and again, at its deadline at the latest; then it is judged anew."""
    assert move(suppressed(CAUSE)) == Wait(until=START + EVERY)
    assert move(suppressed(CAUSE, deadline=START + TICK)) == Wait(until=START + TICK)
    over = applied(suppressed(None))
    assert over.state is S.OPEN
    assert "incident 00000000-0000-0000-0000-000000000008 of Cause does not keep it" in over.entries[0].text
    assert over.progress.inhibited is None
    anew = applied(suppressed(CAUSE, deadline=START))
    assert (anew.state, anew.progress.inhibited) == (S.OPEN, None)


def test_what_never_opened_opens_then_and_what_had_ended_reopens() -> None:
    """As after maintenance."""
    first = applied(suppressed(None, opened_at=None))
    assert (first.state, first.progress.opened_at) == (S.OPEN, START)
    again = applied(suppressed(None, outcome="recovered"))
    assert "it fires again" in again.entries[-1].text
    assert again.progress.inhibited is None


def test_another_reason_takes_the_place_of_the_first_and_gives_no_more_time() -> None:
    """Told once: another incident, or what was silenced before; the deadline stays."""
    end = START + timedelta(hours=1)
    other = applied(suppressed(OTHER, deadline=end))
    assert (other.state, other.progress.inhibited, other.deadline) == (S.SUPPRESSED, OTHER, end)
    silenced = applied(explained(S.SUPPRESSED, deadline=end))
    assert (silenced.progress.inhibited, silenced.deadline) == (CAUSE, end)
    maintained = applied(suppressed(CAUSE, quiet=True, deadline=end))
    assert (maintained.progress.inhibited, maintained.progress.maintenance) == (None, "maintenance 7")
    assert isinstance(move(explained(S.SUPPRESSED, None)), Recheck)
    longer = applied(suppressed(CAUSE, quiet=True))
    assert longer.deadline == START + timedelta(hours=1), "no longer than the maintenance lasts"
    soon = applied(suppressed(OTHER, deadline=START + TICK))
    assert (soon.deadline, soon.due_at) == (START + TICK, START + TICK)


def test_who_waits_for_an_answer_looks_again() -> None:
    """The other may open at any time; without `inhibited_by` only the answer or the deadline wakes it."""
    assert move(explained(S.AWAITING_APPROVAL, None)) == Wait(until=START + EVERY)
    assert move(explained(S.AWAITING_APPROVAL, None, deadline=LATER - EVERY * 10 + TICK)) == Wait(
        until=LATER - EVERY * 10 + TICK
    )
    assert move(case(S.AWAITING_APPROVAL)) == Wait(until=LATER)


def test_news_of_a_recorded_one_wait_too() -> None:
    """And are looked at again soon, for nobody says when the other is over."""
    assert move(explained(S.RECORDED, covered_members=0)) == Wait(until=START + EVERY)


def test_nothing_of_it_is_left_when_it_goes_on() -> None:
    """Whatever ends it."""
    assert unsuppressed(suppressed(None), START, TERMS, "so").progress.inhibited is None
    assert reopened(suppressed(None), START, TERMS).progress.inhibited is None
    window = quiet(case(S.OPEN, quiet=True), START)
    assert window is not None
    assert quieted(suppressed(None), window, START, Terms()).progress.inhibited is None
    assert move(explained(S.OPEN, None)) == TakeStep(index=0)
    assert isinstance(move(explained(S.OPEN)), Apply)


def test_people_read_which_incident_explains_it() -> None:
    """Where they ask who is told next, and what an alert would lead to."""
    it = suppressed(CAUSE).incident
    (line,) = next_lines(it, promised(it, 1, TERMS), START)
    assert line == f"nobody is told while incident {CAUSE.id} of Cause is under way: then it is judged"
    taken = {
        "rule": "A",
        "severity": "P2",
        "key": {},
        "position": {"file": "a.yaml", "line": 1, "column": 1},
    }
    told = {
        "matching": {"taken": taken, "considered": [], "others": 0},
        "opens_after": "0s",
        "joins": False,
        "steps": [],
        "inhibitor": CAUSE.model_dump(mode="json"),
    }
    lines = [text for _, text in lines_of({}, told)]
    assert f"It would only be recorded while incident {CAUSE.id} of Cause is under way; then:" in lines
