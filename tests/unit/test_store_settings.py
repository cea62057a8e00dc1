"""The store's settings: what is refused before anything starts."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from responder.store.settings import StoreSettings, default_data_dir


@pytest.mark.parametrize("word", ["Embedded", "embeded", "", "mysql://root:hunter2@db/x", "hunter2"])
def test_a_misspelt_database_is_refused_and_not_repeated(word: str) -> None:
    """Neither an empty store nor a password in the log comes of a slip."""
    with pytest.raises(ValidationError, match="or the word embedded") as refused:
        StoreSettings(database=SecretStr(word))
    assert "hunter2" not in str(refused.value)


def test_only_the_word_asks_for_the_bundled_server() -> None:
    """Absent is neither: nobody starts an empty store by forgetting a line."""
    assert StoreSettings(database=SecretStr("embedded")).embedded
    assert not StoreSettings(database=SecretStr("postgresql://db/responder")).embedded
    assert not StoreSettings().embedded


def test_two_timeline_keys_are_refused() -> None:
    """Nobody has to guess which of two keys counts."""
    with pytest.raises(ValidationError, match="keep one of them"):
        StoreSettings(timeline_key=SecretStr("k" * 32), timeline_key_file=Path("/run/key"))


def test_one_late_heartbeat_does_not_cost_the_lease() -> None:
    """The lease must outlast two missed beats."""
    with pytest.raises(ValidationError, match="3 times heartbeat_every"):
        StoreSettings(lease_time=timedelta(seconds=15), heartbeat_every=timedelta(seconds=6))


def test_the_data_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG for people; root's home is closed to the server's user, so root's data lies elsewhere."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert default_data_dir() == Path("/somewhere/state/responder")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert default_data_dir() == Path.home() / ".local/state/responder"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/responder")
