"""The rule of one act by hand: one step, checked as a step of a rule file is, and nothing beside it.

What is wrong is told in the words that rule files are told in, without a place: nobody wrote a file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from responder.model.autonomy import Autonomy
from responder.model.by_hand import OPENED, RULES
from responder.model.errors import PermanentError
from responder.model.rule import Limits, Position, Probe, Rule, Rulebook, SeverityCase, Step, Verify
from responder.model.severity import Severity
from responder.rulebook.document import read_document
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.parameters import known_parameters
from responder.rulebook.probes import read_probe
from responder.rulebook.reading import Reader
from responder.rulebook.scope import Scope
from responder.rulebook.steps import StepReader
from responder.rulebook.surroundings import Surroundings

LIMITS = Limits(attempts=10, per=timedelta(hours=1), cooldown=timedelta(0))
"""A person who asks again at once means it; what is disruptive spends the budgets all the same."""

_POSITION = Position(file="(by hand)", line=1, column=1)
_NO_LABELS = Scope(group_by=(), fixed={})


class AskedWronglyError(PermanentError):
    """What a person asked for cannot be meant: the field, what is wrong with it, and the mend."""

    def __init__(self, field: str, text: str, mend: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Proof:
    """What would show that an act helped: a query, the answer that it expects, and by when, for how long."""

    promql: str
    expect: str
    within: timedelta
    stable_for: timedelta


def acting_rule(
    action: str, params: Mapping[str, Any], severity: Severity, proof: Proof | None, around: Surroundings
) -> Rule:
    """The rule of an act by hand.

    Raises:
        AskedWronglyError: there is no such action or parameter, or a value does not fit.
    """
    step = _step(action, params, around)
    return Rule(
        name=f"{RULES}{step.action}",
        match=(),
        severity=(SeverityCase(severity=severity),),
        group_by=(),
        wait_for=timedelta(0),
        autonomy=Autonomy.AUTO,
        steps=(step,),
        verify=None if proof is None else _verify(proof, around),
        limits=LIMITS,
        position=_POSITION,
    )


def telling_rule(severity: Severity, named: str | None, active: Rulebook | None) -> Rule:
    """The rule of an incident for people: it does nothing. `named` lends it what its rule tells.

    Raises:
        AskedWronglyError: no active rule has that name.
    """
    nothing_done = {
        "match": (),
        "severity": (SeverityCase(severity=severity),),
        "group_by": (),
        "evidence": (),
        "steps": (),
        "verify": None,
        "escalate": True,
    }
    if named is not None:
        return _active(named, active).model_copy(update=nothing_done)
    return Rule(
        name=OPENED,
        wait_for=timedelta(0),
        autonomy=Autonomy.OBSERVE,
        limits=LIMITS,
        position=_POSITION,
        **nothing_done,
    )


def _active(name: str, active: Rulebook | None) -> Rule:
    rules = active.rules if active is not None else ()
    found = next((rule for rule in rules if rule.name == name), None)
    if found is None:
        mend = did_you_mean(name, [rule.name for rule in rules], "rules")
        raise AskedWronglyError("rule", f"there is no rule {name!r}", mend)
    return found


def _step(action: str, params: Mapping[str, Any], around: Surroundings) -> Step:
    if around.catalogue.find(action) is None:
        mend = did_you_mean(action, around.catalogue.names(), "actions")
        raise AskedWronglyError("action", f"there is no action {action!r}", mend)
    if _refers(params):
        raise AskedWronglyError(
            "with", "there is no alert whose labels could stand here", "Write the value itself"
        )
    _refuse_unknown(action, params, around)
    reader = Reader()
    node = read_document("", json.dumps({"action": action, "with": dict(params)}), reader.mistakes)
    step = None if node is None else StepReader(_NO_LABELS, around, reader, {}).step(node, "steps.0")
    _refuse_mistakes("with", reader)
    if step is None:
        raise AskedWronglyError("with", "this cannot be read", "Write name=value")
    return step


def _refuse_unknown(action: str, params: Mapping[str, Any], around: Surroundings) -> None:
    """Before what is missing: one answer names one mistake, and a slip of the pen is both."""
    facts = around.catalogue.find(action)
    known = [] if facts is None else known_parameters(facts.params)
    for name in params:
        if name not in known:
            mend = did_you_mean(name, known, "parameters")
            raise AskedWronglyError("with", f"{action} has no parameter `{name}`", mend)


def _refers(value: Any) -> bool:
    match value:
        case str():
            return "$labels" in value
        case Mapping():
            return any(_refers(inner) for inner in value.values())
        case Sequence():
            return any(_refers(inner) for inner in value)
        case _:
            return False


def _verify(proof: Proof, around: Surroundings) -> Verify:
    reader = Reader()
    text = json.dumps({"promql": proof.promql, "is": proof.expect})
    node = read_document("", text, reader.mistakes)
    probe: Probe | None = None if node is None else read_probe(node, _NO_LABELS, around, reader, ())
    if "$labels" in proof.promql:
        raise AskedWronglyError(
            "verify", "there is no alert whose labels could stand here", "Write the value itself"
        )
    _refuse_mistakes("verify", reader)
    return Verify(
        alert_resolved_within=proof.within,
        stable_for=proof.stable_for,
        probes=() if probe is None else (probe,),
    )


def _refuse_mistakes(field: str, reader: Reader) -> None:
    found = reader.mistakes.sorted()
    if found:
        raise AskedWronglyError(field, found[0].text, found[0].mend)
