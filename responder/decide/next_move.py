"""`next_move`: the only place that decides what happens to an incident.

One function for each state, each total: it names the move, and `Wait` names until when. It is called only
when an incident is due or was woken; it reads nothing but its arguments.
"""

from datetime import datetime
from typing import assert_never

from responder.decide import changes
from responder.decide.by_hand import by_hand_move
from responder.decide.case import (
    Apply,
    AskSource,
    Case,
    Change,
    Check,
    CloseBySource,
    GatherEvidence,
    Move,
    Page,
    Recheck,
    Restrained,
    Settle,
    TakeBack,
    TakePart,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.evidence import awaited_until
from responder.decide.raising import raise_due
from responder.decide.restraints import quiet
from responder.decide.umbrella import umbrella_move
from responder.decide.verify import over, stable
from responder.model.attempt import Outcome
from responder.model.incident import Group, IncidentState
from responder.model.spoken import span
from responder.model.storm import ACTING, UMBRELLA


def next_move(case: Case, now: datetime, terms: Terms) -> Move:
    """What happens to this incident now."""
    state = case.incident.state
    if state is IncidentState.REMEDIATING:
        return _remediating(case, now, terms)  # an effect may be running: nothing comes before its outcome
    if state is not IncidentState.PENDING and (first := _told_first(case, now, terms)):
        return first
    if (move := _without_alerts(case, now, terms)) is not None:
        return move
    if (page := _page(case, now, terms)) is not None:
        return page
    return _by_state(case, now, terms)


def _by_state(case: Case, now: datetime, terms: Terms) -> Move:
    match case.incident.state:
        case IncidentState.PENDING:
            return _pending(case, now, terms)
        case IncidentState.OPEN:
            return _open(case, now, terms)
        case IncidentState.REMEDIATING:
            return _remediating(case, now, terms)
        case IncidentState.VERIFYING:
            return _verifying(case, now, terms)
        case IncidentState.AWAITING_APPROVAL:
            return _awaiting_approval(case, now, terms)
        case IncidentState.HELD:
            return _held(case, now, terms)
        case IncidentState.SUPPRESSED:
            return _suppressed(case, now, terms)
        case IncidentState.TAKEN_OVER:
            return _taken_over(case, now, terms)
        case IncidentState.ESCALATED:
            return _escalated(case, now, terms)
        case IncidentState.RESOLVED:
            return _resolved(case, now, terms)
        case IncidentState.RECORDED:
            return _recorded(case, now, terms)
        case IncidentState.CLOSED:
            return Wait(until=None)
        case other:
            assert_never(other)


def _without_alerts(case: Case, now: datetime, terms: Terms) -> Move | None:
    """What no alert opened goes by a row of its own."""
    if case.incident.rule == UMBRELLA.name:
        return umbrella_move(case, now, terms)
    if (asked := case.incident.by_hand) is not None:
        return by_hand_move(case, asked, now, terms)
    return None


def _told_first(case: Case, now: datetime, terms: Terms) -> Move | None:
    """A person's word, evidence and news of members come before anything else."""
    if case.command is not None:
        return Apply(change=changes.obeyed(case, now, terms))
    if case.findings:
        return Apply(change=changes.findings_told(case, now))
    if case.incident.state is IncidentState.CLOSED or case.incident.rule == UMBRELLA.name:
        return None
    told = case.incident.progress
    if told.told_severity not in {None, case.incident.severity}:
        return Apply(change=changes.severity_changed(case, now, terms))
    if (worse := raise_due(case, now)) is not None:
        return Apply(change=changes.raised(case, worse, now, terms))
    if (told.told_members, told.told_firing) != (case.members.total, case.members.firing):
        return Apply(change=changes.members_changed(case, now))
    return None


def _page(case: Case, now: datetime, terms: Terms) -> Move | None:
    """People are told that it has opened, when that is due; what keeps it quiet comes before.

    What is over, or goes under maintenance, does so by its own state's move; only a verification goes on.
    """
    incident, at = case.incident, case.incident.progress.page_at
    if not incident.state.pages or at is None or now < at:
        return None
    verifying = incident.state is IncidentState.VERIFYING
    if case.members.firing == 0 and not verifying:
        return None
    if (window := quiet(case, now)) is not None:
        later = min(window.until, now + terms.suppressed_every)
        return Apply(change=changes.put_off(case, now, later)) if verifying else None
    if case.storm.raging(terms.storm) and incident.severity not in ACTING:
        return Apply(change=changes.put_off(case, now, now + terms.storm.look_every))
    return Page()


def _pending(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.members.firing == 0:
        return Apply(change=changes.closed(case, "it ended before `for` was over"))
    if deadline is not None and now < deadline:
        return Wait(until=deadline)
    return Apply(change=_begun(case, now, terms))


def _begun(case: Case, now: datetime, terms: Terms) -> Change:
    """The ladder begins, or not before what keeps it quiet is over: nobody is told of it either."""
    window = quiet(case, now)
    if window is not None:
        return changes.quieted(case, window, now, terms)
    return changes.opened(case, now, terms)


def _open(case: Case, now: datetime, terms: Terms) -> Move:
    incident, rule, progress = case.incident, case.rule, case.incident.progress
    if progress.take_back is not None:
        at_hand = (case.attempt, *case.parts)
        owed = next((one for one in at_hand if one is not None and one.id == progress.take_back), None)
        if owed is not None:
            return TakeBack(attempt=owed)
        return Apply(
            change=changes.escalated(case, now, "an undo is owed for an attempt that is gone", terms)
        )
    if progress.group is not None:
        return _under_way(case, progress.group, now, terms)
    if case.members.firing == 0:
        return Apply(change=changes.resolved(case, now, "no alert of it fires any more", terms))
    if (window := quiet(case, now)) is not None:
        return Apply(change=changes.quieted(case, window, now, terms))
    if incident.deadline is not None and now >= incident.deadline:
        since = span(now - incident.state_since)
        return Apply(change=changes.escalated(case, now, f"open for {since} without a result", terms))
    if rule.evidence and not progress.evidence_started:
        return GatherEvidence()
    if (until := awaited_until(case, now)) is not None:
        return Wait(until=until)
    if progress.step < len(rule.steps):
        return TakeStep(index=progress.step)
    if rule.escalate and not rule.changing:
        return AskSource()
    return Apply(change=_ladder_over(case, now, terms))


def _under_way(case: Case, group: Group, now: datetime, terms: Terms) -> Move:
    """The parts of an `all:` follow each other whatever becomes of the alert: half of it is no remedy."""
    incident = case.incident
    if incident.deadline is not None and now >= incident.deadline:
        since = span(now - incident.state_since)
        return Apply(change=changes.stopped(case, now, terms, f"it could not go on for {since}"))
    return TakePart(index=group.step, part=group.part)


def _ladder_over(case: Case, now: datetime, terms: Terms) -> Change:
    if case.rule.changing and not (case.incident.progress.shadow and changes.nothing_done(case)):
        return changes.escalated(case, now, changes.spent(case), terms)
    if case.rule.changing:
        why = "in shadow every step would have been passed over; nothing was done"
        return changes.recorded_in_shadow(case, now, why, terms, in_auto=changes.told_at_once(case))
    return changes.recorded(case, now, "evidence only: the rule has no step that changes anything", terms)


def _remediating(case: Case, now: datetime, terms: Terms) -> Move:
    """Seen here only after a crash: the owner that started the attempt holds the lease until its outcome."""
    attempt = case.attempt
    if attempt is None or attempt.outcome is not Outcome.STARTED:
        reason = "an attempt was said to run, but the ledger has none"
        return Apply(change=changes.escalated(case, now, reason, terms))
    return Settle(attempt=attempt)


def _verifying(case: Case, now: datetime, terms: Terms) -> Move:
    running = case.incident.progress.verification
    ripe = running is not None and stable(case, running, now) and not over(case, running, now, terms)
    return CloseBySource() if ripe and case.members.firing > 0 else Check()


def _awaiting_approval(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.members.firing == 0:
        return Apply(change=changes.resolved(case, now, "it ended before a person answered", terms))
    if (window := quiet(case, now)) is not None:
        return Apply(change=changes.quieted(case, window, now, terms))
    if deadline is None or now >= deadline:
        return Apply(change=changes.escalated(case, now, "nobody answered the question in time", terms))
    return Wait(until=min(deadline, now + terms.suppressed_every) if case.inhibits else deadline)


def _held(case: Case, now: datetime, terms: Terms) -> Move:
    hold = case.incident.progress.hold
    if case.members.firing == 0:
        return Apply(change=changes.resolved(case, now, "it ended while it was held", terms))
    if (window := quiet(case, now)) is not None:
        return Apply(change=changes.quieted(case, window, now, terms))
    if hold is None:
        return Apply(change=changes.go_on(case, now, terms, "nothing holds it any more"))
    if now >= hold.deadline:
        held = span(now - hold.since)
        return Apply(change=changes.escalated(case, now, f"held for {held}: {hold.reasons}", terms))
    if now >= hold.until:
        return TakeStep(index=case.incident.progress.step)
    return Wait(until=hold.until)


def _suppressed(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.members.firing == 0:
        return Apply(change=changes.resolved(case, now, "it ended while it was suppressed", terms))
    if deadline is None or now >= deadline:
        return Apply(change=_anew(case, now, terms, "suppressed for long enough: judged anew"))
    progress = case.incident.progress
    if (window := quiet(case, now)) is not None:
        if window.inhibitor != progress.inhibited:
            return Apply(change=changes.quieted(case, window, now, terms, at_most=deadline))
        return Wait(until=min(_looked_at(window, now, terms), deadline))
    if (before := progress.inhibited or progress.maintenance) is not None:
        why = f"{before} does not keep it quiet any more: judged anew"
        return Apply(change=_anew(case, now, terms, why))
    return Recheck()


def _looked_at(window: Restrained, now: datetime, terms: Terms) -> datetime:
    """When to look again at what keeps it quiet: another incident may be over at any time."""
    return window.until if window.inhibitor is None else now + terms.suppressed_every


def _anew(case: Case, now: datetime, terms: Terms, why: str) -> Change:
    """What never opened, because maintenance came first, opens now; what had ended before it reopens."""
    progress = case.incident.progress
    if progress.opened_at is None:
        return _begun(case, now, terms)
    quieted = progress.maintenance or progress.inhibited
    if quieted is not None and progress.outcome is not None:
        return changes.reopened(case, now, terms)
    return changes.unsuppressed(case, now, terms, why)


def _taken_over(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.members.firing == 0:
        who = case.incident.progress.taken_over_by or "a person"
        return Apply(change=changes.resolved(case, now, f"recovered in the hands of {who}", terms))
    if deadline is None or now >= deadline:
        return Apply(change=changes.reminded(case, now, terms))
    return Wait(until=deadline)


def _escalated(case: Case, now: datetime, terms: Terms) -> Move:
    progress, deadline = case.incident.progress, case.incident.deadline
    if case.members.firing == 0:
        return Apply(change=changes.resolved(case, now, "the alert ended", terms))
    tells = _news_to_people(case) or deadline is None or now >= deadline
    if tells and (window := quiet(case, now)) is not None:
        return Apply(change=changes.quieted(case, window, now, terms))
    if _news_to_people(case):
        return Apply(change=_news(case, now, terms))
    if deadline is None or now >= deadline:
        reason = progress.escalation_reason or "it still fires"
        return Apply(change=changes.escalated(case, now, reason, terms, again=True))
    return Wait(until=deadline)


_MANY = 20
"""From so many alerts on it is no news to people that one more joined, but that they have doubled."""


def _news_to_people(case: Case) -> bool:
    """Whether what joined after the ladder ended is worth another word; the timeline has all of it."""
    known, total = case.incident.progress.covered_members, case.members.total
    return total > known if known < _MANY else total >= 2 * known


def _news(case: Case, now: datetime, terms: Terms) -> Change:
    """An alert joined after the ladder ended, or it is worse than people were told: they are told again.

    The acknowledgement is withdrawn, and the next step is taken where there is one.
    """
    severity, progress = case.incident.severity, case.incident.progress
    why = "a further alert joined" if progress.covered_members else f"it is {severity} now"
    withdrawn = {"acknowledged_by": None, "acknowledged_at": None, "covered_members": case.members.total}
    if progress.step < len(case.rule.steps):
        return changes.told_and_goes_on(case, now, terms, why, **withdrawn)
    left = "and no step is left" if case.rule.steps else "and its rule has no step"
    change = changes.escalated(case, now, f"{why}, {left}", terms)
    return change.model_copy(update={"progress": change.progress.model_copy(update=withdrawn)})


def _resolved(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.members.firing > 0:
        return Apply(change=_again(case, now, terms))
    if deadline is None or now >= deadline:
        return Apply(change=changes.closed(case, "it stayed resolved"))
    return Wait(until=deadline)


def _again(case: Case, now: datetime, terms: Terms) -> Change:
    window = quiet(case, now)
    if window is not None:
        return changes.quieted(case, window, now, terms)
    if case.incident.progress.opened_at is None:
        return changes.opened(case, now, terms)
    return changes.reopened(case, now, terms)


def _recorded(case: Case, now: datetime, terms: Terms) -> Move:
    deadline = case.incident.deadline
    if case.incident.progress.part_of is not None and case.members.firing > 0:
        return _part_of_storm(case, now, terms)
    if case.members.firing > 0 and _news_to_people(case):
        if (window := quiet(case, now)) is not None:
            return Wait(until=_looked_at(window, now, terms))
        return Apply(change=changes.reopened(case, now, terms))
    if deadline is not None and now < deadline:
        return Wait(until=deadline)
    if case.members.firing > 0:
        return Wait(until=now + terms.recorded_for)
    return Apply(change=changes.closed(case, "recorded, and it ended"))


def _part_of_storm(case: Case, now: datetime, terms: Terms) -> Move:
    """It waits as long as people are told of it by the umbrella incident, then it is judged anew."""
    calm = case.storm.umbrella is None and not case.storm.raging(terms.storm)
    if calm or case.incident.severity in ACTING:
        return Apply(change=changes.reopened(case, now, terms))
    return Apply(change=changes.still_part_of_storm(case, now, terms))
