"""Which sessions are never touched, which rights are needed, and what is left behind: on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from responder.actions.base import Clients
from responder.actions.postgres import ActivityState
from responder.actions.postgres_sessions import MatchingSessions, Protected
from responder.actions.registry import BuiltActions, Registry
from responder.model.attempt import ElementOutcome, Outcome
from responder.model.target import Target
from responder.ports import Action
from tests.support.conformance import attempt_of
from tests.support.parts import PostgresServer, embedded_postgres, until
from tests.support.scenes import CONNECTION, Sessions, clients_on, sessions_on

TERMINATE = "postgres.terminate_queries"
CANCEL = "postgres.cancel_queries"
TARGET = Target(key=f"postgres/{CONNECTION}", name=CONNECTION)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with embedded_postgres() as running:
        yield running


@pytest_asyncio.fixture
async def sessions(server: PostgresServer) -> AsyncIterator[Sessions]:
    async with sessions_on(server) as made:
        yield made


@pytest_asyncio.fixture
async def clients(server: PostgresServer) -> AsyncIterator[Clients]:
    async with clients_on(server.dsn()) as made:
        yield made


def action(clients: Clients, name: str) -> Action[Any, Any]:
    return BuiltActions(Registry(installed=()), clients).get(name)


async def look(clients: Clients, name: str = TERMINATE, **params: Any) -> MatchingSessions:
    one = action(clients, name)
    given = one.Params.model_validate({"connection": CONNECTION, "older_than": "1ms", **params})
    state = await one.look(given, TARGET)
    assert isinstance(state, MatchingSessions)
    return state


async def run_all(clients: Clients, name: str = TERMINATE, **params: Any) -> list[ElementOutcome]:
    one = action(clients, name)
    given = one.Params.model_validate({"connection": CONNECTION, "older_than": "1ms", "at_most": 9, **params})
    state = await one.look(given, TARGET)
    return [await one.run(TARGET, e, given, state, uuid4()) for e in one.pin(given, state)]


def pids(state: MatchingSessions) -> set[int]:
    return {session.pid for session in state.sessions}


async def make_lock(sessions: Sessions, table: str) -> int:
    """An idle session that holds a table, so that others have to wait for it."""
    await sessions.watch.execute(f"drop table if exists {table}")
    await sessions.watch.execute(f"create table {table} (id int)")
    return await sessions.open("begin", f"lock table {table} in access exclusive mode")


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum busy",
        "/* nightly */ ANALYZE busy",
        "reindex table busy",
        "create  index on busy (id)",
        "cluster busy using busy_id",
        "set lock_timeout = 0; analyze busy",
    ],
)
async def test_maintenance_is_spared_unless_named(
    statement: str, sessions: Sessions, clients: Clients
) -> None:
    """VACUUM, ANALYZE, REINDEX, CREATE INDEX and CLUSTER are chosen only with `include: [maintenance]`."""
    await sessions.watch.execute("drop table if exists busy; create table busy (id int)")
    await sessions.watch.execute("create index busy_id on busy (id)")
    await sessions.open("begin", "lock table busy in access exclusive mode")
    pid = await sessions.start(statement)
    mine = {"application": sessions.application}
    spared = await look(clients, **mine)
    assert pids(spared) == set()
    assert spared.spared == {Protected.MAINTENANCE: 1}
    assert "1 maintenance" in spared.summary
    assert pids(await look(clients, **mine, include=["maintenance"])) == {pid}
    assert pids(await look(clients, **mine, include=["backups"])) == set()


async def test_a_backup_is_spared_unless_named(sessions: Sessions, clients: Clients) -> None:
    """pg_dump, pg_basebackup and their kind are chosen only with `include: [backups]`."""
    for application in ("pg_dump", "pg_dumpall", "pgBackRest [backup]"):
        pid = await sessions.start(application=application)
        spared = await look(clients, application=application)
        assert spared.sessions == ()
        assert spared.spared == {Protected.BACKUP: 1}
        assert pids(await look(clients, application=application, include=["backups"])) == {pid}


async def test_a_real_backup_is_spared(sessions: Sessions, clients: Clients, tmp_path: Path) -> None:
    """A pg_dump that waits for a lock is left alone, although it has run for long enough."""
    await make_lock(sessions, "dumped")
    dump = await asyncio.create_subprocess_exec(
        sessions.server.bin_folder / "pg_dump",
        *("-d", sessions.server.dsn(), "-f", str(tmp_path / "dump.sql")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:

        async def waits() -> bool:
            return (await look(clients, application="pg_dump")).spared == {Protected.BACKUP: 1}

        await until(waits, "pg_dump waits", every=0.02)
        assert await run_all(clients, application="pg_dump") == []
        assert dump.returncode is None
    finally:
        dump.kill()
        await dump.wait()


async def test_replication_is_never_chosen(sessions: Sessions, clients: Clients, tmp_path: Path) -> None:
    """A WAL receiver is not chosen even when everything that can be named is named."""
    folder = tmp_path / "wal"
    folder.mkdir()
    receiver = await asyncio.create_subprocess_exec(
        sessions.server.bin_folder / "pg_receivewal",
        *("-d", sessions.server.dsn(), "-D", str(folder), "--no-loop"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:

        async def streams() -> bool:
            sender = "select exists (select from pg_stat_replication where state = 'streaming')"
            return bool(await sessions.watch.fetchval(sender))

        await until(streams, "the receiver streams", every=0.02)
        state = await look(clients, user="postgres", include=["backups", "maintenance"], at_most=9)
        assert "walsender" not in state.model_dump_json()
        assert state.sessions == ()
        assert receiver.returncode is None
    finally:
        receiver.kill()
        await receiver.wait()


async def test_the_responder_spares_itself(
    server: PostgresServer, sessions: Sessions, clients: Clients
) -> None:
    """Neither its own sessions nor those of another replica are chosen, busy or idle."""
    async with clients_on(server.dsn()) as replica:
        await replica.postgres.warm()
        assert pids(await look(clients, user="postgres", state="idle", application="responder")) == set()
        state = await look(clients, user="postgres", state="idle", include=["backups", "maintenance"])
        assert all(session.application != "responder" for session in state.sessions)
        assert state.spared[Protected.RESPONDER] >= 1
    await sessions.start(application="responder")
    assert pids(await look(clients, application="responder")) == set()


async def test_a_database_can_opt_out(server: PostgresServer, sessions: Sessions, clients: Clients) -> None:
    """A database whose comment says `responder/opt-out` is spared; asked for by name, its reason is told."""
    await sessions.watch.execute("create database quiet")
    await sessions.watch.execute("comment on database quiet is 'responder/opt-out: migration until Friday'")
    other = await asyncpg.connect(
        server.dsn("quiet"), server_settings={"application_name": sessions.application}
    )
    try:
        task = asyncio.create_task(other.execute("select pg_sleep(600)"))
        mine = {"application": sessions.application}

        async def spared() -> bool:
            return (await look(clients, **mine)).spared == {Protected.OPTED_OUT: 1}

        await until(spared, "the session is spared", every=0.02)
        assert (await look(clients, **mine, database="quiet")).opted_out == "migration until Friday"
    finally:
        other.terminate()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_choice_narrows(sessions: Sessions, clients: Clients) -> None:
    """Database, user, application, state, pattern, age and `blocking` each leave out what does not fit."""
    await sessions.watch.execute("drop role if exists reporting; create role reporting login")
    await sessions.watch.execute("create table if not exists fought (id int)")
    busy = await sessions.start("select pg_sleep(600) /* wanted */")
    other = await sessions.start(user="reporting")
    idle = await sessions.open("begin", "select 1")
    holder = await make_lock(sessions, "fought")
    waiter = await sessions.start("select count(*) from fought")
    mine = {"application": sessions.application}
    transactions = {**mine, "state": "idle in transaction"}
    assert pids(await look(clients, **mine)) == {busy, other, waiter}
    assert pids(await look(clients, **mine, user="reporting")) == {other}
    assert pids(await look(clients, **mine, database="template1")) == set()
    assert pids(await look(clients, **mine, query="%WANTED%")) == {busy}
    assert pids(await look(clients, **mine, query="%' or true --%")) == set()
    assert pids(await look(clients, **mine, older_than="1h")) == set()
    assert pids(await look(clients, **transactions)) == {idle, holder}
    assert pids(await look(clients, **transactions, blocking=True)) == {holder}
    assert pids(await look(clients, application="somebody else")) == set()


async def test_a_session_that_went_on_is_spared(sessions: Sessions, clients: Clients) -> None:
    """The same session in its next query is not hit: neither its query nor itself."""
    connection = await asyncpg.connect(
        sessions.server.dsn(), server_settings={"application_name": sessions.application}
    )
    mine = {"application": sessions.application}
    try:
        for name in (CANCEL, TERMINATE):
            first = asyncio.create_task(connection.execute("select pg_sleep(600)"))
            one = action(clients, name)
            params = one.Params.model_validate({"connection": CONNECTION, "older_than": "1ms", **mine})

            async def seen(params: Any = params, one: Action[Any, Any] = one) -> Any:
                state = await one.look(params, TARGET)
                return state if state.sessions else None

            state = await until(seen, "the query is seen", every=0.02)
            (element,) = one.pin(params, state)
            await sessions.watch.execute("select pg_cancel_backend($1)", connection.get_server_pid())
            await asyncio.gather(first, return_exceptions=True)
            second = asyncio.create_task(connection.fetchval("select 42 from pg_sleep(0.5)"))
            outcome = await one.run(TARGET, element, params, state, uuid4())
            assert outcome.outcome is Outcome.NOT_DONE
            assert "gone on" in outcome.detail
            assert await second == 42
    finally:
        connection.terminate()


async def test_cancelling_leaves_the_session(sessions: Sessions, clients: Clients) -> None:
    """A cancelled query's session goes on; a terminated one is gone. The words say which."""
    pid = await sessions.start()
    alive = "select exists (select from pg_stat_activity where pid = $1)"
    (cancelled,) = await run_all(clients, CANCEL, application=sessions.application)
    assert (cancelled.outcome, cancelled.detail) == (Outcome.DONE, "cancelled")
    assert await sessions.watch.fetchval(alive, pid)
    pid = await sessions.start()
    (terminated,) = await run_all(clients, TERMINATE, application=sessions.application)
    assert (terminated.outcome, terminated.detail) == (Outcome.DONE, "terminated")
    assert not await sessions.watch.fetchval(alive, pid)


async def test_the_attempt_is_in_the_servers_log(sessions: Sessions, clients: Clients) -> None:
    """The statement that signals carries the attempt's id, and it is one statement for one session."""
    await sessions.start()
    one, attempt = action(clients, TERMINATE), uuid4()
    params = one.Params.model_validate(
        {"connection": CONNECTION, "older_than": "1ms", "application": sessions.application}
    )
    state = await one.look(params, TARGET)
    (element,) = one.pin(params, state)
    await one.run(TARGET, element, params, state, attempt)
    assert sessions.server.log.count(f"/* responder attempt {attempt} */") == 1


async def test_a_role_without_rights_refuses(server: PostgresServer, sessions: Sessions) -> None:
    """A role that may not see, or not signal, refuses and names the grant; it never says "nothing there"."""
    await sessions.watch.execute("drop role if exists plain; create role plain login")
    await sessions.watch.execute("drop role if exists shop; create role shop login")
    await sessions.start(user="shop")
    mine = {"application": sessions.application}
    async with clients_on(server.dsn(user="plain")) as clients:
        assert "pg_read_all_stats" in await _refusal(clients, **mine)
        await sessions.watch.execute("grant pg_read_all_stats to plain")
        assert "pg_signal_backend" in await _refusal(clients, **mine)
        (outcome,) = await run_all(clients, **mine)
        assert outcome.outcome is Outcome.NOT_DONE
        assert "42501" in outcome.detail
        await sessions.watch.execute("grant pg_signal_backend to plain")
        assert await _refusal(clients, **mine) == ""
        await sessions.start()
        assert "postgres" in await _refusal(clients, **mine, user="postgres")


async def _refusal(clients: Clients, **params: Any) -> str:
    one = action(clients, TERMINATE)
    given = one.Params.model_validate({"connection": CONNECTION, "older_than": "1ms", **params})
    return one.refuse(given, await one.look(given, TARGET)) or ""


async def test_there_is_a_way_in_when_no_connection_is_left(sessions: Sessions, clients: Clients) -> None:
    """With every slot of the server taken, the standing connection still sees and terminates."""
    await clients.postgres.warm()
    await sessions.start()
    async with AsyncExitStack() as stack:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await take_all_slots(sessions.server, stack)
        (outcome,) = await run_all(clients, application=sessions.application)
        assert outcome.outcome is Outcome.DONE


async def take_all_slots(server: PostgresServer, stack: AsyncExitStack) -> None:
    while True:
        connection = await asyncpg.connect(server.dsn())
        stack.callback(connection.terminate)


async def test_the_evidence_names_who_blocks_whom(sessions: Sessions, clients: Clients) -> None:
    """The activity tells the root of the waiters, how many wait behind it, and the use of connections."""
    root = await make_lock(sessions, "wanted")
    first = await sessions.start("select 'a secret' from wanted")
    one = action(clients, "postgres.activity")
    params = one.Params.model_validate({"connection": CONNECTION, "longer_than": "1ms"})

    async def blocked() -> Any:
        state = await one.look(params, TARGET)
        return state if state.blocked_total == 1 else None

    state = await until(blocked, "one waits", every=0.02)
    assert isinstance(state, ActivityState)
    assert [(blocker.pid, blocker.waiting) for blocker in state.blockers] == [(root, 1)]
    assert {session.pid for session in state.long_running} >= {root, first}
    assert state.by_state["idle in transaction"] == 1
    assert 0 < state.percent < 100
    assert f"pid {root}" in state.summary
    assert "secret" not in json.dumps(state.model_dump(mode="json"))


async def test_what_cannot_be_known_is_unknown(server: PostgresServer, sessions: Sessions) -> None:
    """Another server behind the same name, or a session that may not be seen, proves nothing."""
    await sessions.watch.execute("drop role if exists blind; create role blind login")
    await sessions.start()
    async with clients_on(server.dsn()) as clients, clients_on(server.dsn(user="blind")) as blind:
        one = action(clients, TERMINATE)
        mine = {"connection": CONNECTION, "older_than": "1ms", "application": sessions.application}
        params = one.Params.model_validate(mine)
        state = await one.look(params, TARGET)
        attempt = attempt_of(one, params, TARGET, state)
        (seen,) = await one.happened(attempt)
        assert seen.outcome is Outcome.NOT_DONE
        (unseen,) = await action(blind, TERMINATE).happened(attempt)
        assert (unseen.outcome, "may not be seen" in unseen.detail) == (Outcome.UNKNOWN, True)
        elsewhere = attempt.model_copy(update={"state_before": {"ground": ["postgres-system/1"]}})
        (moved,) = await one.happened(elsewhere)
        assert (moved.outcome, "another server" in moved.detail) == (Outcome.UNKNOWN, True)
