"""What `responder explain` tells: for each step which guards let it go or held it, and why."""

from typing import Any
from uuid import UUID

import pytest

from responder.cli.steps import Telling, goes_on, lines_of, quiet_lines, without_steps
from responder.cli.ways import you_can
from responder.model.attempt import Outcome, Verdict
from responder.model.by_hand import ByHand
from responder.model.guard import Guard, Ruling
from responder.model.incident import Hold, IncidentState, Verification
from responder.model.inhibition import Inhibitor
from responder.model.storm import UMBRELLA
from responder.model.timeline import EntryKind
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from responder.review.explained import Coming, StepTold, explain
from tests.support.dossiers import ACTION, ATTEMPT, INCIDENT, TARGET, Story, after


def _dossier(story: Story, *actions: str, state: IncidentState = IncidentState.HELD) -> Dossier:
    story.rule = {**story.rule, "steps": [{"action": action} for action in actions]}
    return story.dossier(state)


HELD = Story().opens().dossier(IncidentState.HELD).incident
AT = Telling(now=after(65), incident=HELD)
ALL = Telling(now=after(65), everything=True, incident=HELD)


def _text(step: StepTold, telling: Telling = AT) -> str:
    return "\n".join(line for _, line in lines_of(step, telling))


def test_what_held_a_step_stands_before_what_let_it_go() -> None:
    """Each guard with its name, its reason; the one in the way first."""
    story = Story().opens().judges(5, "wait", "cooldown", "cooling down for another 6m")
    [step] = explain(_dossier(story, ACTION)).steps
    lines = list(lines_of(step, AT))
    assert lines == [
        (0, "2026-11-20 23:59:35 UTC (1m ago), on postgres/orders: held"),
        (1, "cooldown: cooling down for another 6m"),
        (1, "1 other guard let it go: halt (--all says why)"),
    ]
    assert list(lines_of(step, ALL))[2:] == [(1, "these let it go:"), (2, "halt: not halted")]


def test_the_same_judgement_again_is_told_once_with_its_number() -> None:
    """The words may count down: what counts is who says what. A new objection begins a new line."""
    story = Story().opens()
    for second in (5, 10, 15):
        story.judges(second, "wait", "cooldown", f"cooling down for another {20 - second}s")
    story.judges(20, "wait", "halt", "halted by ada: deploy")
    [step] = explain(_dossier(story, ACTION)).steps
    assert [(one.times, one.decided_by) for one in step.judged] == [(3, "cooldown"), (1, "halt")]
    cooled = step.judged[0]
    assert (cooled.first_at, cooled.last_at) == (after(5), after(15))
    assert cooled.reason == "cooling down for another 5s"
    assert "3 times since 2026-11-20 23:59:35 UTC" in _text(step)


def test_every_step_of_the_ladder_is_there() -> None:
    """One that began shows its outcome, the one that is next and those that were not reached say so."""
    story = Story().opens().judges(5, "go", "autonomy", "auto by every ceiling")
    story.acts(6, Outcome.DONE, Verdict.NOT_RECOVERED)
    dossier = _dossier(story, ACTION, "cache.clear", "kubernetes.restart")
    progress = dossier.incident.progress.model_copy(update={"step": 1})
    dossier = dossier.model_copy(
        update={"incident": dossier.incident.model_copy(update={"progress": progress})}
    )
    began, coming, later = explain(dossier).steps
    first = next(lines_of(began, AT))[1]
    assert first.startswith("started 2026-11-20 23:59:36 UTC on postgres/orders")
    assert first.endswith(": done, did not help")
    assert _text(coming) == "next: it was not judged yet"
    assert _text(later) == "only if step 2 has not helped"


@pytest.mark.parametrize(
    ("state", "told"),
    [(IncidentState.ESCALATED, "done, not verified"), (IncidentState.VERIFYING, "done")],
)
def test_a_verification_that_was_cut_off_claims_nothing(state: IncidentState, told: str) -> None:
    """Whoever takes over while it is looked at ends that: then nobody knows whether it helped."""
    story = Story().opens().judges(5, "go", "autonomy", "auto by every ceiling").acts(6, Outcome.DONE, None)
    dossier = _dossier(story, ACTION, state=state)
    [step] = explain(dossier).steps
    telling = Telling(now=AT.now, incident=dossier.incident)
    assert next(lines_of(step, telling))[1].endswith(f": {told}")


def test_shadow_says_that_nothing_was_done() -> None:
    """And names what it would have hit."""
    story = Story().opens()
    story.judges(5, "go", "autonomy", "shadow, no effect", shadow=True, elements=("pid 7",), more=2)
    [step] = explain(_dossier(story, ACTION, state=IncidentState.RECORDED)).steps
    told = _text(step)
    assert "would have started; in shadow nothing is done" in told
    assert "3 elements" in told
    assert "pid 7" in told
    assert "and 2 more" in told


def test_a_guard_that_is_no_more_and_a_redacted_entry_are_told_as_far_as_they_go() -> None:
    """Timelines outlive versions of this program."""
    unknown = [{"kind": "howl", "of": "7"}, {"kind": "see_budgets", "of": ""}]
    facts = _facts("refuse", "moon", "it is full", word={"ways": unknown})
    dossier = _dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)
    hidden = dossier.entries[-1].model_copy(update={"facts": {"step": 0}, "text": "[redacted]", "number": 9})
    [step] = explain(dossier.model_copy(update={"entries": (*dossier.entries, hidden)})).steps
    told = step.judged
    assert told[0].held_by[0].guard == "moon"
    assert not told[0].held_by[0].asks
    assert told[0].held_by[0].ways == (Way(kind=WayKind.SEE_BUDGETS),)
    assert told[1].reason == "[redacted]"
    assert told[1].ruling is Ruling.GO
    assert "what the guards said is no longer there" in _text(step)


def test_every_guard_says_what_it_asks() -> None:
    """In one question that "yes" lets go."""
    assert all(guard.asks.endswith("?") for guard in Guard)


# --- what becomes of a step, and what helps -------------------------------------------------------------


def _with(dossier: Dossier, **changed: Any) -> Dossier:
    """Its incident changed; `progress` with these fields."""
    incident = dossier.incident
    progress = incident.progress.model_copy(update=changed.pop("progress", {}))
    incident = incident.model_copy(update={**changed, "progress": progress})
    return dossier.model_copy(update={"incident": incident})


def _verifying() -> Dossier:
    story = Story().opens().acts(6, Outcome.DONE)
    running = Verification(started_at=after(7), deadline=after(307), attempt_id=ATTEMPT)
    given = {"step": 1, "verification": running}
    return _with(_dossier(story, ACTION, "b", "c", state=IncidentState.VERIFYING), progress=given)


def test_what_comes_only_if_the_step_before_does_not_help_says_so() -> None:
    """While it is verified nobody may believe that the next step comes; nor the one after that."""
    _, second, third = explain(_verifying()).steps
    assert _text(second) == "only if step 1 has not helped by 00:04:37 UTC"
    assert second.prospect is not None
    assert second.prospect.coming is Coming.IF_NEEDED
    assert _text(third) == "only if step 2 has not helped"


def test_what_is_over_needs_no_further_step() -> None:
    """By the step that recovered it, or by what ended it."""
    story = Story().opens().acts(6, Outcome.DONE, Verdict.RECOVERED)
    over = _dossier(story, ACTION, "b", state=IncidentState.RESOLVED)
    _, second = explain(_with(over, progress={"step": 1})).steps
    assert _text(second) == "not needed: step 1 recovered it"
    story.moves(60, "verifying", "resolved", "recovered").moves(90, "resolved", "open", "it fires again")
    story.moves(95, "open", "resolved", "it ended")
    again = _dossier(story, ACTION, "b", state=IncidentState.RESOLVED)
    _, second = explain(_with(again, progress={"step": 1, "outcome": "it ended by itself"})).steps
    assert _text(second) == "not needed: it ended by itself", "what fired again was not recovered by step 1"
    held = Story().opens().judges(5, "wait", "halt", "halted by ada")
    ended = _dossier(held, ACTION, state=IncidentState.CLOSED)
    [only] = explain(_with(ended, progress={"outcome": "it ended while it was held"})).steps
    assert _text(only).startswith("not needed: it ended while it was held\n")


def test_maintenance_and_hands_say_why_a_step_waits() -> None:
    """Until when it is quiet, and who took it over when."""
    story = Story().opens().moves(5, "open", "suppressed", "under maintenance by ada (maintenance 3): x")
    quiet = _dossier(story, ACTION, state=IncidentState.SUPPRESSED)
    quiet = _with(quiet, deadline=after(600), progress={"maintenance": "maintenance 3"})
    [step] = explain(quiet).steps
    assert _text(step) == "not judged before 00:09:30 UTC: maintenance 3 keeps it quiet"
    standing = (Way(kind=WayKind.END_MAINTENANCE, of="3"), Way(kind=WayKind.END_MAINTENANCE, of="4"))
    assert you_can(quiet, standing, after(65)) == ["responder maintenance end 3 --reason ..."]
    [once] = explain(quiet).quiet
    assert (once.since, once.until) == (after(5), None)
    cause = Inhibitor(id=UUID(int=8), rule="Cause")
    inhibited = _with(quiet, progress={"maintenance": None, "inhibited": cause})
    [step] = explain(inhibited).steps
    assert _text(step) == f"not judged while incident {cause.id} of Cause is under way"
    assert you_can(inhibited, standing, after(65)) == [f"responder explain {cause.id}"]
    silenced = _with(quiet, progress={"maintenance": None})
    assert "silenced or inhibited" in _text(explain(silenced).steps[0])
    taken = _with(_dossier(Story().opens(), ACTION, state=IncidentState.TAKEN_OVER))
    [step] = explain(_with(taken, progress={"taken_over_by": "ada"})).steps
    assert _text(step).startswith("not taken: ada took the incident over at 2026-11-20 23:59:30 UTC")


def _facts(ruling: str, guard: str, reason: str, **more: Any) -> dict[str, Any]:
    """A judgement by one guard alone; `word` is what that guard says besides."""
    word = more.pop("word", {})
    told = {"guard": guard, "ruling": ruling, "reason": reason, **word}
    facts = {"step": 0, "action": ACTION, "target": TARGET, "ruling": ruling, "decided_by": guard}
    return {**facts, "reason": reason, "verdicts": [told], **more}


FREEZE = (Way(kind=WayKind.END_FREEZE, of="1"),)


def _frozen() -> dict[str, Any]:
    return _facts("wait", "freeze", "frozen by ada", word={"ways": [FREEZE[0].model_dump(mode="json")]})


def _told_of(dossier: Dossier, standing: tuple[Way, ...] | None, number: int = 0) -> str:
    """What is said of a step, with what stands now."""
    telling = Telling(now=after(65), incident=dossier.incident, standing=standing)
    return _text(explain(dossier).steps[number], telling)


def test_what_holds_a_step_ends_with_the_command_and_what_has_ended_says_so() -> None:
    """By what stands now; a server that does not tell leaves the command."""
    halt = {"kind": "resume", "of": "7"}
    facts = _facts("wait", "halt", "halted by ada", word={"ways": [halt]})
    [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
    held = "halt: halted by ada\n-> responder resume --id 7"
    assert held in _text(step)
    assert held in _text(
        step, Telling(now=after(65), incident=HELD, standing=(Way(kind=WayKind.RESUME, of="7"),))
    )
    ended = _text(step, Telling(now=after(65), incident=HELD, standing=()))
    assert ended.endswith("halt: halted by ada (since ended)")


def test_of_a_file_no_other_replica_says_that_it_is_gone() -> None:
    """It halts its own process: that of which nobody can say that it has ended keeps its command."""
    file = {"kind": "remove_file", "of": "/run/halt"}
    for ways in ([file], [file, {"kind": "resume", "of": "7"}]):
        facts = _facts("wait", "halt", "halted", word={"ways": ways})
        [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
        assert _text(step, Telling(now=after(65), incident=HELD, standing=())).endswith(
            "halt: halted\n-> rm /run/halt"
        )


def test_what_shadow_alone_holds_is_held_by_the_ceiling_with_its_command() -> None:
    """A go without effect is no go: it stands first among what held it, and not among what let it go."""
    promote = {"kind": "promote", "of": "RunawayQueries"}
    word = {"shadow": True, "ways": [promote]}
    facts = _facts("go", "autonomy", "shadow only", shadow=True, word=word)
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts)
    dossier = _dossier(story, ACTION, state=IncidentState.RECORDED)
    assert list(lines_of(explain(dossier).steps[0], AT))[1:] == [
        (1, "held by the ceiling: shadow only"),
        (2, "-> responder rules promote RunawayQueries --to auto --reason ..."),
    ]
    assert you_can(dossier, None, after(65)) == [
        "responder rules promote RunawayQueries --to auto --reason ..."
    ]


def test_what_was_not_asked_is_not_said_to_have_let_it_go() -> None:
    """Nor is a target that was not looked at said to have been."""
    facts = _facts("go", "look", "not looked at", shadow=True, observed=True, word={"not_asked": True})
    facts["verdicts"].append({"guard": "autonomy", "ruling": "go", "reason": "observe", "shadow": True})
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts)
    [step] = explain(_dossier(story, ACTION, state=IncidentState.RECORDED)).steps
    told = list(lines_of(step, AT))
    assert told[0][1].endswith("recorded only: it is observed, and the target was not looked at")
    assert told[1:] == [
        (1, "held by the ceiling: observe"),
        (1, "1 had nothing to look at: look at the target (--all says why)"),
    ]
    unasked = [(1, "these had nothing to look at:"), (2, "look at the target: not looked at")]
    assert list(lines_of(step, ALL))[2:] == unasked


def test_a_question_tells_its_answer() -> None:
    """While it is open a person must say so; then who said what, or took it over and made it void."""
    ask = _facts("ask", "autonomy", "a person must approve")
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **ask)
    asking = _dossier(story, ACTION, state=IncidentState.AWAITING_APPROVAL)
    assert "a person must say so" in _text(explain(asking).steps[0])
    left = _dossier(story, ACTION, state=IncidentState.ESCALATED)
    assert "a person was asked, and nobody answered" in _text(explain(left).steps[0])
    for command, word in (
        ("approve", "ada said yes"),
        ("decline", "ada said no"),
        ("take_over", "the question is void, ada took the incident over"),
        ("close", "the question is void, ada closed the incident"),
    ):
        answered = Story().opens().tell(5, EntryKind.JUDGED, "judged", **ask)
        answered.tell(6, EntryKind.PERSON, "x", actor="ada", command=command)
        [step] = explain(_dossier(answered, ACTION, state=IncidentState.ESCALATED)).steps
        assert f"a person was asked: {word} at 2026-11-20 23:59:36 UTC" in _text(step)


def test_a_word_that_changed_nothing_is_no_answer() -> None:
    """A yes after its time, and the answer to the next question: the first one was not answered."""
    ask = _facts("ask", "autonomy", "a person must approve")
    late = Story().opens().tell(5, EntryKind.JUDGED, "judged", **ask)
    late.tell(6, EntryKind.PERSON, "x", actor="ada", command="approve", changed=False)
    [step] = explain(_dossier(late, ACTION, state=IncidentState.ESCALATED)).steps
    assert "a person was asked, and nobody answered" in _text(step)
    late.judges(7, "wait", "halt", "halted").tell(8, EntryKind.PERSON, "x", actor="ada", command="take_over")
    asked, _ = explain(_dossier(late, ACTION, state=IncidentState.TAKEN_OVER)).steps[0].judged
    assert asked.answer is None
    over = Story().opens().tell(5, EntryKind.JUDGED, "judged", **ask)
    over.moves(6, "awaiting_approval", "escalated", "nobody answered the question in time")
    over.tell(7, EntryKind.PERSON, "x", actor="ada", command="take_over")
    [step] = explain(_dossier(over, ACTION, state=IncidentState.TAKEN_OVER)).steps
    assert "a person was asked, and nobody answered" in _text(step)


def test_each_question_has_its_own_answer() -> None:
    """What comes after the next judgement, even at the same moment, answers that; a no is not a later yes."""
    story = Story().opens()
    for action, command in ((ACTION, None), ("other", "decline"), ("other", "approve")):
        facts = {**_facts("ask", "autonomy", "a person must approve"), "action": action}
        story.tell(5, EntryKind.JUDGED, "judged", **facts)
        if command is not None:
            story.tell(5, EntryKind.PERSON, "x", actor="ada", command=command)
    [step] = explain(_dossier(story, ACTION, state=IncidentState.ESCALATED)).steps
    assert [one.answer and one.answer.command for one in step.judged] == [None, "decline", "approve"]


@pytest.mark.parametrize(
    ("ruling", "became"), [("ask", "asked a person"), ("wait", "waited"), ("refuse", "been refused")]
)
def test_in_shadow_nobody_was_asked_and_nothing_was_held(ruling: str, became: str) -> None:
    """It says what would have been; whoever takes the incident over later answers no question."""
    facts = _facts(ruling, "budget", "because", shadow=True)
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts)
    story.tell(6, EntryKind.PERSON, "x", actor="ada", command="take_over")
    [step] = explain(_dossier(story, ACTION, state=IncidentState.RECORDED)).steps
    first = next(lines_of(step, AT))[1]
    assert first.endswith(f", on {TARGET}: would have {became}; in shadow nothing is done")
    assert step.judged[0].answer is None


def test_what_is_only_observed_is_another_judgement() -> None:
    """The same verdicts of a target that was looked at are not the same again."""
    story = Story().opens()
    for second, observed in ((5, True), (10, False)):
        facts = _facts("go", "autonomy", "shadow only", shadow=True, observed=observed)
        story.tell(second, EntryKind.JUDGED, "judged", **facts)
    [step] = explain(_dossier(story, ACTION)).steps
    assert [one.observed for one in step.judged] == [True, False]


def test_beside_a_refusal_nobody_is_said_to_be_asked_or_waited_for() -> None:
    """What is less strict would have done so."""
    facts = _facts("refuse", "storm", "a storm")
    facts["verdicts"].append({"guard": "autonomy", "ruling": "ask", "reason": "a person must approve"})
    facts["verdicts"].append({"guard": "budget", "ruling": "wait", "reason": "spent"})
    [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
    assert [line for depth, line in lines_of(step, AT) if depth == 1] == [
        "storm: a storm",
        "budget would hold it: spent",
        "autonomy would ask a person: a person must approve",
    ]


def test_a_false_condition_and_nothing_found_are_no_failures() -> None:
    """The step was not needed, or there was nothing to do."""
    facts = _facts("refuse", "condition", "not needed, 0 of them")
    [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
    assert _text(step).startswith("2026-11-20 23:59:35 UTC (1m ago), on postgres/orders: passed over")
    facts = _facts("go", "autonomy", "may act", nothing_to_do=True)
    [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
    assert "every guard let it go, but there was nothing to do" in _text(step)


def test_of_guards_that_wait_the_one_that_lasts_the_longest_stands_first() -> None:
    """What has no known end before all others; one whose time is over since says so."""
    facts = _facts("wait", "self_caused", "our own act", word={"over_at": after(60).isoformat()})
    later = {"guard": "budget", "ruling": "wait", "reason": "spent", "over_at": after(3600).isoformat()}
    facts["verdicts"] += [later, {"guard": "claim", "ruling": "wait", "reason": "in use"}]
    [step] = explain(_dossier(Story().opens().tell(5, EntryKind.JUDGED, "judged", **facts), ACTION)).steps
    assert [line for depth, line in lines_of(step, AT) if depth == 1] == [
        "target in use: in use",
        "budget: spent",
        "our own acts: our own act (since ended)",
    ]


def test_another_freeze_is_another_judgement() -> None:
    """The same guard that says the same of something else is not the same again."""
    story = Story().opens()
    for second, number in ((5, "1"), (10, "1"), (15, "2")):
        way = {"kind": "end_freeze", "of": number}
        facts = _facts("wait", "freeze", f"freeze {number}", word={"ways": [way]})
        story.tell(second, EntryKind.JUDGED, "judged", **facts)
    [step] = explain(_dossier(story, ACTION)).steps
    assert [(one.reason, one.times) for one in step.judged] == [("freeze 1", 2), ("freeze 2", 1)]
    held = [line for _, line in lines_of(step, AT) if line.startswith("->")]
    assert held == ["-> responder freeze end 2 --reason ..."], "only the newest can be ended now"


@pytest.mark.parametrize(
    ("state", "helps"),
    [
        (IncidentState.HELD, True),
        (IncidentState.ESCALATED, True),
        (IncidentState.RECORDED, True),
        (IncidentState.TAKEN_OVER, True),
        (IncidentState.SUPPRESSED, False),
        (IncidentState.RESOLVED, False),
        (IncidentState.CLOSED, False),
    ],
)
def test_a_command_is_named_only_where_it_would_help(state: IncidentState, helps: bool) -> None:
    """What held a step before it was quiet or over holds nothing now; what a person took over may go on."""
    story = Story().opens().tell(5, EntryKind.JUDGED, "judged", **_frozen())
    dossier = _dossier(story, ACTION, state=state)
    assert ("-> responder freeze end 1 " in _told_of(dossier, FREEZE)) is helps


def test_a_step_that_waits_says_when_it_is_judged_again() -> None:
    """The one that the incident stands before, and no other; how a question is answered stands above."""
    asks = _dossier(Story().opens(), ACTION, "b", state=IncidentState.AWAITING_APPROVAL)
    first, second = explain(asks).steps
    assert list(goes_on(first, asks.incident, after(65))) == []
    hold = Hold(guard="halt", reason="halted", until=after(75), since=after(5), deadline=after(600))
    held = _with(_dossier(Story().opens(), ACTION, "b"), progress={"hold": hold})
    assert list(goes_on(first, held.incident, after(65))) == ["judged again in 10s, at 00:00:45 UTC"]
    part = _dossier(Story().opens(), ACTION, "b", state=IncidentState.RECORDED)
    assert list(goes_on(first, part.incident, after(65))) == []
    part = _with(part, due_at=after(95), progress={"part_of": INCIDENT})
    (told,) = goes_on(first, part.incident, after(65))
    assert told.startswith(
        "judged again when the storm is over (fewer open, and fewer of its incidents still"
    )
    assert told.endswith("): it is looked at in 30s")
    for dossier in (asks, held, part):
        assert list(goes_on(second, dossier.incident, after(65))) == []


def test_a_quiet_time_that_is_over_leaves_its_trace() -> None:
    """From when to when, and why; one that lasts is the state itself."""
    story = Story().opens().moves(5, "open", "suppressed", "under maintenance by ada")
    story.moves(65, "suppressed", "open", "judged anew").moves(70, "open", "suppressed", "silenced")
    explanation = explain(_dossier(story, ACTION, state=IncidentState.SUPPRESSED))
    assert quiet_lines(explanation, after(100)) == [
        "2026-11-20 23:59:35 UTC to 00:00:35 UTC: under maintenance by ada",
    ]


def test_without_a_step_it_says_what_it_is() -> None:
    """Evidence alone, the storm's, or a person's for people."""
    incident = _dossier(Story().opens()).incident
    assert "only gathers evidence" in without_steps(incident)
    assert "the storm" in without_steps(incident.model_copy(update={"rule": UMBRELLA.name}))
    asked = ByHand(actor="ada", reason="x", title="y", asked_at=after(0))
    assert "A person opened it" in without_steps(incident.model_copy(update={"by_hand": asked}))
