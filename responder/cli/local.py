"""How the command line finds the service of this machine: its settings, and what `responder up` leaves."""

import os
from dataclasses import dataclass
from pathlib import Path

from responder.store.settings import default_data_dir

DEFAULT_URL = "http://127.0.0.1:9095"
API_TOKEN_FILE = "api.token"  # noqa: S105 - a file's name
URL_FILE = "api.url"
"""Both in the data directory. The address is there as long as the service runs, the token for ever."""
_REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - to ask, not to listen


@dataclass(frozen=True, slots=True)
class Left:
    """What was found in the data directory."""

    url: str | None
    token: str | None


def left(folder: Path | None = None) -> Left:
    """What the service of this machine left behind, in its data directory if no other is named."""
    folder = folder or data_dir()
    return Left(_line(folder / URL_FILE), _line(folder / API_TOKEN_FILE))


def data_dir(config_file: Path | None = None) -> Path:
    """Where the service of this machine keeps its state: said by the same variable and file as for itself."""
    named = os.environ.get("RESPONDER_DATA_DIR") or _said(("data_dir",), config_file)
    return Path(named).expanduser().absolute() if named is not None else default_data_dir()


def local_token(config_file: Path | None, folder: Path) -> str | None:
    """The API token of the settings, else the one in the data directory."""
    return _said(("web", "api_token"), config_file) or left(folder).token


def local_url(config_file: Path | None, folder: Path) -> str:
    """Where the service of this machine is: as it left it, else as the settings say."""
    return left(folder).url or _listens(config_file) or DEFAULT_URL


def _listens(config_file: Path | None) -> str | None:
    host, _, port = (_said(("web", "listen"), config_file) or "").rpartition(":")
    if not port.isdigit() or port == "0":
        return None
    return f"http://{_REACHED_AT.get(host, host)}:{port}"


def _said(key: tuple[str, ...], config_file: Path | None) -> str | None:
    """One text of the settings, however wrong the rest of them is; None where there is no settings file."""
    if not (config_file or os.environ.get("RESPONDER_CONFIG") or Path("responder.yaml").exists()):
        return None
    from responder.settings import written  # noqa: PLC0415 - it imports every package: only where needed

    return written(key, config_file)


def _line(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
