"""Prints for people: tables and sentences that read the same with colour, without, and in a file.

Everything that comes from outside passes through `plain`: an alert's label must not move the cursor.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from responder.review.words import plain

_UNLIMITED = 4000
_STYLES = {
    "fail": "bold red",
    "P0": "bold red",
    "P1": "red",
    "escalated": "bold red",
    "warn": "yellow",
    "held": "yellow",
    "awaiting_approval": "yellow",
    "ok": "green",
    "resolved": "green",
}


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], none: str, *, width: int | None = None
) -> None:
    """Print rows under their columns, or a sentence that there are none.

    On a terminal long cells fold; elsewhere each row is one line, so that grep finds it whole. With a `width`
    cells fold there in any case: for sentences that are read and not searched.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(none)
        return
    console = Console(highlight=False)
    folds = console.is_terminal or width is not None
    if not console.is_terminal:
        console = Console(highlight=False, width=width or _UNLIMITED)
    elif width is not None:
        console = Console(highlight=False, width=min(width, console.width))
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=not folds)
    for row in cells:
        shown.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def say(text: str, indent: int = 0, *, err: bool = False) -> None:
    """One line."""
    click.echo(" " * indent + plain(text), err=err)


def heading(text: str) -> None:
    """A line that stands above others, after an empty one."""
    click.echo()
    click.secho(plain(text), bold=True)


def ago(at: datetime, now: datetime) -> str:
    """How long ago, in the two largest units that matter: between the seconds that people read of both."""
    seconds = max(0, int(now.timestamp()) - int(at.timestamp()))
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // below
            return f"{seconds // size}{unit}{rest}{small} ago" if rest else f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def until(at: datetime, now: datetime) -> str:
    """How long from now, so that now and this make the second that is told of it."""
    if at <= now:
        return "now"
    return "in " + ago(now, at).removesuffix(" ago")


def moment(text: str) -> datetime:
    """A time of an answer."""
    return datetime.fromisoformat(text)
