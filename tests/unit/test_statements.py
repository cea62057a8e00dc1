"""Statements of other people are kept without what they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.actions.statements import STORED_LENGTH, is_backup, is_maintenance, normalised, shortened

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("select * from t1 where a = 'x''y' and b = 12.5e3", "select * from t1 where a = ? and b = ?"),
        ("select 1 where id in (1, 2,3)", "select ? where id in (?, …)"),
        ('select "Foo", $1 from "a b"', 'select "Foo", $1 from "a b"'),
        ("select E'a\\'b', e'c'", "select ?, ?"),
        ("select $$a$$, $x$ b $$ c $x$", "select ?, ?"),
        ("/* a /* nested */ b */ select x -- end", "select x"),
        ("alter role x password 'cut off by the ser", "alter role x password …"),
        ("select $x$ cut off", "select …"),
        ("select 1 /* cut off", "select ?"),
        ("select 'ends\\' where c = 'or not'", "select …"),
        ("select x'ff', B'01', U&'d', 0xff, .5", "select ?, ?, ?, ?, ?"),
        ("", ""),
    ],
)
def test_literals_and_comments_are_gone(sql: str, kept: str) -> None:
    """Every kind of literal becomes a question mark; what cannot be read for sure ends the text."""
    assert normalised(sql) == kept


_LITERALS = st.sampled_from(
    [
        f"'{SECRET}'",
        f"'it''s {SECRET}'",
        f"E'\\' {SECRET}'",
        f"$${SECRET}$$",
        f"$tag$ ' {SECRET} $tag$",
        f"/* {SECRET} */",
        f"-- {SECRET}\n",
        f"N'{SECRET}'",
        f"'a\\' {SECRET}'",
    ]
)
_CODE = st.sampled_from(
    ["select", "from t", "where a =", ",", "(", ")", ";", "$1", "17", '"name"', "::text", "\n"]
)


@given(st.lists(st.one_of(_LITERALS, _CODE), max_size=12), st.integers(0, 400))
def test_no_secret_survives(parts: list[str], cut: int) -> None:
    """Whatever surrounds a literal, and wherever the server cuts the text off, nothing of it is kept."""
    kept = normalised(" ".join(parts)[: cut or None])
    assert not any(SECRET[at : at + 4] in kept for at in range(len(SECRET) - 3))


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """No text is an error, and what is kept is one line."""
    assert len(normalised(text).splitlines()) <= 1


def test_what_is_stored_is_short() -> None:
    """A long statement is cut, and says so."""
    assert shortened("x" * STORED_LENGTH) == "x" * STORED_LENGTH
    assert shortened("x" * (STORED_LENGTH + 1)) == "x" * (STORED_LENGTH - 1) + "…"


@pytest.mark.parametrize(
    ("sql", "maintenance"),
    [
        ("VACUUM FULL t", True),
        ("vacuum(analyze) t", True),
        ("select 1; analyze t", True),
        ("/* job 7 */ REINDEX INDEX CONCURRENTLY i", True),
        ("create unique index concurrently i on t (a)", True),
        ("refresh materialized view v", True),
        ("explain analyze select 1", False),
        ("select 'vacuum'", False),
        ("select * from vacuum_log", False),
        ("create table index_of (id int)", False),
        ("insert into t select analyze from u", False),
    ],
)
def test_maintenance_is_told_by_how_a_statement_begins(sql: str, maintenance: bool) -> None:
    """Upkeep is what begins with its word, in any statement of the text; not what mentions it."""
    assert is_maintenance(normalised(sql)) is maintenance


def test_a_backup_is_told_by_its_functions() -> None:
    """The server's own functions of a backup, old names and new; a string that names one is none."""
    assert is_backup(normalised("select pg_backup_start('nightly')"))
    assert is_backup(normalised("SELECT * FROM pg_start_backup('x')"))
    assert not is_backup(normalised("select 'pg_backup_start'"))
