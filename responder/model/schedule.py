"""A rule that is planned and not matched: when it runs, what each run asks, and what came of a run.

Planned times are civil; everything else about a run is service time.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from responder.model.base import Frozen, canonical_json
from responder.model.duration import Duration
from responder.model.expectation import FieldFound

SCHEDULES_SOURCE = "schedule"
"""The source of what runs find. No source of the settings may have this name."""
SCHEDULE_LABEL = "responder_schedule"
"""The label that names the scheduled rule; an alert with it belongs to that rule and to no other."""
FINDING_LABEL = "finding"
"""The label that says which of its steps was not as expected."""
RUN_FAILED = "the run itself"
"""The finding of a run that came to no report."""


class Overlap(StrEnum):
    """What happens with a planned run while one is still going."""

    SKIP = "skip"


class Plan(Frozen):
    """When a rule runs."""

    schedule: str
    """A cron expression of five fields, in civil time."""
    timezone: str
    overlap: Overlap = Overlap.SKIP
    run_late: Duration
    """How late a run may begin, after the service was down; one that is later is missed."""

    @property
    def key(self) -> str:
        """What makes it another plan: one that is changed begins anew."""
        return canonical_json([self.schedule, self.timezone])


class RunState(StrEnum):
    """How far a run is. The first three have an owner, or wait for one."""

    WAITING = "waiting"
    """Asked for by a person; whoever is there first makes it."""
    RUNNING = "running"
    FOUND = "found"
    """Its report is kept; its findings are not told yet."""
    ENDED = "ended"
    SKIPPED = "skipped"
    """Not made: the one before was still going."""
    MISSED = "missed"
    """Not made: nobody was there in time."""

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return self in GOING


GOING = frozenset({RunState.WAITING, RunState.RUNNING, RunState.FOUND})


class Outcome(StrEnum):
    """What a run, or one of its steps, came to."""

    AS_EXPECTED = "as_expected"
    NOT_AS_EXPECTED = "not_as_expected"
    NO_ANSWER = "no_answer"
    """Of a step: it could not be asked. That is not as expected, where anything was."""
    FAILED = "failed"
    """Of a run: it came to no end."""

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


class StepReport(Frozen):
    """What one step of a run was answered, against what was expected."""

    name: str
    action: str
    outcome: Outcome
    answer: str
    """In one line, as the action tells its state; or why there is none."""
    fields: tuple[FieldFound, ...] = ()
    expected: bool
    """Whether the rule says what it expects of this step: only then can it be a finding."""

    @property
    def finding(self) -> bool:
        """Whether a person has to hear of it."""
        return self.expected and self.outcome is not Outcome.AS_EXPECTED

    @property
    def words(self) -> str:
        """What is not as expected, in one line."""
        wrong = [one.words for one in self.fields if one.holds is not True]
        return f"{self.name}: {'; '.join(wrong) or self.answer}"


class RunReport(Frozen):
    """What came of a run."""

    outcome: Outcome
    steps: tuple[StepReport, ...] = ()
    problem: str | None = None
    """Why it failed; None where it did not."""

    @property
    def findings(self) -> dict[str, str]:
        """What is not as expected, by the name of its step, in words."""
        found = {one.name: one.words for one in self.steps if one.finding}
        return found if self.problem is None else {RUN_FAILED: self.problem}

    @property
    def summary(self) -> str:
        """One line."""
        if self.problem is not None:
            return f"failed: {self.problem}"
        if not self.findings:
            return "as expected"
        return "not as expected: " + "; ".join(self.findings.values())


class ScheduledRun(Frozen):
    """One run of a scheduled rule, made or not."""

    id: UUID
    rule: str
    rulebook_hash: str
    state: RunState
    planned_for: datetime | None = None
    """Civil; of several that were missed the last. None where a person asked for it."""
    planned_from: datetime | None = None
    """Of several that were missed, the first."""
    missed: int = 0
    """How many planned times this row stands for, where they were missed."""
    why: str | None = None
    """Why it was not made."""
    asked_by: str | None = None
    reason: str | None = None
    owner: UUID | None = None
    epoch: int = 0
    """How often somebody began it."""
    at: datetime
    """When it was decided."""
    deadline: datetime | None = None
    found_at: datetime | None = None
    ended_at: datetime | None = None
    report: RunReport | None = None


class PlanStanding(Frozen):
    """How the plan of a rule stands in the store."""

    rule: str
    plan: str
    """`Plan.key`."""
    decided_to: datetime
    """Civil. What was planned up to here is run, skipped or missed."""
    going: ScheduledRun | None = None
    owner_alive: bool = False
    """Whether the owner of the run that is going is alive."""
    last: ScheduledRun | None = None
    """The newest that is over: made, skipped or missed."""


class ScheduleStanding(Frozen):
    """All plans, read at one moment."""

    now: datetime
    civil: datetime
    plans: tuple[PlanStanding, ...] = Field(default=())
