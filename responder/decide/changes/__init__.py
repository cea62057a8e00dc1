"""What a result means for an incident: each function turns a Case and what came back into a Change.

Every state that is entered here gets its deadline here. Verification is in `verify`.
"""

from responder.decide.changes.attempts import (
    ended,
    intended,
    not_yet_good,
    nothing_to_do,
    overall,
    part_needless,
    settled,
    too_late,
    undo_over,
    undo_owed,
    verifying,
)
from responder.decide.changes.base import go_on, moved, nothing_done, stay
from responder.decide.changes.by_hand import asked_by_hand
from responder.decide.changes.endings import (
    closed,
    escalated,
    failed,
    recorded,
    recorded_in_shadow,
    reminded,
    resolved,
    told_and_goes_on,
)
from responder.decide.changes.groups import part_waits, stopped
from responder.decide.changes.judging import (
    all_judged,
    all_judged_entries,
    asked_for_a_person,
    judged,
    judged_entry,
    quieted,
    rechecked,
    told_at_once,
    unsuppressed,
)
from responder.decide.changes.members import (
    evidence_read,
    evidence_started,
    findings_told,
    members_changed,
    opened,
    raised,
    reopened,
    severity_changed,
)
from responder.decide.changes.paging import paged, put_off
from responder.decide.changes.people import obeyed
from responder.decide.changes.spent import spent
from responder.decide.changes.storm import still_part_of_storm, storm_grew, storm_told

__all__ = [
    "all_judged",
    "all_judged_entries",
    "asked_by_hand",
    "asked_for_a_person",
    "closed",
    "ended",
    "escalated",
    "evidence_read",
    "evidence_started",
    "failed",
    "findings_told",
    "go_on",
    "intended",
    "judged",
    "judged_entry",
    "members_changed",
    "moved",
    "not_yet_good",
    "nothing_done",
    "nothing_to_do",
    "obeyed",
    "opened",
    "overall",
    "paged",
    "part_needless",
    "part_waits",
    "put_off",
    "quieted",
    "raised",
    "rechecked",
    "recorded",
    "recorded_in_shadow",
    "reminded",
    "reopened",
    "resolved",
    "settled",
    "severity_changed",
    "spent",
    "stay",
    "still_part_of_storm",
    "stopped",
    "storm_grew",
    "storm_told",
    "told_and_goes_on",
    "told_at_once",
    "too_late",
    "undo_over",
    "undo_owed",
    "unsuppressed",
    "verifying",
]
