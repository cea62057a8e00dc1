"""`responder rules test`: what a test file says, what is played, and how a difference is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from responder.cli.main import main

ROOT = Path(__file__).parents[2]
RULES = """\
rules:
  - name: Stuck
    match: ['alertname = "Stuck"']
    severity:
      - {when: ['severity = "critical"'], is: P1}
      - {is: P2}
    group_by: [server]
    autonomy: auto
    steps:
      - {action: postgres.cancel_queries, with: {connection: {server: $labels.server}, older_than: 1m}}
      - {action: postgres.terminate_queries, with: {connection: {server: $labels.server}, older_than: 1m}}
    verify: {alert_resolved_within: 5m, stable_for: 1m}
"""
HEAD = """\
rules: [stuck.yaml]
inventory:
  postgres: [{name: orders, matches: ['server = "db1"']}]
tests:
"""
HELPED = """\
  - name: cancelling helps
    alerts: [{labels: {alertname: Stuck, server: db1}, to: 2m}]
    actions: [{action: postgres.cancel_queries, finds: [pid 7]}]
    expect:
      - at: 0s
        incidents: [{rule: Stuck, key: {server: db1}, severity: P2, state: verifying}]
        steps: [{step: 1, action: postgres.cancel_queries, target: postgres/orders, outcome: done}]
      - at: 10m
        incidents: [{rule: Stuck, state: resolved}]
        steps: []
        verdicts: [{step: 1, verdict: recovered}]
        escalations: []
"""


def played(folder: Path, tests: str, *more: str, rules: str = RULES, head: str = HEAD) -> Result:
    (folder / "stuck.yaml").write_text(rules)
    (folder / "stuck.test.yaml").write_text(head + tests)
    file = str(folder / "stuck.test.yaml")
    return CliRunner(env={"RESPONDER_CONFIG": None}).invoke(main, ["rules", "test", file, *more])


def said(folder: Path, tests: str) -> str:
    """What is printed of tests that fail, without the folder."""
    result = played(folder, tests)
    assert result.exit_code == 1, result.output
    return result.output.replace(f"{folder}/", "")


def test_a_ladder_whose_first_step_helps(tmp_path: Path) -> None:
    """Incident, step, verdict and that nobody was paged are as the ladder of the engine makes them."""
    result = played(tmp_path, HELPED)
    assert (result.exit_code, result.output) == (0, "1 test in 1 file: all passed.\n")


def test_what_does_not_help_climbs_and_escalates(tmp_path: Path) -> None:
    """Times are those of the rule: 5m to recover, 1m to be stable, for each step; then a person is told."""
    tests = """\
  - name: nothing helps
    alerts: [{labels: {alertname: Stuck, server: db1, severity: critical}}]
    actions:
      - {action: postgres.cancel_queries, finds: [pid 7]}
      - {action: postgres.terminate_queries, finds: [pid 7, pid 8], run: {pid 8: not_done}}
    expect:
      - at: 5m59s
        steps: [{step: 1}]
        verdicts: []
      - at: 6m
        verdicts: [{step: 1, verdict: not_recovered}]
        guards: [{step: 2, guard: floor, ruling: refuse, says: more than the 1 that at_most allows}]
        escalations: [{level: 1, severity: P1, says: no step is left}]
        incidents: [{state: escalated, severity: P1}]
"""
    result = played(tmp_path, tests)
    assert result.exit_code == 0, result.output


def test_a_difference_is_told_with_its_place_what_was_and_the_timeline(tmp_path: Path) -> None:
    """file:line:column, what was expected, only what is otherwise, and the incident in virtual time."""
    told = said(tmp_path, HELPED.replace("severity: P2, state: verifying", "severity: P1, state: held"))
    difference = (
        "stuck.test.yaml:10:21: at 0s: expected {rule: Stuck, key: {server: db1}, severity: P1, "
        "state: held}, but it was {severity: P2, state: verifying}."
    )
    assert told.splitlines()[1:6] == [
        "FAILED stuck.test.yaml:5:5: cancelling helps",
        difference,
        "What happened:",
        "  P2 Stuck (server=db1), resolved:",
        "        0s  Heard of",
    ]
    assert "        3m  Resolved: recovered, stable for 1m" in told.splitlines()
    assert told.endswith("1 test in 1 file: 1 failed.\n")


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("incidents: []", ":10:9: at 10m: there is an incident more than expected: {rule: Stuck, "),
        ("incidents: [{}, {}]", ":10:25: at 10m: expected {}, but there is no such incident."),
        ("incidents: [{key: {server: b}}]", "expected {key: {server: b}}, but there is no such incident."),
        ("steps: []", ":10:9: at 10m: steps has one more than expected: {rule: Stuck, key: {server: db1}, "),
        ("steps: [{step: 1}, {step: 2}]", "expected {step: 2}, but it did not happen."),
        ("steps: [{elements: [pid 8]}]", "expected {elements: [pid 8]}, but it was {elements: [pid 7]}."),
        ("steps: [{with: {at_most: 2}}]", "but it was {with: {connection: {server: db1}, "),
        ("verdicts: [{verdict: no_data}]", "but it was {verdict: recovered}."),
        ("escalations: [{level: 1}]", "expected {level: 1}, but it did not happen."),
        ("notices: [{kind: resolved}]", "expected {kind: resolved}, but it did not happen."),
        ("guards: [{guard: halt}]", "expected {guard: halt}, but it did not happen."),
    ],
)
def test_each_list_is_whole(tmp_path: Path, expected: str, told: str) -> None:
    """What is not listed did not happen, and what is listed did: nothing more passes unseen."""
    tests = HELPED[: HELPED.index("    expect:")] + f"    expect:\n      - at: 10m\n        {expected}\n"
    assert told in said(tmp_path, tests)


def test_an_incident_of_which_less_is_said_takes_none_of_which_more_is(tmp_path: Path) -> None:
    """Two of one rule, one named by its key: whichever stands first in the list."""
    rules = RULES.replace("group_by: [server]", "group_by: [server, pod]")
    alert = "{labels: {alertname: Stuck, server: db1, pod: %s}, to: 2m}"
    alerts = HELPED.replace(
        "[{labels: {alertname: Stuck, server: db1}, to: 2m}]", f"[{alert % 1}, {alert % 2}]"
    )
    told = alerts[: alerts.index("    expect:")] + (
        "    expect: [{at: 0s, incidents: [{rule: Stuck}, {rule: Stuck, key: {pod: 1}}]}]\n"
    )
    assert played(tmp_path, told, rules=rules).exit_code == 0


def test_what_a_test_says_and_nobody_asks_for_fails_it(tmp_path: Path) -> None:
    """A fake that never applied would be believed to have: it is told with its place."""
    surplus = "{action: postgres.terminate_queries, finds: [pid 9]}"
    told = said(tmp_path, HELPED.replace("finds: [pid 7]}]", f"finds: [pid 7]}}, {surplus}]"))
    assert "stuck.test.yaml:7:66: nobody asked for this." in told


def test_labels_are_text_however_they_are_written(tmp_path: Path) -> None:
    """`pod: 1` is the label that `copies` makes, and what an expectation of it means."""
    rules = RULES.replace("group_by: [server]", "group_by: [server, pod]")
    alerts = HELPED.replace("server: db1}, to: 2m", "server: db1, pod: 1}, to: 2m")
    expected = alerts.replace("key: {server: db1}", "key: {pod: 1}")
    assert played(tmp_path, expected, rules=rules).exit_code == 0


def test_a_secret_of_an_alert_is_not_printed(tmp_path: Path) -> None:
    """An alert copied from production is redacted before it is matched, as a source does."""
    url = "postgres://app:hunter2hunter2@db1/orders"
    test = HELPED.replace("server: db1}, to", f"server: '{url}'}}, to")
    told = said(tmp_path, test)
    assert "hunter2hunter2" not in told
    assert "opened for server=postgres://" in told


def test_what_the_test_says_nothing_of_fails_it_by_name(tmp_path: Path) -> None:
    """A step that looks where the test has put nothing is no step that found nothing to do."""
    told = said(tmp_path, HELPED.replace("actions: [", "actions: [] #"))
    unsaid = (
        "step 1 of Stuck (postgres.cancel_queries) looks at postgres/orders, and the test does not say what"
    )
    assert unsaid in told


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        (
            "stte: resolved",
            "state: resolved",
            "13:35: unknown key `stte` in one of `incidents`. Write `state` if",
        ),
        (
            "state: resolvd",
            "state: resolved",
            "13:42: `state` cannot be 'resolvd'. Write `resolved` if that is",
        ),
        ("at: 10", "at: 10m", "12:13: `at`: 10 has no unit. Write 10s or 10m."),
        ("at: 0s", "at: 10m", "12:9: an expectation stands before an earlier one, or has the same time."),
        ("actoins:", "actions:", "7:5: unknown key `actoins` in a test. Write `actions` if that is meant."),
        ("stuk.yaml", "stuck.yaml", "1:9: the rule file "),
        ("rule: Stuk", "rule: Stuck", "10:21: there is no rule 'Stuk'. Write `Stuck` if that is meant."),
        (
            "cancel_query,",
            "cancel_queries,",
            "7:15: there is no action 'postgres.cancel_query'. Write `postgres.",
        ),
        ("restraints: [{kind: freeze}]\n    expect:", "expect:", "8:18: only a halt has no end. Add `to:`."),
        ("{step: 3", "{step: 1", "11:17: there is no step 3. Count from 1 to 2."),
        ("expect: []\n    more:", "expect:", "8:5: a test expects nothing."),
        ("incidents: [{rule: [Stuck]", "incidents: [{rule: Stuck", "10:28: `rule` must be text, not a list"),
        ("{step: '1'", "{step: 1", "11:24: `step` is a whole number. Write one like 1, without quotes."),
        (
            "to: 2m, fires: [{from: 0s}]}",
            "to: 2m}",
            "6:56: `to` stands beside `fires`, which says when it fires. Write it in `fires`, or leave",
        ),
        (
            "finds: [pid 7], run: {pid 8: unknown}}",
            "finds: [pid 7]}",
            "7:71: `run` names 'pid 8', which is not found. Write `pid 7` if that is meant.",
        ),
    ],
)
def test_a_mistake_in_a_test_file_has_its_place_and_its_mend(
    tmp_path: Path, wrong: str, right: str, told: str
) -> None:
    """A word that nobody knows must not make a test that expects nothing."""
    text = (HEAD + HELPED).replace(right, wrong)
    result = played(tmp_path, text, head="")
    assert result.exit_code == 1
    assert f"stuck.test.yaml:{told}" in result.output


def test_a_mistake_in_the_rules_is_told_as_the_check_tells_it(tmp_path: Path) -> None:
    """Rules that would not be activated are not tested."""
    result = played(tmp_path, HELPED, rules=RULES.replace("older_than: 1m", "older_than: soon", 1))
    assert result.exit_code == 1
    assert "stuck.yaml:10:" in result.output


def test_json_has_the_same_in_fields(tmp_path: Path) -> None:
    """Each test with its place, whether it passed, its differences and the timelines."""
    result = played(tmp_path, HELPED.replace("state: resolved", "state: closed"), "--format", "json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["ok"] is False
    [test] = told["tests"]
    assert (test["name"], test["passed"], test["line"]) == ("cancelling helps", False, 5)
    assert test["differences"][0]["line"] == 13
    assert test["timelines"][0]["lines"][0] == {"at": "0s", "text": "Heard of"}


def test_a_folder_is_searched_and_one_without_a_test_is_an_error(tmp_path: Path) -> None:
    """A run that finds nothing must not look like one in which everything passed."""
    played(tmp_path, HELPED)
    (tmp_path / "empty").mkdir()
    run = CliRunner().invoke
    assert run(main, ["rules", "test", str(tmp_path)]).output == "1 test in 1 file: all passed.\n"
    nothing = run(main, ["rules", "test", str(tmp_path / "empty")])
    assert nothing.exit_code == 1
    assert "there is no test in" in nothing.output


def test_a_folder_of_rules_does_not_read_its_tests_as_rules(tmp_path: Path) -> None:
    """Tests stand beside the rules; who activates the folder activates the rules alone."""
    played(tmp_path, HELPED)
    config = tmp_path / "responder.yaml"
    config.write_text(
        """\
sources: {main: {alertmanager: ["http://127.0.0.1:9093"]}}
inventory: {postgres: [{name: orders, dsn: "postgresql://127.0.0.1/x", matches: ['server = "db1"']}]}
"""
    )
    nobody = {"RESPONDER_URL": "http://127.0.0.1:1"}  # whatever service is up here is not asked
    one_file = ["rules", "check", str(tmp_path / "stuck.yaml"), "--config", str(config)]
    result = CliRunner().invoke(main, one_file, env=nobody)
    assert result.output == "1 rule, no mistake.\n"
    rules = tmp_path / "rules"
    rules.mkdir()
    for name in ("stuck.yaml", "stuck.test.yaml"):
        (tmp_path / name).rename(rules / name)
    result = CliRunner().invoke(main, ["rules", "check", str(rules), "--config", str(config)], env=nobody)
    assert result.output == "1 rule, no mistake.\n"


def test_the_example_of_the_docs_passes(tmp_path: Path) -> None:
    """The page's rule and the test of it are played as they stand there."""
    page = (ROOT / "docs" / "rules.md").read_text()
    rule, test = (
        next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith(begins))
        for begins in ("defaults:", "rules: [rules.yaml]")
    )
    (tmp_path / "rules.yaml").write_text(rule)
    (tmp_path / "rules.test.yaml").write_text(test)
    result = CliRunner().invoke(main, ["rules", "test", str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "1 test in 1 file: all passed.\n")


def test_the_shipped_rules_pass_their_tests_and_every_part_is_reached() -> None:
    """Each rule, severity, step, condition and limit of rules/ is reached by a test beside it."""
    result = CliRunner(env={"RESPONDER_CONFIG": None}).invoke(
        main, ["rules", "test", str(ROOT / "rules"), "--require-coverage"]
    )
    assert result.exit_code == 0, result.output


def test_coverage_names_what_no_test_has_reached(tmp_path: Path) -> None:
    """A part without a test stands in the table, and --require-coverage makes it exit 1."""
    told = played(tmp_path, HELPED, "--coverage")
    assert told.exit_code == 0
    rows = [re.split(r"  +", line)[1:] for line in told.output.splitlines() if line.startswith(str(tmp_path))]
    assert rows == [
        ["Stuck", "opened", "1"],
        ["Stuck", "severity P1", "not reached"],
        ["Stuck", "severity P2", "1"],
        ["Stuck", "step 1: postgres.cancel_queries", "1"],
        ["Stuck", "step 2: postgres.terminate_queries", "not reached"],
        ["Stuck", "limit: attempts", "not reached"],
        ["Stuck", "limit: cooldown", "not reached"],
    ]
    assert "3 of 7 parts reached." in told.output
    assert played(tmp_path, HELPED, "--require-coverage").exit_code == 1


def test_coverage_stands_in_the_json(tmp_path: Path) -> None:
    """The same parts with the number of tests, and every guard."""
    told = json.loads(played(tmp_path, HELPED, "--coverage", "--format", "json").output)
    assert {one["part"]: one["tests"] for one in told["coverage"]["parts"]}["severity P1"] == 0
    assert told["coverage"]["guards"]["cooldown"] == 0


@pytest.fixture(scope="module")
def rehearsed() -> dict[str, Any]:
    """Every test of tests/unit/rehearsed and of the shipped rules, as JSON with the coverage."""
    where = [str(ROOT / "tests" / "unit" / "rehearsed"), str(ROOT / "rules")]
    run = CliRunner(env={"RESPONDER_CONFIG": None}).invoke
    result = run(main, ["rules", "test", *where, "--coverage", "--format", "json"])
    told: dict[str, Any] = json.loads(result.output)
    return told


def test_every_way_of_an_incident_and_nearly_every_guard_is_rehearsed(rehearsed: dict[str, Any]) -> None:
    """All that can stop a step stops one in a test, but for what a test of rules cannot have."""
    failed = [test["differences"] for test in rehearsed["tests"] if not test["passed"]]
    assert failed == []
    never = {guard for guard, tests in rehearsed["coverage"]["guards"].items() if not tests}
    assert never == {"clock", "maintenance", "own_ground", "still_firing", "too_old", "blind"}


def test_a_read_only_step_and_an_undo_are_covered_where_they_ran(rehearsed: dict[str, Any]) -> None:
    """They start no attempt of their own kind, and are parts of a rule all the same."""
    parts = {(one["rule"], one["part"]): one["tests"] for one in rehearsed["coverage"]["parts"]}
    assert parts["Climbing", "step 1: postgres.activity"] > 0
    assert parts["Quiet", "step 1: alertmanager.silence, taken back"] > 0
    assert parts["Told", "people told at its opening"] > 0


EVIDENCE = (
    RULES
    + """\
    evidence: [{action: postgres.activity, with: {connection: {server: $labels.server}}}]
"""
)


def test_evidence_is_told_before_the_first_step_is_judged(tmp_path: Path) -> None:
    """In the service it comes when it comes; here it is gathered at once, in the same place each time."""
    tests = HELPED.replace("actions: [", "actions: [{action: postgres.activity, state: {seen: 3}}, ")
    told = json.loads(played(tmp_path, tests, "--format", "json", rules=EVIDENCE).output)
    texts = [line["text"] for line in told["tests"][0]["timelines"][0]["lines"]]
    evidence = texts.index("postgres.activity: postgres/orders: seen: 3")
    assert texts[evidence + 1] == "postgres.cancel_queries on postgres/orders may go: every guard lets it go"


def test_an_answer_reaches_nobody_who_did_not_ask(rehearsed: dict[str, Any]) -> None:
    """A yes is a word on one question: it stands in no other timeline."""
    [test] = [one for one in rehearsed["tests"] if one["name"] == "an answer is given to whoever asks"]
    approved = [
        timeline["incident"].split()[1]
        for timeline in test["timelines"]
        if any("approved" in line["text"] for line in timeline["lines"])
    ]
    assert approved == ["Asked"]


@pytest.mark.parametrize(
    ("state", "guard"),
    [
        ("in_recovery: true, hidden: 0", "the server is a standby (in recovery)"),
        ("in_recovery: false, hidden: 2", "2 sessions may not be seen by our role"),
    ],
)
def test_from_a_whole_look_the_action_itself_pins_and_refuses(tmp_path: Path, state: str, guard: str) -> None:
    """Its own floors hold in a test, too, where the test gives all that its look would find."""
    look = f"{{sessions: [], spared: {{}}, {state}}}"
    tests = f"""\
  - name: a floor of its own
    alerts: [{{labels: {{alertname: Stuck, server: db1}}}}]
    actions:
      - {{action: postgres.cancel_queries, look: {look}}}
      - {{action: postgres.terminate_queries, look: {look}}}
    expect:
      - at: 0s
        steps: []
        guards: [{{step: 1, guard: floor, says: "{guard}"}}, {{step: 2, guard: floor}}]
"""
    result = played(tmp_path, tests)
    assert result.exit_code == 0, result.output


def test_a_look_that_is_not_the_actions_is_told_with_the_field(tmp_path: Path) -> None:
    """What it would find is checked against what it can find."""
    tests = HELPED.replace("finds: [pid 7]", "look: {sessions: []}")
    told = said(tmp_path, tests)
    assert (
        "stuck.test.yaml:7:15: `look` of postgres.cancel_queries does not fit: spared: Field required" in told
    )


def test_an_undo_gets_the_state_that_the_test_gave(rehearsed: dict[str, Any]) -> None:
    """The inverse is the action's own: it leaves the silences that stood before."""
    [test] = [one for one in rehearsed["tests"] if one["name"] == "a silence that did not help is taken back"]
    assert test["passed"]


def test_what_a_test_file_leaves_out_is_that_of_the_settings(tmp_path: Path) -> None:
    """Targets are found by the inventory of --config, and severities answer in its time."""
    config = tmp_path / "responder.yaml"
    config.write_text(
        """\
sources: {main: {alertmanager: ["http://127.0.0.1:9093"]}}
inventory: {postgres: [{name: real, dsn: "postgresql://127.0.0.1/x", matches: ['server = "db1"']}]}
severities: {P2: {response_time: 20m}}
"""
    )
    tests = """\
  - name: the target and the time are of the settings
    alerts: [{labels: {alertname: Stuck, server: db1}}]
    actions: [{action: postgres.cancel_queries, finds: [pid 7]}]
    restraints: [{kind: halt}]
    expect:
      - at: 19m
        guards: [{guard: halt}]
      - at: 20m
        escalations: [{says: held for 20m}]
"""
    head = "rules: [stuck.yaml]\ntests:\n"
    result = played(tmp_path, tests, "--config", str(config), head=head)
    assert result.exit_code == 0, result.output
    helped = HELPED.replace("target: postgres/orders", "target: postgres/real")
    assert played(tmp_path, helped, "--config", str(config), head=head).exit_code == 0
