"""Sixty kinds of mistakes planted in rules, half of syntax and half of sense, and none in what ships."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from responder.rulebook.load import check, check_texts
from tests.support.rule_surroundings import broken_surroundings, surroundings

BROKEN = Path(__file__).parent / "broken_rules"
ROOT = Path(__file__).parents[2]

SYNTAX: Mapping[str, str] = {
    "a key that nobody knows": "01_unknown_keys.yaml:1:1",
    "a key of a rule that is misspelt": "01_unknown_keys.yaml:6:5",
    "a key inside a block that is misspelt": "01_unknown_keys.yaml:9:7",
    "a rule without a name": "03_missing.yaml:2:5",
    "a rule without a match": "03_missing.yaml:4:5",
    "a rule without a severity": "03_missing.yaml:6:5",
    "a step without an action": "03_missing.yaml:12:9",
    "no YAML": "04_no_yaml.yaml:4:5",
    "a key that stands twice": "05_keys_twice.yaml:5:5",
    "a name that cannot be one": "06_names.yaml:3:12",
    "a number where text is meant": "06_names.yaml:5:12",
    "a matcher without an operator": "07_matchers.yaml:4:19",
    "a matcher whose quote is missing": "07_matchers.yaml:5:22",
    "a matcher that is a mapping to YAML": "07_matchers.yaml:6:9",
    "an expression with a parenthesis left open": "07_matchers.yaml:7:17",
    "an expression that RE2 does not have": "07_matchers.yaml:8:17",
    "an expression that two engines read differently": "07_matchers.yaml:10:17",
    "a severity that is none": "08_severities.yaml:4:15",
    "a list of severities that is empty": "08_severities.yaml:13:15",
    "a duration without a unit": "09_durations.yaml:5:10",
    "a duration that is none": "09_durations.yaml:10:53",
    "a count below one": "09_durations.yaml:11:24",
    "a label as a part of a text": "10_labels.yaml:11:17",
    "a parameter that the action does not have": "12_parameters.yaml:9:11",
    "a parameter that is missing": "12_parameters.yaml:17:9",
    "a parameter of the wrong kind": "12_parameters.yaml:12:21",
    "an expectation that is no comparison": "14_probes.yaml:8:30",
    "a query whose parenthesis is never closed": "15_promql.yaml:9:24",
    "a tag": "18_anchors_and_tags.yaml:2:10",
    "a text where a list is meant": "19_shapes.yaml:6:15",
    "a schedule that is no cron expression": "29_schedules.yaml:4:20",
}

SENSE: Mapping[str, str] = {
    "two rules of one name": "06_names.yaml:4:5",
    "a severity behind one that takes all": "08_severities.yaml:7:16",
    "alerts that have no severity": "08_severities.yaml:7:26",
    "a label that differs between the alerts of an incident": "10_labels.yaml:10:21",
    "evidence that changes something": "11_actions.yaml:6:18",
    "an action that does not exist": "11_actions.yaml:9:18",
    "a change without a proof": "13_no_proof.yaml:2:5",
    "an undo of what cannot be undone": "13_no_proof.yaml:12:93",
    "a query that the settings do not have": "14_probes.yaml:13:17",
    "a probe that does not say where": "14_probes.yaml:14:11",
    "a comparison that makes no and no data the same": "15_promql.yaml:7:24",
    "a connection that the inventory does not have": "16_connections.yaml:7:62",
    "labels that lead to no connection": "16_connections.yaml:8:62",
    "labels that lead to two connections": "33_two_connections.yaml:6:62",
    "a step that may do more than its rule": "17_conditions.yaml:18:19",
    "alone at night, on nobody's word": "21_short_windows.yaml:6:15",
    "a window shorter than the news takes": "21_short_windows.yaml:9:37",
    "a silence without the alert's name": "22_silences.yaml:8:41",
    "a silence for longer than a day": "22_silences.yaml:8:75",
    "people told beside a rule that only tells people": "23_notify.yaml:7:5",
    "a list that nobody uses": "24_lists.yaml:6:3",
    "matchers that exclude each other": "25_reach.yaml:2:5",
    "an expression that meets none of the alternatives of another": "25_reach.yaml:5:5",
    "a severity that never applies": "25_reach.yaml:11:5",
    "a rule in the shadow of an earlier one": "25_reach.yaml:22:5",
    "a disruption whose outcome is known after a person was promised": "26_promises.yaml:6:37",
    "a condition that asks nothing": "27_half_written.yaml:10:15",
    "a repeat that the limits never allow": "29_repeats.yaml:17:17",
    "a scheduled rule that changes something": "29_schedules.yaml:14:18",
    "a day that never comes": "29_schedules.yaml:35:20",
    "a severity that rises to what it is": "30_raise.yaml:6:28",
    "an incident that opens after a person was promised": "31_never.yaml:5:10",
    "people told after they were promised": "31_never.yaml:11:13",
    "a limit on what is one at a time": "31_never.yaml:21:13",
    "two answers expected of one question": "31_never.yaml:31:11",
    "a step that the limits never let be reached": "31_never.yaml:39:9",
    "a budget that is never met": "31_never.yaml:49:9",
    "the end of an alert that has none": "32_endless.yaml:8:37",
    "a probe without anybody to ask": "33_two_connections.yaml:13:32",
    "a raise that is no later than the one before": "30_raise.yaml:16:42",
    "a rule that inhibits itself": "31_inhibited_by.yaml:7:20",
    "a rule that nobody has, to be inhibited by": "31_inhibited_by.yaml:13:20",
    "rules that inhibit each other in a circle": "31_inhibited_by.yaml:31:30",
    "an alert that is passed on to nobody": "33_passed_to_nobody.yaml:12:5",
    "a match on what was redacted": "33_two_connections.yaml:15:32",
}


@pytest.fixture(scope="module")
def told() -> Mapping[str, list[str]]:
    """What is told at each file:line:column of the broken files, each checked as it stands."""
    found: dict[str, list[str]] = {}
    for file in sorted(BROKEN.glob("*.yaml")):
        for mistake in check_texts([(file.name, file.read_text())], broken_surroundings(file.name)).mistakes:
            found.setdefault(str(mistake.position), []).append(str(mistake))
    return found


@pytest.mark.parametrize(("kind", "planted"), [("syntax", SYNTAX), ("sense", SENSE)], ids=["syntax", "sense"])
def test_each_planted_mistake_is_found_at_its_place_with_its_mend(
    kind: str, planted: Mapping[str, str], told: Mapping[str, list[str]]
) -> None:
    """At least thirty kinds, no two at one place or in the same words; each says what, where, the mend."""
    words: list[str] = []
    for name, place in planted.items():
        assert place in told, f"{name}: nothing is told at {place}"
        for text in told[place]:
            assert re.fullmatch(rf"{re.escape(place)}: .+\. [A-Z].+\.", text), text
        words.append(told[place][0].removeprefix(f"{place}: "))
    print(f"{len(planted)} planted mistakes of {kind}: all found")  # noqa: T201 - a figure to be quoted
    assert len(planted) >= 30
    assert len(set(planted.values())) == len(set(words)) == len(planted)


def test_no_mistake_is_found_in_what_ships() -> None:
    """Rules and demonstration, by settings that have what they name."""
    for folder in ("rules", "rules/demo"):
        report = check([ROOT / folder], surroundings())
        assert [str(mistake) for mistake in report.mistakes] == []
