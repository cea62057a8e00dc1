"""Plays what was recorded into a backtest, each fact at its moment: answers, words of people, restraints."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from uuid import UUID, uuid5

from responder.model.incident import Command, CommandFacts
from responder.model.restraint import Restraint
from responder.rehearsal.recorded import Fact, FactKind, Known, Recorded
from responder.rehearsal.rehearsal import Rehearsal
from responder.rehearsal.stirred import Kind, Stir

_COMMANDS = UUID(int=2)


class Recall:
    """Of one backtest."""

    def __init__(self, rehearsal: Rehearsal, recorded: Recorded, since: datetime) -> None:
        self._rehearsal = rehearsal
        self._memory = rehearsal.memory
        self._recorded = recorded
        self._since = since
        self._given = 0

    def hear(self, facts: Iterable[Fact]) -> None:
        """These happen at their moments; what stood before the backtest begins does so from then on."""
        for fact in facts:
            at = max(fact.at, self._since)
            match fact.kind:
                case FactKind.COMMAND:
                    self._rehearsal.at(at, partial(self._command, fact))
                case FactKind.RESTRAINT:
                    self._restraint(fact, at)
                case _:
                    self._recorded.hear(fact)
                    self._rehearsal.at(at, partial(self._answer, fact))

    async def _answer(self, fact: Fact) -> None:
        """Whoever waits and may see it looks when it would have looked next."""
        stirred = [Stir(Kind.TARGET, fact.told["target"])] if "target" in fact.told else []
        if (kept := self._memory.live(fact.of)) is not None:
            stirred.append(Stir(Kind.INCIDENT, kept.incident.id))
        self._memory.turns.rouse(stirred, self._rehearsal.clock.now)

    async def _command(self, fact: Fact) -> None:
        """On the incident of that rule and group that is there now; an answer is to what it asks now."""
        kept, kind = self._memory.live(fact.of), str(fact.told["kind"])
        if kept is None:
            self._recorded.used[Known.UNFIT, kind] += 1
            return
        self._given += 1
        question = kept.incident.progress.question
        facts = CommandFacts.model_validate(fact.told["facts"])
        asked = {"question": question.id if question else None, "duplicate_of": None}
        command = Command(
            id=uuid5(_COMMANDS, f"{self._given}"),
            incident_id=kept.incident.id,
            kind=fact.told["kind"],
            actor=fact.told["actor"],
            reason=fact.told["reason"],
            facts=facts.model_copy(update=asked),
            given_at=self._rehearsal.clock.now,
        )
        self._recorded.used[Known.PEOPLE, kind] += 1
        self._memory.command(command)

    def _restraint(self, fact: Fact, at: datetime) -> None:
        one = Restraint.model_validate(fact.told)
        self._rehearsal.at(at, partial(self._begin, one.model_copy(update={"ended_at": None})))
        if one.ended_at is not None:
            self._rehearsal.at(max(one.ended_at, at), partial(self._end, one.id))

    async def _begin(self, one: Restraint) -> None:
        self._recorded.used[Known.RESTRAINT, one.kind.value] += 1
        self._memory.restrain(one)

    async def _end(self, number: int) -> None:
        self._memory.resume(number)
