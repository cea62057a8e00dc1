"""Tries mutants: which tests reach which line is learned once, then each mutant has a process of its own.

The process that has imported the tests and run each of them once forks for every mutant. The child puts the
change in and runs the tests that reach it, the likeliest to notice first, until one fails. What survives is
tried again with all the examples that properties have. Properties get the same examples each time.
"""

import gc
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, is_hypothesis_test, settings

from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.swap import forget, put_in

_FEW = 25
"""Examples of a property in the first try."""
_TOO_SLOW_S = 15.0
_PATIENCE_S = 20.0
"""For each test, and ten times what it took unchanged: a mutant may loop for ever."""
_PASSED = b"."


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    HUNG = "hung"
    """It never came to an end, which every run of the tests would notice."""
    SURVIVED = "survived"
    UNREACHED = "reached by no test"


@dataclass
class Tests:
    """What is known of the tests."""

    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    """Of each file, which tests run which line."""
    breadth: Counter[str] = field(default_factory=Counter)
    """How many lines each test runs: few is specific."""
    failing: list[str] = field(default_factory=list)
    kills: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def of(self, mutant: Mutant) -> list[str]:
        """Those that reach a mutant, the likeliest to notice first."""
        if mutant.data:  # fields are used everywhere, and no line of theirs is run
            found = set(self.seconds) - set(self.failing)
        else:
            wanted = mutant.reached or [(mutant.path, line) for line in self.by_line.get(mutant.path, {})]
            found = {test for path, line in wanted for test in self.by_line.get(path, {}).get(line, ())}
        before = self.kills[mutant.path, mutant.scope]
        return sorted(found, key=lambda test: (-before[test], self._cost(test)))

    def _cost(self, test: str) -> float:
        return (self.seconds.get(test, 1.0) + 0.02) * (20 + self.breadth[test])


class Bench:
    """A plugin of pytest: instead of the run of the tests there is the run of the mutants."""

    def __init__(self, measured: Sequence[str], work: Callable[["Bench"], None], *, few: bool) -> None:
        self.tests = Tests()
        self._measured = measured
        self._few = few
        self._work = work
        self._items: dict[str, pytest.Item] = {}
        self._full: dict[str, Any] = {}
        self.problem: BaseException | None = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Learn, then do the work that was given."""
        self._items = {item.nodeid: item for item in session.items}
        try:
            self._learn(session.items)
            gc.collect()
            gc.freeze()  # what is shared with the children stays shared
            self._work(self)
        except BaseException as problem:  # noqa: BLE001 - pytest would only tell its summary
            self.problem = problem
        return True

    # ---- which tests reach what

    def _learn(self, items: Sequence[pytest.Item]) -> None:
        self._few_examples(items)
        cover = coverage.Coverage(data_file=None, config_file=False, include=list(self._measured))
        cover.start()
        began = time.monotonic()
        for number, item in enumerate(items):
            forget()  # else only the first test that asks reaches what is remembered
            cover.switch_context(item.nodeid)
            start = time.monotonic()
            good = self._passes(item, items[(number + 1) % len(items)])
            self.tests.seconds[item.nodeid] = time.monotonic() - start
            if not good:
                self.tests.failing.append(item.nodeid)
            if number % 200 == 199:
                told(f"  {number + 1} of {len(items)} tests run, {time.monotonic() - began:.0f} s")
        cover.stop()
        self._keep(cover.get_data())

    def _keep(self, data: coverage.CoverageData) -> None:
        useless = {*self.tests.failing, ""}
        useless |= {test for test, seconds in self.tests.seconds.items() if seconds > _TOO_SLOW_S}
        for file in data.measured_files():
            path = str(Path(file).relative_to(ROOT))
            by_line = {line: set(names) - useless for line, names in data.contexts_by_lineno(file).items()}
            self.tests.by_line[path] = by_line
            for names in by_line.values():
                self.tests.breadth.update(names)

    def _few_examples(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            it: Any = getattr(item, "obj", None)
            if it is not None and is_hypothesis_test(it):
                place = _settings_of(it)
                given = getattr(*place)
                self._full[item.nodeid] = settings(given, database=None, derandomize=True)
                few = settings(
                    given,
                    database=None,
                    derandomize=True,
                    max_examples=min(given.max_examples, _FEW),
                    phases=(Phase.explicit, Phase.generate),
                )
                setattr(*place, few)

    def _all_examples(self, tests: Iterable[str]) -> None:
        for test in tests:
            if test in self._full:
                it: Any = self._items[test]
                setattr(*_settings_of(it.obj), self._full[test])

    def _passes(self, item: pytest.Item, following: pytest.Item) -> bool:
        reports = runtestprotocol(item, log=False, nextitem=following)
        return not any(report.failed for report in reports)

    # ---- one mutant

    def attempt(self, mutant: Mutant, tests: Sequence[str]) -> tuple[Verdict, str]:
        """What becomes of a mutant, and which test noticed it."""
        if not tests:
            return Verdict.UNREACHED, ""
        if mutant.data:
            return self._in_a_new_process(mutant, tests)
        verdict, by = self._forked(mutant, tests, full=False)
        properties = [test for test in tests if test in self._full]
        if verdict is Verdict.SURVIVED and properties and not self._few:
            verdict, by = self._forked(mutant, properties, full=True)
        if by:
            self.tests.kills[mutant.path, mutant.scope][by] += 1
        return verdict, by

    def _forked(self, mutant: Mutant, tests: Sequence[str], *, full: bool) -> tuple[Verdict, str]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._child(mutant, tests, writing, full=full)
        os.close(writing)
        answer = None
        try:
            answer = self._answer(reading, tests, times=8 if full else 1)
        finally:  # it may hang; and when we are stopped it must not go on
            os.close(reading)
            if answer is None:
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if answer is None:
            return Verdict.HUNG, ""
        return (Verdict.SURVIVED, "") if answer == "survived" else (Verdict.KILLED, answer)

    def _answer(self, reading: int, tests: Sequence[str], *, times: int) -> str | None:
        """What a child says in the end; None where one of its tests goes on and on."""
        said = b""
        for test in (*tests, tests[-1]):
            patience = _PATIENCE_S + 10 * times * self.tests.seconds.get(test, 1.0)
            while said.count(b"\n") == 0:
                ready, _, _ = select.select([reading], [], [], patience)
                if not ready:
                    return None
                more = os.read(reading, 4096)
                if not more:
                    return "it died"
                said += more
            line, _, said = said.partition(b"\n")
            if line != _PASSED:
                return line.decode()
        return "it said too much"

    def _child(self, mutant: Mutant, tests: Sequence[str], writing: int, *, full: bool) -> None:
        """Say which test failed, or that none did, and end without the end of the session."""
        os.setpgid(0, 0)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        answer = "survived"
        try:
            put_in(mutant)
            if full:
                self._all_examples(tests)
            items = [self._items[test] for test in tests]
            items[0].session._setupstate.teardown_exact(items[0])
            for number, item in enumerate(items):
                following = items[number + 1] if number + 1 < len(items) else self._elsewhere(item)
                if not self._passes(item, following):
                    answer = item.nodeid
                    self._end(item)
                    break
                os.write(writing, _PASSED + b"\n")
        except BaseException as problem:  # noqa: BLE001 - it cannot even be imported
            answer = f"{type(problem).__name__} when it was put in"
        os.write(writing, answer.encode() + b"\n")
        os._exit(0)

    def _end(self, item: pytest.Item) -> None:
        """Databases and the like of a test end with it; the server does not."""
        item.session._setupstate.teardown_exact(self._elsewhere(item))

    def _elsewhere(self, item: pytest.Item) -> pytest.Item:
        others = (one for one in self._items.values() if one.path != item.path)
        return next(others, item)

    def _in_a_new_process(self, mutant: Mutant, tests: Sequence[str]) -> tuple[Verdict, str]:
        place = [mutant.path, str(mutant.start), str(mutant.end), mutant.new.hex()]
        known = sum(self.tests.seconds.get(test, 1.0) for test in tests)
        command = [sys.executable, "-m", "tests.mutants.fresh", *place]
        try:
            done = subprocess.run(
                command,
                input="\n".join(tests),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60 + 10 * known,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict.HUNG, ""
        return (Verdict.SURVIVED, "") if done.returncode == 0 else (Verdict.KILLED, _failed(done.stdout))


def _settings_of(test: Any) -> tuple[Any, str]:
    """Where the settings of a property stand: of a state machine they are its class's."""
    function = "_hypothesis_internal_use_settings"
    return (test, function) if hasattr(test, function) else (type(test.__self__), "settings")


def _failed(output: str) -> str:
    found = [
        line.removeprefix("FAILED ").split(" - ")[0] for line in output.splitlines() if "FAILED " in line
    ]
    return found[0] if found else "it could not be imported"


def told(text: str) -> None:
    """Progress, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(paths: Sequence[str], measured: Sequence[str], work: Callable[[Bench], None], *, few: bool) -> None:
    """Collect the tests of these paths and do the work with them."""
    bench = Bench(measured, work, few=few)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    quiet = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=no"]
    quiet += ["-W", "ignore:Module already imported so cannot be rewritten"]
    pytest.main([*quiet, *paths], plugins=[bench])
    if bench.problem is not None:
        raise bench.problem
