"""What a test says happens outside, act by act, before whoever takes alerts, commands and restraints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import UUID, uuid5

from responder.model.alert import Alert, Delivery, Receipt, Standing, fingerprint
from responder.model.incident import Command, CommandFacts, CommandKind, Incident, IncidentState
from responder.model.redaction import Redaction
from responder.rehearsal.faked import Stage
from responder.rehearsal.happened import offset_words
from responder.rehearsal.rehearsal import Act
from responder.rehearsal.script import AlertSeries, PersonDoes, Restrains, Span
from responder.rulebook.surroundings import SourceFacts

_AGAIN = timedelta(minutes=5)
"""How often a source without an API says again what fires: a group_interval."""
_COMMANDS = UUID(int=1)


class Before(Protocol):
    """Who a test is enacted before: the rehearsal, or the engine itself."""

    async def take(self, delivery: Delivery) -> Receipt:
        """See `ports.Intake.take`."""
        ...

    async def incidents(self) -> Sequence[Incident]:
        """All of them, in the order in which they were opened."""
        ...

    async def command(self, command: Command) -> None:
        """A person's act on an incident."""
        ...

    async def restrain(self, one: Restrains, until: datetime | None) -> None:
        """A halt, a freeze or maintenance begins; a halt has no end of its own."""
        ...

    async def resume(self, one: Restrains) -> None:
        """A halt is over."""
        ...


@dataclass(slots=True)
class Enactment:
    """One test, enacted."""

    source: SourceFacts
    stage: Stage
    before: Before
    redaction: Redaction
    """As a source's decoder does before anything is matched or kept: no secret of an alert is told."""
    _given: int = field(default=0)

    def acts(self) -> Iterator[tuple[datetime, Act]]:
        """Everything that happens outside; what comes first at one moment happens first."""
        test = self.stage.test
        for one in test.restraints:
            yield self._moment(one.span.since), partial(self._restrain, one)
            if one.halts and one.span.until is not None:
                yield self._moment(one.span.until), partial(self.before.resume, one)
        for series in test.alerts:
            for span in series.fires:
                yield from self._episode(series, span)
        for person in test.people:
            yield self._moment(person.at), partial(self._does, person)

    def _moment(self, offset: timedelta) -> datetime:
        return self.stage.test.start + offset

    def _episode(self, series: AlertSeries, span: Span) -> Iterator[tuple[datetime, Act]]:
        yield self._moment(span.since), partial(self._hear, series, span.since)
        again, last = span.since + _AGAIN, self.stage.test.expect[-1].at
        while not self.source.has_api and again < (last if span.until is None else min(span.until, last)):
            yield self._moment(again), partial(self._hear, series, span.since)
            again += _AGAIN
        if span.until is not None:
            yield self._moment(span.until), partial(self._hear, series, span.since, span.until)

    async def _hear(self, series: AlertSeries, since: timedelta, until: timedelta | None = None) -> None:
        alert = Alert(
            fingerprint=fingerprint(series.labels),
            labels=dict(self.redaction.labels(series.labels)),
            annotations=dict(self.redaction.annotations(series.annotations)),
            standing=Standing.FIRING if until is None else Standing.RESOLVED,
            starts_at=self._moment(since),
            ends_at=None if until is None else self._moment(until),
        )
        await self.before.take(Delivery(source=self.source.name, alerts=(alert,)))

    async def _restrain(self, one: Restrains) -> None:
        ends = one.span.until is not None and not one.halts
        await self.before.restrain(one, self._moment(one.span.until) if ends and one.span.until else None)

    async def _does(self, person: PersonDoes) -> None:
        means = [incident for incident in await self.before.incidents() if _is_meant(person, incident)]
        if not means:
            what = f"at {offset_words(person.at)} {person.who} would {person.does.value.replace('_', ' ')}"
            self.stage.say_nothing(f"{what}: there is no such incident", person.position)
        for incident in means:
            self._given += 1
            question = incident.progress.question
            facts = CommandFacts(question=question.id if question else None, severity=person.severity)
            command = Command(
                id=uuid5(_COMMANDS, f"{self._given}"),
                incident_id=incident.id,
                kind=person.does,
                actor=person.who,
                reason=person.reason,
                facts=facts,
                given_at=self.stage.clock.now,
            )
            await self.before.command(command)


def _is_meant(person: PersonDoes, incident: Incident) -> bool:
    """The incidents of its rule that are not closed; an answer is to those that ask."""
    answers = person.does in {CommandKind.APPROVE, CommandKind.DECLINE}
    state = incident.state
    fits = state is IncidentState.AWAITING_APPROVAL if answers else state is not IncidentState.CLOSED
    return fits and (person.rule is None or person.rule == incident.rule)
