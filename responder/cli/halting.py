"""`responder halt` and `responder resume`: the flag in the database, or a file that needs nothing to work."""

import os
from pathlib import Path
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client, ServerAwayError, ServerRefusedError
from responder.cli.common import (
    ExitCode,
    actor_option,
    config_option,
    ends_in_words,
    fail,
    print_json,
    speaks,
    token_option,
    url_option,
)

_NO_REASON = "no reason given"
_LONGEST = 2000
"""Characters of a reason that the server takes."""
_PATIENCE_S = 3.0
"""Seconds in which a service must say whether the file halts it."""
_WORDS = {"flag": "the flag in the database", "file": "a file"}


@click.command()
@click.option("--reason", default="halted by a person", show_default=True, help="Why.")
@click.option(
    "--scope",
    "--match",
    "scope",
    multiple=True,
    help="""Halt only what a matcher may concern, as 'namespace="prod"'; all given must hold. """
    """--match is the same. Asked are rule, severity, action, target, its cluster and namespace, """
    """and the labels of the alerts.""",
)
@actor_option
@click.option(
    "--file", "file", type=click.Path(path_type=Path), help="Make this file instead; needs no server."
)
@config_option
@url_option
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def halt(
    reason: str,
    scope: tuple[str, ...],
    actor: str,
    file: Path | None,
    config_file: Path | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Stop every replica from starting anything. What runs already is not interrupted.

    It stands until a person resumes, beside every other halt. What is to end by itself is a freeze:
    responder freeze add --for 2h.

    With --file only the processes stop that see this file and were started with it as their engine.halt_file,
    which is empty by default. It works while no server and no database answers. A service that answers says
    whether the file halts it; else the settings on disk must name it. Exits 1 where nothing is known to be
    halted. Remove the file to end it.
    """
    why = _worded(reason)
    if file is not None and scope:
        raise click.UsageError("a file halts everything: --scope does not go with --file")
    if file is not None:
        asked = Client(url, token, config_file, patience_s=_PATIENCE_S)
        _halt_by_file(file.absolute(), f"{actor}: {why}", asked, as_json=as_json)
        return
    try:
        told = Client(url, token, config_file).post(
            "halt", {"actor": _worded(actor), "reason": why, "scope": list(scope)}
        )
    except ServerAwayError as error:
        fail(_not_halted(str(error), config_file), ExitCode.AWAY)
    except ServerRefusedError as error:
        fail(_refused(error, config_file), ExitCode.REFUSED)
    _print_halt(told, as_json=as_json)


@click.command()
@click.option("--reason", default="resumed by a person", show_default=True, help="Why.")
@click.option("--id", "number", type=click.IntRange(min=0), help="The halt that is over, by its number.")
@click.option("--all", "everything", is_flag=True, help="Every halt is over.")
@actor_option
@speaks
def resume(
    reason: str, number: int | None, everything: bool, actor: str, client: Client, as_json: bool
) -> None:
    """End a halt, and name those that still stand; exits 1 where everything is still halted.

    Where several stand, --id or --all says which is meant: each was given for a reason of its own.
    """
    if number is not None and everything:
        raise click.UsageError("give --id or --all, not both")
    body: dict[str, Any] = {"actor": _worded(actor), "reason": _worded(reason), "all": everything}
    told = client.post("resume", body if number is None else {**body, "id": number})
    _print_halt(told, as_json=as_json)
    if told["halted"]:
        raise SystemExit(ExitCode.WRONG)


def _worded(text: str) -> str:
    """The text as the server takes it: a stop must not fail for how its reason is written."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable.strip()[:_LONGEST] or _NO_REASON


def _not_halted(why: str, config_file: Path | None) -> str:
    """For a tired person: that nothing stopped, why, and the way that needs no server."""
    file, settings_file = _watched(config_file)
    with_these = f" --config {config_file}" if config_file is not None else ""
    where = f"in {settings_file}" if settings_file is not None else "here"
    way = (
        f"Without a server:  responder halt --file {file}{with_these}"
        if file is not None
        else f"No engine.halt_file is set {where}, so no file halts: stop the service itself (SIGTERM)."
    )
    return f"NOT HALTED: {why}\n{way}"


def _refused(error: ServerRefusedError, config_file: Path | None) -> str:
    """The server answers, and wants another request: mend that, where no file goes round it."""
    why = str(error)
    if error.field is not None and error.field.split(".")[0] == "scope":
        return f"NOT HALTED: {why}\nCorrect the matcher, and halt again; without --scope everything halts."
    file, _ = _watched(config_file)
    if file is not None:
        return _not_halted(why, config_file)
    return f"NOT HALTED: {why}\nThe server answers: mend that, and halt again."


def _watched(config_file: Path | None) -> tuple[Path | None, Path | None]:
    """The halt file that the settings on disk name, however wrong the rest of them is; and their own file."""
    from responder.settings import chosen_file, written  # noqa: PLC0415 - as in common: most commands need none

    named = written(("engine", "halt_file"), config_file)
    return Path(named).absolute() if named else None, chosen_file(config_file, os.environ)


def _print_halt(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    if not told["by"]:
        output.say("Nothing halts: actions may start.")
        return
    output.say("Halted: no action starts." if told["halted"] else "Halted in part; the rest may start.")
    for hold in told["by"]:
        output.say(f"- {_hold(hold)}")


def _hold(hold: dict[str, Any]) -> str:
    """One that holds, with its number where it has one, and why."""
    if hold["what"] != "halt":
        number = f" (--id {hold['id']})" if "id" in hold else ""
        return f"by {_WORDS.get(hold['what'], hold['what'])}{number}: {hold['reason']}"
    where = ", ".join(hold["scope"]) or "everything"
    since = f"{output.moment(hold['since']):%Y-%m-%d %H:%M} UTC"
    return f"halt {hold['id']} over {where}, by {hold['actor']} since {since}: {hold['reason']}"


def _halt_by_file(file: Path, reason: str, client: Client, *, as_json: bool) -> None:
    """Make the file, then ask whoever knows whether it halts anything: the file alone does not.

    A service that answers knows what it was started with; the settings on disk may have changed since.
    """
    _make(file, reason)
    watched, settings_file = _watched(client.config_file)
    by_settings = watched is not None and watched.resolve() == file.resolve()
    told = _service(client)
    holds = by_settings if told is None else _holds(told, file)
    if as_json:
        by = [{"what": "file", "reason": reason}] if holds else []
        watches = str(watched) if watched else None
        service = None if told is None else {"halt_file": told["halt_file"], "halted": holds}
        print_json(
            {"halted": holds, "by": by, "file": str(file), "settings_name": watches, "service": service}
        )
    if not holds and told is not None:
        fail(_service_goes_on(client.url, told, file, by_settings=by_settings), ExitCode.WRONG)
    if not holds:
        fail(_halts_nothing(file, watched, settings_file), ExitCode.WRONG)
    if not as_json:
        _tell_halt(file, client.url, asked=told is not None)


def _tell_halt(file: Path, url: str, *, asked: bool) -> None:
    if asked:
        output.say(f"Halted: {file} is there, and the service at {url} says that it starts no action.")
    else:
        output.say(f"Halted: {file} is there, and engine.halt_file of the settings names it.")
        output.say("What was started with these settings and sees this file starts no action from now on.")
        output.say(f"{url} does not say whether it was: a service that was started with others goes on.")
    output.say("Other replicas go on: `responder halt` without --file stops every one.")
    output.say("Remove the file to end it.")


def _service(client: Client) -> dict[str, Any] | None:
    """What the service was started with; None where it does not say."""
    try:
        told = client.get("service")
    except (ServerAwayError, ServerRefusedError):
        return None
    return told if isinstance(told, dict) and {"halt_file", "halted_by_file"} <= told.keys() else None


def _holds(told: dict[str, Any], file: Path) -> bool:
    """Whether the service is halted by this file."""
    looks_at = told["halt_file"]
    same = looks_at is not None and Path(looks_at).resolve() == file.resolve()
    return same and told["halted_by_file"] is not None


def _service_goes_on(url: str, told: dict[str, Any], file: Path, *, by_settings: bool) -> str:
    """For a tired person: that the service goes on, why, and what to type."""
    looks_at = told["halt_file"]
    if looks_at is None:
        found = f"the service at {url} was started without engine.halt_file"
    elif Path(looks_at).resolve() == file.resolve():
        found = f"the service at {url} does not see it: is it on another machine?"
    else:
        found = f"the service at {url} was started with engine.halt_file {looks_at}"
    lines = [f"NOT HALTED: {file} was made, but {found}.", "  every replica, now:          responder halt"]
    if looks_at is not None and Path(looks_at) != file:
        lines.append(f"  by the file it looks at:     responder halt --file {looks_at}")
    if by_settings:
        lines.append("The settings on disk name this file: a service that is started again looks at it.")
    return "\n".join(lines)


def _make(file: Path, reason: str) -> None:
    """A file that exists counts as a halt even while it is written."""
    try:
        with file.open("w", encoding="utf-8") as out:
            out.write(f"{reason}\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        fail(f"NOT HALTED: {file} cannot be written: {error.strerror}", ExitCode.WRONG)


def _halts_nothing(file: Path, watched: Path | None, settings_file: Path | None) -> str:
    """For a tired person: what does not hold, then what to type."""
    where = (
        f"in {settings_file}"
        if settings_file is not None
        else "here (no --config, RESPONDER_CONFIG or responder.yaml)"
    )
    found = f"engine.halt_file {where} is {watched}" if watched else f"no engine.halt_file is set {where}"
    lines = [
        f"NOT HALTED, as far as is known: {file} was made, but {found}.",
        "A file halts only the processes that were started with settings that name it.",
        "  every replica, now:          responder halt --reason ...",
        f"  if other settings name it:   responder halt --file {file} --config FILE",
        f"  to use this file next time:  set engine.halt_file: {file}, and start the service again",
    ]
    if watched:
        lines.insert(3, f"  by the file that is named:   responder halt --file {watched}")
    return "\n".join(lines)
