"""The review for programs: all facts and follow-ups, nothing shortened, in one canonical text."""

import json
from datetime import timedelta
from typing import Any

from responder.review.facts import ReviewFacts
from responder.review.follow_ups import follow_ups

VERSION = 1
"""Raised when a field changes its meaning or goes; a new field does not raise it."""


def write_json(facts: ReviewFacts) -> str:
    """JSON with sorted keys, two spaces of indent and a newline at the end. Durations are in seconds."""
    told: dict[str, Any] = {
        "version": VERSION,
        "final": facts.final,
        "detection_delay": facts.detection_delay,
        **facts.model_dump(mode="python"),
        "follow_ups": [item.model_dump(mode="python") for item in follow_ups(facts)],
    }
    return json.dumps(told, sort_keys=True, indent=2, ensure_ascii=True, default=_default) + "\n"


def _default(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
