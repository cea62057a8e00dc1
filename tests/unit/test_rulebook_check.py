"""The check of rule files: what is right passes, and every mistake is told with its place and mend."""

from datetime import timedelta
from pathlib import Path

import pytest

from responder.actions.postgres import ActivityParams
from responder.rulebook.load import check_texts
from responder.rulebook.surroundings import Surroundings
from tests.support.rule_surroundings import broken_surroundings, surroundings

WAITING = """\
rules:
  - name: A
    match: 'alertname = "A"'
    severity: P2
    group_by: [server]
    escalate: true
    evidence:
      - {{action: postgres.activity, with: {{connection: orders, longer_than: {written}}}}}
"""
BROKEN = Path(__file__).parent / "broken_rules"


def told(name: str, text: str, around: Surroundings) -> str:
    report = check_texts([(name, text)], around)
    assert (report.rulebook is None) == bool(report.mistakes)
    return "".join(f"{mistake}\n" for mistake in report.mistakes)


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_mistake_of_a_broken_file_is_told_in_one_run(file: Path) -> None:
    """Each mistake has its line, column, reason and mend, and nothing is told that is no mistake."""
    assert (
        told(file.name, file.read_text(), broken_surroundings(file.name))
        == file.with_suffix(".expected").read_text()
    )


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("10", "10 has no unit. Write 10s or 10m."),
        ("'10'", "10 has no unit. Write 10s or 10m."),
        ("1.5", "1.5 has no unit. Write one like 30s, 10m, 1h30m or 7d."),
        ("0s", "must be more than 0s. Write one like 30s or 10m."),
        ("0", "must be more than 0s. Write one like 30s or 10m."),
        ("true", "a yes or no is no duration. Write one like 30s, 10m, 1h30m or 7d."),
    ],
)
def test_a_duration_of_a_parameter_needs_its_unit_and_is_more_than_nothing(
    written: str, mistake: str
) -> None:
    """A bare number would be seconds to one reader and minutes to another: it is refused, with the mend."""
    found = told("rules.yaml", WAITING.format(written=written), surroundings())
    assert found == f"rules.yaml:8:77: `longer_than` does not fit: {mistake}\n"


def test_a_duration_is_read_back_as_it_was_stored() -> None:
    """The ledger keeps parameters as JSON: what it says goes back in as the same value."""
    params = ActivityParams(connection="orders", longer_than=timedelta(minutes=90))
    stored = params.model_dump(mode="json")
    assert stored["longer_than"] == "1h30m"
    assert ActivityParams.model_validate(stored) == params
