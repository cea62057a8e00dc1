"""Claims about a backtest by itself: what it counts, what it keeps, and what it lets go of."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from responder.engine.settings import EngineSettings
from responder.model.alert import Alert, Observation, Standing, content_hash, fingerprint
from responder.model.budget import Budgets
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.ports import NewIncident
from responder.rehearsal.backtest import Backtest, Setting
from responder.rehearsal.recorded import Fact, FactKind, Known
from responder.rehearsal.result import Result, result_of
from responder.rehearsal.rows import moments
from responder.rehearsal.scene import own_actions
from responder.rulebook.load import check_texts
from tests.support.rule_surroundings import surroundings

T0 = datetime(2026, 11, 1, tzinfo=UTC)
SILENCE = "{action: alertmanager.silence, with: {matchers: [{alertname: Down, db: $labels.db}], lasts: 5h}"
CANCEL = "{action: postgres.cancel_queries, with: {connection: orders, older_than: 1m}}"


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def fires(since: float, until: float | None = None, **labels: str) -> list[Observation]:
    """An episode as it is heard of."""
    known = {"alertname": "Down", "db": "x", **labels}
    told: list[tuple[Standing, float, datetime | None]] = [(Standing.FIRING, since, None)]
    if until is not None:
        told.append((Standing.RESOLVED, until, after(until)))
    rows = []
    for standing, at, ends in told:
        alert = Alert(fingerprint(known), known, {}, standing, after(since), ends)
        rows.append(Observation("main", alert, after(at), content_hash(alert)))
    return rows


async def played(
    rule: str,
    rows: Iterable[Observation],
    *,
    until: float,
    facts: Iterable[Fact] = (),
    engine: EngineSettings | None = None,
) -> tuple[Backtest, Result]:
    around = surroundings()
    text = f"rules:\n  - name: Down\n    autonomy: auto\n    match: ['alertname = \"Down\"']\n    {rule}\n"
    book = check_texts([("rules.yaml", text)], around)
    assert book.rulebook is not None, book.mistakes
    setting = Setting(
        T0, after(until), own_actions(around), frozenset({"main"}), engine=engine or EngineSettings()
    )
    backtest = Backtest(book.rulebook, setting)
    backtest.recall(facts)
    await backtest.hear(moments(sorted(rows, key=lambda one: one.received_at)))
    await backtest.end()
    return backtest, result_of(backtest)


async def test_an_incident_that_is_woken_while_it_waits_is_counted_once() -> None:
    """And one that is over before its `for` is none."""
    rows = [row for n in range(12) for row in fires(n / 2, pod=f"p{n}")]
    rule = "severity: P2\n    for: 10m\n    group_by: [db]\n    evidence: []\n    escalate: true"
    _, result = await played(rule, rows, until=60)
    assert result.incidents == 1
    assert result.severities == {Severity.P2: 1}
    assert sum(one.opened.get(Severity.P2, 0) for one in result.over_time) == 1
    _, none = await played(rule, fires(0, 5), until=60)
    assert (none.incidents, none.silent) == (0, ("Down",))


async def test_an_undo_is_no_start() -> None:
    """What is taken back was counted when it was done."""
    rule = (
        f"severity: P2\n    group_by: [db]\n    steps: [{SILENCE}, undo: if_not_recovered}}]\n"
        "    verify: {alert_resolved_within: 5m, stable_for: 1m}"
    )
    _, result = await played(rule, fires(0), until=60)
    assert result.starts == {"alertmanager.silence": 1}


async def test_maintenance_that_ends_early_wakes_what_it_kept_quiet() -> None:
    """As in the service: it is judged anew at its end."""
    told = {
        "id": 7,
        "kind": "maintenance",
        "match": [],
        "allow": [],
        "actor": "ada",
        "reason": "deploy",
        "since": after(1).isoformat(),
        "until": after(240).isoformat(),
        "ended_at": after(20).isoformat(),
    }
    rule = (
        f"severity: P2\n    group_by: [db]\n    steps: [{CANCEL}]\n"
        "    verify: {alert_resolved_within: 5m, stable_for: 1m}"
    )
    window = Fact(after(1), FactKind.RESTRAINT, ("", b""), told)
    backtest, _ = await played(rule, fires(2), until=60, facts=[window])
    [attempt] = backtest.rehearsal.memory.ledger.attempts.values()
    assert attempt.intended_at == after(20)


async def test_words_that_fit_no_incident_are_counted() -> None:
    """Nothing is done by them, and people are told how many there were."""
    told = {"kind": "take_over", "actor": "ada", "reason": "mine", "facts": {}}
    rule = "severity: P2\n    group_by: [db]\n    evidence: []\n    escalate: true"
    of = NewIncident("Down", "", {"db": "x"}, Severity.P2, timedelta(0), ()).identity
    facts = [Fact(after(5), FactKind.COMMAND, one, told) for one in (of, ("Gone", b""))]
    backtest, result = await played(rule, fires(1), until=60, facts=facts)
    assert [(one.text, one.of, one.times) for one in result.recorded] == [
        (Known.PEOPLE.value, "take_over", 1),
        (Known.UNFIT.value, "take_over", 1),
    ]
    [kept] = backtest.rehearsal.memory.incidents.values()
    assert kept.incident.state is IncidentState.TAKEN_OVER


async def test_what_is_lent_behind_another_is_given_back_after_it() -> None:
    """Of several on one target the newest comes first; then the other's time is over, too."""
    rule = (
        f"severity: P2\n    group_by: [pod]\n    steps: [{SILENCE.replace('$labels.db', 'x')}, "
        "undo: {after: 1h}}]\n    limits: {attempts: 10, per: 10m, cooldown: 1m}\n"
        "    verify: {alert_resolved_within: 5m, stable_for: 1m}"
    )
    rows = [*fires(1, 3, pod="a"), *fires(31, 33, pod="b")]
    backtest, _ = await played(rule, rows, until=300)
    opened = [one.incident.rule for one in backtest.rehearsal.memory.incidents.values()]
    assert opened.count("give-back/Down") == 2


async def test_a_budget_of_a_week_is_counted_for_a_week() -> None:
    """What it counts is kept for as long, and said by its guard where it holds."""
    budgets = Budgets(target=3, namespace=10, globally=10, within=timedelta(days=7))
    rows = [row for n in range(8) for row in fires(n * 720, n * 720 + 10)]
    rule = (
        "severity: P2\n    group_by: [db]\n    steps: [{action: postgres.terminate_queries, "
        "with: {connection: orders, older_than: 1m}}]\n"
        "    verify: {alert_resolved_within: 20m, stable_for: 1m}"
    )
    _, result = await played(rule, rows, until=8 * 720, engine=EngineSettings(budgets=budgets))
    assert result.starts == {"postgres.terminate_queries": 3}
    assert ("budget", "wait") in {(one.guard, one.ruling) for one in result.guards}


async def test_a_rule_has_no_more_open_incidents_than_the_settings_allow() -> None:
    """The others are one overflow incident, as in the service."""
    rows = [row for n in range(9) for row in fires(n, db=f"d{n}")]
    rule = "severity: P2\n    group_by: [db]\n    evidence: []\n    escalate: true"
    _, result = await played(rule, rows, until=60, engine=EngineSettings(open_incidents_per_rule=5))
    assert result.incidents == 6
