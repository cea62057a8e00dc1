"""constraints.txt: all that pyproject.toml asks for, pinned, with hashes, and nothing of one machine."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = (ROOT / "constraints.txt").read_text()


def pinned() -> dict[str, str]:
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", PINS, re.MULTILINE)
    }


def test_every_requirement_is_pinned_within_its_range() -> None:
    """Base, every extra and the build: each has a version that it allows."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [text for texts in told["project"]["optional-dependencies"].values() for text in texts]
    wanted = [*told["project"]["dependencies"], *extras, *told["build-system"]["requires"]]
    pins = pinned()
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), str(requirement)


def test_every_pin_has_hashes_and_no_place() -> None:
    """`pip install --require-hashes` takes all of them, from any index."""
    blocks = re.split(r"^(?=[\w.-]+==)", PINS, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pinned())
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"index-url|find-links|https?://|file:|@ ", PINS)
