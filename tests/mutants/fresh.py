"""`python -m tests.mutants.fresh PATH START END NEW`: tests named on stdin, one file changed on import."""

import sys

import pytest

from tests.mutants.mutant import ROOT
from tests.mutants.python_code import module_name
from tests.mutants.swap import reading


def main(path: str, start: str, end: str, new: str) -> int:
    """The exit code of pytest."""
    source = (ROOT / path).read_bytes()
    text = (source[: int(start)] + bytes.fromhex(new) + source[int(end) :]).decode()
    for name in [one for one in sys.modules if one.startswith(("responder", "tests.support"))]:
        del sys.modules[name]
    with reading(module_name(path), text):
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *sys.stdin.read().split("\n")])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
