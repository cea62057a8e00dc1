"""What is known of alerts, and whose their episodes are: the tables `alerts` and `members` of the store."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey
from responder.rehearsal.members import Episode, Member


class Alerts:
    """Every alert by its key; of each the episodes that may still matter."""

    def __init__(self, flapping_episodes: int) -> None:
        self.records: dict[AlertKey, AlertRecord] = {}
        self.contested: dict[AlertKey, None] = {}
        self._most = flapping_episodes
        self._episodes: dict[Episode, list[tuple[UUID, Member]]] = {}
        """The newest episode of each alert, with its incidents: one of each rule that took it."""
        self._joined: dict[AlertKey, deque[datetime]] = {}
        """When the newest episodes of an alert joined, as many as flapping counts."""

    def keep(self, record: AlertRecord) -> None:
        """What is known of an alert now."""
        self.records[record.key] = record
        if record.contested_at is not None:
            self.contested[record.key] = None
        elif self.contested:
            self.contested.pop(record.key, None)

    def moved(self, before: AlertRecord, record: AlertRecord) -> list[tuple[UUID, Member]]:
        """The memberships of an alert that its new record says something of."""
        found: list[tuple[UUID, Member]] = []
        for generation in {before.generation, record.generation}:
            there = self._episodes.get((record.key, generation), ())
            found += (one for one in there if generation == record.generation or one[1].ends_at is None)
        if before.generation != record.generation:
            self._episodes.pop((record.key, before.generation), None)
        return found

    def owners_of(self, record: AlertRecord) -> Sequence[UUID]:
        """The incidents that its newest episode belongs to."""
        return [one for one, _ in self._episodes.get((record.key, record.generation), ())]

    def is_free(self, record: AlertRecord) -> bool:
        """Whether its episode fires, and no rule has taken it before."""
        return record.firing and (record.key, record.generation) not in self._episodes

    def join(self, incident_id: UUID, member: Member) -> None:
        """Its episode belongs to an incident from now on."""
        belongs = self._episodes.setdefault(member.episode, [])
        if not belongs:
            self._joined.setdefault(member.key, deque(maxlen=self._most)).append(member.joined_at)
        belongs.append((incident_id, member))

    def flapped_at(self, firing: Iterable[Episode], episodes: int) -> datetime | None:
        """When the n-th newest episode of an alert that fires joined; of several alerts the latest."""
        joined = [self._joined[key] for key, _ in firing]
        return max((times[0] for times in joined if len(times) == episodes), default=None)

    def contested_ones(self, limit: int) -> Sequence[AlertRecord]:
        """The longest contested first."""
        found = [self.records[key] for key in self.contested]
        return sorted(found, key=lambda one: one.contested_at or one.seen_at)[:limit]

    def named(self, alertname: str) -> Sequence[AlertKey]:
        """Those of a name that fire."""
        found = self.records.items()
        return [key for key, one in found if one.firing and one.labels.get("alertname") == alertname]

    def forget(self, before: datetime, live: Mapping[UUID, object]) -> None:
        """Forget alerts that ended before then, and that no open incident knows.

        Fires one of them again, it begins anew: all that is lost is how late a resend of the old start comes.
        """
        old = [
            key
            for key, one in self.records.items()
            if not one.firing
            and one.contested_at is None
            and one.last_order[0] < before
            and not any(owner in live for owner in self.owners_of(one))
        ]
        for key in old:
            record = self.records.pop(key)
            self._episodes.pop((key, record.generation), None)
            self._joined.pop(key, None)
