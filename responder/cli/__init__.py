"""The command line: `serve` and `up` start the service, the rest asks one that runs, over HTTP.

Only `serve`, `up`, `demo`, `config`, `rules check`, `doctor` and `halt --file` work without a server.
`client` speaks HTTP, `local` finds the service of this machine, `output` prints, `common` holds what commands
share; the other modules are commands.
"""

from responder.cli.main import main

__all__ = ["main"]
