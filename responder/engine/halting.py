"""Whether anything may start at all: the database's flag or a local file, and what cannot be read counts."""

from pathlib import Path

from responder.model.errors import ResponderError
from responder.ports import Store


class Halt:
    """The kill switch as this process sees it."""

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._file = file

    async def reason(self) -> str | None:
        """Why nothing may start, in words, or None."""
        if (by_file := self.file_reason()) is not None:
            return by_file
        try:
            return await self._store.halted()
        except ResponderError:
            return "the halt flag in the database cannot be read"

    def file_reason(self) -> str | None:
        """What the halt file says; a file that cannot be looked for counts as there."""
        if self._file is None:
            return None
        try:
            text = self._file.read_text(errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"the halt file {self._file} cannot be read ({error.strerror})"
        return f"by the file {self._file}" + (f": {text[:200]}" if text else "")
