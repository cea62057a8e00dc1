"""What an examination finds: how healthy a part is, in words, with what to do."""

from enum import StrEnum

from responder.model.base import Frozen


class Health(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Frozen):
    """One thing that was found out about one part."""

    health: Health
    part: str
    text: str
    mend: str = ""


def good(part: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(health=Health.OK, part=part, text=text)


def warned(part: str, text: str, mend: str) -> Finding:
    """It works, but not as it should."""
    return Finding(health=Health.WARN, part=part, text=text, mend=mend)


def failed(part: str, text: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(health=Health.FAIL, part=part, text=text, mend=mend)
