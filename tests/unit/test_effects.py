"""Between the intent and the verdict: what may still start, what is believed, what is taken back."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.decide import changes
from responder.decide.case import LedgerQuestion, LedgerView, SourceView, TakeStep, Terms
from responder.decide.clock import Unsteady
from responder.model.attempt import Outcome, Verdict
from responder.model.errors import DeposedError, StoreAwayError, UnknownTargetError
from responder.model.incident import CommandKind, IncidentState
from responder.model.rule import Undo
from responder.model.severity import Severity
from responder.model.target import Target
from responder.model.timeline import EntryKind
from tests.support import virtual
from tests.support.virtual import (
    START,
    Hit,
    HitParams,
    HitState,
    VirtualStore,
    World,
    incident,
    ladder,
    lease_of,
    member,
    members,
    perform_on,
)

TERMS = Terms()


def a_store(undo: Undo = Undo.NEVER) -> VirtualStore:
    """A fresh incident over a fresh world."""
    return VirtualStore(World(), ladder(undo=undo), incident(), members())


def cut_off_between_two_elements() -> VirtualStore:
    """The process died after the first of two effects; somebody looks at the incident at once."""
    store = a_store()
    store.world.die_after_effect = True
    drive(store)
    store.incident = store.incident.model_copy(update={"due_at": store.world.now})
    return store


def drive(store: VirtualStore, **parts: Any) -> None:
    """Make moves until the incident has to wait, or the process dies."""
    asyncio.run(virtual.drive(store, **parts))


def said(store: VirtualStore, kind: EntryKind) -> list[str]:
    """What the timeline tells of that kind."""
    return [entry.text for change in store.changes for entry in change.entries if entry.kind is kind]


def test_an_effect_that_never_starts_in_time_is_told_to_a_person() -> None:
    """Three intents whose window is over before the effect: nothing ran, and a person hears of it."""
    store = a_store()
    store.world.late_s = 6
    drive(store)
    assert store.world.effects == []
    assert [attempt.outcome for attempt in store.attempts.values()] == [Outcome.NOT_DONE] * 3
    assert store.incident.state is IncidentState.ESCALATED
    assert "could not be started, 3 times in a row" in said(store, EntryKind.ESCALATION)[-1]
    assert store.claim_ is None


def test_a_deposed_process_starts_no_effect() -> None:
    """Taken over between its intent and its effect: nothing runs."""
    store = a_store()
    store.world.deposed = True
    drive(store)
    assert store.world.effects == []
    assert all(attempt.outcome is Outcome.NOT_DONE for attempt in store.attempts.values())


def test_a_halt_file_stops_the_effects_that_have_not_started(tmp_path: Path) -> None:
    """A file that is there before the second element lets the first effect stand and the second not start."""
    store = a_store()
    store.world.file = tmp_path / "halt"
    drive(store, halt_file=store.world.file)
    (attempt,) = store.attempts.values()
    assert [element for _, element in store.world.effects] == ["a"]
    assert [result.outcome for result in attempt.results] == [Outcome.DONE, Outcome.NOT_DONE]
    assert "halted before the effect" in attempt.results[1].detail


def test_after_a_jump_of_the_clock_a_step_waits_and_the_timeline_says_why() -> None:
    """Held until the time that the jump left, in its words; then the step is taken."""
    store = a_store()
    until = START + timedelta(seconds=15)
    store.world.unsteady = Unsteady(reason="the database's clock jumped ahead by 3h", until=until)
    drive(store)
    assert (store.world.effects, store.incident.state) == ([], IncidentState.HELD)
    assert store.incident.due_at == until
    assert "the database's clock jumped ahead by 3h" in said(store, EntryKind.JUDGED)[-1]
    store.world.unsteady, store.world.now = None, until
    drive(store)
    assert len(store.world.effects) == 2


def test_a_jump_between_judging_and_intent_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intent is lost, nothing happens, and the next look finds the reason."""
    store = a_store()
    look = store.ledger_view

    async def steady_at_first(*of: Any) -> LedgerView:
        seen = await look(*of)
        store.world.unsteady = Unsteady(reason="it jumped", until=START + timedelta(seconds=15))
        return seen

    monkeypatch.setattr(store, "ledger_view", steady_at_first)
    drive(store)
    assert (store.world.effects, store.incident.state) == ([], IncidentState.HELD)
    assert "it jumped" in said(store, EntryKind.JUDGED)[-1]


def test_after_an_effect_without_answer_no_further_one_is_tried() -> None:
    """The first element is unknown: the second is left alone, the target is quarantined, a person hears."""
    store = a_store()
    store.world.unsure = "a"
    drive(store)
    (attempt,) = store.attempts.values()
    assert [element for _, element in store.world.effects] == ["a"]
    assert [result.outcome for result in attempt.results] == [Outcome.UNKNOWN, Outcome.NOT_DONE]
    assert store.claim_ is not None
    assert store.claim_.quarantined


def test_no_is_believed_only_when_the_effect_can_no_longer_run() -> None:
    """After a crash "it did not happen" waits for start window, the step's timeout and the server's limit."""
    store = a_store()
    store.world.die_before_effect = True
    drive(store)
    store.incident = store.incident.model_copy(update={"due_at": store.world.now})
    drive(store)
    # 5 s start window, 5 s timeout of the step, 5 s server-side limit of the action
    assert store.incident.due_at == START + timedelta(seconds=15)
    assert len(store.attempts) == 1
    store.world.now = START + timedelta(seconds=15)
    drive(store)
    assert [attempt.outcome for attempt in store.attempts.values()] == [Outcome.NOT_DONE, Outcome.DONE]


def test_a_no_for_one_element_is_waited_for_as_a_no_for_all() -> None:
    """Cut off between two elements: that the second was spared is believed when it can no longer be hit."""
    store = cut_off_between_two_elements()
    drive(store)
    assert store.incident.due_at == START + timedelta(seconds=15)
    assert [attempt.outcome for attempt in store.attempts.values()] == [Outcome.STARTED]
    store.world.now = START + timedelta(seconds=15)
    drive(store)
    (attempt,) = store.attempts.values()
    assert [result.outcome for result in attempt.results] == [Outcome.DONE, Outcome.NOT_DONE]


def test_a_no_for_one_element_of_an_effect_without_a_fence_is_unknown() -> None:
    """Whatever became of the others: nobody can say of this one, so the target is quarantined."""
    store = cut_off_between_two_elements()
    store.attempts = {
        key: attempt.model_copy(update={"fenced": False}) for key, attempt in store.attempts.items()
    }
    store.world.now = START + timedelta(seconds=15)
    drive(store)
    (attempt,) = store.attempts.values()
    assert [result.outcome for result in attempt.results] == [Outcome.DONE, Outcome.UNKNOWN]
    assert store.claim_ is not None
    assert store.claim_.quarantined


def test_what_is_taken_back_keeps_its_own_verdict() -> None:
    """Not recovered: the attempt says so itself, and its undo, having happened, has none."""
    store = a_store(Undo.IF_NOT_RECOVERED)
    drive(store, undoable=True)
    store.world.present = {"a"}
    store.world.now += timedelta(minutes=7)
    drive(store, undoable=True)
    first, undo, *_ = store.attempts.values()
    assert (first.verdict, undo.undo_of, undo.verdict) == (Verdict.NOT_RECOVERED, first.id, None)


def test_an_undo_that_did_not_happen_is_owed() -> None:
    """An undo whose every element is not done is no undo: a person is told, the target is quarantined."""
    store = a_store(Undo.IF_NOT_RECOVERED)
    drive(store, undoable=True)
    store.world.present = {"a"}
    store.world.refuses = True
    store.world.now += timedelta(minutes=7)
    drive(store, undoable=True)
    assert store.incident.state is IncidentState.ESCALATED
    assert "did not happen" in said(store, EntryKind.ESCALATION)[-1]
    assert store.claim_ is not None
    assert store.claim_.quarantined


def test_an_undo_that_cannot_even_be_looked_at_leaves_a_quarantine() -> None:
    """What fails until the deadline is told to a person, who can release the target."""
    store = a_store(Undo.IF_NOT_RECOVERED)
    drive(store, undoable=True)
    store.world.broken = True
    for minutes in (7, 6):
        store.world.now += timedelta(minutes=minutes)
        drive(store, undoable=True)
    assert store.incident.state is IncidentState.ESCALATED
    assert store.claim_ is not None
    assert "nobody foresaw this" in store.claim_.reason
    assert store.claim_.quarantined


def test_a_person_who_takes_over_frees_a_target_whose_undo_is_owed() -> None:
    """Taken over while an undo is owed: the person has the target, automation owes nothing any more."""
    store = a_store(Undo.IF_NOT_RECOVERED)
    drive(store, undoable=True)
    case = asyncio.run(store.load(lease_of(store)))
    assert case.holds
    progress = case.incident.progress.model_copy(
        update={"verification": None, "take_back": next(iter(store.attempts))}
    )
    owed = case.incident.model_copy(update={"state": IncidentState.OPEN, "progress": progress})
    store.incident = owed
    store.say(CommandKind.TAKE_OVER, "ada")
    drive(store, undoable=True)
    assert (store.incident.state, store.claim_) == (IncidentState.TAKEN_OVER, None)
    assert store.incident.progress.take_back is None


def test_a_hold_goes_on_after_a_suppression() -> None:
    """Held, silenced for a minute, held again: the deadline moves by that minute, and does not start anew."""
    store = a_store()
    store.world.halted = "by the test"
    drive(store)
    held = store.incident.progress.hold
    assert held is not None
    case = asyncio.run(store.load(lease_of(store)))
    suppressed = case.incident.model_copy(
        update={"state": IncidentState.SUPPRESSED, "state_since": START + timedelta(seconds=10)}
    )
    case = case.model_copy(update={"incident": suppressed})
    change = changes.unsuppressed(case, START + timedelta(seconds=70), TERMS, "no longer silenced")
    assert change.progress.hold is not None
    assert change.progress.hold.deadline == held.deadline + timedelta(seconds=60)


def test_an_undos_parameters_are_not_bound_again() -> None:
    """A label value that looks like a reference stays what the alert said."""
    store = a_store(Undo.IF_NOT_RECOVERED)
    store.world.undo_note = "$labels.alertname"
    drive(store, undoable=True)
    store.world.present = {"a"}
    store.world.now += timedelta(minutes=7)
    drive(store, undoable=True)
    _, undo, *_ = store.attempts.values()
    assert undo.params["note"] == "$labels.alertname"


def test_what_dies_at_each_start_is_told_to_a_person() -> None:
    """A process that ends at every effect proves three times that nothing ran; then it is a person's."""
    store = a_store()
    for _ in range(3):
        store.world.die_before_effect = True
        drive(store)
        store.world.now += timedelta(minutes=1)
        store.incident = store.incident.model_copy(update={"due_at": store.world.now})
    drive(store)
    assert [attempt.outcome for attempt in store.attempts.values()] == [Outcome.NOT_DONE] * 3
    assert store.incident.state is IncidentState.ESCALATED
    assert "could not be started, 3 times in a row" in said(store, EntryKind.ESCALATION)[-1]


def test_a_ledger_that_cannot_be_read_lets_nothing_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what was done, here and nearby, and what holds: without an answer it is a halt."""

    async def away(*_: object) -> None:
        raise StoreAwayError("by the test")

    store = a_store()
    monkeypatch.setattr(store, "ledger_view", away)
    drive(store)
    assert (store.incident.state, store.world.effects) == (IncidentState.HELD, [])
    assert store.incident.progress.hold is not None
    assert store.incident.progress.hold.guard == "halt"


def test_only_what_was_done_shortly_before_an_incident_may_have_caused_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked for as long as the time in which it could have is not over; later only its own limits count."""
    store, asked = a_store(), []
    look = store.ledger_view

    async def noted(question: LedgerQuestion, *more: Any) -> LedgerView:
        asked.append((question.acts_since, question.now))
        return await look(question, *more)

    monkeypatch.setattr(store, "ledger_view", noted)
    store.world.halted = "by the test"
    drive(store)
    within = TERMS.self_caused_within
    assert asked == [(now - within, now) for _, now in asked]
    asked.clear()
    store.world.now = store.incident.opened_at + within
    store.incident = store.incident.model_copy(update={"due_at": store.world.now})
    drive(store)
    assert [since for since, _ in asked] == [None]


def test_an_attempt_that_did_not_help_never_ends_in_shadow_silently() -> None:
    """The first step acted and did not help, the second may only shadow: a person is told, it stays live."""
    store = a_store()
    drive(store)
    store.promoted = None
    store.world.now += timedelta(minutes=7)
    store.world.present = {"a"}
    drive(store)
    assert store.incident.state is IncidentState.ESCALATED
    assert "may not act" in said(store, EntryKind.ESCALATION)[-1]


def test_a_worse_alert_shortens_what_waits_for_a_person() -> None:
    """Held as P3, then a P0 joins: told, and escalated after P0's response time, not P3's."""
    store = a_store()
    store.incident = store.incident.model_copy(update={"severity": Severity.P3})
    store.world.halted = "by the test"
    drive(store)
    worse = {"severity": Severity.P0, "due_at": store.world.now}
    store.incident = store.incident.model_copy(update=worse)
    drive(store)
    assert "it is P0 now, no longer P3: a worse alert joined" in said(store, EntryKind.ALERT)
    store.world.now += timedelta(minutes=15)
    drive(store)
    assert store.incident.state is IncidentState.ESCALATED


def test_an_alert_that_joins_after_the_last_step_withdraws_the_acknowledgement() -> None:
    """Escalated and acknowledged, no step left: a new alert is told, and is not acknowledged."""
    store = a_store()
    store.rule = ladder(steps=1)
    drive(store)
    store.world.now += timedelta(minutes=7)
    drive(store)
    store.say(CommandKind.ACKNOWLEDGE, "ada")
    drive(store)
    assert store.incident.progress.acknowledged_by == "ada"
    joined = {"firing": 2, "total": 2}
    store.members = store.members.model_copy(update=joined)
    store.incident = store.incident.model_copy(update={"due_at": store.world.now})
    drive(store)
    assert store.incident.progress.acknowledged_by is None
    assert (store.incident.progress.escalations, len(said(store, EntryKind.ESCALATION))) == (1, 2)


def test_what_became_good_before_the_deadline_recovers_after_it() -> None:
    """Ended just before the deadline, by the source alone: recovered, and without a busy loop."""
    store = a_store()
    store.members = store.members.model_copy(update={"sample": (member(),)})
    drive(store)
    store.world.source = SourceView(configured=True, firing=1)
    store.world.now += timedelta(minutes=5)
    drive(store)
    store.world.source = SourceView(configured=True, absent=1)
    looks = 0
    while store.incident.state is IncidentState.VERIFYING:
        assert store.incident.due_at is not None
        assert store.incident.due_at > store.world.now
        store.world.now = store.incident.due_at
        drive(store)
        looks += 1
    assert store.incident.state is IncidentState.RESOLVED, said(store, EntryKind.VERIFICATION)
    assert looks < 20


@pytest.mark.parametrize("recorded", [True, False, DeposedError("by the test")], ids=["yes", "no", "deposed"])
async def test_no_intent_before_what_led_to_it_is_recorded(
    recorded: bool | DeposedError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record waits until the step has looked; where it fails, nothing is intended and nothing done."""
    store, looked = a_store(), asyncio.Event()
    look = Hit.look

    async def watched(self: Hit, params: HitParams, target: Target) -> HitState:
        looked.set()
        return await look(self, params, target)

    async def record() -> bool:
        async with asyncio.timeout(5):
            await looked.wait()
        if isinstance(recorded, DeposedError):
            raise recorded
        assert not store.attempts
        return recorded

    monkeypatch.setattr(Hit, "look", watched)
    lease = lease_of(store)
    acting = perform_on(store)(lease, await store.load(lease), TakeStep(index=0), START, record)
    if isinstance(recorded, DeposedError):
        with pytest.raises(DeposedError):
            await acting
    else:
        assert (await acting is not None) is recorded
    assert bool(store.attempts) is bool(store.world.effects) is (recorded is True)


def test_a_target_that_nothing_knows_is_refused_with_where_it_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """People are told, and the key of the settings stands with the verdict, as a way to mend it."""

    def unknown(*_: object) -> tuple[Target, ...]:
        raise UnknownTargetError("no connection fits", "inventory.postgres")

    monkeypatch.setattr(Hit, "resolve", unknown)
    store = a_store()
    drive(store)
    assert store.incident.state is IncidentState.ESCALATED
    entries = [entry for change in store.changes for entry in change.entries]
    [judged] = [entry for entry in entries if entry.kind is EntryKind.JUDGED]
    [refused] = [one for one in judged.facts["verdicts"] if one["ruling"] == "refuse"]
    assert refused["reason"] == "no connection fits"
    assert refused["ways"] == [{"kind": "add_target", "of": "inventory.postgres"}]
