"""The check of rule files: what is right passes, and every mistake is told with its place and mend."""

from pathlib import Path

import pytest

from responder.rulebook.load import check_texts
from responder.rulebook.surroundings import Surroundings
from tests.support.rule_surroundings import NOT_ASKED, surroundings

BROKEN = Path(__file__).parent / "broken_rules"
SETTINGS = {"21_short_windows.yaml": surroundings(sources=(NOT_ASKED,))}


def told(name: str, text: str, around: Surroundings) -> str:
    report = check_texts([(name, text)], around)
    assert (report.rulebook is None) == bool(report.mistakes)
    return "".join(f"{mistake}\n" for mistake in report.mistakes)


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_mistake_of_a_broken_file_is_told_in_one_run(file: Path) -> None:
    """Each mistake has its line, column, reason and mend, and nothing is told that is no mistake."""
    around = SETTINGS.get(file.name, surroundings())
    assert told(file.name, file.read_text(), around) == file.with_suffix(".expected").read_text()
