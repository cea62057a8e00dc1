"""How far automation may go for one step of one incident: every ceiling that speaks, each with its origin."""

from collections.abc import Mapping

from responder.decide.bind import bindable
from responder.decide.case import Case
from responder.decide.restraints import unknown_words
from responder.engine.settings import EngineSettings, MatchedCeiling
from responder.model.autonomy import Autonomy, Ceiling, effective
from responder.model.by_hand import DRY_RUN
from responder.model.matcher import Matcher, all_match
from responder.model.rule import Rule, Step
from responder.model.way import Way, WayKind

_REMEMBERED = 1024


class Trust:
    """Gathers ceilings: settings, sources, the rule as pinned and as it is now, the step, the promotion."""

    def __init__(self, settings: EngineSettings, sources: Mapping[str, Ceiling]) -> None:
        self._settings = settings
        self._sources = sources
        self._general = Ceiling(level=settings.ceiling, origin="the settings' ceiling", way=_RAISE)
        self._hashes: dict[int, tuple[Rule, str]] = {}
        """The acting parts of rules by the very objects: hashing one is a good part of judging a step."""

    def ceilings(self, case: Case, step: Step) -> tuple[Ceiling, ...]:
        """All ceilings, the settings' first: of equals the first is named.

        An act by hand has a person's word for it: no rule has to be promoted, the settings' ceilings hold.
        """
        if (asked := case.incident.by_hand) is not None:
            found = effective(tuple(self._for_some(bindable(case.rule, case.incident.key))))
            return (found, DRY_RUN) if asked.dry_run else (found,)
        promotion = self._of_promotion(case)
        return (
            self._of_settings(case),
            *self._of_sources(case),
            *_of_rule(case, step),
            promotion,
            *_of_promotion_now(case, promotion),
        )

    def reach(self, case: Case) -> Ceiling | None:
        """How far the step may go that may go the furthest, of those that change something."""
        steps = (step for step in case.rule.every_step if step.kind.changing)
        return max(
            (effective(self.ceilings(case, step)) for step in steps), key=lambda one: one.level, default=None
        )

    def possible(self, rule: Rule) -> tuple[Ceiling, ...]:
        """What the settings' ceiling may be for an incident of a rule, before its alerts are known."""
        return tuple(self._for_some(bindable(rule, {})))

    def _of_settings(self, case: Case) -> Ceiling:
        """The least of what applies to each member; one that is not in the sample may be anything."""
        members, known = case.members, bindable(case.rule, case.incident.key)
        ceilings = [self._for(member.labels) for member in members.sample]
        if members.total > len(members.sample):
            ceilings += self._for_some(known)
        return effective(tuple(ceilings or [self._for(known)]))

    def _for(self, labels: Mapping[str, str]) -> Ceiling:
        found = [entry for entry in self._settings.ceilings if all_match(entry.match, labels)]
        return effective(tuple(_told(entry) for entry in found)) if found else self._general

    def _for_some(self, known: Mapping[str, str]) -> list[Ceiling]:
        """Whatever could apply to alerts of which only these labels are known."""
        possible = [entry for entry in self._settings.ceilings if all_match(_decided(entry, known), known)]
        certain = any(_decided(entry, known) == entry.match for entry in possible)
        return [*(_told(entry, known) for entry in possible), *(() if certain else (self._general,))]

    def _of_sources(self, case: Case) -> tuple[Ceiling, ...]:
        return tuple(self._sources[name] for name in case.members.sources if name in self._sources)

    def _acting_hash(self, rule: Rule) -> str:
        known = self._hashes.get(id(rule))
        if known is None or known[0] is not rule:
            if len(self._hashes) >= _REMEMBERED:
                self._hashes.clear()
            known = self._hashes[id(rule)] = (rule, rule.acting_hash)
        return known[1]

    def _of_promotion(self, case: Case) -> Ceiling:
        """What nobody promoted is capped at shadow. A person's word stands above the settings'.

        Who promotes a rule promotes it as it is now: an older version is beyond that.
        """
        acting = self._acting_hash(case.rule)
        way = _promote(case.rule) if _is_current(case) else None
        level = case.promotions.get(acting)
        if level is None and acting in self._settings.promoted:
            return Ceiling(level=Autonomy.AUTO, origin="promoted in the settings")
        if level is None:
            origin = f"nobody has promoted this version of {case.rule.name}"
            return Ceiling(level=Autonomy.SHADOW, origin=origin, way=way)
        origin = f"{case.rule.name} is promoted to {level.word}"
        return Ceiling(level=level, origin=origin, way=way)


def _decided(entry: MatchedCeiling, known: Mapping[str, str]) -> tuple[Matcher, ...]:
    return tuple(matcher for matcher in entry.match if matcher.name in known)


def _told(entry: MatchedCeiling, known: Mapping[str, str] | None = None) -> Ceiling:
    """With what it asks for that is not `known`; None where every label is."""
    matched = ", ".join(str(matcher) for matcher in entry.match)
    missing = unknown_words(entry.match, known) if known is not None else ""
    return Ceiling(level=entry.level, origin=f"the settings' ceiling for {matched}{missing}", way=_RAISE)


_RAISE = Way(kind=WayKind.RAISE_CEILING)


def _promote(rule: Rule) -> Way:
    return Way(kind=WayKind.PROMOTE, of=rule.name)


def _is_current(case: Case) -> bool:
    """Mostly it is the very same rule: then nothing needs a hash, which is a good part of judging a step."""
    current, pinned = case.current, case.rule
    return current is not None and (current is pinned or current.acting_hash == pinned.acting_hash)


def _of_rule(case: Case, step: Step) -> tuple[Ceiling, ...]:
    """The rule and the step as pinned, and as they are now: of the steps that do the same, the strictest."""
    edit = Way(kind=WayKind.EDIT_RULE, of=case.rule.name)
    way = edit if _is_current(case) else None
    pinned = (
        Ceiling(level=case.rule.autonomy, origin="the rule", way=way),
        Ceiling(level=step.autonomy, origin="the step", way=way),
    )
    if case.current is None:
        return (*pinned, Ceiling(level=Autonomy.OBSERVE, origin="the rule is gone from the active rulebook"))
    steps = case.current.every_step
    changed = [each for each in steps if each.action == step.action and step not in steps]
    now = min((each.autonomy for each in changed), default=Autonomy.AUTO)
    return (
        *pinned,
        Ceiling(level=case.current.autonomy, origin="the rule as it is now", way=edit),
        Ceiling(level=now, origin="the step as it is now", way=edit),
    )


def _of_promotion_now(case: Case, pinned: Ceiling) -> tuple[Ceiling, ...]:
    """A person's word on the rule as it is now, where the incident goes by an older version of it.

    Whoever demotes a rule means all that it does. A new version of which nobody has said anything yet
    takes nothing from what was promoted. To promote it helps where the older version itself (`pinned`) may go
    further.
    """
    current = case.current
    if current is None or _is_current(case):
        return ()
    level = case.promotions.get(current.acting_hash)
    if level is None:
        return ()
    origin = f"{current.name} as it is now is promoted to {level.word}"
    way = _promote(current) if pinned.level > level else None
    return (Ceiling(level=level, origin=origin, way=way),)
