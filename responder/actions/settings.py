"""The inventory and the named queries, as users write them in the settings file."""

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from responder.model.errors import PermanentError
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.matcher import Matcher
from responder.rulebook.matchers import parse_matchers

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_NAMESPACE = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"
_DSN = re.compile(r"postgres(ql)?://\S+")


def _parsed(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    return tuple(
        matcher for text in texts for matcher in (parse_matchers(text) if isinstance(text, str) else (text,))
    )


class _Settings(BaseModel):
    """Frozen and strict about keys; an error never repeats what was written, for that may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PostgresSettings(_Settings):
    """One PostgreSQL server that actions and probes may use.

    Exactly one of `dsn` and `dsn_file` is given; the file holds the DSN alone. `matches` are Alertmanager's
    matchers over the labels that a rule gives as `connection:`; without them only the name leads here.
    Connections with the same `namespace` share the budget of a namespace: without one a server is its own.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    dsn: SecretStr | None = None
    dsn_file: Path | None = None
    matches: Annotated[tuple[Matcher, ...], BeforeValidator(_parsed)] = ()
    namespace: Annotated[str, Field(pattern=_NAMESPACE)] | None = None

    @model_validator(mode="after")
    def _one_dsn(self) -> Self:
        if (self.dsn is None) == (self.dsn_file is None):
            raise ValueError(f"the connection {self.name!r} needs exactly one of dsn and dsn_file")
        if self.dsn is not None:
            _check(self.dsn.get_secret_value(), f"the dsn of {self.name!r}")
        return self

    def connection(self) -> PostgresConnection:
        """The inventory's entry. Raises PermanentError where `dsn_file` cannot be read or holds no DSN."""
        return PostgresConnection(
            name=self.name, dsn=self._secret(), matches=self.matches, namespace=self.namespace
        )

    def _secret(self) -> SecretStr:
        if self.dsn is not None:
            return self.dsn
        where = f"the dsn_file of {self.name!r} ({self.dsn_file})"
        try:
            text = Path(self.dsn_file or "").read_text(encoding="utf-8").strip()
            _check(text, where)
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(f"{where} cannot be read: {type(error).__name__}") from None
        except ValueError as error:
            raise PermanentError(str(error)) from None
        return SecretStr(text)


class InventorySettings(_Settings):
    """All that may be acted on or asked. What is not here is out of reach, whatever a rule says."""

    postgres: tuple[PostgresSettings, ...] = ()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [entry.name for entry in self.postgres]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the inventory names a PostgreSQL connection twice: {', '.join(twice)}")
        return self

    def load(self) -> Inventory:
        """The inventory, with its secrets read. Raises PermanentError where one cannot be."""
        return Inventory(postgres=tuple(entry.connection() for entry in self.postgres))


class NamedQuery(_Settings):
    """A read-only query for `sql` probes: one row, one number."""

    sql: Annotated[str, Field(min_length=1)]
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _no_bare_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("a text alone is no query; write {sql: select 1}")  # noqa: TRY004 - for pydantic
        return value


def _check(dsn: str, where: str) -> None:
    if _DSN.fullmatch(dsn) is None:
        raise ValueError(f"{where} is no DSN; write postgresql://user:password@host:5432/database")
