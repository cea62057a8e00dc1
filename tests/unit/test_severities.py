"""Severities and policies as settings: what is left out, what is refused and where, and who is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from responder.cli.doctor import examine
from responder.decide.case import Terms
from responder.model.policy import LOG_ONLY
from responder.model.severity import MANUAL_TERMS, Severity
from responder.settings import Settings, SettingsError, load
from responder.settings.shown import shown

TWO_LEVELS = """\
severities:
  P0: {policy: urgent, update_interval: 5m}
  P2: {description: Slow, review_required: true}
policies:
  urgent: {levels: [{channels: [log]}, {channels: [log]}]}
"""


def written(folder: Path, text: str) -> Path:
    """A settings file with this text."""
    file = folder / "responder.yaml"
    file.write_text(text)
    return file


def settings(folder: Path, text: str) -> Settings:
    """The settings that this text makes."""
    return load(written(folder, text), {}).settings


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong, line by line, without the folder."""
    with pytest.raises(SettingsError) as caught:
        load(written(folder, text), {})
    return str(caught.value).replace(f"{folder}/", "").splitlines()[1:]


def test_nothing_given_is_the_manual(tmp_path: Path) -> None:
    """The table "Incident Classification", and the log."""
    terms = settings(tmp_path, "").terms
    assert terms == Terms()
    assert terms.severities == MANUAL_TERMS
    assert all(terms.policy(severity) == LOG_ONLY for severity in Severity)


def test_what_is_given_stands_above_the_manual(tmp_path: Path) -> None:
    """A severity says what it changes; its rest, and the other severities, are as the manual has them."""
    terms = settings(tmp_path, TWO_LEVELS).terms
    manual = MANUAL_TERMS[Severity.P0]
    five = timedelta(minutes=5)
    assert terms.severities[Severity.P0] == manual.model_copy(
        update={"policy": "urgent", "update_interval": five}
    )
    assert (terms.severities[Severity.P2].description, terms.severities[Severity.P2].response_time) == (
        "Slow",
        MANUAL_TERMS[Severity.P2].response_time,
    )
    assert terms.severities[Severity.P3] == MANUAL_TERMS[Severity.P3]
    assert len(terms.policy(Severity.P0).levels) == 2
    assert terms.policy(Severity.P1) == LOG_ONLY


def test_the_pace_of_the_engine_is_part_of_the_terms(tmp_path: Path) -> None:
    """What `engine.terms` says reaches decisions together with the severities."""
    terms = settings(tmp_path, f"{TWO_LEVELS}engine: {{terms: {{hold_every: 7s}}}}\n").terms
    assert (terms.hold_every, terms.severities[Severity.P0].policy) == (timedelta(seconds=7), "urgent")


def test_a_variable_gives_severities_too(tmp_path: Path) -> None:
    """A mapping is written as JSON; what it leaves out is the file's."""
    file = written(tmp_path, TWO_LEVELS)
    given = load(file, {"RESPONDER_SEVERITIES": '{"P0": {"response_time": "10m"}}'}).settings
    first = given.severities[Severity.P0]
    assert (first.response_time, first.policy) == (timedelta(minutes=10), "urgent")


def test_config_show_tells_each_with_its_origin(tmp_path: Path) -> None:
    """What the file says has its place, the manual's is the default."""
    told = {line.key: (line.value, line.origin) for line in shown(load(written(tmp_path, TWO_LEVELS), {}))}
    assert told["severities.P0.update_interval"] == ("5m", f"{tmp_path}/responder.yaml:2:24")
    assert told["severities.P0.response_time"] == ("15m", "default")
    assert told["severities.P1.policy"] == ("-", "default")
    assert told["policies.urgent.levels[0].channels[0]"] == ("log", f"{tmp_path}/responder.yaml:5:33")


URGENT = "policies:\n  urgent: {levels: [{channels: [log]}]}\n"
NO_ITEM = "nothing is named. Name at least one."


@pytest.mark.parametrize(
    ("text", "place", "field", "told"),
    [
        (
            "severities:\n  P0: {update_interval: 2d}\n",
            "2:8",
            "severities.P0.update_interval",
            "input should be less than or equal to 1 day. Write another value.",
        ),
        (
            "severities:\n  P1: {response_time: 0s}\n",
            "2:8",
            "severities.P1.response_time",
            "input should be greater than or equal to 1 second. Write another value.",
        ),
        (
            "severities:\n  P1: {response_time: 15}\n",
            "2:8",
            "severities.P1.response_time",
            "15 has no unit. Write 15s or 15m.",
        ),
        (
            "severities:\n  P4: {response_time: 15m}\n",
            "2:3",
            "severities.P4",
            "input should be 'P0', 'P1', 'P2' or 'P3'. Write another value.",
        ),
        (
            "severities:\n  P1: {responce_time: 15m}\n",
            "2:8",
            "severities.P1.responce_time",
            "there is no such setting. Write `response_time` if that is meant.",
        ),
        (
            f"severities:\n  P1: {{policy: urgnt}}\n{URGENT}",
            "2:8",
            "severities.P1.policy",
            "there is no policy 'urgnt'. Write `urgent` if that is meant.",
        ),
        (
            "severities:\n  P1: {policy: urgent}\n",
            "2:8",
            "severities.P1.policy",
            "there is no policy 'urgent'. Add it: policies: {urgent: {levels: [{channels: [log]}]}}.",
        ),
        (
            "policies:\n  urgent: {levels: []}\n",
            "2:12",
            "policies.urgent.levels",
            NO_ITEM,
        ),
        (
            "policies:\n  urgent: {levels: [{channels: []}]}\n",
            "2:22",
            "policies.urgent.levels[0].channels",
            NO_ITEM,
        ),
        (
            "policies:\n  urgent: {levels: [{channels: [log]}, {channels: [phone]}]}\n",
            "2:52",
            "policies.urgent.levels[1].channels[0]",
            "there is no channel 'phone'. Known channels: log.",
        ),
    ],
)
def test_each_mistake_has_its_place_and_its_mend(
    tmp_path: Path, text: str, place: str, field: str, told: str
) -> None:
    """A name that leads nowhere, a level that tells nobody, a time that is none: refused where it stands."""
    assert problems(tmp_path, text) == [f"responder.yaml:{place}: {field}: {told}"]


def test_a_level_names_channels_of_the_settings(tmp_path: Path) -> None:
    """What `channels:` names may be told; another name is refused, the nearest one offered."""
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
    channel = f"channels: {{phone: {{webhook: 'https://pager.example', secret: {secret}}}}}"
    level = "policies: {urgent: {levels: [{channels: [log]}, {channels: [NAME]}]}}"
    told = settings(tmp_path, f"{channel}\n{level.replace('NAME', 'phone')}\n")
    assert told.policies["urgent"].told(2) == ("log", "phone")
    (problem,) = problems(tmp_path, f"{channel}\n{level.replace('NAME', 'phoen')}\n")
    assert problem.endswith("there is no channel 'phoen'. Write `phone` if that is meant.")


async def test_doctor_says_where_a_less_bad_severity_promises_more(tmp_path: Path) -> None:
    """It is allowed, and most likely a slip: told with both, and nothing is told of the manual's."""
    odd = await examine(settings(tmp_path, "severities: {P1: {response_time: 5m}}\n"))
    told = [one.text for one in odd if one.part == "severities"]
    assert told == ["P1 promises a response within 5m, P0 within 15m"]
    usual = await examine(settings(tmp_path, ""))
    assert not [one for one in usual if one.part == "severities"]


def test_every_name_that_leads_nowhere_is_told_in_one_run(tmp_path: Path) -> None:
    """Between two blocks as within one: nobody mends the same file twice."""
    text = "severities:\n  P0: {policy: a}\n  P1: {policy: b}\npolicies:\n  c: {levels: [{channels: [d]}]}\n"
    assert [line.split(": ")[1] for line in problems(tmp_path, text)] == [
        "severities.P0.policy",
        "severities.P1.policy",
        "policies.c.levels[0].channels[0]",
    ]
