"""`python -m tests.mutants`: every mutant; 1 as exit code where one survives that nobody has explained."""

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutants import explained, python_code, sql_text
from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.trial import Bench, Verdict, run, told

_DECIDE = ROOT / "responder" / "decide"
_STORE = ROOT / "responder" / "store"
_LEDGER_AND_INTAKE = ("ledger", "owner", "leases", "budgets", "intake", "at_once")
_OF_OTHER_THINGS = frozenset(
    [
        "test_actions_conformance",
        "test_anchors",
        "test_blocking_queue",
        "test_connection",
        "test_demo",
        "test_demo_in_shadow",
        "test_embedded",
        "test_failover",
        "test_halt_everywhere",
        "test_identity",
        "test_kept_without_secrets",
        "test_migrate",
        "test_mutants_of_functions",
        "test_partitions",
        "test_postgres_actions",
        "test_postgres_client",
        "test_probes",
        "test_startup",
    ]
)
"""Tests of the store that stop servers, start services, or try the actions."""
_NOTICE = re.compile(
    r"responder\.(decide|rulebook|engine|rehearsal|review)|tests\.support\.(virtual|scenes|dossiers|stored)"
)
"""What a test of the pure core imports; others do not come near it."""

Results = dict[Mutant, tuple[Verdict, str]]
Known = Mapping[explained.Key, explained.Explained]


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, help="a sample, as far as it gets in so many minutes")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--part", action="append", choices=["decide", "store"], help="only this part")
    parser.add_argument("--only", action="append", default=[], help="only those whose place contains this")
    parser.add_argument("--tests", default="", help="only by test files whose name fits this expression")
    parser.add_argument("--few", action="store_true", help="do not try again with all examples of properties")
    parser.add_argument("--list", action="store_true", help="only say what would be tried")
    return parser.parse_args(arguments)


def _mutants_of(part: str) -> list[Mutant]:
    if part == "decide":
        return python_code.all_of(sorted(_DECIDE.rglob("*.py")), thorough=True)
    files = [_STORE / f"{name}.py" for name in _LEDGER_AND_INTAKE]
    found = [*python_code.all_of(files, thorough=False), *sql_text.all_of(files), *sql_text.in_functions()]
    return sorted(found, key=lambda mutant: (mutant.path, mutant.start, mutant.end, mutant.new))


def _tests_of(part: str) -> list[str]:
    if part == "store":
        files = [*(ROOT / "tests" / "store").glob("test_*.py")]
        return [str(path) for path in sorted(files) if path.stem not in _OF_OTHER_THINGS]
    files = [*(ROOT / "tests" / "unit").glob("test_*.py"), *(ROOT / "tests" / "property").glob("test_*.py")]
    return [str(path) for path in sorted(files) if _NOTICE.search(path.read_text())]


def _measured(part: str) -> list[str]:
    return [f"{_DECIDE}/*" if part == "decide" else f"{_STORE}/*"]


def _try(part: str, mutants: Sequence[Mutant], until: float | None, asked: argparse.Namespace) -> Results:
    results: Results = {}
    told(f"{part}: {len(mutants)} mutants; which tests reach them is learned by running each once")

    def work(bench: Bench) -> None:
        for test in bench.tests.failing:
            told(f"  {test} fails without any change: it is not used")
        told_at = time.monotonic()
        for number, mutant in enumerate(mutants, 1):
            if until is not None and time.monotonic() > until:
                return
            results[mutant] = bench.attempt(mutant, bench.tests.of(mutant))
            if results[mutant][0] in {Verdict.SURVIVED, Verdict.UNREACHED}:
                told(f"  {results[mutant][0]}: {mutant}")
            if time.monotonic() > told_at + 30 or number == len(mutants):
                told_at = time.monotonic()
                told(f"  [{number}/{len(mutants)}] {_counted(results)}")

    tests = [path for path in _tests_of(part) if re.search(asked.tests, Path(path).name)]
    run(tests, _measured(part), work, few=asked.few)
    return results


def _counted(results: Results) -> str:
    counts = Counter(verdict for verdict, _ in results.values())
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])


def _by_file(mutants: Sequence[Mutant], results: Results, known: Known) -> None:
    told(f"\n{'file':52}  mutants  killed  explained  unexplained  not tried")
    for path in dict.fromkeys(mutant.path for mutant in mutants):
        here = [mutant for mutant in mutants if mutant.path == path]
        tried = [mutant for mutant in here if mutant in results]
        alive = [mutant for mutant in tried if _survived(results, mutant)]
        named = sum(mutant.key in known for mutant in alive)
        counts = (len(here), len(tried) - len(alive), named, len(alive) - named, len(here) - len(tried))
        told("{:52} {:8} {:8} {:10} {:12} {:10}".format(path, *counts))


def _survived(results: Results, mutant: Mutant) -> bool:
    return results[mutant][0] in {Verdict.SURVIVED, Verdict.UNREACHED}


def _conclude(
    mutants: Sequence[Mutant],
    results: Results,
    known: Known,
    stale: Sequence[explained.Explained],
) -> int:
    alive = [mutant for mutant in results if _survived(results, mutant)]
    named = [mutant for mutant in alive if mutant.key in known]
    unnamed = [mutant for mutant in alive if mutant.key not in known]
    _by_file(mutants, results, known)
    if named:
        told("\nsurvived, and may:")
    for mutant in named:
        told(f"{mutant}\n    because {known[mutant.key].why}")
    for mutant in results:
        if mutant.key in known and not _survived(results, mutant):
            told(f"\nkilled by {results[mutant][1]}, though it is explained:\n{mutant}")
    if unnamed:
        told("\nsurvived, and nobody has said why: write the test that notices it, or explain it")
    for mutant in unnamed:
        told(f"{mutant}\n    {results[mutant][0]}")
    for one in stale:
        told(f"\nexplained, and no mutant any more: {one}")
    missing = len(mutants) - len(results)
    hung = sum(verdict is Verdict.HUNG for verdict, _ in results.values())
    told(
        f"\n{len(mutants)} mutants, {len(results) - len(alive)} killed ({hung} of them never ended), "
        f"{len(named)} explained, {len(unnamed)} unexplained, {missing} not tried"
    )
    return 1 if unnamed or stale else 0


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    asked = _asked(arguments)
    until = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    parts = {part: _mutants_of(part) for part in asked.part or ("decide", "store")}
    known = explained.read()
    every = [mutant for part in ("decide", "store") for mutant in parts.get(part) or _mutants_of(part)]
    stale = explained.stale(known.values(), every)
    results: Results = {}
    chosen: list[Mutant] = []
    for part, mutants in parts.items():
        wanted = [one for one in mutants if not asked.only or any(text in str(one) for text in asked.only)]
        chosen += wanted
        if asked.list:
            for mutant in wanted:
                told(str(mutant))
        elif wanted:
            if until is not None:
                wanted = random.Random(asked.seed).sample(wanted, len(wanted))  # noqa: S311 - a sample, no secret
            share = (
                None
                if until is None
                else until
                if part == list(parts)[-1]
                else (time.monotonic() + until) / 2
            )
            results |= _try(part, wanted, share, asked)
    return 0 if asked.list else _conclude(chosen, results, known, stale)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(ROOT)))
    sys.exit(main(sys.argv[1:]))
