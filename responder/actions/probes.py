"""Probes: read-only questions with an expected answer.

What cannot be asked, is empty, or is no number is no data, never a "no" and never an exception. The
questions themselves stand in rules (PromQL) and in the settings (SQL, by name).
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from responder.clients.answering import Answering
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus, Sample
from responder.clients.wire import told
from responder.decide.bind import bind_promql, bind_value
from responder.decide.case import ProbeReading
from responder.model.errors import PermanentError, RefusedError, TemporaryError
from responder.model.inventory import Inventory
from responder.model.rule import Comparison, Probe, PromqlProbe, SqlProbe

_TIMEOUT = timedelta(seconds=5)
_TOLD = 3
NO_ROW, NULL = "the answer has no row", "the answer is NULL"
"""What may be otherwise the next time: nothing is wrong with the query."""


class StandardProbes:
    """Asks promql and sql probes. Implements `ports.Probes`.

    `prometheus` are replicas of one another: the first that answers is believed. `queries` maps the names
    that rules use to SQL.
    """

    def __init__(
        self,
        prometheus: Sequence[Prometheus],
        servers: PostgresServers,
        inventory: Inventory,
        queries: Mapping[str, str],
        timeout: timedelta = _TIMEOUT,
    ) -> None:
        self._prometheus = prometheus
        self.answering = Answering("Prometheus")
        """Which of them answer, by their place in the settings, counted from 1."""
        self._servers = servers
        self._inventory = inventory
        self._queries = queries
        self._timeout = timeout

    async def ask(self, probe: Probe, labels: Mapping[str, str]) -> ProbeReading:
        """The answer, and in words what was asked and what came back."""
        asked = _title(probe)
        try:
            match probe:
                case PromqlProbe():
                    return await self._ask_prometheus(probe, labels)
                case SqlProbe():
                    return await self._ask_postgres(probe, labels)
        except (TemporaryError, PermanentError, RefusedError) as error:
            return _no_data(asked, str(error))

    async def _ask_prometheus(self, probe: PromqlProbe, labels: Mapping[str, str]) -> ProbeReading:
        query = bind_promql(probe.promql, labels)
        samples = await self._query(query)
        asked = f"promql {query}"
        if not samples:
            return _no_data(asked, "the answer is empty")
        unknown = [sample for sample in samples if math.isnan(sample.value)]
        if unknown:
            return _no_data(asked, f"no number (NaN){_where(unknown[0])}")
        wrong = [sample for sample in samples if not probe.expect.holds(sample.value)]
        if wrong:
            return _reading(asked, wrong, probe.expect, holds=False)
        return _reading(asked, samples, probe.expect, holds=True)

    async def _query(self, query: str) -> tuple[Sample, ...]:
        problems: list[str] = []
        for number, prometheus in enumerate(self._prometheus, start=1):
            try:
                samples = await prometheus.query(query, self._timeout)
            except TemporaryError as error:
                self.answering.heard(_place(number, self._prometheus), str(error))
                problems.append(str(error))
            else:
                self.answering.heard(_place(number, self._prometheus), None)
                return samples
        raise TemporaryError("; ".join(problems) or "no Prometheus is configured")

    async def _ask_postgres(self, probe: SqlProbe, labels: Mapping[str, str]) -> ProbeReading:
        sql = self._queries.get(probe.sql)
        if sql is None:
            known = ", ".join(sorted(self._queries)) or "none"
            raise PermanentError(f"the settings have no query named {probe.sql!r} (they have: {known})")
        connection = self._inventory.find_postgres(bind_value(probe.connection, labels))
        rows = await self._servers.fetch_read_only(connection.name, sql, self._timeout)
        asked = f"sql {probe.sql} on {connection.name}"
        value, problem = _only_number(rows)
        if value is None:
            return _no_data(asked, problem)
        return _reading(asked, [Sample({}, value)], probe.expect, holds=probe.expect.holds(value))


async def tried(
    servers: PostgresServers,
    connection: str,
    sql: str,
    timeout: timedelta,  # noqa: ASYNC109 - the server's limit, not only ours
) -> tuple[float | None, str]:
    """What a named query answers on one connection, or why no probe can use it there.

    Raises:
        TemporaryError: the server does not answer, or does not take the statement; says why.
    """
    columns = await servers.columns(connection, sql, timeout)
    if not columns:
        return None, "it is no query: it has no column"
    if len(columns) > 1:
        return None, f"the answer has {len(columns)} columns, not one"
    return _only_number(await servers.fetch_read_only(connection, sql, timeout))


def _place(number: int, among: Sequence[Prometheus]) -> str:
    return f"{number} of {len(among)}"


def _title(probe: Probe) -> str:
    match probe:
        case PromqlProbe():
            return f"promql {probe.promql}"
        case SqlProbe():
            return f"sql {probe.sql}"


def _only_number(rows: Sequence[Mapping[str, Any]]) -> tuple[float | None, str]:
    """The one number of a query's answer, or why there is none."""
    match [list(row.values()) for row in rows]:
        case []:
            return None, NO_ROW
        case [[None]]:
            return None, NULL
        case [[bool() as value]]:
            return None, f"the answer is {str(value).lower()}, not a number"
        case [[int() | float() | Decimal() as value]]:
            number = float(value)
            return (None, "no number (NaN)") if math.isnan(number) else (number, "")
        case [[value]]:
            return None, f"the answer is of type {type(value).__name__}, not a number"
        case [columns]:
            return None, f"the answer has {len(columns)} columns, not one"
        case several:
            return None, f"the answer has {len(several)} rows, not one"


def _no_data(asked: str, why: str) -> ProbeReading:
    return ProbeReading(holds=None, text=f"{told(asked)}: no data: {told(why)}")


def _reading(asked: str, samples: Sequence[Sample], expect: Comparison, *, holds: bool) -> ProbeReading:
    some = ", ".join(f"{sample.value:g}{_where(sample)}" for sample in samples[:_TOLD])
    rest = f" and {len(samples) - _TOLD} more" if len(samples) > _TOLD else ""
    expected = f"as expected ({expect})" if holds else f"expected {expect}"
    return ProbeReading(holds=holds, text=f"{told(asked)}: {told(some)}{rest}, {expected}")


def _where(sample: Sample) -> str:
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
    return f" for {{{labels}}}" if labels else ""
