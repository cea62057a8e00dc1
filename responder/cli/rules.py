"""Commands about rules: check files, see what is active, reload, promote."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import (
    ExitCode,
    actor_option,
    config_option,
    ends_in_words,
    print_json,
    reason_option,
    settings,
    speaks,
)
from responder.cli.gaps import find_gaps
from responder.cli.prometheus_rules import import_rules
from responder.cli.rule_explained import explain_alert
from responder.cli.rule_files import checked
from responder.cli.started import client_of, warn_of_other_settings
from responder.model.autonomy import Autonomy
from responder.review.words import count
from responder.rulebook.load import Report
from responder.rulebook.mistake import Mistake
from responder.rulebook.schema import schema


class _Commands(click.Group):
    """The commands about rules; playing them needs the engine, which no other does."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "backtest", "test"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "test":
            from responder.cli.rule_tests import test_rules  # noqa: PLC0415 - it imports the engine

            return test_rules
        if cmd_name == "backtest":
            from responder.cli.backtest import backtest_rules  # noqa: PLC0415 - likewise

            return backtest_rules
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
def rules() -> None:
    """The rules."""


rules.add_command(explain_alert)
rules.add_command(import_rules)
rules.add_command(find_gaps)


@rules.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="How it is said; `github` marks the lines in a pull request.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@ends_in_words
def check(paths: tuple[Path, ...], config_file: Path | None, form: str) -> None:
    """Check rule files and folders of them against the settings. Needs no server; exits 1 on a mistake."""
    chosen = settings(config_file).settings
    report = checked(paths, chosen)
    warn_of_other_settings(client_of(config_file))
    number = len(report.rulebook.rules) if report.rulebook is not None else 0
    if form == "json":
        mistakes = [
            {**one.position.model_dump(), "text": one.text, "mend": one.mend} for one in report.mistakes
        ]
        print_json({"ok": not mistakes, "rules": number, "mistakes": mistakes})
    else:
        for mistake in report.mistakes:
            output.say(_annotation(mistake) if form == "github" else str(mistake))
        output.say(_sum(report, number))
    if report.mistakes:
        raise SystemExit(ExitCode.WRONG)


def _annotation(mistake: Mistake) -> str:
    """A workflow command of GitHub's: what is written beside a line of a pull request."""
    at = mistake.position
    place = f"file={_escaped(at.file, ',:')},line={at.line},col={at.column}"
    return f"::error {place}::{_escaped(f'{mistake.text}. {mistake.mend}.')}"


def _escaped(text: str, also: str = "") -> str:
    """As workflow commands want it: a sign that would end a part is written as its number."""
    return "".join(f"%{ord(sign):02X}" if sign in f"%\r\n{also}" else sign for sign in text)


@rules.command("schema")
@ends_in_words
def print_schema() -> None:
    """The JSON Schema of rule files, for editors: keys, words, and the parameters of every action."""
    from responder.actions.registry import Registry  # noqa: PLC0415 - imports every action; only this needs them

    print_json(schema(Registry()))


@rules.command("list")
@speaks
def list_rules(client: Client, as_json: bool) -> None:
    """The active rules, in the order in which they are tried."""
    told = client.get("rules")
    warn_of_other_settings(client)
    if as_json:
        print_json(told)
        return
    rows = [
        (
            rule["name"],
            rule["severity"],
            reach(rule),
            ", ".join(rule["steps"]) or "evidence only",
            rule["position"],
        )
        for rule in told["rules"]
    ]
    output.table(("RULE", "SEVERITY", "AUTONOMY", "STEPS", "FILE"), rows, "No rule is active.")
    if refused := told.get("refused"):
        output.heading("The rule files have mistakes, so what they say is not active")
        for line in _mistake_lines(refused):
            output.say(line, indent=2)


@rules.command()
@click.argument("name")
@speaks
def show(name: str, client: Client, as_json: bool) -> None:
    """One rule as it applies, with where its defaults came from and the hash that a promotion is bound to."""
    told = client.get(f"rules/{segment(name)}")
    if as_json:
        print_json(told)
        return
    output.say(f"{told['name']} ({told['position']})")
    output.say(f"autonomy: {reach(told)}")
    output.say(f"acting hash: {told['acting_hash']}")
    rows = [(line["path"], line["value"], line["origin"]) for line in told["lines"]]
    output.table(("KEY", "VALUE", "FROM"), rows, "The rule says nothing.")


@rules.command()
@click.argument("name")
@click.option(
    "--to",
    "level",
    required=True,
    type=click.Choice(["observe", "shadow", "approve", "auto"]),
    help="How far.",
)
@reason_option
@actor_option
@speaks
def promote(name: str, level: str, reason: str, actor: str, client: Client, as_json: bool) -> None:
    """Let the acting part of rule NAME, as it is now, go as far as --to. A change is in shadow again."""
    path = f"rules/{segment(name)}"
    body = {"level": level, "actor": actor, "reason": reason, "acting_hash": client.get(path)["acting_hash"]}
    told = client.post(f"{path}/promote", body)
    warn_of_other_settings(client)
    if as_json:
        print_json(told)
        return
    output.say(
        f"{told['name']} may go as far as {told['promoted']}, with the acting hash {told['acting_hash']}."
    )
    output.say(f"In effect now: {in_effect(told)}.")
    output.say("What applies is the least of this, the rule's own word and the ceilings of the settings.")


@rules.command()
@speaks
def reload(client: Client, as_json: bool) -> None:
    """Read the rule files of the settings again and activate them. With a mistake the old ones stay."""
    told = client.post("rules/reload", {}, may=(409,))
    warn_of_other_settings(client)
    mistakes = told["mistakes"]
    if as_json:
        print_json(told)
    else:
        for line in _mistake_lines(mistakes):
            output.say(line)
        output.say("The old rules stay active." if mistakes else "The rules are active on every replica.")
    if mistakes:
        raise SystemExit(ExitCode.WRONG)


def _mistake_lines(mistakes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in mistakes:
        yield f"{one['file']}:{one['line']}:{one['column']}: {one['text']}. {one['mend']}."


def _sum(report: Report, rules_read: int) -> str:
    if not report.mistakes:
        return f"{count(rules_read, 'rule')}, no mistake."
    return f"{count(len(report.mistakes), 'mistake')}."


def reach(rule: dict[str, Any]) -> str:
    """The rule's word, and where it is held until somebody promotes it."""
    if not rule["changing"]:
        return f"{rule['autonomy']} (changes nothing)"
    if rule["promoted"]:
        promoted = f"promoted to {rule['promoted']}"
    else:
        promoted = "promoted by the settings" if rule["promoted_by_settings"] else "not promoted: shadow"
    return f"{rule['autonomy']} ({'; '.join([promoted, *_ceilings(rule)])})"


def in_effect(rule: dict[str, Any]) -> str:
    """How far a promoted rule goes now, and what holds it there; more than one where alerts differ."""
    words = [(rule["autonomy"], "the rule's own word"), (rule["promoted"], "its promotion")]
    own, who = min(words, key=lambda word: Autonomy[word[0].upper()])
    levels = {one["level"]: one["origin"] for one in reversed(rule["ceilings"])}
    least = {min(own, level, key=lambda word: Autonomy[word.upper()]) for level in levels or {own: who}}
    told = sorted(least, key=lambda word: Autonomy[word.upper()])
    return ", or ".join(f"{level} ({levels[level] if level != own else who})" for level in told)


def _ceilings(rule: dict[str, Any]) -> list[str]:
    """What the settings allow at most, where that is less than everything."""
    told = rule["ceilings"]
    if all(one["level"] == Autonomy.AUTO.word for one in told):
        return []
    return [f"{one['origin']} is {one['level']}" for one in told]
