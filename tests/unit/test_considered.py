"""Which rule takes an alert, and why the others do not, as data and in words."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from responder.cli import rule_explained
from responder.cli.rule_explained import explain_alert, lines_of
from responder.model.rule import Rule
from responder.model.severity import Severity
from responder.rulebook.considered import considered
from responder.rulebook.load import check_texts
from tests.support.rule_surroundings import surroundings

RULES = """\
rules:
  - {name: Critical, match: ['alertname = "Slow"', 'severity = "critical"'], severity: P1}
  - name: Slow
    match: ['alertname = "Slow"', 'env =~ "prod|live"']
    severity: [{when: ['team = "shop"'], is: P2}, {is: P3}]
    group_by: [server]
  - {name: Prod, match: ['env = "prod"'], severity: P3}
  - {name: Test, match: ['env = "test"'], severity: P3}
  - {name: Far, match: ['alertname = "Other"', 'env = "stage"'], severity: P3}
"""
LABELS = {"alertname": "Slow", "env": "prod", "server": "a", "team": "shop"}


def rules() -> tuple[Rule, ...]:
    report = check_texts([("r.yaml", RULES)], surroundings())
    assert report.rulebook is not None, report.mistakes
    return report.rulebook.rules


def test_the_first_rule_that_holds_takes_it() -> None:
    """With the severity and the labels of the incident that it would open or join."""
    taken = considered(rules(), LABELS).taken
    assert taken is not None
    assert (taken.rule, taken.severity, taken.key) == ("Slow", Severity.P2, {"server": "a"})
    assert str(taken.position) == "r.yaml:3:5"


def test_rules_that_pass_it_on_take_it_too() -> None:
    """Up to the first that keeps it; what comes behind that one would take it, but comes too late."""
    passing = tuple(one.model_copy(update={"continues": one.name in {"Critical", "Slow"}}) for one in rules())
    found = considered(passing, {**LABELS, "severity": "critical"})
    assert found.taken is not None
    assert (found.taken.rule, [one.rule for one in found.further]) == ("Critical", ["Slow", "Prod"])
    assert found.further[0].key == {"server": "a"}
    some = considered(passing[:-3], LABELS)
    assert (some.taken and some.taken.rule, some.further) == ("Slow", ())
    led = {"steps": STEPS[:1], "joins": False, "opens_after": "0s"}
    kept = considered([*passing, passing[2].model_copy(update={"name": "Late"})], LABELS)
    answer = {"matching": kept.model_dump(mode="json"), **led, "further": [{**led, "joins": True}]}
    lines = [line for _, line in lines_of(LABELS, answer)]
    assert lines[1].startswith("Slow takes it (r.yaml:3:5): a P2 incident")
    assert lines[3].startswith("Prod takes it, too (r.yaml:7:5): a P3 incident")
    assert lines[4].startswith("Such an incident is there already")
    assert "Late (r.yaml:7:5) would take it, too, but Prod comes first" in lines


def test_what_failed_is_told_of_the_nearest_rules() -> None:
    """First those that come too late, then those of its name or that miss by one; the others are counted."""
    found = considered(rules(), LABELS)
    told = [(one.rule, [(each.matcher, each.value) for each in one.failed]) for one in found.considered]
    assert told == [
        ("Prod", []),
        ("Critical", [('severity="critical"', "")]),
        ("Test", [('env="test"', "prod")]),
    ]
    assert found.others == 1


def test_an_alert_of_no_rule_has_its_nearest_rules() -> None:
    """Nothing takes it: whoever asks sees which matcher is in the way."""
    found = considered(rules(), {**LABELS, "env": "dev"})
    assert found.taken is None
    assert [one.rule for one in found.considered] == ["Critical", "Slow", "Prod", "Test"]


def test_more_than_a_few_are_counted() -> None:
    """A rulebook of thousands of rules does not fill the screen."""
    many = [one.model_copy(update={"name": f"{one.name}{at}"}) for at in range(9) for one in rules()]
    found = considered(many, LABELS)
    assert (len(found.considered), found.others) == (10, 45 - 1 - 10)


STEPS: list[dict[str, Any]] = [
    {
        "number": 1,
        "action": "postgres.activity",
        "kind": "read_only",
        "target": "postgres/orders",
        "elements": [],
        "held_by": [],
        "let_go": 0,
        "shadow": None,
    },
    {
        "number": 2,
        "action": "postgres.cancel_queries",
        "kind": "disruptive",
        "target": "postgres/orders",
        "elements": ["pid 7", "pid 8"],
        "held_by": [{"guard": "halt", "ruling": "wait", "reason": "halted by ada: all stop"}],
        "let_go": 26,
        "shadow": None,
    },
    {
        "number": 3,
        "action": "postgres.terminate_queries",
        "kind": "disruptive",
        "target": None,
        "elements": [],
        "held_by": [],
        "let_go": 27,
        "shadow": None,
    },
]


def told(
    labels: dict[str, str], steps: list[dict[str, Any]], *, joins: bool = False, opens_after: str = "0s"
) -> list[str]:
    more = {"joins": joins, "opens_after": opens_after}
    answer = {"matching": considered(rules(), labels).model_dump(mode="json"), "steps": steps, **more}
    return ["  " * depth + line for depth, line in lines_of(labels, answer)]


def test_the_answer_in_words() -> None:
    """What takes it, each step with what holds it, and the others; nothing but sentences."""
    assert told(LABELS, STEPS) == [
        "Alert alertname=Slow, env=prod, server=a, team=shop",
        "Slow takes it (r.yaml:3:5): a P2 incident for server=a.",
        "  Step 1: postgres.activity on postgres/orders: only reads",
        "  Step 2: postgres.cancel_queries on postgres/orders: would not go now; 26 guards would let it",
        "    halt holds it: halted by ada: all stop",
        "    would act on 2 elements: pid 7; pid 8",
        "  Step 3: postgres.terminate_queries: would go, all 27 guards let it",
        "Other rules",
        "  Prod (r.yaml:7:5) would take it, too, but Slow comes first",
        "  Critical (r.yaml:2:5): severity=\"critical\" does not hold, it is ''",
        "  Test (r.yaml:8:5): env=\"test\" does not hold, it is 'prod'",
        "  1 further rule of other alerts",
    ]


def test_what_is_in_shadow_is_not_said_to_go() -> None:
    """A new rule acts nowhere before it is promoted: nobody must read that it would."""
    shadowed = {**STEPS[2], "shadow": "not promoted: shadow"}
    [line] = [line for line in told(LABELS, [shadowed]) if "Step 3" in line]
    assert line.endswith("would not be done, only recorded: not promoted: shadow")


def test_a_live_incident_and_a_wait_are_told() -> None:
    """What is taken over or told to people does not begin anew because another alert joins it."""
    lines = told(LABELS, [], joins=True, opens_after="5m")
    assert lines[1].endswith(": a P2 incident for server=a, once it has fired for 5m.")
    assert lines[2].startswith("Such an incident is there already: the alert would join it")


def test_an_alert_that_nobody_takes_in_words() -> None:
    """It is said what happens to it, and not only that nothing matched."""
    lines = told({"alertname": "Stray"}, [])
    assert lines[1] == "No rule takes it: it would be kept and listed, and nothing would be done about it."
    assert lines[2] == "The nearest rules"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ({"alerts": [{"labels": {"a": "1"}}, {"labels": {"b": "2"}}]}, [{"a": "1"}, {"b": "2"}]),
        ({"labels": {"a": "1"}, "annotations": {"x": "y"}}, [{"a": "1"}]),
        ([{"labels": {"a": "1"}}], [{"a": "1"}]),
        ({"alertname": "A"}, [{"alertname": "A"}]),
    ],
)
def test_an_alert_may_be_given_in_any_form_that_people_have_it_in(
    text: Any, labels: list[dict[str, str]]
) -> None:
    """A webhook's body, one alert, a list of the API, or bare labels."""
    assert rule_explained._alerts(json.dumps(text)) == labels


@pytest.mark.parametrize("text", ["{", "3", '"a"', "[]", '{"alerts": []}', '{"labels": {"a": 1}}', "[3]"])
def test_what_is_no_alert_is_refused_in_words(text: str) -> None:
    """No question is asked, and the mend is told."""
    with pytest.raises(SystemExit):
        rule_explained._alerts(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say which alert: --alert FILE, or --label alertname=NAME"),
        (["--label", "alertname"], "'alertname' is not NAME=VALUE"),
    ],
)
def test_the_command_says_what_it_needs(arguments: list[str], told: str) -> None:
    """Before any server is asked."""
    result = CliRunner().invoke(explain_alert, [*arguments, "--url", "http://127.0.0.1:9"])
    assert (result.exit_code, told in result.output) == (2, True), result.output
