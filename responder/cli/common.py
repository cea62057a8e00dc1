"""What commands share: options, exit codes, the settings file, who asks."""

import functools
import getpass
import json
import os
from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

from responder.cli.client import Client, ServerAwayError, ServerRefusedError
from responder.cli.local import DEFAULT_URL
from responder.model.duration import parse_duration
from responder.model.errors import PermanentError, TemporaryError

if TYPE_CHECKING:
    from responder.settings import Loaded

P = ParamSpec("P")
R = TypeVar("R")


class ExitCode(IntEnum):
    """What the command's end says to a script. 2 is click's own: the command was written wrongly."""

    DONE = 0
    WRONG = 1
    REFUSED = 3
    AWAY = 4


def fail(message: str, code: ExitCode) -> NoReturn:
    """End with a message on standard error."""
    click.echo(f"responder: {message}", err=True)
    raise SystemExit(code)


def ends_in_words(command: Callable[P, R]) -> Callable[P, R]:
    """A decorator: every error that is foreseen ends as one message and an exit code, not as a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ServerRefusedError as error:
            fail(str(error), ExitCode.REFUSED)
        except (ServerAwayError, TemporaryError) as error:
            fail(str(error), ExitCode.AWAY)
        except PermanentError as error:
            fail(str(error), ExitCode.WRONG)
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return wrapped


_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=3650)


class SpanType(click.ParamType[timedelta]):
    """A duration as Prometheus writes it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Fails where it is none, or no time to look back."""
        if isinstance(value, timedelta):
            return value
        try:
            span = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not _SHORTEST <= span <= _LONGEST:
            self.fail(f"{value} is not between 1s and 10y", param, ctx)
        return span


def _http(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} is no address of HTTP; write http://{value}")
    return value


url_option = click.option(
    "--url",
    callback=_http,
    envvar="RESPONDER_URL",
    help=f"The server; else that of `responder up` on this machine, else {DEFAULT_URL}.",
)
token_option = click.option(
    "--token", envvar="RESPONDER_TOKEN", help="The API token; else that of `responder up` on this machine."
)


def speaks(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator: gives the command a `client` and `as_json`, with the options that they need."""

    @config_option
    @url_option
    @token_option
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @ends_in_words
    @functools.wraps(command)
    def wrapped(
        *args: Any, config_file: Path | None, url: str | None, token: str | None, **kwargs: Any
    ) -> None:
        command(*args, client=Client(url, token, config_file), **kwargs)

    return wrapped


def speaks_quietly(command: Callable[..., None]) -> Callable[..., None]:
    """As `speaks`, for a command that has a format of its own."""

    @config_option
    @url_option
    @token_option
    @ends_in_words
    @functools.wraps(command)
    def wrapped(
        *args: Any, config_file: Path | None, url: str | None, token: str | None, **kwargs: Any
    ) -> None:
        command(*args, client=Client(url, token, config_file), **kwargs)

    return wrapped


def who() -> str:
    """The login name of the person at the keyboard; behind sudo the one who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else RESPONDER_CONFIG, then ./responder.yaml.",
)


def _said(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    if not reason.strip():
        raise click.BadParameter("it is empty. Say why: it stands in the timeline")
    return reason


reason_option = click.option(
    "--reason", required=True, callback=_said, help="Why; it stands in the timeline."
)
actor_option = click.option(
    "--actor", envvar="RESPONDER_ACTOR", default=who, help="Who; the login name by default."
)


def settings(config_file: Path | None) -> "Loaded":
    """The settings that the service would have. Raises SettingsError."""
    from responder.settings import load  # noqa: PLC0415 - it imports every package; most commands need none

    return load(config_file, os.environ)


def print_json(value: Any) -> None:
    """JSON for programs; text of any language stays readable."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
