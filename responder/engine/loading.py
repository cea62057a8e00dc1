"""Loading rulebooks: from files, checked, into the one active row; a broken one changes nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from responder.engine.rules import ActiveRules
from responder.ports import Store
from responder.rulebook.load import Report, check, check_texts
from responder.rulebook.mistake import Mistake
from responder.rulebook.surroundings import Surroundings
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)


class RuleFiles:
    """The rule files that the settings name."""

    def __init__(
        self,
        paths: Sequence[Path],
        surroundings: Surroundings,
        store: Store,
        active: ActiveRules,
        metrics: Metrics,
    ) -> None:
        self._paths = tuple(paths)
        self._surroundings = surroundings
        self._store = store
        self._active = active
        self._metrics = metrics
        self.refused = 0
        """How many mistakes the files had when they were read last: then what they say is not active."""

    async def reload(self, *, log_each: bool = True) -> Sequence[Mistake]:
        """Read the files again and activate them; with mistakes nothing changes, and they come back.

        The log names each mistake, or only how many there are where they are told to a person anyway.
        """
        report = self._read()
        self.refused = len(report.mistakes)
        if report.rulebook is None:
            self._metrics.rulebook_load_failures.inc()
            for mistake in report.mistakes if log_each else ():
                _log.error("rule file refused", mistake=str(mistake))
            if not log_each:
                _log.warning("rule files refused", mistakes=self.refused)
            return report.mistakes
        origin = ", ".join(str(path) for path in self._paths) or "no files"
        await self._store.activate(report.rulebook, origin)
        await self._active.follow()
        return ()

    def stand_in(self) -> None:
        """Match by the files as they are until the database can be asked; with mistakes by nothing."""
        report = self._read()
        self.refused = len(report.mistakes)
        if report.rulebook is not None:
            self._active.stand_in(report.rulebook)

    async def check(self, files: Mapping[str, str]) -> Sequence[Mistake]:
        """Check texts of rule files; nothing is activated."""
        return check_texts(sorted(files.items()), self._surroundings).mistakes

    def _read(self) -> Report:
        return check(self._paths, self._surroundings)
