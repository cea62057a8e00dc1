"""`responder demo`: the story of `responder.demo` on this terminal."""

import click

from responder.demo.screen import Screen
from responder.demo.story import run


@click.command()
def demo() -> None:
    """Watch a stuck query being found, ended, proven gone and written up, in under a minute.

    Everything runs in a temporary folder and is gone afterwards. Exits 0 only when the victim's own
    pg_stat_activity said that the query was gone and the review was written.
    """
    raise SystemExit(run(Screen.on_stdout()))
