"""Mutants of Python, generated from the syntax tree.

`everything` changes all that decides: conditions and each part of them, bounds, arithmetic, constants,
arguments that may be left out, elements of sets and tuples, statements, cases, what is returned. `branches`
changes only conditions and their parts, for code whose tests cost seconds. The wording of texts is never
changed.
"""

import ast
import importlib
import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.mutants.mutant import ROOT, Mutant, replaced, source_of

_BOUNDS: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
_OTHERWISE: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_NEVER_LEFT_OUT = {"strict", "default_factory"}
"""`zip(strict=...)` only asserts; a default that is missing is another mutant."""


def everything(path: Path) -> list[Mutant]:
    """All mutants of a module that decides."""
    return _Finder.of(path, thorough=True)


def branches(path: Path) -> list[Mutant]:
    """The mutants of the conditions of a module."""
    return _Finder.of(path, thorough=False)


def module_name(path: str) -> str:
    """The module that a file is imported as."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass
class _Finder:
    path: str
    source: bytes
    module: ModuleType
    thorough: bool
    starts: list[int]
    tree: ast.Module
    scope: list[str] = field(default_factory=list)
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=list)
    classes: int = 0
    """How many class bodies stand around, since the last function."""
    reached: tuple[int, ...] = ()
    of_fields: bool = False
    """Whether it stands in a constant that fields of a class are made of."""
    found: dict[tuple[int, int, bytes], Mutant] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, *, thorough: bool) -> list[Mutant]:
        told = str(path.relative_to(ROOT))
        source = source_of(told)
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        tree = ast.parse(source)
        finder = cls(told, source, importlib.import_module(module_name(told)), thorough, starts, tree)
        finder.statements(tree.body)
        return sorted(finder.found.values(), key=lambda mutant: (mutant.start, mutant.end))

    # ---- where something stands

    def span(self, node: ast.AST) -> tuple[int, int]:
        at: Any = node
        return self.starts[at.lineno - 1] + at.col_offset, self.starts[at.end_lineno - 1] + at.end_col_offset

    def text(self, node: ast.AST) -> bytes:
        start, end = self.span(node)
        return self.source[start:end]

    def cut(self, start: int, end: int, new: str | bytes) -> None:
        """Note a mutant that leaves something out, unless it is no program."""
        new = new.encode() if isinstance(new, str) else new
        try:
            ast.parse(self.source[:start] + new + self.source[end:])
        except SyntaxError:
            return
        self.put(start, end, new)

    def put(self, start: int, end: int, new: str | bytes) -> None:
        """Note a mutant, unless it says the same."""
        new = new.encode() if isinstance(new, str) else new
        if self.source[start:end] == new:
            return
        before, after = replaced(self.source, start, end, new)
        reached = tuple((self.path, at) for at in self.reached)
        line = self.source.count(b"\n", 0, start) + 1
        scope = ".".join(self.scope) or "module"
        data = self.classes > 0 or self.of_fields
        mutant = Mutant(self.path, scope, line, reached, before, after, start, end, new, data)
        self.found.setdefault((start, end, new), mutant)

    def instead(self, node: ast.AST, *news: str | bytes) -> None:
        start, end = self.span(node)
        for new in news:
            self.put(start, end, new)

    # ---- statements

    def statements(self, body: Sequence[ast.stmt]) -> None:
        for one in body:
            self.statement(one)

    def statement(self, one: ast.stmt) -> None:
        match one:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.function(one)
                return
            case ast.ClassDef():
                if not self.thorough:
                    self.methods(one)
                    return
                self.scope.append(one.name)
                self.classes += 1
                self.statements(one.body)
                self.classes -= 1
                self.scope.pop()
                return
            case _:
                pass
        self.reached = self.lines(one)
        named = None if self.functions or self.classes else _constant(one)
        if named:
            self.scope.append(named)
            self.of_fields = _makes_fields(self.tree, named)
        self.simple(one)
        for name in ("test", "iter", "value", "subject", "exc"):
            inner = getattr(one, name, None)
            if isinstance(inner, ast.expr):
                decides = name == "test" or (isinstance(one, ast.Return) and self.answers() == "bool")
                self.expression(inner, condition=decides)
        if isinstance(one, ast.With | ast.AsyncWith):
            for item in one.items:
                self.expression(item.context_expr)
        if isinstance(one, ast.Match):
            self.cases(one)
        if named:
            self.scope.pop()
            self.of_fields = False
        for name in ("body", "orelse", "finalbody"):
            self.statements(getattr(one, name, []))
        for handler in getattr(one, "handlers", []):
            self.statements(handler.body)

    def methods(self, one: ast.ClassDef) -> None:
        """Of a class only what runs."""
        self.scope.append(one.name)
        self.statements([at for at in one.body if isinstance(at, ast.FunctionDef | ast.AsyncFunctionDef)])
        self.scope.pop()

    def lines(self, one: ast.stmt) -> tuple[int, ...]:
        """Those of the statement, of a compound one its head; of a constant, of the functions that use it."""
        if not self.functions:
            return users(self.tree, _constant(one))
        inner = [*getattr(one, "body", []), *getattr(one, "cases", [])]
        first = min((at.lineno if isinstance(at, ast.stmt) else at.pattern.lineno for at in inner), default=0)
        last = max(one.lineno, first - 1) if first else (one.end_lineno or one.lineno)
        return tuple(range(one.lineno, last + 1))

    def function(self, one: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.append(one.name)
        self.reached = tuple(range(one.lineno, (one.end_lineno or one.lineno) + 1))
        classes, self.classes = self.classes, 0
        if self.thorough:
            for default in [*one.args.defaults, *(given for given in one.args.kw_defaults if given)]:
                self.expression(default)
        self.functions.append(one)
        self.statements(one.body)
        self.functions.pop()
        self.classes = classes
        self.scope.pop()

    def simple(self, one: ast.stmt) -> None:
        """What a statement as a whole may become."""
        match one:
            case ast.If(test=test) | ast.Assert(test=test):
                self.forced(test)
            case ast.While(test=test):
                self.instead(test, "False")
            case ast.Raise():
                self.instead(one, "pass")
            case ast.Continue() | ast.Break():
                self.instead(one, "pass")
            case ast.Return(value=ast.expr() as value):
                self.returned(value)
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() if self.thorough:
                self.instead(one, "pass")
            case ast.Assign(targets=[target]) if self.thorough and self.again(one, target):
                self.instead(one, "pass")

    def again(self, one: ast.Assign, target: ast.expr) -> bool:
        """Whether it changes what had a value before: without it there is something else, not nothing."""
        if isinstance(target, ast.Attribute | ast.Subscript):
            return bool(self.functions)
        if not (self.functions and isinstance(target, ast.Name)):
            return False
        arguments = self.functions[-1].args
        names = {at.arg for at in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        stored = (
            at.id
            for at in ast.walk(self.functions[-1])
            if isinstance(at, ast.Name) and isinstance(at.ctx, ast.Store) and at.lineno < one.lineno
        )
        return target.id in names | set(stored)

    def returned(self, value: ast.expr) -> None:
        word = self.answers()
        if isinstance(value, ast.Constant):
            return
        if word == "bool":
            self.instead(value, "True", "False")
        elif self.thorough and word.endswith("| None"):
            self.instead(value, "None")

    def answers(self) -> str:
        """The type that the function says it returns."""
        annotation = self.functions[-1].returns if self.functions else None
        return ast.unparse(annotation) if annotation is not None else ""

    def cases(self, one: ast.Match) -> None:
        for case in one.cases:
            if case.guard is not None:
                self.forced(case.guard)
                self.expression(case.guard)
            elif len(one.cases) > 1 and not _asserts_never(case):
                _, end = self.span(case.pattern)
                self.put(end, end, " if False")
            if isinstance(case.pattern, ast.MatchOr):
                told = [self.text(at) for at in case.pattern.patterns]
                for number in range(len(told)):
                    self.instead(case.pattern, b" | ".join(told[:number] + told[number + 1 :]))

    # ---- expressions

    def forced(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Constant):
            self.instead(test, "True", "False")

    def expression(self, one: ast.expr, *, condition: bool = False) -> None:  # noqa: C901, PLR0912 - one case for each kind
        match one:
            case ast.JoinedStr() | ast.Lambda(body=ast.JoinedStr()):
                return
            case ast.BoolOp():
                neutral = "True" if isinstance(one.op, ast.And) else "False"
                for operand in one.values:
                    self.instead(operand, neutral)
            case ast.UnaryOp(op=ast.Not()):
                if not condition:
                    self.instead(one, b"bool(" + self.text(one.operand) + b")")
            case ast.IfExp():
                self.forced(one.test)
            case ast.Compare():
                self.compared(one, condition=condition)
            case ast.NamedExpr():
                self.expression(one.value)
                return
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for test in (test for made in one.generators for test in made.ifs):
                    self.forced(test)
            case ast.Subscript() if _is_type(one):
                return
        if self.thorough:
            self.detail(one)
        inside = isinstance(one, ast.BoolOp) or (condition and isinstance(one, ast.UnaryOp))
        for child in ast.iter_child_nodes(one):
            if isinstance(child, ast.expr):
                tested = isinstance(one, ast.IfExp) and child is one.test
                self.expression(child, condition=inside or tested)
            elif isinstance(child, ast.keyword):
                self.expression(child.value)
            elif isinstance(child, ast.comprehension):
                self.expression(child.iter)
                for test in child.ifs:
                    self.expression(test, condition=True)

    def compared(self, one: ast.Compare, *, condition: bool) -> None:
        """Of a condition only the bounds: that it is taken for true and for false are mutants already."""
        left = one.left
        for op, right in zip(one.ops, one.comparators, strict=True):
            _, end = self.span(left)
            start, _ = self.span(right)
            new = _BOUNDS.get(type(op)) or (
                None if condition or not self.thorough else _OTHERWISE.get(type(op))
            )
            between = self.source[end:start]
            if new is not None and b"(" not in between and b")" not in between:
                self.put(end, start, f" {new} ")
            left = right

    def detail(self, one: ast.expr) -> None:
        match one:
            case ast.Constant(value=bool(value)):
                self.instead(one, str(not value))
            case ast.Constant(value=int(value) | float(value)):
                self.instead(one, repr(value + 1))
            case ast.BinOp() if type(one.op) in _ARITHMETIC and not _is_text(one):
                _, end = self.span(one.left)
                start, _ = self.span(one.right)
                between = self.source[end:start]
                if b"(" not in between and b")" not in between:
                    self.put(end, start, f" {_ARITHMETIC[type(one.op)]} ")
            case ast.Call():
                self.call(one)
            case ast.Set(elts=elements) | ast.List(elts=elements):
                self.elements(elements, "")
            case ast.Tuple(elts=elements):
                self.elements(elements, ",")
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                spans = [(self.span(key or value)[0], self.span(value)[1]) for key, value in pairs]
                self.without(spans, "")
            case _:
                pass

    def elements(self, elements: Sequence[ast.expr], single: str) -> None:
        if all(isinstance(at, ast.Constant) and isinstance(at.value, str) for at in elements):
            return
        self.without([self.span(at) for at in elements], single)

    def without(self, spans: Sequence[tuple[int, int]], single: str) -> None:
        """Leave out one after the other of what stands between commas; `single` stands after a last one."""
        last = len(spans) - 1
        for number, (start, end) in enumerate(spans):
            if last == 1 and single:
                other, until = spans[1 - number]
                self.cut(spans[0][0], spans[1][1], self.source[other:until] + single.encode())
            elif number < last:
                self.cut(start, spans[number + 1][0], "")
            else:
                self.cut(spans[number - 1][1] if number else start, end, "")

    def call(self, one: ast.Call) -> None:
        name = one.func.id if isinstance(one.func, ast.Name) else ""
        if name in _SWAPPED:
            self.instead(one.func, _SWAPPED[name])
            if len(one.args) == 2 and not one.keywords:
                self.instead(one, *(self.text(at) for at in one.args))
        parameters = self.parameters(one.func)
        spans = [self.span(at) for at in (*one.args, *one.keywords)]
        for number in self.left_out(one, parameters):
            start, end = spans[number]
            if number + 1 < len(spans):
                self.cut(start, spans[number + 1][0], "")
            else:
                self.cut(spans[number - 1][1] if number else start, end, "")

    def left_out(self, one: ast.Call, parameters: Sequence[inspect.Parameter] | None) -> Iterator[int]:
        """Which arguments may be left out, by their place."""
        for number, argument in enumerate(one.args):
            last = number + 1 == len(one.args)
            if isinstance(argument, ast.Starred) or (last and _may_miss(parameters, number)):
                yield number
        by_name = {at.name: at for at in parameters or ()}
        for number, keyword in enumerate(one.keywords, len(one.args)):
            known = by_name.get(keyword.arg or "")
            required = known is not None and known.default is inspect.Parameter.empty
            words = isinstance(keyword.value, ast.JoinedStr)
            if not required and not words and keyword.arg not in _NEVER_LEFT_OUT:
                yield number

    def parameters(self, callee: ast.expr) -> Sequence[inspect.Parameter] | None:
        """What is called takes these, as far as that can be known without running anything."""
        found: Any = self.module
        for name in ast.unparse(callee).split("."):
            found = getattr(found, name, None)
        try:
            return list(inspect.signature(found).parameters.values()) if callable(found) else None
        except (TypeError, ValueError):
            return None


def _may_miss(parameters: Sequence[inspect.Parameter] | None, number: int) -> bool:
    if parameters is None:
        return False
    positional = [at for at in parameters if at.kind is not inspect.Parameter.KEYWORD_ONLY]
    if not positional:
        return False
    it = positional[min(number, len(positional) - 1)]
    return it.kind is inspect.Parameter.VAR_POSITIONAL or it.default is not inspect.Parameter.empty


def users(tree: ast.Module, constant: str | None) -> tuple[int, ...]:
    """The lines of the functions that use a constant, by themselves or by other constants."""
    names = {constant} if constant else set()
    lines: set[int] = set()
    for _ in range(len(tree.body)):
        before = len(names)
        for one in tree.body:
            if any(isinstance(at, ast.Name) and at.id in names for at in ast.walk(one)):
                own = _constant(one)
                if own:
                    names.add(own)
                elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    lines.update(range(one.lineno, (one.end_lineno or one.lineno) + 1))
        if len(names) == before:
            break
    return tuple(sorted(lines))


def _makes_fields(tree: ast.Module, constant: str) -> bool:
    fields = (
        at
        for one in tree.body
        if isinstance(one, ast.ClassDef)
        for at in one.body
        if isinstance(at, ast.AnnAssign)
    )
    return any(isinstance(at, ast.Name) and at.id == constant for one in fields for at in ast.walk(one))


def _constant(one: ast.stmt) -> str | None:
    match one:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return None


def _asserts_never(case: ast.match_case) -> bool:
    return any("assert_never" in ast.unparse(one) for one in case.body)


def _is_type(one: ast.Subscript) -> bool:
    """`tuple[str, ...]` and the like: no value."""
    return isinstance(one.value, ast.Name) and one.value.id in {
        "tuple",
        "dict",
        "list",
        "set",
        "frozenset",
        "Annotated",
        "Callable",
        "Mapping",
        "Sequence",
        "Literal",
    }


def _is_text(one: ast.BinOp) -> bool:
    return any(isinstance(at, ast.JoinedStr) for at in (one.left, one.right))


def all_of(paths: Iterable[Path], *, thorough: bool) -> list[Mutant]:
    """The mutants of several modules, in their order."""
    return [mutant for path in paths for mutant in (everything if thorough else branches)(path)]
