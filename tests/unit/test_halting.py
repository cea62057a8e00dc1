"""The kill switch: either flag or file halts, and what cannot be read counts as halted."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from responder.engine.halting import Halt
from responder.model.errors import StoreAwayError
from responder.ports import Store


def halt(flag: str | StoreAwayError | None, file: Path | None = None) -> str | None:
    """Why nothing may start, with the database's flag as given."""

    async def halted() -> str | None:
        if isinstance(flag, StoreAwayError):
            raise flag
        return flag

    return asyncio.run(Halt(cast("Store", SimpleNamespace(halted=halted)), file).reason())


def test_the_flag_or_the_file_halts(tmp_path: Path) -> None:
    """Neither: go. Either: halted, with what is written there."""
    file = tmp_path / "halt"
    assert halt(None, file) is None
    assert halt("by ada: storm", file) == "by ada: storm"
    file.write_text("storm")
    assert "storm" in (halt(None, file) or "")


def test_what_cannot_be_read_counts_as_halted(tmp_path: Path) -> None:
    """A database that does not answer, and a file that cannot even be looked for."""
    assert halt(StoreAwayError("away")) == "the halt flag in the database cannot be read"
    (tmp_path / "no-folder").touch()
    assert "cannot be read" in (halt(None, tmp_path / "no-folder" / "halt") or "")
