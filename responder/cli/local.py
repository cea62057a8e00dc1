"""What `responder run` leaves on this machine for the command line: where it listens, and its API token."""

import os
from dataclasses import dataclass
from pathlib import Path

from responder.store.settings import default_data_dir

DEFAULT_URL = "http://127.0.0.1:9095"
API_TOKEN_FILE = "api.token"  # noqa: S105 - a file's name
URL_FILE = "api.url"
"""Both in the data directory. The address is there as long as the service runs, the token for ever."""


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
    named = os.environ.get("RESPONDER_DATA_DIR")
    given = config_file or os.environ.get("RESPONDER_CONFIG") or Path("responder.yaml").exists()
    if named is None and given:
        from responder.settings import written  # noqa: PLC0415 - it imports every package: only where needed

        named = written(("data_dir",), config_file)
    return Path(named).expanduser().absolute() if named is not None else default_data_dir()


def _line(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
