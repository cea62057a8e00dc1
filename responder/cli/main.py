"""The command `responder` with all that stands below it. A command's module is imported when it is called."""

from importlib import import_module

import click

_EPILOG = """
\b
Exit codes:
  0  done
  1  something is wrong: settings, rules, a check, a broken chain
  2  the command was written wrongly
  3  the server refused: unknown, not allowed, or not possible now
  4  the server does not answer, or cannot answer now

RESPONDER_URL and RESPONDER_TOKEN say which server is asked and who asks. Without them
it is the one of `responder up` on this machine, found in the data directory:
RESPONDER_DATA_DIR, else `data_dir` of --config, RESPONDER_CONFIG or ./responder.yaml.
"""

_COMMANDS = {
    "actions": "by_hand",
    "alerts": "operations",
    "breaker": "limits",
    "budgets": "limits",
    "approvals": "approvals",
    "approve": "approvals",
    "config": "config",
    "deadletters": "dead_letters",
    "decline": "approvals",
    "demo": "demo",
    "doctor": "doctor",
    "explain": "explain",
    "freeze": "windows",
    "givebacks": "give_backs",
    "halt": "halting",
    "incidents": "incidents",
    "journal": "journal",
    "report": "report",
    "maintenance": "windows",
    "notifications": "notifications",
    "resume": "halting",
    "rules": "rules",
    "run": "by_hand",
    "schedule": "schedule",
    "serve": "service",
    "sources": "sources",
    "targets": "operations",
    "up": "service",
}
"""Each command, and the module that has it under the same name."""


class _Commands(click.Group):
    """The commands, imported one by one: asking for a list must not wait for the clients of a service."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"responder.cli.{_COMMANDS[cmd_name]}"), cmd_name)
        return command


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="responder")
def main() -> None:
    """Answers alerts: matches rules, remediates, proves that it worked, escalates, writes the review."""
