"""What a reading means for a running verification: recovered, not recovered, no data, or look again when."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.decide.case import AttemptVerdict, Case, Change, ProbeReading, Reading, SourceView, Terms
from responder.decide.verify import assess, over, stable
from responder.model.attempt import Attempt, Outcome, Verdict
from responder.model.incident import IncidentState, Progress, Verification
from responder.model.rule import Comparison, PromqlProbe, SqlProbe, Undo
from responder.model.timeline import EntryKind
from tests.support.dossiers import ATTEMPT, an_attempt
from tests.support.virtual import START, VirtualStore, World, incident, ladder, lease_of, members

TERMS = Terms()
SECOND = timedelta(seconds=1)
DEADLINE = START + timedelta(minutes=5)
ABOVE = Comparison(op="<", value=1.0)
STABLE = timedelta(seconds=30)
"""The rule's `stable_for`."""
RUNNING = Verification(started_at=START, deadline=DEADLINE, attempt_id=ATTEMPT)
ENDED = SourceView(configured=True, absent=1)
FIRES = SourceView(configured=True, firing=1)
SILENT = SourceView(configured=True, problem="timeout")
NOT_ASKED = SourceView(configured=False)
GOOD, BAD, EMPTY = (ProbeReading(holds=holds, text=f"probe {holds}") for holds in (True, False, None))


def verifying(
    running: Verification | None = RUNNING,
    *,
    firing: int = 1,
    undo: Undo = Undo.NEVER,
    attempt: Attempt | None = None,
    **rule: Any,
) -> Case:
    """A case in which that verification runs."""
    told = Progress(verification=running, opened_at=START)
    given = incident(IncidentState.VERIFYING, deadline=DEADLINE + STABLE, progress=told)
    store = VirtualStore(World(), ladder(undo=undo), given, members(firing=firing))
    case = asyncio.run(store.load(lease_of(store)))
    return case.model_copy(update={"attempt": attempt, "rule": case.rule.model_copy(update=rule)})


def read(case: Case, view: SourceView, now: datetime, *probes: ProbeReading) -> Change:
    """The change by one reading."""
    return assess(case, Reading(source=view, probes=probes), now, TERMS)


def since(good: datetime | None, **more: Any) -> Verification:
    """A verification in which all has been good since then."""
    return RUNNING.model_copy(update={"good_since": good, **more})


def kept(change: Change) -> Verification:
    """The verification as it goes on."""
    assert change.state is IncidentState.VERIFYING
    assert change.progress.verification is not None
    return change.progress.verification


READINGS = [
    (ENDED, 1, (), True, None, "the source says that the alert ended"),
    (FIRES, 0, (), False, None, "the source says that the alert still fires"),
    (
        SourceView(configured=True, suppressed=1),
        0,
        (),
        False,
        None,
        "the source says that the alert still fires",
    ),
    (SILENT, 0, (), False, "the source does not say whether the alert ended: timeout", None),
    (NOT_ASKED, 0, (), True, None, "the alert ended (as notified)"),
    (NOT_ASKED, 1, (), False, None, "the alert still fires (as notified)"),
    (ENDED, 1, (GOOD,), True, None, "the source says that the alert ended; probe True"),
    (ENDED, 1, (GOOD, BAD), False, None, "the source says that the alert ended; probe True; probe False"),
    (ENDED, 1, (EMPTY,), False, "the source says that the alert ended; probe None", None),
    (FIRES, 1, (EMPTY,), False, None, "the source says that the alert still fires; probe None"),
    (ENDED, 1, (EMPTY, BAD), False, None, "the source says that the alert ended; probe None; probe False"),
]


@pytest.mark.parametrize(("view", "firing", "probes", "good", "no_data", "text"), READINGS)
def test_a_reading_is_good_bad_or_no_data(
    view: SourceView,
    firing: int,
    probes: tuple[ProbeReading, ...],
    good: bool,
    no_data: str | None,
    text: str | None,
) -> None:
    """Good needs everything; what is bad is bad, whatever else could not be answered."""
    change = read(verifying(firing=firing), view, START + SECOND, *probes)
    found = kept(change)
    assert (found.good_since, found.no_data) == (START + SECOND if good else None, no_data)
    assert found.last == (text or no_data)
    assert change.entries[0].text == f"Verification, not yet: {found.last}"
    assert change.entries[0].facts == {"verdict": None, "reading": found.last}


def test_what_each_probe_said_is_kept_with_every_verdict() -> None:
    """Whoever plays the past anew is answered by it; also where nobody could say."""
    case = verifying(since(START), firing=0)
    assert case.rule.verify is not None
    asked = [PromqlProbe.model_validate({"promql": name, "is": ABOVE}) for name in ("up", "down")]
    verify = case.rule.verify.model_copy(update={"probes": tuple(asked)})
    case = case.model_copy(update={"rule": case.rule.model_copy(update={"verify": verify})})
    for now, probes in (
        (START + SECOND, (GOOD, EMPTY)),
        (DEADLINE, (GOOD, BAD)),
        (DEADLINE, (EMPTY, EMPTY)),
        (START + STABLE, (GOOD, GOOD)),
    ):
        [told] = [one for one in read(case, ENDED, now, *probes).entries if "probes" in one.facts]
        assert told.kind is EntryKind.VERIFICATION
        assert told.facts["probes"] == {
            str(probe): one.holds for probe, one in zip(asked, probes, strict=True)
        }


def test_a_break_begins_the_time_of_being_good_anew() -> None:
    """Good goes on from its first reading; one that is not good ends it."""
    case = verifying(since(START))
    assert kept(read(case, ENDED, START + 9 * SECOND)).good_since == START
    assert kept(read(case, FIRES, START + 9 * SECOND)).good_since is None


def test_the_same_reading_is_told_once() -> None:
    """The timeline has each change of what is read, and not each look."""
    text = "the source says that the alert still fires"
    assert read(verifying(since(None, last=text)), FIRES, START).entries == ()
    assert len(read(verifying(since(None, last="something else")), FIRES, START).entries) == 1


NEXT_LOOKS = [
    (START, None, FIRES, START + TERMS.verify_every),
    (DEADLINE - 2 * SECOND, None, FIRES, DEADLINE),
    (DEADLINE - 2 * SECOND, DEADLINE - 9 * SECOND, ENDED, DEADLINE),
    (START + 27 * SECOND, START, ENDED, START + STABLE),
    (DEADLINE + STABLE - SECOND, DEADLINE + 9 * SECOND, ENDED, DEADLINE + STABLE),
    (DEADLINE, DEADLINE - 9 * SECOND, ENDED, DEADLINE + TERMS.verify_every),
]


@pytest.mark.parametrize(("now", "good", "view", "due"), NEXT_LOOKS)
def test_the_next_look_is_soon_and_at_each_moment_that_decides(
    now: datetime, good: datetime | None, view: SourceView, due: datetime
) -> None:
    """At the deadline, when it was good for long enough, and when the time is up for that, too."""
    change = read(verifying(since(good)), view, now)
    assert (change.state, change.due_at) == (IncidentState.VERIFYING, due)


def test_recovered_needs_the_whole_time_and_that_nothing_fires_by_our_record() -> None:
    """One second less is not stable; while the journal says that it fires it is not closed over its head."""
    case = verifying(since(START), firing=0)
    kept(read(case, ENDED, START + STABLE - SECOND))
    change = read(case, ENDED, START + STABLE)
    assert change.state is IncidentState.RESOLVED
    assert change.verdict == AttemptVerdict(attempt_id=ATTEMPT, verdict=Verdict.RECOVERED)
    assert change.quiet
    assert change.entries[0].text.startswith("Verification, recovered: ")
    assert change.entries[0].facts["verdict"] == "recovered"
    assert "recovered, stable for 30s" in change.entries[-1].text
    kept(read(verifying(since(START), firing=1), ENDED, START + STABLE))


def test_without_a_time_to_be_stable_for_one_good_reading_is_enough() -> None:
    """A rule without `verify` is verified by the end of its alert alone."""
    change = read(verifying(firing=0, verify=None), ENDED, START)
    assert change.state is IncidentState.RESOLVED
    assert stable(verifying(verify=None), since(START), START)
    assert not stable(verifying(verify=None), since(None), START)


def test_at_the_deadline_what_is_not_good_has_not_recovered() -> None:
    """Not a moment before; the next step is taken, the claim is given up, the breaker counts it."""
    kept(read(verifying(), FIRES, DEADLINE - timedelta(microseconds=1)))
    change = read(verifying(), FIRES, DEADLINE)
    assert (change.state, change.progress.verification) == (IncidentState.OPEN, None)
    assert change.verdict == AttemptVerdict(
        attempt_id=ATTEMPT, verdict=Verdict.NOT_RECOVERED, breaks_after=TERMS.breaker_after
    )
    assert change.progress.take_back is None
    assert change.entries[0].text.startswith("Verification, not recovered: the source says")
    assert "not recovered in time: the source says" in change.entries[-1].text


def test_what_is_good_at_the_deadline_may_become_stable_and_no_longer() -> None:
    """It has `stable_for` more; then it was good for too short a time."""
    late = verifying(since(DEADLINE - SECOND), firing=0)
    kept(read(late, ENDED, DEADLINE))
    assert read(late, ENDED, DEADLINE + STABLE - SECOND).state is IncidentState.RESOLVED
    later = verifying(since(DEADLINE + SECOND), firing=0)
    kept(read(later, ENDED, DEADLINE + STABLE - SECOND))
    change = read(later, ENDED, DEADLINE + STABLE)
    assert change.state is IncidentState.OPEN
    assert change.entries[0].text == "Verification, not recovered: it was good for too short a time"


def test_an_end_that_is_never_notified_fails_after_one_look_more() -> None:
    """Stable by the source and firing by its notifications: two looks of patience, then the next step."""
    case, running = verifying(since(START)), since(START)
    last = DEADLINE + STABLE + 2 * TERMS.verify_every
    assert not over(case, running, last - timedelta(microseconds=1), TERMS)
    kept(read(case, ENDED, last - SECOND))
    change = read(case, ENDED, last)
    assert change.state is IncidentState.OPEN
    assert "notifications go on saying that it fires" in change.entries[0].text


def test_no_data_at_the_deadline_tells_a_person_and_takes_nothing_back() -> None:
    """Nobody knows whether it helped: no undo, no next step, and the breaker does not count it."""
    attempt = an_attempt(START, Outcome.DONE, None)
    case = verifying(attempt=attempt, undo=Undo.IF_NOT_RECOVERED).model_copy(update={"holds": True})
    change = read(case, SILENT, DEADLINE)
    assert change.state is IncidentState.ESCALATED
    assert change.progress.take_back is None
    assert change.verdict == AttemptVerdict(attempt_id=ATTEMPT, verdict=Verdict.NO_DATA)
    assert change.quarantine is None
    assert change.entries[0].text.startswith("Verification, no data: the source does not say")
    assert "nobody can say whether it recovered: the source does not say" in change.notices[0].text


OWED = [
    (Undo.IF_NOT_RECOVERED, {}, True),
    (Undo.NEVER, {}, False),
    (Undo.IF_NOT_RECOVERED, {"id": UUID(int=99)}, False),
    (Undo.IF_NOT_RECOVERED, {"step": 1}, True),
    (Undo.IF_NOT_RECOVERED, {"step": 2}, False),
]


@pytest.mark.parametrize(("undo", "changed", "owed"), OWED)
def test_what_did_not_help_is_taken_back_where_the_step_says_so(
    undo: Undo, changed: dict[str, Any], owed: bool
) -> None:
    """The attempt that was verified, by its own step's word; its target stays held until then.

    The timeline has the reading first, and then what follows from it, whether it is taken back or not.
    """
    attempt = an_attempt(START, Outcome.DONE, None).model_copy(update=changed)
    change = read(verifying(attempt=attempt, undo=undo), FIRES, DEADLINE)
    assert change.progress.take_back == (ATTEMPT if owed else None)
    assert change.progress.verification is None
    assert change.verdict is not None
    assert change.verdict.claim_stays is owed
    assert change.verdict.breaks_after == TERMS.breaker_after
    told = [entry.text for entry in change.entries]
    assert told[0] == "Verification, not recovered: the source says that the alert still fires"
    assert told[1:] == ["Open: not recovered in time: the source says that the alert still fires"]


def test_without_an_attempt_there_is_no_verdict() -> None:
    """What nothing was done for is judged all the same, and written nowhere in the ledger."""
    alone = verifying(since(None, attempt_id=None))
    change = read(alone, FIRES, DEADLINE)
    assert (change.state, change.verdict) == (IncidentState.OPEN, None)


def test_a_verification_that_never_began_tells_a_person() -> None:
    """It cannot be judged, and it must not be waited for."""
    change = read(verifying(None), ENDED, START)
    assert change.state is IncidentState.ESCALATED
    assert "a verification was to be read that never began" in change.notices[0].text


def test_a_probe_is_told_as_what_it_asks_and_expects() -> None:
    """In a backtest's assumptions, and in what the timeline keeps of a verification."""
    promql = PromqlProbe.model_validate({"promql": 'up{job="x"}', "is": ABOVE})
    assert str(promql) == 'up{job="x"} is < 1'
    named = SqlProbe.model_validate({"sql": "blocked", "connection": "orders", "is": ABOVE})
    assert str(named) == "the query blocked on orders is < 1"
    labels = {"server": "$labels.server", "db": "x"}
    found = SqlProbe.model_validate({"sql": "blocked", "connection": labels, "is": ABOVE})
    assert str(found) == "the query blocked on db=x, server=$labels.server is < 1"
