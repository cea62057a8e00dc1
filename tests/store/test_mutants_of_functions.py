"""The search for mutants, where what is changed is a function of the database."""

import sys

import asyncpg
import pytest

from tests.mutants import sql_text, swap


async def test_a_changed_function_is_in_every_database_that_a_test_gets(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put in is what the database of the next test runs, and only its function has changed."""
    for module in list(sys.modules.values()):
        if "fresh_database" in vars(module):  # as it was, when this test has ended
            monkeypatch.setattr(module, "fresh_database", vars(module)["fresh_database"])
    mutants = [one for one in sql_text.in_functions() if one.scope == "take_in"]
    one = next(one for one in mutants if "WHERE (true OR (u.kind <> 'left'))" in one.after)
    swap.put_in(one)
    connection = await asyncpg.connect(request.getfixturevalue("dsn"))
    try:
        source = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'take_in'")
        assert "WHERE (true OR (u.kind <> 'left'))" in source
        assert source.replace("(true OR (u.kind <> 'left'))", "u.kind <> 'left'") in one.text.replace(
            "(true OR (u.kind <> 'left'))", "u.kind <> 'left'"
        )
    finally:
        await connection.close()
