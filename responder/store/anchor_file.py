"""The anchor file: lines are appended, nothing in it is ever changed here. Its calls block: use a thread."""

import os
from functools import partial
from pathlib import Path

from responder.model.anchor import Anchor, read_anchor
from responder.model.errors import TemporaryError

_LONGEST = 64 * 1024
"""Bytes; a line has a few hundred."""


class AnchorFile:
    """One file outside of the database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def newest(self) -> Anchor | None:
        """The line with the largest number. None where there is none yet.

        Not the last one: processes that anchor at once may write theirs in any order, and who may only append
        must not be able to hide what was written before. What a power cut has torn is no line.

        Raises:
            TemporaryError: the file cannot be read, or something else stands in it.
        """
        try:
            with self.path.open("rb") as file:
                lines = [line for line in iter(partial(file.readline, _LONGEST), b"") if line.strip()]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TemporaryError(f"the anchor file {self.path} cannot be read: {error.strerror}") from None
        found = (read_anchor(line.decode(errors="replace")) for line in lines)
        anchors = (anchor for anchor in found if anchor is not None)
        newest = max(anchors, key=lambda anchor: anchor.number, default=None)
        if lines and newest is None:
            raise TemporaryError(f"no line of {self.path} is an anchor: is it another file?")
        return newest

    def append(self, line: str) -> None:
        """Append one line, on the disk when this returns. After a torn one it begins a line of its own.

        Raises:
            TemporaryError: it cannot be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write(descriptor, f"{_break_before(descriptor)}{line}\n".encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise TemporaryError(f"the anchor file {self.path} cannot be written: {error.strerror}") from None


def _break_before(descriptor: int) -> str:
    """A line's end, where the file ends without one."""
    size = os.fstat(descriptor).st_size
    return "\n" if size > 0 and os.pread(descriptor, 1, size - 1) != b"\n" else ""


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        raise OSError(0, "only a part of the line was written")
