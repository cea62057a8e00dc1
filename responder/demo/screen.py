"""What the audience sees: one line for each event and, on a terminal, the victim's sessions beside them.

A line reads the same everywhere: seconds since the start, who says it, what. Colour and the live table are
added on a terminal that can show them; nothing is said by colour alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from responder.demo.victim import Session

_REFRESHES = 8
"""How often a second the live table is drawn anew."""


class Voice(StrEnum):
    """Who says it."""

    DEMO = "demo"
    VICTIM = "victim"
    ALERTMANAGER = "alert"
    RESPONDER = "responder"


_STYLES = {
    Voice.DEMO: "dim",
    Voice.VICTIM: "yellow",
    Voice.ALERTMANAGER: "red",
    Voice.RESPONDER: "green",
}


class Screen:
    """Writes to a console. Use `live()` around everything that happens while sessions are shown."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._start = clock()
        self._table: Live | None = None

    @classmethod
    def on_stdout(cls) -> Self:
        """The usual screen. Without a terminal the lines are not wrapped."""
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, soft_wrap=True)
        return cls(console)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def say(self, voice: Voice, text: str) -> None:
        """One event."""
        line = Text.assemble(
            (f"{self.elapsed:5.1f}s  ", "dim"), (f"{voice.value:<9}  ", f"bold {_STYLES[voice]}"), text
        )
        self._console.print(line)

    def heading(self, text: str) -> None:
        """A new part of the story."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def review(self, markdown: str) -> None:
        """The post-incident document: rendered on a terminal, as it stands everywhere else."""
        self._console.print()
        if self._console.is_terminal:
            self._console.print(Markdown(markdown))
        else:
            self._console.print(markdown, markup=False)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table of sessions below the lines, where the terminal can."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=_REFRESHES, transient=True) as table:
            self._table = table
            try:
                yield
            finally:
                self._table = None

    def show(self, sessions: Sequence[Session]) -> None:
        """What the victim's pg_stat_activity says now. Nothing without a live table."""
        if self._table is not None:
            self._table.update(_table_of(sessions))


def _table_of(sessions: Sequence[Session]) -> Table:
    table = Table(title="the victim's pg_stat_activity", title_justify="left", expand=False)
    for name in ("pid", "application", "state", "for", "blocked by", "query"):
        table.add_column(name, no_wrap=True)
    for session in sessions:
        waits = ", ".join(str(pid) for pid in session.blocked_by)
        style = "red" if session.stuck else ("yellow" if waits else "green")
        seconds = f"{session.seconds:.0f} s"
        table.add_row(
            str(session.pid), session.application, session.state, seconds, waits, session.query, style=style
        )
    return table
