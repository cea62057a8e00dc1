"""What a person reads who is asked: everything that a yes would let happen, and how to say it."""

from datetime import datetime

from responder.decide.case import Case
from responder.model.approval import Question
from responder.model.severity import Severity
from responder.model.spoken import moment

_TITLES = 3
"""How many elements are named in a page; `responder approvals list` has all of them."""
_LONGEST = 80
"""Characters of one title there."""


def question_words(
    case: Case, question: Question, severity: Severity, deadline: datetime | None, now: datetime
) -> str:
    """Severity, rule, what would be done to what, why it is asked, until when, and the command."""
    consent = question.consent
    until = "" if deadline is None else f" until {moment(deadline, now)}"
    return (
        f"{severity} {case.rule.name} asks: may {consent.action} run on {consent.target}, "
        f"on {_elements(consent.titles)}? Asked because {'; '.join(question.reasons)}. "
        f"To be answered{until}: responder approve {case.incident.id}"
    )


def _elements(titles: tuple[str, ...]) -> str:
    number = f"{len(titles)} element{'' if len(titles) == 1 else 's'}"
    if not titles:
        return number
    named = "; ".join(_short(title) for title in titles[:_TITLES])
    more = f"; and {len(titles) - _TITLES} more" if len(titles) > _TITLES else ""
    return f"{number} ({named}{more})"


def _short(title: str) -> str:
    return title if len(title) <= _LONGEST else f"{title[:_LONGEST]}\u2026"
