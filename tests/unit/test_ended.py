"""What held a step and is over since says so where it is told; no command that does not help is offered."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from responder.cli.output import ago, until
from responder.cli.steps import Telling, evidence_lines, lines_of
from responder.cli.story import acknowledged_lines, headline, holder_lines, next_lines, told_story
from responder.cli.ways import you_can
from responder.decide.case import Terms
from responder.decide.guards.limits import breaker
from responder.decide.guards.service import halt
from responder.decide.told_next import promised
from responder.model.approval import Approval, Consent
from responder.model.attempt import Outcome, Quarantined
from responder.model.breaker import Breaker
from responder.model.by_hand import ByHand
from responder.model.guard import Guard
from responder.model.incident import Hold, Holder, IncidentState, Verification
from responder.model.spoken import moment
from responder.model.timeline import EntryKind
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from responder.review.explained import explain
from tests.support.dossiers import ACTION, ATTEMPT, INCIDENT, TARGET, Story, after, an_attempt
from tests.unit.test_guards import NOW, TERMS, facts

RULE = "RunawayQueries"
PROMOTE = Way(kind=WayKind.PROMOTE, of=RULE)
RESET = Way(kind=WayKind.RESET_BREAKER, of=RULE)
RELEASE = Way(kind=WayKind.RELEASE, of=TARGET)
FREEZE = Way(kind=WayKind.END_FREEZE, of="3")
HALT = Way(kind=WayKind.RESUME, of="7")
HOLDER = UUID(int=7)
CONSENT = Consent(action=ACTION, target=TARGET, params={}, facts="f", elements=(), titles=())
OTHER = Way(kind=WayKind.SEE_INCIDENT, of=str(HOLDER))
AT = after(65)


def word(guard: Guard, ruling: str, reason: str, *ways: Way, **more: Any) -> dict[str, Any]:
    """What one guard said, as the timeline has it."""
    told = {"guard": guard.value, "ruling": ruling, "reason": reason, **more}
    return {**told, "ways": [way.model_dump(mode="json") for way in ways]}


def judged(state: IncidentState, *words: dict[str, Any], **progress: Any) -> Dossier:
    """An incident of one step that these guards have judged; the first decided."""
    decides = words[0]
    facts = {
        "step": 0,
        "action": ACTION,
        "target": TARGET,
        "ruling": decides["ruling"],
        "decided_by": decides["guard"],
        "reason": decides["reason"],
        "shadow": any(one.get("shadow") for one in words),
        "verdicts": list(words),
        "element_count": 1,
        "elements": ["pid 7"],
    }
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts)
    story.rule = {**story.rule, "steps": [{"action": ACTION}, {"action": "b"}]}
    return story.dossier(state, **progress)


def step_of(dossier: Dossier, standing: tuple[Way, ...] | None, number: int = 0) -> str:
    """What is told of one step."""
    telling = Telling(now=AT, incident=dossier.incident, standing=standing)
    return "\n".join(line for _, line in lines_of(explain(dossier).steps[number], telling))


SHADOWED = word(Guard.AUTONOMY, "go", f"shadow only, nobody has promoted {RULE}", PROMOTE, shadow=True)
OPEN = word(Guard.BREAKER, "refuse", "the circuit breaker is open", RESET)
LOST = word(Guard.CLAIM, "wait", "it is quarantined", OTHER, RELEASE)
USED = word(Guard.CLAIM, "wait", f"it is held by incident {HOLDER}", OTHER)
FROZEN = word(Guard.FREEZE, "wait", "frozen by ada", FREEZE)
UNKNOWN = word(Guard.SCOPE, "refuse", "it is in no inventory")
COMMANDS = {
    PROMOTE: f"responder rules promote {RULE} --to auto --reason ...",
    RESET: f"responder breaker reset {RULE} --reason ...",
    RELEASE: f"responder targets release {TARGET} --reason ...",
    FREEZE: "responder freeze end 3 --reason ...",
    OTHER: f"responder explain {HOLDER}",
}


@pytest.mark.parametrize(
    ("state", "said", "way", "since"),
    [
        (
            IncidentState.RECORDED,
            SHADOWED,
            PROMOTE,
            "promoted since: that counts when an alert of it fires anew",
        ),
        (IncidentState.ESCALATED, SHADOWED, PROMOTE, "promoted since"),
        (IncidentState.ESCALATED, OPEN, RESET, "reset since"),
        (IncidentState.ESCALATED, LOST, RELEASE, "released since"),
        (IncidentState.ESCALATED, USED, OTHER, "since ended"),
        (IncidentState.ESCALATED, FROZEN, FREEZE, "since ended"),
    ],
)
def test_what_has_ended_since_says_how_and_its_command_is_offered_no_more(
    state: IncidentState, said: dict[str, Any], way: Way, since: str
) -> None:
    """A breaker, a promotion, a quarantine, a freeze, another's claim: while it stands the command does."""
    dossier = judged(state, said)
    for standing in (None, (way,)):
        assert f"{said['reason']}\n-> " in step_of(dossier, standing)
        assert f"-> {COMMANDS[way]}" in step_of(dossier, standing)
        assert COMMANDS[way] in you_can(dossier, standing, AT)
    assert f"{said['reason']} ({since})" in step_of(dossier, ())
    if way.kind.ends:
        assert COMMANDS[way] not in step_of(dossier, ())
        assert COMMANDS[way] not in you_can(dossier, (), AT)


def test_of_two_things_that_hold_it_one_that_has_ended_is_not_both() -> None:
    """A halt beside a file, and a promotion beside a ceiling of the settings: the rest holds it still."""
    ceiling = Way(kind=WayKind.RAISE_CEILING)
    both = word(Guard.AUTONOMY, "go", "shadow only", PROMOTE, ceiling, shadow=True)
    told = step_of(judged(IncidentState.RECORDED, both), ())
    assert "since" not in told
    assert "promote" not in told.replace("only", "")
    assert "-> edit engine.ceiling" in told


def test_the_headline_of_what_is_escalated_marks_what_has_ended() -> None:
    """Of a refusal, and of a hold that lasted too long; what counts down is named by its guard."""
    refused = judged(IncidentState.ESCALATED, OPEN, escalation_reason=OPEN["reason"])
    assert headline(refused, AT, (RESET,)).endswith(": the circuit breaker is open.")
    assert headline(refused, AT, ()).endswith(": the circuit breaker is open (reset since).")
    reason = f"held for 1h: frozen by ada; also {USED['reason']}, which verifies until 12:00:00 UTC"
    held = judged(IncidentState.ESCALATED, FROZEN, USED, escalation_reason=reason)
    told = headline(held, AT, (OTHER,))
    assert "held for 1h: frozen by ada (since ended); also it is held by" in told
    held = judged(IncidentState.ESCALATED, FROZEN, LOST, escalation_reason="held for 1h: it was quarantined")
    told = headline(held, AT, (FREEZE,))
    assert told.endswith("held for 1h: it was quarantined; target in use (released since).")
    other = judged(IncidentState.ESCALATED, FROZEN, escalation_reason="it did not help")
    assert headline(other, AT, ()).endswith(": it did not help."), "that is of something else"


def _held(*holders: Holder) -> Dossier:
    reason = holders[0].reason
    hold = Hold(
        guard=holders[0].guard,
        reason=reason,
        until=after(75),
        since=after(5),
        deadline=after(605),
        holders=holders,
    )
    return judged(IncidentState.HELD, FROZEN, hold=hold)


BY_FREEZE = Holder(guard="freeze", reason="frozen by ada", over_at=after(3600), ways=(FREEZE,))
BY_HALT = Holder(guard="halt", reason="halted by root", ways=(HALT,))
BY_CLAIM = Holder(guard="claim", reason="used", verifies_until=after(125), ways=(OTHER,))


def test_what_is_held_by_what_has_ended_is_judged_again_before_long() -> None:
    """Until then the headline says so, and does not threaten with people; with what lasts it does."""
    alone = _held(BY_FREEZE)
    assert headline(alone, AT, (FREEZE,)).endswith("frozen by ada; people are told in 9m if nothing changes.")
    assert headline(alone, AT, ()).endswith(": frozen by ada (since ended); it is judged again in 10s.")
    both = _held(BY_HALT, BY_FREEZE)
    told = headline(both, AT, (HALT,))
    assert ": held by halt (no end is known), freeze (since ended); people are told in 9m" in told
    assert "earliest start" not in told, "the freeze keeps nothing any more"
    told = headline(both, AT, (FREEZE,))
    assert ": earliest start 00:59:30 UTC, held by freeze (until 00:59:30 UTC), halt (since ended); " in told
    assert list(holder_lines(both, AT, (FREEZE,))) == [
        "held: halted by root (since ended)",
        "held: frozen by ada",
    ]
    bare = _held(BY_FREEZE)
    hold = Hold(guard="freeze", reason="x", until=after(75), since=after(5), deadline=after(605))
    progress = bare.incident.progress.model_copy(update={"hold": hold})
    bare = bare.model_copy(update={"incident": bare.incident.model_copy(update={"progress": progress})})
    assert headline(bare, AT, ()).endswith(": x; people are told in 9m if nothing changes."), "nobody knows"
    assert headline(both, AT, ()).endswith(
        "halt (since ended), freeze (since ended); it is judged again in 10s."
    )


def test_the_headline_says_until_when_another_incident_verifies() -> None:
    """As the step's own line does: that end is known, though it is no sure one."""
    told = headline(_held(BY_CLAIM, BY_FREEZE), AT, (OTHER, FREEZE))
    assert "held by target in use (which verifies until 00:01:35 UTC), freeze (until 00:59:30 UTC)" in told
    told = headline(_held(BY_CLAIM, BY_HALT), AT, (HALT,))
    assert "target in use (since ended)" in told


def test_what_is_refused_anyway_is_not_said_to_be_mended_by_a_promotion() -> None:
    """Above it is not offered, at the step it says who else refuses; what can be ended is told with it."""
    dossier = judged(IncidentState.RECORDED, UNKNOWN, SHADOWED)
    also = "   (not enough: also refused by target)"
    assert f"-> {COMMANDS[PROMOTE]}{also}" in step_of(dossier, (PROMOTE,))
    assert you_can(dossier, (PROMOTE,), AT) == []
    dossier = judged(IncidentState.RECORDED, OPEN, SHADOWED)
    also = "   (not enough: also refused by circuit breaker)"
    both = [COMMANDS[RESET], f"{COMMANDS[PROMOTE]}{also}"]
    assert you_can(dossier, (PROMOTE, RESET), AT) == both
    assert you_can(dossier, (PROMOTE,), AT) == [COMMANDS[PROMOTE]], "the breaker was reset since"
    storm = word(Guard.STORM, "refuse", "a storm", OTHER)
    dossier = judged(IncidentState.RECORDED, storm, SHADOWED)
    assert you_can(dossier, (PROMOTE,), AT) == [COMMANDS[OTHER]], "to look at it ends no storm"


def test_to_hand_it_back_says_what_refused_the_step_the_last_time() -> None:
    """While that lasts it may do so again, and people are told once more; not where it has ended since."""
    hand_back = f"responder incidents hand-back {INCIDENT} --reason ...   (step 1, {ACTION}, is judged then; "
    both = judged(IncidentState.ESCALATED, OPEN, UNKNOWN)
    told = f"{hand_back}last time it was refused by circuit breaker, target)"
    assert told in you_can(both, (RESET,), AT)
    alone = judged(IncidentState.ESCALATED, OPEN)
    assert f"{hand_back}without it nothing starts)" in you_can(alone, (), AT)
    later = judged(IncidentState.ESCALATED, OPEN, step=1)
    second = hand_back.replace(f"step 1, {ACTION}", "step 2, b")
    assert f"{second}without it nothing starts)" in you_can(later, (RESET,), AT), "that is another step"


def test_what_is_over_leads_nowhere_and_a_command_stands_once_in_a_judgement() -> None:
    """Not to the incident that held the target; two guards that name one incident name it together."""
    ours = word(Guard.SELF_CAUSED, "wait", "our own act", OTHER)
    told = step_of(judged(IncidentState.HELD, LOST, ours), (OTHER, RELEASE))
    assert told.count(f"-> {COMMANDS[OTHER]}") == 1
    assert told.count("-> ") == 2
    assert "->" not in step_of(judged(IncidentState.HELD, LOST), (OTHER,))
    lost = Holder(guard="claim", reason="it is quarantined", ways=(OTHER, RELEASE))
    assert not any("explain" in line for line in you_can(_held(lost), (OTHER,), AT))
    assert "target in use (until it is released), freeze" in headline(_held(lost, BY_FREEZE), AT)


def test_a_condition_says_once_that_the_step_was_not_needed() -> None:
    """The line above has said it."""
    told = step_of(judged(IncidentState.ESCALATED, word(Guard.CONDITION, "refuse", "not needed: 0 wait")), ())
    assert "passed over, for it was not needed\nthe step's condition: 0 wait" in told


def test_the_headline_of_a_shadow_says_why_and_whether_that_still_holds() -> None:
    """In one pair of brackets."""
    dossier = judged(IncidentState.RECORDED, SHADOWED, shadow=True)
    why = f"would have started on 1 element (shadow only, nobody has promoted {RULE}"
    assert headline(dossier, AT, (PROMOTE,)).endswith(f"{why}).")
    since = "promoted since: that counts when an alert of it fires anew"
    assert headline(dossier, AT, ()).endswith(f"{why}; {since}).")


def test_the_headline_of_what_shadow_would_have_held_says_whether_that_still_holds() -> None:
    """It quotes the guard: a halt that is over keeps nothing from starting."""
    halted = word(Guard.HALT, "wait", "halted by root", HALT, shadow=False)
    outcome = "in shadow step 1 would have been held: halted by root; in auto a person would have been told"
    dossier = judged(IncidentState.RECORDED, halted, SHADOWED, shadow=True, outcome=outcome)
    assert headline(dossier, AT, (HALT, PROMOTE)).endswith(f": {outcome}.")
    marked = outcome.replace("by root", "by root (since ended)")
    assert headline(dossier, AT, (PROMOTE,)).endswith(f": {marked}.")


def test_while_a_person_acts_what_stands_is_told_with_its_command() -> None:
    """It would hold what they hand back, and nothing starts before; what nobody knows of is left out."""
    frozen = judged(IncidentState.TAKEN_OVER, FROZEN, taken_over_by="bo")
    ends = f"{COMMANDS[FREEZE]}   (nothing starts before a hand-back)"
    assert f"-> {ends}" in step_of(frozen, (FREEZE,))
    assert you_can(frozen, (FREEZE,), AT)[-1] == ends
    for standing in ((), None):
        assert "->" not in step_of(frozen, standing)
        assert not any("freeze" in line for line in you_can(frozen, standing, AT))


@pytest.mark.parametrize("state", [IncidentState.OPEN, IncidentState.REMEDIATING, IncidentState.VERIFYING])
def test_while_automation_acts_it_can_be_taken_over(state: IncidentState) -> None:
    """Nothing else helps there."""
    told = you_can(judged(state, FROZEN), (FREEZE,), AT)
    assert told == [f"responder incidents take-over {INCIDENT} --reason ..."]


def test_what_was_recorded_in_shadow_says_what_begins_it() -> None:
    """No promotion does: a person takes it over and hands it back, while it fires; it begins anew then."""
    take_over = (
        f"responder incidents take-over {INCIDENT} --reason ...   (to begin it: this, then hand it back)"
    )
    hand_back = (
        f"responder incidents hand-back {INCIDENT} --reason ...   (after the take-over: step 1, {ACTION},"
        " is judged, by the rule as it is now"
    )
    dossier = _firing(judged(IncidentState.RECORDED, SHADOWED, shadow=True))
    none = "   (it does not begin this one: take-over and hand-back do then, while its alert fires)"
    assert you_can(dossier, (PROMOTE,), AT) == [
        f"{COMMANDS[PROMOTE]}{none}",
        take_over,
        f"{hand_back}; while the ceiling stands it is only recorded again)",
    ]
    assert f"-> {COMMANDS[PROMOTE]}{none}" in step_of(dossier, (PROMOTE,))
    assert you_can(dossier, (), AT) == [take_over, f"{hand_back})"], "promoted since"
    told = promised(dossier.incident, 2, Terms())
    assert next_lines(dossier.incident, told, AT) == ["nobody is told of it while it is recorded"]
    ended = judged(IncidentState.RECORDED, SHADOWED, shadow=True)
    spent = _firing(judged(IncidentState.RECORDED, SHADOWED, shadow=True, step=2))
    assert you_can(spent, (), AT) == [take_over, f"{hand_back})"], "every step was passed over"
    storm = _firing(judged(IncidentState.RECORDED, SHADOWED, shadow=True, part_of=HOLDER))
    asked = ByHand(actor="ada", reason="x", title="y", asked_at=after(0))
    by_hand = dossier.model_copy(update={"incident": dossier.incident.model_copy(update={"by_hand": asked})})
    for one in (ended, storm, by_hand):
        assert not any("take-over" in line for line in you_can(one, (), AT))


def test_a_ceiling_that_is_raised_answers_no_question() -> None:
    """What was asked stays asked, until a person says yes or no."""
    asks = word(
        Guard.AUTONOMY, "ask", "a person must approve", Way(kind=WayKind.RAISE_CEILING), OTHER, PROMOTE
    )
    dossier = judged(IncidentState.AWAITING_APPROVAL, asks)
    stays = "   (the question that was asked stays, and needs its answer)"
    ceiling = "edit engine.ceiling or engine.ceilings in the settings, then restart"
    want = [f"{ceiling}{stays}", COMMANDS[OTHER], f"{COMMANDS[PROMOTE]}{stays}"]
    assert you_can(dossier, (OTHER, PROMOTE), AT)[-3:] == want
    assert f"-> {want[0]}" in step_of(dossier, (OTHER, PROMOTE))


def test_a_ceiling_in_a_file_begins_nothing_that_is_recorded_either() -> None:
    """The settings', and a rule's own word, as a promotion: what is begun goes by the rule as it is then."""
    ceiling, edit = Way(kind=WayKind.RAISE_CEILING), Way(kind=WayKind.EDIT_RULE, of=RULE)
    shadowed = word(Guard.AUTONOMY, "go", "shadow only", ceiling, edit, shadow=True)
    dossier = _firing(judged(IncidentState.RECORDED, shadowed, shadow=True))
    told = you_can(dossier, (edit,), AT)
    none = "   (it does not begin this one: take-over and hand-back do then, while its alert fires)"
    assert all(line.endswith(none) for line in told[:2])
    assert len(told) == 4
    assert not any("edit the autonomy" in line for line in you_can(dossier, (), AT)), "edited since"


def test_a_rule_that_was_edited_since_holds_nothing_any_more() -> None:
    """Its own word was of the version that was judged; the one that is active now goes further."""
    edit = Way(kind=WayKind.EDIT_RULE, of=RULE)
    shadowed = word(Guard.AUTONOMY, "go", "shadow only, by the rule", edit, shadow=True)
    dossier = judged(IncidentState.RECORDED, shadowed, shadow=True)
    assert "since" not in step_of(dossier, (edit,))
    told = "shadow only, by the rule (edited since: that counts when an alert of it fires anew)"
    assert told in step_of(dossier, ())


def test_the_headline_names_everybody_who_refuses() -> None:
    """Who ends one of two refusals reads of the other before it is handed back."""
    both = judged(IncidentState.ESCALATED, OPEN, UNKNOWN, escalation_reason=OPEN["reason"])
    assert headline(both, AT, (RESET,)).endswith(": the circuit breaker is open; also refused by target.")
    assert headline(both, AT, ()).endswith("is open (reset since); also refused by target.")
    alone = judged(IncidentState.ESCALATED, OPEN, escalation_reason=OPEN["reason"])
    assert headline(alone, AT, (RESET,)).endswith(": the circuit breaker is open.")
    later = judged(IncidentState.ESCALATED, OPEN, UNKNOWN, escalation_reason="it did not help")
    assert headline(later, AT, (RESET,)).endswith(": it did not help."), "that is of something else"


@pytest.mark.parametrize(("minutes", "told"), [(20, True), (90, False)])
def test_a_yes_that_ends_before_what_holds_it_says_so(minutes: int, told: bool) -> None:
    """A person who said yes reads that they are asked again; where it lasts there is nothing to say."""
    yes = Approval(
        id=UUID(int=3),
        consent=CONSENT,
        guards=(Guard.AUTONOMY,),
        by="ada",
        expires_at=after(60 * minutes),
    )
    held = _held(BY_FREEZE)
    progress = held.incident.progress.model_copy(update={"approval": yes})
    held = held.model_copy(update={"incident": held.incident.model_copy(update={"progress": progress})})
    ends = f"; the yes of ada ends before that, at {moment(yes.expires_at, AT)}: it is asked for anew then."
    assert headline(held, AT, (FREEZE,)).endswith(ends) is told


def test_a_freeze_that_stands_is_told_with_the_hand_back() -> None:
    """Whether it holds that step is judged then; that it may, a person reads before."""
    held = judged(IncidentState.TAKEN_OVER, OPEN)
    freeze = "; a freeze stands, which may hold it: responder freeze list)"
    assert any(line.endswith(freeze) for line in you_can(held, (FREEZE,), AT))
    assert not any(freeze in line for line in you_can(held, (), AT))


@pytest.mark.parametrize(("heard", "told"), [(4, True), (30, False)])
def test_what_was_too_old_goes_on_once_its_alert_is_told_again(heard: int, told: bool) -> None:
    """Until then a hand-back leads to people again; afterwards nothing of that refusal is left."""
    old = word(Guard.TOO_OLD, "refuse", "the newest word that it fires is 12 min old")
    dossier = judged(IncidentState.ESCALATED, old, escalation_reason=old["reason"])
    members = dossier.members.model_copy(update={"newest_seen_at": after(heard)})
    lines = you_can(dossier.model_copy(update={"members": members}), (), AT)
    ends = "last time it was refused by age of the alert, which ends when its alert is told again)"
    assert any(line.endswith(ends) for line in lines) is told
    assert any(line.endswith("; without it nothing starts)") for line in lines) is not told


def test_what_a_storm_refused_names_how_it_may_act_in_it_and_who_may_hold_it_then() -> None:
    """Of a part of the storm, and of what people were told of in it; after the storm nothing of that."""
    storm = word(Guard.STORM, "refuse", "a storm", OTHER)
    spent = word(Guard.BUDGET, "wait", "the budget is spent", Way(kind=WayKind.SEE_BUDGETS))
    severity = f"responder incidents severity {INCIDENT} P1 --reason ...   (then the storm does not keep it"
    alone = judged(IncidentState.ESCALATED, storm)
    assert f"{severity})" in you_can(alone, (OTHER,), AT)
    both = judged(IncidentState.RECORDED, storm, spent, part_of=HOLDER)
    assert f"{severity}; budget may still)" in you_can(both, (OTHER,), AT)
    other = judged(IncidentState.ESCALATED, OPEN)
    assert not any("incidents severity" in line for line in you_can(other, (RESET,), AT))


def test_what_shadow_found_nothing_for_is_not_said_to_have_started() -> None:
    """In auto there is nothing to do, and it goes on; in shadow it ends there."""
    story = Story().opens().judges(5, "go", "autonomy", "shadow only", shadow=True)
    story.rule = {**story.rule, "steps": [{"action": ACTION}, {"action": "b"}]}
    dossier = story.dossier(IncidentState.RECORDED, shadow=True)
    assert headline(dossier, AT, ()).endswith(
        f": in shadow nothing was done; {ACTION} on {TARGET} found nothing to act on."
    )
    goes_on = "found nothing to act on; in shadow it ends there, in auto it goes on if the alert lasts"
    assert goes_on in step_of(dossier, (), 0)
    by_hand = [line for _, line in lines_of(explain(dossier).steps[0], Telling(now=AT))]
    assert by_hand[0].endswith(": found nothing to act on"), "no alert is there to last"
    assert step_of(dossier, (), 1) == (
        "not judged: in shadow it ended at step 1, which found nothing to act on; "
        "in auto this comes if the alert lasts"
    )


def _firing(dossier: Dossier) -> Dossier:
    return dossier.model_copy(update={"members": dossier.members.model_copy(update={"firing": 1})})


def _left(dossier: Dossier, reason: str, outcome: Outcome = Outcome.UNKNOWN, **released: Any) -> Dossier:
    """The same incident, whose attempt has left its target quarantined."""
    left = Quarantined(target=TARGET, attempt_id=ATTEMPT, reason=reason, **released)
    attempts = (an_attempt(after(0), outcome, None),)
    return dossier.model_copy(update={"attempts": attempts, "quarantined": (left,)})


NOBODY_KNOWS = f"nobody can say whether {ACTION} on {TARGET} happened"
RELEASED: dict[str, Any] = {"released_at": after(30), "released_by": "ada"}
OWN = Way(kind=WayKind.RELEASE, of=TARGET, by=str(ATTEMPT))
ANEW = Way(kind=WayKind.RELEASE, of=TARGET, by=str(HOLDER))


def test_the_headline_of_what_left_a_target_quarantined_says_when_that_is_released() -> None:
    """Of its own attempt; it does not lead to itself, and no command stands twice."""
    reason = f"{NOBODY_KNOWS}; the target is quarantined"
    own = word(
        Guard.CLAIM, "wait", "it is quarantined", Way(kind=WayKind.SEE_INCIDENT, of=str(INCIDENT)), OWN
    )
    dossier = judged(IncidentState.ESCALATED, own, escalation_reason=reason, step=1)
    lost = _left(dossier, NOBODY_KNOWS)
    for standing in ((OWN,), None):
        assert headline(lost, AT, standing).endswith("; the target is quarantined.")
        told = you_can(lost, standing, AT)
        assert [line for line in told if "explain" in line or " release " in line] == [COMMANDS[RELEASE]]
        assert "responder explain" not in step_of(lost, standing)
    since = "(released since by ada at 00:00:00 UTC)"
    released = _left(dossier, NOBODY_KNOWS, **RELEASED)
    assert headline(released, AT, ()).endswith(f"; the target is quarantined {since}.")
    taken = _left(judged(IncidentState.TAKEN_OVER, own, step=1), NOBODY_KNOWS)
    assert len([line for line in you_can(taken, (OWN,), AT) if " release " in line]) == 1
    other = _left(judged(IncidentState.ESCALATED, own, escalation_reason="it did not help"), NOBODY_KNOWS)
    assert headline(other, AT, ()).endswith(": it did not help.")


def test_a_release_stays_told_when_the_target_is_quarantined_anew() -> None:
    """By another attempt: this one's quarantine has ended all the same, and the other's is not this one's."""
    reason = f"{NOBODY_KNOWS}; the target is quarantined"
    told = _left(judged(IncidentState.ESCALATED, FROZEN, escalation_reason=reason), NOBODY_KNOWS, **RELEASED)
    assert "(released since by ada" in headline(told, AT, (ANEW,))
    assert "(released since by ada" in step_of(told, (ANEW,))
    by_other = word(Guard.CLAIM, "wait", "it is quarantined", OTHER, OWN)
    waited = judged(IncidentState.ESCALATED, by_other, escalation_reason="held for 1h: it is quarantined")
    assert "it is quarantined (released since)" in headline(waited, AT, (OTHER, ANEW))
    assert "(released since)" not in headline(waited, AT, (OTHER, OWN))
    older = judged(IncidentState.ESCALATED, LOST, escalation_reason="held for 1h: it is quarantined")
    assert "(released since)" not in headline(older, AT, (ANEW,)), "whose it was, nobody wrote down"


def test_an_undo_that_is_owed_says_that_its_target_is_quarantined_and_released() -> None:
    """In the headline and at the attempt, which was done; and the release is offered until it happened."""
    reason = f"the undo of {ACTION} on {TARGET} is owed: frozen by ada"
    for why in (reason, f"{reason}; the target is quarantined"):
        dossier = judged(IncidentState.ESCALATED, FROZEN, escalation_reason=why, step=1)
        owed = _left(dossier, reason, Outcome.DONE)
        assert headline(owed, AT, (FREEZE,)).endswith("frozen by ada; the target is quarantined.")
        assert f"done, not verified; the target is quarantined, for {reason}" in step_of(owed, (FREEZE,))
        assert COMMANDS[RELEASE] in you_can(owed, (FREEZE, OWN), AT)
        over = _left(dossier, reason, Outcome.DONE, **RELEASED)
        assert headline(over, AT, ()).endswith(
            "frozen by ada (since ended); the target is quarantined (released since by ada at 00:00:00 UTC)."
        )
        assert COMMANDS[RELEASE] not in you_can(over, (FREEZE,), AT)


def test_a_hand_back_says_that_the_next_step_is_held_until_a_target_is_released() -> None:
    """After the command that releases it; where the step acts is sure if it was judged before."""
    hand_back = f"responder incidents hand-back {INCIDENT} --reason ...   (step"
    held = f"held until {TARGET} is released)"
    for state in (IncidentState.ESCALATED, IncidentState.TAKEN_OVER):
        again = _left(judged(state, LOST), NOBODY_KNOWS)
        told = you_can(again, (OWN,), AT)
        line = f"{hand_back} 1, {ACTION}, is {held}"
        assert told.index(COMMANDS[RELEASE]) < told.index(line)
        later = you_can(_left(judged(state, LOST, step=1), NOBODY_KNOWS), None, AT)
        assert f"{hand_back} 2, b, is judged then; what acts there is {held}" in later
        assert not any("held until" in line for line in you_can(again, (), AT)), "it was released since"


def test_what_nobody_can_say_of_an_attempt_is_said_with_the_reason() -> None:
    """Not as one word; and that its target is quarantined for it, until it is released."""
    lost = _left(judged(IncidentState.ESCALATED, FROZEN, step=1), NOBODY_KNOWS)
    [attempt] = lost.attempts
    results = [each.model_copy(update={"detail": "no answer: TimeoutError"}) for each in attempt.results]
    named = lost.model_copy(update={"attempts": (attempt.model_copy(update={"results": results * 2}),)})
    told = "nobody can say whether it happened (no answer: TimeoutError); the target is quarantined"
    assert step_of(named, ()).splitlines()[0].endswith(f": {told}")
    story = dict(told_story(named, promised(named.incident, 2, Terms()), AT, ()))
    assert story["Done"][0].endswith(f"{ACTION} on {TARGET}: nobody can say whether it happened")
    silent = attempt.model_copy(update={"results": ()})
    bare = lost.model_copy(update={"attempts": (silent,), "quarantined": ()})
    assert step_of(bare, ()).splitlines()[0].endswith(": nobody can say whether it happened")


def test_when_the_target_was_asked_stays_told() -> None:
    """After whoever ran it went away: when, and what it said."""
    for outcome, said in (
        (Outcome.DONE, "done"),
        (Outcome.NOT_DONE, "not done"),
        (Outcome.UNKNOWN, "nobody can say whether it happened (terminated)"),
    ):
        story = Story().opens().acts(6, outcome)
        story.tell(40, EntryKind.EFFECT, "x", attempt=str(ATTEMPT), asked=True)
        story.rule = {**story.rule, "steps": [{"action": ACTION}]}
        dossier = story.dossier(IncidentState.VERIFYING, step=1)
        asked = f"no outcome was recorded, the target was asked at {moment(after(40), AT)}: {said}"
        assert step_of(dossier, ()).splitlines()[0].endswith(f": {asked}")


def test_the_headline_of_what_is_verified_names_the_step() -> None:
    """What was done to what; where no attempt is verified, nothing was done."""
    running = Verification(started_at=after(7), deadline=after(305), attempt_id=ATTEMPT, last="it fires")
    story = Story().opens().acts(6, Outcome.DONE)
    told = headline(story.dossier(IncidentState.VERIFYING, step=1, verification=running), AT, ())
    assert told.endswith(f": did step 1, {ACTION} on {TARGET}, help? it fires; decided at the latest in 4m.")
    nothing = running.model_copy(update={"attempt_id": None})
    told = headline(story.dossier(IncidentState.VERIFYING, step=1, verification=nothing), AT, ())
    assert ": it fires; decided" in told


def test_what_held_a_step_back_is_marked_where_it_is_over() -> None:
    """In the incident's story as at its step; what holds it now is not."""
    held = judged(IncidentState.OPEN, FROZEN)
    told = promised(held.incident, 2, Terms())
    for standing, since in (((), " (since ended)"), ((FREEZE,), ""), (None, "")):
        [line, *_] = dict(told_story(held, told, AT, standing))["Held back"]
        assert line.endswith(f"step 1, {ACTION} on {TARGET}: held, frozen by ada{since}")


def test_nobody_held_back_what_there_was_nothing_to_do_for() -> None:
    """A person would have been asked, and was not: nothing was there to act on."""
    facts: dict[str, Any] = {"step": 0, "action": ACTION, "ruling": "ask", "decided_by": "autonomy"}
    for nothing, parts in ((False, ["Held back"]), (True, [])):
        story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts, nothing_to_do=nothing)
        dossier = story.dossier(IncidentState.VERIFYING, step=1)
        told = dict(told_story(dossier, promised(dossier.incident, 1, Terms()), AT, ()))
        assert [part for part in told if part == "Held back"] == parts


def test_what_is_in_no_inventory_says_where_it_is_added() -> None:
    """By the key of the settings."""
    add = Way(kind=WayKind.ADD_TARGET, of="inventory.postgres")
    nowhere = word(Guard.SCOPE, "refuse", "no PostgreSQL connection of the inventory fits", add)
    told = judged(IncidentState.ESCALATED, nowhere, escalation_reason=nowhere["reason"])
    assert "-> add it under inventory.postgres in the settings, then restart" in step_of(told, ())
    assert "add it under inventory.postgres in the settings, then restart" in you_can(told, (), AT)


def test_a_place_to_look_is_not_said_to_be_not_enough() -> None:
    """Nothing ends by it, whoever else refuses."""
    told = step_of(judged(IncidentState.ESCALATED, UNKNOWN, USED), (OTHER,))
    assert f"-> {COMMANDS[OTHER]}\n" in told


def test_an_attempt_without_outcome_says_so_and_by_when_its_target_is_asked() -> None:
    """It has started, and more nobody knows; where the time is over, or nobody asks, none is told."""
    begun = an_attempt(after(0), Outcome.STARTED, None)
    dossier = judged(IncidentState.REMEDIATING, FROZEN, step=1).model_copy(update={"attempts": (begun,)})
    began = f"started 2026-11-20 23:59:30 UTC on {TARGET}: no outcome is known yet"
    for state, due, told in (
        (IncidentState.REMEDIATING, after(95), "; the target is asked at 00:01:05 UTC if none is by then"),
        (IncidentState.REMEDIATING, AT, ""),
        (IncidentState.ESCALATED, after(95), ""),
    ):
        incident = dossier.incident.model_copy(update={"state": state, "due_at": due})
        moved = dossier.model_copy(update={"incident": incident})
        assert step_of(moved, ()).splitlines()[0] == f"{began}{told}"


def test_who_has_acknowledged_it_is_told() -> None:
    """With since when."""
    seen = judged(IncidentState.ESCALATED, OPEN, acknowledged_by="ada", acknowledged_at=after(5))
    assert acknowledged_lines(seen.incident, AT) == ["acknowledged by ada 1m ago"]
    assert acknowledged_lines(judged(IncidentState.ESCALATED, OPEN).incident, AT) == []


# --- steps that do not come by themselves, and what was read --------------------------------------------


def test_a_step_after_people_were_told_says_what_it_takes() -> None:
    """A hand-back judges the step that was refused again; where that one was taken, it judges the next."""
    told = judged(IncidentState.ESCALATED, OPEN)
    assert step_of(told, (), 0).startswith("judged again after a hand-back\n")
    assert step_of(told, (), 1) == "only after a hand-back, and if step 1 has not helped then"
    taken = judged(IncidentState.ESCALATED, OPEN, step=1)
    assert "hand-back" not in step_of(taken, (), 0)
    assert step_of(taken, (), 1) == "people were told at step 1; this is judged after a hand-back"
    first = Story().opens()
    first.rule = {**first.rule, "steps": [{"action": ACTION}]}
    before = first.dossier(IncidentState.ESCALATED)
    assert step_of(before, ()) == "people were told; this is judged after a hand-back"


def test_a_step_after_the_last_of_what_was_only_recorded_says_so() -> None:
    """In shadow, and as a part of a storm."""
    assert step_of(judged(IncidentState.RECORDED, SHADOWED), (), 1) == "not judged: it ended at step 1"
    part = judged(IncidentState.RECORDED, OPEN, part_of=ATTEMPT)
    assert step_of(part, (), 1) == "not judged while it is part of the storm"


def test_what_the_rule_reads_is_told_with_what_it_said() -> None:
    """Evidence beside the steps, and a step that only looks: when and what, or that it was not read."""
    story = Story().opens()
    for second, summary in ((1, "old"), (2, "7 sessions wait"), (3, "x" * 300)):
        story.tell(second, EntryKind.EVIDENCE, "x", action="postgres.locks", summary=summary)
    story.tell(4, EntryKind.EVIDENCE, "x", action="look", target=TARGET, summary="it is slow", step=0)
    story.tell(5, EntryKind.EVIDENCE, "x", action="http.get", target=TARGET, summary="200", step=1)
    look, locks = {"action": "look"}, {"action": "postgres.locks"}
    story.rule = {
        **story.rule,
        "steps": [look, {"action": "http.get"}],
        "evidence": [locks, locks, {"action": "http.get"}],
    }
    told = explain(story.dossier(IncidentState.OPEN, step=1))
    lines = evidence_lines(told, story.dossier(IncidentState.OPEN).incident, AT)
    assert lines == [
        "postgres.locks, read at 2026-11-20 23:59:32 UTC: 7 sessions wait",
        f"postgres.locks, read at 2026-11-20 23:59:33 UTC: {'x' * 200}\u2026",
        "http.get: not read yet",
    ]
    over = story.dossier(IncidentState.CLOSED, step=1)
    assert evidence_lines(told, over.incident, AT)[-1] == "http.get: was not read"
    assert step_of(over, ()) == "read at 2026-11-20 23:59:34 UTC: it is slow"
    recorded = story.dossier(IncidentState.RECORDED)
    assert step_of(recorded, ()) == step_of(over, ())


# --- words --------------------------------------------------------------------------------------------------


def test_a_reason_holds_no_command() -> None:
    """Whoever shows it adds the ways to end it: no guard names one twice, or one that has ended."""
    file = Way(kind=WayKind.REMOVE_FILE, of="/run/halt")
    by_file = halt(facts(halted="by the file /run/halt: x", halts=(file, HALT)), TERMS)
    assert (by_file.reason, by_file.ways) == ("halted by the file /run/halt: x", (file, HALT))
    found = breaker(facts(breaker=Breaker(rule=RULE, opened_at=NOW, attempts=(ATTEMPT,) * 3)), TERMS)
    assert found.reason.endswith(": 3 attempts in a row did not lead to recovery")
    assert found.ways == (RESET,)


@pytest.mark.parametrize("now", [after(0), after(0.5), after(0.74), after(0.76)])
@pytest.mark.parametrize("seconds", [9.5, 10, 10.4])
def test_now_and_how_long_make_the_second_that_is_told(now: datetime, seconds: float) -> None:
    """Whoever adds what is left to the time that they read comes to the very second that stands beside it."""
    at = after(seconds)
    left = int(until(at, now).removeprefix("in ").removesuffix("s"))
    assert left == int(ago(now, at).removesuffix("s ago"))
    assert (int(moment(now, now)[6:8]) + left) % 60 == int(moment(at, now)[-6:-4])


def test_while_a_step_runs_the_headline_says_what_runs() -> None:
    """It was held before, and that is over: who reads "frozen" believes that nothing is under way."""
    story = Story().opens()
    story.tell(
        3, EntryKind.STATE, "Held: frozen by ada", why="frozen by ada until 23:00 (freeze 3): a release"
    )
    dossier = story.acts(6, Outcome.STARTED).dossier(IncidentState.REMEDIATING)
    told = headline(dossier, AT, ())
    assert told.endswith(f": {ACTION} on {TARGET}, started {moment(after(6), AT)}.")
    assert "frozen" not in told
