"""Whether anything may start at all: by the database or by a local file, and what cannot be read counts.

Each step reads the database, and the transaction of its intent reads it again. What stands is also followed
on a connection of its own, so that the effect of an intent that was committed just before a halt does not
begin. Where that connection is lost, an effect begins within the start window of its intent or not at all:
this is what holds in any case.
"""

import asyncio
from pathlib import Path

import structlog

from responder.decide.restraints import Concern, halted_by, ways_to_resume
from responder.model.errors import ResponderError
from responder.model.restraint import RestraintKind, Restraints
from responder.model.way import Way, WayKind
from responder.ports import Store
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

UNREADABLE = "the halt flag in the database cannot be read"
"""What the flag counts as saying where nobody can read it."""
_AGAIN_S = 1.0


class Halt:
    """The kill switch as this process sees it."""

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._file = file
        self._followed: Restraints | None = None
        """What stood when last heard of; None while nobody can be heard."""

    def reason(self, flag: str | None) -> str | None:
        """Why nothing may start, in words, or None: the file, and what the database says."""
        return "; and ".join(why for why in (self.file_reason(), flag) if why is not None) or None

    def ways(self, stands: Restraints, about: Concern) -> tuple[Way, ...]:
        """How each halt that concerns this is ended, where a person can: the file, and those that stand."""
        file = () if self._file is None or self.file_reason() is None else (self._file,)
        known = stands.model_copy(update={"flag": None}) if stands.flag == UNREADABLE else stands
        removed = (Way(kind=WayKind.REMOVE_FILE, of=str(path)) for path in file)
        return (*removed, *ways_to_resume(known, about))

    def before_effect(self, about: Concern) -> bool:
        """Whether an effect whose intent is committed may not begin, by the file or by a halt since then."""
        if self.file_reason() is not None:
            return True
        return self._followed is not None and halted_by(self._followed, about) is not None

    async def follow(self, metrics: Metrics) -> None:
        """Hear of each halt at once, for as long as the process lives."""
        while True:
            try:
                await self._store.follow_restraints(lambda stands: self._heard(stands, metrics))
            except ResponderError as error:
                _log.warning("halts are not heard of at once", error=str(error))
            except Exception:  # noqa: BLE001 - logged; the loop must outlive it
                _log.exception("halts are not heard of at once")
            finally:
                self._followed = None
            await asyncio.sleep(_AGAIN_S)

    def _heard(self, stands: Restraints, metrics: Metrics) -> None:
        self._followed = stands
        for kind in RestraintKind:
            metrics.restraints.labels(kind=kind.value).set(len(stands.of(kind)))

    async def standing(self) -> Restraints:
        """What stands in the database; what cannot be read counts as halted."""
        try:
            return await self._store.restraints()
        except ResponderError:
            return Restraints(flag=UNREADABLE)

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
