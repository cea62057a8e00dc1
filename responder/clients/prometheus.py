"""Prometheus's HTTP API v1, as 2.42 to 3.x answer it: instant and range queries, alerts, since when it is up.

An answer that may be incomplete is no answer: whatever Prometheus warns about (a remote read that failed, a
partial response) raises. What a number means belongs to the probe that asked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import yaml

from responder.clients.http import Access, HttpAnswer, HttpClient, json_of
from responder.clients.wire import parse_time, told
from responder.model.errors import PermanentError, TemporaryError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMEOUT = timedelta(seconds=3)
_LARGE = 1024 * 1024
_PAIR = 2
_INFO = "PromQL info"
"""What 2.48 to 2.55 write before a remark that leaves the answer complete; 3.x has `infos` for these."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query. `value` may be NaN or infinite; a scalar has no labels."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a range query: its values at the moments at which it had one, seconds since 1970."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


POINTS_AT_MOST = 11_000
"""For one series of a range query: Prometheus refuses more."""


class RuleState(StrEnum):
    """How far an alerting rule has come with one label set."""

    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True, slots=True)
class RuleAlert:
    """One alert as Prometheus evaluates it: without its external labels, before alert relabelling."""

    labels: Mapping[str, str]
    state: RuleState
    active_at: datetime | None
    annotations: Mapping[str, str]


class Prometheus:
    """One Prometheus server. Every method raises TemporaryError where it gives no usable answer."""

    def __init__(self, url: str, access: Access | None = None, timeout: timedelta = _TIMEOUT) -> None:
        self._http = HttpClient(url, access)
        self._timeout = timeout
        self.name = self._http.name

    async def query(self, promql: str, within: timedelta | None = None) -> tuple[Sample, ...]:
        """The value of a query now: a scalar as one sample, a vector as one for each series.

        The server is given the same limit, so that it does not go on with what nobody waits for.

        Raises:
            PermanentError: the query is wrong, or its answer is no number.
        """
        limit = within or self._timeout
        form = {"query": promql, "timeout": f"{max(1, int(limit.total_seconds() * 1000))}ms"}
        data = await self._data(await self._http.post_form("api/v1/query", form, limit))
        try:
            return _samples(data["resultType"], data["result"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unlike_prometheus(error) from None

    async def query_range(
        self, promql: str, start: datetime, end: datetime, step: timedelta, within: timedelta
    ) -> tuple[Series, ...]:
        """The values of a query at each step from one moment to another, both included.

        Raises:
            PermanentError: the query is wrong, or asks for too many points.
        """
        form = {
            "query": promql,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step.total_seconds():.3f}",
            "timeout": f"{max(1, int(within.total_seconds()))}s",
        }
        data = await self._data(await self._http.post_form("api/v1/query_range", form, within))
        try:
            return tuple(
                Series(
                    _labels(one["metric"]), tuple((float(pair[0]), _number(pair)) for pair in one["values"])
                )
                for one in data["result"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._unlike_prometheus(error) from None

    async def alerts(self) -> tuple[RuleAlert, ...]:
        """All alerts of its rules, pending and firing."""
        data = await self._data(await self._http.get("api/v1/alerts", {}, self._timeout))
        try:
            return tuple(_alert(entry) for entry in data["alerts"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._unlike_prometheus(error) from None

    async def up_for(self) -> timedelta:
        """How long it has been up, on its own clock."""
        answer = await self._http.get("api/v1/status/runtimeinfo", {}, self._timeout)
        data = await self._data(answer)
        try:
            started_at = parse_time(data["startTime"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unlike_prometheus(error) from None
        if started_at is None:
            raise TemporaryError(f"{self.name} does not say since when it is up")
        return answer.at - started_at

    async def external_labels(self) -> Mapping[str, str]:
        """What it adds to the labels of every alert that it sends, where the alert has no such label."""
        data = await self._data(await self._http.get("api/v1/status/config", {}, self._timeout))
        try:
            configuration = await asyncio.to_thread(yaml.load, data["yaml"], _Loader)
            written = (configuration.get("global") or {}).get("external_labels") or {}
            return _labels({name: str(value) for name, value in written.items()})
        except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise self._unlike_prometheus(error) from None

    async def version(self) -> str:
        """Its version."""
        data = await self._data(await self._http.get("api/v1/status/buildinfo", {}, self._timeout))
        return str(data.get("version", "")) if isinstance(data, dict) else ""

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _data(self, answer: HttpAnswer) -> Any:
        large = len(answer.body) > _LARGE  # reading it would hold the event loop for too long
        said = await asyncio.to_thread(json_of, answer, self.name) if large else json_of(answer, self.name)
        if not isinstance(said, dict) or said.get("status") not in ("success", "error"):
            raise TemporaryError(f"{self.name} answered {answer.reason}, not as Prometheus's API v1 does")
        if said["status"] == "error" or not answer.ok:
            raise self._error(answer, said)
        lasting = [str(text) for text in said.get("warnings") or () if not str(text).startswith(_INFO)]
        if lasting:
            words = told("; ".join(lasting))
            raise TemporaryError(f"{self.name} warns that its answer may be wrong: {words}")
        return said.get("data")

    def _error(self, answer: HttpAnswer, said: Mapping[str, Any]) -> PermanentError | TemporaryError:
        text = told(str(said.get("error") or answer.reason))
        if answer.status == HTTPStatus.BAD_REQUEST:
            return PermanentError(f"{self.name} refuses the query: {text}")
        return TemporaryError(f"{self.name} answered {answer.reason}: {text}")

    def _unlike_prometheus(self, error: Exception) -> TemporaryError:
        return TemporaryError(f"{self.name} does not answer as Prometheus's API v1: {told(repr(error))}")


def _samples(kind: str, result: Any) -> tuple[Sample, ...]:
    match kind:
        case "scalar":
            return (Sample({}, _number(result)),)
        case "vector":
            return tuple(_of_series(series) for series in result)
        case _:
            raise PermanentError(f"the query answers a {kind}, not a number or one for each series")


def _of_series(series: Mapping[str, Any]) -> Sample:
    labels = _labels(series["metric"])
    if "value" not in series:
        raise PermanentError("the query answers a histogram, not a number")
    return Sample(labels, _number(series["value"]))


def _number(pair: Any) -> float:
    if not isinstance(pair, list) or len(pair) != _PAIR or not isinstance(pair[1], str):
        raise ValueError("a value is not a pair of time and number")
    return float(pair[1])


def _alert(entry: Mapping[str, Any]) -> RuleAlert:
    active_at = entry.get("activeAt")
    return RuleAlert(
        labels=_labels(entry["labels"]),
        state=RuleState(entry["state"]),
        active_at=parse_time(active_at) if active_at else None,
        annotations=_labels(entry.get("annotations") or {}),
    )


def _labels(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("labels are not a map of texts")
    return value
