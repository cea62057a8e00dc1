"""Questions to Prometheus in rules: bound as in a probe, and too large an answer is refused."""

from datetime import timedelta
from typing import Any, cast

import pytest

from responder.actions.base import Clients
from responder.actions.prometheus import Query, QueryParams
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus, Sample
from responder.clients.prometheuses import PrometheusServers
from responder.decide.bind import bind_params
from responder.model.errors import PermanentError, RefusedError
from responder.model.inventory import Inventory


class Answers:
    """Stands for a Prometheus that has this answer."""

    def __init__(self, samples: tuple[Sample, ...]) -> None:
        self.samples = samples

    async def query(self, promql: str, within: timedelta) -> tuple[Sample, ...]:
        """Whatever is asked."""
        del promql, within
        return self.samples


def asking(*samples: Sample) -> Query:
    own = [cast("Prometheus", Answers(samples))]
    return Query(Clients(Inventory(), PostgresServers(Inventory()), prometheus=PrometheusServers(own)))


async def found(*samples: Sample) -> Any:
    action, params = asking(*samples), QueryParams(promql="up")
    return await action.look(params, action.resolve(params)[0])


def test_a_label_in_a_question_is_a_literal_and_not_a_part_of_the_query() -> None:
    """As in a probe: quotes and expressions of the label mean nothing; a missing one refuses."""
    params = {"promql": 'sum(up{job="$labels.job",pod=~"$labels.job"})', "source": "$labels.job"}
    bound = bind_params(params, {"job": 'a"} or vector(1) or x{y="'})
    assert bound["promql"] == (
        'sum(up{job="a\\"} or vector(1) or x{y=\\"",pod=~"a\\"\\\\} or vector\\\\(1\\\\) or x\\\\{y=\\""})'
    )
    assert bound["source"] == 'a"} or vector(1) or x{y="'
    with pytest.raises(RefusedError):
        bind_params(params, {})


async def test_more_than_a_thousand_series_are_refused() -> None:
    """A thousand are told whole, one more says what to do."""
    series = [Sample({"n": str(n)}, float(n)) for n in range(1001)]
    state = await found(*series[:1000])
    assert (state.series, len(state.values), len(state.named)) == (1000, 1000, 20)
    with pytest.raises(PermanentError, match=r"1001 series, more than 1000: aggregate it"):
        await found(*series)


async def test_what_is_no_number_comes_last_and_is_no_value() -> None:
    """NaN and infinity are no data; they hide neither the highest nor the lowest."""
    state = await found(Sample({}, float("nan")), Sample({}, 1.0), Sample({}, float("inf")), Sample({}, 2.0))
    assert (state.highest, state.lowest, state.values.count(None)) == (2.0, 1.0, 2)
