"""Whether a rule can prove what it does: the checks that need the whole rule and the sources.

An action without proof of recovery would only ever be believed. What is refused here would end in an
escalation for every incident, or in acting on the word of somebody who cannot be asked.
"""

from collections.abc import Sequence
from datetime import timedelta

from responder.model.autonomy import Autonomy
from responder.model.duration import format_duration
from responder.model.rule import GiveBack, Rule, Rung, Step, StepKind, Undo, Verify
from responder.rulebook.document import Mapped, Node
from responder.rulebook.reading import Reader
from responder.rulebook.surroundings import Surroundings


def check_proof(rule: Rule, node: Mapped, around: Surroundings, reader: Reader) -> None:
    """Note what keeps the rule from proving recovery."""
    if rule.changing and "verify" not in node.entries:
        text = "the rule has a step that changes something, and no `verify`"
        reader.wrong(node, text, "Add verify: {alert_resolved_within: 10m, stable_for: 2m}")
    if rule.verify is not None:
        _check_endless(rule.verify, node.entries["verify"].value, around, reader)
        _check_windows(rule.verify, node.entries["verify"].value, around, reader)
        _check_promise(rule, rule.verify, node.entries["verify"].value, around, reader)
    _check_auto(rule, node, around, reader)
    _check_step_autonomy(rule, node, reader)
    if rule.changing and "escalate" in node.entries and not rule.escalate:
        mend = "Remove it: it is only for rules that change nothing"
        reader.wrong(node.entries["escalate"], "a rule with a changing step always escalates", mend)


def check_repeats(rule: Rule, steps: Sequence[tuple[Node, Rung]], reader: Reader) -> None:
    """What the limits refuse each time is never taken again: only that is told which is certain.

    Each time is over when its verification is, so the last of too many follows the first within `per`.
    """
    limits, verify = rule.limits, rule.verify
    if verify is None or verify.alert_resolved_within is None:
        return
    lasts = limits.attempts * (verify.alert_resolved_within + verify.stable_for)
    for node, step in steps:
        if step.repeat < limits.attempts or lasts >= limits.per or not isinstance(node, Mapped):
            continue
        allowed = f"limits allow {limits.attempts} within {format_duration(limits.per)}"
        text = f"`repeat: {step.repeat}` needs {step.repeat + 1} attempts on one target, {allowed}"
        most = limits.attempts - 1
        least = f"write at most `repeat: {most}`" if most else "remove `repeat`"
        reader.wrong(node.entries["repeat"].value, text, f"Raise `attempts` under `limits`, or {least}")


def check_give_backs(rule: Rule, steps: Sequence[tuple[Node, Rung]], reader: Reader) -> None:
    """What is given back before anybody knows whether it helped has not been tried."""
    verify = rule.verify
    if verify is None or verify.alert_resolved_within is None:
        return
    known = verify.alert_resolved_within + verify.stable_for
    for node, step in steps:
        undo = step.undo if isinstance(step, Step) else Undo.NEVER
        if isinstance(undo, GiveBack) and undo.after <= known and isinstance(node, Mapped):
            text = (
                f"{step.action} is given back after {format_duration(undo.after)}, and whether it helped is "
                f"known after {format_duration(known)} at the latest"
            )
            mend = "Write a longer `after`, or `undo: if_not_recovered`"
            reader.wrong(node.entries["undo"].value, text, mend)


def _check_endless(verify: Verify, node: Node, around: Surroundings, reader: Reader) -> None:
    if not around.sources or not all(source.endless for source in around.sources):
        return
    if verify.alert_resolved_within is not None:
        text = "no source ever says that an alert ended (all are endless)"
        mend = "Verify by probes alone"
        reader.wrong(_inside(node, "alert_resolved_within"), text, mend)
    elif not verify.probes:
        text = "nothing can ever say that it recovered: all sources are endless, and there is no probe"
        reader.wrong(node, text, "Add a probe under `probes`")


def _check_windows(verify: Verify, node: Node, around: Surroundings, reader: Reader) -> None:
    """Without an API the word "resolved" comes late: a window must be longer than that."""
    telling = [source for source in around.sources if not source.endless]
    if not telling or any(source.has_api for source in telling):
        return
    late = max(telling, key=lambda s: s.evaluation_interval + s.group_interval)
    least = late.evaluation_interval + late.group_interval
    windows: dict[str, timedelta | None] = {
        "alert_resolved_within": verify.alert_resolved_within,
        "stable_for": verify.stable_for,
    }
    for name, window in windows.items():
        if window is not None and window < least:
            text = (
                f"{name} of {format_duration(window)} is too short: no source can be asked, and {late.name} "
                f"says what changed up to {format_duration(least)} late"
            )
            mend = f"Write at least {format_duration(least)}, or configure the API of {late.name}"
            reader.wrong(_inside(node, name), text, mend)


def _check_promise(rule: Rule, verify: Verify, node: Node, around: Surroundings, reader: Reader) -> None:
    """What a disruptive step did is known before a person is promised: else nobody hears of it in time."""
    worst = min(case.severity for case in rule.severity)
    promised, within = around.response_times.get(worst), verify.alert_resolved_within
    disruptive = next((step for step in rule.steps if step.kind is StepKind.DISRUPTIVE), None)
    if disruptive is None or promised is None or within is None or within <= promised:
        return
    text = (
        f"{disruptive.action} is disruptive, and whether it helped is known after {format_duration(within)} "
        f"at the latest: {worst} promises a person within {format_duration(promised)}"
    )
    mend = f"Write at most {format_duration(promised)}, or a longer response_time of {worst} in the settings"
    reader.wrong(_inside(node, "alert_resolved_within"), text, mend)


def _check_auto(rule: Rule, node: Mapped, around: Surroundings, reader: Reader) -> None:
    if any(source.has_api for source in around.sources):
        return
    if rule.verify is None or rule.verify.probes or _has(node.entries["verify"].value, "probes"):
        return
    alone = [step for step in rule.every_step if step.kind.changing and step.autonomy is Autonomy.AUTO]
    if rule.autonomy is Autonomy.AUTO and alone:
        at = node.entries["autonomy"].value if "autonomy" in node.entries else node
        text = f"{alone[0].action} may not be auto: no source can be asked, and no probe proves recovery"
        mend = "Configure the API of a source, add a probe under `verify`, or write `autonomy: approve`"
        reader.wrong(at, text, mend)


def _check_step_autonomy(rule: Rule, node: Mapped, reader: Reader) -> None:
    steps = node.entries.get("steps")
    for item in getattr(steps.value, "items", ()) if steps is not None else ():
        if not (isinstance(item, Mapped) and "autonomy" in item.entries):
            continue
        value = item.entries["autonomy"].value
        word = getattr(value, "text", "")
        if word.upper() in Autonomy.__members__ and Autonomy[word.upper()] > rule.autonomy:
            text = f"the step's autonomy `{word}` is higher than the rule's `{rule.autonomy.word}`"
            reader.wrong(value, text, "Lower it, or raise the rule's: the lower of the two applies")


def _inside(node: Node, key: str) -> Node:
    return node.entries[key].value if _has(node, key) and isinstance(node, Mapped) else node


def _has(node: Node, key: str) -> bool:
    return isinstance(node, Mapped) and key in node.entries
