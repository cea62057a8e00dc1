"""Opening an incident, the news of its members, and the evidence that is gathered beside its ladder."""

from datetime import UTC, datetime, timedelta
from typing import Any

from responder.decide.case import (
    Case,
    Change,
    Finding,
    Notice,
    Terms,
)
from responder.decide.changes.base import go_on, stay
from responder.decide.changes.by_hand import looked
from responder.decide.changes.paging import page_due
from responder.decide.changes.question import question_words
from responder.decide.evidence import kept
from responder.decide.raising import begins
from responder.model.duration import format_duration
from responder.model.incident import Hold, Incident, IncidentState, Progress
from responder.model.policy import NoticeKind
from responder.model.rule import Raise, Rule
from responder.model.severity import Severity
from responder.model.timeline import EntryDraft, EntryKind

_LONGEST_TOLD = 200
"""Characters of a label's value in a text for people."""


def opened(case: Case, now: datetime, terms: Terms) -> Change:
    """From `pending` to `open`: the ladder begins."""
    incident, members = case.incident, case.members
    facts: dict[str, Any] = {
        "rule": case.rule.name,
        "severity": incident.severity.value,
        "labels": incident.key,
    }
    group = _group(incident)
    text = f"{incident.severity} {case.rule.name} opened for {group}"
    if members.first_heard_at is not None and members.first_heard_at < incident.opened_at:
        heard = members.first_heard_at.astimezone(UTC)
        facts["heard_at"] = heard.isoformat()
        text += f"; no rule took it when it was heard of at {heard:%Y-%m-%d %H:%M:%S} UTC, a new rulebook did"
    return Change(
        state=IncidentState.OPEN,
        progress=Progress(
            opened_at=now,
            told_severity=incident.severity,
            told_members=members.total,
            told_firing=members.firing,
            page_at=page_due(case.rule, now),
            severity_by=incident.progress.severity_by,
            **begins(case.rule, now),
        ),
        deadline=now + terms.open_deadline,
        due_at=now,
        entries=(EntryDraft(kind=EntryKind.OPENED, text=text, facts=facts), *_alerts(case)),
    )


def _group(incident: Incident) -> str:
    if incident.overflow:
        return "its further alerts: too many of its incidents are open"
    labels = ", ".join(f"{name}={_short(value)}" for name, value in sorted(incident.key.items()))
    return labels or "all alerts"


def _short(value: str) -> str:
    """A label's value may have a megabyte; the facts have all of it."""
    return value if len(value) <= _LONGEST_TOLD else f"{value[:_LONGEST_TOLD]}\u2026"


def reopened(case: Case, now: datetime, terms: Terms) -> Change:
    """An alert fires again: a resolved incident goes on with its ladder, a recorded one starts anew.

    Nothing of a recorded one is under way, so it starts anew with the rule as it is now.
    """
    why = "it fires again" if case.incident.progress.part_of is None else "it is no part of a storm any more"
    if case.incident.state is IncidentState.RECORDED:
        return begun_anew(case, now, terms, why)
    seen = {"acknowledged_by": None, "acknowledged_at": None}
    tells = {"page_at": page_due(case.rule, now), "level_since": now}
    return go_on(case, now, terms, why, **_ENDED, **tells, **seen)


_ENDED: dict[str, None] = {"verification": None, "outcome": None, "maintenance": None, "inhibited": None}
"""Of a progress: how the ladder ended before."""


def begun_anew(
    case: Case, now: datetime, terms: Terms, why: str, *entries: EntryDraft, **progress: Any
) -> Change:
    """Nothing of it is under way: it begins with the first step, by the rule as it is now."""
    newer = _newer(case)
    rule, told = (case.rule, ()) if newer is None else (newer, _renewal(case, newer))
    anew: dict[str, Any] = {
        "step": 0,
        "passed_over": None,
        "opened_at": now,
        "shadow": False,
        "evidence_started": False,
        "in_auto": None,
        "part_of": None,
        "page_at": page_due(rule, now),
        "level_since": now,
        "raise_from": None,
        **begins(rule, now),
    }
    change = go_on(case, now, terms, why, *entries, *told, **{**_ENDED, **anew, **progress})
    return change if newer is None else change.model_copy(update={"rulebook_hash": case.current_hash})


def _newer(case: Case) -> Rule | None:
    """The rule in the active rulebook, where that is another and makes the same incidents of its alerts."""
    current, pinned = case.current, case.incident.rulebook_hash
    if current is None or case.current_hash == pinned or current.group_by != case.rule.group_by:
        return None
    return current


def _renewal(case: Case, newer: Rule) -> tuple[EntryDraft, ...]:
    """Told where what acts is another: a changed note, or another rule's change, is no news here."""
    if newer.acting_hash == case.rule.acting_hash:
        return ()
    facts = {"rulebook": case.current_hash, "before": case.incident.rulebook_hash}
    text = f"judged by {case.rule.name} as it is now: a newer rulebook is active"
    return (EntryDraft(kind=EntryKind.RULE, text=text, facts=facts),)


def members_changed(case: Case, now: datetime) -> Change:
    """Tell that alerts joined or ended."""
    members = case.members
    return stay(case, now, *_alerts(case), told_members=members.total, told_firing=members.firing)


def severity_changed(case: Case, now: datetime, terms: Terms) -> Change:
    """Tell that a worse alert joined: what waits for a person waits no longer than it allows now.

    Whoever was told of a lesser one is told again, as this severity's policy says.
    """
    severity = case.incident.severity
    before = case.incident.progress.told_severity or severity
    entry = EntryDraft(
        kind=EntryKind.ALERT,
        text=f"it is {severity} now, no longer {before}: a worse alert joined",
        facts={"from": before.value, "to": severity.value},
    )
    return _worse(case, severity, entry, now, terms)


def raised(case: Case, by: Raise, now: datetime, terms: Terms) -> Change:
    """It is not over in the time that its rule gives it: it is worse now, and people are told so.

    Told by the new severity's policy, also where nobody heard of it before: the rule asks for that moment.
    Where a question waits, that is asked again instead.
    """
    incident, severity = case.incident, by.to
    after = format_duration(by.after)
    entry = EntryDraft(
        kind=EntryKind.RULE,
        text=f"it is {severity} now, no longer {incident.severity}: not over {after} after it opened (raise)",
        facts={"from": incident.severity.value, "to": severity.value, "raised_after": after},
    )
    asked = incident.state is IncidentState.AWAITING_APPROVAL
    page = {"page_at": now} if incident.state.pages and not asked else {}
    change = _worse(case, severity, entry, now, terms, **WITHDRAWN, **page)
    return change.model_copy(update={"severity": severity})


WITHDRAWN: dict[str, None] = {"acknowledged_by": None, "acknowledged_at": None}
"""Of a progress: who acknowledged what it was has not acknowledged what it is."""


def _worse(
    case: Case, severity: Severity, entry: EntryDraft, now: datetime, terms: Terms, **progress: Any
) -> Change:
    """What waits for a person waits no longer than the severity allows; who was told is told again."""
    incident = case.incident
    hold = _hastened(incident.progress.hold, severity, terms)
    update = {"told_severity": severity, "hold": hold, **told_again(incident, now), **progress}
    change = stay(case, now, entry, **update)
    deadline, allowed = incident.deadline, patience(incident.state, severity, terms)
    if incident.state is IncidentState.TAKEN_OVER:
        deadline = now
    elif deadline is not None and allowed is not None:
        deadline = min(deadline, max(now, incident.state_since + allowed))
    return change.model_copy(
        update={"deadline": deadline, "notices": asked_again(case, severity, deadline, now)}
    )


def told_again(incident: Incident, now: datetime) -> dict[str, Any]:
    """What moves in the progress where it became worse than people were told, however many alerts it has."""
    match incident.state:
        case IncidentState.ESCALATED:
            return {"covered_members": 0, "level_since": now}
        case IncidentState.RECORDED:
            return {"covered_members": 0}
        case state if state.pages and incident.progress.paged_at is not None:
            return {"page_at": now}
        case _:
            return {}


def asked_again(
    case: Case, severity: Severity, deadline: datetime | None, now: datetime
) -> tuple[Notice, ...]:
    """The question that waits for an answer, for those who answer for the severity that it has now."""
    question = case.incident.progress.question
    if case.incident.state is not IncidentState.AWAITING_APPROVAL or question is None:
        return ()
    text = f"It is {severity} now. {question_words(case, question, severity, deadline, now)}"
    return (Notice(kind=NoticeKind.QUESTION, level=0, text=text),)


def patience(state: IncidentState, severity: Severity, terms: Terms) -> timedelta | None:
    """How long a state may last by the severity's terms; None where they do not say."""
    match state:
        case IncidentState.HELD | IncidentState.AWAITING_APPROVAL:
            return terms.severities[severity].response_time
        case IncidentState.ESCALATED:
            return terms.severities[severity].update_interval
        case _:
            return None


def _hastened(hold: Hold | None, severity: Severity, terms: Terms) -> Hold | None:
    if hold is None:
        return None
    deadline = min(hold.deadline, hold.since + terms.severities[severity].response_time)
    return hold.model_copy(update={"deadline": deadline, "until": min(hold.until, deadline)})


def _alerts(case: Case) -> tuple[EntryDraft, ...]:
    members, told = case.members, case.incident.progress
    joined = members.total - told.told_members
    starts = members.first_starts_at
    facts = {
        "joined": joined,
        "firing": members.firing,
        "total": members.total,
        "first_starts_at": starts.isoformat() if starts else None,
    }
    if joined > 0:
        text = (
            f"{joined} alert{'' if joined == 1 else 's'} joined; {members.firing} of {members.total} firing"
        )
    elif members.firing == 0:
        text = f"no alert fires any more ({members.total} in all)"
    else:
        text = f"{members.firing} of {members.total} alerts firing"
    return (EntryDraft(kind=EntryKind.ALERT, text=text, facts=facts),)


def evidence_started(case: Case, now: datetime) -> Change:
    """The evidence steps run beside the ladder from now on; what an earlier ladder found counts no more."""
    return stay(case, now, evidence_started=True, evidence_at=now, found=())


def findings_told(case: Case, now: datetime) -> Change:
    """Put gathered evidence into the timeline."""
    entries = tuple(
        EntryDraft(
            kind=EntryKind.EVIDENCE,
            text=f"{finding.action}: {_named(case.rule, finding)}",
            facts={"action": finding.action, "summary": _named(case.rule, finding), **_seen(finding)},
        )
        for finding in case.findings
    )
    found = kept(case.rule, case.incident.progress.found, case.findings)
    later = None if case.incident.state is IncidentState.CLOSED else now
    change = stay(case, later, *entries, found=found)
    return change.model_copy(update={"told_findings": tuple(finding.id for finding in case.findings)})


def _named(rule: Rule, finding: Finding) -> str:
    """What was found, by the name that the rule gives to it: one action may be asked several things."""
    index = finding.facts.get("evidence")
    name = None
    if isinstance(index, int) and index < len(rule.evidence):
        name = rule.evidence[index].name
    return finding.summary if name is None else f"{name}: {finding.summary}"


def _seen(finding: Finding) -> dict[str, Any]:
    """The states that were seen; what conditions ask of them stands in the progress."""
    return {name: fact for name, fact in finding.facts.items() if name not in {"evidence", "results"}}


def evidence_read(case: Case, index: int, entry: EntryDraft, now: datetime, terms: Terms) -> Change:
    """A read-only step of the ladder ran: on to the next."""
    if case.incident.by_hand is not None:
        return looked(case, index, entry, now, terms)
    told = entry.model_copy(update={"facts": {**entry.facts, "step": index}})
    return stay(case, now, told, step=index + 1)
