"""Properties of the fold: order, duplication and peers do not matter, and nothing that fires is lost."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from responder.decide.fold import AlertRecord, fold, settle_contest, step
from responder.model.alert import Alert, Observation, Standing, content_hash

WINDOW = timedelta(seconds=60)
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment, in seconds after the start."""
    return START + timedelta(seconds=seconds)


def row(standing: Standing, received: float, starts: float, ends: float | None = None) -> Observation:
    """One observation."""
    alert = Alert(
        fingerprint="0" * 16,
        labels={"alertname": "A"},
        annotations={"summary": f"seen {received % 2:g}"},
        standing=standing,
        starts_at=at(starts),
        ends_at=at(ends) if ends is not None else None,
    )
    return Observation("am", alert, at(received), content_hash(alert))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Any observation within ten minutes; ends are not before starts."""
    standing = draw(st.sampled_from(list(Standing)))
    starts = draw(st.integers(0, 300))
    received = draw(st.integers(0, 600))
    match standing:
        case Standing.RESOLVED:
            return row(standing, received, starts, starts + draw(st.integers(0, 300)))
        case Standing.GONE:
            return row(standing, received, starts, max(0, received - draw(st.integers(0, 20))))
        case _:
            return row(standing, received, starts)


def folded(rows: list[Observation], now: float = 10_000) -> AlertRecord:
    """The fold, which must give a record."""
    record = fold(rows, WINDOW, at(now))
    assert record is not None
    return record


@given(st.lists(observations(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_any_order_and_any_duplication_fold_to_the_same_record(
    rows: list[Observation], random: object
) -> None:
    """Whatever order the rows come in, and however often, the record is the same."""
    again = [*rows, *rows[: len(rows) // 2]]
    random.shuffle(again)  # type: ignore[attr-defined] # hypothesis types randoms() as object
    assert folded(again) == folded(rows)


@given(st.lists(observations(), min_size=1, max_size=12), st.integers(0, 2000))
def test_row_by_row_equals_the_whole(rows: list[Observation], now: int) -> None:
    """Folding each new row into the stored record gives what folding all rows from the start gives."""
    record: AlertRecord | None = None
    ordered = sorted({r.order: r for r in rows}.values(), key=lambda r: r.order)
    for one in ordered:
        record = step(record, one, WINDOW)
    assert record is not None
    moment = max(at(now), ordered[-1].received_at)
    assert settle_contest(record, WINDOW, moment) == fold(rows, WINDOW, moment)


@given(
    st.lists(observations(), max_size=12),
    st.integers(0, 600),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_what_one_delivery_tells_to_fire_and_to_have_ended_fires_until_a_later_end(
    rows: list[Observation], received: int, starts: int, ended: int, lasted: int
) -> None:
    """Two replicas of a Prometheus, one of which resolves: the alert goes on, and ends with the other one."""
    before = [r for r in rows if r.received_at < at(received)]
    body = [
        row(Standing.FIRING, received, starts),
        row(Standing.RESOLVED, received, ended, ended + lasted),
    ]
    assert folded([*before, *body]).firing
    told = [r.alert for r in (*before, *body)]
    latest = max([r.starts_at for r in told] + [r.ends_at for r in told if r.ends_at]) - START
    end = row(Standing.RESOLVED, 601, starts, latest.total_seconds() + 1)
    assert not folded([*before, *body, end]).firing


def test_a_replica_that_resolves_does_not_begin_a_new_episode() -> None:
    """The other one fires on in the same delivery: the episode is the same, with the same start."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.FIRING, 1, 5), row(Standing.RESOLVED, 60, 0, 59)]
    record = folded([*rows, row(Standing.FIRING, 60, 5)], now=60)
    assert (record.firing, record.generation, record.starts_at) == (True, 1, at(0))
    later = [
        row(Standing.RESOLVED, 70, 5, 69),
        row(Standing.RESOLVED, 90, 0, 88),
        row(Standing.FIRING, 90, 80),
    ]
    again = folded([*rows, *later], now=90)
    assert (again.firing, again.generation, again.starts_at) == (True, 2, at(80))


@given(st.lists(observations(), min_size=1, max_size=12), st.integers(0, 300), st.booleans())
def test_the_last_word_that_it_fires_is_never_lost(
    rows: list[Observation], starts: int, confirmed: bool
) -> None:
    """If the newest observation says firing, then after the contest window, unanswered, it fires."""
    last = row(Standing.CONFIRMED if confirmed else Standing.FIRING, 601, starts)
    assert folded([*rows, last]).firing


@given(st.lists(observations(), min_size=1, max_size=12), st.integers(0, 600))
def test_a_start_after_every_end_fires_in_whatever_order_they_come(
    rows: list[Observation], received: int
) -> None:
    """What began later than everything ended is firing, however late the ends are told."""
    told = [r for r in rows if r.alert.standing in {Standing.FIRING, Standing.RESOLVED}]
    assert folded([*told, row(Standing.FIRING, received, 601)]).firing


@given(st.lists(observations(), min_size=1, max_size=12), st.integers(601, 900))
def test_a_later_end_than_any_known_closes(rows: list[Observation], ends: int) -> None:
    """A resolve whose end is later than everything said before leaves nothing firing or contested."""
    record = folded([*rows, row(Standing.RESOLVED, 700, 600, ends)])
    assert not record.firing
    assert record.contested_at is None


@given(st.lists(observations(), min_size=1, max_size=12))
def test_generations_never_run_backwards(rows: list[Observation]) -> None:
    """Each further row leaves the generation as it was or raises it by one."""
    record: AlertRecord | None = None
    for one in sorted({r.order: r for r in rows}.values(), key=lambda r: r.order):
        before = record.generation if record else 0
        record = step(record, one, WINDOW)
        assert before <= record.generation <= before + 2  # a contest that ran out, and a new start


def test_two_peers_tell_one_episode() -> None:
    """Two peers that send the same firing and the same end, interleaved, make one closed episode."""
    record = folded(
        [
            row(Standing.FIRING, 1, 0),
            row(Standing.FIRING, 2, 0),
            row(Standing.RESOLVED, 10, 0, 9),
            row(Standing.RESOLVED, 11, 0, 9),
        ]
    )
    assert (record.generation, record.ends_at) == (1, at(9))


def test_a_timeout_resolve_and_the_same_start_again_is_contested_then_fires() -> None:
    """Alertmanager times an alert out and resends its old start: contested, then a new episode."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.RESOLVED, 10, 0, 9), row(Standing.FIRING, 20, 0)]
    contested = folded(rows, now=79)
    assert (contested.firing, contested.contested_at) == (False, at(20))
    assert folded(rows, now=80).firing
    assert folded(rows, now=80).generation == 2


def test_the_known_end_told_late_by_a_peer_does_not_end_a_contest() -> None:
    """A second peer's copy of the timeout resolve, after the contest began or was won, changes nothing."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.RESOLVED, 10, 0, 9), row(Standing.FIRING, 20, 0)]
    late = row(Standing.RESOLVED, 21, 0, 9)
    later = row(Standing.RESOLVED, 90, 0, 9)
    assert folded([*rows, late], now=80).firing
    assert folded([*rows, late, later], now=100).firing


def test_the_sources_word_decides_a_contest() -> None:
    """Confirmed: fires at once. Absent: the contest is over."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.RESOLVED, 10, 0, 9), row(Standing.FIRING, 20, 0)]
    assert folded([*rows, row(Standing.CONFIRMED, 21, 0)], now=22).firing
    absent = folded([*rows, row(Standing.ABSENT, 21, 0)], now=500)
    assert (absent.firing, absent.contested_at) == (False, None)


def test_an_answer_older_than_the_end_does_not_reopen() -> None:
    """The API said "fires", then the end came, then the answer was journaled: contested, not open."""
    record = folded(
        [row(Standing.FIRING, 1, 0), row(Standing.RESOLVED, 10, 0, 9), row(Standing.CONFIRMED, 11, 0)], now=12
    )
    assert not record.firing


@given(st.lists(observations(), min_size=1, max_size=12), st.integers(-4000, 4000))
def test_what_the_source_has_forgotten_ends_whatever_its_clock_says(
    rows: list[Observation], ahead: int
) -> None:
    """Gone closes an episode however far off its clock is; a later start fires, the same is contested."""
    shifted = [
        row(
            r.alert.standing,
            (r.received_at - START).total_seconds(),
            (r.alert.starts_at - START).total_seconds() + ahead,
            (r.alert.ends_at - START).total_seconds() + ahead if r.alert.ends_at else None,
        )
        for r in rows
        if r.alert.standing is not Standing.GONE
    ]
    gone = [*shifted, row(Standing.GONE, 701, 0, 700)]
    before = fold(shifted, WINDOW, at(701))
    assert not folded(gone, now=701).firing
    if before is not None and before.firing:
        start = (before.starts_at - START).total_seconds()
        assert folded(gone, now=701).ends_at == at(700)
        again = folded([*gone, row(Standing.FIRING, 702, start)], now=702)
        assert (again.firing, again.contested_at) == (False, at(702))
        newest = max(before.newest_start, before.last_end or before.newest_start)
        later = (newest - START).total_seconds() + 1
        assert folded([*gone, row(Standing.FIRING, 702, later)], now=702).firing


def test_gone_does_not_end_what_was_heard_of_after_the_source_was_asked() -> None:
    """A firing that came between the last question and its answer's row keeps the episode open."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.FIRING, 20, 0), row(Standing.GONE, 21, 0, 19)]
    assert folded(rows, now=22).firing


def test_a_start_that_was_heard_before_a_late_end_is_contested() -> None:
    """Fires since 0, then since 400, and only then a slower peer tells of the end at 300: it fires again."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.FIRING, 2, 400), row(Standing.RESOLVED, 3, 0, 300)]
    assert folded(rows, now=4).contested_starts_at == at(400)
    late = folded(rows)
    assert (late.firing, late.starts_at, late.last_end) == (True, at(400), at(300))
    assert folded([*rows, row(Standing.CONFIRMED, 4, 400)], now=5).firing
    assert not folded([*rows, row(Standing.RESOLVED, 4, 400, 500)]).firing


def test_ends_that_come_late_one_after_the_other_leave_the_start_after_them_contested() -> None:
    """Two late ends, both before the newest start: it fires after the window all the same."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.FIRING, 2, 601)]
    ends = [row(Standing.RESOLVED, 3, 0, 5), row(Standing.RESOLVED, 4, 0, 9)]
    assert folded([*rows, *ends]).firing


def test_a_start_in_the_future_is_ended_by_the_sources_word() -> None:
    """A start that a wrong clock put far ahead: the real end ends it too, when the source says so."""
    rows = [row(Standing.FIRING, 1, 2400), row(Standing.FIRING, 2, 0), row(Standing.RESOLVED, 60, 0, 59)]
    assert not folded([*rows, row(Standing.ABSENT, 61, 2400)]).firing


def test_a_start_that_goes_backwards_is_merged() -> None:
    """Alertmanager merges to the earliest start; an open episode keeps the smaller one."""
    record = folded([row(Standing.FIRING, 1, 50), row(Standing.FIRING, 2, 20)])
    assert (record.starts_at, record.generation) == (at(20), 1)


def test_an_answer_from_within_the_window_counts_though_it_is_brought_after_it() -> None:
    """Another process settled the contest meanwhile: the row sorts before that, so all is folded anew."""
    rows = [row(Standing.FIRING, 1, 0), row(Standing.RESOLVED, 10, 0, 9), row(Standing.FIRING, 20, 0)]
    record: AlertRecord | None = None
    for one in rows:
        record = step(record, one, WINDOW)
    assert record is not None
    settled = settle_contest(record, WINDOW, at(81))
    late, later = row(Standing.ABSENT, 79.5, 0), row(Standing.ABSENT, 80, 0)
    assert (settled.firing, late.order < settled.last_order < later.order) == (True, True)
    assert not folded([*rows, late], now=82).firing
