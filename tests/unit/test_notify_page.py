"""What docs/notify.md shows to whoever writes a receiver is what the program sends, and how it signs."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from responder.clients.webhook import signature
from responder.decide.backoff import backoff, lane_pause
from responder.model.incident import IncidentState
from responder.model.notification import ExtraKind, Notification, Word
from responder.model.policy import NoticeKind
from responder.model.severity import Severity
from responder.notify.webhook import payload
from tests.support.pager import SECRET

PAGE = (Path(__file__).parents[2] / "docs" / "notify.md").read_text()
INCIDENT = UUID("019ab3c2-1111-7000-8000-000000000001")
NOW = datetime(2026, 11, 24, 3, 0, 0, 123456, tzinfo=UTC)


def block(language: str) -> str:
    """The first block of the page in that language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def word(**more: Any) -> Notification:
    """A word with everything that an incident may have."""
    return Notification(
        id=INCIDENT,
        incident_id=INCIDENT,
        channel="pager",
        kind=NoticeKind.ESCALATED,
        level=1,
        thread=str(INCIDENT),
        body=Word(
            text="P1 StuckQuery: it did not recover",
            incident=INCIDENT,
            rule="StuckQuery",
            severity=Severity.P1,
            state=IncidentState.ESCALATED,
            key={"server": "orders-db:5432", "datname": "orders"},
            summary="a query on orders has been running for 12 minutes",
            command=f"responder explain {INCIDENT}",
            runbook_url="https://wiki.example.org/stuck-query",
            owner="team-orders",
            link=f"https://responder.example.org/api/v1/incidents/{INCIDENT}/review?format=html",
        ),
        key="msg_0f8a2c7f5d3b5f6e9a41c2d3e4f50617",
        created_at=NOW,
        due_at=NOW,
        **more,
    )


def test_the_example_is_what_is_sent() -> None:
    """Byte for byte but for the order and the spaces; and it is the same at every try."""
    assert payload(word()) == json.loads(block("json"))
    assert payload(word(tries=7, last_error="x")) == payload(word())


@pytest.mark.parametrize("kind", [*NoticeKind, *ExtraKind])
def test_every_kind_is_in_the_table(kind: NoticeKind | ExtraKind) -> None:
    """With a line of its own, and a type that says what it is of."""
    assert f"| `{kind.value}` |" in PAGE
    told = payload(word().model_copy(update={"kind": kind}))["type"]
    assert told == f"responder.{'incident.' if isinstance(kind, NoticeKind) else ''}{kind.value}"


def test_the_receivers_check_takes_our_signature_and_no_other() -> None:
    """The code of the page, as it stands there: not another body, id, key or day."""
    room: dict[str, Any] = {}
    exec(compile(block("python"), "docs/notify.md", "exec"), room)  # noqa: S102 - the page's own code
    at, body = int(time.time()), b'{"type": "responder.test"}'
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at)}
    headers["webhook-signature"] = signature(SecretStr(SECRET), "msg_1", at, body)
    check = room["is_ours"]
    assert check(SECRET, headers, body)
    assert not check(SECRET, headers, body + b" ")
    assert not check(SECRET, {**headers, "webhook-id": "msg_2"}, body)
    assert not check("whsec_" + "A" * 40, headers, body)
    old = {**headers, "webhook-timestamp": str(at - 86400)}
    old["webhook-signature"] = signature(SecretStr(SECRET), "msg_1", at - 86400, body)
    assert not check(SECRET, old, body)


def test_tries_come_ever_later_and_no_later_than_the_page_says() -> None:
    """After 1 s, then twice as long each time up to 5 minutes; jitter takes off a fifth at most."""
    waits = [backoff(tries, 1.0) for tries in range(1, 12)]
    assert [wait.total_seconds() for wait in waits] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff(10_000, 1.0) == timedelta(minutes=5)
    assert [backoff(tries, 0.0) for tries in range(1, 12)] == [wait * 0.8 for wait in waits]


def test_a_channel_rests_ever_longer_and_no_longer_than_the_page_says() -> None:
    """1 s after a failure, twice as long after each further one in a row, up to 30 s."""
    pauses = [lane_pause(failures).total_seconds() for failures in (1, 2, 3, 4, 5, 6, 10_000)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
