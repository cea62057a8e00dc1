"""Reload under load: a reload a second, every other one broken, while alerts come in on two replicas.

Nothing that was acknowledged is lost, and of no delivery one alert goes by the old rules and another by the
new. `RELOADS=60` takes a minute.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from responder import app
from tests.support.parts import until
from tests.support.whole import AUTH, HOOK, settings_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

RELOADS = int(os.environ.get("RELOADS", "16"))
FILES = 3
RULES_IN_EACH = 4
SHARDS = 10
POSTERS = 12
SEVERITIES = {"A": "P3", "B": "P2", "C": "P1"}
BROKEN = "C"
"""The version that stands in every file of a broken rulebook, but for the one with the mistake."""
_MATCHED = """
SELECT a.labels ->> 'post' AS post, a.fingerprint, array_agg(i.rule) AS rules,
       array_agg(DISTINCT i.severity) AS severities
FROM alerts a LEFT JOIN members m USING (source, fingerprint) LEFT JOIN incidents i ON i.id = m.incident_id
GROUP BY 1, 2
"""


def rule_file(number: int, version: str) -> str:
    """Some rules, each with the version in its name and in its severity."""
    return "rules:\n" + "".join(
        f"  - name: Load-{number}-{one}-{version}\n    match: 'alertname = \"Load-{number}-{one}\"'\n"
        f"    severity: {SEVERITIES[version]}\n    group_by: [shard]\n    escalate: true\n"
        for one in range(RULES_IN_EACH)
    )


@dataclass
class Folders:
    """The rule files as a mounted ConfigMap changes them: a link that is exchanged for another."""

    root: Path
    _numbers: Any = field(default_factory=count)

    @property
    def current(self) -> Path:
        """What the settings name."""
        return self.root / "current"

    def show(self, version: str) -> None:
        """From now on these rules stand there; the broken version has a mistake in its last file."""
        folder = self.root / f"{next(self._numbers)}-{version}"
        folder.mkdir()
        for number in range(FILES):
            (folder / f"{number}.yaml").write_text(rule_file(number, version))
        if version == BROKEN:
            (folder / f"{FILES - 1}.yaml").write_text("rules: [{name: Broken}]\n")
        link = self.root / f"{folder.name}.link"
        link.symlink_to(folder)
        link.replace(self.current)


@dataclass
class Load:
    """Posts deliveries over all rules; what was acknowledged, by the number of the delivery."""

    clients: Sequence[aiohttp.ClientSession]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: dict[str, int] = field(default_factory=dict)
    """With how many alerts."""
    refused: int = 0
    _numbers: Any = field(default_factory=count)

    async def post(self) -> None:
        """One delivery after the other, on one replica after the other."""
        for client in cycle(self.clients):
            if self.over.is_set():
                return
            number = str(next(self._numbers))
            alerts = list(_alerts(number))
            body = json.dumps({"version": "4", "status": "firing", "receiver": "r", "alerts": alerts})
            async with client.post(HOOK, data=body.encode(), headers=AUTH) as answer:
                if answer.status == 200:
                    self.acknowledged[number] = len({json.dumps(one["labels"]) for one in alerts})
                else:
                    self.refused += 1

    async def goes_on(self, more: int) -> None:
        """Until so many further deliveries are acknowledged."""
        enough = len(self.acknowledged) + more

        async def reached() -> bool:
            return len(self.acknowledged) >= enough

        await until(reached, f"{more} more deliveries are acknowledged", within=60, every=0.02)


def _alerts(post: str) -> Sequence[Mapping[str, Any]]:
    """One for each rule; the first is told twice in other words, so that a part of it has to be folded."""
    names = [f"Load-{number}-{one}" for number in range(FILES) for one in range(RULES_IN_EACH)]
    return [
        {
            "status": "firing",
            "labels": {"alertname": name, "post": post, "shard": str(int(post) % SHARDS)},
            "annotations": {"words": words},
            "startsAt": "2026-11-24T01:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
        }
        for words, name in (("others", names[0]), *(("the same", name) for name in names))
    ]


@asynccontextmanager
async def replicas(dsn: str, folder: Path, rules: Path) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Two whole services on one database, which watch the same files."""
    settings = settings_for(dsn, folder, rules=[str(rules)], watch_rules=True)
    async with (
        app.running(settings) as one,
        app.running(settings) as two,
        aiohttp.ClientSession(one.url) as first,
        aiohttp.ClientSession(two.url) as second,
    ):
        yield [first, second]


async def test_no_alert_is_lost_and_none_is_matched_by_half_a_rulebook(dsn: str, tmp_path: Path) -> None:
    """Each acknowledged delivery is found, all of it with one version; of a broken rulebook nothing is."""
    folders = Folders(tmp_path)
    folders.show("A")
    broken = 0
    async with replicas(dsn, tmp_path, folders.current) as clients:
        load = Load(clients)
        posting = [asyncio.create_task(load.post()) for _ in range(POSTERS)]
        versions = cycle(("B", BROKEN, "A", BROKEN))
        for client, version, _ in zip(cycle(clients), versions, range(RELOADS), strict=False):
            folders.show(version)
            async with client.post("/api/v1/rules/reload", json={}) as answer:
                assert answer.status == (409 if version == BROKEN else 200)
            broken += version == BROKEN
            await load.goes_on(5)
            await asyncio.sleep(1)
        load.over.set()
        await asyncio.gather(*posting)
        counted = [await _failures(client) for client in clients]
    assert sum(counted) >= broken
    await _check(dsn, load)


async def _failures(client: aiohttp.ClientSession) -> float:
    name = "responder_rulebook_load_failures_total"
    async with client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def _check(dsn: str, load: Load) -> None:
    """By what is stored alone."""
    raw = await asyncpg.connect(dsn)
    rows = await raw.fetch(_MATCHED)
    await raw.close()
    by_post: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        assert len(row["rules"]) == 1, f"{row['fingerprint']} is a member of {row['rules']}"
        [rule], [severity] = row["rules"], row["severities"]
        assert rule is not None, f"an alert of delivery {row['post']} is in no incident"
        by_post.setdefault(row["post"], []).append((rule.rpartition("-")[2], severity))
    lost = {post for post, number in load.acknowledged.items() if len(by_post.get(post, ())) != number}
    assert not lost, f"of these deliveries not all is there: {sorted(lost)[:5]}"
    mixed = {post: set(found) for post, found in by_post.items() if len(set(found)) > 1}
    assert not mixed, f"matched by two rulebooks: {list(mixed.items())[:5]}"
    by_version = Counter(found[0] for found in by_post.values())
    print(  # noqa: T201 - the figures
        f"\n{RELOADS} reloads, {len(load.acknowledged)} deliveries acknowledged, {load.refused} refused, "
        f"{len(rows)} alerts, none lost; by version: {dict(by_version)}"
    )
    assert set(by_version) == {("A", SEVERITIES["A"]), ("B", SEVERITIES["B"])}
