"""Commands about what was heard in the past: a new installation may be given one."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client, ServerRefusedError
from responder.cli.common import SpanType, print_json, speaks
from responder.clients.http import Access
from responder.clients.prometheus import Prometheus, Series
from responder.model.duration import format_duration
from responder.model.errors import PermanentError, TemporaryError
from responder.review.words import count
from responder.sources.past import Episode, Episodes, asked, spans

_AT_ONCE = 500
_PATIENCE = timedelta(seconds=60)


@click.group()
def journal() -> None:
    """What was heard of alerts."""


@journal.command("import")
@click.option("--prometheus", "address", required=True, metavar="URL", help="Prometheus's address.")
@click.option("--since", type=SpanType(), default="30d", show_default=True, help="How far back.")
@click.option(
    "--step", type=SpanType(), default="1m", show_default=True, help="Between two looks at what fired."
)
@click.option("--source", help="Whose alerts they are; the only source by default.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Added to each alert.")
@click.option("--prometheus-token-file", "token_file", type=click.Path(path_type=Path, exists=True))
@speaks
def import_past(
    address: str,
    since: timedelta,
    step: timedelta,
    source: str | None,
    labels: tuple[str, ...],
    token_file: Path | None,
    client: Client,
    as_json: bool,
) -> None:
    """Give a new installation a past: the episodes that Prometheus remembers in its ALERTS series.

    They are marked as imported. Nothing is ever done about them: backtests and `rules gaps` read them. Only
    what began before the responder heard of its first alert is taken. The same import again changes nothing.
    """
    if not address.startswith(("http://", "https://")):
        raise click.BadParameter(f"{address!r} is no address of HTTP", param_hint="--prometheus")
    known = client.get("journal")
    wanted = _source(source, known["sources"])
    now = output.moment(known["now"])
    heard_since = output.moment(known["heard_since"]) if known["heard_since"] else now
    past = _Past(address, token_file, now - since, now, step)
    given = {**past.external_labels(), **dict(map(_pair, labels))}
    kept = {"new": 0, "longer": 0, "known": 0}
    for episodes in _batches(past.episodes(heard_since)):
        told = client.post("journal/imported", {"source": wanted, "episodes": _posted(episodes, given)})
        kept = {name: number + told[name] for name, number in kept.items()}
    if as_json:
        print_json(
            {**kept, "source": wanted, "since": past.since.isoformat(), "until": heard_since.isoformat()}
        )
        return
    output.say(
        f"{count(kept['new'], 'episode')} imported for the source {wanted}, {kept['longer']} known ones made "
        f"longer, {kept['known']} known already."
    )
    if not any(kept.values()):
        output.say(
            f"Prometheus knows of no alert in {format_duration(since)} that began before {heard_since:%F %T}."
        )
    output.say("Nothing is done about them. Next: responder rules backtest RULES")


class _Past:
    """What a Prometheus remembers, asked for part by part."""

    def __init__(
        self, url: str, token_file: Path | None, since: datetime, until: datetime, step: timedelta
    ) -> None:
        self._url = url
        self._access = Access(token_file=token_file)
        self._step = step
        self.since = since
        self._spans = spans(since, until, step)
        if not self._spans:
            raise PermanentError("--since is shorter than --step: there is nothing to ask for")

    def external_labels(self) -> Mapping[str, str]:
        """What it adds to its alerts when it sends them, and not to what it keeps of them."""
        try:
            return asyncio.run(self._external_labels())
        except (TemporaryError, PermanentError) as error:
            output.say(f"Its external labels are not known ({error}): give them with --label.", err=True)
            return {}

    async def _external_labels(self) -> Mapping[str, str]:
        prometheus = Prometheus(self._url, self._access)
        try:
            return await prometheus.external_labels()
        finally:
            await prometheus.close()

    def episodes(self, before: datetime) -> Iterator[Episode]:
        """Those that began before a moment, the first to end first."""
        first, last = self._spans[0][0].timestamp(), self._spans[-1][1].timestamp()
        together = Episodes(first, self._step.total_seconds())
        with click.progressbar(self._spans, label="Asking Prometheus", file=sys.stderr) as parts:
            for begin, end in parts:
                firing, active = asyncio.run(self._part(begin, end))
                yield from (one for one in together.hear(firing, active) if one.starts_at < before)
        yield from (one for one in together.over(last) if one.starts_at < before)

    async def _part(self, begin: datetime, end: datetime) -> tuple[Sequence[Series], Sequence[Series]]:
        prometheus = Prometheus(self._url, self._access)
        try:
            return await asked(prometheus, begin, end, self._step, _PATIENCE)
        except (TemporaryError, PermanentError) as error:
            mend = (
                "take a larger --step or a shorter --since, or try again: what is imported already is known"
            )
            raise type(error)(f"{begin:%F %T} to {end:%F %T} UTC: {error}\n{mend}") from None
        finally:
            await prometheus.close()


def _source(wanted: str | None, known: Sequence[str]) -> str:
    if wanted is not None:
        return wanted
    if len(known) == 1:
        return known[0]
    names = ", ".join(known) or "none"
    raise ServerRefusedError(f"the service has no single source ({names}): say which one with --source")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--label")
    return name, value


def _batches(episodes: Iterable[Episode]) -> Iterator[list[Episode]]:
    batch: list[Episode] = []
    for one in episodes:
        batch.append(one)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _posted(episodes: Sequence[Episode], added: Mapping[str, str]) -> list[dict[str, Any]]:
    """As the source would have delivered them: a label of the alert's own comes before one that is added."""
    return [
        {
            "labels": {**added, **one.labels},
            "starts_at": one.starts_at.isoformat(),
            "ends_at": one.ends_at.isoformat() if one.ends_at is not None else None,
        }
        for one in episodes
    ]
