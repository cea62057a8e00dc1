"""`equivalent.toml`: mutants that no test can notice, each with the reason."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from responder.model.base import Frozen
from tests.mutants.mutant import Mutant

FILE = Path(__file__).with_name("equivalent.toml")

Key = tuple[str, str, str, str]


class Explained(Frozen):
    """Why one mutant does what the source does, or is caught where these tests do not look."""

    path: str
    scope: str
    before: str
    after: str
    why: str = Field(min_length=20)

    @property
    def key(self) -> Key:
        """As a mutant's."""
        return (self.path, self.scope, self.before, self.after)

    def __str__(self) -> str:
        """As a mutant's."""
        return f"{self.path} {self.scope}\n    - {self.before}\n    + {self.after}"


def read(file: Path = FILE) -> dict[Key, Explained]:
    """All that is explained. Raises ValueError where one stands there twice."""
    told = [Explained.model_validate(one) for one in tomllib.loads(file.read_text()).get("equivalent", [])]
    found = {one.key: one for one in told}
    if len(found) < len(told):
        twice = next(one for one in told if sum(other.key == one.key for other in told) > 1)
        raise ValueError(f"{file.name} explains this twice: {twice.path} {twice.scope}: {twice.after}")
    return found


def stale(told: Iterable[Explained], mutants: Iterable[Mutant]) -> list[Explained]:
    """What is explained and is no mutant any more."""
    known = {mutant.key for mutant in mutants}
    return [one for one in told if one.key not in known]
