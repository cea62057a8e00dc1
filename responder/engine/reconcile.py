"""Reconcile: each source is asked for all its alerts, and what we did not hear is made good.

Only differences are taken in. What a peer knows and we do not hold as firing goes through intake like a
delivery, silenced or not: its incident asks the source itself, and waits while it is suppressed. What we hold
and nobody knows any more ends, where `decide.reconcile` says so. One replica at a time has the turn for a
source (`ports.Rounds`).

An alert that is handed in again and again and is still not held (a rejected one) is left alone after a few
rounds and counted: it would be a dead letter each minute.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from responder.decide.fold import AlertRecord
from responder.decide.reconcile import NOTHING_ABSENT, Absences, after_poll, gone
from responder.engine.ownership import Ownership
from responder.engine.settings import ReconcileSettings
from responder.model.alert import Alert, Delivery, Standing
from responder.model.duration import format_duration
from responder.model.errors import ResponderError
from responder.model.source import PeerReport, SourceStanding
from responder.ports import Intake, Listed, PeerList, Round, RoundEnd, Rounds
from responder.telemetry import Metrics

_log = structlog.get_logger(__name__)

_AT_ONCE = 500
"""Alerts that are taken in together at most, so that deliveries go between."""
_JITTER = 0.1
_HANDED_IN_AT_MOST = 3
"""In how many rounds in a row an alert is handed in that is not held by the next one."""


@dataclass(slots=True)
class _Memory:
    """What one process remembers of a source between its rounds, while the turn is its own."""

    epoch: int = -1
    absences: Absences = NOTHING_ABSENT
    handed_in: dict[str, int] = field(default_factory=dict)
    """How many rounds in a row each alert was handed in without being held after it."""


@dataclass(slots=True)
class _Comparison:
    """What a round has found so far."""

    begun: Round
    held: Mapping[str, datetime]
    handed_in_before: Mapping[str, int]
    known: set[str] = field(default_factory=set)
    """What any peer knows, by our fingerprints."""
    handed_in: dict[str, int] = field(default_factory=dict)
    left_alone: int = 0
    taken_in: int = 0
    by_labels: list[tuple[PeerList, Alert]] = field(default_factory=list)
    """What was not found by fingerprint at a peer that lists alerts without all their labels."""
    failed: ResponderError | None = None
    """Why something could not be taken in."""

    def missing(self, part: Iterable[Listed]) -> list[Alert]:
        """What is known there and not held here, each once."""
        found = []
        for fingerprint, alert in part:
            if fingerprint not in self.known and fingerprint not in self.held and alert is not None:
                found.append(alert)
            self.known.add(fingerprint)
        return found


class Reconcile:
    """The rounds of all sources that can be asked."""

    def __init__(
        self,
        *,
        rounds: Rounds,
        intake: Intake,
        lists: Mapping[str, Sequence[PeerList]],
        ownership: Ownership,
        metrics: Metrics,
        settings: ReconcileSettings,
    ) -> None:
        self._rounds = rounds
        self._intake = intake
        self._lists = lists
        self._ownership = ownership
        self._metrics = metrics
        self._settings = settings
        self._memory = {source: _Memory() for source in lists}
        self._one_list = asyncio.Lock()
        """One source's lists at a time stand in memory."""
        self.ages: dict[str, float] = {}
        """Seconds since the last complete round of each source, by whichever replica, as last seen."""

    @property
    def sources(self) -> Sequence[str]:
        """Those that can be asked."""
        return tuple(self._lists)

    def late(self) -> Mapping[str, str]:
        """Sources that could not be reconciled for too long, each with a word on it."""
        limit = self._settings.warn_after * self._settings.every.total_seconds()
        return {
            source: f"not reconciled for {format_duration(timedelta(seconds=int(age)))}: "
            f"lost notifications are not noticed; see `responder sources list`"
            for source, age in self.ages.items()
            if age > limit
        }

    async def enter(self) -> None:
        """Make the sources known as ones that can be asked."""
        await self._rounds.enter(self.sources)

    async def leave(self) -> None:
        """Give up every turn."""
        await self._rounds.leave(self._ownership.worker_id)

    async def look(self, source: str) -> None:
        """See how it stands, and make a round where one is to be made and the turn is ours or nobody's."""
        standing = await self._rounds.standing(source)
        self._note(standing)
        worker_id = self._ownership.worker_id
        others = standing.owner not in {None, worker_id} and standing.owner_alive
        if others or not standing.wanted or not self._ownership.alive():
            return
        pause = self._settings.every * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        begun = await self._rounds.begin(source, worker_id, pause)
        if begun is not None:
            async with self._one_list:
                await self._round(begun, standing)

    async def _round(self, begun: Round, standing: SourceStanding) -> None:
        source, memory = begun.source, self._memory_of(begun)
        compared = _Comparison(begun, await self._rounds.held(source), memory.handed_in)
        reports = tuple([await self._ask(peer, compared) for peer in self._lists[source]])
        await self._by_labels(compared)
        memory.handed_in = compared.handed_in
        ended = await self._end_those_gone(memory, compared, reports) if compared.failed is None else 0
        problem = _problem(reports, compared)
        await self._rounds.end(begun, RoundEnd(reports, compared.taken_in, ended, problem))
        self._tell(source, reports, compared, ended, problem)
        if standing.gap is not None and problem is None:
            since = standing.gap.since.isoformat()
            _log.info("what was missed is made good", source=source, since=since, taken_in=compared.taken_in)
        if compared.failed is not None:
            raise compared.failed

    def _memory_of(self, begun: Round) -> _Memory:
        """What is remembered from the rounds before; nothing, where others had the turn meanwhile."""
        memory = self._memory[begun.source]
        if memory.epoch != begun.epoch:
            memory = self._memory[begun.source] = _Memory(begun.epoch)
        return memory

    async def _ask(self, peer: PeerList, compared: _Comparison) -> PeerReport:
        """One peer's list, compared as it comes."""

        async def take(part: Sequence[Listed]) -> None:
            missing = compared.missing(part)
            if peer.whole_labels:
                await self._take_in(compared, missing)
            else:
                compared.by_labels += [(peer, alert) for alert in missing]

        return await peer.read(take)

    async def _by_labels(self, compared: _Comparison) -> None:
        """What was not found by fingerprint may be what we hold under more labels."""
        if not compared.by_labels:
            return
        source = compared.begun.source
        unknown = [print_ for print_ in compared.held if print_ not in compared.known]
        names: dict[str | None, list[AlertRecord]] = {}
        for start in range(0, len(unknown), _AT_ONCE):
            for record in await self._rounds.records(source, unknown[start : start + _AT_ONCE]):
                names.setdefault(record.labels.get("alertname"), []).append(record)
        missing = []
        for peer, alert in compared.by_labels:
            of_its_name = names.get(alert.labels.get("alertname"), ())
            same = [one.key.fingerprint for one in of_its_name if peer.same(alert.labels, one.labels)]
            compared.known.update(same)
            if not same:
                missing.append(alert)
        await self._take_in(compared, missing)

    async def _take_in(self, compared: _Comparison, missing: Sequence[Alert]) -> None:
        """Hand in what is not held. What cannot be stored now is found again by the next round."""
        fresh = []
        for alert in missing:
            times = compared.handed_in_before.get(alert.fingerprint, 0) + 1
            compared.handed_in[alert.fingerprint] = times
            if times > _HANDED_IN_AT_MOST:
                compared.left_alone += 1
            else:
                fresh.append(alert)
        compared.taken_in += await self._deliver(compared, fresh)

    async def _deliver(self, compared: _Comparison, alerts: Sequence[Alert]) -> int:
        """Give alerts to intake, a bounded number at a time; how many were stored."""
        stored = 0
        for start in range(0, len(alerts), _AT_ONCE):
            if compared.failed is not None:
                break
            part = tuple(alerts[start : start + _AT_ONCE])
            try:
                receipt = await self._intake.take(Delivery(source=compared.begun.source, alerts=part))
            except ResponderError as error:
                compared.failed = error
            else:
                stored += receipt.stored
        return stored

    async def _end_those_gone(
        self, memory: _Memory, compared: _Comparison, reports: Sequence[PeerReport]
    ) -> int:
        """Journal the end of what nobody has known for long enough; how many they were."""
        source, asked_at = compared.begun.source, compared.begun.at
        memory.absences = after_poll(
            memory.absences,
            compared.held,
            compared.known,
            asked_at,
            believed=bool(reports) and all(report.doubt is None for report in reports),
            apart=self._settings.every / 2,
        )
        over, ended = sorted(gone(memory.absences, self._settings.absent_polls)), 0
        for start in range(0, len(over), _AT_ONCE):
            records = await self._rounds.records(source, over[start : start + _AT_ONCE])
            alerts = [_gone(record, asked_at) for record in records if record.firing]
            ended += await self._deliver(compared, alerts)
        return ended

    def _note(self, standing: SourceStanding) -> None:
        self.ages[standing.source] = standing.age_s
        self._metrics.reconcile_age.labels(source=standing.source).set(standing.age_s)

    def _tell(
        self,
        source: str,
        reports: Sequence[PeerReport],
        compared: _Comparison,
        ended: int,
        problem: str | None,
    ) -> None:
        outcome = "complete" if problem is None else "incomplete"
        self._metrics.reconcile_rounds.labels(source=source, outcome=outcome).inc()
        self._metrics.reconcile_taken_in.labels(source=source).inc(compared.taken_in)
        self._metrics.reconcile_gone.labels(source=source).inc(ended)
        failing = sum(1 for report in reports if report.doubt is not None)
        self._metrics.reconcile_peers_failing.labels(source=source).set(failing)
        self._metrics.reconcile_left_alone.labels(source=source).set(compared.left_alone)
        if compared.taken_in or ended:
            _log.info("reconciled", source=source, taken_in=compared.taken_in, gone=ended)


def _problem(reports: Sequence[PeerReport], compared: _Comparison) -> str | None:
    doubts = [report.doubt for report in reports if report.doubt is not None]
    if compared.failed is not None:
        doubts.append(f"not all could be taken in: {compared.failed}")
    return "; ".join(doubts) or None


def _gone(record: AlertRecord, asked_at: datetime) -> Alert:
    return Alert(
        fingerprint=record.key.fingerprint,
        labels=record.labels,
        annotations=record.annotations,
        standing=Standing.GONE,
        starts_at=record.starts_at,
        ends_at=asked_at,
        generator_url=record.generator_url,
    )
