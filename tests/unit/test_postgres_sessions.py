"""Which sessions are protected, and who waits for whom: the pure part of the PostgreSQL actions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from responder.actions.postgres import CancelParams, TerminateParams
from responder.actions.postgres_sessions import Protected, Session, protected, waiting_for


def row(**changes: Any) -> dict[str, Any]:
    plain = {
        "application": "shop",
        "query": "select 1",
        "own": False,
        "backend_type": "client backend",
        "opted_out": None,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "upkeep": False,
    }
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"own": True}, Protected.RESPONDER),
        ({"application": "responder"}, Protected.RESPONDER),
        ({"application": "responder store"}, Protected.RESPONDER),
        ({"backend_type": "walsender"}, Protected.REPLICATION),
        ({"backend_type": "autovacuum worker"}, Protected.SERVER),
        ({"backend_type": "logical replication worker"}, Protected.SERVER),
        ({"backend_type": "parallel worker"}, Protected.SERVER),
        ({"backend_type": "a kind that a later version brings"}, Protected.SERVER),
        ({"backend_type": None}, Protected.SERVER),
        ({"opted_out": ""}, Protected.OPTED_OUT),
        ({"opted_out": "until 2026-01-02T00:00:00Z: migration"}, Protected.OPTED_OUT),
        ({"opted_out": "until 2025-12-31T00:00:00Z: migration"}, None),
        ({"application": "pg_dump"}, Protected.BACKUP),
        ({"application": "WAL-G"}, Protected.BACKUP),
        ({"query": "select pg_backup_start('x')"}, Protected.BACKUP),
        ({"application": "vacuumdb"}, Protected.MAINTENANCE),
        ({"upkeep": True, "query": "call nightly()"}, Protected.MAINTENANCE),
        ({"query": "/* x */ vacuum t"}, Protected.MAINTENANCE),
        ({"own": True, "query": "vacuum t", "application": "pg_dump"}, Protected.RESPONDER),
        ({"application": None, "query": None}, None),
    ],
)
def test_the_protected(changes: dict[str, Any], reason: Protected | None) -> None:
    """Ours, replication, every process of the server, opted-out, backups and maintenance, in that order."""
    assert protected(row(**changes)) is reason


def session(pid: int, *blocked_by: int) -> Session:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Session(
        pid=pid,
        backend_start=now,
        user="u",
        database="d",
        application="",
        client=None,
        state="active",
        query_start=now,
        xact_start=now,
        age_s=1.0,
        waits_for="",
        blocked_by=blocked_by,
        query="select ?",
        may_signal=True,
    )


@pytest.mark.parametrize(
    ("sessions", "waiting"),
    [
        ([session(1), session(2)], {}),
        ([session(1), session(2, 1), session(3, 2), session(4, 2, 1)], {1: {2, 3, 4}}),
        ([session(2, 0)], {0: {2}}),
        ([session(3, 1), session(3, 2)], {1: {3}, 2: {3}}),
        ([session(5, 6), session(6, 5), session(7, 6)], {5: {6, 7}}),
        ([session(1), session(2, 1), session(8, 9), session(9, 8)], {1: {2}, 8: {9}}),
    ],
    ids=["nobody", "a tree", "a prepared transaction", "two roots", "a circle", "a tree and a circle"],
)
def test_who_waits_for_whom(sessions: list[Session], waiting: dict[int, set[int]]) -> None:
    """Each free blocker is a root with all who wait behind it; a circle has one, its lowest pid."""
    assert waiting_for(sessions) == waiting


@pytest.mark.parametrize(
    "wrong",
    [
        {"older_than": "0s"},
        {"older_than": None},
        {"at_most": 0},
        {"database": ""},
        {"user": "a\0b"},
        {"query": "%"},
        {"query": "%_ %"},
        {"query": "abc\\"},
        {"connection": ""},
        {"connection": {}},
        {"include": ["replication"]},
        {"state": "disabled"},
    ],
)
def test_parameters_that_choose_too_much_are_refused(wrong: dict[str, Any]) -> None:
    """No age, an empty name, a pattern of wildcards, and what may never be included are errors."""
    good = {"connection": "orders", "older_than": "10m"}
    assert TerminateParams.model_validate(good).at_most == 1
    with pytest.raises(ValidationError):
        TerminateParams.model_validate({**good, **wrong})


def test_only_a_running_query_can_be_cancelled() -> None:
    """Cancelling has no `state`: an idle session has nothing to cancel."""
    with pytest.raises(ValidationError):
        CancelParams.model_validate({"connection": "orders", "older_than": "10m", "state": "idle"})
