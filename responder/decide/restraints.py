"""Which restraint holds what: halts, freezes and maintenance windows against one attempt or one incident.

Halts and freezes hold whatever they may concern: one member is enough, and a member that is not seen may be
what any of them is about. Maintenance takes an incident out of people's sight, so it has to concern every
alert that fires; where it concerns only some, it holds actions and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from responder.decide.bind import bindable
from responder.decide.case import Case, Restrained
from responder.decide.freezes import Freeze, in_force_until
from responder.model.attempt import Claim
from responder.model.base import Frozen
from responder.model.matcher import Matcher, all_match
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.model.severity import Severity
from responder.model.way import Way, WayKind

Match = Sequence[Matcher]


class Concern(Frozen):
    """What an attempt concerns, as far as a matcher can ask.

    `attempt` says which rule, severity, action and target it is, `place` where the target stands, as far as
    its key says so; `group` is what is known of every member, `members` what is known of those in the sample.
    """

    attempt: dict[str, str]
    place: dict[str, str]
    severity: Severity
    group: dict[str, str]
    members: tuple[dict[str, str], ...]
    unseen: bool
    """Whether it has members that are not in the sample."""


def concern(case: Case, action: str, target: str | None) -> Concern:
    """What one step of a case concerns."""
    attempt = {"rule": case.rule.name, "severity": case.incident.severity.value, "action": action}
    members = case.members
    return Concern(
        attempt=attempt if target is None else {**attempt, "target": target},
        place={} if target is None else place(target),
        severity=case.incident.severity,
        group=bindable(case.rule, case.incident.key),
        members=tuple(dict(member.labels) for member in members.sample),
        unseen=members.total > len(members.sample) or not members.sample,
    )


def place(target: str) -> dict[str, str]:
    """Cluster and namespace of a target, where its key names them (`kubernetes/CLUSTER/NAMESPACE/...`)."""
    match target.split("/"):
        case ["kubernetes", cluster, namespace, _, *_]:
            return {"cluster": cluster, "namespace": namespace}
        case _:
            return {}


def may_concern(match: Match, it: Concern) -> bool:
    """Whether the matchers hold for any member, or may hold for one that is not seen."""
    told = {**it.place, **it.attempt}
    seen = any(all(_holds(one, told, labels) for one in match) for labels in it.members)
    return seen or (it.unseen and all(_may_hold(one, it) for one in match))


def _holds(matcher: Matcher, attempt: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """By the attempt or by the alert, where both have that name: many alerts have a `severity`, too."""
    named = [told for told in (attempt, labels) if matcher.name in told]
    return any(matcher.matches(told) for told in named or [{}])


def _may_hold(matcher: Matcher, it: Concern) -> bool:
    known = matcher.name in it.attempt or matcher.name in it.group
    return not known or _holds(matcher, {**it.place, **it.attempt}, it.group)


def halted_by(restraints: Restraints, it: Concern) -> str | None:
    """Why nothing that concerns this may start, in words; None where nobody halted it."""
    if (why := restraints.halts_all) is not None:
        return why
    told = [
        f"by {one.actor}: {one.reason} ({one.name}, where {one.scope})"
        for one in restraints.of(RestraintKind.HALT)
        if may_concern(one.match, it)
    ]
    return "; and ".join(told) or None


def ways_to_resume(restraints: Restraints, it: Concern) -> tuple[Way, ...]:
    """How each halt that concerns this is ended; by the number 0 a flag that no halt stands behind."""
    halts = [one for one in restraints.of(RestraintKind.HALT) if may_concern(one.match, it)]
    numbers = [*(str(one.id) for one in halts), *(["0"] if restraints.flag is not None else [])]
    return tuple(Way(kind=WayKind.RESUME, of=number) for number in numbers)


_ENDED_BY = {
    RestraintKind.HALT: WayKind.RESUME,
    RestraintKind.FREEZE: WayKind.END_FREEZE,
    RestraintKind.MAINTENANCE: WayKind.END_MAINTENANCE,
}


def ways_to_end(restraints: Restraints) -> tuple[Way, ...]:
    """How each that stands is ended, whatever it concerns."""
    flag = (Way(kind=WayKind.RESUME, of="0"),) if restraints.flag is not None else ()
    return (*flag, *(Way(kind=_ENDED_BY[one.kind], of=str(one.id)) for one in restraints.standing))


def release_of(claim: Claim) -> Way:
    """How a quarantine ends: that of this attempt, and no other of the same target."""
    return Way(kind=WayKind.RELEASE, of=claim.target, by=str(claim.attempt_id))


def ways_of_claims(claims: Sequence[Claim]) -> tuple[Way, ...]:
    """Which incident holds a target, and how one is released that is quarantined."""
    held = [Way(kind=WayKind.SEE_INCIDENT, of=str(one.incident_id)) for one in claims]
    lost = [release_of(one) for one in claims if one.quarantined]
    return tuple(dict.fromkeys([*held, *lost]))


def frozen_by(
    restraints: Restraints, freezes: Iterable[Freeze], it: Concern, now: datetime
) -> Restrained | None:
    """The freeze that holds an attempt the longest."""
    civil = restraints.civil or now
    given = [
        _restrained(one.name, one.until, one, civil, now, _because(one.match, it))
        for one in restraints.of(RestraintKind.FREEZE)
        if one.until is not None and one.since <= civil < one.until and _freezes(one.match, one.allow, it)
    ]
    written = [
        Restrained(
            holder=f"freeze {one.name}",
            reason=(
                f"frozen by {one.name} until {_moment(until.astimezone(one.zone))}: {one.reason}"
                f"{_because(one.match, it)}"
            ),
            until=_in_service_time(until, civil, now),
            way=Way(kind=WayKind.EDIT_FREEZE, of=one.name),
        )
        for one in freezes
        if (until := in_force_until(one, civil)) is not None and _freezes(one.match, one.allow, it)
    ]
    return max([*given, *written], key=lambda one: one.until, default=None)


def unknown_words(match: Match, known: Mapping[str, str]) -> str:
    """Which labels that a matcher asks for nobody knows here: it counts as if it held."""
    names = sorted({one.name for one in match if one.name not in known})
    if not names:
        return ""
    verb = "is" if len(names) == 1 else "are"
    return f" ({', '.join(names)} {verb} not known here, so it counts)"


def _because(match: Match, it: Concern) -> str:
    """Why it concerns what it may not be about: no member that is seen has what it asks for."""
    told = {**it.place, **it.attempt}
    if any(all(_holds(one, told, labels) for one in match) for labels in it.members):
        return ""
    return unknown_words(match, {**it.group, **told})


def _freezes(match: Match, allow: Sequence[Severity], it: Concern) -> bool:
    return it.severity not in allow and may_concern(match, it)


def _restrained(
    name: str, until: datetime, one: Restraint, civil: datetime, now: datetime, because: str
) -> Restrained:
    over = f", over {one.scope}" if one.match else ""
    reason = f"frozen by {one.actor} until {_moment(until)} ({name}{over}): {one.reason}{because}"
    way = Way(kind=WayKind.END_FREEZE, of=str(one.id))
    return Restrained(holder=name, reason=reason, until=_in_service_time(until, civil, now), way=way)


_APART = timedelta(seconds=2)
"""By so much the two clocks are said to differ; what is less is the moment between reading them."""


def _in_service_time(until: datetime, civil: datetime, now: datetime) -> datetime:
    """When a civil moment comes: the same moment where the clocks agree, and told with the same second."""
    return until if abs(now - civil) < _APART else now + (until - civil)


def maintained(windows: Sequence[Restraint], case: Case, now: datetime) -> Restrained | None:
    """The maintenance that concerns any alert of an incident: nothing is done to what somebody works on."""
    group = bindable(case.rule, case.incident.key)
    over = [
        one
        for one in _open(windows, now)
        if any(all_match(one.match, labels) for labels in _firing(case))
        or (_unseen(case) and all(_may_match(matcher, group) for matcher in one.match))
    ]
    return _told(max(over, key=_end, default=None))


def quiet(case: Case, now: datetime) -> Restrained | None:
    """What keeps a whole incident quiet: maintenance of all of it, else an incident that explains it."""
    return _maintenance_of_all(case, now) or _inhibited(case, now)


_JUDGED_ANEW = timedelta(hours=24)


def _inhibited(case: Case, now: datetime) -> Restrained | None:
    if (by := case.inhibitor) is None:
        return None
    reason = f"inhibited: only recorded while {by} is under way"
    way = Way(kind=WayKind.SEE_INCIDENT, of=str(by.id))
    return Restrained(holder=str(by), reason=reason, until=now + _JUDGED_ANEW, way=way, inhibitor=by)


def _maintenance_of_all(case: Case, now: datetime) -> Restrained | None:
    """Every alert of it that fires is in some window.

    Of members that are not seen only what the group says is known, and it must be enough.
    """
    windows = _open(case.maintenance, now)
    lasting = [_longest(windows, labels) for labels in _firing(case)]
    if _unseen(case):
        group = bindable(case.rule, case.incident.key)
        decided = [one for one in windows if all(matcher.name in group for matcher in one.match)]
        lasting.append(_longest(decided, group))
    found = [one for one in lasting if one is not None]
    if not found or len(found) < len(lasting):
        return None
    return _told(min(found, key=_end))


def _firing(case: Case) -> list[Mapping[str, str]]:
    return [member.labels for member in case.members.sample if member.ends_at is None]


def _unseen(case: Case) -> bool:
    """Whether more may be true of it than its members say; what a person asked for has none to say it."""
    return case.incident.by_hand is not None or case.members.firing > len(_firing(case))


def _longest(windows: Sequence[Restraint], labels: Mapping[str, str]) -> Restraint | None:
    return max((one for one in windows if all_match(one.match, labels)), key=_end, default=None)


def _may_match(matcher: Matcher, known: Mapping[str, str]) -> bool:
    return matcher.name not in known or matcher.matches(known)


def _open(windows: Sequence[Restraint], now: datetime) -> list[Restraint]:
    return [one for one in windows if one.until is not None and one.since <= now < one.until]


def _end(one: Restraint) -> datetime:
    return one.until or one.since


def _told(one: Restraint | None) -> Restrained | None:
    if one is None:
        return None
    reason = f"under maintenance by {one.actor} until {_moment(_end(one))} ({one.name}): {one.reason}"
    way = Way(kind=WayKind.END_MAINTENANCE, of=str(one.id))
    return Restrained(holder=one.name, reason=reason, until=_end(one), way=way)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}" if at.second else f"{at:%Y-%m-%d %H:%M %Z}"
