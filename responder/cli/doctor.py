"""`responder doctor`: tries every connection and permission, and reads how alerts get here.

Each examination is a small function that gives findings; none of them changes anything anywhere.
"""

import asyncio
import os
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import click

from responder.cli import output
from responder.cli.added import completed, with_rules
from responder.cli.common import ExitCode, config_option, ends_in_words, print_json, settings
from responder.cli.findings import Finding, Health, failed, good, warned
from responder.cli.local import API_TOKEN_FILE
from responder.cli.queries import named_queries
from responder.cli.routing import WATCHDOGS, has_watchdog_route, routing_findings
from responder.cli.standing import HALT_FILE, halt_file, rule_files, service, standing
from responder.cli.started import client_of, other_settings
from responder.clients.alertmanager import Alertmanager, AlertmanagerStatus
from responder.clients.postgres import PostgresServers
from responder.clients.prometheus import Prometheus
from responder.model.duration import format_duration
from responder.model.errors import PermanentError, ResponderError, TemporaryError
from responder.model.policy import LOG
from responder.model.severity import Severity
from responder.settings import Settings, load
from responder.sources.settings import SourceSettings
from responder.store.connection import connect
from responder.store.startup import check_server, system_identifier

_LIMIT = timedelta(seconds=5)
_WIDTH = 100
_RIGHTS = """
SELECT current_user AS name, rolsuper AS super,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS may_signal,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS may_read
FROM pg_roles WHERE rolname = current_user
"""
"""pg_monitor is a member of pg_read_all_stats, so its members count too."""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def doctor(config_file: Path | None, as_json: bool) -> None:
    """Try every connection and permission, and say which rules and halts are active; exits 1 on a failure.

    Changes nothing.
    """
    chosen = _as_it_runs(config_file)
    findings = [*asyncio.run(examine(chosen)), *_started_with(config_file)]
    bad = any(finding.health is Health.FAIL for finding in findings)
    if as_json:
        print_json({"ok": not bad, "findings": [finding.model_dump(mode="json") for finding in findings]})
    else:
        rows = [(one.health.value, one.part, one.text, one.mend or "-") for one in findings]
        output.table(("", "PART", "FOUND", "WHAT TO DO"), rows, "There is nothing to examine.", width=_WIDTH)
    if bad:
        raise SystemExit(ExitCode.WRONG)


def _started_with(config_file: Path | None) -> list[Finding]:
    """Whether the service that runs has these settings; where none answers, others say so."""
    told = other_settings(client_of(config_file))
    return [] if told is None else [warned("settings", told, "Restart the service")]


def _as_it_runs(config_file: Path | None) -> Settings:
    """The settings; where `responder up` has brought its own database and tokens, together with these."""
    chosen = settings(config_file).settings
    if chosen.database is None and (chosen.data_dir / API_TOKEN_FILE).exists():
        return with_rules(load(config_file, completed(config_file, os.environ)).settings)
    return chosen


async def examine(chosen: Settings) -> list[Finding]:
    """Everything, each part beside the others; what breaks an examination is a finding too."""
    parts: list[tuple[str, Awaitable[list[Finding]]]] = [
        ("store", _store(chosen)),
        ("rule files", rule_files(chosen)),
        (HALT_FILE, halt_file(chosen)),
        ("rules", standing(chosen)),
        ("service", service(chosen)),
        ("inventory", _inventory(chosen)),
        ("queries", named_queries(chosen)),
        ("listener", _listener(chosen)),
        ("channels", _channels(chosen)),
        ("severities", _severities(chosen)),
        ("emergency", _emergency(chosen)),
        ("dead man's switch", _dead_mans_switch(chosen)),
        *((f"source {name}", _source(source, chosen)) for name, source in chosen.sources.items()),
    ]
    if chosen.prometheus is not None:
        client = Prometheus(chosen.prometheus.url, chosen.prometheus.api)
        parts.append(("prometheus", _prometheus("prometheus", client)))
    found = await asyncio.gather(*(_survived(name, part) for name, part in parts))
    return [finding for findings in found for finding in findings]


async def _survived(part: str, examination: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await examination
    except (ResponderError, OSError, asyncpg.PostgresError) as error:
        return [failed(part, str(error), "Mend that, and ask again")]


# --- the store ----------------------------------------------------------------------------------------


async def _store(chosen: Settings) -> list[Finding]:
    if chosen.database is None:
        return [failed("store", "no database is configured: `serve` will not start", "Set `database:`")]
    if chosen.embedded:
        text = f"the bundled server, with its data in {chosen.data_dir}"
        return [warned("store", text, "For production set `database:` to a PostgreSQL of its own")]
    try:
        await check_server(chosen.database.get_secret_value())
    except PermanentError as error:
        return [failed("store", str(error), "Change the server or the role as said")]
    findings = [good("store", "it answers, and can keep what it promises")]
    if chosen.timeline_key is None and chosen.timeline_key_file is None:
        findings.append(failed("store", "no timeline key is configured", "Set `timeline_key_file:`"))
    return findings


async def _own_ground(chosen: Settings) -> str | None:
    """The system that carries the store, where it can be told without starting anything."""
    if chosen.database is None or chosen.embedded:
        return None
    connection = await connect(chosen.database.get_secret_value(), name="doctor")
    try:
        return await system_identifier(connection)
    finally:
        connection.terminate()


# --- the inventory ------------------------------------------------------------------------------------


async def _inventory(chosen: Settings) -> list[Finding]:
    inventory = chosen.inventory.load()
    if not inventory.postgres:
        return [
            warned("inventory", "it is empty, so nothing can be acted on", "Add the servers under inventory:")
        ]
    try:
        own = await _own_ground(chosen)
    except ResponderError:
        own = None
    servers = PostgresServers(inventory)
    try:
        names = [entry.name for entry in inventory.postgres]
        found = await asyncio.gather(*(_connection(servers, name, own) for name in names))
    finally:
        await servers.close()
    return [finding for findings in found for finding in findings]


async def _connection(servers: PostgresServers, name: str, own: str | None) -> list[Finding]:
    """One server: does it answer, what may our role do there, and is it the one that carries us?"""
    part = f"postgres/{name}"
    try:
        [row] = await servers.fetch_read_only(name, _RIGHTS, _LIMIT)
        ground = await servers.ground(name)
    except TemporaryError as error:
        return [failed(part, str(error), "Check the DSN, the network and pg_hba.conf")]
    findings = [good(part, f"it answers as {row['name']}"), *_rights(part, row)]
    if own is not None and own in ground:
        text = "it is the server that carries the responder itself: no action will ever touch it"
        findings.append(warned(part, text, "Give the responder a PostgreSQL of its own"))
    return findings


def _rights(part: str, row: Mapping[str, Any]) -> list[Finding]:
    role = str(row["name"]).replace('"', '""')
    if row["super"]:
        text = f"{row['name']} is a superuser, which is more than any action needs"
        return [warned(part, text, "Use a role with pg_signal_backend and pg_read_all_stats")]
    findings = []
    if not row["may_read"]:
        text = "the role cannot see other sessions' queries, so no action finds any"
        findings.append(failed(part, text, f'GRANT pg_read_all_stats TO "{role}"'))
    if not row["may_signal"]:
        text = "the role may not end other roles' queries"
        findings.append(failed(part, text, f'GRANT pg_signal_backend TO "{role}"'))
    return findings or [good(part, "its role may see and end queries")]


# --- the way in ---------------------------------------------------------------------------------------


async def _listener(chosen: Settings) -> list[Finding]:
    findings = [good("listener", f"{chosen.web.listen}")]
    if chosen.web.api_token is None:
        text = "anybody on this machine may give commands"
        findings.append(warned("listener", text, "Set web.api_token_file"))
    if not chosen.sources:
        findings.append(failed("listener", "no source is configured", "Add your Alertmanager under sources:"))
    return findings


async def _channels(chosen: Settings) -> list[Finding]:
    """Which ways to people there are; nothing is sent. What is worst must not reach the log alone."""
    names = ", ".join(chosen.channel_names)
    worst = chosen.terms.policy(Severity.P0)
    if {channel for level in worst.levels for channel in level.channels} == {LOG}:
        text = f"a P0 is told to the log alone; channels: {names}"
        mend = "Name a channel in the policy of severities.P0: docs/notify.md"
        return [warned("channels", text, mend)]
    return [good("channels", f"{names}; try one with: responder notifications test NAME")]


async def _severities(chosen: Settings) -> list[Finding]:
    """A less bad severity that promises more than a worse one is allowed, and most likely a slip."""
    found = []
    for worse, better in pairwise(sorted(chosen.severities)):
        promised, less = chosen.severities[worse].response_time, chosen.severities[better].response_time
        if less < promised:
            text = (
                f"{better} promises a response within {format_duration(less)}, "
                f"{worse} within {format_duration(promised)}"
            )
            found.append(warned("severities", text, "Give the worse one the shorter response_time"))
    return found


async def _emergency(chosen: Settings) -> list[Finding]:
    if chosen.emergency.webhook is None:
        text = "while the database is away, a P0 would not page"
        return [warned("emergency", text, "Set emergency.webhook_file and emergency.secret_file")]
    return [good("emergency", "a P0 pages while the database is away, too")]


async def _dead_mans_switch(chosen: Settings) -> list[Finding]:
    part = "dead man's switch"
    if chosen.dead_mans_switch.url is None:
        text = "nobody outside notices when the responder itself falls silent"
        mend = "Set dead_mans_switch.url_file to an address that pages when it is not called"
        return [warned(part, text, mend)]
    every = format_duration(chosen.dead_mans_switch.every)
    return [good(part, f"called every {every} while the service is ready; not called now")]


async def _source(source: SourceSettings, chosen: Settings) -> list[Finding]:
    part = f"source {source.name}"
    findings = []
    if source.name in chosen.open_sources:
        text = "it takes alerts without a token, so nothing acts on them"
        findings.append(warned(part, text, "Set token_file of the source"))
    if not source.askable:
        text = "no API is configured, so only notifications say whether an alert still fires"
        findings.append(warned(part, text, "Add `alertmanager:` with every peer of the cluster"))
    peers = await asyncio.gather(*(_peer(source, url) for url in source.alertmanager))
    servers = await asyncio.gather(
        *(_prometheus(part, Prometheus(url, source.api)) for url in source.prometheus)
    )
    return [*findings, *(one for found in (*peers, *servers) for one in found)]


async def _peer(source: SourceSettings, url: str) -> list[Finding]:
    client = Alertmanager(url, source.api)
    part = f"source {source.name}"
    try:
        status = await client.status()
        fires = await _watchdog_fires(client, source.receiver)
    except TemporaryError as error:
        return [failed(part, str(error), "Check the address under `alertmanager:` and the network")]
    finally:
        await client.close()
    named = f"{part} ({client.name})"
    return [
        good(named, f"Alertmanager {status.version} answers"),
        *routing_findings(named, status.config, source.name, source.receiver),
        *_watchdog(named, status, fires=fires),
    ]


async def _watchdog_fires(client: Alertmanager, receiver: str | None) -> bool:
    known = await client.alerts(receiver)
    return any(alert.labels.get("alertname") in WATCHDOGS for alert in known)


def _watchdog(part: str, status: AlertmanagerStatus, *, fires: bool) -> list[Finding]:
    """Without an alert that always fires, silence and a broken pipeline look the same."""
    if fires:
        return [good(part, "a watchdog fires and is routed here")]
    if has_watchdog_route(status.config):
        text = "a watchdog is routed, but none fires now"
        return [warned(part, text, "Check the alerting rule of the watchdog in Prometheus")]
    text = "no watchdog: when Prometheus stops sending, nobody notices"
    return [warned(part, text, "Add an always-firing alert `Watchdog` (expr: vector(1)), and route it here")]


async def _prometheus(part: str, client: Prometheus) -> list[Finding]:
    try:
        version = await client.version()
        await client.query("vector(1)")
    except ResponderError as error:
        return [failed(part, str(error), "Check the address, the network and the credentials")]
    finally:
        await client.close()
    return [good(f"{part} ({client.name})", f"Prometheus {version} answers queries")]
