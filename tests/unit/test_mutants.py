"""The search for mutants: what it changes, what it leaves alone, and that a change reaches what runs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from responder.decide.guards import GUARDS
from tests.mutants import explained, python_code, sql_text
from tests.mutants.mutant import ROOT, Mutant

ROOM = ROOT / "responder" / "decide" / "guards"
STORE = ROOT / "responder" / "store"


def told(mutants: list[Mutant], scope: str) -> set[str]:
    """How the changed lines look in one place."""
    return {mutant.after for mutant in mutants if mutant.scope == scope}


def test_each_guard_can_be_left_out() -> None:
    """The tuple of guards has a mutant for each of them."""
    mutants = python_code.everything(ROOM / "__init__.py")
    assert len([one for one in mutants if one.scope == "GUARDS"]) == len(GUARDS)


def test_conditions_and_bounds_are_changed() -> None:
    """A condition is taken for true and for false, each part of it is left out, a bound is moved."""
    found = told(python_code.everything(ROOM / "limits.py"), "flapping")
    assert {
        "if True:",
        "if False:",
        "if True and facts.now < at + allowed.within:",
        "if at is not None and True:",
        "if at is not None and facts.now <= at + allowed.within:",
        "if at is not None and facts.now < at - allowed.within:",
    } <= found


def texts(source: str) -> set[str]:
    """Every text in a source."""
    constants = [at.value for at in ast.walk(ast.parse(source)) if isinstance(at, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def test_words_are_left_alone() -> None:
    """No text is changed: what a reason says is for people."""
    said = texts((ROOM / "service.py").read_text())
    for mutant in python_code.everything(ROOM / "service.py"):
        assert texts(mutant.text) <= said


def test_each_predicate_of_a_statement_is_left_out_and_its_values_stay() -> None:
    """`true OR (...)` for what is joined by AND, `false AND (...)` for what is joined by OR."""
    found = told(sql_text.in_python(STORE / "ledger.py"), "_OWN_ACT")
    beside = "starts_with(target, $9 || '/')"
    where = f"WHERE intended_at > $15 AND intended_at <= $16 AND (target = $2 OR {beside})"
    assert {
        where.replace("intended_at > $15", "(true OR (intended_at > $15))"),
        where.replace("intended_at <= $16", "(true OR (intended_at <= $16))"),
        where.replace("target = $2", "(false AND (target = $2))"),
        where.replace(beside, f"(false AND ({beside}))"),
    } <= found


def test_sql_that_is_composed_elsewhere_is_reached_by_who_runs_it() -> None:
    """`budgets.left` is put into statements on import, of the ledger and of its own room."""
    found = [one for one in sql_text.in_python(STORE / "budgets.py") if one.scope == "left"]
    assert {path for one in found for path, _ in one.reached} == {
        "responder/store/budgets.py",
        "responder/store/ledger.py",
    }


def test_each_predicate_of_a_function_of_the_database_is_left_out() -> None:
    """Of `take_in`, by whoever runs what calls it; none of `hear`, that nothing calls any more."""
    mutants = sql_text.in_functions()
    assert "WHEN r.fires AND (true OR (r.starts_at >= a.last_end))" in " ".join(told(mutants, "take_in"))
    assert {path for one in mutants if one.scope == "take_in" for path, _ in one.reached} == {
        "responder/store/at_once.py"
    }
    assert {one.scope for one in mutants} == {"take_in", "timeline_is_append_only"}


def test_of_a_function_that_was_replaced_the_newest_definition_counts(tmp_path: Path) -> None:
    """What an earlier migration said is history: changing it would be noticed by nobody."""
    for number, condition in ((1, "a OR b"), (2, "c AND d")):
        kept = "CREATE FUNCTION other() RETURNS boolean AS $$ SELECT e OR f $$;\n"
        newer = f"CREATE OR REPLACE FUNCTION service_time() RETURNS boolean AS $$ SELECT {condition} $$;\n"
        (tmp_path / f"000{number}_x.sql").write_text(kept * (number == 1) + newer)
    found = sql_text._newest(tmp_path)
    assert {name: body for name, (_, _, body) in found.items()} == {
        "other": b" SELECT e OR f ",
        "service_time": b" SELECT c AND d ",
    }
    assert sql_text.definition((tmp_path / "0001_x.sql").read_text(), "other").startswith(
        "CREATE OR REPLACE FUNCTION other() RETURNS boolean AS $$ SELECT e"
    )


HALTED = """
import sys
from tests.mutants import python_code, swap
from tests.mutants.mutant import ROOT
from responder.decide.guards import judge
from responder.model.guard import Guard
from tests.unit.test_guards import TERMS, facts
found = python_code.everything(ROOT / "responder" / "decide" / "guards" / "service.py")
swap.put_in(next(one for one in found if one.scope == "halt" and one.after == "if False:"))
print(judge(facts(halted="by ann"), TERMS).strictest.ruling.name)
"""


def test_a_mutant_that_is_put_in_is_what_runs() -> None:
    """Whoever imported the function before runs the changed one."""
    done = subprocess.run(
        [sys.executable, "-c", HALTED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "GO"


def test_what_is_explained_and_is_no_mutant_is_found() -> None:
    """A reason goes with the line that it is about."""
    mutants = python_code.everything(ROOM / "base.py")
    one = mutants[0]
    good = explained.Explained(
        path=one.path, scope=one.scope, before=one.before, after=one.after, why="x" * 20
    )
    gone = good.model_copy(update={"before": "another line"})
    assert explained.stale([good, gone], mutants) == [gone]


def test_nothing_is_explained_twice(tmp_path: Path) -> None:
    """Two reasons for one mutant are one too many; in ours there are none."""
    assert explained.read()
    fields = {"path": "a", "scope": "b", "before": "c", "after": "d", "why": "because it is the same"}
    entry = "\n".join(["[[equivalent]]", *(f'{name} = "{value}"' for name, value in fields.items()), ""])
    (tmp_path / "twice.toml").write_text(entry * 2)
    with pytest.raises(ValueError, match="explains this twice: a b"):
        explained.read(tmp_path / "twice.toml")
