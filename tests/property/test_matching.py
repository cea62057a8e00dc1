"""Which rule takes an alert: the index and the plain loop agree, and ten thousand rules stay cheap."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.decide.match import incident_key, taken_by
from responder.model.autonomy import Autonomy
from responder.model.matcher import Matcher, MatchOp, compiled
from responder.model.rule import Limits, Position, Rule, Rulebook, SeverityCase
from responder.model.schedule import SCHEDULE_LABEL
from responder.model.severity import Severity
from responder.rulebook import index, patterns
from responder.rulebook.index import RuleIndex
from responder.rulebook.patterns import Patterns
from tests.support.matcher_texts import VALUES as ODD_VALUES
from tests.support.matcher_texts import expression
from tests.support.scheduled import scheduled

NAMES = st.sampled_from(["alertname", "severity", "job"])
VALUES = st.sampled_from(["", "a", "b", "c", "a|b", "a" * 40, "ab" * 20, "a\nb"]) | st.sampled_from(
    ODD_VALUES
)
USUAL_PATTERNS = ["", "a", "a|b", "a|", "|", ".*", ".+", "a.*", ".*b", "(a|b)", "[ab]", "a\\|b", "a||b"]
HOSTILE_PATTERNS = [
    *(
        "(a*)*b",
        "(a|a)*",
        "(a|b)*a(a|b){20}",
        "(.*a){30}",
        "(a?){40}a{40}",
        ".{1000}",
        "(?s:.*)\n.*",
        "(?m:^b$)",
    ),
    *("a)|(?:b", "$|a", "^", "a$|^b", r"\ba\b", "(?i)A", "(?U)a+b", "(|a)+", "[^a]*", "(((a{10}){10}){9})*"),
]


def _compiles(pattern: str) -> bool:
    try:
        compiled(pattern)
    except ValueError:
        return False
    return True


RANDOM_PATTERNS = st.randoms(use_true_random=False).map(expression).filter(_compiles)
PATTERNS = st.sampled_from(USUAL_PATTERNS) | st.sampled_from(HOSTILE_PATTERNS) | RANDOM_PATTERNS


def rule(name: str, *match: Matcher, group_by: tuple[str, ...] | None = ()) -> Rule:
    return Rule(
        name=name,
        match=match,
        severity=(SeverityCase(severity=Severity.P2),),
        group_by=group_by,
        wait_for=timedelta(0),
        autonomy=Autonomy.SHADOW,
        limits=Limits(attempts=1, per=timedelta(hours=1), cooldown=timedelta(0)),
        position=Position(file="rules.yaml", line=1, column=1),
    )


@st.composite
def matchers(draw: st.DrawFn) -> Matcher:
    op = draw(st.sampled_from(MatchOp))
    regex = op in {MatchOp.REGEX, MatchOp.NOT_REGEX}
    return Matcher(name=draw(NAMES), op=op, value=draw(PATTERNS if regex else VALUES))


MATCHES = st.lists(st.lists(matchers(), max_size=3), max_size=8)
LABELS = st.dictionaries(NAMES, VALUES, max_size=3)


@settings(max_examples=300)
@given(
    MATCHES,
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from([0, 1, 16]),
    st.sampled_from([1, 256]),
    st.sets(st.integers(0, 7)),
)
def test_the_index_finds_what_the_plain_loop_finds(
    matches: list[list[Matcher]],
    alerts: list[dict[str, str]],
    crowd: int,
    together: int,
    passing_on: set[int],
) -> None:
    """Over any rules and labels, the index answers with the same rules as trying all in order.

    Whatever the number of rules that make a crowd, and of expressions that share an automaton.
    """
    made = (rule(f"r{at}", *match) for at, match in enumerate(matches))
    rules = tuple(one.model_copy(update={"continues": at in passing_on}) for at, one in enumerate(made))
    with patch.object(index, "_CROWD", crowd), patch.object(patterns, "_TOGETHER", together):
        book = RuleIndex(Rulebook(rules=rules))
    for labels in alerts:
        assert book.taking(labels) == taken_by(rules, labels)
        matching = [one for one in rules if all(each.matches(labels) for each in one.match)]
        keeping = next((at for at, one in enumerate(matching) if not one.continues), len(matching))
        assert list(book.taking(labels)) == matching[: keeping + 1], "up to the first that keeps it"


@settings(max_examples=200)
@given(MATCHES, st.sets(st.integers(0, 7)), LABELS, st.sampled_from([None, "", "s0", "s1", "r0", "x"]))
def test_what_a_scheduled_rule_found_is_its_own_and_nothing_else_is(
    matches: list[list[Matcher]], before: set[int], labels: dict[str, str], says: str | None
) -> None:
    """Wherever it stands among rules that would take anything: by its label alone, in the index and loop."""
    rules: list[Rule] = []
    for at, match in enumerate(matches):
        if at in before:
            rules.append(scheduled(f"s{len(rules)}"))
        rules.append(rule(f"r{at}", *match))
    alert = labels if says is None else {**labels, SCHEDULE_LABEL: says}
    finding = {**alert, "alertname": says or labels.get("alertname", "")}
    for each in (alert, finding):
        taken = RuleIndex(Rulebook(rules=tuple(rules))).taking(each)
        assert taken == taken_by(rules, each)
        if says:
            assert all(one.on is not None and one.name == says for one in taken)
        else:
            assert all(one.on is None for one in taken)
    own = next((one for one in rules if one.on is not None and one.name == says), None)
    assert own is None or RuleIndex(Rulebook(rules=tuple(rules))).taking(finding) == (own,)


@given(st.lists(PATTERNS, max_size=20), VALUES)
def test_expressions_asked_together_answer_as_each_alone(found: list[str], value: str) -> None:
    """None is left out that matches, and none is added while the automaton has room."""
    together = Patterns([(pattern, at) for at, pattern in enumerate(found)])
    alone = [at for at, pattern in enumerate(found) if compiled(pattern).search(value) is not None]
    assert sorted(together.may_match(value)) == alone


@pytest.mark.parametrize("answer", [None, [], [0]])
def test_an_automaton_without_memory_leaves_out_nothing(answer: list[int] | None) -> None:
    """What RE2 answers when it runs out of memory looks like no match: then every rule is tried."""
    with patch("re2.Set.Match", lambda *_: answer):
        assert Patterns([("b", 3), ("c", 7)]).may_match("c") == [3, 7]


def test_expressions_too_large_for_one_automaton_are_tried_one_by_one() -> None:
    """What RE2 cannot build together is not left out."""
    large = [(f".{{500}}{at}.{{500}}", at) for at in range(200)]
    together = Patterns(large)
    assert together.may_match("c") == [at for _, at in large]


def test_ten_thousand_rules_are_not_tried_one_by_one() -> None:
    """With 10,000 rules on one severity but each with its own alert, an alert tries a handful."""
    severity = Matcher(name="severity", op=MatchOp.EQUAL, value="critical")
    rules = tuple(
        rule(f"r{at}", severity, Matcher(name="alertname", op=MatchOp.EQUAL, value=f"A{at}"))
        for at in range(10_000)
    )
    book = RuleIndex(Rulebook(rules=rules))
    tried = book.candidates({"alertname": "A9999", "severity": "critical"})
    assert list(tried) == [9999]
    assert book.taking({"alertname": "A9999", "severity": "critical"}) == (rules[9999],)


def test_rules_without_an_exact_value_are_not_tried_one_by_one() -> None:
    """Rules that share all exact values are found by expression, others by the rarest label there."""
    critical = Matcher(name="severity", op=MatchOp.EQUAL, value="critical")
    warning = Matcher(name="severity", op=MatchOp.NOT_EQUAL, value="info")
    open_ended = [
        rule(f"e{at}", critical, Matcher(name="alertname", op=MatchOp.REGEX, value=f".*A{at}"))
        for at in range(1000)
    ]
    common = Matcher(name="job", op=MatchOp.NOT_EQUAL, value="")
    present = [
        rule(f"p{at}", common, warning, Matcher(name=f"tenant_{at}", op=MatchOp.NOT_EQUAL, value=""))
        for at in range(1000)
    ]
    book = RuleIndex(Rulebook(rules=(*open_ended, *present)))
    assert list(book.candidates({"alertname": "xA77", "severity": "critical"})) == [77]
    assert list(book.candidates({"alertname": "x", "job": "j", "tenant_7": "b"})) == [1007]


@given(LABELS)
def test_the_key_of_an_incident_has_exactly_the_group_labels(labels: dict[str, str]) -> None:
    """A missing label is the empty string, as in a matcher; without group_by there is one incident."""
    assert incident_key(rule("r", group_by=("job", "pod")), labels) == {
        "job": labels.get("job", ""),
        "pod": "",
    }
    assert incident_key(rule("r", group_by=None), labels) == labels
    assert incident_key(rule("r"), labels) == {}
