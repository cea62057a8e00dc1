"""The cap on open incidents of one rule: what comes beyond it joins one overflow incident of the rule.

No alert is dropped by it: each is a member of an incident as ever, only of another one. Whether a rule may be
at its cap is known by counting what this process opens; what others opened is asked every second. Only of a
rule that may be is the store asked which of its incidents are open: an alert of one of those joins it. So one
process is beyond the cap by nothing, and several are by what each opens within a second. What is said again
of alerts that are in the overflow incident counts as wanting one of their own: room may be left that way.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from responder.model.incident import OVERFLOW
from responder.ports import IncidentKey, NewIncident, Store, Wanted


class Crowds:
    """How many incidents of each rule are open, as far as that can matter."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._open: dict[str, int] = {}
        """Never less than what is open, but for what other processes opened within a second."""
        self._most = 0
        self._touched: set[str] = set()
        """Rules of which this process opened an incident since the last round."""

    def opened(self, news: Iterable[NewIncident]) -> None:
        """These incidents were opened by this process, or joined."""
        for new in news:
            known = self._open[new.rule] = self._open.get(new.rule, 0) + 1
            self._most = max(self._most, known)
            self._touched.add(new.rule)

    async def within(self, wanted: Wanted) -> Wanted:
        """What is wanted for each alert, with the overflow incident where its own would be one too many."""
        over = await self._beyond([new for each in wanted.values() for new in each])
        if not over:
            return wanted
        return {name: tuple([_capped(new, over) for new in each]) for name, each in wanted.items()}

    async def all_within(self, wanted: list[NewIncident]) -> list[NewIncident]:
        """The same for incidents that come with their alerts."""
        over = await self._beyond(wanted)
        return [_capped(new, over) for new in wanted] if over else wanted

    def may_be_over(self, wanted: Iterable[IncidentKey]) -> bool:
        """Whether any rule could come beyond its cap by these: then nothing else may be opened meanwhile."""
        by_rule = Counter(rule for rule, _ in set(wanted))
        return any(self._open.get(rule, 0) + number > self._limit for rule, number in by_rule.items())

    async def round(self) -> None:
        """See how many are open of the rules where that may have changed, or matters."""
        asked = self._touched | {rule for rule, number in self._open.items() if 2 * number > self._limit}
        self._touched.clear()
        if asked:
            counted, _ = await self._store.standing(sorted(asked), (), self._limit)
            self._count(counted)

    async def _beyond(self, wanted: Collection[NewIncident]) -> AbstractSet[IncidentKey]:
        if self._most + len(wanted) <= self._limit:
            return frozenset()
        by_rule: dict[str, list[IncidentKey]] = {}
        for identity in dict.fromkeys(new.identity for new in wanted):
            by_rule.setdefault(identity[0], []).append(identity)
        crowded = {
            rule: keys for rule, keys in by_rule.items() if self._open.get(rule, 0) + len(keys) > self._limit
        }
        if not crowded:
            return frozenset()
        asked = [key for keys in crowded.values() for key in keys]
        counted, there = await self._store.standing(list(crowded), asked, self._limit)
        self._count(counted)
        over: set[IncidentKey] = set()
        for rule, keys in crowded.items():
            room = max(self._limit - counted[rule], 0)
            over.update([key for key in keys if key not in there][room:])
        return over

    def _count(self, counted: Mapping[str, int]) -> None:
        self._open |= counted
        self._most = max(self._open.values(), default=0)


def _capped(new: NewIncident, over: AbstractSet[IncidentKey]) -> NewIncident:
    return replace(new, key=OVERFLOW) if new.identity in over else new
