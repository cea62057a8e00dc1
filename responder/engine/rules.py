"""The active rulebook, as this process knows it: one database row that every replica follows."""

import structlog

from responder.model.alert import AlertKey
from responder.model.rule import Rulebook
from responder.ports import Store
from responder.rulebook.index import RuleIndex

_log = structlog.get_logger(__name__)

_AT_ONCE = 20_000
"""How many unmatched episodes are looked at for one rulebook."""


def rules_in_words(rulebook: Rulebook | None) -> str:
    """How many rules are active; that none is, with what follows from it."""
    number = len(rulebook.rules) if rulebook is not None else 0
    if number == 0:
        return "no rule is active: alerts are kept, and nothing is done about them"
    return "1 rule is active" if number == 1 else f"{number} rules are active"


class ActiveRules:
    """The rulebook that new episodes are matched against, with its index."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rulebook = Rulebook(rules=())
        self.hash = self.rulebook.hash
        self.index = RuleIndex(self.rulebook)

    async def follow(self) -> bool:
        """Take over the active rulebook where it changed. True when it did."""
        active = await self._store.active_rulebook()
        if active is None or active.hash == self.hash:
            return False
        self.rulebook, self.hash, self.index = active, active.hash, RuleIndex(active)
        _log.info("rulebook active", hash=self.hash[:12], rules=len(active.rules))
        return True

    async def unmatched_matches(self) -> tuple[AlertKey, ...]:
        """Open episodes that belong to no incident and that a rule of the active book would take."""
        found = await self._store.unmatched_open(_AT_ONCE)
        return tuple(key for key, labels, _ in found if self.index.first(labels) is not None)
