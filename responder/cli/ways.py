"""What a tired person can type about an incident, and what halts it: with the ids filled in."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from responder.cli import output
from responder.cli.ended import Standing, Word, can_be_lifted, has_ended, is_over, not_enough, refusing
from responder.model.guard import Guard
from responder.model.incident import Hold, Incident, IncidentState
from responder.model.spoken import moment
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from responder.review.explained import GuardWord, Judged, explain


def command(way: Way) -> str:
    """What to type, or where to look."""
    of = shlex.quote(way.of)
    match way.kind:
        case WayKind.RESUME:
            return f"responder resume --id {of}"
        case WayKind.REMOVE_FILE:
            return f"rm {of}"
        case WayKind.END_FREEZE:
            return f"responder freeze end {of} --reason ..."
        case WayKind.EDIT_FREEZE:
            return f"edit the freeze {of} in the settings (engine.freezes), then restart"
        case WayKind.END_MAINTENANCE:
            return f"responder maintenance end {of} --reason ..."
        case WayKind.PROMOTE:
            return f"responder rules promote {of} --to auto --reason ..."
        case WayKind.EDIT_RULE:
            return f"edit the autonomy of the rule {of} in the rulebook, then promote its new version"
        case WayKind.RAISE_CEILING:
            return "edit engine.ceiling or engine.ceilings in the settings, then restart"
        case WayKind.ADD_TARGET:
            return f"add it under {of} in the settings, then restart"
        case WayKind.RELEASE:
            return f"responder targets release {of} --reason ..."
        case WayKind.SEE_INCIDENT:
            return f"responder explain {of}"
        case WayKind.SEE_BUDGETS:
            return "responder budgets"
        case WayKind.RESET_BREAKER:
            return f"responder breaker reset {of} --reason ..."
        case _:
            assert_never(way.kind)


def you_can(
    dossier: Dossier, standing: Standing | None, now: datetime, stale_at: datetime | None = None
) -> list[str]:
    """The commands, each a line; nothing where nobody can change how it goes on.

    `stale_at` is when a yes to what is asked is of no use any more.
    """
    told = [
        *_answers(dossier.incident, now, stale_at),
        *_by_state(dossier, standing, now),
        *_ways(dossier, standing, now),
        *_releases(dossier),
        *_keeps(dossier, now),
        *_begins(dossier, standing, now),
        *_by_hand(dossier),
    ]
    once: dict[str, str] = {}
    for line in told:
        once.setdefault(line.partition(_BESIDE)[0], line)
    return list(once.values())


_BESIDE = "   ("
"""Between a command and what else is to be known of it."""


def _answers(incident: Incident, now: datetime, stale_at: datetime | None) -> Iterator[str]:
    if incident.state is not IncidentState.AWAITING_APPROVAL:
        return
    yield f"responder approve {incident.id} --reason ...   (shows what exactly would be done, and asks y/N)"
    yield from (f"  {line}" for line in stale_lines(stale_at, incident.deadline, now))
    yield f"responder decline {incident.id} --reason ..."


def stale_lines(stale_at: datetime | None, until: datetime | None, now: datetime) -> Iterator[str]:
    """That a yes is of no use, or will not be for as long as it can be given; nothing where it is."""
    if stale_at is None or (until is not None and stale_at >= until):
        return
    if stale_at < now:
        yield "a yes only tells people: its alert's last word is too old to act on, until it is told again"
    else:
        again = "unless its alert is told again before"
        yield f"a yes only tells people after {moment(stale_at, now)}, {again}: its last word is too old then"


def _by_state(dossier: Dossier, standing: Standing | None, now: datetime) -> Iterator[str]:
    incident = dossier.incident
    name = incident.id
    seen = incident.progress.acknowledged_by is not None
    take_over = f"responder incidents take-over {name} --reason ..."
    match incident.state:
        case (
            IncidentState.AWAITING_APPROVAL
            | IncidentState.OPEN
            | IncidentState.REMEDIATING
            | IncidentState.VERIFYING
        ):
            yield take_over
        case IncidentState.ESCALATED | IncidentState.HELD:
            if not seen:
                yield f"responder incidents ack {name}"
            yield take_over
            if incident.state is IncidentState.ESCALATED:
                if _step_left(dossier):
                    yield from _hand_back(dossier, standing, f"; {_last_time(dossier, standing, now)}")
                yield from _worse_in_the_storm(dossier, standing, now)
                yield f"responder incidents close {name} --reason ..."
        case IncidentState.TAKEN_OVER:
            if _reminded(incident):
                yield f"responder incidents ack {name}   (you still act: no further level is told then)"
            yield from _hand_back(dossier, standing, "")
            yield f"responder incidents close {name} --reason ..."
        case IncidentState.RECORDED if incident.progress.part_of is not None:
            yield f"responder explain {incident.progress.part_of}"
            yield _as_p1(dossier, standing, now)


def _reminded(incident: Incident) -> bool:
    """Whether people were told of it since a person took it over, and nobody has answered that."""
    told, said = incident.progress.told_at, incident.progress.acknowledged_at
    return told is not None and told > incident.state_since and (said is None or said < told)


def _as_p1(dossier: Dossier, standing: Standing | None, now: datetime) -> str:
    """What a storm lets go; with who else held the step when it was judged last."""
    last = last_judged(dossier)
    lasting = [one for one in (last.held_by if last is not None else ()) if not is_over(one, standing, now)]
    names = dict.fromkeys(one.called for one in lasting if one.guard != Guard.STORM)
    held = f"; {', '.join(names)} may still" if names else ""
    return (
        f"responder incidents severity {dossier.incident.id} P1 --reason ..."
        f"   (then the storm does not keep it{held})"
    )


def _worse_in_the_storm(dossier: Dossier, standing: Standing | None, now: datetime) -> Iterator[str]:
    """Where the storm refused its last step and goes on: what lets it go after a hand-back."""
    last = last_judged(dossier)
    refused = refusing(last, standing, now) if last is not None else ()
    if _step_left(dossier) and any(one.guard == Guard.STORM for one in refused):
        yield _as_p1(dossier, standing, now)


def _by_hand(dossier: Dossier) -> Iterator[str]:
    """The way of what cannot be handed back: asked for anew by a person."""
    incident, asked = dossier.incident, dossier.incident.by_hand
    if asked is not None:
        if asked.acts and not asked.dry_run and incident.state is IncidentState.RECORDED:
            yield f"responder run {asked.action} --with ... --reason ...   (it has to be asked for anew)"
        return
    steps = dossier.rule.get("steps", ())
    with_people = incident.state in {IncidentState.ESCALATED, IncidentState.TAKEN_OVER}
    if with_people and steps and not _step_left(dossier):
        last = incident.progress.passed_over
        step = steps[-1 if last is None else min(last.step, len(steps) - 1)]
        for action in dict.fromkeys(part["action"] for part in step.get("all") or (step,)):
            yield f"responder run {action} --with ... --reason ...   (by hand: {_BY_HAND})"


_BY_HAND = "the rule's own limits do not count then, every other guard does"


def _hand_back(dossier: Dossier, standing: Standing | None, last_time: str) -> Iterator[str]:
    """What comes of it, after the releases without which the next step is held.

    Where that acts is known if it was judged before; else the incident's own targets are the likely ones.
    """
    name = dossier.incident.id
    if not _step_left(dossier):
        yield f"responder incidents hand-back {name} --reason ...   (no step is left: people are told again)"
        return
    judged = explain(dossier).steps[dossier.incident.progress.step].judged
    targets = {judged[-1].target} if judged else {attempt.target for attempt in dossier.attempts}
    known = standing if standing is not None else _own_releases(dossier)
    lost = [way for way in known if way.kind is WayKind.RELEASE and way.of in targets]
    yield from map(command, lost)
    again = f"{_next_step(dossier)} is judged then{last_time}{_frozen(standing)}"
    if lost:
        held = f"held until {' and '.join(way.of for way in lost)} is released"
        again = f"{_next_step(dossier)} is {held if judged else f'judged then; what acts there is {held}'}"
    yield f"responder incidents hand-back {name} --reason ...   ({again})"


def _frozen(standing: Standing | None) -> str:
    """That a freeze stands which may hold what is handed back: whether it does is judged then."""
    stands = any(way.kind is WayKind.END_FREEZE for way in standing or ())
    return "; a freeze stands, which may hold it: responder freeze list" if stands else ""


def _own_releases(dossier: Dossier) -> tuple[Way, ...]:
    """How each quarantine ends that its own attempts have left, and nobody has released."""
    lasting = (one for one in dossier.quarantined if one.released_at is None)
    return tuple(Way(kind=WayKind.RELEASE, of=one.target, by=str(one.attempt_id)) for one in lasting)


def _next_step(dossier: Dossier) -> str:
    step = dossier.incident.progress.step
    return f"step {step + 1}, {_called(dossier.rule['steps'][step])},"


def _called(step: Mapping[str, Any]) -> str:
    """Its action, or those of an `all:` in their order."""
    return " then ".join(part["action"] for part in step.get("all") or (step,))


def _begins(dossier: Dossier, standing: Standing | None, now: datetime) -> Iterator[str]:
    """How what was only recorded in shadow is begun: a person takes it over, and hands it back."""
    incident = dossier.incident
    steps = dossier.rule.get("steps", ())
    if not _only_recorded(incident) or not steps or dossier.members.firing == 0:
        return
    last = last_judged(dossier)
    shadows = [word for word in last.held_by if word.shadow] if last is not None else []
    lasts = any(not is_over(word, standing, now) for word in shadows)
    again = "; while the ceiling stands it is only recorded again" if lasts else ""
    yield f"responder incidents take-over {incident.id} --reason ...   (to begin it: this, then hand it back)"
    yield (
        f"responder incidents hand-back {incident.id} --reason ..."
        f"   (after the take-over: step 1, {_called(steps[0])}, is judged, by the rule as it is now{again})"
    )


def _only_recorded(incident: Incident) -> bool:
    """Whether shadow ended it, and nothing but a person or another alert begins it: no storm does."""
    alone = incident.by_hand is None and incident.progress.part_of is None
    return incident.state is IncidentState.RECORDED and incident.progress.shadow and alone


_CEILINGS = {WayKind.PROMOTE, WayKind.RAISE_CEILING, WayKind.EDIT_RULE}


def beside(way: Way, word: GuardWord, refusing: Sequence[GuardWord], incident: Incident) -> str:
    """Behind a command that ends something: what else it takes; else empty."""
    if way.kind.looks:
        return ""
    if also := not_enough(word, refusing):
        return also
    if incident.state is IncidentState.TAKEN_OVER:
        return "   (nothing starts before a hand-back)"
    return _of_a_ceiling(incident) if way.kind in _CEILINGS else ""


def _of_a_ceiling(incident: Incident) -> str:
    """A higher ceiling begins nothing that is over, and answers nothing that is asked."""
    if incident.state is IncidentState.AWAITING_APPROVAL:
        return "   (the question that was asked stays, and needs its answer)"
    if not _only_recorded(incident):
        return ""
    return "   (it does not begin this one: take-over and hand-back do then, while its alert fires)"


def _last_time(dossier: Dossier, standing: Standing | None, now: datetime) -> str:
    """Whether to hand it back may help: what refused that step the last time may refuse it again."""
    before = explain(dossier).steps[dossier.incident.progress.step].judged
    refused = refusing(before[-1], standing, now) if before else ()
    told_since = before and _told_since(dossier, before[-1].last_at)
    refused = tuple(one for one in refused if not (told_since and one.guard == Guard.TOO_OLD))
    names = ", ".join(dict.fromkeys(one.called for one in refused))
    ends = ", which ends when its alert is told again" if _too_old(refused) else ""
    return f"last time it was refused by {names}{ends}" if names else "without it nothing starts"


def _told_since(dossier: Dossier, judged_at: datetime) -> bool:
    """Whether its alert was told again after it was judged."""
    heard_at = dossier.members.newest_seen_at
    return heard_at is not None and heard_at > judged_at


def _too_old(refused: Sequence[GuardWord]) -> bool:
    return any(one.guard == Guard.TOO_OLD for one in refused)


def _step_left(dossier: Dossier) -> bool:
    return dossier.incident.progress.step < len(dossier.rule.get("steps", ()))


_MOVABLE = {
    IncidentState.ESCALATED,
    IncidentState.HELD,
    IncidentState.AWAITING_APPROVAL,
    IncidentState.SUPPRESSED,
    IncidentState.RECORDED,
    IncidentState.TAKEN_OVER,
}


def _ways(dossier: Dossier, standing: Standing | None, now: datetime) -> Iterator[str]:
    """What ends that which holds it: now, or when it was judged last."""
    incident, hold = dossier.incident, dossier.incident.progress.hold
    if incident.state not in _MOVABLE:
        return
    if incident.state is IncidentState.SUPPRESSED:
        yield from map(command, _quieting(incident, standing))
    elif incident.state is IncidentState.HELD and hold is not None:
        live = (way for one in hold.holders for way in ways_left(one, incident, standing, now))
        yield from map(command, live)
    elif (last := last_judged(dossier)) is not None:
        yield from _of_judged(last, incident, standing, now)


def _releases(dossier: Dossier) -> Iterator[str]:
    """What its own attempts have left quarantined."""
    if dossier.incident.state in _MOVABLE:
        yield from map(command, _own_releases(dossier))


def _keeps(dossier: Dossier, now: datetime) -> Iterator[str]:
    """What its attempts owe back, and a person may want to stay."""
    for one in dossier.owed:
        if one.pending:
            when = moment(one.due_at, now)
            yield (
                f"responder givebacks keep {one.attempt_id} --reason ..."
                f"   ({one.action} on {one.target} is given back at {when} else)"
            )


def _of_judged(judged: Judged, incident: Incident, standing: Standing | None, now: datetime) -> Iterator[str]:
    """What would let the step go; nothing that is not enough, where nobody can end what else refuses it."""
    refused = refusing(judged, standing, now)
    for word in judged.held_by:
        if not_enough(word, refused) and not all(map(can_be_lifted, refused)):
            continue
        for way in ways_left(word, incident, standing, now):
            yield f"{command(way)}{beside(way, word, refused, incident)}"


def ways_left(word: Word, incident: Incident, standing: Standing | None, now: datetime) -> Iterator[Way]:
    """What is not ended yet. While a person acts only what is known to stand is told: nobody waits for it."""
    itself = Way(kind=WayKind.SEE_INCIDENT, of=str(incident.id))  # its own quarantine: this is what is read
    for way in () if is_over(word, standing, now) else word.ways:
        if way == itself:
            continue
        known = way.kind.ends and standing is not None and way.stands_in(standing)
        if not has_ended(way, standing) and (known or incident.state is not IncidentState.TAKEN_OVER):
            yield way


def _quieting(incident: Incident, standing: Standing | None) -> Iterable[Way]:
    """The incident that explains it, or the windows that keep it quiet, by the name that they have."""
    if (by := incident.progress.inhibited) is not None:
        return (Way(kind=WayKind.SEE_INCIDENT, of=str(by.id)),)
    windows = (way for way in standing or () if way.kind is WayKind.END_MAINTENANCE)
    return (way for way in windows if f"maintenance {way.of}" == incident.progress.maintenance)


def last_judged(dossier: Dossier) -> Judged | None:
    """The newest judgement of any step."""
    told = [one for step in explain(dossier).steps for one in step.judged]
    return max(told, key=lambda one: one.last_at, default=None)


def halted_lines(told: dict[str, Any], hold: Hold | None) -> Iterator[str]:
    """Each halt over everything, and each over a part that holds this incident."""
    mine = {way for one in (hold.holders if hold is not None else ()) for way in one.ways}
    for one in told["by"]:
        way = _end_of(one)
        if one.get("scope") and way not in mine:
            continue
        since = f" since {output.moment(one['since']):%Y-%m-%d %H:%M} UTC" if one.get("since") else ""
        by = f" by {one['actor']}{since}" if one.get("actor") else ""
        ends = "it cannot be ended from here" if way is None else command(way)
        yield f"HALTED{by}: {one['reason']} ({ends})"


def _end_of(halt: dict[str, Any]) -> Way | None:
    if halt["what"] == "file":
        path = halt.get("path")
        return None if path is None else Way(kind=WayKind.REMOVE_FILE, of=path)
    return None if halt.get("id") is None else Way(kind=WayKind.RESUME, of=str(halt["id"]))
