"""A real part that is not installed fails the tests that need it; it never skips them."""

import subprocess
import sys
from pathlib import Path

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
