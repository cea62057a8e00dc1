"""Fixtures that several folders of tests share: PostgreSQL databases on one real server for the whole run."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import tests.support.manual  # noqa: F401 - takes its variable out of the environment of every test
from responder.store.migrate import migrate
from tests.support.databases import database_on, execute, fresh_database, running_server, wait_for

_TEMPLATE = "migrated"

# How long an example takes is this machine's load, and no claim of a test. Who judges a change (CI is set)
# tries the same examples each time, so that the verdict is about the change; everybody else tries new ones.
# HYPOTHESIS_PROFILE=deep looks for longer, where a test does not itself say how long.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
    stateful_step_count=30,
)
settings.register_profile("deep", settings.get_profile("suite"), max_examples=3000, stateful_step_count=80)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A PostgreSQL of this test run; take `dsn` or `empty_dsn` unless the server itself is what is tested."""
    with running_server() as server:
        yield server.dsn


@pytest.fixture(scope="session")
def _migrated(server_dsn: str) -> str:
    """The name of a database with the newest schema, from which others are copied."""
    wait_for(execute(server_dsn, f"create database {_TEMPLATE} template template0"))
    wait_for(migrate(database_on(server_dsn, _TEMPLATE)))
    return _TEMPLATE


@pytest.fixture
def dsn(server_dsn: str, _migrated: str) -> Iterator[str]:
    """A database of this test's own, with the newest schema and no rows."""
    with fresh_database(server_dsn, _migrated) as database:
        yield database


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """A database of this test's own, without a schema."""
    with fresh_database(server_dsn) as database:
        yield database
