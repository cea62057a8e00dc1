"""Whether anything may start at all: the database's flag or a local file, and what cannot be read counts."""

from pathlib import Path

from responder.model.errors import ResponderError
from responder.ports import Store

UNREADABLE = "the halt flag in the database cannot be read"
"""What the flag counts as saying where nobody can read it."""


class Halt:
    """The kill switch as this process sees it."""

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._file = file

    def reason(self, flag: str | None) -> str | None:
        """Why nothing may start, in words, or None: the file, else what the database's flag says."""
        by_file = self.file_reason()
        return flag if by_file is None else by_file

    async def holding(self) -> tuple[str, ...]:
        """What halts, flag and file each, without the words of who set it: for those who may see no more."""
        file = ("the halt file",) if self.file_reason() is not None else ()
        try:
            flag = ("the flag in the database",) if await self._store.halted() is not None else ()
        except ResponderError:
            flag = ("a flag in the database that cannot be read",)
        return (*file, *flag)

    def file_reason(self) -> str | None:
        """See `file_reason`."""
        return file_reason(self._file)


def file_reason(file: Path | None) -> str | None:
    """What the halt file says; a file that cannot be looked for counts as there."""
    if file is None:
        return None
    try:
        text = file.read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the halt file {file} cannot be read ({error.strerror})"
    return f"by the file {file}" + (f": {text[:200]}" if text else "")
