"""`python -m tests.chaos`: everything goes wrong for a while; 1 as exit code where anything was violated."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence

from tests.chaos.run import Result, run
from tests.chaos.sabotage import WAYS
from tests.chaos.tally import table


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long things go wrong (600)")
    parser.add_argument("--seed", type=int, default=None, help="what goes wrong; drawn where none is given")
    parser.add_argument("--sabotage", choices=sorted(WAYS), help="run a responder that breaks its word")
    return parser.parse_args(arguments)


def _tell(result: Result, seed: int, seconds: float) -> bool:
    """The summary; whether all is well."""
    good = not result.violations and not result.short_of
    if result.violations:
        sys.stdout.write(f"{result.text}\n")
    sys.stdout.write(f"\nseed {seed}, {seconds:g} s\n{table(result.counts)}\n")
    for one in result.short_of:
        sys.stdout.write(f"NOT REACHED {one}\n")
    verdict = "kept its word" if good else f"{len(result.violations)} violations"
    sys.stdout.write(f"{verdict}\n")
    told = {
        "seed": seed,
        "seconds": seconds,
        "good": good,
        "violations": [one.text for one in result.violations],
        "not_reached": list(result.short_of),
        **result.counts,
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    return good


def main(arguments: Sequence[str]) -> int:
    """Run it, and tell."""
    asked = _asked(arguments)
    seed = int(time.time()) % 1_000_000 if asked.seed is None else asked.seed
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    return 0 if _tell(asyncio.run(run(asked.seconds, seed, asked.sabotage)), seed, asked.seconds) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
