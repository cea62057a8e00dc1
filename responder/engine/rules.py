"""The active rulebook, as this process knows it: one database row that every replica follows."""

import asyncio
from collections.abc import Mapping

import structlog

from responder.decide.match import incident_key
from responder.model.rule import Rule, Rulebook
from responder.model.severity import Severity
from responder.ports import NewIncident, Store
from responder.rulebook.index import RuleIndex

_log = structlog.get_logger(__name__)

_GROUPS_REMEMBERED = 1024
_LONGEST_REMEMBERED = 256
"""Characters of the group values that are remembered: with the number of groups it bounds the memory."""


def rules_in_words(rulebook: Rulebook | None) -> str:
    """How many rules are active; that none is, with what follows from it."""
    number = len(rulebook.rules) if rulebook is not None else 0
    if number == 0:
        return "no rule is active: alerts are kept, and nothing is done about them"
    return "1 rule is active" if number == 1 else f"{number} rules are active"


class IndexedRules:
    """One rulebook with its index, to match alerts by: it never becomes another one.

    Alerts come in groups: which incident a group belongs to is remembered.
    """

    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook
        self.hash = rulebook.hash
        self.index = RuleIndex(rulebook)
        self._wanted: dict[tuple[str, Severity, tuple[str, ...]], NewIncident] = {}

    def incidents_of(self, labels: Mapping[str, str]) -> tuple[NewIncident, ...]:
        """The incidents that an alert with these labels opens or joins, one of each rule that takes it."""
        return tuple([self._incident(rule, labels) for rule in self.index.taking(labels)])

    def _incident(self, rule: Rule, labels: Mapping[str, str]) -> NewIncident:
        severity = rule.severity_of(labels)
        if rule.group_by is None:
            return self._new(rule, severity, labels)
        values = tuple([labels.get(name, "") for name in rule.group_by])
        group = (rule.name, severity, values)
        wanted = self._wanted.get(group)
        if wanted is None:
            wanted = self._new(rule, severity, labels)
            if sum(map(len, values)) <= _LONGEST_REMEMBERED:
                if len(self._wanted) >= _GROUPS_REMEMBERED:
                    self._wanted.clear()
                self._wanted[group] = wanted
        return wanted

    def _new(self, rule: Rule, severity: Severity, labels: Mapping[str, str]) -> NewIncident:
        return NewIncident(
            rule=rule.name,
            rulebook_hash=self.hash,
            key=incident_key(rule, labels),
            severity=severity,
            pending_for=rule.wait_for,
            members=(),
        )


class ActiveRules:
    """The rulebook that new episodes are matched against, by what this process knows now.

    Whatever takes more than a moment and must be of one piece keeps the `indexed` that it began with:
    another may be the active one a moment later.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._following = asyncio.Lock()
        self.indexed = IndexedRules(Rulebook(rules=()))

    @property
    def rulebook(self) -> Rulebook:
        """Its rules."""
        return self.indexed.rulebook

    @property
    def hash(self) -> str:
        """Its hash."""
        return self.indexed.hash

    @property
    def index(self) -> RuleIndex:
        """Its index."""
        return self.indexed.index

    def stand_in(self, rulebook: Rulebook) -> None:
        """What to match by until `follow` has met the database."""
        self.indexed = IndexedRules(rulebook)

    async def follow(self) -> bool:
        """Take over the active rulebook where it changed. True when it did.

        One at a time: of two that began with different answers the later would bring back the older one.
        """
        async with self._following:
            if await self._store.active_hash() == self.hash:
                return False
            active = await self._store.active_rulebook() or Rulebook(rules=())
            if active.hash == self.hash:
                return False
            self.indexed = await asyncio.to_thread(IndexedRules, active)
            _log.info("rulebook active", hash=self.hash[:12], rules=len(active.rules))
            return True
