"""Dossiers for tests of the review: an incident told entry by entry, chained as the store chains it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from responder.cli.story import told_story
from responder.decide.case import Terms
from responder.decide.told_next import promised
from responder.model.attempt import Attempt, ElementOutcome, Outcome, Verdict
from responder.model.incident import Incident, IncidentState, MemberAlert, Members, Progress
from responder.model.rule import Raise
from responder.model.severity import MANUAL_TERMS, Severity
from responder.model.target import Element
from responder.model.timeline import GENESIS, Entry, EntryKind, body_hash, link
from responder.ports import Dossier
from responder.review.facts import ReviewFacts, read
from responder.review.write import Form, write_review

BEGIN = datetime(2026, 11, 20, 23, 59, 30, 250_000, tzinfo=UTC)
"""When the incident of every dossier was detected: shortly before midnight, so that dates matter."""
INCIDENT = UUID("019aa000-0000-7000-8000-000000000001")
ATTEMPT = UUID("019aa000-0000-7000-8000-0000000000aa")
TARGET = "postgres/orders"
ACTION = "postgres.terminate_queries"
_KEY = b"a key of the tests"


def after(seconds: float) -> datetime:
    """A moment so many seconds after the detection."""
    return BEGIN + timedelta(seconds=seconds)


class Story:
    """Collects what happened; `dossier` is what the store would give for it."""

    def __init__(self, *, severity: Severity = Severity.P2, labels: dict[str, str] | None = None) -> None:
        self.severity = severity
        self.labels = labels or {"datname": "orders", "server": "db1"}
        self.annotations = {"summary": "A query runs for 12 minutes"}
        self.rule: dict[str, Any] = {
            "name": "RunawayQueries",
            "owner": "database",
            "runbook_url": "https://runbooks.example.org/pg#long",
        }
        self.entries: list[Entry] = []
        self.attempts: list[Attempt] = []
        self.alerts = 1
        self.generation = 1
        self.starts_at = BEGIN - timedelta(seconds=20)
        self.heard_at = BEGIN
        self.missing_entries = 0
        self._previous = GENESIS

    def tell(
        self, seconds: float, kind: EntryKind, text: str, actor: str = "responder", **facts: Any
    ) -> "Story":
        """Append one entry."""
        entry = Entry(
            incident_id=INCIDENT,
            number=len(self.entries) + 1,
            at=after(seconds),
            kind=kind,
            actor=actor,
            text=text,
            facts=facts,
            body_hash=body_hash(text, facts),
            mac=b"",
            key_id="tests",
        )
        mac = link(_KEY, self._previous, entry)
        self.entries.append(entry.model_copy(update={"mac": mac}))
        self._previous = mac
        return self

    def opens(self) -> "Story":
        """The ladder begins."""
        self.tell(
            0.01,
            EntryKind.OPENED,
            f"{self.severity} RunawayQueries opened for datname=orders, server=db1",
            rule="RunawayQueries",
            severity=self.severity.value,
            labels=self.labels,
        )
        return self.tell(
            0.01, EntryKind.ALERT, "1 alert joined; 1 of 1 firing", joined=1, firing=1, total=self.alerts
        )

    def moves(self, seconds: float, before: str, to: str, why: str) -> "Story":
        """The state changes."""
        return self.tell(seconds, EntryKind.STATE, f"{to}: {why}", **{"from": before, "to": to, "why": why})

    def judges(
        self,
        seconds: float,
        ruling: str,
        guard: str,
        reason: str,
        *,
        shadow: bool = False,
        elements: tuple[str, ...] = (),
        more: int = 0,
    ) -> "Story":
        """A step is judged that found these elements, and `more` that are not named."""
        return self.tell(
            seconds,
            EntryKind.JUDGED,
            f"{ACTION} on {TARGET}: {reason}",
            step=0,
            action=ACTION,
            target=TARGET,
            ruling=ruling,
            decided_by=guard,
            reason=reason,
            shadow=shadow,
            verdicts=[
                {"guard": "halt", "ruling": "go", "reason": "not halted"},
                {"guard": guard, "ruling": ruling, "reason": reason},
            ],
            elements=list(elements),
            element_count=len(elements) + more,
        )

    def acts(self, seconds: float, outcome: Outcome, verdict: Verdict | None = None) -> "Story":
        """An attempt is made and has an outcome 40 ms later."""
        attempt = an_attempt(after(seconds), outcome, verdict)
        self.attempts.append(attempt)
        self.judges(seconds, "go", "autonomy", "auto by every ceiling")
        titles = [element.title for element in attempt.elements]
        told = {"attempt": str(attempt.id), "action": ACTION, "target": TARGET}
        self.tell(seconds, EntryKind.INTENT, f"about to run {ACTION}", **told, step=0, elements=titles)
        return self.tell(seconds + 0.04, EntryKind.EFFECT, f"{ACTION}: {outcome.value}", **told)

    def verifies(self, seconds: float, verdict: Verdict | None, reading: str) -> "Story":
        """A verification is read."""
        said = verdict.value if verdict else None
        text = f"Verification: {reading}"
        return self.tell(seconds, EntryKind.VERIFICATION, text, verdict=said, reading=reading)

    def escalates(self, seconds: float, level: int, reason: str) -> "Story":
        """A person is told."""
        return self.tell(
            seconds, EntryKind.ESCALATION, f"Escalated (level {level}): {reason}", level=level, reason=reason
        )

    def dossier(self, state: IncidentState, *, firing: int = 0, **progress: Any) -> Dossier:
        """The dossier as it stands after the last entry."""
        last = self.entries[-1].at if self.entries else BEGIN
        incident = Incident(
            id=INCIDENT,
            rule="RunawayQueries",
            rulebook_hash="ab" * 32,
            key=self.labels,
            severity=self.severity,
            state=state,
            opened_at=BEGIN,
            state_since=last,
            deadline=None,
            due_at=None,
            epoch=3,
            progress=Progress(**progress),
            timeline_length=len(self.entries) + self.missing_entries,
        )
        return Dossier(
            incident=incident,
            rule=self.rule,
            members=self._members(firing, last),
            attempts=tuple(self.attempts),
            entries=tuple(self.entries),
        )

    def _members(self, firing: int, last: datetime) -> Members:
        sample = tuple(
            MemberAlert(
                source="default",
                fingerprint=f"{number:016x}",
                generation=self.generation,
                labels={**self.labels, "instance": f"10.0.0.{number}"},
                annotations=self.annotations,
                starts_at=self.starts_at,
                ends_at=None if firing else last,
                seen_at=last,
                joined_at=BEGIN,
            )
            for number in range(1, self.alerts + 1)
        )
        return Members(
            firing=firing,
            total=self.alerts,
            first_starts_at=self.starts_at,
            first_heard_at=self.heard_at,
            newest_seen_at=last,
            sample=sample,
            common_labels=self.labels,
        )


def an_attempt(at: datetime, outcome: Outcome, verdict: Verdict | None) -> Attempt:
    """One attempt on one backend, with the state before, and after where the outcome is known."""
    backend = Element(key="4711@2026-11-20", title="pid 4711 of app as reporting")
    blocked = {"pid": 4711, "age": "12m", "query": "select pg_sleep(3600)"}
    known = outcome is not Outcome.UNKNOWN
    return Attempt(
        id=ATTEMPT,
        incident_id=INCIDENT,
        rule="RunawayQueries",
        step=0,
        action=ACTION,
        params={"older_than": "10m", "at_most": 5},
        target=TARGET,
        elements=(backend,),
        results=(ElementOutcome(element=backend.key, outcome=outcome, detail="terminated"),),
        outcome=outcome,
        verdict=verdict,
        verdict_at=at + timedelta(seconds=50) if verdict else None,
        intended_at=at,
        start_before=at + timedelta(seconds=5),
        timeout_s=30,
        ended_at=at + timedelta(milliseconds=40),
        fenced=True,
        state_before={"backends": [blocked], "blocked": 3},
        state_after={"backends": [], "blocked": 0} if known else None,
    )


def recovered() -> Story:
    """The common case: one action, verified, nobody was told."""
    return (
        Story()
        .opens()
        .tell(
            0.3,
            EntryKind.EVIDENCE,
            "postgres.activity: 1 query over 10m blocks 3 sessions",
            action="postgres.activity",
            summary="1 query over 10m blocks 3 sessions",
        )
        .acts(0.4, Outcome.DONE, Verdict.RECOVERED)
        .moves(0.5, "remediating", "verifying", "it ran; is it better?")
        .verifies(0.6, None, "the source says that the alert still fires")
        .tell(25, EntryKind.ALERT, "no alert fires any more (1 in all)", joined=0, firing=0, total=1)
        .verifies(55, Verdict.RECOVERED, "the source says that the alert ended")
        .moves(55, "verifying", "resolved", "recovered, stable for 30s")
        .moves(1855, "resolved", "closed", "it stayed resolved")
    )


def facts_of(dossier: Dossier) -> ReviewFacts:
    """What the review reads, by the manual's terms."""
    return read(dossier, MANUAL_TERMS[dossier.incident.severity])


def review_of(dossier: Dossier, form: Form) -> str:
    """The review, by the manual's terms."""
    return write_review(dossier, form, MANUAL_TERMS)


def story_of(dossier: Dossier, now: datetime) -> dict[str, list[str]]:
    """What `incidents show` tells, by the manual's terms; the log alone is told."""
    raises = [Raise.model_validate(one) for one in dossier.rule.get("raise", ())]
    told = promised(dossier.incident, len(dossier.rule.get("steps", ())), Terms(), raises)
    return dict(told_story(dossier, told, now))
