"""Conditions of steps on the rule's own evidence: what it found, and how long it is awaited.

Evidence runs beside the ladder and never delays it; only a step whose condition asks for it waits for it, no
longer than it may take. What did not come by then is no data: a person is asked, as for any condition.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from responder.decide.case import Case, Finding, ProbeReading
from responder.model.expectation import compared, together
from responder.model.incident import EvidenceFound
from responder.model.rule import OnEvidence, Rule

GRACE = timedelta(seconds=5)
"""How much longer than its own timeout evidence may take to be heard of."""


def reading(case: Case, when: OnEvidence) -> ProbeReading:
    """What the condition comes to, by what is known."""
    found = next((one for one in case.incident.progress.found if one.index == when.index), None)
    asked = f"evidence {when.evidence}"
    if found is None:
        return ProbeReading(holds=None, text=f"{asked}: nothing was found yet")
    if found.results is None:
        return ProbeReading(holds=None, text=f"{asked}: {found.problem or 'it could not be gathered'}")
    several = len(found.results) > 1
    fields = [
        one.model_copy(update={"field": f"{target} {one.field}"}) if several else one
        for target, result in sorted(found.results.items())
        for one in compared(when.expect, result)
    ]
    if not fields:
        return ProbeReading(holds=None, text=f"{asked}: there was nothing to look at")
    told = "; ".join(one.words for one in fields)
    return ProbeReading(holds=together(fields), text=f"{asked}: {told}")


def awaited_until(case: Case, now: datetime) -> datetime | None:
    """Until when the next step waits for evidence that its condition asks for; None where it need not."""
    progress, rule = case.incident.progress, case.rule
    when = rule.steps[progress.step].when if progress.step < len(rule.steps) else None
    if not isinstance(when, OnEvidence) or progress.evidence_at is None:
        return None
    if any(one.index == when.index for one in progress.found):
        return None
    until = progress.evidence_at + rule.evidence[when.index].timeout + GRACE
    return until if now < until else None


def kept(
    rule: Rule, before: tuple[EvidenceFound, ...], findings: Iterable[Finding]
) -> tuple[EvidenceFound, ...]:
    """What is known of the evidence that conditions ask for, after these findings; in the rule's order."""
    asked = {step.when.index for step in rule.steps if isinstance(step.when, OnEvidence)}
    new = {
        index: _found(index, finding)
        for finding in findings
        if (index := finding.facts.get("evidence")) in asked
    }
    known = {one.index: one for one in before} | new
    return tuple(known[index] for index in sorted(known))


def _found(index: int, finding: Finding) -> EvidenceFound:
    results = finding.facts.get("results")
    if results is None:
        return EvidenceFound(index=index, problem=finding.summary)
    return EvidenceFound(index=index, results=results)
