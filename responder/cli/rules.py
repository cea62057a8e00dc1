"""Commands about rules: check files, see what is active, reload, promote."""

from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from responder.cli import output
from responder.cli.client import Client, segment
from responder.cli.common import (
    ExitCode,
    actor_option,
    config_option,
    ends_in_words,
    fail,
    print_json,
    reason_option,
    settings,
    speaks,
)
from responder.cli.rule_explained import explain_alert
from responder.cli.started import client_of, warn_of_other_settings
from responder.model.autonomy import Autonomy
from responder.model.inventory import Inventory, PostgresConnection
from responder.model.severity import Severity
from responder.review.words import count
from responder.rulebook.gaps import Gap, gaps
from responder.rulebook.load import Report, read_files
from responder.rulebook.load import check as check_files
from responder.rulebook.mistake import Mistake, Mistakes
from responder.rulebook.prometheus import SEVERITIES, PrometheusAlert, read_alerts, skeleton
from responder.rulebook.schema import schema
from responder.rulebook.surroundings import Surroundings
from responder.settings import Settings


class _Commands(click.Group):
    """The commands about rules; playing tests needs the engine, which no other does."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "test"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "test":
            return super().get_command(ctx, cmd_name)
        from responder.cli.rule_tests import test_rules  # noqa: PLC0415 - see above

        return test_rules


@click.group(cls=_Commands)
def rules() -> None:
    """The rules."""


rules.add_command(explain_alert)


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
    from responder.actions.registry import Registry  # noqa: PLC0415 - as in `around_of`

    print_json(schema(Registry()))


@rules.command("import")
@click.option(
    "--prometheus",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A file of Prometheus's rules, or a folder of them. May be repeated.",
)
@click.option(
    "--severity",
    "words",
    multiple=True,
    metavar="WORD=P1",
    help="What a word of the label `severity` means here. May be repeated.",
)
@click.option("--output", "target", type=click.Path(path_type=Path), help="A new file. Default: print them.")
@ends_in_words
def import_rules(files: tuple[Path, ...], words: tuple[str, ...], target: Path | None) -> None:
    """Write a rule for each alert of Prometheus's rule files. It records and changes nothing."""
    severities = {**SEVERITIES, **dict(map(_meaning, words))}
    mistakes = Mistakes()
    alerts = read_alerts(sorted(read_files(files, mistakes)), mistakes)
    for mistake in mistakes.sorted():
        output.say(str(mistake), err=True)
    if mistakes.found:
        raise SystemExit(ExitCode.WRONG)
    text, number = skeleton(alerts, severities)
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(
            f"{target} is there already: name a new file, for your own changes would be lost", ExitCode.WRONG
        )
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", ExitCode.WRONG)
    output.say(f"{count(number, 'rule')} of {count(len(alerts), 'alerting rule')} in {target}.")
    output.say(f"Next: responder rules check {target}")


@rules.command("gaps")
@click.option(
    "--prometheus",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A file of Prometheus's rules, or a folder of them. May be repeated.",
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@ends_in_words
def find_gaps(
    files: tuple[Path, ...], paths: tuple[Path, ...], config_file: Path | None, as_json: bool
) -> None:
    """Alerts of Prometheus's rule files that no rule in PATHS covers (default: those of the settings).

    Needs no server; exits 1 where there is a gap.
    """
    chosen = settings(config_file).settings
    report = checked(paths or chosen.rules, chosen)
    mistakes = Mistakes()
    alerts = read_alerts(sorted(read_files(files, mistakes)), mistakes)
    for mistake in (*mistakes.sorted(), *report.mistakes):
        output.say(str(mistake), err=True)
    if report.rulebook is None or mistakes.found:
        raise SystemExit(ExitCode.WRONG)
    found = gaps(alerts, report.rulebook.rules)
    if as_json:
        print_json({"alerts": len(alerts), "gaps": [gap.model_dump(mode="json") for gap in found]})
    else:
        rows = [(gap.alert.name, _place_of(gap.alert), _near(gap)) for gap in found]
        output.table(
            ("ALERT", "FILE", "NEAREST RULE"), rows, f"Covered: {count(len(alerts), 'alerting rule')}."
        )
    if found:
        raise SystemExit(ExitCode.WRONG)


def _place_of(alert: PrometheusAlert) -> str:
    return f"{alert.position.file}:{alert.position.line}"


def _near(gap: Gap) -> str:
    if gap.near is None:
        return "-"
    return (
        f"{gap.near}: {'; '.join(f'{one.matcher} does not hold, it is {one.value!r}' for one in gap.failed)}"
    )


def _meaning(written: str) -> tuple[str, Severity]:
    word, _, level = written.rpartition("=")
    if level.upper() not in Severity.__members__:
        raise click.BadParameter(f"{written!r} is not WORD=P0 to WORD=P3", param_hint="--severity")
    return word.lower(), Severity(level.upper())


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
        for one in mistakes:
            place = f"{one['file']}:{one['line']}:{one['column']}"
            output.say(f"{place}: {one['text']}. {one['mend']}.")
        output.say("The old rules stay active." if mistakes else "The rules are active on every replica.")
    if mistakes:
        raise SystemExit(ExitCode.WRONG)


def checked(paths: tuple[Path, ...], chosen: Settings) -> Report:
    """Check rule files against the settings, without a server and without a secret."""
    return check_files(paths, around_of(chosen))


def around_of(chosen: Settings) -> Surroundings:
    """What the settings say that rules may name, without a secret."""
    from responder.actions.registry import Registry  # noqa: PLC0415 - imports every action; only checking needs it
    from responder.app import surroundings  # noqa: PLC0415 - as above

    return surroundings(chosen, _inventory(chosen), Registry())


def _inventory(chosen: Settings) -> Inventory:
    """Names and conditions alone: checking rules needs no password, and may run where there is none."""
    nowhere = SecretStr("")
    return Inventory(
        postgres=tuple(
            PostgresConnection(name=entry.name, dsn=nowhere, matches=entry.matches)
            for entry in chosen.inventory.postgres
        )
    )


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
