"""A backtest: one rulebook over what was heard, in virtual time and in the order in which it was heard.

Rows come in as they are read and are let go of; what is kept is what is open now, and counts. The engine's
own logic decides, as in a rehearsal. For the systems outside and for people stands what was `recorded`, which
`recall` plays; where nothing was, what is `assumed`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from responder.decide.case import Terms
from responder.engine.settings import EngineSettings
from responder.model.autonomy import Autonomy
from responder.model.rule import Rulebook
from responder.ports import Actions
from responder.rehearsal.assumed import (
    Assumed,
    AssumedActions,
    AssumedProbes,
    Assumption,
    JournalSource,
    never,
)
from responder.rehearsal.kept import Clock
from responder.rehearsal.recall import Recall
from responder.rehearsal.recorded import Fact, Recorded
from responder.rehearsal.rehearsal import Now, Rehearsal, World
from responder.rehearsal.rows import Moment
from responder.rehearsal.tally import Tally

_BUCKETS = 120
"""Into how many parts of its span a backtest counts over time."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a backtest goes by beside the rules."""

    since: datetime
    until: datetime
    actions: Actions
    """The real ones: their parameters, targets and kinds."""
    askable: frozenset[str] = frozenset()
    """The sources that can be asked for their alerts."""
    terms: Terms = field(default_factory=Terms)
    engine: EngineSettings = field(default_factory=EngineSettings)

    @property
    def bucket(self) -> timedelta:
        """What is counted together over time."""
        return max((self.until - self.since) / _BUCKETS, timedelta(minutes=1))


class Backtest:
    """One rulebook, tried."""

    def __init__(self, rulebook: Rulebook, setting: Setting) -> None:
        self.rulebook = rulebook
        self.setting = setting
        self.assumed = Assumed()
        for always in (Assumption.PROMOTED, Assumption.SOURCE, Assumption.EVIDENCE, Assumption.PEOPLE):
            self.assumed.note(always)
        self.tally = Tally(setting.bucket, setting.since)
        self.rows = 0
        clock, now = Clock(setting.since), Now()
        self.recorded = Recorded(now)
        source = JournalSource(setting.askable, self.assumed)
        actions = AssumedActions(setting.actions, self.assumed, self.recorded, clock)
        world = World(actions, AssumedProbes(self.assumed, self.recorded, clock), source, never)
        self.rehearsal = Rehearsal(
            rulebook,
            world,
            _promoted(rulebook, setting.engine),
            setting.terms,
            clock,
            self.tally,
            now,
            forgets=True,
        )
        source.records = self.rehearsal.memory.alerts.records
        self._recall = Recall(self.rehearsal, self.recorded, setting.since)
        counted = (setting.engine.budgets.within, setting.terms.flapping.within)
        self._longest = max([_DAY, *counted, *_windows(rulebook)])
        self._tidied = setting.since

    def recall(self, facts: Iterable[Fact]) -> None:
        """What was recorded next; of whatever is heard no fact may come later than that."""
        self._recall.hear(facts)

    async def hear(self, moments: Iterable[Moment]) -> None:
        """What was heard next, moment by moment."""
        for at, rows in moments:
            if self.rehearsal.is_due_before(at):
                await self.rehearsal.run_before(at)
            self.rehearsal.clock.now = at
            await self.rehearsal.hear(rows)
            self.rows += len(rows)
            if at >= self._tidied + _DAY:
                self.rehearsal.memory.forget_before(at - self._longest)
                self.recorded.forget(at - _DAY, self.rehearsal.memory.all_live)
                self._tidied = at

    async def end(self) -> None:
        """Everything up to the end of its span."""
        await self.rehearsal.run(self.setting.until)
        for kept in self.rehearsal.memory.incidents.values():
            self.tally.over(kept)


def _promoted(rulebook: Rulebook, engine: EngineSettings) -> EngineSettings:
    """As if every rule were promoted, and nothing but the rules held anything back."""
    promoted = tuple(rule.acting_hash for rule in rulebook.rules)
    free = {"ceiling": Autonomy.AUTO, "ceilings": (), "freezes": (), "watchdog": None, "halt_file": None}
    return engine.model_copy(update={**free, "promoted": promoted})


def _windows(rulebook: Rulebook) -> Iterable[timedelta]:
    """How far back limits look."""
    for rule in rulebook.rules:
        yield max(rule.limits.per, rule.limits.cooldown)
        if rule.limits.recurrence is not None:
            yield rule.limits.recurrence.within
