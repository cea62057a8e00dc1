"""The editors' schema of rule files, held against the check, which is the judge."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from responder.actions.registry import Registry
from responder.cli.main import main
from responder.rulebook.document import plain, read_document
from responder.rulebook.load import check_texts
from responder.rulebook.mistake import Mistakes
from responder.rulebook.schema import schema
from tests.support.rule_surroundings import surroundings

ROOT = Path(__file__).parents[2]
BROKEN = Path(__file__).parent / "broken_rules"
SCHEMA = schema(Registry())
VALIDATOR = Draft202012Validator(SCHEMA)
FOR_THE_CHECK_ALONE = {
    "04_no_yaml": "an editor says itself that it is no YAML",
    "05_keys_twice": "keys that stand twice are gone once YAML is read",
    "15_promql": "queries have a parser of their own",
    "16_connections": "the inventory stands in the settings",
    "18_anchors_and_tags": "tags and anchors are gone once YAML is read",
    "21_short_windows": "the sources stand in the settings",
    "25_reach": "what no alert reaches depends on all rules",
    "28_open_reach": "as 25_reach",
    "30_schedule_label": "as 25_reach",
    "33_passed_to_nobody": "as 25_reach",
    "32_nothing_shared": "as 25_reach",
    "26_promises": "response times stand in the settings",
    "31_never": "what never happens depends on the whole rule and on the settings",
    "32_endless": "the sources stand in the settings",
    "33_two_connections": "the inventory stands in the settings",
}
"""Files of mistakes of which an editor sees none, and why. Of all others it marks at least one."""


def document(text: str) -> Any:
    """What an editor sees of a file; None where it is no YAML."""
    read = read_document("f", text, Mistakes())
    return None if read is None else plain(read)


def complaints(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(document(text))]


def examples() -> Iterator[str]:
    """The rule files that ship, and those of the pages."""
    yield from (file.read_text() for file in sorted((ROOT / "rules").rglob("*.yaml")) if not _tests(file))
    for page in sorted((ROOT / "docs").glob("*.md")):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        yield from (block for block in blocks if re.search(r"^rules:$", block, re.MULTILINE))


def _tests(file: Path) -> bool:
    return file.name.endswith(".test.yaml")


def test_it_is_a_schema() -> None:
    """By the draft that it names."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", list(examples()))
def test_what_ships_and_what_the_pages_show_has_no_marks(text: str) -> None:
    """Nobody sees a mark on what is right."""
    assert complaints(text) == []


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yaml")), ids=lambda file: file.stem)
def test_mistakes_of_shape_are_marked_while_one_writes(file: Path) -> None:
    """All files of mistakes but those of which the reason is written down here."""
    assert bool(complaints(file.read_text())) == (file.stem not in FOR_THE_CHECK_ALONE)


GOOD: dict[str, Any] = {
    "defaults": {"autonomy": "shadow", "owner": "database", "limits": {"attempts": 2, "cooldown": "5m"}},
    "lists": {"look": [{"action": "postgres.activity", "with": {"connection": "orders"}, "timeout": "5s"}]},
    "rules": [
        {
            "name": "A",
            "match": ['alertname = "A"', 'job=~"db|pg"'],
            "severity": [{"when": ['severity = "critical"'], "is": "P1"}, {"is": "P2"}],
            "group_by": ["server", "datname"],
            "for": "1m30s",
            "autonomy": "auto",
            "evidence": ["look"],
            "steps": [
                {
                    "action": "postgres.cancel_queries",
                    "with": {
                        "connection": {"server": "$labels.server"},
                        "database": "$labels.datname",
                        "older_than": "10m",
                        "at_most": 5,
                    },
                    "when": {"probe": {"sql": "blocked_sessions", "is": "> 0"}},
                    "timeout": "30s",
                    "undo": "never",
                    "autonomy": "approve",
                }
            ],
            "verify": {
                "alert_resolved_within": "10m",
                "stable_for": "2m",
                "probes": [{"promql": 'max(x{datname="$labels.datname"})', "is": "< 1.5"}],
            },
            "limits": {"attempts": 3, "per": "1h", "recurrence": {"count": 3, "within": "10d"}},
            "notify": {"page": {"after": "5m"}},
            "runbook_url": "https://runbooks.example.com/a",
            "notes": "text",
        },
        {"name": "B", "match": [], "severity": "P3", "escalate": True, "notify": {"page": "on_escalation"}},
    ],
}
JUNK = [None, True, 0, -1, 3, 1.5, "", "x", "P1", "10m", "$labels.server", [], ["x"], {}, {"x": "y"}, "auto"]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*path, key))


PLACES = [path for path in _places(GOOD) if path]


def accepted(document: Any) -> bool:
    return not check_texts([("f", json.dumps(document))], surroundings()).mistakes


def marked(document: Any) -> bool:
    return next(VALIDATOR.iter_errors(document), None) is not None


def test_the_good_file_is_good_to_both() -> None:
    """What the properties start from."""
    assert accepted(GOOD)
    assert not marked(GOOD)


@settings(max_examples=150)
@given(st.sampled_from(PLACES), st.sampled_from(JUNK), st.sampled_from(["put", "remove", "add"]))
def test_what_the_check_accepts_has_no_mark(path: tuple[Any, ...], junk: Any, how: str) -> None:
    """Something else in any place, something gone, a key more: an editor is never stricter than the judge."""
    changed = copy.deepcopy(GOOD)
    parent: Any = changed
    for part in path[:-1]:
        parent = parent[part]
    match how:
        case "put":
            parent[path[-1]] = junk
        case "remove":
            del parent[path[-1]]
        case _:
            if isinstance(parent, dict):
                parent["surplus"] = junk
            else:
                parent.append(junk)
    assert not (accepted(changed) and marked(changed)), list(VALIDATOR.iter_errors(changed))


@pytest.mark.parametrize("path", [path for path in PLACES if isinstance(path[-1], str)])
def test_a_key_too_many_is_marked_wherever_keys_are_known(path: tuple[Any, ...]) -> None:
    """Nobody learns of a misspelt key only when the check runs. Labels and lists have free names."""
    changed = copy.deepcopy(GOOD)
    parent: Any = changed
    for part in path[:-1]:
        parent = parent[part]
    parent["surplus"] = "x"
    free = {("lists", "look"), ("server",)}
    assert marked(changed) or path in free or path[-1:] in free
    assert not accepted(changed) or path in free or path[-1:] in free


def test_the_command_prints_it_with_the_actions_that_are_installed() -> None:
    """As JSON, for a file that the editor's settings name."""
    told = CliRunner().invoke(main, ["rules", "schema"])
    assert told.exit_code == 0
    assert json.loads(told.stdout) == json.loads(json.dumps(SCHEMA))
