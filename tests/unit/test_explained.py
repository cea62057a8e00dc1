"""What `responder explain` tells: for each step which guards let it go or held it, and why."""

from responder.cli.explain import lines_of
from responder.model.attempt import Outcome, Verdict
from responder.model.guard import Guard, Ruling
from responder.model.incident import IncidentState
from responder.ports import Dossier
from responder.review.explained import StepTold, explain
from tests.support.dossiers import ACTION, Story, after


def _dossier(story: Story, *actions: str, state: IncidentState = IncidentState.HELD) -> Dossier:
    story.rule = {**story.rule, "steps": [{"action": action} for action in actions]}
    return story.dossier(state)


def _text(step: StepTold) -> str:
    return "\n".join(line for _, line in lines_of(step, after(65)))


def test_what_held_a_step_stands_before_what_let_it_go() -> None:
    """Each guard with its name, its reason; the one in the way first."""
    story = Story().opens().judges(5, "wait", "cooldown", "cooling down for another 6m")
    [step] = explain(_dossier(story, ACTION)).steps
    lines = list(lines_of(step, after(65)))
    assert lines[0][1].startswith("23:59:35 UTC (1m ago), on postgres/orders: held")
    assert lines[1:] == [
        (1, "cooldown waits: cooling down for another 6m"),
        (1, "these let it go:"),
        (2, "halt: not halted"),
    ]


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
    assert "3 times since 23:59:35" in _text(step)


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
    assert list(lines_of(began, after(65)))[-1][1].endswith("began: done, not recovered")
    assert _text(coming) == "next: it was not judged yet"
    assert _text(later) == "not reached: no guard was asked"


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
    story = Story().opens().judges(5, "refuse", "moon", "it is full")
    dossier = _dossier(story, ACTION)
    hidden = dossier.entries[-1].model_copy(update={"facts": {"step": 0}, "text": "[redacted]", "number": 9})
    [step] = explain(dossier.model_copy(update={"entries": (*dossier.entries, hidden)})).steps
    told = step.judged
    assert told[0].held_by[0].guard == "moon"
    assert not told[0].held_by[0].asks
    assert told[1].reason == "[redacted]"
    assert told[1].ruling is Ruling.GO
    assert "what the guards said is no longer there" in _text(step)


def test_every_guard_says_what_it_asks() -> None:
    """In one question that "yes" lets go."""
    assert all(guard.asks.endswith("?") for guard in Guard)
