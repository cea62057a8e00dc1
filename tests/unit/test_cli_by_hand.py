"""`responder run`, `responder actions` and `responder incidents open` against a listening API.

What a real service makes of an act is proved in tests/store/test_by_hand.py.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from responder.cli.story import headline
from responder.model.attempt import Attempt, Outcome, Verdict
from responder.model.by_hand import ByHand
from responder.model.incident import IncidentState, Members, Progress
from responder.ports import Dossier, NewByHand
from responder.review.by_hand import ActEnd, act_end
from responder.web.api import StartedWith
from tests.support.http_api import NOW, RULE, Served, incident
from tests.unit.test_cli import responder, service_of

ACTION = "postgres.cancel_queries"
ASKED = ("run", ACTION, "--with", "connection=orders", "--with", "older_than=10m", "--reason", "it hangs")
LOST = ("run", ACTION, "--with", "older_than=10m", "--reason", "x")


@pytest.fixture(name="served")
def _served() -> Iterator[Served]:
    """An API on loopback that asks for a token."""
    with service_of(StartedWith(settings={})) as served:
        yield served


def only(served: Served) -> NewByHand:
    """The one thing that was opened by hand."""
    [(_, new)] = served.desk.by_hand.values()
    return new


def test_run_without_an_action_names_what_keeps_a_service_up() -> None:
    """Exit 2, both for the bare word and for the option of what had this name before."""
    for arguments in ((), ("--config", "responder.yaml")):
        told = responder("run", *arguments)
        assert told.exit_code == 2
        assert "say which ACTION: responder run --list shows them" in told.stderr
        assert "To keep a service up on this machine: responder up" in told.stderr


def test_an_act_needs_a_reason_and_parameters_a_name(served: Served) -> None:
    """Exit 2 before anything is sent."""
    for arguments in (
        ("run", ACTION, "--with", "connection=orders"),
        (*ASKED, "--with", "at_most"),
        (*ASKED, "--with", "connection=other"),
        (*ASKED, "--with", "database={a"),
        (*ASKED, "--wait", "soon"),
        (*ASKED, "--verify-promql", "up"),
        (*ASKED, "--is", "< 1"),
        (*ASKED, "--severity", "P9"),
    ):
        told = responder(*arguments, served=served)
        assert told.exit_code == 2, (arguments, told.output)
    assert not served.desk.by_hand


def test_no_wait_prints_the_id_alone(served: Served) -> None:
    """What was asked for goes as a rule's step would have it; P2 and the login name by default."""
    told = responder(*ASKED, "--with", "at_most=3", "--no-wait", served=served)
    assert told.exit_code == 0, told.output
    new = only(served)
    [opened] = (one for one, _ in served.desk.by_hand.values())
    assert told.output.strip() == str(opened.id)
    assert (new.asked.actor, new.asked.reason, new.severity.value) == ("ada", "it hangs", "P2")
    assert (new.asked.action, new.asked.target) == (ACTION, "postgres/orders")
    [step] = new.rule.every_step
    assert step.params == {"connection": "orders", "older_than": "10m", "at_most": "3"}
    assert new.rule.name == f"by-hand/{ACTION}"
    assert new.labels == {}, "its inventory says no value"


def test_brackets_are_structure_and_a_key_is_passed_on(served: Served) -> None:
    """Labels that lead to a connection; the same key twice is one act."""
    labels = ("run", ACTION, "--with", "connection={server: orders}", "--with", "older_than=10m")
    for _ in range(2):
        told = responder(*labels, "--reason", "x", "--key", "nightly", "--no-wait", served=served)
        assert told.exit_code == 0, told.output
    assert only(served).rule.every_step[0].params["connection"] == {"server": "orders"}
    told = responder(*labels, "--reason", "y", "--key", "nightly", "--no-wait", served=served)
    assert told.exit_code == 3
    assert "this key was used for something else" in told.stderr


def test_proof_is_passed_on(served: Served) -> None:
    """A query, what it has to answer, and by when."""
    proof = ("--verify-promql", "sum(blocked)", "--is", "< 1", "--within", "90s")
    assert responder(*ASKED, *proof, "--no-wait", served=served).exit_code == 0
    verify = only(served).rule.verify
    assert verify is not None
    assert verify.alert_resolved_within == timedelta(seconds=90)
    [probe] = verify.probes
    assert str(probe.expect) == "< 1"


@pytest.mark.parametrize(
    ("arguments", "text", "mend"),
    [
        (("run", "postgres.cancel", "--reason", "x"), "there is no action", ACTION),
        ((*ASKED, "--with", "databse=x"), "has no parameter `databse`", "`database`"),
        ((*LOST, "--with", "connection=ordrs"), "is not in the inventory", "`orders`"),
    ],
)
def test_what_cannot_be_meant_ends_with_the_nearest_name(
    served: Served, arguments: tuple[str, ...], text: str, mend: str
) -> None:
    """Exit 3; nothing was opened."""
    told = responder(*arguments, served=served)
    assert told.exit_code == 3
    assert text in told.stderr
    assert mend in told.stderr
    assert not served.desk.by_hand


def test_a_wait_that_is_over_says_that_it_goes_on_and_how_to_stop_it(served: Served) -> None:
    """Exit 1, with the two commands; nobody learns it by silence."""
    told = responder(*ASKED, "--wait", "100ms", served=served)
    [opened] = (one for one, _ in served.desk.by_hand.values())
    assert told.exit_code == 1
    assert "it has not begun, and may yet; it goes on without you" in told.output
    assert f"responder incidents close {opened.id} --reason" in told.output
    as_json = json.loads(responder(*ASKED, "--wait", "100ms", "--json", served=served).output)
    assert (as_json["end"], as_json["state"]) == (None, "held")


def test_actions_are_listed_with_kind_and_parameters(served: Served) -> None:
    """The same by both names; the inventory's connections below."""
    told = responder("actions", served=served)
    assert told.exit_code == 0, told.output
    assert told.output == responder("run", "--list", served=served).output
    for text in (
        "alertmanager.silence (safe)",
        f"{ACTION} (disruptive)",
        "postgres.activity (read-only)",
        "  older_than: duration, required.",
        "Connections of the inventory: orders",
    ):
        assert text in told.output
    as_json = json.loads(responder("actions", "--json", served=served).output)
    assert {one["name"] for one in as_json["actions"]} >= {ACTION, "postgres.activity"}


def test_an_incident_is_opened_with_labels(served: Served) -> None:
    """Under a title; its id is printed, and the same key tells that it is there."""
    opening = ("incidents", "open", "--title", "checkout is slow", "--severity", "P1", "--key", "k")
    told = responder(*opening, "--label", "env=prod", "--reason", "calls", served=served)
    assert told.exit_code == 0, told.output
    new = only(served)
    assert (new.asked.title, new.severity.value, new.labels) == ("checkout is slow", "P1", {"env": "prod"})
    assert new.rule.name == "by-hand/incident"
    assert not new.rule.every_step
    again = responder(*opening, "--label", "env=prod", "--reason", "calls", served=served)
    assert "which is there already" in again.output
    for wrong in (("--label", "env"), ("--label", "=x")):
        assert responder(*opening, *wrong, "--reason", "calls", served=served).exit_code == 2
    assert responder("incidents", "open", "--severity", "P1", "--reason", "x", served=served).exit_code == 2


# --- what became of it ------------------------------------------------------------------------------------


def ended(state: IncidentState, *, step: int, attempt: Attempt | None = None, proof: bool = False) -> Dossier:
    """The dossier of an act that has come so far."""
    asked = ByHand(actor="ada", reason="x", title="t", asked_at=NOW, action=ACTION, target="postgres/orders")
    found = incident(state=state).model_copy(update={"by_hand": asked, "progress": Progress(step=step)})
    return Dossier(
        incident=found,
        rule={**RULE.model_dump(mode="json", by_alias=True), "verify": {} if proof else None},
        members=Members(firing=0, total=0),
        attempts=(attempt,) if attempt else (),
        entries=(),
    )


def tried(outcome: Outcome, verdict: Verdict | None = None) -> Attempt:
    """An attempt with its end."""
    return Attempt(
        id=uuid4(),
        incident_id=uuid4(),
        rule="by-hand/x",
        step=0,
        action=ACTION,
        params={},
        target="postgres/orders",
        elements=(),
        outcome=outcome,
        verdict=verdict,
        intended_at=NOW,
        start_before=NOW,
        timeout_s=1,
        fenced=True,
        state_before={},
    )


S = IncidentState


@pytest.mark.parametrize(
    ("dossier", "end"),
    [
        ({"state": S.PENDING, "step": 0}, None),
        ({"state": S.OPEN, "step": 0}, None),
        ({"state": S.HELD, "step": 0}, None),
        ({"state": S.REMEDIATING, "step": 1, "attempt": tried(Outcome.STARTED)}, None),
        ({"state": S.VERIFYING, "step": 1, "attempt": tried(Outcome.DONE), "proof": True}, None),
        ({"state": S.RECORDED, "step": 1, "attempt": tried(Outcome.DONE)}, ActEnd.DONE),
        ({"state": S.RECORDED, "step": 1, "attempt": tried(Outcome.NOT_DONE)}, ActEnd.FAILED),
        ({"state": S.RECORDED, "step": 1}, ActEnd.DONE),
        ({"state": S.RECORDED, "step": 0}, ActEnd.NOT_LET),
        ({"state": S.ESCALATED, "step": 0}, ActEnd.NOT_LET),
        ({"state": S.CLOSED, "step": 0}, ActEnd.NOT_LET),
        ({"state": S.ESCALATED, "step": 1, "attempt": tried(Outcome.UNKNOWN)}, ActEnd.FAILED),
        (
            {
                "state": S.RESOLVED,
                "step": 1,
                "attempt": tried(Outcome.DONE, Verdict.RECOVERED),
                "proof": True,
            },
            ActEnd.DONE,
        ),
        (
            {
                "state": S.ESCALATED,
                "step": 1,
                "attempt": tried(Outcome.DONE, Verdict.NOT_RECOVERED),
                "proof": True,
            },
            ActEnd.FAILED,
        ),
        (
            {"state": S.ESCALATED, "step": 1, "attempt": tried(Outcome.DONE, Verdict.NO_DATA), "proof": True},
            ActEnd.FAILED,
        ),
        ({"state": S.TAKEN_OVER, "step": 1, "attempt": tried(Outcome.DONE), "proof": True}, ActEnd.FAILED),
        ({"state": S.RESOLVED, "step": 1, "proof": True}, ActEnd.DONE),
        ({"state": S.ESCALATED, "step": 1, "proof": True}, ActEnd.FAILED),
    ],
)
def test_an_act_has_one_end(dossier: dict[str, Any], end: ActEnd | None) -> None:
    """Done only where nothing speaks against it; open as long as anything can still come of it."""
    assert act_end(ended(**dossier)) is end


def test_the_headline_names_what_was_asked_for_and_by_whom() -> None:
    """Not the name of a rule that nobody wrote."""
    told = headline(ended(S.HELD, step=0), NOW)
    assert told.startswith("P1 t, by hand of ada (server=orders) is held")
