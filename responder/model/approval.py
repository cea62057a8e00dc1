"""What a person is asked to let happen, and the answer: a question, and the approval of exactly that."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen, digest
from responder.model.guard import Guard


def _no_parts(value: object) -> bool:
    return value == ()


class Consent(Frozen):
    """What exactly would be done: what an approval is bound to.

    `facts` is a digest of the action's own consent facts. `elements` are the keys of what would be hit: an
    upper bound, for what has gone meanwhile needs no consent. `titles` are the same for people.
    """

    action: str
    target: str
    params: dict[str, Any]
    facts: str
    elements: tuple[str, ...]
    titles: tuple[str, ...]
    parts: tuple["Consent", ...] = Field(default=(), exclude_if=_no_parts)
    """Of an `all:` what would be done in each part."""


def consent_of_all(parts: tuple[Consent, ...]) -> Consent:
    """The consent to an `all:` is that to each part of it, in their order."""
    several = [(number, one) for number, one in enumerate(parts, start=1)]
    return Consent(
        action=" then ".join(one.action for one in parts),
        target=" and ".join(dict.fromkeys(one.target for one in parts)),
        params={f"{number}. {one.action}": one.params for number, one in several},
        facts=digest([one.facts for one in parts]),
        elements=tuple(f"{number} {key}" for number, one in several for key in one.elements),
        titles=tuple(f"{one.action}: {title}" for one in parts for title in one.titles),
        parts=parts,
    )


class Question(Frozen):
    """What a person was asked last. It is open while the incident awaits approval."""

    id: UUID
    step: int
    consent: Consent
    guards: tuple[Guard, ...]
    """Which guards asked: an approval answers them and no other."""
    reasons: tuple[str, ...]
    """Why each of them asked, in words."""
    asked_at: datetime
    times: int
    """How often the step was asked for, this time included."""
    stale_at: datetime | None = None
    """When nobody has said lately enough that its alerts fire, if nothing more is heard by then.

    None where their source can be asked.
    """


class Approval(Frozen):
    """A person's yes to one question, good for one attempt. `id` is that of the command that gave it."""

    id: UUID
    consent: Consent
    guards: tuple[Guard, ...]
    by: str
    expires_at: datetime

    def of_part(self, part: int, until: datetime) -> "Approval | None":
        """The same yes for one part of an `all:` that was begun in time; None where it is of no such part."""
        if part >= len(self.consent.parts):
            return None
        return self.model_copy(update={"consent": self.consent.parts[part], "expires_at": until})

    def misfit(self, wanted: Consent | None, guard: Guard, now: datetime) -> str | None:
        """Why this is no answer to what a guard asks now, in words; None where it is one."""
        if now >= self.expires_at:
            return "the approval has expired"
        if guard not in self.guards:
            return "that was not asked then"
        given = self.consent
        if wanted is None or (wanted.action, wanted.target, wanted.facts) != (
            given.action,
            given.target,
            given.facts,
        ):
            return "the target or the parameters have changed"
        more = len(set(wanted.elements) - set(given.elements))
        if more:
            some = (
                "1 element would be hit that was" if more == 1 else f"{more} elements would be hit that were"
            )
            return f"{some} not there then"
        return None
