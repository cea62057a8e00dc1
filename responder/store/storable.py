"""What PostgreSQL can keep of a value that came from outside.

Decoding cleans alerts before they get here; what targets, errors and people say has not been decoded by
anybody. A value that the database refuses would stop its incident for ever, so it is written in a form that
can be kept, not refused.
"""

import math
from collections.abc import Mapping
from typing import Any

from responder.model.base import canonical_json


def storable_text(text: str) -> str:
    r"""The text with NUL and lone surrogates written as escapes (`\x00`, `\udc80`)."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def storable(value: Any) -> Any:
    """The value as JSON that comes back equal: text keys, finite numbers, no NUL; all else becomes text."""
    match value:
        case str():
            return storable_text(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {storable_text(str(name)): storable(part) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [storable(part) for part in value]
        case _:
            return storable_text(str(value))


def storable_json(value: Any) -> str:
    """The canonical JSON of the storable value; bind it as `$n::text::jsonb`."""
    return canonical_json(storable(value))
