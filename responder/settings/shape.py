"""What the models expect at a path: which keys, a path of the file system, a secret."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from responder.settings.tree import KeyPath


class Shape:
    """An annotation, taken apart as far as settings need it."""

    def __init__(self, annotation: Any) -> None:
        self._kinds = tuple(_unwrapped(annotation))

    @property
    def names(self) -> tuple[str, ...]:
        """The keys that may stand here, as users write them."""
        return tuple(
            field.alias or name for model in self._models() for name, field in model.model_fields.items()
        )

    @property
    def is_path(self) -> bool:
        """Whether a text here is a path, or stands for a list of paths."""
        return Path in self._kinds or any(Path in Shape(item)._kinds for item in self._items())  # noqa: SLF001 - its own class

    @property
    def is_secret(self) -> bool:
        """Whether a text here is a secret."""
        return SecretStr in self._kinds

    def below(self, key: str | int) -> Self | None:
        """The shape of one key or item, or None where nothing may stand there."""
        if isinstance(key, int):
            return next((type(self)(item) for item in self._items()), None)
        for model in self._models():
            for name, field in model.model_fields.items():
                if key in {name, field.alias}:
                    return type(self)(field.annotation)
        return next((type(self)(value) for value in self._values()), None)

    def at(self, path: KeyPath) -> Self | None:
        """The shape at a path below, or None."""
        shape: Self | None = self
        for part in path:
            shape = shape.below(part) if shape is not None else None
        return shape

    def _models(self) -> list[type[BaseModel]]:
        return [kind for kind in self._kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]

    def _items(self) -> list[Any]:
        return [get_args(kind)[0] for kind in self._kinds if _is(kind, Sequence) or _is(kind, AbstractSet)]

    def _values(self) -> list[Any]:
        return [get_args(kind)[1] for kind in self._kinds if _is(kind, Mapping)]


def _unwrapped(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without metadata and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [kind for part in get_args(annotation) for kind in _unwrapped(part)]
    return [] if annotation is NoneType else [annotation]


def _is(kind: Any, base: type) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, base)
