"""Puts a changed module into a process that has imported everything already.

The module is made anew from the changed text, and what differs is given to the old one: functions and methods
get the new code, constants are replaced wherever they were imported. Nobody notices, because everybody goes
on using the same functions. For the store all its modules are made anew, because their SQL is composed of
each other's. A function of the migrations is put into the databases of the tests.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from types import FunctionType, ModuleType
from typing import Any

from tests.mutants.mutant import Mutant
from tests.mutants.python_code import module_name
from tests.mutants.sql_text import definition
from tests.support import databases

_STORE = "responder.store"
_VALUES = (bool, int, float, str, bytes, tuple, list, set, frozenset, dict, timedelta, date)


def put_in(mutant: Mutant) -> None:
    """Have this process run the changed text. For good: it is called in a process that ends soon."""
    if mutant.path.endswith(".sql"):
        _put_into_databases(definition(mutant.text, mutant.scope))
        return
    name = module_name(mutant.path)
    if name.startswith(_STORE):
        news = _made_anew([one for one in sys.modules if one.startswith(_STORE)], name, mutant.text)
    else:
        news = [(sys.modules[name], _made(sys.modules[name], mutant.text))]
    for old, new in news:
        _give(old, new, mutant.scope if old.__name__ == name else "")
    forget()


def forget() -> None:
    """What functions remember they learned from the text as it was, and for tests before: learn it anew."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("responder.")]
    for one in [value for module in modules for value in vars(module).values()]:
        if isinstance(one, functools._lru_cache_wrapper):
            one.cache_clear()


def _put_into_databases(function: str) -> None:
    """Each database that a test gets from now on has this function in the place of its own."""
    given = databases.fresh_database

    @contextmanager
    def changed(server_dsn: str, template: str = "template0") -> Iterator[str]:
        with given(server_dsn, template) as dsn:
            if template != "template0":  # there is no function yet in one without a schema
                databases.wait_for(databases.execute(dsn, function))
            yield dsn

    for module in list(sys.modules.values()):
        if vars(module).get("fresh_database") is given:
            vars(module)["fresh_database"] = changed


def _made(old: ModuleType, text: str) -> ModuleType:
    new = ModuleType(old.__name__)
    new.__file__, new.__package__, new.__spec__ = old.__file__, old.__package__, old.__spec__
    if hasattr(old, "__path__"):
        new.__path__ = old.__path__
    exec(compile(text, str(old.__file__), "exec"), new.__dict__)  # noqa: S102 - our own source, changed by us
    return new


def _made_anew(names: Sequence[str], changed: str, text: str) -> list[tuple[ModuleType, ModuleType]]:
    olds = {name: sys.modules.pop(name) for name in names}
    try:
        with reading(changed, text):
            return [(old, importlib.import_module(name)) for name, old in olds.items()]
    finally:
        sys.modules.update(olds)
        for name, old in olds.items():
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, old)


@contextmanager
def reading(name: str, text: str) -> Iterator[None]:
    """Whoever imports this module meanwhile gets this text."""
    finder = _Finder(name, text)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise ImportError(f"{fullname} is nowhere")
        spec.loader = _Loader(fullname, spec.origin, self._text)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> Any:
        return compile(self._text, self.get_filename(fullname), "exec")


def _give(old: ModuleType, new: ModuleType, changed: str) -> None:
    """Code to functions; values that differ, and the constant that was changed, whatever it is."""
    for name, value in vars(new).items():
        before = vars(old).get(name)
        if getattr(value, "__module__", None) == old.__name__:
            _give_code(before, value)
        elif name == changed or (
            isinstance(value, _VALUES) and not name.startswith("__") and not _equal(before, value)
        ):
            _replace(name, before, value)


def _equal(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _replace(name: str, before: object, value: object) -> None:
    for module in list(sys.modules.values()):
        told = getattr(module, "__name__", "")
        if told.startswith(("responder", "tests")) and vars(module).get(name) is before:
            vars(module)[name] = value


def _give_code(old: Any, new: Any) -> None:
    if isinstance(new, type) and isinstance(old, type):
        for name, member in vars(new).items():
            if not isinstance(member, type) or member.__module__ == new.__module__:
                _give_code(vars(old).get(name), member)
    for was, becomes in zip(_functions(old), _functions(new), strict=False):
        if was is not becomes and len(was.__code__.co_freevars) == len(becomes.__code__.co_freevars):
            was.__code__ = becomes.__code__
            was.__defaults__, was.__kwdefaults__ = becomes.__defaults__, becomes.__kwdefaults__


def _functions(one: Any) -> Iterator[FunctionType]:
    match one:
        case FunctionType():
            yield one
            yield from _functions(getattr(one, "__wrapped__", None))
        case classmethod() | staticmethod():
            yield from _functions(one.__func__)
        case property():
            yield from _functions(one.fget)
        case functools.cached_property():
            yield from _functions(one.func)
        case functools._lru_cache_wrapper():
            yield from _functions(one.__wrapped__)
        case _:
            pass
