"""The base of every pydantic model: frozen, unknown keys refused, one canonical JSON."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class Frozen(BaseModel):
    """A value: it never changes, and a key that it does not know is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_bytes="hex",
        val_json_bytes="hex",
    )


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever wrote them."""
    return _CANONICAL(value)


def json_of_texts(texts: Mapping[str, str]) -> str:
    """The canonical JSON of texts by name, as labels are: as `canonical_json`, in a fraction of the time.

    Raises ValueError where one of them has a lone surrogate.
    """
    names = sorted(texts)
    ordered = texts if type(texts) is dict and names == list(texts) else {name: texts[name] for name in names}
    return to_json(ordered).decode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return sha256(canonical_json(value).encode()).hexdigest()
