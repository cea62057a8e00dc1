"""Taking up what no rule took: open episodes without an incident are matched against the active rulebook.

All of them at the start and after each change of the rulebook; later a page each round, for what was matched
by a rulebook that ceased to be the active one before its commit.
"""

from collections.abc import Sequence

from responder.engine.rules import ActiveRules
from responder.model.alert import AlertKey, Delivery
from responder.ports import Intake, Store, Unmatched


class Rematch:
    """One round after the other over all open episodes, `page` of them at a time."""

    def __init__(self, store: Store, rules: ActiveRules, intake: Intake, page: int = 250) -> None:
        self._store = store
        self._rules = rules
        self._intake = intake
        self._page = page
        self._after: AlertKey | None = None
        self._done_for: str | None = None
        """The rulebook that all of them were matched against."""

    async def round(self) -> None:
        """Everything for a new rulebook, the next page for one that is known."""
        book = self._rules.hash
        everything = book != self._done_for
        if everything:
            self._after = None
        while True:
            page = await self._store.unmatched_open(self._page, self._after)
            await self._take(page.found)
            self._after = page.last
            if self._after is None or not everything:
                break
        self._done_for = book

    async def _take(self, found: Sequence[Unmatched]) -> None:
        by_source: dict[str, list[AlertKey]] = {}
        for episode in found:
            if self._rules.index.taking(episode.labels):
                by_source.setdefault(episode.key.source, []).append(episode.key)
        for source, keys in by_source.items():
            await self._intake.take(Delivery(source=source, alerts=(), refold=tuple(keys)))
