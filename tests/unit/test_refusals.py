"""Refused deliveries: counted by source and reason, and logged without flooding the log."""

from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from responder.web.answers import RequestError
from responder.web.refusals import Refusal, Refusals

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Clocks:
    """Both clocks of the process, moved by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.passed

    def wall(self) -> datetime:
        """UTC."""
        return START + timedelta(seconds=self.passed)


def test_the_log_has_the_first_refusal_and_then_one_line_a_minute_with_the_count() -> None:
    """For each source and reason by itself: a new reason is told at once, a flood is a line a minute."""
    clocks = Clocks()
    refusals = Refusals(clocks.monotonic, clocks.wall)
    with capture_logs() as logs:
        for _ in range(130):
            refusals.note("default", RequestError(401, "secret words", mend="set the token"))
            clocks.passed += 1
        refusals.note("default", RequestError(400, "alerts are missing"))
        refusals.note("other", RequestError(401, "secret words"))
    told = [(line["source"], line["why"], line["deliveries"]) for line in logs]
    assert told == [
        ("default", "wrong credentials", 1),
        ("default", "wrong credentials", 60),
        ("default", "wrong credentials", 60),
        ("default", "the body is no payload", 1),
        ("other", "wrong credentials", 1),
    ]
    assert "secret words" not in str(logs)


def test_the_last_reason_is_named_and_grows_old() -> None:
    """All refusals of a source count, the last one gives the reason; after an hour it is no warning."""
    clocks = Clocks()
    refusals = Refusals(clocks.monotonic, clocks.wall)
    refusals.note("default", RequestError(401, "no"))
    clocks.passed = 61
    refusals.note("default", RequestError(413, "no"))
    (told,) = refusals.by_source()
    assert (told.deliveries, told.last, told.fresh) == (2, Refusal.TOO_LARGE, True)
    assert told.text == "2 deliveries refused, the last at 2026-11-24 03:01:01 UTC: the body is too large"
    clocks.passed += 3600
    assert not refusals.by_source()[0].fresh
