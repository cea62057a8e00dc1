"""What a person asks for by hand, made into what an incident needs: its rule, its target, that one's labels.

Nothing is done or looked at here. Where the target stands comes from the inventory alone: whoever asks has no
say in which ceiling or role counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from responder.decide.restraints import place
from responder.model.errors import RefusedError
from responder.model.rule import Rule, Rulebook
from responder.model.severity import Severity
from responder.model.target import Target
from responder.ports import Actions
from responder.rulebook.by_hand import AskedWronglyError, Proof, acting_rule, telling_rule
from responder.rulebook.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class PreparedAct:
    """An act by hand that can be asked for. `lasts` is how long it takes at the most, once it begins."""

    rule: Rule
    target: Target
    labels: Mapping[str, str]
    lasts: timedelta


class ActsByHand:
    """Prepares what people ask for."""

    def __init__(self, actions: Actions, around: Surroundings) -> None:
        self._actions = actions
        self._around = around

    @property
    def around(self) -> Surroundings:
        """What can be done, and to what."""
        return self._around

    def act(
        self, action: str, params: Mapping[str, Any], severity: Severity, proof: Proof | None
    ) -> PreparedAct:
        """One act.

        Raises:
            AskedWronglyError: there is no such action, parameter or target; says the mend.
        """
        rule = acting_rule(action, params, severity, proof, self._around)
        (step,) = rule.every_step
        target = self._target(action, step.params)
        lasts = step.timeout
        if rule.verify is not None:
            lasts += (rule.verify.alert_resolved_within or timedelta(0)) + rule.verify.stable_for
        labels = {**self._around.inventory.labels(target.key), **place(target.key)}
        return PreparedAct(rule, target, labels, lasts)

    def incident(self, severity: Severity, named: str | None, active: Rulebook | None) -> Rule:
        """The rule of an incident for people. Raises AskedWronglyError where there is none of that name."""
        return telling_rule(severity, named, active)

    def _target(self, name: str, params: Mapping[str, Any]) -> Target:
        action = self._actions.get(name)
        try:
            found = action.resolve(action.Params.model_validate(params))
        except RefusedError as error:
            raise AskedWronglyError("with", str(error), "See the inventory: responder actions") from None
        match found:
            case [target]:
                return target
            case _:
                names = ", ".join(target.key for target in found) or "none"
                raise AskedWronglyError(
                    "with", f"the parameters lead to {len(found)} targets: {names}", "Name one"
                )
