"""An action of ours as an installed package's, without installing anything."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def install_actions(site: Path, actions: Mapping[str, str]) -> None:
    """What `pip install` would leave in `site` of a package with these actions (name: `module:Class`)."""
    info = site / "responder_test_actions-1.dist-info"
    info.mkdir(parents=True)
    entries = "".join(f"{name} = {path}\n" for name, path in actions.items())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: responder-test-actions\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[responder.actions]\n{entries}")


@contextmanager
def found_here(site: Path) -> Iterator[None]:
    """This process finds what is installed there, too, while the block lasts."""
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
