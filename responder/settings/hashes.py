"""What tells two sets of settings apart: a hash for each block, with no secret in it."""

from collections.abc import Mapping

from responder.model.base import digest
from responder.settings.model import Settings
from responder.settings.shown import values

_OF_THE_PLACE = frozenset({"data_dir"})
"""What differs by who reads the settings and not by what they say: the default depends on the login."""


def hashes(settings: Settings) -> dict[str, str]:
    """For each block at the top of the settings a hash of what applies in it, as it is shown."""
    blocks: dict[str, dict[str, str]] = {}
    for path, text in values(settings):
        block = str(path[0])
        if block not in _OF_THE_PLACE:
            blocks.setdefault(block, {})[repr(path)] = text
    return {block: digest(told) for block, told in blocks.items()}


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, ...]:
    """The blocks that are not the same, by name."""
    return tuple(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))
