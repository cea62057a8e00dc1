"""Which rule takes an alert: the index and the plain loop agree, and ten thousand rules stay cheap."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.decide.match import first_match, incident_key
from responder.model.autonomy import Autonomy
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Limits, Position, Rule, Rulebook, SeverityCase
from responder.model.severity import Severity
from responder.rulebook.index import RuleIndex

NAMES = st.sampled_from(["alertname", "severity", "job"])
VALUES = st.sampled_from(["", "a", "b", "c", "a|b"])
PATTERNS = st.sampled_from(["", "a", "a|b", "a|", "|", ".*", "a.*", "(a|b)", "[ab]", "a\\|b", "a||b"])


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


@given(MATCHES, LABELS)
def test_the_index_finds_what_the_plain_loop_finds(
    matches: list[list[Matcher]], labels: dict[str, str]
) -> None:
    """Over any rules and labels, the index answers with the same rule as trying all in order."""
    rules = tuple(rule(f"r{at}", *match) for at, match in enumerate(matches))
    assert RuleIndex(Rulebook(rules=rules)).first(labels) is first_match(rules, labels)


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
    assert book.first({"alertname": "A9999", "severity": "critical"}) is rules[9999]


@given(LABELS)
def test_the_key_of_an_incident_has_exactly_the_group_labels(labels: dict[str, str]) -> None:
    """A missing label is the empty string, as in a matcher; without group_by there is one incident."""
    assert incident_key(rule("r", group_by=("job", "pod")), labels) == {
        "job": labels.get("job", ""),
        "pod": "",
    }
    assert incident_key(rule("r", group_by=None), labels) == labels
    assert incident_key(rule("r"), labels) == {}
