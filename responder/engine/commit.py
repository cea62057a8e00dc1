"""What intake writes for a batch of deliveries: journal, fold, match, membership, incident due now, position.

Nearly all that is said needs no folding, and one statement stores it, which commits itself. What is left is
folded in a transaction that follows; so is a whole batch with more in it than alerts (a stream's position,
dead letters), all or nothing. An alert is never stored without what follows from it. Where something
is in the way of one of these transactions, it alone is tried again: those before it have stored theirs.

A batch is matched by one rulebook from its first line to its last, whatever becomes the active one meanwhile:
of a delivery no alert goes by the old rules and another by the new ones.

Lock order: alerts, then incidents. Deliveries of one batch count as received in the order in which they
waited, a microsecond apart: what they say of one alert is told in that order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import TypeVar
from uuid import UUID

import structlog

from responder.decide.fold import AlertRecord, fold, settle_contest, step
from responder.engine.crowds import Crowds
from responder.engine.rules import ActiveRules, IndexedRules
from responder.engine.wake import Wake
from responder.model.alert import AlertKey, Delivery, Heard, Observation, Receipt, Standing, heard
from responder.model.errors import StoreAwayError, TemporaryError
from responder.ports import IntakeTransaction, NewIncident, Numbered, Store, Wanted
from responder.telemetry import Metrics

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Folded:
    """What one transaction found out: records to write, and episodes that began in it."""

    records: tuple[AlertRecord, ...]
    begun: tuple[AlertRecord, ...]


_TRIES = 5
"""How often a transaction is tried that something was in the way of."""
_FIRES = (Standing.FIRING, Standing.CONFIRMED)
"""What may begin an episode."""
_WORDS_AT_ONCE = 3
"""How many different things that a batch says of one alert are stored one after the other before folding."""
_ROUNDS_AT_MOST = 16
"""In how many rounds a batch is folded: what is said beyond these is folded together in the last."""
_Said = Mapping[str, Sequence[Numbered]]
"""What is said of each alert of a source, by fingerprint."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A delivery, ready to be written: each thing once that it says, with the incidents that this may open.

    `rulebook` is the one that the incidents are of, `fingerprints` are those of its alerts.
    """

    delivery: Delivery
    said: tuple[tuple[Heard, tuple[NewIncident, ...]], ...]
    rulebook: str
    fingerprints: frozenset[str]

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but what is said of alerts."""
        one = self.delivery
        return not (one.position or one.rejected or one.refold or one.retried)


class Commit:
    """Writes whole batches of deliveries."""

    def __init__(
        self,
        store: Store,
        rules: ActiveRules,
        crowds: Crowds,
        contest_window: timedelta,
        metrics: Metrics,
        wake: Wake,
    ) -> None:
        self._store = store
        self._rules = rules
        self._crowds = crowds
        self._window = contest_window
        self._metrics = metrics
        self._wake = wake

    def prepare(self, delivery: Delivery, rules: IndexedRules | None = None) -> Prepared:
        """What can be found out before its transaction: the less is left to do in that.

        Raises ValueError where an alert has a text that is none.
        """
        rules = rules or self._rules.indexed
        said = {(one.alert.fingerprint, one.content_hash): one for one in map(heard, delivery.alerts)}
        wanted = [
            rules.incidents_of(one.alert.labels) if one.alert.standing is Standing.FIRING else ()
            for one in said.values()
        ]
        of = frozenset([name for name, _ in said])
        return Prepared(delivery, tuple(zip(said.values(), wanted, strict=True)), rules.hash, of)

    async def __call__(self, batch: Sequence[Prepared]) -> list[Receipt]:
        """What became of each delivery, after COMMIT. Raises what the store raises.

        Then some of it may be kept, and is journaled once more when it is taken in again. That changes no
        episode but where both a firing and its end were kept: the firing, heard again after it, contests it.
        """
        rules = self._rules.indexed
        batch = [one if one.rulebook == rules.hash else self.prepare(one.delivery, rules) for one in batch]
        if not all(one.is_plain for one in batch):
            folding = partial(self._folded, batch, _all_said(batch), rules)
            return _receipts(batch, await _in_the_end(folding))
        concerned: list[UUID] = []
        left: dict[AlertKey, Sequence[Numbered]] = {}
        for source, (said, wanted) in _by_source(batch).items():
            left |= await self._at_once(source, said, wanted, concerned)
        if left:
            concerned += await _in_the_end(partial(self._folded, batch, left, rules))
        return _receipts(batch, concerned)

    async def _at_once(
        self, source: str, said: _Said, wanted: Wanted, concerned: list[UUID]
    ) -> Mapping[AlertKey, Sequence[Numbered]]:
        """Store what needs no folding: a statement for what is said first, another for what is said then.

        What one delivery says of one alert, in different words, is said at the same moment: that is folded.
        """
        left = {AlertKey(source, name): told for name, told in said.items() if _at_one_moment(told)}
        if left:
            said = {name: told for name, told in said.items() if AlertKey(source, name) not in left}
        wanted = await self._crowds.within(wanted)
        for _ in range(_WORDS_AT_ONCE):
            if not said:
                break
            first = {name: told if len(told) == 1 else _first_words(told) for name, told in said.items()}
            taken = await _in_the_end(partial(self._store.take_in, source, first, wanted))
            self._opened(taken.opened, taken.due)
            concerned += taken.incidents
            left |= {AlertKey(source, name): said[name] for name in taken.left_over}
            said = {
                name: told[len(first[name]) :]
                for name, told in said.items()
                if len(told) > len(first[name]) and name not in taken.left_over
            }
        return left | {AlertKey(source, name): told for name, told in said.items()}

    async def _folded(
        self,
        prepared: Sequence[Prepared],
        keys: Mapping[AlertKey, Sequence[Numbered]],
        rules: IndexedRules,
    ) -> Sequence[UUID]:
        """Fold what is said of these alerts, and store the batch's positions and dead letters with it.

        What fires and ends within the batch belongs to an incident as well: each end that follows a firing
        begins another round, which finds the episode before it stored.
        """
        batch = [one.delivery for one in prepared]
        rounds = _rounds(keys)
        once = {key: new[0][1] for key, new in keys.items() if len(new) == 1}
        positions = [(delivery.source, delivery.position) for delivery in batch if delivery.position]
        async with self._store.intake(*((tuple(keys), once) if not positions else ())) as transaction:
            for source, position in positions:
                await transaction.advance(source, position)
            await transaction.lock_alerts(tuple(keys), once)
            for delivery in batch:
                if delivery.rejected:
                    await transaction.write_dead_letters(delivery.source, delivery.rejected)
                if delivery.retried is not None:
                    await transaction.take_back(delivery.retried)
            if len(rounds) > 1:
                await transaction.lock_incidents(await self._could_open(keys, rules))
            opened: list[UUID] = []
            news: list[NewIncident] = []
            for said in rounds:
                begun = await self._store_round(transaction, said, _refolded(batch), rules)
                wanted = await self._crowds.all_within(begun)
                opened += await transaction.open_or_join(wanted)
                news += wanted
        self._opened(news, transaction.due)
        return opened

    async def _store_round(
        self,
        transaction: IntakeTransaction,
        said: Mapping[AlertKey, Sequence[Numbered]],
        refolded: AbstractSet[AlertKey],
        rules: IndexedRules,
    ) -> list[NewIncident]:
        """Journal and fold what is said; the incidents that the episodes want which began by it."""
        before = await transaction.lock_alerts(tuple(said))
        rows = {key: _observations(key, new, transaction.now) for key, new in said.items()}
        folded = await self._fold(transaction, before, rows, refolded)
        await transaction.write_journal([row for group in rows.values() for row in group])
        _, wanted = await asyncio.gather(
            transaction.write_alerts(folded.records), _wanted(folded.begun, rules)
        )
        return wanted

    async def _could_open(
        self, keys: Mapping[AlertKey, Sequence[Numbered]], rules: IndexedRules
    ) -> list[NewIncident]:
        """Each incident that any of these alerts would belong to."""
        found = (rules.incidents_of(new[0][1].alert.labels) for new in keys.values() if new)
        return await self._crowds.all_within([one for each in found for one in each])

    def _opened(self, opened: Collection[NewIncident], due: int) -> None:
        self._wake.due(due)
        self._crowds.opened(opened)
        for new in opened:
            self._metrics.incidents_opened.labels(rule=new.rule, severity=new.severity.value).inc()

    async def _fold(
        self,
        transaction: IntakeTransaction,
        before: Mapping[AlertKey, AlertRecord],
        rows: Mapping[AlertKey, Sequence[Observation]],
        refolded: AbstractSet[AlertKey],
    ) -> _Folded:
        """Fold the new rows of each alert into its locked record."""
        records: list[AlertRecord] = []
        begun: list[AlertRecord] = []
        for key, new in rows.items():
            old = before.get(key)
            record = await self._fold_one(transaction, old, new)
            if record is None:
                continue
            if record != old:
                records.append(record)
            if record.firing and (_may_begin(old, record) or key in refolded):
                begun.append(record)
        return _Folded(tuple(records), tuple(begun))

    async def _fold_one(
        self, transaction: IntakeTransaction, old: AlertRecord | None, new: Sequence[Observation]
    ) -> AlertRecord | None:
        window, now = self._window, transaction.now
        ordered = sorted(new, key=lambda row: row.order)
        if old is not None and ordered and ordered[0].order <= old.last_order:
            past = await transaction.history(old.key)
            return fold([*past, *ordered], window, now)
        record = old
        for row in ordered:
            record = step(record, row, window)
        return record if record is None else settle_contest(record, window, now)


async def _wanted(begun: Iterable[AlertRecord], rules: IndexedRules) -> list[NewIncident]:
    """The incidents that new episodes open or join, one for each (rule, key).

    Found while PostgreSQL writes the alerts.
    """
    await asyncio.sleep(0)
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[NewIncident, AlertKey]]] = {}
    for record in begun:
        for new in rules.incidents_of(record.labels):
            group = (new.rule, tuple(sorted(new.key.items())))
            groups.setdefault(group, []).append((new, record.key))
    return [_together(groups[group]) for group in sorted(groups)]


async def _in_the_end(write: Callable[[], Awaitable[T]]) -> T:
    """Write; what was only in the way (a deadlock, a missing partition) is tried again at once.

    Each transaction by itself: one before it has stored what was said first, and would hear it again.
    """
    for _ in range(_TRIES - 1):
        try:
            return await write()
        except StoreAwayError:
            raise
        except TemporaryError as error:
            _log.info("intake tries again", reason=str(error))
    return await write()


def _together(joining: Sequence[tuple[NewIncident, AlertKey]]) -> NewIncident:
    """One incident of what its alerts want each for itself: as bad as the worst of them."""
    worst = min((new for new, _ in joining), key=lambda new: new.severity)
    return replace(worst, members=tuple(key for _, key in joining))


def _all_said(batch: Sequence[Prepared]) -> Mapping[AlertKey, Sequence[Numbered]]:
    """All that is said of each alert, and those that are to be folded again although nothing is."""
    by_key: dict[AlertKey, list[Numbered]] = {key: [] for one in batch for key in one.delivery.refold}
    for number, prepared in enumerate(batch):
        for one, _ in prepared.said:
            key = AlertKey(prepared.delivery.source, one.alert.fingerprint)
            by_key.setdefault(key, []).append((number, one))
    return by_key


def _by_source(batch: Sequence[Prepared]) -> Mapping[str, tuple[_Said, Wanted]]:
    """By source all that is said of each alert, and the incidents of those that fire, should they begin."""
    by_source: dict[str, tuple[dict[str, list[Numbered]], dict[str, tuple[NewIncident, ...]]]] = {}
    for number, prepared in enumerate(batch):
        said, wanted = by_source.setdefault(prepared.delivery.source, ({}, {}))
        for one, new in prepared.said:
            name = one.alert.fingerprint
            said.setdefault(name, []).append((number, one))
            if new:
                wanted.setdefault(name, new)
    return by_source


def _rounds(
    keys: Mapping[AlertKey, Sequence[Numbered]],
) -> Sequence[Mapping[AlertKey, Sequence[Numbered]]]:
    """What is said of each alert, in parts: all first ones, then all second ones. One round at least."""
    parted = {key: _parted(told) for key, told in keys.items()}
    number = max((len(parts) for parts in parted.values()), default=1)
    return [{key: parts[at] for key, parts in parted.items() if at < len(parts)} for at in range(number)]


def _parted(told: Sequence[Numbered]) -> list[list[Numbered]]:
    """In each part no end is told later than a firing: an episode that began in it is open at its end."""
    parts: list[list[Numbered]] = [[]]
    fired: int | None = None
    for number, one in sorted(told, key=itemgetter(0)):
        fires = one.alert.standing in _FIRES
        if fired is not None and not fires and number > fired and len(parts) < _ROUNDS_AT_MOST:
            parts.append([])
            fired = None
        parts[-1].append((number, one))
        fired = number if fires else fired
    return parts


def _at_one_moment(told: Sequence[Numbered]) -> bool:
    """Whether one delivery says several things of the alert."""
    return len(told) > 1 and len({number for number, _ in told}) < len(told)


def _first_words(told: Sequence[Numbered]) -> Sequence[Numbered]:
    """What is said first, as often as it is said before anything else is."""
    words = told[0][1].content_hash
    other = next((at for at, (_, one) in enumerate(told) if one.content_hash != words), len(told))
    return told[:other]


def _receipts(batch: Sequence[Prepared], incidents: Iterable[UUID]) -> list[Receipt]:
    concerned = tuple(dict.fromkeys(incidents))
    return [
        Receipt(stored=len(one.said), rejected=len(one.delivery.rejected), incidents=concerned)
        for one in batch
    ]


def _refolded(batch: Sequence[Delivery]) -> AbstractSet[AlertKey]:
    return {key for delivery in batch for key in delivery.refold}


def _observations(key: AlertKey, new: Iterable[Numbered], now: datetime) -> Sequence[Observation]:
    return [
        Observation(
            key.source,
            one.alert,
            now + number * timedelta.resolution,
            one.content_hash,
            one.labels,
            one.annotations,
        )
        for number, one in new
    ]


def _may_begin(old: AlertRecord | None, record: AlertRecord) -> bool:
    """Whether an episode begins, or one starts anew whose incident a person may have closed meanwhile."""
    return old is None or old.generation != record.generation or old.newest_start != record.newest_start
