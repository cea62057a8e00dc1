"""Takes out, in a copy of the tree, what keeps a promise, and runs the promise's test there: it has to fail.

Nothing in the tree itself is ever changed.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.promises.found import ROOT, Proof
from tests.promises.run import Ran, run
from tests.promises.sabotages import Sabotage

_NEEDED = ("responder", "tests", "rules", "pyproject.toml")
"""What the tests of the promises stand on."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One sabotage, and whether its promise's test failed as it has to; `why` where it did not."""

    sabotage: Sabotage
    found: bool
    seconds: float
    why: str = ""


class StaleError(Exception):
    """The text of a sabotage does not stand in its file exactly once."""


def sabotaged(sabotage: Sabotage, text: str) -> str:
    """The file with the line taken out. Raises StaleError."""
    if text.count(sabotage.find) != 1:
        times = text.count(sabotage.find)
        raise StaleError(
            f"{sabotage.file} has this {times} times, not once; write the sabotage of promise "
            f"{sabotage.promise} ({sabotage.what}) anew:\n{sabotage.find}"
        )
    return text.replace(sabotage.find, sabotage.instead)


def attempt(sabotage: Sabotage, proof: Proof) -> Tried:
    """Take it out, run the test, and see."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as folder:
        tree = _copy(Path(folder) / "tree")
        file = tree / sabotage.file
        file.write_text(sabotaged(sabotage, file.read_text()))
        done = run([proof.node], "-p", "no:cacheprovider", tree=tree)
    ran = done.of(proof.node)
    if ran is None:
        return Tried(sabotage, found=False, seconds=0.0, why=f"its test did not run\n{done.output}")
    return Tried(sabotage, not _missed(sabotage, ran), ran.seconds, _missed(sabotage, ran))


def _missed(sabotage: Sabotage, ran: Ran) -> str:
    """Why it does not count as found; empty where it does."""
    if ran.held:
        return "its test passes without it"
    if not ran.disproved:
        return f"its test fails for another reason: {ran.problem or ran.why}"
    if sabotage.fails not in ran.failed_at:
        return f"its test fails at another line: {ran.failed_at}\n{ran.problem}"
    return ""


def _copy(tree: Path) -> Path:
    tree.mkdir()
    for name in _NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree
