"""What can be done at an Alertmanager: silence what is known of, and take a silence back.

A silence is recognised for ever by what stands in it: `createdBy` is ours, and the comment has the attempt.
So an attempt makes none twice, and it is found after a crash. Alertmanager has no way to make one only if it
is not too late, so the effect is not fenced: what nobody finds after a crash counts as unknown.

The target is a set of conditions at one cluster, not the whole cluster: two incidents that silence different
alerts are not in each other's way.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, Field

from responder.actions.base import ChangingAction, Clients
from responder.actions.parameters import AtMost, Name, Number
from responder.clients.alertmanager import Alertmanager, KnownAlert, Silence, SilenceMatcher
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen, digest
from responder.model.duration import PositiveDuration, format_duration
from responder.model.errors import TemporaryError
from responder.model.rule import StepKind
from responder.model.silence import CREATED_BY, attempt_mark, incident_mark
from responder.model.target import Element, State, Target
from responder.ports import UndoStep

_LONGEST = timedelta(hours=24)
_AT_ONCE = 20
_NAMED = 20
"""How many alerts of one silence are pinned: enough to see that it still means the same."""
_DEADLINE = timedelta(seconds=15)
_LIVE = ("active", "pending")


def _bounded(value: timedelta) -> timedelta:
    if value > _LONGEST:
        raise ValueError(
            f"a silence may last for {format_duration(_LONGEST)} at most; people make longer ones"
        )
    return value


def _telling(value: dict[str, str]) -> dict[str, str]:
    if not value.get("alertname"):
        raise ValueError("a silence needs the alert's name; add `alertname: $labels.alertname`")
    if empty := [name for name, text in value.items() if not text]:
        raise ValueError(f"an empty {empty[0]} would silence alerts without that label; give a value")
    return value


def _some(value: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
    if not 1 <= len(value) <= _AT_ONCE:
        raise ValueError(f"give 1 to {_AT_ONCE} sets of labels, each for one silence")
    return value


Conditions = Annotated[dict[str, str], AfterValidator(_telling)]
"""Labels that an alert must have, each with exactly this value."""
_MATCHERS = Field(
    description="One silence for each: the labels that an alert must have, `alertname` among them.",
)
SetsOfConditions = Annotated[tuple[Conditions, ...], AfterValidator(_some)]
_SOURCE = Field(
    default=None, description="The source whose Alertmanager it is; may be left out where only one has any."
)


class SilenceParams(Frozen):
    """What `alertmanager.silence` takes."""

    source: Name | None = _SOURCE
    matchers: SetsOfConditions = _MATCHERS
    lasts: Annotated[PositiveDuration, AfterValidator(_bounded)] = Field(
        description="How long; at most 24h. Nothing is silenced without an end."
    )
    covers_at_most: Annotated[Number, Field(ge=1, le=10_000)] = Field(
        default=100, description="Where one of them would silence more alerts than this, none is made."
    )
    at_most: AtMost = 1


class Seen(Frozen):
    """One alert that a silence would cover."""

    fingerprint: str
    starts_at: datetime | None


class Covered(Frozen):
    """What one set of conditions covers now."""

    matchers: dict[str, str]
    alerts: int
    audible: int
    """How many of them no silence covers yet."""
    named: tuple[Seen, ...]
    """The newest of these."""


class SilenceState(State):
    """What would be silenced, and which of our silences with the same conditions stand already."""

    covered: tuple[Covered, ...]
    standing: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Each set of conditions, with how many alerts it covers."""
        return "; ".join(
            f"{_words(one.matchers)}: {one.alerts} alerts, {one.audible} of them not silenced"
            for one in self.covered
        )


class ExpireParams(Frozen):
    """What `alertmanager.expire_silence` takes."""

    source: Name | None = _SOURCE
    matchers: SetsOfConditions = _MATCHERS
    other_than: tuple[str, ...] = Field(default=(), description="Ids of silences that stay.")
    at_most: AtMost = 1


class StandingSilence(Frozen):
    """One silence of ours."""

    id: str
    matchers: dict[str, str]
    ends_at: datetime | None


class StandingState(State):
    """Our silences with these conditions that have not ended."""

    silences: tuple[StandingSilence, ...]

    @property
    def summary(self) -> str:
        """How many stand."""
        return f"{len(self.silences)} silences of the responder stand"


class MakeSilence(ChangingAction[SilenceParams, SilenceState]):
    """Silences alerts at an Alertmanager, by exact labels and for a time.

    The silence says in its comment which rule, incident and attempt made it. It is made only where an alert
    that it covers fires and is not silenced yet. It does not hold back the rest of the incident's own ladder;
    other incidents are suppressed by it as by any silence. Its undo ends it.
    """

    name: ClassVar[str] = "alertmanager.silence"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = _DEADLINE
    undoable: ClassVar[bool] = True
    Params: ClassVar[type[Frozen]] = SilenceParams

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients)
        self._clusters = clients.alertmanagers
        self._attempts = clients.attempts

    def resolve(self, params: SilenceParams) -> tuple[Target, ...]:
        """These conditions at the cluster."""
        return (_target(self._clusters.find(params.source), params.matchers),)

    async def look(self, params: SilenceParams, target: Target) -> SilenceState:
        """What the conditions cover now, by every peer that answers."""
        name = target.name
        covered = []
        for matchers in params.matchers:
            alerts = await _alerts(self._clusters.peers(name), matchers)
            covered.append(_covered(matchers, alerts))
        silences = await _silences(self._clusters.peers(name))
        standing = sorted(one.id for one in silences if _ours(one, params.matchers))
        return SilenceState(
            ground=(f"alertmanager/{name}",), covered=tuple(covered), standing=tuple(standing)
        )

    def pin(self, params: SilenceParams, state: SilenceState) -> tuple[Element, ...]:
        """A silence for each set of conditions that covers an alert which is not silenced."""
        del params
        return tuple(_element(one) for one in state.covered if one.audible)

    def at_most(self, params: SilenceParams) -> int:
        """The rule's own number."""
        return params.at_most

    def refuse(self, params: SilenceParams, state: SilenceState) -> str | None:
        """Not where more alerts would be silenced than the rule allows."""
        for one in state.covered:
            if one.alerts > params.covers_at_most:
                return f"{_words(one.matchers)} covers {one.alerts} alerts, more than {params.covers_at_most}"
        return None

    async def run(
        self, target: Target, element: Element, params: SilenceParams, state: SilenceState, attempt_id: UUID
    ) -> ElementOutcome:
        """Make one silence, unless this attempt has made it, or nothing that was pinned fires audibly."""
        del state
        pinned = Covered.model_validate(element.facts)
        for peer in self._clusters.peers(target.name):
            try:
                made = _made_by(await peer.silences(), attempt_id, element.key)
                alerts = await _alerts((peer,), pinned.matchers)
                now = (await peer.status()).now
            except TemporaryError:
                continue
            if made is not None:
                return _outcome(element, Outcome.DONE, f"silence {made.id} is there already")
            if not _still(pinned, _covered(pinned.matchers, alerts)):
                return _outcome(
                    element, Outcome.NOT_DONE, "what it was for has ended, or is silenced already"
                )
            return await self._make(target, element, pinned, now, now + params.lasts, attempt_id, peer)
        return _outcome(element, Outcome.NOT_DONE, f"no peer of {target.name} answered")

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """Whether a peer has the silence that names this attempt; no only where all answered."""
        return tuple([await self._found(attempt.target, one, attempt.id) for one in attempt.elements])

    def undo(self, params: SilenceParams, state_before: Mapping[str, Any]) -> UndoStep | None:
        """The end of what was made since: what stood before stays."""
        given = {
            "source": params.source,
            "matchers": [dict(one) for one in params.matchers],
            "other_than": list(state_before.get("standing", ())),
            "at_most": params.at_most,
        }
        return UndoStep(ExpireSilence.name, given)

    async def _make(
        self,
        target: Target,
        element: Element,
        pinned: Covered,
        starts_at: datetime,
        ends_at: datetime,
        attempt_id: UUID,
        peer: Alertmanager,
    ) -> ElementOutcome:
        comment = await self._comment(attempt_id, element.key)
        try:
            made = await peer.silence(_matchers(pinned.matchers), starts_at, ends_at, CREATED_BY, comment)
        except TemporaryError as error:
            found = await self._found(target.key, element, attempt_id)
            certain = found.outcome is Outcome.DONE
            return found if certain else _outcome(element, Outcome.UNKNOWN, str(error))
        return _outcome(element, Outcome.DONE, f"silence {made} until {ends_at:%Y-%m-%d %H:%M} UTC")

    async def _comment(self, attempt_id: UUID, key: str) -> str:
        """For the people who meet it in Alertmanager, and for `happened`."""
        attempt = None if self._attempts is None else await self._attempts.attempt(attempt_id)
        made = "" if attempt is None else f"rule {attempt.rule}, {incident_mark(attempt.incident_id)}, "
        return f"Made by the responder: {made}{attempt_mark(attempt_id)}, for {key}"

    async def _found(self, key: str, element: Element, attempt_id: UUID) -> ElementOutcome:
        peers, silent = self._clusters.peers(_cluster_of(key)), []
        for peer in peers:
            try:
                made = _made_by(await peer.silences(), attempt_id, element.key)
            except TemporaryError as error:
                silent.append(str(error))
                continue
            if made is not None:
                return _outcome(element, Outcome.DONE, f"silence {made.id} names this attempt")
        if silent or not peers:
            return _outcome(element, Outcome.UNKNOWN, "; ".join(silent) or "its Alertmanager is not known")
        return _outcome(element, Outcome.NOT_DONE, "no peer has a silence that names this attempt")


class ExpireSilence(ChangingAction[ExpireParams, StandingState]):
    """Ends silences that the responder made, those with exactly these conditions.

    Silences of people are never touched.
    """

    name: ClassVar[str] = "alertmanager.expire_silence"
    kind: ClassVar[StepKind] = StepKind.SAFE
    deadline: ClassVar[timedelta] = _DEADLINE
    Params: ClassVar[type[Frozen]] = ExpireParams

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients)
        self._clusters = clients.alertmanagers

    def resolve(self, params: ExpireParams) -> tuple[Target, ...]:
        """These conditions at the cluster."""
        return (_target(self._clusters.find(params.source), params.matchers),)

    async def look(self, params: ExpireParams, target: Target) -> StandingState:
        """Our silences that stand, by every peer that answers."""
        found = await _silences(self._clusters.peers(target.name))
        mine = [one for one in found if one.id not in params.other_than and _ours(one, params.matchers)]
        silences = tuple(_standing(one) for one in sorted(mine, key=lambda one: one.id))
        return StandingState(ground=(f"alertmanager/{target.name}",), silences=silences)

    def pin(self, params: ExpireParams, state: StandingState) -> tuple[Element, ...]:
        """Every one of them."""
        del params
        return tuple(
            Element(
                key=one.id,
                title=f"silence {one.id} of {_words(one.matchers)}",
                facts=one.model_dump(mode="json"),
            )
            for one in state.silences
        )

    def at_most(self, params: ExpireParams) -> int:
        """The rule's own number."""
        return params.at_most

    async def run(
        self, target: Target, element: Element, params: ExpireParams, state: StandingState, attempt_id: UUID
    ) -> ElementOutcome:
        """End one, if it still stands as it was seen."""
        del params, state, attempt_id
        pinned = StandingSilence.model_validate(element.facts)
        for peer in self._clusters.peers(target.name):
            try:
                found = await peer.find_silence(pinned.id)
            except TemporaryError:
                continue
            if found is None or found.state not in _LIVE or _standing(found) != pinned:
                return _outcome(element, Outcome.NOT_DONE, "it has ended, or somebody changed it")
            try:
                await peer.expire_silence(pinned.id)
            except TemporaryError as error:
                return _outcome(element, Outcome.UNKNOWN, str(error))
            return _outcome(element, Outcome.DONE, "ended")
        return _outcome(element, Outcome.NOT_DONE, f"no peer of {target.name} answered")

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """What has ended was ended, or ended by itself; it stands only where all peers say so."""
        peers = self._clusters.peers(_cluster_of(attempt.target))
        return tuple([await self._ended(peers, one) for one in attempt.elements])

    async def _ended(self, peers: Sequence[Alertmanager], element: Element) -> ElementOutcome:
        """An end that any peer knows of reaches all of them; that it stands, all have to say."""
        silent = [] if peers else ["its Alertmanager is not known"]
        for peer in peers:
            try:
                found = await peer.find_silence(element.key)
            except TemporaryError as error:
                silent.append(str(error))
                continue
            if found is None or found.state not in _LIVE:
                return _outcome(element, Outcome.DONE, "it is over: ended by the attempt, or by itself")
        if silent:
            return _outcome(element, Outcome.UNKNOWN, "; ".join(silent))
        return _outcome(element, Outcome.NOT_DONE, "it stands")


# --- what both share --------------------------------------------------------------------------------------


def _target(name: str, matchers: Sequence[Mapping[str, str]]) -> Target:
    said = sorted(digest(dict(one)) for one in matchers)
    return Target(key=f"alertmanager/{name}/{matchers[0]['alertname']}-{digest(said)[:12]}", name=name)


def _cluster_of(key: str) -> str:
    return key.split("/")[1]


def _words(matchers: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in sorted(matchers.items()))


def _matchers(conditions: Mapping[str, str]) -> tuple[SilenceMatcher, ...]:
    return tuple(SilenceMatcher.exactly(name, value) for name, value in sorted(conditions.items()))


def _ours(silence: Silence, matchers: Sequence[Mapping[str, str]]) -> bool:
    """Whether it is one that an attempt of ours made with one of these sets of conditions, and stands."""
    if silence.state not in _LIVE or silence.created_by != CREATED_BY:
        return False
    exact = all(one.is_equal and not one.is_regex for one in silence.matchers)
    return exact and {one.name: one.value for one in silence.matchers} in [dict(one) for one in matchers]


def _standing(silence: Silence) -> StandingSilence:
    matchers = {one.name: one.value for one in silence.matchers}
    return StandingSilence(id=silence.id, matchers=matchers, ends_at=silence.ends_at)


def _made_by(silences: Iterable[Silence], attempt_id: UUID, key: str) -> Silence | None:
    """The silence that an attempt made for an element, be it over by now."""
    mark, made_for = attempt_mark(attempt_id), f"for {key}"
    return next(
        (
            one
            for one in silences
            if one.created_by == CREATED_BY and mark in one.comment and made_for in one.comment
        ),
        None,
    )


async def _alerts(peers: Sequence[Alertmanager], matchers: Mapping[str, str]) -> Sequence[KnownAlert]:
    """What these conditions cover, by every peer that answers. Raises TemporaryError where none does."""
    found: list[KnownAlert] = []
    problems = []
    for peer in peers:
        try:
            listed = await peer.alerts(None, matchers["alertname"])
        except TemporaryError as error:
            problems.append(error)
        else:
            found += [one for one in listed if matchers.items() <= one.labels.items()]
    if len(problems) == len(peers):
        raise TemporaryError("; ".join(map(str, problems)) or "its Alertmanager is not known")
    return found


async def _silences(peers: Sequence[Alertmanager]) -> Sequence[Silence]:
    """All silences, each once, by every peer that answers. Raises TemporaryError where none does."""
    found: dict[str, Silence] = {}
    problems = []
    for peer in peers:
        try:
            found |= {one.id: one for one in await peer.silences()}
        except TemporaryError as error:
            problems.append(error)
    if len(problems) == len(peers):
        raise TemporaryError("; ".join(map(str, problems)) or "its Alertmanager is not known")
    return tuple(found.values())


def _covered(matchers: Mapping[str, str], alerts: Sequence[KnownAlert]) -> Covered:
    """An alert is audible where any peer that knows it has no silence for it."""
    every = {one.fingerprint: one for one in alerts}
    audible = {one.fingerprint: one for one in alerts if not one.silenced_by}
    newest = sorted(audible.values(), key=lambda one: (str(one.starts_at), one.fingerprint), reverse=True)
    return Covered(
        matchers=dict(matchers),
        alerts=len(every),
        audible=len(audible),
        named=tuple(Seen(fingerprint=one.fingerprint, starts_at=one.starts_at) for one in newest[:_NAMED]),
    )


def _element(one: Covered) -> Element:
    newest = one.named[0].starts_at
    at = newest.isoformat() if newest is not None else "unknown"
    return Element(
        key=f"{digest(one.matchers)[:16]}@{at}",
        title=f"{_words(one.matchers)} ({one.audible} alerts)",
        facts=one.model_dump(mode="json"),
    )


def _still(pinned: Covered, now: Covered) -> bool:
    return bool(set(pinned.named) & set(now.named))


def _outcome(element: Element, outcome: Outcome, detail: str) -> ElementOutcome:
    return ElementOutcome(element=element.key, outcome=outcome, detail=detail)
