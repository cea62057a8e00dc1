"""Why each step of an incident went or did not: what every guard said of it, read from the timeline.

The verdicts are those of the moment, as they were recorded; nothing is judged anew here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from responder.model.attempt import Attempt, Owed, Quarantined, Verdict
from responder.model.base import Frozen
from responder.model.guard import Guard, Ruling, RulingWord, called
from responder.model.incident import Incident, IncidentState
from responder.model.timeline import Entry, EntryKind
from responder.model.way import KnownWays
from responder.ports import Dossier
from responder.review.facts import stages_of


class GuardWord(Frozen):
    """What one guard said.

    `called` is its name for people, `asks` what it looks at, in words; empty for a guard that is no more.
    The rest is as `GuardVerdict` has it.
    """

    guard: str
    called: str
    asks: str
    ruling: RulingWord
    reason: str
    over_at: datetime | None = None
    ways: KnownWays = ()
    shadow: bool = False
    approved: bool = False
    asked: bool = True

    @property
    def against(self) -> bool:
        """Whether it kept the effect from happening."""
        return self.ruling is not Ruling.GO or self.shadow


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _strictness(word: GuardWord) -> tuple[int, bool, float]:
    """What has no known end counts as the longest."""
    lasts = (word.over_at or _EPOCH) - _EPOCH
    return -word.ruling, word.over_at is not None, -lasts.total_seconds()


class Answer(Frozen):
    """What ended a question: a person's command."""

    actor: str
    command: str
    at: datetime


class Judged(Frozen):
    """One judgement, or several in a row that said the same: `times` of them, between two times."""

    action: str
    target: str | None
    ruling: RulingWord
    decided_by: str
    reason: str
    shadow: bool
    observed: bool
    """Whether the target was not looked at, because it is only observed."""
    nothing_to_do: bool
    """Whether every guard let it go, and nothing was found that it would have hit."""
    found_nothing: bool
    """The same of a step in shadow: auto goes on there, shadow ends."""
    words: tuple[GuardWord, ...]
    elements: tuple[str, ...]
    element_count: int
    part: int | None = None
    """Which part of an `all:` was judged, from 0."""
    computed: tuple[str, ...] = ()
    """What relative parameters came to, in words."""
    first_at: datetime
    last_at: datetime
    times: int
    answer: Answer | None = None
    """Of a step that a person was asked for: what came of the question."""
    open: bool = False
    """Whether the incident still waits by it."""

    @property
    def held_by(self) -> tuple[GuardWord, ...]:
        """The guards that kept it from happening: the strictest first, of those that wait the longest."""
        return tuple(sorted((word for word in self.words if word.against), key=_strictness))

    @property
    def let_go(self) -> tuple[GuardWord, ...]:
        """The guards that had nothing against it; what a person's yes let go stands first."""
        free = (word for word in self.words if not word.against and word.asked)
        return tuple(sorted(free, key=lambda word: not word.approved))

    @property
    def not_asked(self) -> tuple[GuardWord, ...]:
        """The guards that had nothing to look at."""
        return tuple(word for word in self.words if not word.against and not word.asked)


class Coming(StrEnum):
    """What becomes of a step that is not under way."""

    NEXT = "next"
    """It is judged next."""
    IF_NEEDED = "if_needed"
    """Only if step `after` has not helped, by `at` where that is known."""
    NOT_NEEDED = "not_needed"
    """The incident is over: step `after` recovered it, or it ended otherwise."""
    QUIET = "quiet"
    """It is suppressed until `at`, and judged then."""
    INHIBITED = "inhibited"
    """`why` is the incident that explains it: it is judged when that is over."""
    IN_HANDS = "in_hands"
    """`who` took the incident over at `at`."""
    HANDED_BACK = "handed_back"
    """People were told, at step `after`: it is judged when they hand it back."""
    BEHIND = "behind"
    """People were told: only after a hand-back, and if step `after` has not helped then."""
    RECORDED = "recorded"
    """It was recorded only, and ended at step `after`."""
    NOTHING_FOUND = "nothing_found"
    """It was recorded only, for in shadow nothing was there that step `after` would have hit."""
    STORM = "storm"
    """It is part of a storm."""


class Prospect(Frozen):
    """What becomes of a step, with whom and what that depends on."""

    coming: Coming
    after: int | None = None
    """A step's number, from 1."""
    at: datetime | None = None
    who: str | None = None
    why: str | None = None


class Read(Frozen):
    """What was read: by a step that only looks, or as evidence. `at` is None where it was not read."""

    action: str
    summary: str = ""
    at: datetime | None = None


class Tried(Attempt):
    """An attempt, and what is known of it beside the ledger."""

    asked_at: datetime | None = None
    """When the target was asked what became of it, since no outcome was recorded."""
    quarantined: Quarantined | None = None
    """Where it left its target quarantined."""
    owed: Owed | None = None
    """Where it is given back later, or was, or is kept."""


class StepTold(Frozen):
    """One step of the ladder: what was judged of it, in order, and the attempts that came of it."""

    number: int
    """From 1."""
    action: str
    judged: tuple[Judged, ...]
    attempts: tuple[Tried, ...]
    repeat: int = 0
    """How often it may be taken again, where it was taken and has not helped."""
    prospect: Prospect | None = None
    """What becomes of it; None for one that was taken, or passed over."""
    read: tuple[Read, ...] = ()
    """What it read, where it only looks."""


class Quiet(Frozen):
    """A time in which the incident was suppressed: nobody was told, nothing was judged."""

    since: datetime
    until: datetime | None
    why: str


class Explanation(Frozen):
    """Every step of the incident's ladder, in order."""

    steps: tuple[StepTold, ...]
    quiet: tuple[Quiet, ...] = ()
    evidence: tuple[Read, ...] = ()
    """What the rule reads beside its steps, each as it was read last."""


def explain(dossier: Dossier) -> Explanation:
    """What every guard said of every step."""
    entries = sorted(dossier.entries, key=lambda entry: entry.number)
    answers = _answers(entries)
    told = [(entry, answers.get(entry.number)) for entry in entries if entry.kind is EntryKind.JUDGED]
    tried = tuple(_tried(dossier, entries))
    steps = []
    for index, step in enumerate(dossier.rule.get("steps", ())):
        judged = _runs(_judged(entry, answer) for entry, answer in told if entry.facts.get("step") == index)
        steps.append(
            StepTold(
                number=index + 1,
                action=_action(step),
                judged=_opened(tuple(judged), dossier.incident, index),
                attempts=tuple(one for one in tried if one.step == index),
                repeat=int(step.get("repeat", 0)),
                prospect=_prospect(dossier, entries, index),
                read=tuple(_read(one) for one in entries if _looked(one) and one.facts["step"] == index),
            )
        )
    evidence = _evidence(dossier.rule.get("evidence", ()), entries)
    return Explanation(steps=tuple(steps), quiet=tuple(_quiet(dossier, entries)), evidence=tuple(evidence))


def _tried(dossier: Dossier, entries: Iterable[Entry]) -> Iterator[Tried]:
    effects = (one for one in entries if one.kind is EntryKind.EFFECT and one.facts.get("asked"))
    asked = {str(one.facts.get("attempt")): one.at for one in effects}
    lost = {one.attempt_id: one for one in dossier.quarantined}
    owed = {one.attempt_id: one for one in dossier.owed}
    for one in dossier.attempts:
        yield Tried(
            **dict(one),
            asked_at=asked.get(str(one.id)),
            quarantined=lost.get(one.id),
            owed=owed.get(one.id),
        )


def _action(step: Mapping[str, Any]) -> str:
    """That of a step; of an `all:` those of its parts in their order."""
    parts = step.get("all", [step])
    return " then ".join(str(part.get("action", "")) for part in parts)


# --- what was read -------------------------------------------------------------------------------------


def _looked(entry: Entry) -> bool:
    """Whether a step of the ladder that only looks has told what it saw, or why it saw nothing."""
    return entry.kind in {EntryKind.EVIDENCE, EntryKind.ERROR} and "step" in entry.facts


def _evidence(steps: Iterable[Mapping[str, Any]], entries: Iterable[Entry]) -> Iterator[Read]:
    """Each evidence step with what it read last; of several of one action those that came last."""
    actions = [str(step.get("action", "")) for step in steps]
    told = [one for one in entries if one.kind is EntryKind.EVIDENCE and "step" not in one.facts]
    for action in dict.fromkeys(actions):
        number = actions.count(action)
        read = [_read(one) for one in told if one.facts.get("action") == action][-number:]
        yield from (*read, *[Read(action=action)] * (number - len(read)))


def _read(entry: Entry) -> Read:
    facts = entry.facts
    return Read(
        action=str(facts.get("action", "")), summary=str(facts.get("summary", entry.text)), at=entry.at
    )


# --- what becomes of a step ----------------------------------------------------------------------------


def _prospect(dossier: Dossier, entries: Iterable[Entry], index: int) -> Prospect | None:
    incident = dossier.incident
    step = incident.progress.step
    verifies = incident.state is IncidentState.VERIFYING
    if verifies and index == step - 1 and may_be_repeated(dossier):
        return _if_needed(dossier)
    if index < step:
        return None
    match incident.state:
        case IncidentState.RESOLVED | IncidentState.CLOSED:
            return _over(dossier, entries)
        case IncidentState.TAKEN_OVER:
            who = incident.progress.taken_over_by
            return Prospect(coming=Coming.IN_HANDS, at=incident.state_since, who=who)
        case IncidentState.ESCALATED if index > step:
            return Prospect(coming=Coming.BEHIND, after=index)
        case IncidentState.ESCALATED:
            return Prospect(coming=Coming.HANDED_BACK, after=_last_begun(dossier, entries))
        case IncidentState.RECORDED:
            return Prospect(coming=_recorded(incident, entries), after=_last_begun(dossier, entries))
        case _ if index > step:
            return Prospect(coming=Coming.IF_NEEDED, after=index)
        case IncidentState.VERIFYING:
            return _if_needed(dossier)
        case IncidentState.SUPPRESSED:
            progress = incident.progress
            if progress.inhibited is not None:
                return Prospect(coming=Coming.INHIBITED, why=str(progress.inhibited))
            at = incident.deadline if progress.maintenance else None
            return Prospect(coming=Coming.QUIET, at=at, why=progress.maintenance)
        case _:
            return Prospect(coming=Coming.NEXT)


def may_be_repeated(dossier: Dossier) -> bool:
    """Whether the step that is verified is taken again if it has not helped."""
    running, progress = dossier.incident.progress.verification, dossier.incident.progress
    tried = [one for one in dossier.attempts if running is not None and one.id == running.attempt_id]
    steps = dossier.rule.get("steps", ())
    if not tried or tried[0].step >= len(steps):
        return False
    return bool(1 <= progress.taken <= steps[tried[0].step].get("repeat", 0))


def _recorded(incident: Incident, entries: Iterable[Entry]) -> Coming:
    if incident.progress.part_of is not None:
        return Coming.STORM
    judged = [one.facts for one in entries if one.kind is EntryKind.JUDGED]
    return Coming.NOTHING_FOUND if judged and _found_nothing(judged[-1]) else Coming.RECORDED


def _last_begun(dossier: Dossier, entries: Iterable[Entry]) -> int | None:
    """The number of the last step that was judged or taken."""
    judged = [one.facts.get("step") for one in entries if one.kind is EntryKind.JUDGED]
    begun = [step for step in judged if isinstance(step, int)]
    return max([*begun, *(one.step for one in dossier.attempts)], default=-1) + 1 or None


_ENDS = {IncidentState.RESOLVED.value, IncidentState.RECORDED.value}


def _over(dossier: Dossier, entries: Iterable[Entry]) -> Prospect:
    """The step that recovered it last, or how it ended; what fired again was not recovered by that."""
    again = [one.at for one in entries if one.kind is EntryKind.STATE and _reopens(one.facts)]
    since = max(again, default=dossier.incident.opened_at)
    helped = [
        one for one in dossier.attempts if one.verdict is Verdict.RECOVERED and one.intended_at >= since
    ]
    last = max((one.step + 1 for one in helped), default=None)
    return Prospect(coming=Coming.NOT_NEEDED, after=last, why=dossier.incident.progress.outcome)


def _reopens(facts: Mapping[str, Any]) -> bool:
    return facts.get("from") in _ENDS and facts.get("to") not in {*_ENDS, IncidentState.CLOSED.value}


def _if_needed(dossier: Dossier) -> Prospect:
    incident: Incident = dossier.incident
    running = incident.progress.verification
    if running is None:
        return Prospect(coming=Coming.NEXT)
    tried = [one.step + 1 for one in dossier.attempts if one.id == running.attempt_id]
    after = tried[0] if tried else incident.progress.step or None
    return Prospect(coming=Coming.IF_NEEDED, after=after, at=running.deadline)


def _quiet(dossier: Dossier, entries: Sequence[Entry]) -> Iterator[Quiet]:
    for stage in stages_of(entries, dossier.incident.opened_at, ""):
        if stage.state is IncidentState.SUPPRESSED:
            yield Quiet(since=stage.since, until=stage.until, why=stage.why)


# --- what was judged -----------------------------------------------------------------------------------


def _runs(judged: Iterable[Judged]) -> Iterator[Judged]:
    """Judgements in a row that say the same become one; what was answered is asked anew after it."""
    before: Judged | None = None
    for one in judged:
        if before is not None and _alike(before, one):
            before = one.model_copy(update={"first_at": before.first_at, "times": before.times + 1})
            continue
        if before is not None:
            yield before
        before = one
    if before is not None:
        yield before


def _alike(one: Judged, other: Judged) -> bool:
    """By who says what, not by the words: these may count down."""

    def said(judged: Judged) -> Any:
        words = [(w.guard, w.ruling, w.ways) for w in judged.words]
        found = judged.shadow, judged.observed, judged.nothing_to_do
        return judged.action, judged.target, found, words

    return one.answer is None and bool(said(one) == said(other))


_WAITS = {IncidentState.AWAITING_APPROVAL: Ruling.ASK, IncidentState.HELD: Ruling.WAIT}


def _opened(judged: tuple[Judged, ...], incident: Incident, index: int) -> tuple[Judged, ...]:
    """The last judgement of the step that the incident waits before still stands."""
    waits = _WAITS.get(incident.state)
    if not judged or index != incident.progress.step or judged[-1].ruling is not waits:
        return judged
    return (*judged[:-1], judged[-1].model_copy(update={"open": True}))


_ANSWERS = {"approve", "decline", "take_over", "close"}


def _answers(entries: Iterable[Entry]) -> Mapping[int, Answer]:
    """The word of a person that ended each question, by the number of the judgement that asked.

    A word that changed nothing ended none, nor does one that comes when the question is over.
    """
    answers: dict[int, Answer] = {}
    asked: int | None = None
    for entry in entries:
        match entry.kind:
            case EntryKind.JUDGED:
                asked = entry.number if _asks(entry.facts) else None
            case EntryKind.STATE if entry.facts.get("from") == IncidentState.AWAITING_APPROVAL:
                asked = None
            case EntryKind.PERSON if asked is not None and _ends_a_question(entry.facts):
                answers[asked] = Answer(actor=entry.actor, command=str(entry.facts["command"]), at=entry.at)
                asked = None
    return answers


def _asks(facts: Mapping[str, Any]) -> bool:
    """Whether a person was really asked: in shadow nobody is."""
    return _ruling(facts) is Ruling.ASK and not facts.get("shadow") and not facts.get("nothing_to_do")


def _ends_a_question(facts: Mapping[str, Any]) -> bool:
    return facts.get("command") in _ANSWERS and facts.get("changed") is not False


def _judged(entry: Entry, answer: Answer | None) -> Judged:
    facts = entry.facts
    return Judged(
        action=str(facts.get("action", "")),
        target=facts.get("target"),
        ruling=_ruling(facts),
        decided_by=str(facts.get("decided_by", "")),
        reason=str(facts.get("reason", entry.text)),
        shadow=bool(facts.get("shadow")),
        observed=bool(facts.get("observed")),
        nothing_to_do=bool(facts.get("nothing_to_do")),
        found_nothing=_found_nothing(facts),
        words=words_of(entry),
        computed=tuple(facts.get("computed", ())),
        part=facts.get("part"),
        elements=tuple(facts.get("elements", ())),
        element_count=int(facts.get("element_count", 0)),
        first_at=entry.at,
        last_at=entry.at,
        times=1,
        answer=answer,
    )


def _found_nothing(facts: Mapping[str, Any]) -> bool:
    """Whether shadow alone was against a step that was looked at, and nothing was there to act on."""
    looked = bool(facts.get("shadow")) and not facts.get("observed") and _ruling(facts) is Ruling.GO
    return looked and not facts.get("element_count")


def words_of(entry: Entry) -> tuple[GuardWord, ...]:
    """What each guard said in one judgement."""
    return tuple(_word(verdict) for verdict in entry.facts.get("verdicts", ()))


_KNOWN = {guard.value: guard for guard in Guard}


def _word(verdict: Mapping[str, Any]) -> GuardWord:
    name = str(verdict.get("guard", ""))
    guard = _KNOWN.get(name)
    return GuardWord(
        guard=name,
        called=called(name),
        asks="" if guard is None else guard.asks,
        ruling=_ruling(verdict),
        reason=str(verdict.get("reason", "")),
        over_at=verdict.get("over_at"),
        ways=verdict.get("ways", ()),
        shadow=bool(verdict.get("shadow")),
        approved=bool(verdict.get("approved")),
        asked=not verdict.get("not_asked"),
    )


def _ruling(facts: Mapping[str, Any]) -> Ruling:
    """A redacted entry has no verdict any more: nothing was against it that we can name."""
    return Ruling[str(facts.get("ruling", "go")).upper()]
