"""The alerts of one incident: counted as they join and end, never walked through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from operator import is_

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
    told: tuple[AlertRecord, MemberAlert] | None = None
    """What a Case carried of it last, and of which record that was made."""

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
    _told: tuple[list[AlertRecord], Members] | None = None
    """What a Case carried of them last, with the records that it was made of."""
    _common: tuple[list[Member], dict[str, str]] = ([], {})
    """The labels that some members have in common."""

    def join(self, member: Member) -> None:
        """A firing episode becomes a member."""
        self._told = None
        self.total += 1
        self.firing[member.episode] = member
        self.sources[member.key.source] = None
        heard = member.heard_at or member.joined_at
        self.first_heard_at = heard if self.first_heard_at is None else min(self.first_heard_at, heard)
        self.starts(member, member.starts_at)

    def starts(self, member: Member, at: datetime) -> None:
        """Its start is known to be this one."""
        self._told = member.told = None
        member.starts_at = at
        self.first_starts_at = at if self.first_starts_at is None else min(self.first_starts_at, at)

    def end(self, member: Member, at: datetime) -> None:
        """It fires no more."""
        self._told = member.told = None
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
        known = [records[one.key] for one in told]
        if len(self.firing) <= SAMPLE and self._told is not None and _same(self._told[0], known):
            return self._told[1]
        sample = tuple(_as_alert(one, record) for one, record in zip(told, known, strict=True))
        if not _same(self._common[0], told):
            self._common = (told, common_labels([one.labels for one in sample]))
        members = self._as_members(records, sample)
        self._told = (known, members)
        return members

    def _as_members(
        self, records: Mapping[AlertKey, AlertRecord], sample: tuple[MemberAlert, ...]
    ) -> Members:
        return Members(
            firing=len(self.firing),
            total=self.total,
            first_starts_at=self.first_starts_at,
            first_heard_at=self.first_heard_at,
            newest_seen_at=self.newest_seen_at(records),
            sources=tuple(sorted(self.sources)),
            sample=sample,
            common_labels=self._common[1],
        )


def _same(before: Sequence[object], now: Sequence[object]) -> bool:
    """Whether they are the very same ones; a record is another one whenever its alert is heard of."""
    return len(before) == len(now) and all(map(is_, before, now))


def _as_alert(member: Member, record: AlertRecord) -> MemberAlert:
    told = member.told
    if told is None:
        made = _made(member, record)
    elif told[0] is record:
        return told[1]
    else:
        made = told[1] if _is_as_told(member, told[0], record) else _made(member, record)
    member.told = (record, made)
    return made


def _is_as_told(member: Member, before: AlertRecord, record: AlertRecord) -> bool:
    """Whether what is told of an earlier episode is the same still: only its alert's words may change."""
    return (
        member.generation not in {before.generation, record.generation}
        and before.labels == record.labels
        and before.annotations == record.annotations
        and before.generator_url == record.generator_url
    )


def _made(member: Member, record: AlertRecord) -> MemberAlert:
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
