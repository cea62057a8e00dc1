"""Redaction: what is a secret, what only looks like one, and what stays the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from responder.decide.bind import bind_params
from responder.model.alert import fingerprint
from responder.model.errors import RefusedError
from responder.model.redaction import REDACTED, Redaction, RedactionSettings, is_mark
from responder.model.secret_forms import IN_CONTEXT, PROVED, TOKENS
from responder.model.timeline import EntryDraft, EntryKind
from responder.rulebook.load import check_texts
from responder.sources.alertmanager import decode
from responder.sources.peers import PrometheusLook, Word
from responder.sources.settings import SourceSettings
from tests.support.rule_surroundings import surroundings
from tests.support.secrets import LEAKS, ORDINARY, Leak

KEY = b"the key of a timeline"
SHIPPED = Redaction(RedactionSettings(), KEY)


def redaction(**settings: Any) -> Redaction:
    return Redaction(RedactionSettings.model_validate(settings), KEY)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.form)
def test_a_secret_is_replaced_wherever_it_stands(leak: Leak) -> None:
    """In a text, in a label, in JSON, and in JSON inside of JSON; once more changes nothing."""
    once = json.dumps({"note": leak.text}, ensure_ascii=False)
    twice = json.dumps({"body": once}, ensure_ascii=False)
    text, label = SHIPPED.text(leak.text), SHIPPED.labels({"note": leak.text})["note"]
    for kept in (text, label, SHIPPED.document(once), SHIPPED.document(twice)):
        assert leak.secret not in kept
        assert json.dumps(leak.secret)[1:-1] not in kept
        assert REDACTED[:-1] in kept
        assert SHIPPED.text(kept) == kept
    assert SHIPPED.labels({"note": label}) == {"note": label}


def test_at_least_fifty_forms_are_known() -> None:
    """What is promised, counted: forms in the program, and examples of different forms here."""
    assert len(TOKENS) + len(IN_CONTEXT) + len(PROVED) >= 50
    assert len({leak.form for leak in LEAKS}) >= 50


@pytest.mark.parametrize("text", ORDINARY)
def test_what_ordinary_alerts_say_stays_as_it_is(text: str) -> None:
    """Digests, UUIDs, pod names, queries, links and prose about secrets are kept byte for byte."""
    assert SHIPPED.text(text) == text
    assert SHIPPED.document(text) == text
    assert SHIPPED.labels({"note": text}) == {"note": text}


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=5))
def test_redacting_what_is_redacted_changes_nothing(labels: dict[str, str]) -> None:
    """Whatever the texts are: labels that come back from the store are still the same labels."""
    once = SHIPPED.labels(labels)
    assert SHIPPED.labels(once) == once


def test_a_redacted_label_is_the_same_for_the_same_secret_and_tells_nothing_else() -> None:
    """The hash is keyed: stable under one key, another under another key, and different for others."""
    one = redaction(labels=["customer"])
    again, other_key = redaction(labels=["customer"]), Redaction(one_setting("customer"), b"another key")
    own = Redaction(one_setting("customer", key=SecretStr("a key of its own")), b"any timeline's key")
    same_own = Redaction(one_setting("customer", key=SecretStr("a key of its own")), b"a rotated one")
    kept = [it.labels({"customer": "Ada"})["customer"] for it in (one, again, other_key, own, same_own)]
    assert all(is_mark(value) and "Ada" not in value for value in kept)
    assert kept[0] == kept[1]
    assert kept[3] == kept[4]
    assert len(set(kept)) == 3
    assert one.labels({"customer": "Bob"})["customer"] != kept[0]
    assert one.labels({"customer": ""}) == {"customer": ""}


def one_setting(label: str, **more: Any) -> RedactionSettings:
    return RedactionSettings(labels=(label,), **more)


def test_settings_add_names_and_patterns_and_can_keep_or_leave_out_the_shipped_ones() -> None:
    """Names are whole; of a pattern with a group the group is the secret; `keep` has the last word."""
    own = redaction(
        labels=["customer", ".*_iban"],
        annotations=["body"],
        patterns=["CUST-[0-9]{4}", "pin ([0-9]+)"],
        keep=["CUST-0000", "hunter22"],
    )
    labels = own.labels({"customer": "Ada", "my_iban": "DE12", "customers": "7", "x": "CUST-1234 CUST-0000"})
    assert is_mark(labels["customer"])
    assert is_mark(labels["my_iban"])
    assert labels["customers"] == "7"
    assert labels["x"].endswith("] CUST-0000")
    assert own.annotations({"body": "all", "pin": "pin 1234"}) == {"body": REDACTED, "pin": f"pin {REDACTED}"}
    assert own.text("password=hunter22") == "password=hunter22"
    assert (
        own.document('{"customer": "Ada", "body": "x') == f'{{"customer": "{REDACTED}", "body": "{REDACTED}'
    )
    bare = redaction(shipped=False)
    assert all(bare.text(leak.text) == leak.text for leak in LEAKS)


@pytest.mark.parametrize(
    "pattern", ["^[0-9]{6}$", r"\A[0-9]{6}\z", "^[0-9]{6}", "[0-9]{6}$", r"(?m:^[0-9]{6}$)"]
)
def test_a_pattern_that_says_where_a_text_begins_and_ends_finds_it_among_others(pattern: str) -> None:
    """It is for each text alone, in an alert as in a dead letter, on both ways of decoding."""
    own = redaction(patterns=[pattern])
    assert own.annotations({"note": "x", "pin": "123456"}) == {"note": "x", "pin": REDACTED}
    label = own.labels({"a": "b", "pin": "123456"})["pin"]
    assert is_mark(label)
    assert own.entry({"labels": {"pin": "123456"}}) == {"labels": {"pin": REDACTED}}
    body = {"status": "firing", "labels": {"a": "b", "pin": "123456"}, "startsAt": "2026-11-24T01:00:00Z"}
    for more in ({}, {"annotations": None}):
        delivery = decode(SourceSettings(name="s"), json.dumps({"alerts": [body | more]}).encode(), own)
        assert delivery.alerts[0].labels["pin"] == label


@pytest.mark.parametrize(
    "name", ["^customer$", r"\Acustomer\z", "^customer$|^client$", "^(?:customer|[^a-z])$"]
)
def test_a_name_may_say_that_it_is_whole(name: str) -> None:
    """Names are whole in any case: one written with anchors is also found where a text is cut off."""
    own = redaction(labels=[name])
    assert is_mark(own.labels({"a": "b", "customer": "Ada"})["customer"])
    assert own.labels({"customers": "7"}) == {"customers": "7"}
    assert own.document('{"customer": "Ada", "x') == f'{{"customer": "{REDACTED}", "x'


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "dbPassword",
        "DB-PASSWORD",
        "stripeApiKey",
        "awsSecretAccessKey",
        "id_token",
    ],
)
def test_a_name_that_ends_with_a_secrets_is_one_however_it_is_written(name: str) -> None:
    """With separators or without: in labels, annotations and dead letters."""
    assert is_mark(SHIPPED.labels({"a": "b", name: "swordfish"})[name])
    assert SHIPPED.annotations({name: "swordfish"}) == {name: REDACTED}
    assert SHIPPED.entry({name: "swordfish"}) == {name: REDACTED}


@pytest.mark.parametrize(
    "name", ["secret", "cwd", "invalid_token", "passwordless", "cookies", "token_bucket"]
)
def test_a_name_that_only_has_such_a_word_in_it_is_none(name: str) -> None:
    """What alerts are told apart by stays readable."""
    assert SHIPPED.labels({name: "swordfish"}) == {name: "swordfish"}


def test_every_redacted_name_counts_in_a_text_that_is_cut_off() -> None:
    """However many stand on a line, plain and in JSON inside of JSON; what stands between them stays."""
    own = redaction(labels=[".*_iban"])
    names = ["a_iban", "connectionString", "note", "b_iban", "githubAccessToken"]
    once = json.dumps({name: f"value of {name}" for name in names})
    for document in (once[:-4], json.dumps({"body": once})[:-9]):
        kept = own.document(document)
        assert kept.count(REDACTED) == 4
        assert [name for name in names if f"value of {name}" in kept] == ["note"]


@pytest.mark.parametrize(("pattern", "why"), [("(", "RE2"), ("(?=x)", "look-around"), ("x*", "empty text")])
def test_a_pattern_that_cannot_work_is_refused(pattern: str, why: str) -> None:
    """At the start, with the reason: not RE2, or so that it would match everywhere."""
    with pytest.raises(ValidationError, match=why):
        redaction(patterns=[pattern])


def test_a_value_keeps_its_type_and_what_is_clean_is_not_even_copied() -> None:
    """Models, mappings and lists: only what had a secret is made anew."""
    clean = EntryDraft(kind=EntryKind.STATE, text="all is well", facts={"pid": 7, "of": ["a", None]})
    assert SHIPPED.value(clean) is clean
    told = clean.model_copy(update={"facts": {"error": ["password=hunter22"], "api_key": "x", "n": 1.5}})
    redacted = SHIPPED.value(told)
    assert redacted.kind is EntryKind.STATE
    assert redacted.facts == {"error": [f"password={REDACTED}"], "api_key": REDACTED, "n": 1.5}


def test_the_name_of_a_redacted_label_is_none_of_a_parameter() -> None:
    """Whoever redacts the label `user` still has steps that name a user; as an alert it is redacted whole."""
    own = redaction(labels=["user"])
    written = {"user": "reporting", "labels": {"user": "Ada"}}
    assert own.value(written) is written
    assert own.entry(written) == {"user": REDACTED, "labels": {"user": REDACTED}}


def test_the_fingerprint_is_over_what_the_source_wrote() -> None:
    """Redaction changes no identity: the source's API still knows the alert by this fingerprint."""
    labels = {"alertname": "A", "url": "https://u:hunter22@h/x"}
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-24T03:00:00Z"}
    source = SourceSettings(name="main")
    [decoded] = decode(source, json.dumps({"alerts": [alert]}).encode(), SHIPPED).alerts
    assert decoded.fingerprint == fingerprint(labels)
    assert "hunter22" not in str(decoded)


def test_an_alert_with_redacted_labels_is_found_at_prometheus() -> None:
    """By redacted labels on both sides; and also where settings or key changed since it was stored."""
    own = redaction(labels=["customer"])
    now = frozenset(own.labels({"alertname": "A", "customer": "Ada"}).items())
    look = PrometheusLook((now,), None, own)
    stored_under = (own, Redaction(one_setting("customer"), b"the key before"), redaction(shipped=False))
    for before in stored_under:
        stored = before.labels({"alertname": "A", "customer": "Ada", "cluster": "eu"})
        said = look.says("", stored)
        assert said is not None
        assert said.word is Word.FIRING
    assert look.says("", {"alertname": "B", "customer": "Ada"}) is None
    assert look.says("", own.labels({"alertname": "A", "customer": "Bob"})) is not None


def test_no_action_is_bound_to_a_redacted_label() -> None:
    """What is left of a secret names no server, no database and no user."""
    labels = SHIPPED.labels({"server": "postgres://u:hunter22@h/d"})
    with pytest.raises(RefusedError, match="redacted"):
        bind_params({"connection": "$labels.server"}, labels)


def test_a_rule_can_ask_whether_a_redacted_label_is_there_and_nothing_else() -> None:
    """Matching by value and `$labels` of it are errors with place and mend; presence is none."""
    around = surroundings(redaction=redaction(labels=["customer"]))
    rule = """\
rules:
  - name: A
    match: [{match}]
    severity: [{{when: [{match}], is: P1}}, {{is: P2}}]
    group_by: [customer]
    steps:
      - action: postgres.cancel_queries
        with: {{connection: {connection}, database: x, older_than: 1m, at_most: 1}}
    verify: {{alert_resolved_within: 20m, probes: [{{sql: blocked_sessions, is: '< 1'}}]}}
"""
    for match in ("""'customer != ""'""", """'customer =~ ".+"'""", """'customer = ""'"""):
        text = rule.format(match=match, connection="orders")
        assert check_texts([("r.yaml", text)], around).mistakes == ()
    text = rule.format(match="""'customer =~ "A.*"'""", connection="$labels.customer")
    told = [str(one) for one in check_texts([("r.yaml", text)], around).mistakes]
    assert [line.partition(": ")[0] for line in told] == ["r.yaml:3:13", "r.yaml:4:24", "r.yaml:8:28"]
    assert all("redacted" in line for line in told)
    assert """Ask whether it is there: 'customer != ""'""" in told[0]


def test_no_text_makes_a_form_run_away() -> None:
    """A megabyte of beginnings of forms comes back: with backtracking it would not, in our lifetime."""
    hostile = "password" * 3 + "=\\\\\"'" + "://a:" * 9 + "-----BEGIN PRIVATE KEY----" + "eyJ" + "x" * 40
    text = (hostile * 6000)[:1_000_000]
    assert SHIPPED.text(text) != ""
    assert SHIPPED.labels({"a": text})["a"] != ""
