"""docs/manual-coverage.md: each block of the operations manual is mapped, and to what there is.

The manual is not part of this repository: its headings and the hashes of its blocks are (manual_blocks.yaml).
With RESPONDER_MANUAL=FILE these are compared with the manual itself.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml

from responder.actions.registry import Registry
from responder.cli.main import main
from responder.model.rule import AllOf, Rule
from responder.rulebook.load import check
from tests.support.manual import MANUAL
from tests.support.manual_alerts import defined
from tests.support.rule_surroundings import surroundings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "manual-coverage.md").read_text()
STATES = {"built", "partly", "not built"}
KINDS = {
    "Alerts",
    "Rules",
    "Schedules",
    "Actions",
    "Commands",
    "Pages",
    "Tests",
    "Corrected",
    "Not built yet",
}


@dataclass(frozen=True, slots=True)
class Section:
    """One heading with what stands below it up to the next."""

    level: int
    title: str
    lines: Sequence[str]

    @property
    def blocks(self) -> list[str]:
        """The kinds of the blocks that are mapped, in their order."""
        found = [re.match(r"\*\*Block (\d+) \((code|table)\): ([a-z ]+)\.\*\* ", line) for line in self.lines]
        blocks = [match for match in found if match is not None]
        assert [int(match[1]) for match in blocks] == list(range(1, len(blocks) + 1)), self.title
        assert {match[3] for match in blocks} <= STATES, self.title
        return [match[2] for match in blocks]

    def named(self, kind: str) -> list[str]:
        """What the lines of this kind name in backticks."""
        lines = [line for line in self.lines if line.startswith(f"- {kind}: ")]
        return [name for line in lines for name in re.findall(r"`([^`]+)`", line)]


def sections(text: str) -> list[Section]:
    """Every heading outside of fences; emoji before a title are not part of it."""
    found: list[Section] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) \W*(\w.*)", line)
        if heading is not None:
            found.append(Section(len(heading[1]), heading[2], []))
        elif found:
            found[-1] = Section(found[-1].level, found[-1].title, [*found[-1].lines, line])
    return found


def known() -> list[tuple[int, str, list[dict[str, str]]]]:
    """The manual's headings with the blocks below each."""
    listed = yaml.safe_load(Path(__file__).with_name("manual_blocks.yaml").read_text())["headings"]
    return [(one["level"], one["title"], one["blocks"]) for one in listed]


def mapped() -> list[Section]:
    """The page's sections that are the manual's: all below its title."""
    return sections(PAGE)[1:]


def test_each_heading_and_each_block_of_the_manual_is_mapped() -> None:
    """In the manual's order, each block with its kind and state; nothing is left out or invented."""
    assert [(one.level, one.title) for one in mapped()] == [(level, title) for level, title, _ in known()]
    for section, (_, title, blocks) in zip(mapped(), known(), strict=True):
        assert section.blocks == [block["kind"] for block in blocks], title
    for section, after in pairwise([*mapped(), Section(1, "the end", [])]):
        assert after.level > section.level or any(line.strip() for line in section.lines), section.title


def test_a_block_that_is_answered_says_by_what_and_what_proves_it() -> None:
    """Built and partly built ones name a rule, a command or a page, and tests; the others what is missing."""
    for section in mapped():
        if section.blocks:
            assert section.named("Tests"), section.title
            assert section.named("Rules") or section.named("Commands") or section.named("Pages"), (
                section.title
            )
        if any("): built." not in line for line in section.lines if line.startswith("**Block")):
            assert section.named("Not built yet"), section.title
        kinds = {line[2:].split(":")[0] for line in section.lines if line.startswith("- ")}
        assert kinds <= KINDS, section.title


def test_all_that_the_page_names_is_there() -> None:
    """Alerts, rules, actions, commands, pages and tests."""
    report = check([ROOT / "rules"], surroundings())
    assert report.rulebook is not None
    there = {
        "Alerts": {one.name for one in defined()},
        "Rules": {rule.name for rule in report.rulebook.rules if rule.on is None},
        "Schedules": {rule.name for rule in report.rulebook.rules if rule.on is not None},
        "Actions": set(Registry().names()),
        "Commands": set(commands(main, "responder")),
    }
    for section in mapped():
        for kind, names in there.items():
            assert set(section.named(kind)) <= names, (section.title, kind)
        for file in (*section.named("Tests"), *section.named("Pages")):
            assert (ROOT / file).is_file(), (section.title, file)
    everywhere = {kind: {name for one in mapped() for name in one.named(kind)} for kind in there}
    assert everywhere["Rules"] == there["Rules"]
    assert everywhere["Schedules"] == there["Schedules"]
    assert everywhere["Alerts"] == there["Alerts"]


def test_the_actions_of_a_block_are_those_of_its_rules() -> None:
    """What the rules and schedules that a section names do and ask is what it names as actions."""
    report = check([ROOT / "rules"], surroundings())
    assert report.rulebook is not None
    used = {rule.name: actions_of(rule) for rule in report.rulebook.rules}
    for section in mapped():
        rules = (*section.named("Rules"), *section.named("Schedules"))
        assert set(section.named("Actions")) == set().union(*(used[name] for name in rules)), section.title


def actions_of(rule: Rule) -> set[str]:
    """Of its ladder, parts of an `all` among them, of its evidence and of its runs."""
    ladder = [part for rung in rule.steps for part in (rung.parts if isinstance(rung, AllOf) else (rung,))]
    return {step.action for step in (*ladder, *rule.evidence, *rule.checks)}


def test_what_the_page_calls_missing_is_missing() -> None:
    """An action that is there by now is no longer called not built."""
    actions = set(Registry().names())
    for section in mapped():
        assert not actions & set(section.named("Not built yet")), section.title


def test_the_alerts_lead_to_headings_of_the_manual() -> None:
    """The part after # of each runbook_url is the anchor of a heading."""
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for _, title, _ in known()}
    for alert in defined():
        assert alert.annotations["runbook_url"].rpartition("#")[2] in anchors, alert.name


@pytest.mark.skipif(MANUAL is None, reason="RESPONDER_MANUAL names no file")
def test_the_list_of_blocks_is_that_of_the_manual() -> None:
    """Headings, kinds and hashes, read from the manual itself."""
    assert MANUAL is not None
    manual = sections(Path(MANUAL).read_text())
    read = [(one.level, one.title, list(hashed(one.lines))) for one in manual]
    assert read == known()


def hashed(lines: Sequence[str]) -> Iterator[dict[str, str]]:
    """Code blocks and tables among these lines."""
    blocks: list[tuple[str, list[str]]] = []
    before = fenced = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
            if fenced:
                blocks.append(("code", []))
        elif fenced:
            blocks[-1][1].append(line)
        elif line.startswith("|"):
            if not before:
                blocks.append(("table", []))
            blocks[-1][1].append(line)
        before = line.startswith("|") and not fenced
    for kind, held in blocks:
        yield {"kind": kind, "sha256": hashlib.sha256("\n".join(held).encode()).hexdigest()}


def commands(group: click.Command, name: str) -> Iterator[str]:
    """Every command with the words that lead to it."""
    yield name
    if isinstance(group, click.Group):
        context = click.Context(group)
        for word in group.list_commands(context):
            command = group.get_command(context, word)
            assert command is not None
            yield from commands(command, f"{name} {word}")
