"""A pytest plugin that tells `tests.promises` of each promise's test as it ends, as lines of JSON.

It writes to the open file whose number `PROMISES_TOLD_TO` says; of the processes of one run the first does.
"""

import json
import os

import pytest

VARIABLE = "PROMISES_TOLD_TO"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What became of a part of a test: its set-up, the test itself, or its end."""
    told_to = os.environ.get(VARIABLE)
    if told_to is None or "PYTEST_XDIST_WORKER" in os.environ:
        return
    line = {
        "test": report.nodeid,
        "part": report.when,
        "outcome": report.outcome,
        "seconds": report.duration,
        "problem": getattr(getattr(report.longrepr, "reprcrash", None), "message", ""),
        "why": report.longreprtext,
    }
    os.write(int(told_to), json.dumps(line).encode() + b"\n")
