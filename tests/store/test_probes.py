"""Claims about probes on a real server: an answer is as expected, or not as expected, or no data."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from responder.actions.probes import StandardProbes
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus
from responder.decide.case import ProbeReading
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.rule import Comparison, Probe, PromqlProbe, SqlProbe
from responder.rulebook.matchers import parse_matchers
from tests.support.parts import PostgresServer, embedded_postgres, free_port
from tests.support.peers import FakePrometheus, served

QUERIES = {
    "zero": "select 0",
    "half": "select 0.5::numeric",
    "fraction": "select 0.25::float8",
    "null": "select null::int",
    "nan": "select 'NaN'::numeric",
    "none": "select 1 where false",
    "two_rows": "select generate_series(1, 2)",
    "two_columns": "select 1 as a, 2 as b",
    "no_column": "select",
    "text": "select '0'",
    "truth": "select false",
    "wrong": "select no_such_column",
    "write": "create table probes_may_not_write ()",
    "slow": "select 0 from pg_sleep(600)",
}
LABELS = {"server": "orders", "datname": 'a"b.*'}
ZERO = Comparison(op="==", value=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PostgresServer]:
    async with embedded_postgres() as running:
        yield running


@asynccontextmanager
async def probing(dsn: str, prometheus: Sequence[str] = (), **more: Any) -> AsyncIterator[StandardProbes]:
    inventory = Inventory(
        postgres=(
            PostgresConnection(
                name="orders-primary", dsn=SecretStr(dsn), matches=parse_matchers('server="orders"')
            ),
        )
    )
    servers = PostgresServers(inventory)
    clients = [Prometheus(url) for url in prometheus]
    try:
        yield StandardProbes(clients, servers, inventory, QUERIES, **more)
    finally:
        await servers.close()
        for client in clients:
            await client.close()


def sql(name: str, expect: Comparison = ZERO, connection: Any = None) -> Probe:
    wanted = connection or {"server": "$labels.server"}
    return SqlProbe.model_validate({"sql": name, "connection": wanted, "is": expect})


async def test_a_number_is_compared(server: PostgresServer) -> None:
    """Integers, numerics and floats are compared; the connection is found by the alert's own label."""
    half = Comparison(op="<", value=0.5)
    async with probing(server.dsn()) as probes:
        assert await probes.ask(sql("zero"), LABELS) == ProbeReading(
            holds=True, text="sql zero on orders-primary: 0, as expected (== 0)"
        )
        assert await probes.ask(sql("half", half), LABELS) == ProbeReading(
            holds=False, text="sql half on orders-primary: 0.5, expected < 0.5"
        )
        assert (await probes.ask(sql("fraction", half), LABELS)).holds is True
        assert (await probes.ask(sql("zero", connection="orders-primary"), {})).holds is True


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("null", "NULL"),
        ("nan", "NaN"),
        ("none", "no row"),
        ("two_rows", "2 rows"),
        ("two_columns", "2 columns"),
        ("no_column", "0 columns"),
        ("text", "type str"),
        ("truth", "false, not a number"),
        ("wrong", "no_such_column"),
        ("unknown", "no query named 'unknown'"),
    ],
)
async def test_what_is_no_number_is_no_data(server: PostgresServer, name: str, why: str) -> None:
    """NULL, no row, several, no number, a broken or a missing query: no data, and the text says which."""
    async with probing(server.dsn()) as probes:
        reading = await probes.ask(sql(name), LABELS)
    assert reading.holds is None
    assert why in reading.text


async def test_a_probe_changes_nothing(server: PostgresServer) -> None:
    """A query that writes is stopped by the server, not by trust; what it would have made is not there."""
    async with probing(server.dsn()) as probes:
        assert (await probes.ask(sql("write"), LABELS)).holds is None
    connection = await asyncpg.connect(server.dsn())
    try:
        assert await connection.fetchval("select to_regclass('probes_may_not_write')") is None
    finally:
        await connection.close()


async def test_a_server_that_does_not_answer_is_no_data(server: PostgresServer) -> None:
    """A slow query and a server that is away are no data; neither is an exception, neither tells the DSN."""
    async with probing(server.dsn(), timeout=timedelta(seconds=0.3)) as probes:
        slow = await probes.ask(sql("slow"), LABELS)
    async with probing(f"postgresql://u:s3cr3t@127.0.0.1:{free_port()}/x") as probes:
        away = await probes.ask(sql("zero"), LABELS)
    assert slow.holds is away.holds is None
    assert "300ms" in slow.text
    assert "s3cr3t" not in away.text


async def test_labels_that_lead_nowhere_are_no_data(server: PostgresServer) -> None:
    """A label that the alert does not have, or that fits no connection, is no data with its name."""
    async with probing(server.dsn()) as probes:
        missing = await probes.ask(sql("zero"), {})
        unknown = await probes.ask(sql("zero"), {"server": "billing"})
    assert missing.holds is unknown.holds is None
    assert "server" in missing.text
    assert "billing" in unknown.text


def promql(query: str = "x", expect: Comparison = ZERO) -> Probe:
    return PromqlProbe.model_validate({"promql": query, "is": expect})


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"n": str(n)}, "value": [1, value]} for n, value in enumerate(values)]
    return {"resultType": "vector", "result": result}


async def test_every_series_must_hold() -> None:
    """One series that is not as expected is enough; NaN or an empty answer is no data, whatever the rest."""
    api = FakePrometheus()
    async with served(api), probing("postgresql://nobody", [api.url]) as probes:
        for values, expected in [
            (("0",), True),
            (("0", "0"), True),
            (("0", "1"), False),
            (("0", "NaN"), None),
            (("1", "NaN"), None),
            ((), None),
        ]:
            api.data = vector(*values)
            assert (await probes.ask(promql(), LABELS)).holds is expected
        api.data = {"resultType": "scalar", "result": [1, "0"]}
        assert (await probes.ask(promql(), LABELS)).holds is True


async def test_a_label_cannot_change_the_query() -> None:
    """A label with quotes and signs of expressions stays a literal."""
    api = FakePrometheus(data=vector("0"))
    async with served(api), probing("postgresql://nobody", [api.url]) as probes:
        reading = await probes.ask(promql('max(x{db=~"$labels.datname"})'), LABELS)
    assert api.queries == [r'max(x{db=~"a\"b\\.\\*"})']
    assert reading.holds is True
    assert reading.text == r'promql max(x{db=~"a\"b\\.\\*"}): 0 for {n="0"}, as expected (== 0)'


async def test_the_first_prometheus_that_answers_is_believed() -> None:
    """A replica that is away is passed over; where all are away, or none is configured, it is no data."""
    away, there = FakePrometheus(status=503), FakePrometheus(data=vector("0"))
    async with served(away, there):
        async with probing("postgresql://nobody", [away.url, there.url]) as probes:
            assert (await probes.ask(promql(), LABELS)).holds is True
        async with probing("postgresql://nobody", [away.url]) as probes:
            assert "503" in (await probes.ask(promql(), LABELS)).text
    async with probing("postgresql://nobody") as probes:
        reading = await probes.ask(promql(), LABELS)
    assert reading.holds is None
    assert "no Prometheus is configured" in reading.text
