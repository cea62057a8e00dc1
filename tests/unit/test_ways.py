"""What a tired person can type is told with the id filled in, and what halts stands above the rest."""

import shlex
from datetime import timedelta
from typing import Any
from uuid import UUID

import click
import pytest

from responder.cli import main
from responder.cli.ended import as_standing
from responder.cli.steps import Telling, lines_of
from responder.cli.story import headline, holder_lines
from responder.cli.ways import command, halted_lines, you_can
from responder.model.attempt import Outcome, Owed, Quarantined
from responder.model.by_hand import ByHand
from responder.model.guard import Guard
from responder.model.incident import Hold, Holder, IncidentState, PassedOver
from responder.model.storm import UMBRELLA
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from responder.review.explained import explain
from tests.support.dossiers import ACTION, ATTEMPT, TARGET, Story, after, an_attempt

HOLD = Hold(
    guard="halt",
    reason="halted by root: deploy (halt 7, where env)",
    until=after(60),
    since=after(0),
    deadline=after(600),
    holders=(Holder(guard="halt", reason="halted", ways=(Way(kind=WayKind.RESUME, of="7"),)),),
)


def dossier(state: IncidentState, **progress: Any) -> Dossier:
    """An incident of one step in that state."""
    found = Story().opens().dossier(state)
    moved = found.incident.progress.model_copy(update=progress)
    incident = found.incident.model_copy(update={"progress": moved})
    return found.model_copy(update={"incident": incident, "rule": {"steps": [{"action": ACTION}]}})


def test_an_incident_that_waits_names_the_commands() -> None:
    """Ack until somebody has, take-over, resume under a halt, hand-back when taken over; else nothing."""
    held = dossier(IncidentState.HELD, hold=HOLD)
    name = held.incident.id
    take_over = f"responder incidents take-over {name} --reason ..."
    assert you_can(held, None, after(60)) == [
        f"responder incidents ack {name}",
        take_over,
        "responder resume --id 7",
    ]
    close = f"responder incidents close {name} --reason ..."
    by_hand = (
        f"responder run {ACTION} --with ... --reason ...   (by hand: the rule's own limits do not count "
    )
    by_hand += "then, every other guard does)"
    assert you_can(dossier(IncidentState.ESCALATED, acknowledged_by="ada", step=1), None, after(60)) == [
        take_over,
        close,
        by_hand,
    ]
    again = (
        f"responder incidents hand-back {name} --reason ...   (step 1, {ACTION}, is judged then; without it "
    )
    told = you_can(dossier(IncidentState.ESCALATED, acknowledged_by="ada", step=0), None, after(60))
    assert told == [take_over, f"{again}nothing starts)", close]
    hand_back = f"responder incidents hand-back {name} --reason ..."
    left = f"{hand_back}   (step 1, {ACTION}, is judged then)"
    assert you_can(dossier(IncidentState.TAKEN_OVER), None, after(60)) == [left, close]
    none_left = f"{hand_back}   (no step is left: people are told again)"
    assert you_can(dossier(IncidentState.TAKEN_OVER, step=1), None, after(60)) == [none_left, close, by_hand]
    assert you_can(dossier(IncidentState.RESOLVED), None, after(60)) == []


@pytest.mark.parametrize("state", IncidentState)
def test_each_line_that_a_person_can_type_is_taken_by_the_program(state: IncidentState) -> None:
    """In every state, alone and as a part of a storm, held and with a target of which nothing is known."""
    left = Quarantined(target=TARGET, attempt_id=ATTEMPT, reason="nobody can say")
    lost = {"attempts": (an_attempt(after(0), Outcome.UNKNOWN, None),), "quarantined": (left,)}
    for progress in ({"hold": HOLD}, {"part_of": UUID(int=9)}):
        told = dossier(state, **progress).model_copy(update=lost)
        for line in you_can(told, None, after(60)):
            parsed(line)


def test_what_is_part_of_a_storm_names_the_storm_and_how_it_may_act_in_it() -> None:
    """Nobody is asked there and nothing waits: these two are all that helps."""
    storm = UUID(int=9)
    part = dossier(IncidentState.RECORDED, part_of=storm)
    name = part.incident.id
    assert you_can(part, None, after(60)) == [
        f"responder explain {storm}",
        f"responder incidents severity {name} P1 --reason ...   (then the storm does not keep it)",
    ]
    assert you_can(dossier(IncidentState.RECORDED), None, after(60)) == []


def test_what_a_person_took_over_is_acknowledged_once_they_were_reminded() -> None:
    """Not before anybody was told of it, and not twice: then it keeps the next level from being told."""
    ack = "responder incidents ack "
    for told_at, said_at, offered in ((None, None, False), (40, None, True), (40, 50, False), (40, 30, True)):
        since = dossier(
            IncidentState.TAKEN_OVER,
            told_at=told_at and after(told_at),
            acknowledged_at=said_at and after(said_at),
        )
        since = since.model_copy(
            update={"incident": since.incident.model_copy(update={"state_since": after(20)})}
        )
        assert any(line.startswith(ack) for line in you_can(since, None, after(60))) is offered


def test_the_step_that_was_passed_over_is_what_a_person_may_run_by_hand() -> None:
    """Each part of an `all:` is an act of its own; what has steps left is handed back instead."""
    both = {"all": [{"action": ACTION}, {"action": "b"}]}
    passed = PassedOver(step=0, guard="scope", words="it opted out")
    told = dossier(IncidentState.ESCALATED, step=2, passed_over=passed)
    told = told.model_copy(update={"rule": {"steps": [both, {"action": "c"}]}})
    runs = [line.split()[2] for line in you_can(told, None, after(60)) if line.startswith("responder run")]
    assert runs == [ACTION, "b"]
    left = dossier(IncidentState.ESCALATED, step=0)
    assert not any(line.startswith("responder run") for line in you_can(left, None, after(60)))


def test_what_is_lent_says_when_it_is_given_back_and_how_it_is_kept() -> None:
    """In every state, also when it is resolved; kept or given back there is nothing to type."""
    owed = Owed(
        attempt_id=ATTEMPT,
        incident_id=UUID(int=1),
        rule="Lent",
        action=ACTION,
        target=TARGET,
        due_at=after(7230),
    )
    done = an_attempt(after(0), Outcome.DONE, None)
    keep = f"responder givebacks keep {ATTEMPT} --reason ..."
    kept = owed.model_copy(update={"kept_at": after(90), "kept_by": "ada", "kept_reason": "x"})
    back = owed.model_copy(update={"opened_as": UUID(int=9)})
    for one, offered, words in (
        (owed, True, "; it is given back at 02:00:00 UTC"),
        (kept, False, "; it stays, ada keeps it since 00:01:00 UTC"),
        (back, False, f"; what became of giving it back: responder explain {UUID(int=9)}"),
    ):
        found = dossier(IncidentState.RESOLVED).model_copy(update={"owed": (one,), "attempts": (done,)})
        lines = you_can(found, None, after(60))
        assert any(line.startswith(keep) for line in lines) is offered
        for line in lines:
            parsed(line)
        first = explain(found).steps[0]
        assert any(words in line for _, line in lines_of(first, Telling(now=after(60)))), words


def test_an_act_by_hand_that_was_only_recorded_is_asked_for_anew() -> None:
    """No alert begins it, and a promotion does not; a dry run wanted nothing else."""
    asked = ByHand(actor="ada", reason="x", title="y", asked_at=after(0), action=ACTION, target=TARGET)
    for one, told in ((asked, True), (asked.model_copy(update={"dry_run": True}), False)):
        found = dossier(IncidentState.RECORDED, shadow=True)
        found = found.model_copy(update={"incident": found.incident.model_copy(update={"by_hand": one})})
        lines = you_can(found, None, after(60))
        assert any(line.startswith(f"responder run {ACTION} --with") for line in lines) is told


@pytest.mark.parametrize(
    ("stale", "told"),
    [
        (None, None),
        (700, None),
        (30, "a yes only tells people: its alert's last word is too old to act on, until it is told again"),
        (90, "a yes only tells people after 00:01:00 UTC, unless its alert is told again before: "),
    ],
)
def test_a_yes_that_would_not_help_says_so(stale: int | None, told: str | None) -> None:
    """Where the word that its alert fires is too old, or will be while it can be answered."""
    found = dossier(IncidentState.AWAITING_APPROVAL)
    found = found.model_copy(update={"incident": found.incident.model_copy(update={"deadline": after(600)})})
    lines = you_can(found, None, after(60), None if stale is None else after(stale))
    if told is None:
        assert not any("too old" in line for line in lines)
    else:
        assert any(line.strip().startswith(told) for line in lines)


WAYS = [
    (WayKind.RESUME, "7", "responder resume --id 7"),
    (WayKind.REMOVE_FILE, "/a b", "rm '/a b'"),
    (WayKind.END_FREEZE, "1", "responder freeze end 1 --reason ..."),
    (WayKind.END_MAINTENANCE, "3", "responder maintenance end 3 --reason ..."),
    (WayKind.PROMOTE, "Hit", "responder rules promote Hit --to auto --reason ..."),
    (
        WayKind.RELEASE,
        "postgres/a",
        "responder targets release postgres/a --reason ...",
    ),
    (WayKind.SEE_INCIDENT, "019a", "responder explain 019a"),
    (WayKind.SEE_BUDGETS, "", "responder budgets"),
    (WayKind.RESET_BREAKER, "Hit", "responder breaker reset Hit --reason ..."),
]


@pytest.mark.parametrize(("kind", "of", "line"), WAYS)
def test_each_way_is_a_command_that_the_program_has(kind: WayKind, of: str, line: str) -> None:
    """With what it needs filled in; each command and option is there."""
    assert command(Way(kind=kind, of=of)) == line
    if line.startswith("responder "):
        parsed(line)


def parsed(line: str) -> None:
    """The program's own parser takes the line: each command and option is there, and none is missing."""
    name, *words = shlex.split(line.partition("   (")[0])
    found: click.Command = main
    while isinstance(found, click.Group):
        name, *words = words
        inner = found.get_command(click.Context(found), name)
        assert inner is not None, line
        found = inner
    found.make_context(name, words)


WRITTEN = [
    (WayKind.ADD_TARGET, ("add it", "under nights in the settings", "then restart")),
    (WayKind.EDIT_FREEZE, ("nights", "the settings (engine.freezes)", "then restart")),
    (WayKind.RAISE_CEILING, ("the settings", "engine.ceiling", "then restart")),
    (WayKind.EDIT_RULE, ("autonomy", "nights", "the rulebook", "then promote")),
]


@pytest.mark.parametrize(("kind", "words"), WRITTEN)
def test_what_is_written_in_a_file_is_named_with_its_place(kind: WayKind, words: tuple[str, ...]) -> None:
    """No command ends it: whoever edits the file does."""
    told = command(Way(kind=kind, of="nights"))
    assert all(word in told for word in words)


def test_every_kind_of_way_is_proven_here() -> None:
    """A new one is a command that the program has, or a place in a file."""
    assert {kind for kind, *_ in WAYS} ^ {kind for kind, _ in WRITTEN} == set(WayKind)


def test_a_way_that_only_another_version_knows_is_left_out() -> None:
    """In a hold, and among what stands: the rest is told."""
    told = [{"kind": "howl", "of": "7"}, {"kind": "resume", "of": "8"}]
    known = (Way(kind=WayKind.RESUME, of="8"),)
    assert as_standing({"standing": told}) == known
    assert as_standing({}) is None
    assert Holder.model_validate({"guard": "halt", "reason": "x", "ways": told}).ways == known


def test_a_quarantined_target_names_its_release() -> None:
    """What nobody knows the outcome of holds its target until a person releases that."""
    left = Quarantined(target=TARGET, attempt_id=ATTEMPT, reason="nobody can say")
    told = dossier(IncidentState.ESCALATED).model_copy(update={"quarantined": (left,)})
    release = f"responder targets release {TARGET} --reason ..."
    assert release in you_can(told, None, after(60))
    released = left.model_copy(update={"released_at": after(30), "released_by": "ada"})
    told = told.model_copy(update={"quarantined": (released,)})
    assert release not in you_can(told, None, after(60)), "it was released since"


def test_a_halt_over_this_incident_is_told_and_another_is_not() -> None:
    """Over everything, or the part that holds it, with since when, why and how it ends."""
    since = (after(0) - timedelta(seconds=after(0).second)).isoformat()
    halt = {"what": "halt", "id": 7, "scope": ["env"], "actor": "root", "since": since, "reason": "deploy"}
    told = {"by": [halt, {**halt, "id": 8}, {"what": "file", "path": "/a b", "reason": "x"}]}
    first, last = halted_lines(told, HOLD)
    assert first.startswith("HALTED by root since 2026-11-20 23:59 UTC: deploy")
    assert first.endswith("(responder resume --id 7)")
    assert last == "HALTED: x (rm '/a b')"
    assert len(list(halted_lines(told, None))) == 1


def test_what_has_to_fire_for_a_while_yet_says_until_when() -> None:
    """Nothing is judged before. A storm has no alert."""
    waits = dossier(IncidentState.PENDING)
    waits = waits.model_copy(update={"incident": waits.incident.model_copy(update={"deadline": after(600)})})
    told = "is pending, for 1m now: it opens at 00:09:30 UTC, if its alert fires until then."
    assert headline(waits, after(60)).endswith(told)
    storm = waits.incident.model_copy(update={"rule": UMBRELLA.name})
    assert "it opens" not in headline(waits.model_copy(update={"incident": storm}), after(60))


def test_of_several_guards_that_hold_it_the_headline_names_all_and_the_latest_end() -> None:
    """Whoever waits for the first end waits in vain; what has no known end says so."""
    budget = Holder(guard=Guard.BUDGET.value, reason="the budget is spent", over_at=after(3600))
    ours = Holder(guard=Guard.SELF_CAUSED.value, reason="our own attempt", over_at=after(300))
    both = HOLD.model_copy(update={"holders": (ours, budget)})
    held = dossier(IncidentState.HELD, hold=both)
    told = (
        "earliest start 2026-11-21 00:59:30 UTC, held by budget (until 2026-11-21 00:59:30 UTC), our own acts"
    )
    assert told in headline(held, after(0))
    assert list(holder_lines(held, after(0))) == ["held: our own attempt", "held: the budget is spent"]
    with_halt = HOLD.model_copy(update={"holders": (ours, *HOLD.holders)})
    assert "held by halt (no end is known), our own acts (until " in headline(
        dossier(IncidentState.HELD, hold=with_halt), after(0)
    )
    one = dossier(IncidentState.HELD, hold=HOLD)
    said = "halted by root: deploy (halt 7, where env)"
    assert f": {said}; people are told in 10m if nothing changes." in headline(one, after(0))
    assert list(holder_lines(one, after(0))) == []
    stale = dossier(IncidentState.HELD, hold=HOLD.model_copy(update={"stale_at": after(120)}))
    told = f": {said}; people are told in 2m: its alert's last word is too old then."
    assert told in headline(stale, after(0))
