"""Secrets that are made once and kept: a file of its own in the data directory, mode 0600."""

import os
import secrets
from pathlib import Path

from responder.model.errors import PermanentError


def made_once(file: Path) -> str:
    """The secret in a file; where there is none yet, a new random one of 43 characters.

    Two processes that make it at once agree on one: the file is linked into place whole, or not at all.

    Raises:
        PermanentError: the file cannot be made or read.
    """
    try:
        if not file.exists():
            _make(file)
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"the secret in {file} cannot be made or read: {error}") from None
    if not text:
        raise PermanentError(f"the secret in {file} is empty: remove the file, a new one is made")
    return text


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secrets.token_urlsafe(32))
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(fresh, file)
    except FileExistsError:
        pass  # another process was first: its secret is the one
    finally:
        fresh.unlink()
    _sync(file.parent)


def _sync(directory: Path) -> None:
    """The name of the file outlives a loss of power, too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
