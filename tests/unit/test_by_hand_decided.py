"""What is decided of an incident that a person opened: each state, each deadline, each guard."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from responder.decide import changes
from responder.decide.by_hand import by_hand_move
from responder.decide.case import (
    Apply,
    AttemptEnd,
    AttemptVerdict,
    Case,
    Change,
    Check,
    ProbeReading,
    SourceView,
    TakeStep,
    Terms,
    Wait,
)
from responder.decide.guards import judge
from responder.decide.next_move import next_move
from responder.decide.restraints import maintained
from responder.decide.told_next import promised
from responder.model.attempt import Outcome, OwnAct
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.by_hand import DRY_RUN, GOOD_FOR, ByHand
from responder.model.guard import Guard, Judgement, Ruling
from responder.model.incident import (
    Command,
    CommandKind,
    Hold,
    IncidentState,
    Members,
    Progress,
    Verification,
)
from responder.model.policy import NoticeKind
from responder.model.restraint import Restraint, RestraintKind
from responder.model.rule import Verify
from responder.model.severity import Severity
from responder.model.storm import Storm
from responder.model.timeline import EntryDraft, EntryKind
from responder.model.way import Way, WayKind
from responder.rulebook.by_hand import AskedWronglyError, acting_rule, telling_rule
from responder.rulebook.matchers import parse_matchers
from tests.support.dossiers import an_attempt
from tests.support.rule_surroundings import surroundings
from tests.support.virtual import START, incident
from tests.unit.test_guards import facts

TERMS = Terms()
ACTION = "postgres.terminate_queries"
RULE = acting_rule(ACTION, {"connection": "orders", "older_than": "1m"}, Severity.P2, None, surroundings())
ASKED = ByHand(
    actor="ada",
    reason="it hangs",
    title=f"{ACTION} on postgres/orders",
    asked_at=START,
    action=ACTION,
    target="postgres/orders",
)
PAGE = ByHand(actor="ada", reason="customers call", title="checkout is slow", asked_at=START)
MINUTE = timedelta(minutes=1)


def case(state: IncidentState, after: timedelta = timedelta(0), asked: ByHand = ASKED, **more: Any) -> Case:
    """A case as it stands so long after it was asked for; it never has a member."""
    progress = more.pop("progress", Progress(told_severity=Severity.P2))
    deadline = more.pop("deadline", START + timedelta(hours=1))
    rule = RULE if asked.acts else telling_rule(Severity.P2, None, None)
    found = incident().model_copy(
        update={
            "rule": rule.name,
            "key": {"env": "prod"},
            "severity": Severity.P2,
            "state": state,
            "state_since": START,
            "opened_at": START,
            "deadline": deadline,
            "by_hand": asked,
            "progress": progress,
        }
    )
    members = Members(firing=0, total=0)
    now = START + after
    return Case(now=now, incident=found, rule=rule, current=rule, members=members, holds=False, **more)


def change(it: Case) -> Change:
    move = next_move(it, it.now, TERMS)
    assert isinstance(move, Apply), move
    return move.change


BEGINNINGS: list[tuple[ByHand, str, dict[str, Any]]] = [
    (
        ASKED,
        f"P2 ada asks by hand for {ACTION} on postgres/orders: it hangs",
        {"with": {"connection": "orders", "older_than": "1m"}},
    ),
    (
        ASKED.model_copy(update={"dry_run": True}),
        f"P2 ada wants to know by hand what would come of {ACTION} on postgres/orders: it hangs",
        {"with": {"connection": "orders", "older_than": "1m"}},
    ),
    (PAGE, "P2 opened by hand by ada: checkout is slow: customers call", {}),
]


@pytest.mark.parametrize(("asked", "text", "params"), BEGINNINGS)
def test_it_begins_with_who_asked_for_what_and_why(asked: ByHand, text: str, params: dict[str, Any]) -> None:
    """The first entry is the person's, and has all that was asked for, as it was asked for."""
    begun = change(case(IncidentState.PENDING, asked=asked))
    assert (begun.state, begun.deadline, begun.due_at) == (IncidentState.OPEN, START + 5 * MINUTE, START)
    assert begun.progress == Progress(opened_at=START, told_severity=Severity.P2)
    [entry] = begun.entries
    assert (entry.actor, entry.text) == ("ada", text)
    acts = {"action": asked.action, "target": asked.target} if asked.acts else {}
    words = {"actor": "ada", "reason": asked.reason, "title": asked.title, "dry_run": asked.dry_run}
    by_hand = {**words, "asked_at": "2026-01-01T00:00:00Z", **acts}
    assert entry.facts == {"by_hand": by_hand, "severity": "P2", "labels": {"env": "prod"}, **params}


def test_that_no_alert_fires_ends_nothing() -> None:
    """In every state that an alert's end would end, it goes on."""
    hold = Hold(guard="halt", reason="halted", until=START, since=START, deadline=START + GOOD_FOR)
    assert next_move(case(IncidentState.OPEN), START, TERMS) == TakeStep(index=0)
    held = case(IncidentState.HELD, progress=Progress(told_severity=Severity.P2, hold=hold))
    assert next_move(held, START, TERMS) == TakeStep(index=0)
    running = Verification(started_at=START, deadline=START + MINUTE)
    verifying = case(
        IncidentState.VERIFYING, progress=Progress(told_severity=Severity.P2, verification=running)
    )
    assert next_move(verifying, START, TERMS) == Check()
    later = START + timedelta(hours=1)
    for state in (IncidentState.ESCALATED, IncidentState.TAKEN_OVER):
        assert next_move(case(state), START, TERMS) == Wait(until=later)


@pytest.mark.parametrize("state", [IncidentState.OPEN, IncidentState.HELD])
def test_it_begins_within_its_time_or_not_at_all(state: IncidentState) -> None:
    """A moment before, it is taken; from then on people are told that nothing was done."""
    far = START + timedelta(hours=4)
    hold = Hold(guard="claim", reason="held", until=START, since=START, deadline=far)
    progress = Progress(told_severity=Severity.P2, hold=hold)
    moment = timedelta(milliseconds=1)
    assert next_move(case(state, GOOD_FOR - moment, progress=progress), START + GOOD_FOR - moment, TERMS) == (
        TakeStep(index=0)
    )
    late = change(case(state, GOOD_FOR, progress=progress))
    assert late.state is IncidentState.ESCALATED
    assert "nothing was done" in late.entries[-1].text
    assert late.notices


def test_an_open_one_that_comes_to_nothing_is_told() -> None:
    """The state's own deadline holds for it, too."""
    told = change(case(IncidentState.OPEN, 5 * MINUTE, deadline=START + 5 * MINUTE))
    assert told.state is IncidentState.ESCALATED


def test_each_end_has_its_own_deadline() -> None:
    """Resolved and recorded close; what was escalated or taken over is told again, one level up."""
    late: dict[str, Any] = {"after": MINUTE, "deadline": START}
    assert change(case(IncidentState.RECORDED, **late)).state is IncidentState.CLOSED
    assert change(case(IncidentState.RESOLVED, **late)).state is IncidentState.CLOSED
    again = change(case(IncidentState.ESCALATED, asked=PAGE, **late))
    assert (again.state, again.progress.escalations) == (IncidentState.ESCALATED, 1)
    taken = change(
        case(
            IncidentState.TAKEN_OVER, progress=Progress(taken_over_by="bo", told_severity=Severity.P2), **late
        )
    )
    assert taken.entries[-1].text == "Reminder (level 1): taken over by bo, and it is not closed"


FAR = START + timedelta(hours=4)


def on_hold(**changed: Any) -> Progress:
    """Held by a guard, to be tried again at once, for four hours at most."""
    given = {"guard": "halt", "reason": "halted", "until": START, "since": START, "deadline": FAR}
    return Progress(told_severity=Severity.P2, hold=Hold(**{**given, **changed}))


@pytest.mark.parametrize("deadline", [START + MINUTE, None])
@pytest.mark.parametrize(
    ("state", "then"),
    [
        (IncidentState.OPEN, IncidentState.ESCALATED),
        (IncidentState.AWAITING_APPROVAL, IncidentState.ESCALATED),
        (IncidentState.SUPPRESSED, IncidentState.ESCALATED),
        (IncidentState.HELD, IncidentState.ESCALATED),
        (IncidentState.ESCALATED, IncidentState.ESCALATED),
        (IncidentState.TAKEN_OVER, IncidentState.TAKEN_OVER),
        (IncidentState.RESOLVED, IncidentState.CLOSED),
        (IncidentState.RECORDED, IncidentState.CLOSED),
    ],
)
def test_no_state_is_for_ever_though_it_has_lost_its_deadline(
    state: IncidentState, then: IncidentState, deadline: datetime | None
) -> None:
    """What has none makes the move that is made from its moment on, and people are told of it."""
    after = change(case(state, MINUTE, deadline=deadline, progress=on_hold()))
    assert after.state is then
    assert bool(after.notices) == (then is not IncidentState.CLOSED)


@pytest.mark.parametrize("state", [IncidentState.AWAITING_APPROVAL, IncidentState.SUPPRESSED])
def test_it_waits_neither_for_an_answer_nor_for_an_alert_to_be_heard_of(state: IncidentState) -> None:
    """Whoever asked for it has answered, and no alert of it is silenced: it is taken."""
    assert next_move(case(state), START, TERMS) == TakeStep(index=0)


def test_a_hold_is_tried_again_when_it_says_and_no_longer_than_it_says() -> None:
    """Before its moment it waits; at its own deadline people are told, though it would still be wanted."""
    later = START + MINUTE
    waiting = case(IncidentState.HELD, progress=on_hold(until=later))
    assert next_move(waiting, START, TERMS) == Wait(until=later)
    assert next_move(waiting, later, TERMS) == TakeStep(index=0)
    over = change(case(IncidentState.HELD, MINUTE, progress=on_hold(deadline=later)))
    assert over.entries[-1].text.endswith("nothing was done for ada: held for 1m: halted")


def test_what_nothing_holds_any_more_goes_on_at_once() -> None:
    """It is held by name alone: it is open, and its step is due."""
    on = change(case(IncidentState.HELD))
    assert (on.state, on.due_at) == (IncidentState.OPEN, START)


def test_what_is_closed_stays_closed_and_what_runs_is_not_decided_here() -> None:
    """Nothing makes a closed one due again; the outcome of what runs comes before any row of the table."""
    assert next_move(case(IncidentState.CLOSED, deadline=None), START, TERMS) == Wait(until=None)
    with pytest.raises(AssertionError, match="what runs is settled before"):
        by_hand_move(case(IncidentState.REMEDIATING), ASKED, START, TERMS)


@pytest.mark.parametrize(("told_at", "words"), [(START, 1), (None, 0)])
def test_whoever_was_asked_for_it_hears_what_became_of_it(told_at: datetime | None, words: int) -> None:
    """A question that was answered ends with a word; where nobody was asked nobody is told."""
    progress = Progress(told_severity=Severity.P2, told_at=told_at)
    it = case(IncidentState.OPEN, asked=ASKED.model_copy(update={"dry_run": True}), progress=progress)
    ended = changes.judged(it, 0, asking(ceilings=(AUTO, DRY_RUN)), judged(ceilings=(AUTO, DRY_RUN)), TERMS)
    assert ended.state is IncidentState.RECORDED
    assert [notice.kind for notice in ended.notices] == [NoticeKind.RESOLVED] * words


@pytest.mark.parametrize("state", [IncidentState.OPEN, IncidentState.HELD, IncidentState.AWAITING_APPROVAL])
def test_who_is_told_next_of_it_is_told_when_it_is_wanted_no_more(state: IncidentState) -> None:
    """It does not begin later than that, whatever the deadline of its state, unless that comes first."""
    for deadline, at in ((FAR, START + GOOD_FOR), (START + MINUTE, START + MINUTE)):
        word = promised(case(state, deadline=deadline).incident, 1, TERMS).next
        assert word is not None
        assert (word.at, word.level) == (at, 1)
    assert promised(case(state, deadline=None).incident, 1, TERMS).next is None


def test_of_what_is_told_already_the_next_word_comes_at_its_own_deadline() -> None:
    """What began, or is told, is as long as its state says."""
    told = promised(case(IncidentState.ESCALATED).incident, 1, TERMS).next
    assert told is not None
    assert told.at == START + timedelta(hours=1)


def test_one_for_people_is_told_at_once_even_in_a_storm() -> None:
    """A person does not open an incident for nobody to hear of it."""
    storm = Storm(openings=1000, umbrella=uuid4())
    told = change(case(IncidentState.OPEN, asked=PAGE, storm=storm))
    assert told.state is IncidentState.ESCALATED
    assert told.notices[0].text.endswith("checkout is slow (opened by ada: customers call)")


@pytest.mark.parametrize(
    ("verify", "words"),
    [
        (Verify(stable_for=MINUTE), "it did not help"),
        (None, "nobody has said whether it helped"),  # handed back, after it was only recorded
    ],
)
def test_taken_and_not_helped_is_told(verify: Verify | None, words: str) -> None:
    """Its only step is used: nothing else is tried, and only a verification says that it did not help."""
    used = case(IncidentState.OPEN, progress=Progress(step=1, told_severity=Severity.P2))
    told = change(used.model_copy(update={"rule": RULE.model_copy(update={"verify": verify})}))
    assert told.state is IncidentState.ESCALATED
    assert told.entries[-1].text.endswith(f"ran on postgres/orders for ada, and {words}")


def test_it_is_held_no_longer_than_it_is_good_for() -> None:
    """P2 may be held for four hours; a person's wish for a quarter of one."""
    judgement = judged(halted="by ada: wait")
    it = case(IncidentState.OPEN)
    held = changes.judged(it, 0, asking(halted="by ada: wait"), judgement, TERMS)
    assert (held.state, held.deadline) == (IncidentState.HELD, START + GOOD_FOR)


def test_maintenance_over_its_target_holds_it() -> None:
    """Though none of its alerts says so: what the inventory knows counts, and what is not known may be so."""

    def window(match: str) -> Restraint:
        return Restraint(
            id=1,
            kind=RestraintKind.MAINTENANCE,
            match=parse_matchers(match),
            actor="bo",
            reason="an upgrade",
            since=START,
            until=START + MINUTE,
        )

    it = case(IncidentState.OPEN)
    assert maintained([window('env="prod"')], it, START) is not None
    assert maintained([window('env="dev"')], it, START) is None
    assert maintained([window('team="db"')], it, START) is not None


# --- guards -----------------------------------------------------------------------------------------------


def asking(**more: Any) -> Any:
    """Facts of an act by hand, for which no alert fires."""
    given = {
        "now": START,
        "firing": 0,
        "newest_seen_at": None,
        "source": SourceView(configured=False),
        "by_hand": "ada",
        "target": "postgres/orders",
        "ceilings": (Ceiling(level=Autonomy.AUTO, origin="the settings' ceiling"),),
        "elements": ("pid 7",),
    }
    return facts(**{**given, **more})


def judged(**more: Any) -> Judgement:
    return judge(asking(**more), TERMS)


def ruling(guard: Guard, **more: Any) -> tuple[Ruling, str]:
    found = [one for one in judged(**more).verdicts if one.guard is guard]
    return max((one.ruling, one.reason) for one in found)


def test_a_person_needs_no_alert_to_speak_for_the_act() -> None:
    """Not firing, not heard of, and soon after our own attempt: all these are about alerts."""
    act = OwnAct(at=START, target="postgres/orders", rule="Other", incident_id=uuid4())
    it = judged(own_act=act)
    assert it.strictest.ruling is Ruling.GO
    for guard in (Guard.STILL_FIRING, Guard.TOO_OLD, Guard.SELF_CAUSED):
        assert ruling(guard, own_act=act)[1] == "ada asked for it by hand: no alert has to speak for it"


def test_without_a_person_the_same_facts_do_not_go() -> None:
    """The three guards hold every other step: nothing else makes these facts good."""
    act = OwnAct(at=START, target="postgres/orders", rule="Other", incident_id=uuid4())
    for guard in (Guard.STILL_FIRING, Guard.TOO_OLD, Guard.SELF_CAUSED):
        assert ruling(guard, own_act=act, by_hand=None)[0] is not Ruling.GO


@pytest.mark.parametrize(
    ("more", "guard"),
    [
        ({"halted": "by bo: wait"}, Guard.HALT),
        ({"storm": Storm(openings=1000)}, Guard.STORM),
        ({"out_of_scope": "no target"}, Guard.SCOPE),
        ({"opted_out": "yes"}, Guard.SCOPE),
        ({"own_ground": ("s",), "ground": ("s",)}, Guard.OWN_GROUND),
        ({"look_problem": "away"}, Guard.LOOK),
        ({"managed_by": "argo"}, Guard.MANAGED),
        ({"floor": "six"}, Guard.FLOOR),
    ],
)
def test_every_other_guard_holds_a_person_too(more: dict[str, Any], guard: Guard) -> None:
    """None of them asks who wanted it."""
    assert ruling(guard, **more)[0] is not Ruling.GO
    assert judged(**more).strictest.guard is guard


def test_a_ceiling_of_approve_is_met_by_whoever_asked() -> None:
    """And one of shadow is not."""
    approve = Ceiling(level=Autonomy.APPROVE, origin='the settings\' ceiling for env="prod"')
    it = judged(ceilings=(approve,))
    assert (it.strictest.ruling, it.shadow) == (Ruling.GO, False)
    assert it.strictest.reason.startswith("approved by ada, who asked for it")
    shadow = Ceiling(level=Autonomy.SHADOW, origin="the settings' ceiling")
    assert judged(ceilings=(shadow,)).shadow


# --- what is said of it -----------------------------------------------------------------------------------

PROD = 'the settings\' ceiling for env="prod"'
SHADOW = Ceiling(level=Autonomy.SHADOW, origin=PROD)
RESUME = Way(kind=WayKind.RESUME, of="3")
AUTO = Ceiling(level=Autonomy.AUTO, origin="the settings' ceiling")


@pytest.mark.parametrize(
    ("dry_run", "more", "words", "would"),
    [
        (
            False,
            {"ceilings": (SHADOW,)},
            f"{PROD} is shadow: nothing was done; it would start on 1 element: pid 7",
            False,
        ),
        (
            False,
            {"ceilings": (SHADOW,), "halted": "by bo: wait", "halts": (RESUME,)},
            f"{PROD} is shadow: nothing was done; it would be held: halted by bo: wait",
            False,
        ),
        (
            False,
            {"ceilings": (SHADOW,), "condition": ProbeReading(holds=None, text="no sample")},
            (
                f"{PROD} is shadow: nothing was done; a person would be asked: "
                "nobody can say whether it is needed: no sample"
            ),
            False,
        ),
        (
            False,
            {"ceilings": (Ceiling(level=Autonomy.OBSERVE, origin=PROD),), "observed": True, "elements": ()},
            (
                f"{PROD} is observe: nothing was done; "
                "the target was not looked at, so nothing is known of what it would hit"
            ),
            False,
        ),
        (False, {"floor": "six"}, "refused: six; nothing was done", False),
        (
            True,
            {"ceilings": (AUTO, DRY_RUN)},
            "a dry run: nothing was done; it would start on 1 element: pid 7",
            True,
        ),
        (
            True,
            {"ceilings": (AUTO, DRY_RUN), "elements": ()},
            "a dry run: nothing was done; there would be nothing to do: no element of the target fits",
            True,
        ),
        (
            True,
            {"ceilings": (AUTO, DRY_RUN), "floor": "six"},
            "a dry run: nothing was done; it would be refused: six",
            False,
        ),
        (
            True,
            {"ceilings": (SHADOW, DRY_RUN)},
            f"a dry run: nothing was done; nor would it be without: {PROD} is shadow",
            False,
        ),
    ],
)
def test_what_was_not_let_says_why_and_what_would_have_been(
    dry_run: bool, more: dict[str, Any], words: str, would: bool
) -> None:
    """One sentence, nobody is paged, and nothing is kept for the report on shadow: no rule is tried here."""
    it = case(IncidentState.OPEN, asked=ASKED.model_copy(update={"dry_run": dry_run}))
    told = changes.judged(it, 0, asking(**more), judged(**more), TERMS)
    assert (told.state, told.progress.outcome) == (IncidentState.RECORDED, words)
    assert told.progress.step == 0
    assert (told.notices, told.shadow_runs) == ((), ())
    assert [entry.kind for entry in told.entries] == [EntryKind.JUDGED, EntryKind.STATE]
    assert told.entries[-1].facts["would_start"] is would


def test_a_parameter_that_is_misspelt_is_told_before_the_one_that_is_missing_for_it() -> None:
    """One answer names one mistake: the slip itself, with the name that was meant."""
    with pytest.raises(AskedWronglyError) as caught:
        acting_rule(ACTION, {"conection": "orders", "older_than": "1m"}, Severity.P2, None, surroundings())
    assert caught.value.text == f"{ACTION} has no parameter `conection`"
    assert caught.value.mend == "Write `connection` if that is meant"


@pytest.mark.parametrize(("ago", "begins"), [(timedelta(0), True), (GOOD_FOR, False)])
def test_what_was_asked_for_by_hand_is_handed_back_within_its_time_alone(
    ago: timedelta, *, begins: bool
) -> None:
    """Later it could only be told to people again: it stays with them, and they hear nothing."""
    it = case(IncidentState.ESCALATED, ago)
    given = {"id": uuid4(), "incident_id": it.incident.id, "actor": "bo", "given_at": it.now}
    command = Command(**given, kind=CommandKind.HAND_BACK)
    handed = change(it.model_copy(update={"command": command}))
    assert handed.state is (IncidentState.OPEN if begins else IncidentState.ESCALATED)
    assert handed.notices == ()


# --- what came of it --------------------------------------------------------------------------------------


def came_of_it(told: Change, entry: EntryDraft, step: int, words: str) -> None:
    """It is recorded in these words, behind what happened, and its step stands there."""
    assert (told.state, told.progress.outcome, told.progress.step) == (IncidentState.RECORDED, words, step)
    assert [told.entries[0], *(one.text for one in told.entries[1:])] == [entry, f"Recorded: {words}"]
    assert told.notices == ()


@pytest.mark.parametrize(("kind", "step"), [(EntryKind.EVIDENCE, 1), (EntryKind.ERROR, 0)])
def test_what_a_look_saw_is_what_came_of_it(kind: EntryKind, step: int) -> None:
    """Seen, the step is used; what could not be looked at may be asked for again."""
    entry = EntryDraft(kind=kind, text="postgres.activity: 3 sessions", facts={"summary": "3 sessions"})
    told = changes.evidence_read(case(IncidentState.OPEN), 0, entry, START, TERMS)
    came_of_it(told, entry, step, entry.text)


def test_where_there_is_nothing_to_do_that_is_all() -> None:
    """No attempt was made, so there is nothing to end; the step is used."""
    entry = EntryDraft(kind=EntryKind.JUDGED, text="judged")
    told = changes.nothing_to_do(case(IncidentState.OPEN), 0, entry, START, TERMS)
    entry = entry.model_copy(update={"facts": {"nothing_to_do": True}})
    came_of_it(told, entry, 1, "there is nothing to do: no element of the target fits")
    assert (told.end, told.verdict) == (None, None)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.DONE, "ran on postgres/orders; whether it helped is for ada to say"),
        (Outcome.NOT_DONE, "found nothing left to do on postgres/orders; nothing was done"),
    ],
)
def test_where_nothing_was_to_prove_it_the_action_says_what_came_of_it(outcome: Outcome, words: str) -> None:
    """Its outcome is kept and its target given back, and nobody claims that it helped."""
    attempt = an_attempt(START, Outcome.STARTED, None)
    end = AttemptEnd(attempt_id=attempt.id, outcome=outcome, results=())
    it = case(IncidentState.REMEDIATING, progress=Progress(step=1, told_severity=Severity.P2))
    told = changes.ended(it, attempt, end, START, TERMS)
    assert told.entries[0].kind is EntryKind.EFFECT
    came_of_it(told, told.entries[0], 1, f"{ACTION} {words}")
    assert (told.end, told.verdict) == (end, AttemptVerdict(attempt_id=attempt.id))
