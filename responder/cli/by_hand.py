"""`responder run`: says where the command that once had this name is now."""

import click


@click.command()
def run() -> None:
    """Not there yet: acts by hand. What keeps a service up on this machine is `responder up`."""
    raise click.UsageError("the service of this machine is kept up by: responder up")
