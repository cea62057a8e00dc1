"""The kill switch: either flag or file halts, and what cannot be read counts as halted."""

from datetime import timedelta
from pathlib import Path
from typing import cast

from responder.decide.restraints import Concern
from responder.engine.halting import UNREADABLE, Halt
from responder.model.incident import IncidentState
from responder.model.restraint import Restraints
from responder.model.rule import Recurrence
from responder.model.severity import Severity
from responder.model.way import Way, WayKind
from responder.ports import Store
from tests.support.virtual import VirtualStore, World, drive, incident, ladder, members


def halt(flag: str | None, file: Path | None = None) -> str | None:
    """Why nothing may start, with the database's flag as given."""
    return Halt(cast("Store", None), file).reason(flag)


def test_the_flag_or_the_file_halts(tmp_path: Path) -> None:
    """Neither: go. Either: halted, with what is written there."""
    file = tmp_path / "halt"
    assert halt(None, file) is None
    assert halt("by ada: storm", file) == "by ada: storm"
    file.write_text("storm")
    assert "storm" in (halt(None, file) or "")
    assert halt("by ada: fire", file) == f"by the file {file}: storm; and by ada: fire"


def test_the_way_out_of_each_halt_is_named(tmp_path: Path) -> None:
    """The file and the flag, each where it halts; none of a database that cannot be read."""
    file = tmp_path / "halt"
    about = Concern(attempt={}, place={}, severity=Severity.P1, group={}, members=(), unseen=False)
    kill = Halt(cast("Store", None), file)
    assert kill.ways(Restraints(), about) == ()
    file.touch()
    removed, resumed = Way(kind=WayKind.REMOVE_FILE, of=str(file)), Way(kind=WayKind.RESUME, of="0")
    assert kill.ways(Restraints(flag="by ada: fire"), about) == (removed, resumed)
    assert kill.ways(Restraints(flag=UNREADABLE), about) == (removed,)


async def test_what_cannot_be_read_counts_as_halted(tmp_path: Path) -> None:
    """A database that does not answer, and a file that cannot even be looked for.

    It holds, and is no reason to give up: what was done here before is not known, and counts nothing.
    """
    limits = ladder().limits.model_copy(update={"recurrence": Recurrence(count=1, within=timedelta(days=1))})
    rule = ladder().model_copy(update={"limits": limits})
    store = VirtualStore(World(), rule, incident(), members(), unreadable=True)
    await drive(store)
    assert store.incident.state is IncidentState.HELD
    held = store.incident.progress.hold
    assert held is not None
    assert UNREADABLE in held.reason
    assert not store.world.effects
    (tmp_path / "halt").touch()
    both = VirtualStore(World(), rule, incident(), members(), unreadable=True)
    await drive(both, halt_file=tmp_path / "halt")
    held = both.incident.progress.hold
    assert held is not None
    assert held.reason.endswith(f"; and {UNREADABLE}"), "nobody knows that it ends with the file"
    (tmp_path / "no-folder").touch()
    assert "cannot be read" in (halt(None, tmp_path / "no-folder" / "halt") or "")
