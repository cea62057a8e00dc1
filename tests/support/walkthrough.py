"""Plays a page of the documentation as its reader would: writes its files, types its commands.

A fenced block with a language and a file name (```yaml mine/a.yaml) is a file. One called `console` has
commands after `$ `, and below each what it prints: every line must be there, in this order; `...` stands for
anything. Blocks of other kinds are for reading only.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_COLUMNS = re.compile(r"(?<=\S) {2,}")
"""Between the columns of a table: how wide they are depends on what stands in them."""
_PROMPT = "$ "
_ANYTHING = "..."
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Command:
    """One command, and the lines that it prints."""

    typed: str
    printed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(slots=True)
class Reader:
    """Who follows a page, in a folder of its own. `replaced`: what is so on the page, and not in the test."""

    folder: Path
    replaced: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    """What each command printed."""

    def write(self, one: Written) -> None:
        """Save a file of the page."""
        file = self.folder / one.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._here(one.text))

    def type(self, one: Command) -> str:
        """Run a command; what it printed. Fails where a line of the page is not in that."""
        done = subprocess.run(
            ["/bin/sh", "-c", self._here(one.typed)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        out = done.stdout + done.stderr
        self.printed.append(out)
        missing = missing_line([self._here(line) for line in one.printed], out)
        assert missing is None, f"$ {one.typed}\nthe page says: {missing}\nprinted was:\n{out}"
        return out

    def environment(self) -> dict[str, str]:
        """As a shell with the clone's programs on its path, and no settings of whoever runs the tests."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RESPONDER_")}
        path = f"{Path(sys.executable).parent}:{own.get('PATH', '/usr/bin:/bin')}"
        return {**own, "PATH": path, "COLUMNS": "200", **self.variables}

    def _here(self, text: str) -> str:
        for said, here in self.replaced.items():
            text = text.replace(said, here)
        return text


def steps(page: str) -> Iterator[Written | Command]:
    """What the reader of a page does, in its order."""
    for block in _BLOCK.finditer(page):
        if block["file"]:
            yield Written(block["file"], block["text"])
        elif block["kind"] == "console":
            yield from _commands(block["text"])


def missing_line(expected: list[str], printed: str) -> str | None:
    """The first of the lines that is not printed after the one before it."""
    lines = iter([_COLUMNS.sub("  ", line.rstrip()) for line in printed.splitlines()])
    for line in expected:
        said = _COLUMNS.sub("  ", line.rstrip())
        wanted = re.compile(".*".join(map(re.escape, said.split(_ANYTHING))))
        if not any(wanted.fullmatch(one) for one in lines):
            return line
    return None


def _commands(text: str) -> Iterator[Command]:
    typed: str | None = None
    printed: list[str] = []
    for line in text.splitlines():
        if line.startswith(_PROMPT):
            if typed is not None:
                yield Command(typed, tuple(printed))
            typed, printed = line.removeprefix(_PROMPT), []
        elif line.strip() not in {"", _ANYTHING}:
            printed.append(line)
    if typed is not None:
        yield Command(typed, tuple(printed))
