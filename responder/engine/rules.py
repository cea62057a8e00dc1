"""The active rulebook, as this process knows it: one database row that every replica follows."""

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


class ActiveRules:
    """The rulebook that new episodes are matched against, with its index.

    Alerts come in groups: which incident a group belongs to is remembered, as long as the rulebook stays.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rulebook = Rulebook(rules=())
        self.hash = self.rulebook.hash
        self.index = RuleIndex(self.rulebook)
        self._wanted: dict[tuple[str, Severity, tuple[str, ...]], NewIncident] = {}

    def stand_in(self, rulebook: Rulebook) -> None:
        """What to match by until `follow` has met the database."""
        self.rulebook, self.hash, self.index = rulebook, rulebook.hash, RuleIndex(rulebook)
        self._wanted = {}

    async def follow(self) -> bool:
        """Take over the active rulebook where it changed. True when it did."""
        if await self._store.active_hash() == self.hash:
            return False
        active = await self._store.active_rulebook() or Rulebook(rules=())
        if active.hash == self.hash:
            return False
        self.stand_in(active)
        _log.info("rulebook active", hash=self.hash[:12], rules=len(active.rules))
        return True

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
