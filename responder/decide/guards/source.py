"""Guards over the alerts: do they still fire, may they be believed, did somebody want them silent?"""

from datetime import datetime, timedelta

from responder.decide.case import Facts, SourceView, Terms
from responder.decide.guards.base import go, refuse, wait, wait_until
from responder.model.guard import Guard, GuardVerdict, Refuses
from responder.model.spoken import moment, span
from responder.model.way import Way, WayKind

_SOMETHING = "a silence or an inhibition"


def still_firing(facts: Facts, terms: Terms) -> GuardVerdict:
    """Something still fires, by our record and by the source's word."""
    if facts.by_hand is not None:
        return go(Guard.STILL_FIRING, _by_hand(facts.by_hand))
    if facts.firing == 0:
        return wait(Guard.STILL_FIRING, "no alert of this incident fires any more", facts, timedelta(0))
    view = facts.source
    if view.configured and view.problem is None and view.absent and not (view.firing or view.suppressed):
        reason = "the source does not know these alerts as firing any more"
        return wait(Guard.STILL_FIRING, reason, facts, terms.hold_every, holder="the source")
    return go(Guard.STILL_FIRING, f"{facts.firing} firing")


def suppressed(facts: Facts, terms: Terms) -> GuardVerdict:
    """Nobody silenced or inhibited the alerts at their source."""
    view = facts.source
    if view.suppressed and not view.firing:
        by = view.suppressed_by or _SOMETHING
        return wait(Guard.SUPPRESSED, suppressed_words(view), facts, terms.suppressed_every, holder=by)
    return go(Guard.SUPPRESSED, "neither silenced nor inhibited")


def _by_hand(actor: str) -> str:
    return f"{actor} asked for it by hand: no alert has to speak for it"


def suppressed_words(view: SourceView) -> str:
    """What keeps the alerts silent."""
    return f"suppressed by {view.suppressed_by or _SOMETHING}"


def source_answers(facts: Facts, terms: Terms) -> GuardVerdict:
    """A source whose API is configured answers."""
    if facts.source.problem is not None:
        reason = f"the source does not answer: {facts.source.problem}"
        return wait(Guard.SOURCE, reason, facts, terms.hold_every, holder="the source")
    if not facts.source.configured:
        return go(Guard.SOURCE, "its source has no API that could be asked", asked=False)
    return go(Guard.SOURCE, "the source was asked")


def too_old(facts: Facts, terms: Terms) -> GuardVerdict:
    """The newest word that it fires is not older than `max_alert_age`.

    A source that does not answer may confirm it yet: held, and a person is told when that takes too long.
    """
    if facts.by_hand is not None:
        return go(Guard.TOO_OLD, _by_hand(facts.by_hand))
    words = [facts.newest_seen_at]
    if facts.source.configured and facts.source.problem is None:
        # The source was asked just now: what it says of them is what the other guards judge.
        words.append(facts.source.asked_at)
    known = [word for word in words if word is not None]
    newest = max(known, default=None)
    if newest is None or facts.now - newest > terms.max_alert_age:
        if facts.source.problem is not None:
            reason = "the word that it fires is old, and its source has to confirm it"
            return wait(Guard.TOO_OLD, reason, facts, terms.hold_every, holder="the source")
        age = "unknown" if newest is None else span(facts.now - newest)
        limit = span(terms.max_alert_age)
        reason = f"the newest word that it fires is {age} old, more than {limit} (engine.terms.max_alert_age)"
        return refuse(Guard.TOO_OLD, reason, Refuses.INCIDENT)
    return go(Guard.TOO_OLD, f"heard of {span(facts.now - newest)} ago")


def stale_at(facts: Facts, terms: Terms) -> datetime | None:
    """When `too_old` refuses if nothing more is heard; None where its source can be asked."""
    if facts.by_hand is not None or facts.source.configured or facts.newest_seen_at is None:
        return None
    return facts.newest_seen_at + terms.max_alert_age


def blind(facts: Facts, terms: Terms) -> GuardVerdict:
    """The watchdog alert of the incident's sources was heard of, where one is configured."""
    del terms
    if facts.blind is not None:
        return refuse(Guard.BLIND, f"blind: {facts.blind}", Refuses.INCIDENT)
    return go(Guard.BLIND, "no watchdog alert that is configured is missing")


def self_caused(facts: Facts, terms: Terms) -> GuardVerdict:
    """No attempt of ours for another incident explains this one."""
    if facts.by_hand is not None:
        return go(Guard.SELF_CAUSED, _by_hand(facts.by_hand))
    act = facts.own_act
    over = None if act is None else act.at + terms.self_caused_within
    if act is None or over is None or facts.now >= over:
        return go(Guard.SELF_CAUSED, "nothing of ours here is recent enough to have caused it")
    reason = (
        f"it may be caused by our own attempt on {act.target} at {moment(act.at, facts.now)} "
        f"(rule {act.rule}, incident {act.incident_id}): not before {moment(over, facts.now)}"
    )
    holder = f"the attempt of incident {act.incident_id}"
    way = Way(kind=WayKind.SEE_INCIDENT, of=str(act.incident_id))
    return wait_until(Guard.SELF_CAUSED, reason, over, holder, way)
