"""The command line against a listening API: what it prints, what it sends, how it exits."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from responder.actions.registry import Registry
from responder.app import surroundings
from responder.cli import main, person
from responder.cli.added import completed
from responder.cli.client import Client
from responder.cli.findings import Health
from responder.cli.routing import routing_findings
from responder.cli.rule_files import around_of, checked
from responder.cli.rules import in_effect, reach
from responder.cli.service import _tell_mistakes, _up
from responder.cli.standing import halt_file
from responder.cli.story import headline
from responder.engine.loading import RuleFiles
from responder.engine.rules import ActiveRules
from responder.model.alert import Retried
from responder.model.incident import Hold, Holder, IncidentState
from responder.model.inventory import Inventory
from responder.model.source import Gap, PeerReport
from responder.model.timeline import EntryKind
from responder.model.way import Way, WayKind
from responder.ports import Store
from responder.rulebook.load import check
from responder.settings import load
from responder.settings.hashes import differing, hashes
from responder.telemetry import build_metrics
from responder.web.api import StartedWith
from responder.web.settings import WebSettings
from tests.support.dossiers import Story, after, recovered, story_of
from tests.support.http_api import INCIDENT, NOW, OTHER, QUESTION, TOKEN, Served, letter, listening, standing


@pytest.fixture(name="served")
def _served() -> Iterator[Served]:
    """An API on loopback that asks for a token."""
    with service_of(StartedWith(settings={})) as served:
        yield served


@contextmanager
def service_of(with_: StartedWith) -> Iterator[Served]:
    """The same, started with certain settings; in a thread of its own as the command blocks this one."""
    started: list[Served] = []
    up, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with listening(WebSettings(api_token=TOKEN), with_) as served:
            started.append(served)
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    up.wait(10)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


NOWHERE = "http://127.0.0.1:1"


def responder(
    *arguments: str,
    served: Served | None = None,
    token: str | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> Result:
    """One call of the program, which finds no other service of this machine."""
    names = ("CONFIG", "DATA_DIR", "TOKEN", "URL")
    environment: dict[str, str | None] = {f"RESPONDER_{name}": None for name in names}
    environment |= {"RESPONDER_ACTOR": "ada", "RESPONDER_URL": NOWHERE, **(variables or {})}
    if served is not None:
        given = TOKEN.get_secret_value() if token is None else token
        environment |= {"RESPONDER_URL": served.url, "RESPONDER_TOKEN": given}
    return CliRunner().invoke(main, list(arguments), env=environment)


def test_show_begins_with_state_and_why(served: Served) -> None:
    """The first line is the sentence that a tired person needs; a prefix of the id is enough."""
    told = responder("incidents", "show", "019ab3c2-1", served=served)
    assert told.exit_code == 0
    assert told.output.startswith("P1 RunawayQueries (server=orders) is held, for 1m now: ")


def test_notifications_are_listed_with_how_far_each_has_got(served: Served) -> None:
    """What is delivered, and what waits, with its tries and the last reason; then how each channel stands."""
    told = responder("notifications", "list", served=served)
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[0].split() == ["WRITTEN", "CHANNEL", "KIND", "HOW", "FAR", "TEXT", "INCIDENT"]
    assert "delivered 0s ago" in lines[1]
    assert "not delivered after 2 tries, the next now: the pager answered 503 Service Unavailable" in lines[2]
    assert "  pager: nothing waits" in lines
    told = responder("notifications", "list", "--undelivered", "--incident", "019ab3c2-1", served=served)
    assert [line.count("not delivered") for line in told.output.splitlines()[:2]] == [0, 1]


def test_a_channel_is_tried_and_its_answer_told(served: Served) -> None:
    """Who tries it is sent along; delivered is said with the id that the receiver has."""
    told = responder("notifications", "test", "pager", served=served)
    assert (told.exit_code, told.output) == (0, "pager has it: msg_1\n")
    assert served.desk.acts[0][:2] == ("test", "pager")
    assert "ada" in served.desk.acts[0][2]
    told = responder("notifications", "test", "fax", served=served)
    assert told.exit_code == 3
    assert "there is no channel fax" in told.output


def test_explain_tells_each_step_below_the_same_first_line(served: Served) -> None:
    """And as JSON all that `show` has, with every guard's word."""
    told = responder("explain", "019ab3c2-1", served=served)
    assert told.exit_code == 0, told.output
    assert told.output.startswith("P1 RunawayQueries (server=orders) is held, for 1m now: ")
    as_json = json.loads(responder("explain", "019ab3c2-1", "--json", served=served).output)
    assert set(as_json) > {"incident", "explanation"}


@pytest.mark.parametrize("command", [("explain",), ("incidents", "show")])
def test_the_first_line_says_what_has_ended_since(served: Served, command: tuple[str, ...]) -> None:
    """By what the server says that stands: a freeze that nobody has ended would be among it."""
    freeze = Holder(guard="freeze", reason="frozen by bo", ways=(Way(kind=WayKind.END_FREEZE, of="3"),))
    lost = Holder(guard="claim", reason="lost", ways=(Way(kind=WayKind.RELEASE, of="postgres/orders"),))
    until = {"until": NOW + timedelta(days=1), "since": NOW, "deadline": NOW + timedelta(days=1)}
    served.desk.hold = Hold(guard="freeze", reason="frozen by bo", holders=(freeze, lost), **until)
    told = responder(*command, "019ab3c2-1", served=served).output
    assert "held by target in use (until it is released), freeze (since ended); " in told.splitlines()[0]
    assert ("held: frozen by bo (since ended)" in told) is (command == ("incidents", "show"))
    assert "freeze end" not in told
    assert "responder targets release postgres/orders --reason ..." in told


def test_the_story_tells_what_was_done_and_what_it_led_to() -> None:
    """Attempts, their elements, alerts and the timeline, in that order, from the same facts as the review."""
    dossier = recovered().dossier(IncidentState.RESOLVED)
    parts = story_of(dossier, after(600))
    titles = list(parts)
    assert headline(dossier, after(600)).startswith("P2 RunawayQueries")
    assert titles.index("Done") < titles.index("Alerts") < len(titles) - 1
    assert any(
        "postgres.terminate_queries on postgres/orders: done, recovered" in line for line in parts["Done"]
    )


def test_the_story_says_that_an_older_version_of_the_rule_judges() -> None:
    """Where the active rulebook has another: otherwise a mended rule looks as if it did not help."""
    dossier = recovered().dossier(IncidentState.RESOLVED)
    assert "Rule" not in story_of(dossier, after(600))
    older = dossier.model_copy(update={"rule_as_of": after(0)})
    told = "judged by the rule as of 2026-11-20 23:59:30 UTC, not the active one"
    assert story_of(older, after(600))["Rule"] == [told]


def test_a_list_that_is_cut_says_so_and_keeps_what_waits_for_people(served: Served) -> None:
    """An old incident that was escalated does not vanish behind newer ones."""
    served.desk.question = QUESTION
    told = responder("incidents", "list", "--all", "--limit", "1", served=served).output
    assert str(INCIDENT)[:13] in told
    assert str(OTHER)[:13] not in told, "newer, and waits for nobody"
    assert "There are more than 1: what waits for people is shown first, then the newest." in told
    assert "There are more" not in responder("incidents", "list", "--all", served=served).output


def test_who_must_approve_is_told_what_can_be_done() -> None:
    """Until when stands in the first line, and how to answer among the commands."""
    story = Story().tell(0, EntryKind.OPENED, "opened")
    story.tell(1, EntryKind.STATE, "now awaiting approval", why="the rule asks a person")
    dossier = story.dossier(IncidentState.AWAITING_APPROVAL)
    waiting = dossier.incident.model_copy(update={"deadline": after(600)})
    asking = dossier.model_copy(update={"incident": waiting})
    first = headline(asking, after(60))
    assert first.endswith("the rule asks a person; it waits until 00:09:30 UTC for a person's yes or no.")
    assert story_of(asking, after(60))["You can"][:2] == [
        f"responder approve {waiting.id} --reason ...   (shows what exactly would be done, and asks y/N)",
        f"responder decline {waiting.id} --reason ...",
    ]


def test_a_yes_shows_what_it_is_to_and_answers_that_question_alone(served: Served) -> None:
    """What would be done stands in front of the question; a no, another question, and none send nothing."""
    nothing = responder("approve", str(INCIDENT), served=served)
    assert (nothing.exit_code, served.desk.commands) == (3, {})
    served.desk.question = QUESTION
    listed = responder("approvals", "list", served=served).output
    for words in ("postgres.cancel_queries on postgres/orders with at_most: 3", "1 element:", "pid 7"):
        assert words in listed
    other = responder("approve", str(INCIDENT), "--question", "ffff", served=served)
    assert (other.exit_code, served.desk.commands) == (3, {})
    refused = responder("approve", str(INCIDENT), served=served)  # nobody says yes
    assert (refused.exit_code, served.desk.commands) == (1, {})
    assert "pid 7" in refused.output
    short = str(QUESTION.id)[:8]
    assert responder("approve", "019ab3c2-1", "--question", short, served=served).exit_code == 0
    assert responder("decline", str(INCIDENT), "--reason", "no", served=served).exit_code == 0
    yes, no = served.desk.commands.values()
    assert (yes.kind.value, yes.facts.question, no.kind.value) == ("approve", QUESTION.id, "decline")


def test_what_a_person_says_of_an_incident_is_sent_whole(served: Served) -> None:
    """Severity, comment, what it was, and of what it is a duplicate."""
    why = ("--reason", "because")
    for words in (
        ("severity", str(INCIDENT), "P2", *why),
        ("comment", str(INCIDENT), "looking"),
        ("close", str(INCIDENT), "--as", "false-positive", *why),
        ("merge", str(INCIDENT), str(OTHER), *why),
    ):
        assert responder("incidents", *words, served=served).exit_code == 0
    told = [(one.reason, one.facts) for one in served.desk.commands.values()]
    assert [reason for reason, _ in told] == ["because", "looking", "because", "because"]
    assert told[0][1].severity == "P2"
    assert told[2][1].closed_as == "false_positive"
    assert (told[3][1].closed_as, told[3][1].duplicate_of) == ("duplicate", OTHER)


def test_lists_are_one_line_for_each_row_outside_of_a_terminal(served: Served) -> None:
    """Grep finds a whole row; nothing is cut."""
    told = responder("targets", "list", served=served)
    [row] = [line for line in told.output.splitlines() if line.startswith("postgres/orders")]
    assert "quarantined" in row
    assert row.endswith("nobody knows whether it happened")
    assert "\x1b" not in told.output
    for command in (
        ("incidents", "list"),
        ("rules", "list"),
        ("alerts", "unmatched"),
        ("sources", "list"),
        ("deadletters", "list"),
    ):
        assert responder(*command, served=served).exit_code == 0


def test_sources_are_told_with_their_peers_and_what_was_missed(served: Served) -> None:
    """Each peer with its state, the last complete round, the gap; a round is asked for in a person's name."""
    told = responder("sources", "list", served=served).output
    assert "default: last complete round 30s ago; 1440 rounds since 2026-11-23 03:00:00 UTC took in 0" in told
    assert "http://am:9093: 7 alerts, up for 1d" in told
    away = PeerReport(name="http://am-1:9093", answered=False, doubt="http://am-1:9093 answered 503")
    gap = Gap(since=NOW, noticed_at=NOW, reason="truncatedAlerts: 3")
    served.desk.standing = standing(peers=(away,), problem=away.doubt, gap=gap, owner_alive=False)
    told = responder("sources", "list", served=served).output
    for words in (
        "the last round was not complete: http://am-1:9093 answered 503",
        "http://am-1:9093: no answer",
        "alerts were missed since 2026-11-24 03:00:00 UTC: truncatedAlerts: 3",
        "no live process has the turn",
    ):
        assert words in told
    assert "is asked within seconds" in responder("sources", "reconcile", "default", served=served).output
    assert served.desk.acts[-1] == ("round", "default", "ada")


def test_what_is_owed_back_is_listed_and_kept(served: Served) -> None:
    """When it is due, and what became of the rest; what is not owed any more is refused."""
    told = responder("givebacks", "list", served=served).output.splitlines()
    assert told[1].split()[:4] == [str(OTHER), "postgres.cancel_queries", "postgres/orders", "RunawayQueries"]
    assert told[1].endswith("in 2h")
    every = responder("givebacks", "list", "--all", served=served).output
    assert f"incident {OTHER}" in every
    assert "kept by bo: it is needed" in every
    keep = ("givebacks", "keep", str(OTHER), "--reason", "it is needed")
    assert responder(*keep, served=served).output == (
        f"What attempt {OTHER} did stays: it is not given back.\n"
    )
    assert served.desk.acts[-1] == ("keep", str(OTHER), "ada", "it is needed")
    again = responder(*keep, served=served)
    assert (again.exit_code, "owes nothing back any more" in again.output) == (3, True)


def test_the_list_says_whom_auto_would_have_told(served: Served) -> None:
    """The words of the incident, in the last column; a dash where nobody would have heard of it."""
    told = responder("incidents", "list", "--all", served=served).output.splitlines()
    [live] = [line for line in told if " held " in line]
    [ended] = [line for line in told if " closed " in line]
    assert live.split()[-1] == "-"
    assert ended.endswith("a person would have been told at once (P1)")


def test_commands_carry_who_and_why(served: Served) -> None:
    """The actor comes from the login or RESPONDER_ACTOR; a reason is required where one is owed."""
    told = responder("incidents", "take-over", str(INCIDENT), "--reason", " ", served=served)
    assert (told.exit_code, "it is empty. Say why" in told.output) == (2, True)
    for word, kind in (("take-over", "take_over"), ("hand-back", "hand_back"), ("close", "close")):
        assert responder("incidents", word, str(INCIDENT), served=served).exit_code == 2
        told = responder("incidents", word, str(INCIDENT), "--reason", "mine", served=served)
        assert told.exit_code == 0
        command = list(served.desk.commands.values())[-1]
        assert (command.kind.value, command.actor, command.reason) == (kind, "ada", "mine")
    assert responder("incidents", "ack", str(INCIDENT), served=served).exit_code == 0


@pytest.mark.parametrize(
    ("owner", "code", "first"),
    [
        ("applies", 0, "ada close."),
        ("finds nothing to change", 3, "ada close, which changes nothing."),
        ("is busy", 0, "Told, but not applied yet: close."),
    ],
)
def test_a_command_says_what_became_of_it(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    owner: Literal["applies", "finds nothing to change", "is busy"],
    code: int,
    first: str,
) -> None:
    """The timeline's words, not only that it was told; and closing names what fires all the same."""
    monkeypatch.setattr(person, "_PATIENCE_S", 0.0 if owner == "is busy" else 60.0)
    served.desk.owner = owner
    told = responder("incidents", "close", str(INCIDENT), "--reason", "mine", served=served)
    assert (told.exit_code, told.stdout.splitlines()[0]) == (code, first)
    assert "1 alert still fires" in told.stderr
    told = responder("incidents", "close", str(INCIDENT), "--reason", "mine", "--json", served=served)
    assert json.loads(told.stdout)["changed"] is {0: True, 3: False}[code] or owner == "is busy"


def test_verify_compares_with_an_anchor_file(served: Served, tmp_path: Path) -> None:
    """Without a file it says "not anchored"; with one it names each line that does not hold, and exits 1."""
    assert "not anchored" in responder("incidents", "verify", str(INCIDENT), served=served).output
    file = tmp_path / "anchor"
    for written, code in (("it holds\nit holds\n", 0), ("it holds\nbehind by 3\n", 1), ("\n", 1)):
        file.write_text(written)
        told = responder("incidents", "verify", str(INCIDENT), "--anchor", str(file), served=served)
        assert told.exit_code == code, told.output
    file.write_text("it holds\nbehind by 3\n")
    told = responder("incidents", "verify", str(INCIDENT), "--anchor", str(file), served=served)
    assert "line 2: behind by 3" in " ".join(told.output.split())


def test_verify_says_where_it_has_not_looked_at_every_incident(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as one answer holds: older ones may be there, and nobody is to believe that they hold."""
    told = responder("incidents", "verify", served=served).output
    assert "2 timelines" in told
    assert "older ones were not looked at" not in told
    monkeypatch.setattr("responder.cli.incidents._MOST", 2)
    told = responder("incidents", "verify", served=served).output
    assert "These are the newest 2 incidents: older ones were not looked at." in told
    assert responder("incidents", "verify", "--json", served=served).output.count(
        '"older_not_looked_at": true'
    )
    one = responder("incidents", "verify", str(INCIDENT), "--json", served=served).output
    assert '"older_not_looked_at": false' in one


def test_verify_exits_1_when_a_chain_is_broken(served: Served) -> None:
    """One incident or all of them; the broken one is named."""
    assert responder("incidents", "verify", str(INCIDENT), served=served).exit_code == 0
    told = responder("incidents", "verify", served=served)
    assert told.exit_code == 1
    assert f"{OTHER}: entry 2 is missing" in told.output


def test_budgets_and_breakers_are_told_with_what_to_know(served: Served) -> None:
    """How much of each budget is spent, by which incident, when it frees; who reset a breaker and why."""
    told = responder("budgets", served=served).output.splitlines()
    [target] = [line for line in told if line.startswith("target")]
    assert "postgres/orders" in target
    assert "3 of 3" in target
    assert " in " in target
    assert sum(str(INCIDENT) in line and "RunawayQueries" in line for line in told) == 9
    told = responder("breaker", "list", served=served).output.splitlines()
    assert ["RunawayQueries" in line and "open" in line for line in told] == [False, True]
    assert "ada: the index is back" in responder("breaker", "list", "--all", served=served).output
    done = responder("breaker", "reset", "RunawayQueries", "--reason", "the index", served=served)
    assert "The breaker of RunawayQueries is reset" in done.output
    assert served.desk.acts[-1] == ("reset", "RunawayQueries", "ada", "the index")


def test_json_is_whole_and_nothing_else(served: Served) -> None:
    """Every list and show gives what the server said."""
    for command in (
        ("incidents", "list"),
        ("incidents", "show", str(INCIDENT)),
        ("targets", "list"),
        ("budgets",),
        ("breaker", "list", "--all"),
        ("breaker", "reset", "RunawayQueries", "--reason", "x"),
        ("rules", "list"),
    ):
        json.loads(responder(*command, "--json", served=served).stdout)


def test_resume_exits_1_while_a_file_still_halts(served: Served) -> None:
    """The command names it."""
    assert responder("halt", "--reason", "storm", served=served).exit_code == 0
    assert served.desk.flag == "ada: storm"
    served.halt_files.append("by the file /run/halt")
    told = responder("resume", "--reason", "over", served=served)
    assert told.exit_code == 1
    assert served.desk.acts == [("resume", "ada", "over")]
    assert "by a file: by the file /run/halt" in told.output


def test_promote_is_bound_to_the_hash_that_was_shown(served: Served) -> None:
    """What the person names is promoted, at the level that was asked for."""
    told = responder("rules", "promote", "RunawayQueries", "--to", "auto", "--reason", "seen", served=served)
    assert told.exit_code == 0
    assert served.desk.acts[0][3:] == ("auto", "ada", "seen")
    assert "In effect now: shadow (the settings' ceiling)." in told.output


@pytest.mark.parametrize(
    ("autonomy", "promoted", "ceilings", "words"),
    [
        ("auto", "auto", [("shadow", "the ceiling")], "shadow (the ceiling)"),
        ("auto", "auto", [("auto", "the ceiling")], "auto (the rule's own word)"),
        ("approve", "auto", [("auto", "the ceiling")], "approve (the rule's own word)"),
        ("auto", "approve", [("auto", "the ceiling")], "approve (its promotion)"),
        ("auto", "auto", [("auto", "one"), ("shadow", "two")], "shadow (two), or auto (the rule's own word)"),
    ],
)
def test_how_far_a_promoted_rule_goes_now_is_the_least_of_what_speaks(
    autonomy: str, promoted: str, ceilings: list[tuple[str, str]], words: str
) -> None:
    """With what holds it there; where alerts may differ, each."""
    told = [{"level": level, "origin": origin} for level, origin in ceilings]
    assert in_effect({"autonomy": autonomy, "promoted": promoted, "ceilings": told}) == words


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("incidents", "show", "ffff"), 3, "no id begins with ffff"),
        (("incidents", "show", "zzzz"), 3, "no id begins with zzzz"),
        (("incidents", "list", "--url", "localhost:9095"), 2, "write http://localhost:9095"),
        (("targets", "release", "postgres/other", "--reason", "x"), 3, "is not quarantined"),
        (("breaker", "reset", "Other", "--reason", "x"), 3, "is not open"),
        (("sources", "reconcile", "elsewhere"), 3, "there are: default"),
        (("rules", "show", "Nobody/../x"), 3, "there is no rule"),
        (("rules", "promote", "RunawayQueries", "--to", "bold", "--reason", "x"), 2, "bold"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(
    served: Served, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Exit 3, what was wrong and what to do; 2 for what was written wrongly."""
    told = responder(*arguments, served=served)
    assert told.exit_code == code
    assert words in told.stderr


def test_a_wrong_token_and_an_absent_server_are_told_apart(served: Served) -> None:
    """Exit 3 says how to give a token, exit 4 where the server was looked for."""
    told = responder("incidents", "list", served=served, token="wrong")
    assert (told.exit_code, "RESPONDER_TOKEN" in told.stderr) == (3, True)
    told = responder("incidents", "list", "--url", "http://127.0.0.1:1")
    assert (told.exit_code, "127.0.0.1:1" in told.stderr) == (4, True)


@pytest.mark.parametrize("way", ["variable", "settings", "settings here"])
def test_the_service_of_this_machine_is_found_in_its_data_directory(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Address and token stand where the service's own settings say, even while the rest of these is wrong."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "api.url").write_text(f"{served.url}\n")
    (state / "api.token").write_text(TOKEN.get_secret_value())
    settings = tmp_path / "responder.yaml"
    settings.write_text("data_dir: state\nno_such_setting: 1\n")
    if way == "settings here":
        monkeypatch.chdir(tmp_path)
    variables: dict[str, dict[str, str]] = {
        "variable": {"RESPONDER_DATA_DIR": str(state), "RESPONDER_CONFIG": "/nowhere"},
        "settings": {"RESPONDER_CONFIG": str(settings)},
        "settings here": {},
    }
    told = responder("incidents", "list", variables={"RESPONDER_URL": None, **variables[way]})
    assert (told.exit_code, told.stderr) == (0, "")


@pytest.mark.parametrize(
    ("left_there", "words"),
    [(None, "does not exist"), ({}, "holds no token"), ({"api.token": "wrong"}, "is another service's")],
)
def test_a_missing_token_says_where_it_was_looked_for(
    served: Served, tmp_path: Path, left_there: dict[str, str] | None, words: str
) -> None:
    """In a second terminal it is the data directory that is not named, more often than a token."""
    folder = tmp_path / "state"
    if left_there is not None:
        folder.mkdir()
        for name, text in left_there.items():
            (folder / name).write_text(text)
    given = {"RESPONDER_DATA_DIR": str(folder)}
    told = responder("incidents", "list", "--url", served.url, variables=given)
    assert told.exit_code == 3
    for part in (f"the data directory {folder} {words}", "RESPONDER_DATA_DIR", "--config"):
        assert part in told.stderr or part in told.stderr.replace("token in the data", "data")


def test_the_settings_of_a_service_lead_to_it(served: Served, tmp_path: Path) -> None:
    """`--config` alone is enough: address and token stand there, and the token is sent nowhere else."""
    file = tmp_path / "responder.yaml"
    address, token = served.url.removeprefix("http://"), TOKEN.get_secret_value()
    file.write_text(f"data_dir: state\nweb: {{listen: '{address}', api_token: {token}}}\n")
    variables = {"RESPONDER_URL": None}
    told = responder("incidents", "list", "--config", str(file), variables=variables)
    assert (told.exit_code, told.stderr) == (0, "")
    assert Client("http://elsewhere.example:9095", None, file)._known_token() is None
    file.write_text(f"data_dir: state\nweb: {{listen: ':{address.rpartition(':')[2]}'}}\n")
    assert Client(None, None, file).url == served.url


def test_run_sums_up_what_keeps_the_shipped_rules_from_being_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing and what to do, instead of each place where it is missed; the log counts them once."""
    rules = Path(__file__).parents[2] / "rules"
    file = tmp_path / "responder.yaml"
    file.write_text(f"rules: [{rules}]\n")
    chosen = load(file, {}).settings
    _tell_mistakes(chosen)
    told = capsys.readouterr().out
    around = surroundings(chosen, Inventory(), Registry())
    number = len(check([rules], around).mistakes)
    assert number > 10
    assert len(told.splitlines()) == 4
    assert f"no connection in the inventory, no query, no source that can be asked ({number} mistakes" in told
    assert f"responder rules check {rules}" in told
    files = RuleFiles(
        chosen.rules, around, cast("Store", None), cast("ActiveRules", None), build_metrics("0")
    )
    with capture_logs() as logged:
        asyncio.run(files.reload(log_each=False))
    assert [(one["event"], one["mistakes"]) for one in logged] == [("rule files refused", number)]


def test_config_show_tells_what_up_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, source, database and the form of the log; no secret, and no file is made."""
    (tmp_path / "rules").mkdir()
    monkeypatch.chdir(tmp_path)
    told = responder("config", "show", variables={"RESPONDER_DATA_DIR": str(tmp_path / "data")}).output
    added = told.partition("`responder up` adds")[2]
    for line in (
        f"rules[0]: {tmp_path}/rules",
        "sources.default.token: ********",
        "log.format: console",
        "database: embedded",
    ):
        assert line in added
    assert not (tmp_path / "data").exists()


def test_doctor_fits_a_terminal_of_100_columns(tmp_path: Path) -> None:
    """Whatever it is written to."""
    file = tmp_path / "responder.yaml"
    file.write_text("sources: {default: {}}\n")
    told = responder("doctor", "--config", str(file)).output
    assert max(map(len, told.splitlines())) <= 100


def test_run_leaves_its_address_as_long_as_it_is_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the data directory where a command in the same place would not find it."""
    settings = load(None, {"RESPONDER_DATA_DIR": str(tmp_path), "RESPONDER_DATABASE": "embedded"}).settings
    monkeypatch.delenv("RESPONDER_DATA_DIR", raising=False)
    with ExitStack() as until_it_ends:
        _up("http://127.0.0.1:9195", settings, until_it_ends)
        assert (tmp_path / "api.url").read_text() == "http://127.0.0.1:9195\n"
        assert f"RESPONDER_DATA_DIR={tmp_path} responder incidents list" in capsys.readouterr().out
    assert not (tmp_path / "api.url").exists()
    monkeypatch.setenv("RESPONDER_DATA_DIR", str(tmp_path))
    with ExitStack() as until_it_ends:
        _up("http://127.0.0.1:9195", settings, until_it_ends)
    assert "with        responder incidents list" in capsys.readouterr().out


def test_run_says_where_it_goes_further_than_its_ceiling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The banner names the ceiling that lets it act, not only the general one."""
    file = tmp_path / "responder.yaml"
    file.write_text("engine: {ceilings: [{match: 'env=\"staging\"', is: auto}]}\n")
    settings = load(file, {"RESPONDER_DATA_DIR": str(tmp_path)}).settings
    with ExitStack() as until_it_ends:
        _up("http://127.0.0.1:9195", settings, until_it_ends)
    assert 'autonomy at most auto (shadow, except auto where env="staging").' in capsys.readouterr().out


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 5000])
def test_a_halt_does_not_fail_for_its_reason(served: Served, reason: str) -> None:
    """Whoever must stop everything now need not find words first."""
    told = responder("halt", "--reason", reason, served=served)
    assert (told.exit_code, served.desk.flag is not None) == (0, True)
    assert "no reason given" in told.output or reason.strip()


@pytest.mark.parametrize(
    ("written", "way", "way_if_refused"),
    [
        (
            "engine: {halt_file: halt}\n",
            "responder halt --file {folder}/halt --config {folder}/responder.yaml",
            "responder halt --file {folder}/halt --config {folder}/responder.yaml",
        ),
        (
            "engine: {}\n",
            "No engine.halt_file is set in {folder}/responder.yaml, so no file halts: stop",
            "The server answers: mend that, and halt again.",
        ),
    ],
)
def test_a_halt_that_failed_says_so_first_and_names_the_way_by_file(
    tmp_path: Path, served: Served, written: str, way: str, way_if_refused: str
) -> None:
    """With the server down, or refusing: not halted, and what to type instead."""
    settings = tmp_path / "responder.yaml"
    settings.write_text(written)
    away = responder("halt", "--url", "http://127.0.0.1:1", "--config", str(settings))
    refused = responder("halt", "--config", str(settings), served=served, token="wrong")
    for told, code, words in ((away, 4, way), (refused, 3, way_if_refused)):
        assert told.exit_code == code
        assert told.stderr.startswith("responder: NOT HALTED: ")
        assert words.format(folder=tmp_path) in told.stderr


def test_a_halt_with_a_matcher_that_cannot_be_read_says_to_correct_it(served: Served) -> None:
    """The server is there: nobody is told to stop it for a typo."""
    told = responder("halt", "--scope", "env=staging,x", served=served)
    assert told.exit_code == 3
    assert told.stderr.startswith("responder: NOT HALTED: scope")
    assert "Correct the matcher" in told.stderr
    assert "SIGTERM" not in told.stderr


@pytest.mark.parametrize("name", ["--match", "--scope"])
@pytest.mark.parametrize(
    "command",
    [
        ("halt",),
        ("freeze", "add", "--for", "1h", "--reason", "r"),
        ("maintenance", "start", "--for", "1h", "--reason", "r"),
    ],
)
def test_what_is_stopped_is_named_by_either_word(served: Served, command: tuple[str, ...], name: str) -> None:
    """Whoever knows one of the three commands knows how to write the others."""
    told = responder(*command, name, 'env="staging"', served=served)
    assert told.exit_code == 0, told.output
    assert 'over env="staging"' in told.output or ': env="staging", ' in told.output


def test_a_freeze_until_a_moment_that_is_over_is_refused(served: Served) -> None:
    """It would freeze nothing, whether it begins now or began before; the field and the mend are named."""
    for begins in ((), ("--from", "2020-01-01 09:00")):
        told = responder(
            "freeze", "add", "--until", "2020-01-01 10:00", *begins, "--reason", "r", served=served
        )
        assert told.exit_code == 3, told.output
        assert "until: 2020-01-01 10:00:00+0000 is over, so nothing would be frozen" in told.stderr
        assert "give a later moment" in told.stderr


def test_a_freeze_that_is_over_is_still_told_to_whoever_asks_with_its_key(served: Served) -> None:
    """A pipeline that lost the answer, and tries again late, gets the same one."""
    key = ("--reason", "r", "--key", "build-7")
    assert responder("freeze", "add", "--for", "1h", *key, served=served).exit_code == 0
    told = responder("freeze", "add", "--until", "2020-01-01 10:00", *key, served=served)
    assert (told.exit_code, "Freeze 1 stands already" in told.output) == (0, True), told.output


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("maintenance", "start", "--match", 'env="staging"', "--for", "3d"), "for: it must be at most 1d"),
        (
            ("maintenance", "start", "--match", 'env="staging"', "--for", "0s"),
            "for: it must be longer than 0s",
        ),
        (("freeze", "add", "--for", "0s"), "for: it must be longer than 0s"),
    ],
)
def test_a_length_that_does_not_fit_is_told_as_it_is_written(
    served: Served, command: tuple[str, ...], words: str
) -> None:
    """Not in the words of a programming language."""
    told = responder(*command, "--reason", "r", served=served)
    assert (told.exit_code, words in told.stderr) == (3, True), told.output
    assert "timedelta" not in told.stderr


def test_a_time_zone_that_belongs_to_no_moment_is_refused(served: Served) -> None:
    """It is not swallowed beside a length; beside a moment it counts."""
    why = ("freeze", "add", "--reason", "r", "--timezone", "Europe/Berlin")
    told = responder(*why, "--for", "1h", served=served)
    assert told.exit_code == 2
    assert "--timezone says whose clock --from and --until show" in told.stderr
    told = responder(*why, "--until", "2999-07-01 12:00", served=served)
    assert told.exit_code == 0, told.output
    assert "2999-07-01 10:00:00 UTC" in told.output


def test_doctor_warns_where_nobody_could_make_the_halt_file(tmp_path: Path) -> None:
    """A folder that is missing is found before the file is needed."""
    settings = tmp_path / "responder.yaml"
    settings.write_text("engine: {halt_file: gone/halt}\n")
    [found] = asyncio.run(halt_file(load(settings, {}).settings))
    assert (found.health, found.mend) == (Health.WARN, f"mkdir -p {tmp_path}/gone")


def test_halt_by_file_needs_no_server(tmp_path: Path) -> None:
    """The file holds who and why, as the halt tells it; settings that cannot be used can still name it."""
    file, settings = tmp_path / "halt", tmp_path / "responder.yaml"
    settings.write_text("database_file: gone\nengine: {halt_file: halt}\n")
    told = responder("halt", "--reason", "storm", "--file", str(file), "--config", str(settings))
    assert (told.exit_code, file.read_text()) == (0, "ada: storm\n")
    assert told.output.startswith(f"Halted: {file} is there")
    told = responder("halt", "--file", str(tmp_path / "no" / "folder"))
    assert (told.exit_code, "NOT HALTED" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("written", "found", "also"),
    [
        (None, "no engine.halt_file is set here", "--config FILE"),
        ("engine: {}\n", "no engine.halt_file is set in", "set engine.halt_file: "),
        ("engine: {halt_file: other}\n", "is {folder}/other", "responder halt --file {folder}/other\n"),
    ],
)
def test_halt_by_a_file_that_no_setting_names_says_that_nothing_is_halted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, found: str, also: str
) -> None:
    """The file is made, for settings elsewhere may name it; the exit code and the first words say no."""
    monkeypatch.chdir(tmp_path)
    if written is not None:
        (tmp_path / "responder.yaml").write_text(written)
    told = responder("halt", "--file", "halt")
    assert (told.exit_code, told.stdout, (tmp_path / "halt").exists()) == (1, "", True)
    assert told.stderr.startswith("responder: NOT HALTED, as far as is known: ")
    for words in (found, also, "responder halt --reason"):
        assert words.format(folder=tmp_path) in told.stderr
    told = responder("halt", "--file", "halt", "--json")
    assert (told.exit_code, json.loads(told.stdout)["halted"]) == (1, False)


@pytest.mark.parametrize(
    ("started_with", "code", "words"),
    [
        ("halt", 0, "says that it starts no action"),
        (None, 1, "was started without engine.halt_file"),
        ("other", 1, "was started with engine.halt_file {folder}/other"),
    ],
)
def test_a_service_that_answers_says_whether_the_file_halts_it(
    tmp_path: Path, started_with: str | None, code: int, words: str
) -> None:
    """The settings on disk may name the file since; what counts is what the process was started with."""
    settings = tmp_path / "responder.yaml"
    settings.write_text("engine: {halt_file: halt}\n")
    looks_at = None if started_with is None else tmp_path / started_with
    with service_of(StartedWith(settings={}, halt_file=looks_at)) as served:
        arguments = ("halt", "--file", str(tmp_path / "halt"), "--config", str(settings))
        told = responder(*arguments, served=served)
        as_json = json.loads(responder(*arguments, "--json", served=served).stdout)
    assert told.exit_code == code, told.output
    assert words.format(folder=tmp_path) in told.output
    assert told.stderr.startswith("responder: NOT HALTED: ") == bool(code)
    assert as_json["halted"] is as_json["service"]["halted"] is (code == 0)


def test_settings_that_changed_since_the_start_are_told(tmp_path: Path) -> None:
    """Each command that leans on the settings says that the service has others, and which blocks of them."""
    file = tmp_path / "responder.yaml"
    file.write_text("engine: {ceiling: shadow}\nrules: [rules.yaml]\n")
    (tmp_path / "rules.yaml").write_text("rules: []\n")
    given = {"RESPONDER_DATA_DIR": str(tmp_path / "data")}
    served_with = StartedWith(settings=hashes(load(file, completed(file, given)).settings))
    promote = ("promote", "RunawayQueries", "--to", "auto", "--reason", "seen")
    rules = (("list",), ("reload",), promote, ("check", str(tmp_path / "rules.yaml")))
    commands = [("doctor", "--json"), *(("rules", *command) for command in rules)]
    for ceiling, told_of in (("shadow", False), ("auto", True)):
        file.write_text(f"engine: {{ceiling: {ceiling}}}\nrules: [rules.yaml]\n")
        with service_of(served_with) as served:
            says = f"the service at {served.url} was started with other settings than {file} (engine)"
            for command in commands:
                told = responder(*command, "--config", str(file), served=served, variables=given)
                assert (says in told.output) is told_of, (command, told.output)


def test_hashes_of_settings_hold_no_secret_and_nothing_of_who_reads_them(tmp_path: Path) -> None:
    """Another token or login gives the same hashes; another value gives another one for its block alone."""
    file = tmp_path / "responder.yaml"

    def of(text: str) -> dict[str, str]:
        file.write_text(text)
        return hashes(load(file, {}).settings)

    one = of("web: {api_token: 0123456789abcdef}\nlease_time: 10s\n")
    assert of("web: {api_token: fedcba9876543210}\nlease_time: 10s\ndata_dir: elsewhere\n") == one
    assert differing(of("web: {api_token: 0123456789abcdef}\nlease_time: 20s\n"), one) == ("lease_time",)


def test_the_ceiling_of_the_settings_stands_beside_the_promotion() -> None:
    """A promotion alone would look as if the rule acted."""
    rule: dict[str, Any] = {
        "autonomy": "auto",
        "changing": True,
        "promoted": "auto",
        "promoted_by_settings": False,
        "ceilings": [{"level": "shadow", "origin": "the settings' ceiling"}],
    }
    assert reach(rule) == "auto (promoted to auto; the settings' ceiling is shadow)"
    rule |= {"promoted": None, "promoted_by_settings": True, "ceilings": [{"level": "auto", "origin": "-"}]}
    assert reach(rule) == "auto (promoted by the settings)"


def test_rules_are_checked_without_a_server(tmp_path: Path) -> None:
    """file:line:column, the mistake, its mend; exit 1."""
    settings = tmp_path / "responder.yaml"
    settings.write_text("{}\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - nme: A\n")
    told = responder("rules", "check", str(rules), "--config", str(settings))
    assert told.exit_code == 1
    assert f"{rules}:2:5: " in told.output


@pytest.mark.parametrize("written", [("--format", "json"), ("--json",)])
def test_a_check_speaks_to_programs(tmp_path: Path, written: tuple[str, ...]) -> None:
    """JSON, by either name: whether all is well, and each mistake with its place."""
    (tmp_path / "responder.yaml").write_text("{}\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - name: A\n    severity: P9\n    match: []\n")
    told = responder("rules", "check", str(rules), "--config", str(tmp_path / "responder.yaml"), *written)
    found = json.loads(told.stdout)
    assert (told.exit_code, found["ok"], found["rules"]) == (1, False, 0)
    assert found["mistakes"] == [
        {
            "file": str(rules),
            "line": 3,
            "column": 15,
            "text": "severity cannot be 'P9'",
            "mend": "Choose one of: P0, P1, P2, P3",
        }
    ]


def test_a_check_marks_lines_in_a_pull_request(tmp_path: Path) -> None:
    """GitHub's workflow commands: signs that would end a part of one are escaped, in place and words."""
    (tmp_path / "responder.yaml").write_text("{}\n")
    rules = tmp_path / "a,b:100%.yaml"
    rules.write_text("rules:\n  - {name: A, match: [], severity: '50%'}\n")
    told = responder(
        "rules", "check", str(rules), "--config", str(tmp_path / "responder.yaml"), "--format", "github"
    )
    assert told.exit_code == 1
    place = f"file={tmp_path}/a%2Cb%3A100%25.yaml,line=2,col=36"
    marked = f"::error {place}::severity cannot be '50%25'. Choose one of: P0, P1, P2, P3."
    assert told.stdout.splitlines() == [marked, "1 mistake."]


WINDOWED = """\
rules:
  - name: Windowed
    match: 'alertname = "A"'
    severity: P2
    group_by: [instance]
    escalate: true
    verify: {alert_resolved_within: 10m, stable_for: 2m}
"""
NO_SOURCE = (
    "stable_for of 2m is too short: no source can be asked, and default says what changed up to 6m late"
)
MAIN = "{token: 0123456789abcdef, evaluation_interval: 1s, group_interval: 2s}"


@pytest.mark.parametrize(
    ("written", "last"),
    [
        ("{}\n", "1 mistake."),
        ("sources: {default: {alertmanager: ['http://127.0.0.1:9093']}}\n", "1 rule, no mistake."),
        (f"sources: {{main: {MAIN}}}\n", "1 rule, no mistake."),
        ("database: embedded\n", "1 mistake."),
    ],
)
def test_a_check_finds_what_run_finds(tmp_path: Path, written: str, last: str) -> None:
    """The same files against the same settings have the same mistakes, whatever `run` adds to them."""
    settings = tmp_path / "responder.yaml"
    settings.write_text(written)
    rules = tmp_path / "rules.yaml"
    rules.write_text(WINDOWED)
    given = {"RESPONDER_DATA_DIR": str(tmp_path / "data")}
    run = checked((rules,), load(settings, completed(settings, given)).settings)
    told = responder("rules", "check", str(rules), "--config", str(settings))
    assert told.output.splitlines() == [*map(str, run.mistakes), last]
    assert (NO_SOURCE in told.output) == bool(run.mistakes)


def test_wrong_settings_stop_every_command_that_needs_them(tmp_path: Path) -> None:
    """Exit 1 with the place, before anything is started."""
    settings = tmp_path / "responder.yaml"
    settings.write_text("databse: x\n")
    for command in (("serve",), ("config", "show"), ("doctor",), ("up",)):
        told = responder(*command, "--config", str(settings))
        assert told.exit_code == 1
        assert f"{settings}:1:1: databse: there is no such setting." in told.stderr


def routed(route: str, receiver: str) -> list[str]:
    """What doctor says of an Alertmanager's configuration, without what is in order."""
    people = "{name: people, email_configs: [{to: a@b}]}"
    text = f"route: {route}\nreceivers:\n- {{name: us, {receiver}}}\n- {people}\n"
    found = routing_findings("am", text, "default", "us")
    return [f"{one.health.value}: {one.text}" for one in found if one.health != "ok"]


GOOD_ROUTE = "{receiver: people, routes: [{receiver: us, continue: true}, {receiver: people}]}"


@pytest.mark.parametrize(
    ("route", "receiver", "words"),
    [
        (GOOD_ROUTE, "webhook_configs: [{url: <secret>}]", None),
        (
            GOOD_ROUTE,
            "webhook_configs: [{url: <secret>, send_resolved: false}]",
            "fail: receiver 'us' has send_res",
        ),
        (
            GOOD_ROUTE,
            "webhook_configs: [{url: <secret>, max_alerts: 5}]",
            "fail: receiver 'us' has max_alerts",
        ),
        (GOOD_ROUTE, "email_configs: []", "fail: receiver 'us' has no webhook_configs"),
        ("{receiver: people}", "webhook_configs: [{url: x}]", "fail: no route leads to receiver 'us'"),
        ("{receiver: us}", "webhook_configs: [{url: x}]", "warn: no receiver beside ours reaches anybody"),
        (
            "{receiver: people, routes: [{receiver: us}]}",
            "webhook_configs: [{url: x}]",
            "warn: a route to 'us' does not go on",
        ),
    ],
)
def test_doctor_reads_how_alerts_get_here(route: str, receiver: str, words: str | None) -> None:
    """No end of alerts, cut groups, no route, nobody beside us: each is told; a good one is silent."""
    found = routed(route, receiver)
    assert found == [] if words is None else any(one.startswith(words) for one in found)


def test_dead_letters_are_listed_shown_retried_and_dropped(served: Served) -> None:
    """A list has the heads, `show` the payload without anything that moves a cursor; failures exit 1."""
    fine = json.dumps({"alertname": "A", "log": "\x1b[2J" + "x" * 500})
    served.desk.letters |= {2: letter(2, fine), 3: letter(3, "\x1b[2J no JSON")}
    listed = responder("deadletters", "list", served=served)
    assert listed.exit_code == 0
    assert all(len(line) < 250 for line in listed.output.splitlines())
    shown = [responder("deadletters", "show", number, served=served) for number in ("2", "3")]
    assert [one.exit_code for one in shown] == [0, 0]
    assert '  "alertname": "A",' in shown[0].output.splitlines()
    assert not any("\x1b" in one.output for one in (listed, *shown))
    assert responder("deadletters", "show", "99", served=served).exit_code == 3
    retried = responder("deadletters", "retry", "2", "3", served=served)
    assert retried.exit_code == 1
    assert retried.output.splitlines()[0] == "2: stored"
    assert served.intake.taken[0].retried == Retried((2,), "ada")
    dropped = responder("deadletters", "drop", "3", "99", "--reason", "junk", served=served)
    assert (dropped.exit_code, served.desk.acts) == (1, [("drop", "3", "ada", "junk")])
    assert responder("deadletters", "drop", "1", served=served).exit_code == 2, "a reason is needed"


def test_report_shadow_tells_by_rule_and_one_by_one(served: Served) -> None:
    """What would have been done, on how much, and how it went without; a time to look back is checked."""
    told = responder("report", "shadow", served=served)
    assert told.exit_code == 0, told.output
    assert "1 recovered by itself, usually after 1m" in told.output
    assert (
        "postgres.terminate_queries on postgres/orders would have started on 1 element; "
        "recovered by itself after 1m" in told.output
    )
    nothing = responder("report", "shadow", "--since", "10s", served=served)
    assert nothing.output == "In the last 10s no step was judged in shadow.\n"
    wrong = responder("report", "shadow", "--since", "soon", served=served)
    assert wrong.exit_code == 3
    assert "is no duration" in wrong.output


def test_rules_are_checked_and_rehearsed_by_the_namespaces_of_the_settings(tmp_path: Path) -> None:
    """A budget of a namespace is shared by its servers in the service, so it is in a test of rules."""
    file = tmp_path / "responder.yaml"
    servers = "[{name: a, dsn: 'postgresql://x@127.0.0.1/x', matches: ['server = \"a\"'], namespace: shop}]"
    file.write_text(f"inventory: {{postgres: {servers}}}\n")
    [connection] = around_of(load(file, {}).settings).inventory.postgres
    assert (connection.namespace, connection.dsn.get_secret_value()) == ("shop", "")
