"""What the operator decides about the store: which database, where local files live, how patient it is."""

import os
from datetime import timedelta
from pathlib import Path

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from responder.model.base import Frozen
from responder.model.duration import Duration

EMBEDDED = "embedded"
"""The word that asks for the bundled server instead of a DSN."""


def default_data_dir() -> Path:
    """Where state belongs when nobody says: the XDG state directory, `/var/lib/responder` for root.

    Root gets no place in its own home: the bundled server runs as another user, who may not enter there.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/responder")
    state_home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state_home) if state_home.startswith("/") else Path("~/.local/state").expanduser()
    return base / "responder"


class StoreSettings(Frozen):
    """The store's settings.

    `database` is a PostgreSQL DSN or the word `embedded`; absent, `serve` refuses to start. `lease_time` is
    how long a process may miss its heartbeat before others take its incidents. `statement_timeout` bounds
    every statement, on the server and, a little later, here: a hung network must not hang the program.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    database: SecretStr | None = None
    data_dir: Path = Field(default_factory=default_data_dir)
    intake_connections: int = Field(default=2, ge=2, le=64)
    """One for each of the two batches that are under way at once: none waits for the other's."""
    worker_connections: int = Field(default=6, ge=1, le=256)
    web_connections: int = Field(default=4, ge=1, le=64)
    connect_timeout: Duration = timedelta(seconds=5)
    """How long to wait for a connection, new or from the pool."""
    statement_timeout: Duration = timedelta(seconds=10)
    lease_time: Duration = timedelta(seconds=15)
    heartbeat_every: Duration = timedelta(seconds=3)
    partitions_ahead: int = Field(default=7, ge=2, le=60)
    """For how many days the journal's partitions are made ahead."""
    journal_kept_for: Duration = timedelta(days=90)
    """After so long a day of the journal is dropped; 0 keeps everything."""
    dead_letters_kept_for: Duration = Field(default=timedelta(days=90), ge=timedelta(days=1))
    """How long dead letters are kept that nobody retried or dropped."""
    scheduled_runs_kept_for: Duration = Field(default=timedelta(days=400), ge=timedelta(days=1))
    """How long the reports of scheduled rules are kept."""
    timeline_key: SecretStr | None = None
    timeline_key_file: Path | None = None
    timeline_key_id: str = Field(default="1", min_length=1, max_length=64)
    """Stands in every timeline entry: a new key gets a new id, and old entries verify with the old key."""

    @field_validator("database")
    @classmethod
    def _known_kind_of_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value()
        if text != EMBEDDED and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError(f"write postgresql://user:password@host:5432/name, or the word {EMBEDDED}")
        return value

    anchor: Path | None = None
    """A file outside of the database: the heads of all timelines are anchored there. Empty by default."""
    anchor_every: Duration = timedelta(hours=1)

    @field_validator("data_dir", "timeline_key_file", "anchor")
    @classmethod
    def _home_expanded(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @model_validator(mode="after")
    def _consistent(self) -> "StoreSettings":
        if self.timeline_key is not None and self.timeline_key_file is not None:
            raise ValueError("timeline_key and timeline_key_file are both set: keep one of them")
        if self.heartbeat_every * 3 > self.lease_time:
            raise ValueError(
                "lease_time must be at least 3 times heartbeat_every: one late beat must not cost the lease"
            )
        if min(self.connect_timeout, self.statement_timeout, self.anchor_every) <= timedelta(0):
            raise ValueError("connect_timeout, statement_timeout and anchor_every must be longer than 0s")
        if timedelta(0) != self.journal_kept_for < timedelta(days=2):
            raise ValueError("journal_kept_for must be at least 2d, or 0 to keep everything")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the bundled server is asked for."""
        return self.database is not None and self.database.get_secret_value() == EMBEDDED
