"""What a mutant is: one change of one file, and where it stands."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One span of bytes of one file, replaced. What identifies it does not move with the lines above it."""

    path: str
    """Of the file, from the root of the repository."""
    scope: str
    """The function or the constant that it is in, with dots."""
    line: int
    reached: tuple[tuple[str, int], ...]
    """Of these lines (of which file) a test that reaches it runs one; none: any of this module."""
    before: str
    after: str
    """The lines that it stands in, without their indents."""
    start: int
    end: int
    new: bytes
    data: bool = False
    """Whether it is in the body of a class: fields are made on import, and cannot be put in later."""

    @cached_property
    def text(self) -> str:
        """The whole file with the change."""
        source = source_of(self.path)
        return (source[: self.start] + self.new + source[self.end :]).decode()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """By which it is found in `equivalent.toml`."""
        return (self.path, self.scope, self.before, self.after)

    def __str__(self) -> str:
        """Where it is and what it does, on three lines."""
        return f"{self.path}:{self.line} {self.scope}\n    - {self.before}\n    + {self.after}"


@cache
def source_of(path: str) -> bytes:
    """A file as it was when it was first read: spans are its own."""
    return (ROOT / path).read_bytes()


def replaced(source: bytes, start: int, end: int, new: bytes) -> tuple[str, str]:
    """The lines around a span before and after, in one line each."""
    first = source.rfind(b"\n", 0, start) + 1
    last = source.find(b"\n", end)
    last = len(source) if last < 0 else last
    whole = (source[first:last], source[first:start] + new + source[end:last])
    before, after = (" ".join(text.decode().split()) for text in whole)
    return before, after
