"""What is owed back in memory (`undo: {after: ...}`): the same answers as the store's `give_backs`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from responder.model.attempt import Attempt, Outcome
from responder.ports import OwedBack
from responder.rehearsal.kept import Clock, Kept
from responder.rehearsal.ledger import Ledger


class OwedBacks:
    """Attempts whose effect lasts for a time, and the incidents that take it back."""

    def __init__(self, clock: Clock, ledger: Ledger, incidents: Mapping[UUID, Kept]) -> None:
        self._clock = clock
        self._ledger = ledger
        self._incidents = incidents
        self._owed: dict[UUID, datetime] = {}
        self._given: dict[UUID, UUID] = {}
        """By the attempt that is given back, the incident that does it."""

    def owe(self, attempt_id: UUID, at: datetime) -> None:
        """It is to be given back at that moment."""
        self._owed.setdefault(attempt_id, at)

    def opened(self, attempt_id: UUID, incident_id: UUID) -> None:
        """An incident gives it back."""
        self._given[attempt_id] = incident_id

    def concerns(self, incident_id: UUID) -> bool:
        """Whether anything of an incident is still to be given back, or was by it."""
        mine = (one for one in self._owed if self._ledger.attempts[one].incident_id == incident_id)
        return incident_id in self._given.values() or any(mine)

    def of_attempts(self) -> set[UUID]:
        """The attempts that it is about."""
        return {*self._owed}

    def due(self, limit: int) -> Sequence[OwedBack]:
        """See `ports.GiveBackStore.owed_back`."""
        now, attempts = self._clock.now, self._ledger.attempts
        pending = [attempts[one] for one in self._owed if one not in self._given]
        numbers = {one: number for number, one in enumerate(attempts)}

        def later(one: Attempt) -> bool:
            return any(
                other.target == one.target and numbers[other.id] > numbers[one.id] for other in pending
            )

        due = [one for one in pending if self._owed[one.id] <= now and not later(one)]
        due.sort(key=lambda one: (self._owed[one.id], numbers[one.id]))
        return [self._back(one, numbers) for one in due[:limit]]

    def _back(self, attempt: Attempt, numbers: Mapping[UUID, int]) -> OwedBack:
        incident = self._incidents[attempt.incident_id].incident
        newer = [
            one
            for one in self._ledger.attempts.values()
            if one.target == attempt.target
            and numbers[one.id] > numbers[attempt.id]
            and one.action == attempt.action
            and one.undo_of is None
            and one.outcome is not Outcome.NOT_DONE
            and not self._is_taken_back(one)
        ]
        last = newer[-1] if newer else None
        return OwedBack(attempt, incident.key, incident.severity, last, self._clock.now)

    def _is_taken_back(self, attempt: Attempt) -> bool:
        """Whether what it did is no more there, or it is itself what gives something back."""
        attempts = self._ledger.attempts.values()
        given = self._given.get(attempt.id)
        by_undo = any(one.undo_of == attempt.id and one.outcome is Outcome.DONE for one in attempts)
        in_time = any(one.incident_id == given and one.outcome is Outcome.DONE for one in attempts)
        return by_undo or in_time or attempt.incident_id in self._given.values()
