"""A question to Prometheus, as evidence and in planned checks: how many series, and the value of each."""

import math
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from responder.actions.base import Clients, ReadOnlyAction
from responder.actions.parameters import Name, PromQL
from responder.clients.prometheus import Sample
from responder.model.base import Frozen
from responder.model.errors import PermanentError
from responder.model.target import State, Target

_NAMED = 20
"""How many series the state names, the highest first."""
_SERIES_AT_MOST = 1000
_TOLD = 3


class QueryParams(Frozen):
    """What `prometheus.query` takes."""

    promql: PromQL = Field(
        description="The question; `$labels.x` in it as in a probe. Aggregate it: each series counts."
    )
    source: Name | None = Field(
        default=None,
        description="The source whose Prometheus is asked; else that of the settings, or the only source's.",
    )


class Series(Frozen):
    """One series of the answer; None for what is no number."""

    labels: dict[str, str]
    value: float | None


class QueryState(State):
    """What Prometheus answers now."""

    series: int
    values: tuple[float | None, ...]
    """Of each series; None for what is no number."""
    named: tuple[Series, ...]

    @property
    def highest(self) -> float | None:
        """Of all series that have a number."""
        return max((value for value in self.values if value is not None), default=None)

    @property
    def lowest(self) -> float | None:
        """Of all series that have a number."""
        return min((value for value in self.values if value is not None), default=None)

    @property
    def summary(self) -> str:
        """The value, or how many series there are with the highest of them."""
        if not self.values:
            return "the answer is empty"
        if self.series == 1:
            return _number(self.values[0])
        told = [f"{_number(one.value)}{_labels(one.labels)}" for one in self.named[:_TOLD]]
        return f"{self.series} series, the highest: {', '.join(told)}"


class Query(ReadOnlyAction[QueryParams, QueryState]):
    """Asks Prometheus one question, now.

    A scalar is one value; of a vector each series is one. More than 1000 series are refused: aggregate them.
    """

    name: ClassVar[str] = "prometheus.query"
    deadline: ClassVar[timedelta] = timedelta(seconds=10)
    Params: ClassVar[type[Frozen]] = QueryParams

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients)
        self._servers = clients.prometheus

    def resolve(self, params: QueryParams) -> tuple[Target, ...]:
        """The Prometheus that is meant."""
        name = self._servers.find(params.source)
        return (Target(key=f"prometheus/{name}", name=name),)

    async def look(self, params: QueryParams, target: Target) -> QueryState:
        """Its answer."""
        samples = await self._servers.query(target.name, params.promql, self.deadline)
        if len(samples) > _SERIES_AT_MOST:
            many = f"the answer has {len(samples)} series, more than {_SERIES_AT_MOST}"
            raise PermanentError(f"{many}: aggregate it, as in sum(...)")
        ordered = sorted(samples, key=_height, reverse=True)
        return QueryState(
            ground=(target.key,),
            series=len(ordered),
            values=tuple(_finite(one.value) for one in ordered),
            named=tuple(Series(labels=dict(s.labels), value=_finite(s.value)) for s in ordered[:_NAMED]),
        )


def _finite(value: float) -> float | None:
    """Infinity comes of a division by nothing: as NaN it answers no question, and JSON has neither."""
    return value if math.isfinite(value) else None


def _height(sample: Sample) -> float:
    return -math.inf if math.isnan(sample.value) else sample.value


def _number(value: float | None) -> str:
    return "no number" if value is None else f"{value:g}"


def _labels(labels: dict[str, str]) -> str:
    told = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f" {{{told}}}" if told else ""
