"""The types of parameters that actions share, so that one word means one thing in every rule."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints


def _labelled(value: str | dict[str, str]) -> str | dict[str, str]:
    if not value:
        raise ValueError("name a connection of the inventory, or give the labels that lead to one")
    return value


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character cannot stand here")
    return value


def _selective(value: str) -> str:
    if not value.strip("%_ "):
        raise ValueError("a pattern of wildcards alone would choose everything; write some of the text")
    if (len(value) - len(value.rstrip("\\"))) % 2:
        raise ValueError("a pattern cannot end with a single backslash; write \\\\ for one")
    return value


def _counted(value: object) -> object:
    if value is True or value is False:
        raise ValueError("a yes or no is no number; write one like 3")
    return value


Connection = Annotated[
    str | dict[str, str],
    AfterValidator(_labelled),
    Field(
        description="A connection of the inventory: its name, or labels that lead to it by its `matches:`."
    ),
]
"""None or several found refuse the step."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable)]
"""A name to be met exactly. An empty one is a mistake, not a wildcard."""

LikePattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000),
    AfterValidator(_storable),
    AfterValidator(_selective),
]
"""SQL's LIKE: `%` is any text, `_` any one character, the case does not matter."""

PromQL = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_storable)]
"""A question to Prometheus. A parameter `promql` is checked and bound as a probe's."""

Number = Annotated[int, BeforeValidator(_counted)]
"""A whole number."""

AtMost = Annotated[
    Number,
    Field(ge=1, le=1000, description="More elements than this refuse the step; none of them is touched."),
]
"""How many elements one step may hit."""
