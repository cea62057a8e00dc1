"""`python -m tests.crash`: every death several times; 1 as exit code where anything was violated."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from itertools import product

from tests.crash.run import DEATHS, Result, run
from tests.crash.sabotage import WAYS
from tests.crash.stage import ground


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="how often at each point (20)")
    parser.add_argument("--at", action="append", choices=sorted(DEATHS), help="only there; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--sabotage", choices=sorted(WAYS), help="run a responder that breaks its word")
    return parser.parse_args(arguments)


async def _all(asked: argparse.Namespace) -> int:
    """Run everything that was asked for; how many runs were bad."""
    runs = list(product(range(1, asked.times + 1), asked.at or DEATHS))
    free, bad, done = asyncio.Semaphore(asked.jobs), 0, 0
    async with ground() as on:

        async def one(number: int, death: str) -> None:
            nonlocal bad, done
            async with free:
                result = await run(on, death, asked.sabotage)
            done += 1
            bad += bool(result.violations)
            _tell(result, number, f"{done}/{len(runs)}")

        async with asyncio.TaskGroup() as group:
            for number, death in runs:
                group.create_task(one(number, death))
    sys.stdout.write(f"{len(runs)} runs, {bad} with violations\n")
    return bad


def _tell(result: Result, number: int, progress: str) -> None:
    verdict = f"{len(result.violations)} violations" if result.violations else "kept its word"
    sys.stdout.write(f"[{progress}] {result.death} run {number}: {result.seconds:.1f} s, {verdict}\n")
    if result.violations:
        sys.stdout.write(f"{result.text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(_all(_asked(sys.argv[1:]))) else 0)
