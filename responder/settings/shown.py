"""What applies, line by line, with its origin and without a secret: `responder config show`."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretStr

from responder.model.autonomy import Autonomy
from responder.model.base import Frozen
from responder.model.duration import format_duration
from responder.model.redaction import MASK
from responder.settings.load import Loaded
from responder.settings.model import Settings
from responder.settings.tree import KeyPath, dotted
from responder.telemetry import mask_text

DEFAULT = "default"


class ShownSetting(Frozen):
    """One setting as it applies."""

    key: str
    value: str
    origin: str


def shown(loaded: Loaded) -> tuple[ShownSetting, ...]:
    """Every setting, in the order of the models."""
    return tuple(
        ShownSetting(key=dotted(path), value=text, origin=loaded.given.origin(path) or DEFAULT)
        for path, text in values(loaded.settings)
    )


def values(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """What applies, without where it came from."""
    return ((path, _text(value)) for path, value in _walk(settings, ()))


def _walk(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    match value:
        case BaseModel() if not _has_text(value):
            for name, field in type(value).model_fields.items():
                yield from _walk(getattr(value, name), (*path, field.alias or name))
        case Mapping() if value:
            for key, inner in value.items():
                yield from _walk(inner, (*path, str(getattr(key, "value", key))))
        case list() | tuple() if value:
            for index, inner in enumerate(value):
                yield from _walk(inner, (*path, index))
        case _:
            yield path, value


def _has_text(value: BaseModel) -> bool:
    """Whether the model says itself how users write it, as a matcher does."""
    return type(value).__str__ is not BaseModel.__str__


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case SecretStr():
            return MASK
        case timedelta():
            return format_duration(value)
        case Autonomy():
            return value.word
        case Enum():
            return str(value.value)
        case str():
            return mask_text(value)
        case AbstractSet():
            return ", ".join(sorted(_text(item) for item in value)) or "-"
        case Sequence() | Mapping() if not value:
            return "-"
        case _:
            return mask_text(str(value))
