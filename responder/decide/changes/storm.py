"""What the storm's umbrella incident tells, and what an incident that is part of a storm waits for."""

from datetime import datetime
from typing import Any

from responder.decide.case import Case, Change, Terms
from responder.decide.changes.base import stay
from responder.decide.changes.endings import escalated
from responder.model.duration import format_duration
from responder.model.storm import Storm
from responder.model.timeline import EntryDraft, EntryKind

_NAMED = 5
"""How many rules are named: those with the most incidents."""


def storm_told(case: Case, now: datetime, terms: Terms, *, again: bool = False) -> Change:
    """Page: there is a storm, and this is what is part of it. A new one is told at the level of the last."""
    brake, storm = terms.storm, case.storm
    if not again:
        case = _level_begins(case, now)
    within = format_duration(brake.within)
    what = f"{brake.openings} incidents or more opened within {within}; only P0 and P1 act"
    why = f"{what if storm.raging(brake) else 'the storm is not over'}; {_covers(storm)}"
    change = _counted(escalated(case, now, why, terms, again=again), case, now, terms)
    if again:
        return change
    withdrawn = {"acknowledged_by": None, "acknowledged_at": None, "outcome": None}
    return change.model_copy(update={"progress": change.progress.model_copy(update=withdrawn)})


def _level_begins(case: Case, now: datetime) -> Case:
    progress = case.incident.progress.model_copy(update={"level_since": now})
    return case.model_copy(update={"incident": case.incident.model_copy(update={"progress": progress})})


def storm_grew(case: Case, now: datetime, terms: Terms) -> Change:
    """Tell in the timeline, where what is part of the storm has doubled since that was told; page nobody."""
    entry = EntryDraft(kind=EntryKind.ALERT, text=_covers(case.storm), facts=_facts(case.storm))
    return _counted(stay(case, now, entry), case, now, terms)


def still_part_of_storm(case: Case, now: datetime, terms: Terms) -> Change:
    """What joins an incident that is part of a storm is told with the storm, too."""
    change = stay(case, now + min(terms.storm.within, terms.recorded_for), covered_members=case.members.total)
    return change.model_copy(update={"deadline": now + terms.recorded_for})


def _counted(change: Change, case: Case, now: datetime, terms: Terms) -> Change:
    """The next look, and what was told: of the umbrella incident `told_members` counts incidents."""
    told = {"told_members": sum(case.storm.covered.values()), "told_firing": case.storm.still_firing}
    progress = change.progress.model_copy(update=told)
    due_at = now + terms.storm.look_every
    if change.deadline is not None:
        due_at = min(due_at, change.deadline)
    return change.model_copy(update={"progress": progress, "due_at": due_at})


def _covers(storm: Storm) -> str:
    number = sum(storm.covered.values())
    if number == 0:
        return "no incident is part of it yet"
    rules = sorted(storm.covered.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{rule} {count}" for rule, count in rules[:_NAMED])
    more = f" and {len(rules) - _NAMED} more rules" if len(rules) > _NAMED else ""
    are = "incident is" if number == 1 else "incidents are"
    return f"{number} {are} part of it ({named}{more}), {storm.still_firing} still fire"


def _facts(storm: Storm) -> dict[str, Any]:
    return {"incidents": dict(storm.covered), "still_firing": storm.still_firing}
