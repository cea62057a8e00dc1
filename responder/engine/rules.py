"""The active rulebook, as this process knows it: one database row that every replica follows."""

import structlog

from responder.model.rule import Rulebook
from responder.ports import Store
from responder.rulebook.index import RuleIndex

_log = structlog.get_logger(__name__)


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

    def stand_in(self, rulebook: Rulebook) -> None:
        """What to match by until `follow` has met the database."""
        self.rulebook, self.hash, self.index = rulebook, rulebook.hash, RuleIndex(rulebook)

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
