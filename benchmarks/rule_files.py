"""Rulebooks of any size for the measurements: as a team writes them, one in a hundred of them unindexable.

Unindexable is what demands no exact value of any label: an expression with a beginning left open, or, every
other time, nothing but that a label is there.
"""

from pathlib import Path

_UNINDEXABLE = 100
"""Of so many rules one demands no exact value of any label."""
_FILES = 20
_WHERE = {"server": "orders:5432", "datname": "orders"}

_RULE = """\
  - name: Rule{number}
    match: [{match}]
    severity:
      - {{when: ['severity = "critical"'], is: P1}}
      - {{is: P2}}
    group_by: [server, datname]
    autonomy: auto
    evidence:
      - {{action: postgres.activity, with: {{connection: {{server: $labels.server}}}}}}
    steps:
      - action: postgres.terminate_queries
        with:
          connection: {{server: $labels.server}}
          database: $labels.datname
          older_than: 10m
          blocking: true
          at_most: 5
        when: {{probe: {{sql: blocked_sessions, is: '> 0'}}}}
        timeout: 30s
    verify:
      alert_resolved_within: 10m
      stable_for: 2m
      probes: [{{sql: blocked_sessions, is: '== 0'}}]
    limits: {{attempts: 3, per: 1h, cooldown: 10m}}
    runbook_url: https://runbooks.example.com/postgres/{number}
    notes: Long queries of team {team} that block nobody are left alone.
"""


def rules_text(numbers: range) -> str:
    """A rule file with these rules."""
    return "defaults:\n  owner: database\nrules:\n" + "".join(_rule(number) for number in numbers)


def write_rule_files(folder: Path, count: int) -> list[Path]:
    """So many rules in twenty files, as many in each."""
    each = count // _FILES
    files = [folder / f"{number:02}.yaml" for number in range(_FILES)]
    for number, file in enumerate(files):
        file.write_text(rules_text(range(number * each, (number + 1) * each)))
    return files


def labels_of(number: int) -> dict[str, str]:
    """Labels of an alert that the rule takes, and no other."""
    usual = {"severity": "warning", "job": f"job-{number % 50}", "cluster": "bench"}
    own = {f"tenant_{number}": "yes"} if _by_presence(number) else {}
    return {**usual, "alertname": f"Alert{number}", "instance": f"orders-{number}", **_WHERE, **own}


def _rule(number: int) -> str:
    return _RULE.format(number=number, match=_match(number), team=number % 20)


def _match(number: int) -> str:
    if number % _UNINDEXABLE != _UNINDEXABLE - 1:
        return f"""'alertname = "Alert{number}"', 'severity =~ "warning|critical"', 'datname != ""'"""
    if _by_presence(number):
        return f"""'tenant_{number} != ""', 'datname != ""'"""
    return f"""'alertname =~ ".*t{number}"', 'datname != ""'"""


def _by_presence(number: int) -> bool:
    return number % (2 * _UNINDEXABLE) == 2 * _UNINDEXABLE - 1
