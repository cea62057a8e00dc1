"""What `responder doctor` finds out about what is active now: the rules, and what halts.

A database of its own is read directly; the service is asked for what it alone knows, which is everything
where the bundled database runs only with it.
"""

import asyncio
from typing import Any

import aiohttp

from responder.cli.findings import Finding, failed, good, warned
from responder.cli.local import left
from responder.cli.rule_files import checked
from responder.engine.halting import file_reason
from responder.engine.rules import rules_in_words
from responder.model.restraint import RestraintKind
from responder.model.rule import Rulebook
from responder.review.words import count
from responder.settings import Settings
from responder.store import restraints
from responder.store.connection import Connection, connect
from responder.store.rulebooks import Rulebooks

_PATIENCE = aiohttp.ClientTimeout(total=5)
_NO_RULE = "Set `rules:`, mend what `responder rules check` names, then: responder rules reload"
HALT_FILE = "halt file (these settings)"
_SERVICE = "halt (service)"
_REFUSED = "Compare url, credentials and version in Alertmanager's webhook_configs; the log names the mend"
_UNHEARD = "Mend what it names, then try: responder notifications test NAME"
_FLAG = "When the reason for it is gone: responder resume"


async def rule_files(chosen: Settings) -> list[Finding]:
    """The files of the settings, checked as the service does at its start."""
    if not chosen.rules:
        return [warned("rule files", "the settings name none", "Set `rules:` to files or folders of them")]
    report = await asyncio.to_thread(checked, chosen.rules, chosen)
    if report.rulebook is not None:
        return [good("rule files", f"{count(len(report.rulebook.rules), 'rule')}, no mistake")]
    number = count(len(report.mistakes), "mistake")
    found = f"{number}, so what they say is not active; the first: {report.mistakes[0]}"
    named = " ".join(map(str, chosen.rules))
    return [failed("rule files", found, f"All are named by: responder rules check {named}")]


async def halt_file(chosen: Settings) -> list[Finding]:
    """Whether the file of the settings halts. It needs no database, and so neither does this."""
    file = chosen.engine.halt_file
    if file is None:
        return [good(HALT_FILE, "no file halts: engine.halt_file is not set")]
    reason = file_reason(file)
    if reason is None and not await asyncio.to_thread(file.parent.is_dir):
        text = f"the folder of engine.halt_file is not there, so nobody can halt by {file}"
        return [warned(HALT_FILE, text, f"mkdir -p {file.parent}")]
    if reason is None:
        return [good(HALT_FILE, f"no file halts: {file} is not there")]
    return [
        warned(HALT_FILE, f"no action starts, {reason}", "Remove the file when the reason for it is gone")
    ]


async def standing(chosen: Settings) -> list[Finding]:
    """Whether rules are active and how many; whether the flag halts."""
    if chosen.database is None or chosen.embedded:
        return []
    connection = await connect(chosen.database.get_secret_value(), name="doctor")
    try:
        return await _stored(connection)
    finally:
        connection.terminate()


async def _stored(connection: Connection) -> list[Finding]:
    if await connection.fetchval("SELECT to_regclass('restraints') IS NULL"):
        return [_rules(None)]
    return [_rules(await Rulebooks().active(connection)), await _flag(connection)]


def _rules(active: Rulebook | None) -> Finding:
    text = rules_in_words(active)
    return good("rules", text) if active is not None and active.rules else warned("rules", text, _NO_RULE)


async def _flag(connection: Connection) -> Finding:
    stands = await restraints.read(connection)
    if (reason := stands.halts_all) is not None:
        return warned(_SERVICE, f"no action starts, by the flag in the database: {reason}", _FLAG)
    if halts := stands.of(RestraintKind.HALT):
        told = "; ".join(f"{one.scope} by {one.actor}: {one.reason}" for one in halts)
        return warned(_SERVICE, f"{count(len(halts), 'halt')} over a part: {told}", _FLAG)
    return good(_SERVICE, "no flag halts")


async def service(chosen: Settings) -> list[Finding]:
    """What the service with these settings says of itself at `/readyz`.

    What it refused it alone knows; so it is with everything where the bundled database runs only with it.
    """
    if chosen.database is None:
        return []
    url = left(chosen.data_dir).url or f"http://{chosen.web.listen}"
    parts = await _parts(url)
    if parts is None:
        also = "which rules are active, whether the flag halts and " if chosen.embedded else ""
        text = f"no service answers at {url}: {also}whether it refuses deliveries is not known"
        start = "responder up" if chosen.embedded else "responder serve"
        return [warned("service", text, f"Start it with `{start}`, and ask again")]
    unready = [failed("service", f"{p['name']}: {p['text']}", "See its log") for p in parts if not p["ready"]]
    return [*unready, *(_told(parts) if chosen.embedded else ()), *_refusing(parts), *_unheard(parts)]


def _told(parts: list[dict[str, Any]]) -> list[Finding]:
    mends = {"rules": ("rules", _NO_RULE), "halt": (_SERVICE, f"{_FLAG}, or remove the file")}
    told = [(part, *mends[part["name"]]) for part in parts if part["name"] in mends]
    return [
        warned(name, part["text"], mend) if part["warning"] else good(name, part["text"])
        for part, name, mend in told
    ]


def _refusing(parts: list[dict[str, Any]]) -> list[Finding]:
    refused = [part for part in parts if part["name"].startswith("source ") and part["warning"]]
    return [warned(part["name"], part["text"], _REFUSED) for part in refused]


def _unheard(parts: list[dict[str, Any]]) -> list[Finding]:
    """Words to people that wait or were given up: a channel that is configured may still reach nobody."""
    notified = [part for part in parts if part["name"] == "notifications" and part["warning"]]
    return [warned("channels (service)", part["text"], _UNHEARD) for part in notified]


async def _parts(url: str) -> list[dict[str, Any]] | None:
    """The parts, ready or not; None where nobody answers, or somebody else does."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, trust_env=False) as session,
            session.get(f"{url}/readyz", allow_redirects=False) as answer,
        ):
            told = await answer.json(content_type=None)
        return [{"warning": False, **part} for part in told["parts"]]
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError, TimeoutError):
        return None
