"""A real part that is not installed fails the tests that need it; it never skips them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.parts import MissingPartError

ROOT = Path(__file__).parents[2]


def test_a_missing_part_fails_with_the_package_to_install(tmp_path: Path) -> None:
    """Without Alertmanager on the path a real test fails, and says what to install."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "real"),
            "tests/real/test_parts.py::test_our_fingerprint_is_alertmanagers",
        ],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "apt-get install prometheus-alertmanager" in done.stdout
    assert "1 failed" in done.stdout


def test_without_go_the_oracle_of_matchers_is_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What asks Alertmanager's own code fails without Go, also where an older build is kept, and names it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(oracle, "_USUAL_PLACE", str(tmp_path))
    with pytest.raises(MissingPartError, match="go is not installed"):
        oracle.ask([oracle.Question("a=b")])


def test_a_go_that_is_too_old_is_named_with_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12 has Go 1.19, which cannot even read the go.mod: said in words instead."""
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(MissingPartError, match=r"go1\.19\.8 .* is too old: install Go 1\.25 or newer"):
        oracle.ask([oracle.Question("a=b")])
