"""The command `responder` with all that stands below it."""

import click

from responder.cli.config import config
from responder.cli.demo import demo
from responder.cli.doctor import doctor
from responder.cli.incidents import incidents
from responder.cli.operations import alerts, deadletters, halt, resume, targets
from responder.cli.rules import rules
from responder.cli.service import run, serve

_EPILOG = """
\b
Exit codes:
  0  done
  1  something is wrong: settings, rules, a check, a broken chain
  2  the command was written wrongly
  3  the server refused: unknown, not allowed, or not possible now
  4  the server does not answer, or cannot answer now

RESPONDER_URL and RESPONDER_TOKEN say which server is asked and who asks.
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="responder")
def main() -> None:
    """Answers alerts: matches rules, remediates, proves that it worked, escalates, writes the review."""


for _command in (
    serve,
    run,
    demo,
    config,
    doctor,
    rules,
    incidents,
    halt,
    resume,
    targets,
    alerts,
    deadletters,
):
    main.add_command(_command)
