"""The review of whatever an incident can go through: it can be written, and it tells the state as it is."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.cli.steps import Telling, lines_of
from responder.decide.case import Change, Terms
from responder.decide.next_move import next_move
from responder.model.autonomy import Autonomy
from responder.model.incident import Command, CommandKind, IncidentState
from responder.model.rule import Undo
from responder.model.timeline import Entry, EntryDraft, body_hash
from responder.ports import Dossier
from responder.review.explained import explain
from responder.review.write import Form
from tests.support.dossiers import facts_of, review_of
from tests.support.virtual import (
    Died,
    VirtualStore,
    World,
    incident,
    ladder,
    lease_of,
    members,
    perform_on,
)

TERMS = Terms()
FAULTS = ("die before effect", "die after effect", "unreachable", "reachable", "halt", "resume")
ALERTS = ("ends", "fires", "joins", "appear")
EVENTS = st.lists(
    st.one_of(
        st.sampled_from([*FAULTS, *ALERTS]),
        st.sampled_from(list(CommandKind)),
        st.sampled_from([1, 12, 31, 340, 700, 2000, 4000]),
    ),
    max_size=20,
)


@dataclass
class TellingStore(VirtualStore):
    """A virtual store that also keeps the timeline with its times."""

    told: list[tuple[datetime, EntryDraft]] = field(default_factory=list)

    def _apply(self, change: Change) -> None:
        super()._apply(change)
        self.told += [(self.world.now, draft) for draft in change.entries]

    def dossier(self) -> Dossier:
        """Everything about the incident, as the real store would give it."""
        entries = tuple(
            Entry(
                incident_id=self.incident.id,
                number=number,
                at=at,
                **draft.model_dump(include={"kind", "actor", "text", "facts"}),
                body_hash=body_hash(draft.text, draft.facts),
                mac=bytes(32),
                key_id="tests",
            )
            for number, (at, draft) in enumerate(self.told, start=1)
        )
        return Dossier(
            incident=self.incident.model_copy(update={"timeline_length": len(entries)}),
            rule=self.rule.model_dump(mode="json", by_alias=True),
            members=self.members,
            attempts=tuple(self.attempts.values()),
            entries=entries,
        )


def happen(store: TellingStore, event: str | int | CommandKind) -> None:
    """One event from outside, after which the incident is looked at."""
    world, now = store.world, store.world.now
    match event:
        case CommandKind():
            store.command = Command(
                id=UUID(int=1), incident_id=store.incident.id, kind=event, actor="anna", given_at=now
            )
        case int(seconds):
            world.now += timedelta(seconds=seconds)
        case "die before effect" | "die after effect":
            setattr(world, event.replace(" ", "_"), True)
        case "unreachable" | "reachable":
            world.reachable = event == "reachable"
        case "halt" | "resume":
            world.halted = "by the test" if event == "halt" else None
        case "ends":
            store.members = store.members.model_copy(update={"firing": 0})
        case "appear":
            world.present = {"a", "b"}
        case _:
            more = {"firing": store.members.firing + 1, "total": store.members.total + 1}
            store.members = store.members.model_copy(update={**more, "newest_seen_at": now})
    due = store.incident.due_at
    if not isinstance(event, int) and due is not None:
        store.incident = store.incident.model_copy(update={"due_at": min(due, now)})


async def drive(store: TellingStore, *, undoable: bool) -> None:
    """Make moves until the incident waits; a death ends this process, the next call is its restart."""
    perform, lease = perform_on(store, undoable=undoable), lease_of(store)
    for _ in range(60):
        case = await store.load(lease)
        due = case.incident.due_at
        if due is None or due > store.world.now:
            return
        move = next_move(case, store.world.now, TERMS)
        try:
            change = await perform(lease, case, move, store.world.now)
            if change is not None:
                await store.record(lease, case, change)
        except Died:
            return


def telling(store: TellingStore) -> Telling:
    """As `responder explain` tells it now."""
    return Telling(now=store.world.now, incident=store.incident)


@settings(max_examples=120)
@given(
    EVENTS,
    st.sampled_from(list(Undo)),
    st.sampled_from([Autonomy.SHADOW, Autonomy.APPROVE, Autonomy.AUTO]),
    st.integers(0, 2),
    st.sampled_from([1, 1, 3]),
)
def test_the_review_tells_what_happened(
    events: list[str | int | CommandKind], undo: Undo, autonomy: Autonomy, repeat: int, parts: int
) -> None:
    """In every form, the same twice; the last stage is the incident's state, every attempt is told.

    It calls an incident over exactly where it is over: a resolved one always, one that acts or waits never.
    """
    rule = ladder(undo=undo, autonomy=autonomy, repeat=repeat, parts=parts)
    store = TellingStore(World(lasting=parts > 1), rule, incident(), members())

    async def all_of_it() -> None:
        await drive(store, undoable=undo is not Undo.NEVER)
        for event in events:
            happen(store, event)
            await drive(store, undoable=undo is not Undo.NEVER)

    asyncio.run(all_of_it())
    dossier = store.dossier()
    facts = facts_of(dossier)
    assert facts.stages[-1].state is store.incident.state
    assert len(facts.acts) == len(store.attempts)
    if store.incident.state is IncidentState.RESOLVED:
        assert facts.recovered_at == facts.stages[-1].since
    if store.incident.state not in {
        IncidentState.RESOLVED, IncidentState.RECORDED, IncidentState.CLOSED,
    }:  # fmt: skip
        assert facts.recovered_at is None
    told = [line for step in explain(dossier).steps for line in lines_of(step, telling(store))]
    assert sum(line.startswith("started") for _, line in told) == len(store.attempts)
    forms: tuple[Form, ...] = get_args(Form)
    for form in forms:
        assert review_of(dossier, form) == review_of(dossier, form)


def test_the_words_on_a_step_of_several_parts_that_is_taken_again() -> None:
    """How often it may be taken, each part of each time, and what each part was judged as."""
    store = TellingStore(World(lasting=True), ladder(repeat=1, parts=2), incident(), members())
    asyncio.run(drive(store, undoable=False))
    dossier = store.dossier()
    step = explain(dossier).steps[0]
    assert step.action == "test.hit then test.hit"
    lines = [line for _, line in lines_of(step, telling(store))]
    assert lines[0] == "taken up to 2 times, as long as it does not help"
    assert lines[1].endswith("on test/target, part 2, test.hit: done")
    assert lines[2].endswith("on test/target, part 1, test.hit: done")
    assert lines[3] == "only if step 1 has not helped by 00:05:30 UTC"
    assert any(", part 2, test.hit on test/target: every guard let it go" in line for line in lines)
    review = review_of(dossier, "md")
    assert "1 of the ladder, part 2 of it" in review
