"""What the verdicts on a step mean: where the incident goes, until when, who is told, and what is kept."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import Case, Change, Facts, Restrained, ShadowRun, SourceView, Terms
from responder.decide.changes import (
    asked_for_a_person,
    judged,
    judged_entry,
    moved,
    quieted,
    rechecked,
    unsuppressed,
)
from responder.decide.changes.judging import all_judged, all_judged_entries
from responder.decide.changes.question import question_words
from responder.decide.changes.spent import refused
from responder.decide.guards.source import stale_at
from responder.model.approval import Approval, Consent, Question
from responder.model.attempt import Outcome
from responder.model.by_hand import GOOD_FOR
from responder.model.guard import Guard, GuardVerdict, Judgement, Refuses, Ruling
from responder.model.incident import IncidentState
from responder.model.policy import NoticeKind
from responder.model.severity import Severity
from responder.model.timeline import EntryKind
from responder.model.way import Way, WayKind
from tests.support.dossiers import an_attempt
from tests.support.virtual import START
from tests.unit.test_attempt_changes import APPROVED, ASKED
from tests.unit.test_guards import facts
from tests.unit.test_next_move import LATER, case
from tests.unit.test_state_table import hold

TERMS = Terms()
S = IncidentState
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
"""The response time of P1."""
CONSENT = Consent(
    action="test.act", target="postgres/orders", params={}, facts="f", elements=("1",), titles=("pid 1",)
)
MAY = GuardVerdict(guard=Guard.AUTONOMY, ruling=Ruling.GO, reason="auto by every ceiling")
LOOKED = GuardVerdict(guard=Guard.LOOK, ruling=Ruling.GO, reason="it was looked at")
IN_SHADOW = GuardVerdict(guard=Guard.AUTONOMY, ruling=Ruling.GO, reason="shadow by the rule", shadow=True)
ASKS = GuardVerdict(guard=Guard.AUTONOMY, ruling=Ruling.ASK, reason="a person must approve")
WAITS = GuardVerdict(guard=Guard.CLAIM, ruling=Ruling.WAIT, reason="held by incident 7", holder="incident 7")
SILENCED = GuardVerdict(guard=Guard.SUPPRESSED, ruling=Ruling.WAIT, reason="suppressed by silence 9")
BROKEN = GuardVerdict(
    guard=Guard.BREAKER, ruling=Ruling.REFUSE, reason="the breaker is open", refuses=Refuses.INCIDENT
)
RAGES = BROKEN.model_copy(update={"guard": Guard.STORM, "reason": "a storm rages"})
FLOOR = GuardVerdict(
    guard=Guard.FLOOR, ruling=Ruling.REFUSE, reason="one replica is left", refuses=Refuses.TARGET
)
MANY = tuple(f"pid {number}" for number in range(22))


def of(*verdicts: GuardVerdict) -> Judgement:
    """What these guards say together."""
    return Judgement(verdicts=verdicts)


def seen(**more: Any) -> Facts:
    """The facts that the step was judged by, of an incident that is P1 as the case is."""
    return facts(severity=Severity.P1, **more)


def after(one: Case, *verdicts: GuardVerdict, index: int = 0, **more: Any) -> Change:
    """What these verdicts on a step of it mean."""
    return judged(one, index, seen(**more), of(*verdicts), TERMS)


# --- where it goes ----------------------------------------------------------------------------------


def test_until_when_another_incident_verifies_is_kept_with_what_holds_it() -> None:
    """So that whoever tells of the hold can say it."""
    held = after(case(S.OPEN), WAITS.model_copy(update={"verifies_until": LATER})).progress.hold
    assert held is not None
    assert [one.verifies_until for one in held.holders] == [LATER]


def test_of_several_guards_that_refuse_it_people_read_all() -> None:
    """The one that decides first; what would only hold it, or ask, is not among them. In shadow, too."""
    known = case(S.OPEN)
    told = after(known, MAY, FLOOR, WAITS, BROKEN, BROKEN)
    assert told.progress.escalation_reason == "the breaker is open; also one replica is left"
    assert told.notices[0].text.endswith(": the breaker is open; also one replica is left")
    dry = after(known, FLOOR, BROKEN, IN_SHADOW)
    why = "would have been refused: the breaker is open; also one replica is left"
    assert why in (dry.progress.outcome or "")


def test_that_no_alert_fires_any_more_is_looked_at_anew_whatever_the_guards_say() -> None:
    """It is recovery, no refusal: nothing is judged in the timeline. An act by hand needs no alert."""
    change = after(case(S.HELD, hold=hold()), BROKEN, firing=0)
    assert (change.state, change.due_at, change.progress.hold) == (S.OPEN, START, None)
    assert [entry.text for entry in change.entries] == ["Open: no alert of it fires any more"]
    assert after(case(S.HELD, hold=hold()), BROKEN, firing=1).state is S.ESCALATED
    assert after(case(S.OPEN, given={"by_hand": ASKED}), WAITS, firing=0).state is S.HELD


@pytest.mark.parametrize("ceiling", [MAY, IN_SHADOW])
def test_what_the_target_refuses_is_passed_over_for_the_next_step(ceiling: GuardVerdict) -> None:
    """With the verdict in the timeline and the reason kept; of shadow, it is kept for its report as well."""
    found = seen()
    change = judged(case(S.HELD, hold=hold(), step=1), 1, found, of(FLOOR, ceiling), TERMS)
    assert (change.state, change.due_at, change.progress.step) == (S.OPEN, START, 2)
    assert (change.progress.shadow, change.progress.hold) == (ceiling.shadow, None)
    assert change.progress.passed_over == refused(1, found.action, found.target, FLOOR)
    first, second = change.entries
    assert first.kind is EntryKind.JUDGED
    assert second.text == "Open: step 2 (test.act) is passed over: one replica is left"
    assert bool(change.shadow_runs) is ceiling.shadow


RULED = [
    (BROKEN, S.ESCALATED, [NoticeKind.ESCALATED]),
    (WAITS, S.HELD, []),
    (ASKS, S.AWAITING_APPROVAL, [NoticeKind.QUESTION]),
    (SILENCED, S.SUPPRESSED, []),
]


@pytest.mark.parametrize(("strictest", "state", "told"), RULED)
def test_each_ruling_leads_where_it_must(
    strictest: GuardVerdict, state: IncidentState, told: list[NoticeKind]
) -> None:
    """Its verdicts stand in the timeline first; with effect there is no run in shadow to keep."""
    change = after(case(S.OPEN), MAY, strictest, consent=CONSENT)
    assert (change.state, change.shadow_runs) == (state, ())
    assert [notice.kind for notice in change.notices] == told
    assert change.entries[0].kind is EntryKind.JUDGED
    assert strictest.reason in change.entries[1].text


@pytest.mark.parametrize(
    ("verdicts", "why"),
    [
        ((MAY, BROKEN), "refused: the breaker is open; nothing was done"),
        ((MAY, FLOOR), "refused: one replica is left; nothing was done"),
        ((WAITS, IN_SHADOW), "the settings' ceiling is auto: nothing was done; it would be held"),
    ],
)
def test_what_a_person_asked_for_and_is_not_let_is_recorded(
    verdicts: tuple[GuardVerdict, ...], why: str
) -> None:
    """Nobody but who asked has to hear of it, and no other step is taken; it is no rule's run in shadow."""
    change = after(case(S.OPEN, given={"by_hand": ASKED}), *verdicts)
    assert (change.state, change.notices, change.shadow_runs) == (S.RECORDED, (), ())
    assert change.entries[0].kind is EntryKind.JUDGED
    assert why in change.entries[1].text


def test_a_go_with_effect_is_no_change() -> None:
    """It becomes an intent: whoever asks here has gone wrong, and nothing may be recorded for it."""
    with pytest.raises(ValueError, match="becomes an intent"):
        after(case(S.OPEN), MAY)


# --- shadow -----------------------------------------------------------------------------------------

SHADOW = [
    (MAY, "nothing was done; {it} would have started on 1 element: pid 1", None),
    (
        ASKS,
        "{it} would have asked a person: a person must approve; it found 1 element: pid 1",
        "a person would have been asked at once (P1)",
    ),
    (
        WAITS,
        "{it} would have been held: held by incident 7; it found 1 element: pid 1",
        "a person would have been told within 1h (P1) if nothing changed",
    ),
    (
        BROKEN,
        "{it} would have been refused: the breaker is open; it found 1 element: pid 1",
        "a person would have been told at once (P1)",
    ),
    (
        RAGES,
        "{it} would have been refused: a storm rages; it found 1 element: pid 1",
        "it would have been part of the storm's incident, which tells people of all",
    ),
]


@pytest.mark.parametrize(("verdict", "words", "in_auto"), SHADOW)
def test_shadow_says_what_would_have_been_done_and_who_would_have_heard_of_it(
    verdict: GuardVerdict, words: str, in_auto: str | None
) -> None:
    """It is recorded, nobody is told; what the strictest guard said is kept for the report."""
    change = after(case(S.OPEN), verdict, IN_SHADOW)
    assert (change.state, change.notices, change.progress.in_auto) == (S.RECORDED, (), in_auto)
    told = f"in shadow {words.format(it='step 1 (test.act on postgres/orders)')}"
    told += f"; in auto {in_auto}" if in_auto else ""
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.STATE]
    assert change.entries[1].text == f"Recorded: {told}"
    strictest = of(verdict, IN_SHADOW).strictest
    (run,) = change.shadow_runs
    assert run == ShadowRun(
        step=0,
        action="test.act",
        target="postgres/orders",
        ruling=strictest.ruling,
        guard=strictest.guard,
        reason=strictest.reason,
        elements=("pid 1",),
        element_count=1,
    )


def test_shadow_that_found_nothing_names_nothing() -> None:
    """Neither a target nor elements; of many, twenty are kept with their number."""
    change = after(case(S.OPEN), WAITS, IN_SHADOW, target=None, elements=())
    told = "in shadow step 1 (test.act on no target) would have been held: held by incident 7; in auto"
    assert change.entries[1].text.startswith(f"Recorded: {told}")
    change = after(case(S.OPEN), MAY, IN_SHADOW, elements=())
    told = "in shadow nothing was done; step 1 (test.act on postgres/orders) found nothing to act on"
    assert change.entries[1].text == f"Recorded: {told}", "in auto there is nothing to do: nothing starts"
    (run,) = after(case(S.OPEN), IN_SHADOW, elements=MANY).shadow_runs
    assert (run.elements, run.element_count) == (MANY[:20], 22)


KNOWN: list[tuple[dict[str, Any], str]] = [
    ({"attempt": an_attempt(START, Outcome.DONE, None)}, "the last attempt did not help"),
    ({"told_at": START}, "people were told of it"),
]


@pytest.mark.parametrize(("before", "words"), KNOWN)
def test_shadow_does_not_end_in_silence_what_acted_or_was_told(before: dict[str, Any], words: str) -> None:
    """Its ladder acted before, or people know of it: they hear that the next step may not act."""
    change = after(case(S.OPEN, **before), MAY, IN_SHADOW)
    assert change.state is S.ESCALATED
    reason = f"{words}, and the next step may not act: shadow by the rule"
    assert change.notices[0].text == f"P1 Hit: {reason}"
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.ESCALATION]
    assert change.shadow_runs


# --- the timeline -----------------------------------------------------------------------------------

WORDS = [
    ((MAY,), "may go: every guard lets it go"),
    ((MAY, IN_SHADOW), "may go in shadow: shadow by the rule"),
    ((ASKS,), "asks a person: a person must approve"),
    ((WAITS, IN_SHADOW), "waits in shadow: held by incident 7"),
    ((BROKEN,), "is refused: the breaker is open"),
]


def part_of(one: GuardVerdict, target: str) -> tuple[Facts, Judgement]:
    """One part of an `all:`, as it was judged."""
    return seen(target=target), of(one)


def test_of_an_all_each_part_is_told_and_the_one_that_decides_last() -> None:
    """The others in their order before it, each with its place; what stands is what decides."""
    one = case(S.OPEN)
    parts = (part_of(MAY, "a"), part_of(WAITS, "b"), part_of(LOOKED, "c"))
    told = all_judged_entries(one, 0, parts)
    assert [(entry.facts["part"], entry.facts["target"]) for entry in told] == [(0, "a"), (2, "c"), (1, "b")]
    change = all_judged(one, 0, parts, TERMS)
    assert change.entries[:3] == told
    assert change.state is S.HELD
    alone = judged_entry(one, 0, seen(), of(MAY))
    assert "part" not in alone.facts


def test_of_an_all_that_waits_as_before_nothing_is_told_again() -> None:
    """Neither of the part that holds it, nor of the others."""
    parts = (part_of(MAY, "a"), part_of(WAITS, "b"))
    held = all_judged(case(S.OPEN), 0, parts, TERMS).progress.hold
    assert all_judged(case(S.HELD, hold=held), 0, parts, TERMS).entries == ()


@pytest.mark.parametrize(
    ("second", "observed", "words"),
    [
        (IN_SHADOW, False, "in shadow nothing was done; {} would have started"),
        (IN_SHADOW, True, "observe: recorded only, {} was not taken; the target was not looked at"),
        (ASKS, False, "in shadow {} would have asked a person: a person must approve"),
        (WAITS, False, "in shadow {} would have been held by test.act on b: held by incident 7"),
    ],
)
def test_in_shadow_an_all_says_what_each_of_its_parts_would_have_done(
    second: GuardVerdict, observed: bool, words: str
) -> None:
    """What each would have hit, and which part decides; one part alone is told as a step."""
    first = (
        seen(target="a", elements=("pid 1",), computed=("1 + 2 = 3",), observed=observed),
        of(IN_SHADOW),
    )
    other = (seen(target="b", elements=(), observed=observed), of(second, IN_SHADOW))
    change = all_judged(case(S.OPEN), 0, (first, other), TERMS)
    what = "step 1 (test.act on a, on 1 element: pid 1; 1 + 2 = 3; then test.act on b, finding nothing to do)"
    assert (change.progress.outcome or "").startswith(words.format(what))
    alone = all_judged(case(S.OPEN), 0, (first,), TERMS)
    assert "then" not in (alone.progress.outcome or "")


def test_in_shadow_an_all_that_is_refused_names_the_part() -> None:
    """Of a refusal by the incident: nothing comes after it."""
    parts = (part_of(IN_SHADOW, "a"), (seen(target="b"), of(BROKEN, IN_SHADOW)))
    told = all_judged(case(S.OPEN), 0, parts, TERMS).progress.outcome
    assert told is not None
    assert " would have been refused for test.act on b: the breaker is open" in told


def test_a_question_says_from_when_on_an_answer_comes_too_late() -> None:
    """Where no source can be asked, the word that its alert fires grows old while people think."""
    found = seen(consent=CONSENT, source=SourceView(configured=False), newest_seen_at=START)
    question = judged(case(S.OPEN), 0, found, of(ASKS), TERMS).progress.question
    assert question is not None
    assert question.stale_at == START + TERMS.max_alert_age
    can_be_asked = judged(case(S.OPEN), 0, seen(consent=CONSENT), of(ASKS), TERMS).progress.question
    assert can_be_asked is not None
    assert can_be_asked.stale_at is None


def test_what_is_to_be_given_back_and_may_not_be_is_told_to_people() -> None:
    """With what it is and who refuses it, and the judgement; what waits is held as any other."""
    back = ASKED.model_copy(update={"gives_back": UUID(int=4), "title": "it is to be given back"})
    change = after(case(S.OPEN, given={"by_hand": back}), BROKEN)
    told = "it is to be given back, and may not be: the breaker is open"
    assert (change.state, change.progress.escalation_reason) == (S.ESCALATED, told)
    assert change.entries[0].kind is EntryKind.JUDGED
    assert after(case(S.OPEN, given={"by_hand": back}), WAITS).state is S.HELD


def test_what_relative_values_came_to_is_told_with_the_judgement() -> None:
    """In words, and in a list of its own; without any there is none."""
    entry = judged_entry(case(S.OPEN), 0, seen(computed=("replicas: 3 + 2 = 5",)), of(MAY))
    assert entry.facts["computed"] == ["replicas: 3 + 2 = 5"]
    assert entry.text.endswith("; replicas: 3 + 2 = 5")
    assert "computed" not in judged_entry(case(S.OPEN), 0, seen(), of(MAY)).facts


WAY = Way(kind=WayKind.END_FREEZE, of="3")


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({}, {}),
        ({"over_at": LATER}, {"over_at": LATER.isoformat()}),
        ({"shadow": True}, {"shadow": True}),
        ({"approved": True}, {"approved": True}),
        ({"asked": False}, {"not_asked": True}),
        ({"ways": (WAY,)}, {"ways": [WAY.model_dump(mode="json", exclude_defaults=True)]}),
    ],
)
def test_the_timeline_keeps_of_a_verdict_what_is_not_as_usual(
    more: dict[str, Any], kept: dict[str, Any]
) -> None:
    """When it is over by itself, what shadow or a person's yes let go, what nobody could ask, what helps."""
    one = MAY.model_copy(update=more)
    entry = judged_entry(case(S.OPEN), 0, seen(), of(one))
    assert entry.facts["verdicts"] == [
        {"guard": "autonomy", "ruling": "go", "reason": "auto by every ceiling", **kept}
    ]


@pytest.mark.parametrize(("verdict", "became"), [(IN_SHADOW, "is only recorded"), (WAITS, "waits")])
def test_what_is_only_observed_is_said_to_be_recorded_where_nothing_else_held_it(
    verdict: GuardVerdict, became: str
) -> None:
    """A guard that held it comes first."""
    entry = judged_entry(case(S.OPEN), 0, seen(observed=True), of(verdict))
    assert entry.text == f"test.act on postgres/orders {became}: {verdict.reason}"
    assert entry.facts["observed"] is True


@pytest.mark.parametrize(("verdicts", "words"), WORDS)
def test_a_judgement_is_told_in_words_and_with_every_verdict(
    verdicts: tuple[GuardVerdict, ...], words: str
) -> None:
    """The strictest decides; the facts have all that it was judged by."""
    judgement = of(*verdicts)
    entry = judged_entry(case(S.HELD), 1, seen(elements=MANY), judgement)
    assert (entry.kind, entry.text) == (EntryKind.JUDGED, f"test.act on postgres/orders {words}")
    strictest = judgement.strictest
    assert entry.facts == {
        "step": 1,
        "action": "test.act",
        "target": "postgres/orders",
        "ruling": strictest.ruling.name.lower(),
        "decided_by": strictest.guard.value,
        "reason": strictest.reason,
        "shadow": judgement.shadow,
        "verdicts": [
            {
                "guard": one.guard.value,
                "ruling": one.ruling.name.lower(),
                "reason": one.reason,
                **({"shadow": True} if one.shadow else {}),
            }
            for one in verdicts
        ],
        "elements": list(MANY[:20]),
        "element_count": 22,
        "state": "held",
    }
    nowhere = judged_entry(case(S.OPEN), 0, seen(target=None), judgement)
    assert nowhere.text.startswith("test.act on no target")


# --- held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_held", "news"),
    [
        ((WAITS, SILENCED), False),
        ((WAITS,), True),
        ((WAITS, SILENCED, WAITS.model_copy(update={"guard": Guard.BUDGET})), True),
        ((WAITS, SILENCED.model_copy(update={"ways": (WAY,)})), True),
        ((WAITS.model_copy(update={"holder": "incident 8"}), SILENCED), True),
        ((WAITS.model_copy(update={"reason": "held by incident 7, 3s more"}), SILENCED), False),
    ],
)
def test_who_holds_it_anew_is_news_for_the_timeline(
    now_held: tuple[GuardVerdict, ...], *, news: bool
) -> None:
    """Another guard beside the first, one less, another holder or way to end it; not other words."""
    before = after(case(S.OPEN), WAITS, SILENCED)
    held = case(S.HELD, hold=before.progress.hold)
    assert bool(after(held, *now_held).entries) is news


def test_what_holds_an_observed_step_is_said_first() -> None:
    """Only where nothing else holds it is it the level of autonomy that lets nothing be done."""
    change = after(case(S.OPEN), IN_SHADOW, WAITS, observed=True)
    assert "would have been held: held by incident 7" in change.entries[-1].text
    assert change.shadow_runs


def until(at: datetime | None, **more: Any) -> GuardVerdict:
    """A guard that waits until then."""
    return WAITS.model_copy(update={"until": at, **more})


def held(one: Case, verdict: GuardVerdict, **more: Any) -> Change:
    """What it means that this guard waits."""
    change = after(one, MAY, verdict, **more)
    assert change.state is S.HELD
    return change


def test_a_hold_says_what_holds_it_and_lasts_no_longer_than_the_severity_allows() -> None:
    """Looked at again when the guard says, or soon, and after a short while anyway; never after its time."""
    change = held(case(S.OPEN, step=1), until(None))
    kept = change.progress.hold
    assert kept is not None
    assert (kept.guard, kept.reason, kept.holder) == ("claim", "held by incident 7", "incident 7")
    assert (kept.since, kept.until, kept.deadline) == (START, START + TERMS.hold_every, START + HOUR)
    assert (change.due_at, change.deadline) == (kept.until, kept.deadline)
    assert kept.stale_at is None
    unasked = seen(source=SourceView(configured=False))
    stale = judged(case(S.OPEN), 0, unasked, of(WAITS), TERMS).progress.hold
    assert stale is not None
    assert stale.stale_at == stale_at(unasked, TERMS)
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.STATE]
    assert change.entries[1].text == "Held: held by incident 7"
    soon, short = START + 10 * SECOND, START + TERMS.suppressed_every
    for at, expected in ((soon, soon), (LATER, short), (START + 2 * HOUR, short)):
        later = held(case(S.OPEN), until(at)).progress.hold
        assert later is not None
        assert later.until == expected
    over = held(case(S.HELD, hold=hold(deadline=soon)), until(LATER)).progress.hold
    assert over is not None
    assert over.until == soon


def test_a_hold_goes_on_from_when_it_began() -> None:
    """Whatever holds it next: neither since when nor the deadline begin anew."""
    near = START + 20 * SECOND
    change = held(case(S.HELD, hold=hold(deadline=near)), until(LATER), now=START + 5 * SECOND)
    kept = change.progress.hold
    assert kept is not None
    assert (kept.since, kept.deadline, kept.until) == (START, near, near)
    assert (change.due_at, change.deadline) == (near, near)


AGAIN = [
    (S.HELD, {"holder": "incident 7"}, 0),
    (S.HELD, {"holder": "incident 8"}, 2),
    (S.HELD, {"holder": "incident 7", "guard": "budget"}, 2),
    (S.OPEN, {"holder": "incident 7"}, 2),
    (S.HELD, None, 2),
]


@pytest.mark.parametrize(("state", "before", "entries"), AGAIN)
def test_what_holds_it_is_told_once(
    state: IncidentState, before: dict[str, Any] | None, entries: int
) -> None:
    """And again where another guard or another holder does, or after it went on meanwhile."""
    one = case(state, hold=None if before is None else hold(**before))
    assert len(held(one, until(None)).entries) == entries


def test_all_that_hold_it_are_kept_and_a_new_one_of_them_is_told() -> None:
    """Each with its end and its way out: the first to end is not the one to wait for."""
    way = Way(kind=WayKind.SEE_BUDGETS)
    spent = until(LATER, guard=Guard.BUDGET, reason="it is spent", over_at=LATER, ways=(way,))
    change = after(case(S.HELD, hold=hold(holder="incident 7")), MAY, until(None), spent)
    kept = change.progress.hold
    assert kept is not None
    assert [(one.guard, one.over_at, one.ways) for one in kept.holders] == [
        ("claim", None, ()),
        ("budget", LATER, (way,)),
    ]
    assert kept.reasons == "held by incident 7; also it is spent"
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.STATE]
    again = after(case(S.HELD, hold=kept), MAY, until(None), spent)
    assert again.entries == ()
    other = spent.model_copy(update={"ways": (Way(kind=WayKind.END_FREEZE, of="3"),)})
    assert after(case(S.HELD, hold=kept), MAY, until(None), other).entries != ()


def test_what_is_only_observed_says_that_nothing_is_known_of_what_it_would_hit() -> None:
    """Its target was not looked at: no number of elements is told, and the timeline says so."""
    change = after(case(S.OPEN), MAY, IN_SHADOW, observed=True)
    told = change.progress.outcome or ""
    assert told.startswith("observe: recorded only, step 1 (test.act on postgres/orders) was not taken; ")
    assert "the target was not looked at, so nothing is known of what it would hit" in told
    assert change.entries[0].facts["observed"] is True
    assert change.entries[0].text == "test.act on postgres/orders is only recorded: shadow by the rule"


def test_a_page_comes_before_the_next_look_at_what_is_held_or_asked() -> None:
    """People hear that it has opened when they are to, however long it waits."""
    assert held(case(S.OPEN, page_at=START + SECOND), until(LATER)).due_at == START + SECOND
    asks = after(case(S.OPEN, page_at=START + SECOND), ASKS, consent=CONSENT)
    assert (asks.due_at, asks.deadline) == (START + SECOND, START + HOUR)


@pytest.mark.parametrize("response_time", [GOOD_FOR - SECOND, GOOD_FOR + SECOND])
def test_an_act_by_hand_is_held_no_longer_than_it_is_good_for(response_time: timedelta) -> None:
    """Nor longer than an alert's step would be."""
    less = TERMS.severities[Severity.P1].model_copy(update={"response_time": response_time})
    terms = TERMS.model_copy(update={"severities": {**TERMS.severities, Severity.P1: less}})
    change = judged(case(S.OPEN, given={"by_hand": ASKED}), 0, seen(), of(WAITS), terms)
    assert change.deadline == START + min(response_time, GOOD_FOR)


# --- suppressed -------------------------------------------------------------------------------------


def test_what_is_silenced_rests_and_is_asked_about() -> None:
    """What held it before stays known; a maintenance that kept it quiet is over."""
    change = after(case(S.HELD, hold=hold(), maintenance="maintenance 7"), MAY, SILENCED)
    assert (change.state, change.progress.hold, change.progress.maintenance) == (S.SUPPRESSED, hold(), None)
    assert change.deadline == START + TERMS.suppressed_deadline
    assert change.due_at == START + TERMS.suppressed_every
    assert change.entries[1] == moved(case(S.HELD), S.SUPPRESSED, "suppressed by silence 9")
    assert len(change.entries) == 2


VIEWS = [
    (SourceView(configured=True, suppressed=1, suppressed_by="silence 9"), True),
    (SourceView(configured=True, suppressed=1, firing=1), False),
    (SourceView(configured=True, firing=1), False),
    (SourceView(configured=True, absent=1), False),
    (SourceView(configured=True, problem="timeout"), False),
]


@pytest.mark.parametrize(("view", "quiet"), VIEWS)
def test_whether_people_are_told_is_asked_of_the_source_first(view: SourceView, quiet: bool) -> None:
    """Only where all of it is silenced nobody is told; where no answer comes a person is."""
    change = asked_for_a_person(case(S.OPEN), view, START, TERMS)
    if quiet:
        assert (change.state, change.notices) == (S.SUPPRESSED, ())
        assert [entry.text for entry in change.entries] == ["Suppressed: suppressed by silence 9"]
        assert change.due_at == START + TERMS.suppressed_every
    else:
        assert change.state is S.ESCALATED
        assert change.notices[0].text == "P1 Hit: the rule asks for a person"


@pytest.mark.parametrize(("view", "quiet"), VIEWS)
def test_a_silence_is_over_when_the_source_says_so(view: SourceView, quiet: bool) -> None:
    """One alert that is heard again is enough; no answer leaves it suppressed, until its deadline."""
    one = case(S.SUPPRESSED)
    change = rechecked(one, view, START, TERMS)
    if quiet or view.problem:
        again = START + TERMS.suppressed_every
        assert (change.state, change.due_at, change.entries) == (S.SUPPRESSED, again, ())
        assert rechecked(one, view, LATER - SECOND, TERMS).due_at == LATER
    else:
        assert change.state is S.OPEN
        assert change.entries[0].text == "Open: no longer silenced or inhibited"


def test_the_time_suppressed_counts_neither_for_a_hold_nor_for_a_page() -> None:
    """Both go on where they stood. What keeps it quiet is forgotten, and it is judged anew at once."""
    quiet = case(S.SUPPRESSED, hold=hold(), page_at=LATER, maintenance="maintenance 7")
    change = unsuppressed(quiet, START + HOUR, TERMS, "it is over")
    assert (change.state, change.due_at, change.progress.maintenance) == (S.OPEN, START + HOUR, None)
    assert change.progress.hold == hold(deadline=hold().deadline + HOUR)
    assert change.progress.page_at == LATER + HOUR
    bare = unsuppressed(case(S.SUPPRESSED), START + HOUR, TERMS, "it is over")
    assert (bare.progress.hold, bare.progress.page_at) == (None, None)


@pytest.mark.parametrize(("lasts", "rests"), [(HOUR, HOUR), (timedelta(days=9), TERMS.suppressed_deadline)])
def test_maintenance_keeps_it_quiet_to_its_end_and_no_longer_than_a_silence(
    lasts: timedelta, rests: timedelta
) -> None:
    """It says which one; people are told nothing."""
    by = Restrained(holder="maintenance 7", reason="under maintenance: deploy", until=START + lasts)
    change = quieted(case(S.HELD, hold=hold()), by, START, TERMS)
    assert (change.state, change.notices, change.progress.maintenance) == (S.SUPPRESSED, (), "maintenance 7")
    assert change.deadline == change.due_at == START + rests
    assert change.progress.hold == hold()
    assert [entry.text for entry in change.entries] == ["Suppressed: under maintenance: deploy"]


# --- asked ------------------------------------------------------------------------------------------


def the_question(change: Change) -> Question:
    """What is asked by it."""
    assert change.progress.question is not None
    return change.progress.question


def test_a_question_is_open_for_the_response_time_and_told_at_once() -> None:
    """What held it or was approved before is over; the notice has the question's words."""
    one = case(S.HELD, hold=hold(), approval=APPROVED)
    change = after(one, MAY, ASKS, consent=CONSENT)
    question = the_question(change)
    assert (question.step, question.consent, question.times) == (0, CONSENT, 1)
    assert (question.guards, question.reasons) == ((Guard.AUTONOMY,), ("a person must approve",))
    assert question.asked_at == START
    told = change.progress
    assert (told.hold, told.approval, told.told_at) == (None, None, START)
    assert change.deadline == change.due_at == START + HOUR
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.STATE]
    assert change.entries[1].text == "Awaiting approval: a person must approve"
    (notice,) = change.notices
    assert (notice.kind, notice.level) == (NoticeKind.QUESTION, 0)
    assert notice.text == question_words(one, question, Severity.P1, START + HOUR, START)


def test_a_question_is_another_one_when_anything_of_it_is() -> None:
    """An answer to one that was asked of something else, or at another time, is none to this."""
    one = case(S.OPEN)
    questions = [
        the_question(after(one, ASKS, consent=CONSENT)),
        the_question(after(one, ASKS, consent=CONSENT, now=START + SECOND)),
        the_question(after(one, ASKS, consent=CONSENT.model_copy(update={"facts": "g"}))),
        the_question(after(one, ASKS, consent=CONSENT.model_copy(update={"elements": ("2",)}))),
        the_question(after(case(S.OPEN), ASKS, consent=CONSENT)),
    ]
    assert len({question.id for question in questions}) == len(questions)
    assert the_question(after(one, ASKS, consent=CONSENT)).id == questions[0].id


def test_where_nobody_can_say_what_would_be_done_a_person_is_told() -> None:
    """There is nothing to say yes to."""
    change = after(case(S.OPEN), ASKS)
    assert change.state is S.ESCALATED
    reason = "nobody can say what a person would approve: a person must approve"
    assert change.notices[0].text == f"P1 Hit: {reason}"
    assert [entry.kind for entry in change.entries] == [EntryKind.JUDGED, EntryKind.ESCALATION]


def asked_before(step: int, times: int, **more: Any) -> Question:
    """What a person was asked before."""
    first = the_question(after(case(S.OPEN), ASKS, consent=CONSENT))
    return first.model_copy(update={"step": step, "times": times, **more})


TIMES = [(0, 1, 2), (0, 2, 3), (1, 3, 1)]


@pytest.mark.parametrize(("step", "times", "then"), TIMES)
def test_a_step_is_asked_for_three_times_at_most(step: int, times: int, then: int) -> None:
    """Another step counts anew; after the third yes to it in vain a person hears of that."""
    again = after(case(S.OPEN, question=asked_before(step, times)), ASKS, consent=CONSENT)
    assert the_question(again).times == then
    over = after(case(S.OPEN, question=asked_before(0, 3)), ASKS, consent=CONSENT)
    assert over.state is S.ESCALATED
    reason = "test.act was approved 3 times and not done: a person must approve"
    assert over.notices[0].text == f"P1 Hit: {reason}"
    assert [entry.kind for entry in over.entries] == [EntryKind.JUDGED, EntryKind.ESCALATION]


NO_DATA = GuardVerdict(guard=Guard.CONDITION, ruling=Ruling.ASK, reason="the condition has no data")
YES = Approval(id=APPROVED.id, consent=CONSENT, guards=(Guard.CONDITION,), by="ann", expires_at=START + HOUR)
ANSWERS: list[tuple[Approval | None, Mapping[Guard, str]]] = [
    (YES, {Guard.CONDITION: "no data then", Guard.AUTONOMY: ASKS.reason}),
    (None, {Guard.AUTONOMY: ASKS.reason}),
]


@pytest.mark.parametrize(("approval", "asks"), ANSWERS)
def test_what_the_last_answer_let_pass_is_asked_with_what_is_asked_now(
    approval: Approval | None, asks: Mapping[Guard, str]
) -> None:
    """That answer is spent; without one, only the guards that ask now are answered."""
    question = asked_before(0, 1, guards=(Guard.CONDITION,), reasons=("no data then",))
    change = after(case(S.OPEN, question=question), LOOKED, ASKS, consent=CONSENT, approval=approval)
    asked = the_question(change)
    assert dict(zip(asked.guards, asked.reasons, strict=True)) == asks
    first = after(case(S.OPEN), NO_DATA, ASKS, consent=CONSENT, approval=approval)
    assert the_question(first).reasons == ("the condition has no data", "a person must approve")
