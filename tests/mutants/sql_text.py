"""Mutants of SQL, generated from its text: each predicate left out, one at a time.

Statements stand in constants and functions of `responder.store`, with places for values ($1) and for further
SQL ({...}), and in the functions of the migrations: of each the newest definition, where a statement of the
modules calls it or a trigger runs it. What is cut out of them are the operands of AND and OR, wherever these
stand, and every whole condition behind WHERE, ON, HAVING, WHEN, IF and CHECK.

A predicate that is left out becomes `true OR (...)`, one of an OR `false AND (...)`: it stays to be read, so
that the types of the values that it mentions are known as before, and the mutant does not fail for that.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from responder.store.migrate import MIGRATIONS
from tests.mutants.mutant import ROOT, Mutant, replaced, source_of
from tests.mutants.uses import STORE, Place, places

_TOKEN = re.compile(
    rb"""--[^\n]*|'(?:[^']|'')*'|\{\{|\}\}|\{(?:[^{}]|\{[^{}]*\})*\}|\$\d+|\$\$|"[^"]*"|[A-Za-z_][A-Za-z_0-9]*"""
    rb"""|\d+|:=|::|<=|>=|<>|->>|->|\|\||[^\s]"""
)
_STARTS = {"WHERE", "ON", "HAVING", "WHEN", "IF", "ELSIF", "CHECK"}
_ENDS = frozenset(
    [
        "GROUP",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "RETURNING",
        "FOR",
        "UNION",
        "WINDOW",
        "HAVING",
        "THEN",
        "ON",
        "JOIN",
        "LEFT",
        "CROSS",
        "INNER",
        "FULL",
        "WITH",
        "SET",
        "DO",
        "WHERE",
        "WHEN",
        "ELSE",
        "END",
        "LOOP",
        "AS",
        "FROM",
        "SELECT",
        "INTO",
        "CASE",
        "VALUES",
        "USING",
        "IF",
        ";",
        ",",
        "$$",
        ":=",
        "--",
    ]
)
_BEFORE_A_VALUE = frozenset(
    ["=", "<", ">", "<=", ">=", "<>", "(", ",", "[", "AND", "OR", "NOT", "ON", "WHERE", "WHEN", "BETWEEN"]
)
_FUNCTION = re.compile(
    rb"^CREATE (?:OR REPLACE )?FUNCTION (?P<name>\w+)\s*\(.*?\$\$(?P<body>.*?)\$\$[^;$]*;",
    re.MULTILINE | re.DOTALL,
)
_TRIGGER = r"^CREATE TRIGGER [^;]*?\bON (\w+)[^;]*?\bEXECUTE FUNCTION {name}\("
_SQL = re.compile(rb"\b(SELECT|INSERT|UPDATE|DELETE|EXISTS|WHERE|coalesce|VALUES)\b")


_String = tuple[str, tuple[Place, ...], int, int]
"""In what it stands, the lines that run it, and its span."""


@dataclass(frozen=True)
class _Token:
    word: str
    start: int
    end: int


def in_python(path: Path) -> list[Mutant]:
    """The mutants of the SQL in a module's strings."""
    source = source_of(str(path.relative_to(ROOT)))
    return [
        _mutant(path, source, scope, reached, start + at, start + until, new)
        for scope, reached, start, end in _strings(path, source)
        for at, until, new in _predicates(source[start:end])
    ]


def in_functions(directory: Path = MIGRATIONS) -> list[Mutant]:
    """The mutants of the functions that the migrations leave behind them."""
    return [
        _mutant(path, source_of(str(path.relative_to(ROOT))), name, reached, start + at, start + until, new)
        for name, (path, start, sql) in _newest(directory).items()
        if (reached := _runs(name, directory))
        for at, until, new in _predicates(sql)
    ]


def definition(text: str, name: str) -> str:
    """The statement in a migration that defines a function, to be run where there is one already."""
    found = {one["name"].decode(): one.group() for one in _FUNCTION.finditer(text.encode())}
    return re.sub(r"^CREATE (OR REPLACE )?", "CREATE OR REPLACE ", found[name].decode())


def _newest(directory: Path) -> dict[str, tuple[Path, int, bytes]]:
    """Of each function the file that says last what it does, where in it, and what it does."""
    return {
        one["name"].decode(): (path, one.start("body"), one["body"])
        for path in sorted(directory.glob("*.sql"))
        for one in _FUNCTION.finditer(path.read_bytes())
    }


def _runs(name: str, directory: Path) -> tuple[Place, ...]:
    """The lines that have a function run: they execute what calls it, or a trigger of their table does."""
    found: set[Place] = set()
    for path in sorted(STORE.glob("*.py")):
        source = source_of(str(path.relative_to(ROOT)))
        for _, reached, start, end in _strings(path, source):
            if re.search(rf"\b{name}\(".encode(), source[start:end]):
                found |= set(reached)
    for migration in directory.glob("*.sql"):
        for table in re.findall(_TRIGGER.format(name=name), migration.read_text(), re.MULTILINE):
            own = STORE / f"{table}.py"
            told = str(own.relative_to(ROOT))
            found |= {(told, line) for line in range(1, source_of(told).count(b"\n") + 1)}
    return tuple(sorted(found))


def _mutant(
    path: Path, source: bytes, scope: str, reached: tuple[Place, ...], start: int, end: int, new: bytes
) -> Mutant:
    before, after = replaced(source, start, end, new)
    line = source.count(b"\n", 0, start) + 1
    return Mutant(str(path.relative_to(ROOT)), scope, line, reached, before, after, start, end, new)


def _strings(path: Path, source: bytes) -> Iterator[_String]:
    """Each string with SQL in it."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    told = str(path.relative_to(ROOT))

    def walk(node: ast.AST, scope: str, reached: tuple[Place, ...]) -> Iterator[_String]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    lines = range(child.lineno, (child.end_lineno or child.lineno) + 1)
                    own = tuple((told, at) for at in lines)
                    gives_sql = child.returns is not None and ast.unparse(child.returns) == "str"
                    reaching = places(path, name) if gives_sql else own
                    yield from walk(child, f"{scope}.{name}" if scope else name, reaching)
                case ast.ClassDef(name=name):
                    yield from walk(child, name, ())
                case ast.Assign(targets=[ast.Name(id=name)]) if not scope:
                    yield from walk(child, name, places(path, name))
                case ast.Expr(value=ast.Constant()):
                    continue
                case ast.JoinedStr() | ast.Constant(value=str()):
                    start = starts[child.lineno - 1] + child.col_offset
                    end = starts[(child.end_lineno or 1) - 1] + (child.end_col_offset or 0)
                    if _SQL.search(source[start:end]):
                        yield scope, reached, start, end
                case _:
                    yield from walk(child, scope, reached)

    yield from walk(ast.parse(source), "", ())


def _predicates(sql: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Spans of operands and what stands there instead."""
    tokens = [_Token(m.group().decode(), m.start(), m.end()) for m in _TOKEN.finditer(_without_quotes(sql))]
    seen: set[tuple[int, int, bytes]] = set()
    for index, token in enumerate(tokens):
        word = token.word.upper()
        if word in _STARTS and not _is_no_condition(tokens, index):
            first = index + 1
        elif word in {"AND", "OR"} and not _is_of_between(tokens, index):
            first = _back(tokens, index)
        else:
            continue
        for start, end, new in _operands(sql, tokens, first):
            if (start, end, new) not in seen:
                seen.add((start, end, new))
                yield start, end, new


def _without_quotes(sql: bytes) -> bytes:
    """The same length, with the quotes of the Python string and comments blank."""
    head = re.match(rb"""[fr]*(\"\"\"|"|')""", sql)
    if head is not None and not sql.startswith(b"'") and head.end() > 0 and sql.endswith(head.group(1)):
        size = len(head.group(1))
        sql = b" " * head.end() + sql[head.end() : -size] + b" " * size
    return re.sub(rb"--[^\n]*", lambda found: b" " * len(found.group()), sql)


def _is_no_condition(tokens: Sequence[_Token], index: int) -> bool:
    """`ON CONFLICT`, and the predicate of an index that stands behind it; `END IF`."""
    word = tokens[index].word.upper()
    after = tokens[index + 1].word.upper() if index + 1 < len(tokens) else ""
    before = tokens[index - 1].word.upper() if index else ""
    if word == "ON":
        return after in {"CONFLICT", "DELETE", "UPDATE", "TRUE", "FUNCTION", "TABLE", "COLUMN"}
    if word == "IF":
        return before == "END" or (after in {"NOT", "EXISTS"} and tokens[index + 2].word.upper() == "EXISTS")
    if word == "WHERE":
        return _of_conflict(tokens, index) or after == "TRUE"
    return False


def _of_conflict(tokens: Sequence[_Token], index: int) -> bool:
    """Whether it is `ON CONFLICT (...) WHERE ...`: it says which index is meant."""
    if tokens[index - 1].word != ")":
        return False
    at, depth = index - 1, 0
    while at >= 0:
        depth += {")": 1, "(": -1}.get(tokens[at].word, 0)
        if depth == 0:
            return at > 0 and tokens[at - 1].word.upper() == "CONFLICT"
        at -= 1
    return False


def _is_of_between(tokens: Sequence[_Token], index: int) -> bool:
    depth = 0
    for at in range(index - 1, -1, -1):
        word = tokens[at].word.upper()
        depth += {")": 1, "(": -1}.get(word, 0)
        if depth < 0:
            return False
        if depth == 0 and word == "BETWEEN":
            return True
        if depth == 0 and (word in {"AND", "OR"} or word in _STARTS or word in _ENDS):
            return False
    return False


def _back(tokens: Sequence[_Token], index: int) -> int:
    """Where the chain of operands begins in which this AND or OR stands."""
    depth = 0
    for at in range(index - 1, -1, -1):
        word = tokens[at].word.upper()
        depth += {")": 1, "(": -1, "]": 1, "[": -1}.get(word, 0)
        if depth < 0:
            return at + 1
        if depth == 0 and (word in _STARTS or word in _ENDS or _is_clause(tokens, at)):
            if word == "FROM" and at and tokens[at - 1].word.upper() == "DISTINCT":
                continue
            return at + 1
    return 0


def _operands(sql: bytes, tokens: Sequence[_Token], first: int) -> Iterator[tuple[int, int, bytes]]:
    """Of the condition that begins there: each operand, or the whole where it is one."""
    depth, between, at = 0, False, first
    cuts: list[tuple[int, int]] = []
    joins: set[str] = set()
    begin = first
    while at < len(tokens):
        word = tokens[at].word.upper()
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(word, 0)
        if depth < 0:
            break
        if depth == 0:
            if word == "BETWEEN":
                between = True
            elif word in {"AND", "OR"}:
                if between and word == "AND":
                    between = False
                else:
                    joins.add(word)
                    cuts.append((begin, at))
                    begin = at + 1
            elif (at > first and _ends(tokens, at)) or word in {"CASE", "SELECT"}:
                break
        at += 1
    cuts.append((begin, at))
    neutral = b"false AND" if joins == {"OR"} else b"true OR"
    for start, end in cuts:
        if start >= end:
            continue
        span = (tokens[start].start, tokens[end - 1].end)
        text = sql[span[0] : span[1]]
        if text.upper() in {b"TRUE", b"FALSE"}:
            continue
        yield *span, b"(" + neutral + b" (" + text + b"))"
        if not joins and tokens[first - 1].word.upper() in {"WHEN", "IF", "ELSIF"}:
            yield *span, b"(false AND (" + text + b"))"


def _is_clause(tokens: Sequence[_Token], at: int) -> bool:
    """`{...}` for more than a value: what is put in there has a FROM and a WHERE of its own."""
    if not tokens[at].word.startswith("{") or tokens[at].word == "{{" or at == 0:
        return False
    before = tokens[at - 1].word.upper()
    return before not in _BEFORE_A_VALUE


def _ends(tokens: Sequence[_Token], at: int) -> bool:
    word = tokens[at].word.upper()
    if word == "FROM" and tokens[at - 1].word.upper() == "DISTINCT":
        return False
    return word in _ENDS or _is_clause(tokens, at)


def all_of(paths: Iterable[Path]) -> list[Mutant]:
    """The mutants of the SQL of several modules."""
    return [mutant for path in paths for mutant in in_python(path)]
