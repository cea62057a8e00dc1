"""How far automation may go for one step of one incident: every ceiling that speaks, each with its origin."""

from collections.abc import Mapping

from responder.decide.case import Case
from responder.engine.settings import EngineSettings
from responder.model.autonomy import Autonomy, Ceiling
from responder.model.matcher import all_match
from responder.model.rule import Step
from responder.ports import Store


class Trust:
    """Gathers ceilings: settings, sources, the rule as pinned and as it is now, the step, the promotion."""

    def __init__(self, store: Store, settings: EngineSettings, sources: Mapping[str, Ceiling]) -> None:
        self._store = store
        self._settings = settings
        self._sources = sources

    async def ceilings(self, case: Case, step: Step) -> tuple[Ceiling, ...]:
        """All ceilings, the settings' first: of equals the first is named."""
        return (
            self._of_settings(case),
            *self._of_sources(case),
            *_of_rule(case, step),
            await self._of_promotion(case),
        )

    def _of_settings(self, case: Case) -> Ceiling:
        labels = {**case.members.common_labels, **case.incident.key}
        found = [entry for entry in self._settings.ceilings if all_match(entry.match, labels)]
        if not found:
            return Ceiling(level=self._settings.ceiling, origin="the settings' ceiling")
        least = min(found, key=lambda entry: entry.level)
        matched = ", ".join(str(matcher) for matcher in least.match)
        return Ceiling(level=least.level, origin=f"the settings' ceiling for {matched}")

    def _of_sources(self, case: Case) -> tuple[Ceiling, ...]:
        names = sorted({member.source for member in case.members.sample})
        return tuple(self._sources[name] for name in names if name in self._sources)

    async def _of_promotion(self, case: Case) -> Ceiling:
        """An acting part that nobody promoted is capped at shadow."""
        acting = case.rule.acting_hash
        if acting in self._settings.promoted:
            return Ceiling(level=Autonomy.AUTO, origin="promoted in the settings")
        level = await self._store.promotion(case.rule.name, acting)
        if level is None:
            origin = f"nobody has promoted this version of {case.rule.name}"
            return Ceiling(level=Autonomy.SHADOW, origin=origin)
        return Ceiling(level=level, origin=f"{case.rule.name} is promoted to {level.word}")


def _of_rule(case: Case, step: Step) -> tuple[Ceiling, ...]:
    now = (
        Ceiling(level=case.current.autonomy, origin="the rule as it is now")
        if case.current is not None
        else Ceiling(level=Autonomy.OBSERVE, origin="the rule is gone from the active rulebook")
    )
    return (
        Ceiling(level=case.rule.autonomy, origin="the rule"),
        now,
        Ceiling(level=step.autonomy, origin="the step"),
    )
