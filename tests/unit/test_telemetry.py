"""Logs without credentials, in both forms, from our own code and from libraries."""

import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr

from responder.model.notification import Notification, Word
from responder.model.policy import NoticeKind
from responder.notify.log import LogChannel
from responder.telemetry import (
    LogFormat,
    LogLevel,
    LogSettings,
    build_metrics,
    configure_logging,
    mask_text,
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is global to the process: each test leaves it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter22@h/d", "postgresql://u:[redacted]@h/d"),
        ("https://me:p%40ss@h:9093/x?y=1", "https://me:[redacted]@h:9093/x?y=1"),
        ("two: a://b:c@d and e://f:g@h", "two: a://b:[redacted]@d and e://f:[redacted]@h"),
        ("host=x password=hunter22 user=y", "host=x password=[redacted] user=y"),
        ("host=x password='hunter 22' user=y", "host=x password='[redacted]' user=y"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer [redacted]"),
        ("a://u:p@ss/w0rd@h/d and more", "a://u:[redacted]@h/d and more"),
        ("http://prometheus:9090/x is plain", "http://prometheus:9090/x is plain"),
        ("nothing here: 12:30@noon", "nothing here: 12:30@noon"),
    ],
)
def test_credentials_inside_of_texts_are_masked(text: str, shown: str) -> None:
    """URLs, libpq strings and headers; what only looks like one stays."""
    assert mask_text(text) == shown


@pytest.mark.parametrize("form", list(LogFormat))
def test_no_secret_reaches_a_log_line(form: LogFormat) -> None:
    """By type, by key, inside of texts and data, in an exception, and from a library's logger."""
    out = io.StringIO()
    configure_logging(LogSettings(format=form), out)
    log = structlog.get_logger("test")
    log.info("one", value=SecretStr("hunter22"), api_token="hunter22", nested={"password": "hunter22"})
    log.warning(
        "two", error=ValueError("cannot reach postgresql://u:hunter22@h/d"), many=["a://b:hunter22@c"]
    )
    try:
        int("postgresql://u:hunter22@h/d")
    except ValueError:
        log.exception("three")
    logging.getLogger("library").error("four %s", "postgresql://u:hunter22@h/d")
    text = out.getvalue()
    assert "hunter22" not in text
    assert all(word in text for word in ("one", "two", "three", "four", "ValueError"))


def test_json_lines_are_json() -> None:
    """One object a line, with time, level and event."""
    out = io.StringIO()
    configure_logging(LogSettings(), out)
    structlog.get_logger("test").info("started", port=9095, none=None)
    line = json.loads(out.getvalue())
    assert {**line, "at": ""} == {"event": "started", "level": "info", "port": 9095, "none": None, "at": ""}


def test_each_metrics_object_has_its_own_registry() -> None:
    """Two responders in one process do not share a counter."""
    one, other = build_metrics("1"), build_metrics("2")
    one.escalations.labels("P1").inc()
    assert b'responder_escalations_total{severity="P1"} 1.0' in one.exposition()
    assert b'responder_escalations_total{severity="P1"}' not in other.exposition()
    assert b'responder_build_info{version="2"} 1.0' in other.exposition()


class FullDisk(io.StringIO):
    """A file whose disk is full, as long as it is."""

    full = True

    def write(self, text: str) -> int:
        """Fails as the real one does."""
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_what_cannot_be_logged_stops_nobody_and_is_counted() -> None:
    """Neither who has something to say, nor a library that logs; afterwards lines are written again."""
    file = FullDisk()
    out = configure_logging(LogSettings(), file)
    structlog.get_logger().warning("nobody reads this")
    logging.getLogger("library").warning("nor this")
    assert (out.lost, out.problem) == (2, "No space left on device")
    file.full = False
    structlog.get_logger().warning("but this")
    assert (out.lost, out.problem) == (2, None)
    assert "but this" in file.getvalue()


@pytest.mark.parametrize("escalation", [0, 2])
async def test_the_log_as_a_channel_has_every_word_whatever_the_level_of_the_log(escalation: int) -> None:
    """What is marked as delivered can be read: `log.level` is for what the responder tells of itself."""
    out, now = io.StringIO(), datetime(2026, 11, 24, 3, tzinfo=UTC)
    channel = LogChannel(configure_logging(LogSettings(level=LogLevel.ERROR), out))
    word = Notification(
        id=uuid4(),
        incident_id=None,
        channel="log",
        kind=NoticeKind.ESCALATED if escalation else NoticeKind.QUESTION,
        level=escalation,
        thread="one",
        body=Word(text="P0 Down: nobody answers"),
        key="msg_1",
        created_at=now,
        due_at=now,
    )
    structlog.get_logger("test").warning("of itself")
    await channel.send(word)
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["text"], line["escalation"]) == ("P0 Down: nobody answers", escalation)
