"""The alerts of one incident: counted as they join and end, never walked through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from responder.decide.fold import AlertRecord
from responder.model.alert import AlertKey
from responder.model.incident import SAMPLE, MemberAlert, Members
from responder.store.cases import common_labels

_HEARD = 200
"""How many firing members are asked for their newest observation, the newest members first: as the store."""

Episode = tuple[AlertKey, int]
"""One interval of one alert, by its generation."""


@dataclass(slots=True)
class Member:
    """One episode that belongs to an incident."""

    key: AlertKey
    generation: int
    starts_at: datetime
    ends_at: datetime | None
    seen_at: datetime
    joined_at: datetime
    heard_at: datetime | None = None
    """When it was first heard of, where no rule took it then."""

    @property
    def episode(self) -> Episode:
        """Which episode it is."""
        return (self.key, self.generation)


@dataclass(slots=True)
class Membership:
    """Every member of one incident."""

    firing: dict[Episode, Member] = field(default_factory=dict)
    """In the order in which they joined."""
    ended: list[Member] = field(default_factory=list)
    """Those that joined last, no more than are told of."""
    total: int = 0
    first_starts_at: datetime | None = None
    first_heard_at: datetime | None = None
    sources: dict[str, None] = field(default_factory=dict)

    def join(self, member: Member) -> None:
        """A firing episode becomes a member."""
        self.total += 1
        self.firing[member.episode] = member
        self.sources[member.key.source] = None
        heard = member.heard_at or member.joined_at
        self.first_heard_at = heard if self.first_heard_at is None else min(self.first_heard_at, heard)
        self.starts(member, member.starts_at)

    def starts(self, member: Member, at: datetime) -> None:
        """Its start is known to be this one."""
        member.starts_at = at
        self.first_starts_at = at if self.first_starts_at is None else min(self.first_starts_at, at)

    def end(self, member: Member, at: datetime) -> None:
        """It fires no more."""
        member.ends_at = at
        if self.firing.pop(member.episode, None) is not None:
            self.ended.append(member)
            self.ended.sort(key=lambda one: one.joined_at, reverse=True)
            del self.ended[SAMPLE:]

    def newest_seen_at(self, records: Mapping[AlertKey, AlertRecord]) -> datetime | None:
        """The newest observation of those that fire and joined last."""
        firing = islice(reversed(self.firing.values()), _HEARD)
        return max((records[one.key].seen_at for one in firing), default=None)

    def as_members(self, records: Mapping[AlertKey, AlertRecord]) -> Members:
        """What a Case carries of them."""
        firing = islice(reversed(self.firing.values()), SAMPLE)
        told = [*firing, *self.ended][:SAMPLE]
        sample = tuple(_as_alert(one, records[one.key]) for one in told)
        return Members(
            firing=len(self.firing),
            total=self.total,
            first_starts_at=self.first_starts_at,
            first_heard_at=self.first_heard_at,
            newest_seen_at=self.newest_seen_at(records),
            sources=tuple(sorted(self.sources)),
            sample=sample,
            common_labels=common_labels([one.labels for one in sample]),
        )


def _as_alert(member: Member, record: AlertRecord) -> MemberAlert:
    current = member.generation == record.generation
    return MemberAlert(
        source=member.key.source,
        fingerprint=member.key.fingerprint,
        generation=member.generation,
        labels=dict(record.labels),
        annotations=dict(record.annotations),
        generator_url=record.generator_url,
        starts_at=member.starts_at,
        ends_at=member.ends_at,
        seen_at=record.seen_at if current else member.seen_at,
        joined_at=member.joined_at,
    )
