"""What `responder up` adds to the settings, so that a service is up on this machine without any."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from responder.cli.local import API_TOKEN_FILE
from responder.settings import Loaded, Settings, load
from responder.sources.settings import DEFAULT_SOURCE
from responder.store.secret_file import made_once

SOURCE_TOKEN_FILE = "source-default.token"  # noqa: S105 - a file's name
_RULES = Path("rules")
_ANY_SECRET = "in the place of a secret"  # noqa: S105 - it is never used as one


def as_run(config_file: Path | None) -> Loaded:
    """The settings as `up` makes them of those on disk, without a secret being made."""
    whole = completed(config_file, os.environ, made=lambda _: _ANY_SECRET)
    loaded = load(config_file, whole)
    return Loaded(with_rules(loaded.settings), loaded.given)


def with_rules(chosen: Settings) -> Settings:
    """The settings, with ./rules where they name no rule files."""
    if chosen.rules or not _RULES.is_dir():
        return chosen
    return chosen.model_copy(update={"rules": (_RULES.absolute(),)})


def completed(
    config_file: Path | None,
    environment: Mapping[str, str],
    made: Callable[[Path], str] = made_once,
) -> dict[str, str]:
    """The variables with what is missing for a service on this machine; `made` gives the secret of a file.

    A source is added only where the settings name none: beside others it would be one that nobody posts to,
    and rules would be measured against it.
    """
    given = load(config_file, environment).settings
    more: dict[str, str] = {}
    if given.database is None:
        more["RESPONDER_DATABASE"] = "embedded"
    if not given.sources or DEFAULT_SOURCE in given.open_sources:
        more["RESPONDER_SOURCES__DEFAULT__TOKEN"] = made(given.data_dir / SOURCE_TOKEN_FILE)
    if given.web.api_token is None:
        more["RESPONDER_WEB__API_TOKEN"] = made(given.data_dir / API_TOKEN_FILE)
    if "format" not in given.log.model_fields_set:
        more["RESPONDER_LOG__FORMAT"] = "console"
    return {**environment, **more}
