"""`python -m tests.promises`: runs the test of each promise and prints which are held; 0 only if all are.

With `--sabotage` each promise's line is removed in a copy of the tree instead, and its test has to fail.
"""

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.promises import page
from tests.promises.catalogue import PROMISES
from tests.promises.found import ROOT, Proof, by_promise, named_tests
from tests.promises.run import Ran, Run, run
from tests.promises.sabotage import Tried, attempt
from tests.promises.sabotages import SABOTAGES, Sabotage

_NONE_WANTED = 5
"""How pytest ends where none of the tests has the mark."""
_MEASURES = frozenset({20})
"""Promises whose tests measure: nothing runs beside them."""
_WORDS = 62
"""How wide a promise is told."""


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument("--only", type=int, action="append", choices=PROMISES, help="may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="how many light tests run at once (2)")
    parser.add_argument("--page", action="store_true", help="write the table of docs/safety.md instead")
    parser.add_argument("--sabotage", action="store_true", help="take out what keeps each promise, in a copy")
    parser.add_argument("--light", action="store_true", help="leave out the tests that are marked real")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit code."""
    asked = _asked(arguments)
    if asked.page:
        page.write(by_promise(named_tests()))
        return 0
    wanted = set(asked.only or PROMISES)
    if asked.sabotage:
        return _sabotage([one for one in SABOTAGES if one.promise in wanted], asked.jobs)
    tests = {n: test for n, test in by_promise(named_tests()).items() if n in wanted}
    ran = _run(tests, asked)
    _tell("")
    for number in sorted(wanted):
        test = tests.get(number)
        _row(number, test, ran.get(number))
    held = sum(one.held for one in ran.values())
    _tell(f"{held} of {len(PROMISES)} promises held")
    return 0 if held == len(PROMISES) else 1


def _run(tests: Mapping[int, Proof], asked: argparse.Namespace) -> Mapping[int, Ran]:
    """The light tests beside each other; then the heavy ones alone, for some of them measure."""
    numbers = {test.node: number for number, test in tests.items()}
    done: dict[int, Ran] = {}

    def ended(one: Ran) -> None:
        done[numbers[one.node]] = one
        verdict = "held" if one.held else "NOT held"
        _tell(f"[{len(done)}/{len(tests)}] promise {numbers[one.node]}: {verdict} ({one.seconds:.1f} s)")

    nodes = [test.node for test in tests.values()]
    for marked, beside in (("not real", ("-n", str(asked.jobs))), ("real", ())):
        if nodes and not (asked.light and marked == "real"):
            _complain(run(nodes, *beside, "-m", marked, tree=ROOT, ended=ended))
    return done


def _complain(done: Run) -> None:
    """What pytest says where something is wrong."""
    if done.code not in {0, _NONE_WANTED}:
        _tell(done.output)


def _row(number: int, test: Proof | None, ran: Ran | None) -> None:
    words, *more = textwrap.wrap(PROMISES[number], _WORDS)
    verdict, seconds = _verdict(test, ran), "" if ran is None else f"{ran.seconds:6.1f} s"
    _tell(f"{number:2}  {words:{_WORDS}}  {verdict:{len('NOT held')}}  {seconds}")
    for line in more:
        _tell(f"    {line}")
    if test is not None:
        _tell(f"    {test.node}")
    if ran is not None and not ran.held:
        _tell(f"    {ran.why.strip().splitlines()[-1] if ran.why.strip() else 'it did not run to its end'}")


def _verdict(test: Proof | None, ran: Ran | None) -> str:
    if test is None:
        return "NOT held: it has no test"
    if ran is None:
        return "NOT held: its test did not run"
    return "held" if ran.held else "NOT held"


def _sabotage(sabotages: Sequence[Sabotage], jobs: int) -> int:
    """Try them beside each other, and those that measure alone; the exit code."""
    proofs = by_promise(named_tests())
    tried: list[Tried] = []
    beside = [one for one in sabotages if one.promise not in _MEASURES]
    alone = [one for one in sabotages if one.promise in _MEASURES]
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed(pool.submit(attempt, one, proofs[one.promise]) for one in beside):
            tried.append(_tried(done.result(), f"{len(tried) + 1}/{len(sabotages)}"))
    for measured in alone:
        done_alone = attempt(measured, proofs[measured.promise])
        tried.append(_tried(done_alone, f"{len(tried) + 1}/{len(sabotages)}"))
    _tell("")
    for one in sorted(tried, key=lambda one: one.sabotage.promise):
        verdict = "found" if one.found else "NOT found"
        _tell(f"{one.sabotage.promise:2}  {one.sabotage.what:{_WORDS}}  {verdict}")
    found = sum(done.found for done in tried)
    _tell(f"{found} of {len(sabotages)} sabotages found")
    return 0 if found == len(sabotages) else 1


def _tried(done: Tried, progress: str) -> Tried:
    verdict = "found" if done.found else f"NOT found: {done.why}"
    one = done.sabotage
    _tell(f"[{progress}] promise {one.promise}, {one.what}: {verdict} ({done.seconds:.1f} s)")
    return done


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
