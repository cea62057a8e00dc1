"""What is rightly written in one rule and can never come to pass: a limit, a step, a proof, a promise.

Only what is certain is a mistake. What alerts never reach (rules, severities) is the affair of `reachable`;
whether a recovery can be proven at all, of `proof`.
"""

from collections.abc import Sequence
from itertools import combinations

from responder.model.duration import format_duration
from responder.model.rule import Comparison, Probe, Rule, Rung, Step, StepKind, Verify, parts_of
from responder.rulebook.document import Listing, Mapped, Node
from responder.rulebook.reading import Reader
from responder.rulebook.surroundings import Surroundings

Placed = Sequence[tuple[Node, Rung]]


def check_never(rule: Rule, node: Mapped, steps: Placed, around: Surroundings, reader: Reader) -> None:
    """Note what of the rule never happens."""
    _check_promises(rule, node, around, reader)
    _check_open_at_most(rule, node, reader)
    if rule.verify is not None:
        _check_probes(rule.verify, node, reader)
        _check_ladder(rule, rule.verify, steps, reader)
        _check_budget(rule, rule.verify, steps, around, reader)


def _check_promises(rule: Rule, node: Mapped, around: Surroundings, reader: Reader) -> None:
    """A person was promised by then: whoever waits longer breaks the promise before anybody can keep it."""
    worst = min(case.severity for case in rule.severity)
    promised = around.response_times.get(worst)
    if promised is None:
        return
    mend = f"Write at most {format_duration(promised)}, or a longer response_time of {worst} in the settings"
    said = f"{worst} promises a person within {format_duration(promised)}"
    if rule.wait_for > promised:
        text = f"the incident opens after {format_duration(rule.wait_for)}, and {said}"
        reader.wrong(_at(node, "for"), text, mend)
    after = rule.notify.page_after
    if after is not None and after > promised:
        text = f"people hear of it after {format_duration(after)}, and {said}"
        reader.wrong(_at(node, "notify"), text, mend)


def _check_open_at_most(rule: Rule, node: Mapped, reader: Reader) -> None:
    if rule.limits.only_if_open_at_most is None or rule.group_by != ():
        return
    text = "only_if_open_at_most never holds anything: without group_by the rule has one incident at a time"
    reader.wrong(_at(node, "limits"), text, "Remove it, or say by `group_by` what an incident is about")


def _check_probes(verify: Verify, node: Mapped, reader: Reader) -> None:
    """Two answers that are expected of one question."""
    for (_, one), (at, other) in combinations(_probes(verify, node), 2):
        if _question(one) == _question(other) and not _both(one.expect, other.expect):
            text = f"no answer is both `{_words(one.expect)}` and `{_words(other.expect)}`: it never recovers"
            reader.wrong(at, text, "Correct one of the two, or remove it")


def _check_ladder(rule: Rule, verify: Verify, steps: Placed, reader: Reader) -> None:
    """Each step that was tried is an attempt on the target: the limits end the ladder before the next one."""
    limits = rule.limits
    if verify.alert_resolved_within is None:
        return
    if limits.attempts * (verify.alert_resolved_within + verify.stable_for) >= limits.per:
        return
    for target, placed in _by_target(steps).items():
        tried = 0
        for node, step in placed:
            if target and tried >= limits.attempts:
                text = (
                    f"{step.action} is never taken after the steps before it have not helped: limits allow "
                    f"{limits.attempts} within {format_duration(limits.per)} on one target"
                )
                reader.wrong(node, text, "Raise `attempts` under `limits`, or remove the step")
                return
            if step.repeat >= limits.attempts:
                return
            tried += 1 + step.repeat


def _check_budget(rule: Rule, verify: Verify, steps: Placed, around: Surroundings, reader: Reader) -> None:
    """A disruptive step that waits for a budget for longer than anybody may be left waiting."""
    budgets = around.budgets
    mildest = max(case.severity for case in rule.severity)
    promised = around.response_times.get(mildest)
    if budgets is None or promised is None or verify.alert_resolved_within is None:
        return
    lasts = budgets.target * (verify.alert_resolved_within + verify.stable_for)
    if budgets.within - lasts <= promised:
        return
    for placed in _by_target(steps).values():
        starts = 0
        for node, step in placed:
            starts += (1 + step.repeat) if step.kind is StepKind.DISRUPTIVE else 0
            if starts > budgets.target:
                text = (
                    f"{step.action} waits for a budget that is spent by then, and is given up before: "
                    f"{budgets.target} disruptive starts on a target within {format_duration(budgets.within)}"
                )
                reader.wrong(node, text, "Take fewer disruptive steps, or raise the budget in the settings")
                return


def _by_target(steps: Placed) -> dict[str, list[tuple[Node, Step]]]:
    """The changing steps on what is certainly the same target: those with the same connection as written."""
    found: dict[str, list[tuple[Node, Step]]] = {}
    for node, rung in steps:
        for target, step in _on_targets(rung).items():
            found.setdefault(target, []).append((node, step))
    return found


def _on_targets(rung: Rung) -> dict[str, Step]:
    """What a step is on each target that it names; an `all`, one attempt, is what its worst part there is."""
    found: dict[str, Step] = {}
    for part in parts_of(rung):
        target = repr(part.params.get("connection"))
        if part.kind.changing and "connection" in part.params:
            worse = target not in found or part.kind is StepKind.DISRUPTIVE
            found[target] = part.model_copy(update={"repeat": rung.repeat}) if worse else found[target]
    return found


def _probes(verify: Verify, node: Mapped) -> list[tuple[Node, Probe]]:
    written = node.entries["verify"].value
    entry = written.entries.get("probes") if isinstance(written, Mapped) else None
    if entry is None or not isinstance(entry.value, Listing) or len(entry.value.items) != len(verify.probes):
        return []
    return list(zip(entry.value.items, verify.probes, strict=True))


def _question(probe: Probe) -> str:
    return repr(probe.model_dump(exclude={"expect"}))


def _both(one: Comparison, other: Comparison) -> bool:
    """Whether some number is as both expect: bounds, what is between them, and what is beyond."""
    bounds = (one.value, other.value)
    tried = (*bounds, sum(bounds) / 2, min(bounds) - 1, max(bounds) + 1)
    return any(one.holds(number) and other.holds(number) for number in tried)


def _words(expect: Comparison) -> str:
    return f"{expect.op} {expect.value:g}"


def _at(node: Mapped, key: str) -> Node:
    return node.entries[key].value if key in node.entries else node
