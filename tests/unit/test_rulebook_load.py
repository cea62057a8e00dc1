"""Loading rules: what is right becomes what it says, from any number of files, within bounds."""

from datetime import timedelta
from pathlib import Path

import pytest

from responder.model.autonomy import Autonomy
from responder.model.rule import PromqlProbe, Recurrence, Rule, Rulebook, SqlProbe, StepKind, Undo
from responder.model.severity import Severity
from responder.rulebook import document
from responder.rulebook.load import check, check_texts
from responder.rulebook.show import describe, lines, show_text
from responder.rulebook.surroundings import SourceFacts, Surroundings
from tests.support.rule_surroundings import NOT_ASKED, surroundings

ROOT = Path(__file__).parents[2]

RULE = """
defaults:
  autonomy: approve
  limits: {attempts: 2, cooldown: 5m}
  owner: database
rules:
  - name: A
    match: ['alertname = "A"', '{job=~"db|pg",severity!="info"}']
    severity: [{when: ['severity = "critical"'], is: P1}, {is: P2}]
    group_by: [...]
    for: 1m30s
    steps:
      - action: postgres.terminate_queries
        with: {connection: {server: $labels.server}, older_than: 10m, database: no}
        when: {probe: {sql: blocked_sessions, is: '> 0'}}
        autonomy: shadow
    verify:
      stable_for: 1m
      probes:
        - {promql: 'max(x{datname="$labels.datname"})', is: '< 1.5'}
        - {sql: replication_lag, connection: orders, is: '!= -1e3'}
        - {sql: blocked_sessions, is: '== 0'}
    limits: {per: 2h, cooldown: 1m}
"""


def only(text: str, around: Surroundings | None = None) -> Rule:
    report = check_texts([("rules.yaml", text)], around or surroundings())
    assert report.mistakes == ()
    assert report.rulebook is not None
    (rule,) = report.rulebook.rules
    return rule


def told(text: str, around: Surroundings | None = None) -> str:
    report = check_texts([("f", text)], around or surroundings())
    return "\n".join(str(mistake) for mistake in report.mistakes)


def test_a_rule_becomes_what_it_says() -> None:
    """Every key of the language arrives; words such as `no` stay text; probes take the step's connection."""
    rule = only(RULE)
    assert [str(m) for m in rule.match] == ['alertname="A"', 'job=~"db|pg"', 'severity!="info"']
    assert rule.severity_of({"severity": "critical"}) is Severity.P1
    assert rule.severity_of({}) is Severity.P2
    assert rule.group_by is None
    assert rule.wait_for == timedelta(seconds=90)
    assert rule.autonomy is Autonomy.APPROVE
    (step,) = rule.every_step
    assert (step.kind, step.undo, step.autonomy) == (StepKind.DISRUPTIVE, Undo.NEVER, Autonomy.SHADOW)
    assert step.params == {"connection": {"server": "$labels.server"}, "older_than": "10m", "database": "no"}
    assert step.timeout == timedelta(seconds=10)
    assert isinstance(step.when, SqlProbe)
    assert step.when.connection == {"server": "$labels.server"}
    assert rule.verify is not None
    promql, lag, blocked = rule.verify.probes
    assert isinstance(promql, PromqlProbe)
    assert str(promql.expect) == "< 1.5"
    assert isinstance(lag, SqlProbe)
    assert (lag.connection, str(lag.expect)) == ("orders", "!= -1000")
    assert isinstance(blocked, SqlProbe)
    assert blocked.connection == {"server": "$labels.server"}
    assert (rule.limits.attempts, rule.limits.per) == (2, timedelta(hours=2))
    assert rule.limits.cooldown == timedelta(minutes=1)


def test_a_rule_survives_the_database() -> None:
    """A rulebook written as JSON and read again is equal, with the same hash."""
    book = Rulebook(rules=(only(RULE),))
    again = Rulebook.model_validate_json(book.model_dump_json(by_alias=True))
    assert again == book
    assert again.hash == book.hash


def test_show_tells_where_each_value_comes_from() -> None:
    """Values of the rule itself, of the defaults, of the action and built-in ones are told apart."""
    rule = only(RULE)
    origins = {line.path: line.origin for line in lines(rule)}
    assert origins["for"] == "the rule"
    assert origins["autonomy"] == "defaults at rules.yaml:3:3"
    assert origins["limits.attempts"] == "defaults at rules.yaml:4:12"
    assert origins["limits.cooldown"] == "the rule"
    assert origins["steps.0.timeout"] == "the action postgres.terminate_queries"
    assert origins["steps.0.undo"] == "built in"
    assert origins["steps.0.when.connection.server"] == "the rule's steps"
    assert origins["owner"] == "defaults at rules.yaml:5:3"
    assert "  owner                              database  (defaults at rules.yaml:5:3)\n" in show_text(rule)
    assert describe(rule)["acting_hash"] == rule.acting_hash


def test_what_only_tells_does_not_need_a_new_promotion() -> None:
    """Owner, notes, link, place and where defaults come from are not in the acting hash; limits are."""
    moved = "# moved\n" + RULE.replace("owner: database", "owner: dba").replace(
        "for: 1m30s", "for: 1m30s\n    notes: changed\n    autonomy: approve"
    )
    assert only(moved).acting_hash == only(RULE).acting_hash
    assert only(RULE.replace("per: 2h", "per: 3h")).acting_hash != only(RULE).acting_hash


PAGING = """
rules:
  - name: A
    match: 'alertname = "A"'
    severity: P1
    {notify}
    steps: [{{action: postgres.cancel_queries, with: {{connection: orders, older_than: 10m}}}}]
    verify: {{alert_resolved_within: 10m}}
"""


@pytest.mark.parametrize(
    ("written", "after", "shown"),
    [
        ("notify: {page: at_once}", timedelta(0), "  notify.page                   at_once\n"),
        ("notify: {page: {after: 5m}}", timedelta(minutes=5), "  notify.page.after             5m\n"),
        ("notify: {page: on_escalation}", None, "  notify.page                   on_escalation\n"),
        ("notes: none", None, "  notify.page                   on_escalation  (built in)\n"),
    ],
)
def test_when_people_are_told_is_read_and_shown_and_is_not_part_of_what_acts(
    written: str, after: timedelta | None, shown: str
) -> None:
    """Whoever wants to hear of it sooner needs no new promotion; the default is shown, with its origin."""
    rule, plain = only(PAGING.format(notify=written)), only(PAGING.format(notify="notes: x"))
    assert rule.notify.page_after == after
    assert shown in show_text(rule)
    assert describe(rule)["notify"] == rule.notify.model_dump(mode="json")
    assert rule.acting_hash == plain.acting_hash
    assert Rule.model_validate_json(rule.model_dump_json(by_alias=True)) == rule


def test_a_rule_that_pages_as_ever_is_the_rule_that_it_was() -> None:
    """One that was stored before pages were known is read, and has the same hash in the rulebook."""
    assert "notify" not in only(RULE).model_dump(mode="json", by_alias=True)


def test_a_page_in_the_defaults_is_for_the_rules_that_act() -> None:
    """A rule of the same file that changes nothing stays as it is; its own is a mistake (`23_notify`)."""
    evidence = "  - {name: B, match: [], severity: P2, escalate: true}\n"
    text = "defaults: {notify: {page: at_once}}" + PAGING.format(notify="notes: x") + evidence
    report = check_texts([("rules.yaml", text)], surroundings())
    assert report.rulebook is not None
    assert [rule.notify.page_after for rule in report.rulebook.rules] == [timedelta(0), None]


def test_limits_that_a_rule_does_not_set_leave_its_hash_alone() -> None:
    """A promotion from before they were known still holds; one that is set needs a new one."""
    plain = only(RULE)
    assert set(plain.model_dump(mode="json")["limits"]) == {"attempts", "per", "cooldown"}
    assert not [line for line in lines(plain) if "recurrence" in line.path or "open" in line.path]
    hashes = {plain.acting_hash}
    for key in ("recurrence: {count: 3, within: 10d}", "only_if_open_at_most: 5", "only_if_open_at_most: 6"):
        rule = only(RULE.replace("{per: 2h,", f"{{{key}, per: 2h,"))
        hashes.add(rule.acting_hash)
        assert Rule.model_validate_json(rule.model_dump_json(by_alias=True)) == rule
    assert len(hashes) == 4


def test_limits_of_recurrence_and_open_incidents_are_shown_with_their_origin() -> None:
    """As the others: key by key from the rule, else from the file's defaults."""
    given = RULE.replace("limits: {attempts: 2,", "limits: {only_if_open_at_most: 5, attempts: 2,").replace(
        "limits: {per: 2h,", "limits: {recurrence: {count: 3, within: 10d}, per: 2h,"
    )
    rule = only(given)
    assert rule.limits.recurrence == Recurrence(count=3, within=timedelta(days=10))
    assert rule.limits.only_if_open_at_most == 5
    shown = {line.path: (line.value, line.origin) for line in lines(rule)}
    assert shown["limits.recurrence.count"] == ("3", "the rule")
    assert shown["limits.recurrence.within"] == ("10d", "the rule")
    assert shown["limits.only_if_open_at_most"] == ("5", "defaults at rules.yaml:4:12")


def test_an_empty_file_has_no_rules() -> None:
    """Nothing, or comments alone, is no mistake."""
    report = check_texts([("a", ""), ("b", "# nothing yet\n"), ("c", "rules: []")], surroundings())
    assert report.rulebook == Rulebook(rules=())


def test_files_are_taken_in_bytewise_order_and_folders_not_deeply(tmp_path: Path) -> None:
    """`B` stands before `a`; a folder gives its own .yaml and .yml files, once each, and no hidden ones."""
    for name in ("a.yaml", "B.yml", "é.yaml", ".hidden.yaml", "notes.md", "deep/c.yaml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        rule = f"{len(name)}{file.stem.strip('.é')}x"
        file.write_text(f"rules: [{{name: {rule}, match: 'alertname = \"{rule}\"', severity: P3}}]")
    report = check([tmp_path, tmp_path / "a.yaml"], surroundings())
    assert report.rulebook is not None
    assert [rule.name for rule in report.rulebook.rules] == ["5Bx", "6ax", "6x"]


def test_what_cannot_be_read_is_a_mistake_too(tmp_path: Path) -> None:
    """A missing path, an empty folder and a file that is not UTF-8 are told with the others."""
    (tmp_path / "latin.yaml").write_bytes(b"rules: []\n# caf\xe9\n")
    (tmp_path / "empty").mkdir()
    missing = tmp_path / "missing.yaml"
    report = check([tmp_path / "empty", tmp_path / "latin.yaml", missing], surroundings())
    assert [str(mistake).removeprefix(str(tmp_path)) for mistake in report.mistakes] == [
        "/empty:1:1: there is no rule file in this folder. Add one that ends with .yaml.",
        "/latin.yaml:2:1: this is not UTF-8. Save it as UTF-8.",
        "/missing.yaml:1:1: cannot be read: No such file or directory. Name a rule file or a folder of them.",
    ]


def test_a_small_file_cannot_become_a_large_one() -> None:
    """Anchors that unfold a billion times, or into themselves, and endless nesting are refused at once."""
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
        for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    )
    assert "the file unfolds to too much" in told(laughs)
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [[[*a{n - 1}]]]\n" for n in range(1, 30))
    assert "the nesting is too deep" in told(chain)
    assert "`*r` names nothing that stands before it" in told("rules: &r [*r]")
    assert "the nesting is too deep" in told("rules: " + "[" * 99 + "]" * 99)
    assert told("[" * 100_000 + "]" * 100_000) != ""


def test_an_over_large_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file over the limit is one mistake, whatever is in it."""
    monkeypatch.setattr(document, "MAX_BYTES", 100)
    (tmp_path / "large.yaml").write_text("# " + "x" * 200)
    report = check([tmp_path], surroundings())
    assert [mistake.text for mistake in report.mistakes] == ["the file is larger than 0 MB"]


PROVEN = """
rules:
  - name: A
    match: []
    severity: P2
    autonomy: auto
    steps: [{{action: postgres.cancel_queries, with: {{connection: orders, older_than: 1m}}}}]
    verify: {verify}
"""
ENDLESS = SourceFacts(name="events", has_api=False, endless=True)
PROBE = "probes: [{promql: 'max(x)', is: '< 1'}]"


@pytest.mark.parametrize(
    ("verify", "changes", "problem"),
    [
        ("{alert_resolved_within: 5m}", {}, ""),
        ("{alert_resolved_within: 5m}", {"sources": ()}, "may not be auto"),
        ("{stable_for: 6m, alert_resolved_within: 6m}", {"sources": (NOT_ASKED,)}, "may not be auto"),
        (f"{{stable_for: 6m, alert_resolved_within: 6m, {PROBE}}}", {"sources": (NOT_ASKED,)}, ""),
        (f"{{{PROBE}}}", {"sources": (NOT_ASKED,)}, "stable_for of 2m is too short"),
        (f"{{{PROBE}}}", {"sources": (ENDLESS,)}, ""),
        (f"{{{PROBE}}}", {"prometheus": False}, "no Prometheus is configured"),
        (f"{{alert_resolved_within: 9m, {PROBE}}}", {"sources": (ENDLESS,)}, "no source ever says"),
        ("{stable_for: 1m}", {"sources": (ENDLESS,)}, "nothing can ever say that it recovered"),
    ],
)
def test_a_rule_that_acts_alone_can_prove_recovery(
    verify: str, changes: dict[str, object], problem: str
) -> None:
    """Auto needs a source to ask or a probe; windows fit the sources; something can speak of recovery."""
    found = told(PROVEN.format(verify=verify), surroundings(**changes))
    assert problem in found
    assert bool(problem) == bool(found)


def test_the_shipped_rules_pass() -> None:
    """What we ship is right, and the demonstration's copy differs in times alone."""
    shipped = check([ROOT / "rules"], surroundings())
    demo = check([ROOT / "rules" / "demo"], surroundings())
    assert shipped.mistakes + demo.mistakes == ()
    assert shipped.rulebook is not None
    assert demo.rulebook is not None
    real, short = shipped.rulebook.rule("RunawayQueries"), demo.rulebook.rule("RunawayQueries")
    assert real is not None
    assert short is not None
    assert [step.action for step in real.every_step] == [step.action for step in short.every_step]
    assert [step.params.keys() for step in real.every_step] == [
        step.params.keys() for step in short.every_step
    ]
    assert real.match == short.match


def test_the_example_of_the_documentation_passes() -> None:
    """The rule in docs/rules.md is right as it stands there."""
    text = (ROOT / "docs" / "rules.md").read_text()
    example = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert told(example) == ""


ACTIVITY = "{action: postgres.activity, with: {connection: orders, longer_than: 5m}}"
CANCEL = "{action: postgres.cancel_queries, with: {connection: orders, older_than: 10m}}"
USING = """
rules:
  - name: A
    match: ['alertname = "A"']
    severity: P1
    evidence: [%s]
    steps: [%s]
    verify: {alert_resolved_within: 10m}
"""


def loaded(*files: str) -> Rulebook:
    report = check_texts([(f"{at}.yaml", text) for at, text in enumerate(files)], surroundings())
    assert report.mistakes == ()
    assert report.rulebook is not None
    return report.rulebook


def test_a_named_list_stands_for_its_steps_and_its_file_may_be_another_one() -> None:
    """A rule that names lists is the one with their steps written out: it acts, and is promoted, alike."""
    lists = f"lists:\n  look: [{ACTIVITY}]\n  both: [{ACTIVITY}, {CANCEL}]\n"
    (named,) = loaded(USING % ("look", f"both, {ACTIVITY}"), lists).rules
    (written,) = loaded(USING % (ACTIVITY, f"{ACTIVITY}, {CANCEL}, {ACTIVITY}")).rules
    assert (named.evidence, named.steps) == (written.evidence, written.steps)
    assert named.acting_hash == written.acting_hash


def test_what_comes_from_a_list_says_so() -> None:
    """`rules show` tells the list and its place for each value of it; what is the action's stays so."""
    (rule,) = loaded(USING % ("look", CANCEL) + f"lists:\n  look: [{ACTIVITY}]\n").rules
    origins = {line.path: line.origin for line in lines(rule)}
    assert origins["evidence.0.with.longer_than"] == "the list look at 0.yaml:10:3"
    assert origins["evidence.0.timeout"] == "the action postgres.activity"
    assert origins["steps.0.with.older_than"] == "the rule"


def test_a_list_has_one_name_over_all_files() -> None:
    """Whoever reads a rule must know which list it means: a second one of the same name is a mistake."""
    twice = [("a.yaml", f"lists:\n  look: [{ACTIVITY}]\n"), ("b.yaml", f"lists:\n  look: [{CANCEL}]\n")]
    report = check_texts([*twice, ("c.yaml", USING % ("look", CANCEL))], surroundings())
    assert [str(mistake) for mistake in report.mistakes] == [
        "b.yaml:2:3: the list `look` is there already, at a.yaml:2:3. Give one of them another name."
    ]


def test_lists_are_a_mapping() -> None:
    """Steps without a name under `lists` are refused with their place."""
    assert told(f"lists: [{ACTIVITY}]\n") == (
        "f:1:8: `lists` must be a mapping. Write a name, and the list of steps under it."
    )
