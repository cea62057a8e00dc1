"""The anchor file: lines are appended, nothing in it is ever changed here. Its calls block: use a thread."""

import os
from pathlib import Path

from responder.model.anchor import Anchor, read_anchor
from responder.model.errors import TemporaryError

_TAIL = 64 * 1024
"""Bytes; a line has a few hundred."""


class AnchorFile:
    """One file outside of the database."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> Anchor | None:
        """The last line that is one: a power cut may have torn what follows. None where there is none yet.

        Raises:
            TemporaryError: the file cannot be read, or something else stands in it.
        """
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                tail = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TemporaryError(f"the anchor file {self.path} cannot be read: {error.strerror}") from None
        found = [read_anchor(line) for line in tail.decode(errors="replace").splitlines()]
        anchors = [anchor for anchor in found if anchor is not None]
        if tail.strip() and not anchors:
            raise TemporaryError(f"no line of {self.path} is an anchor: is it another file?")
        return anchors[-1] if anchors else None

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
