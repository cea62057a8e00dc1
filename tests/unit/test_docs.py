"""The pages of docs/ name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    """A path of this repository in backticks leads somewhere."""
    text = (ROOT / "docs" / page).read_text()
    named = re.findall(r"`((?:responder|tests|deploy|rules|docs)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
