"""`python -m responder.cli` is `responder`."""

from responder.cli.main import main

main()
