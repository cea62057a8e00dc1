"""Claims about decoding Alertmanager's webhook payload: nothing crashes it, and nothing good is lost."""

import json
import re
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from responder.clients.wire import EARLIEST, LATEST, parse_time
from responder.model.alert import Delivery, Standing, content_hash, fingerprint
from responder.model.errors import PermanentError
from responder.model.redaction import SHIPPED
from responder.sources.alertmanager import (
    ANNOTATION_AT_MOST,
    SLICE,
    NotAPayloadError,
    _mended_delivery,
    _plain,
    decode,
    divide,
)
from responder.sources.refused import ENTRY_AT_MOST, REJECTED_AT_MOST
from responder.sources.settings import SourceSettings
from responder.sources.slices import NO_ALERTS_AT_MOST

SOURCE = SourceSettings(name="main", drop_labels=frozenset({"prometheus_replica"}))

PAYLOAD: dict[str, Any] = {
    "receiver": "responder",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "PostgresLongRunningQuery", "server": "orders", "severity": "critical"},
            "annotations": {"summary": "A query runs for 12 minutes"},
            "startsAt": "2026-11-23T22:01:02.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=x",
            "fingerprint": "a27b56a11b77a3e9",
        }
    ],
    "groupLabels": {"alertname": "PostgresLongRunningQuery"},
    "commonLabels": {"alertname": "PostgresLongRunningQuery"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="PostgresLongRunningQuery"}',
    "truncatedAlerts": 0,
}
"""As Alertmanager 0.25 writes it."""


def decoded(*alerts: Any, **envelope: Any) -> Delivery:
    return decode(SOURCE, json.dumps({**PAYLOAD, "alerts": alerts, **envelope}).encode())


def alert(**fields: Any) -> dict[str, Any]:
    return {**PAYLOAD["alerts"][0], **fields}


def test_a_real_payload() -> None:
    """A firing alert keeps its labels; its time is truncated to microseconds, and year 1 means open."""
    (only,) = decode(SOURCE, json.dumps(PAYLOAD).encode()).alerts
    assert only.labels == PAYLOAD["alerts"][0]["labels"]
    assert only.fingerprint == fingerprint(only.labels)
    assert only.starts_at == datetime(2026, 11, 23, 22, 1, 2, 123456, tzinfo=UTC)
    assert only.standing is Standing.FIRING
    assert only.ends_at is None


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        ({}, "cbf29ce484222325"),
        ({"name": "garland, briggs", "fear": "love is not enough"}, "507a62d79ee76c9a"),
    ],
)
def test_known_fingerprints(labels: dict[str, str], known: str) -> None:
    """Fingerprints are those of Prometheus's own code."""
    assert fingerprint(labels) == known


def test_replicas_are_one_alert() -> None:
    """Alerts that differ in a dropped or an empty label alone are the same alert, with the same labels."""
    labels = PAYLOAD["alerts"][0]["labels"]
    delivery = decoded(
        alert(labels={**labels, "prometheus_replica": "a"}),
        alert(labels={**labels, "prometheus_replica": "b", "team": ""}),
    )
    assert {found.fingerprint for found in delivery.alerts} == {fingerprint(labels)}
    assert all(found.labels == labels for found in delivery.alerts)


def test_a_firing_alert_has_no_end() -> None:
    """Older senders give firing alerts an end in the future: it is no end; a resolved one's is."""
    end = "2026-11-24T00:00:00+01:00"
    firing, resolved = decoded(alert(endsAt=end), alert(status="resolved", endsAt=end)).alerts
    assert firing.ends_at is None
    assert resolved.ends_at == datetime(2026, 11, 23, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("text", "the alert"),
        (None, "the alert"),
        (alert(labels={"alertname": 3}), "labels.alertname"),
        (alert(labels=None), "labels"),
        (alert(labels={}), "labels"),
        (alert(labels={"prometheus_replica": "a"}), "labels"),
        (alert(labels={"": "x"}), "labels"),
        (alert(labels={"x": "v" * 9_000_000}), "labels"),
        (alert(labels={f"l{n}": "v" for n in range(20_001)}), "labels"),
        (alert(annotations={"summary": ["x"]}), "annotations.summary"),
        (alert(status="pending"), "status"),
        (alert(startsAt="yesterday"), "startsAt"),
        (alert(startsAt="2026-02-30T00:00:00Z"), "startsAt"),
        (alert(startsAt="2026-02-03T00:00:00+99:00"), "startsAt"),
        (alert(startsAt=1764000000), "startsAt"),
        (alert(status="resolved", endsAt="2026-13-01T00:00:00Z"), "endsAt"),
        ({key: value for key, value in alert().items() if key != "startsAt"}, "startsAt"),
    ],
)
def test_a_bad_alert_costs_no_other(bad: Any, reason: str) -> None:
    """The bad one is rejected with a reason that names its field; its neighbours live."""
    delivery = decoded(alert(), bad, alert())
    assert len(delivery.alerts) == 2, "the same alert twice is kept: folding is not decoding"
    (rejected,) = delivery.rejected
    assert rejected.reason.startswith(reason)
    assert rejected.payload


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"\xff\xfe", ""),
        (b"[]", ""),
        (b'"alerts"', ""),
        (b"{}", "alerts"),
        (b'{"alerts": {}}', "alerts"),
        (b'{"alerts": null}', "alerts"),
        (b'{"alerts": [], "truncatedAlerts": "many"}', "truncatedAlerts"),
        (b'{"alerts": [NaN]}', ""),
        (b'{"alerts": [' + b"1" * 5000 + b"]}", ""),
        (b'{"alerts": ' + b"[" * 150 + b"]" * 150 + b', "x": "\\ud800"}', ""),
        (b"[" * 100_000, ""),
    ],
)
def test_no_payload_at_all(body: bytes, field: str) -> None:
    """What is no payload is an error that names the field."""
    with pytest.raises(NotAPayloadError) as raised:
        decode(SOURCE, body)
    assert raised.value.field == field
    assert field in str(raised.value)


def test_texts_are_made_storable() -> None:
    """NUL and lone surrogates are replaced, and the other alerts of the body are untouched by it."""
    delivery = decoded(alert(), alert(labels={"alertname": "a\x00b\ud800"}, annotations={"s\x00": "\udfff"}))
    kept, mended = delivery.alerts
    assert kept.labels == PAYLOAD["alerts"][0]["labels"]
    assert mended.labels == {"alertname": "a\ufffdb\ufffd"}
    assert mended.annotations == {"s\ufffd": "\ufffd"}
    assert mended.fingerprint == fingerprint({"alertname": "a\x00b\ufffd"}), "as Alertmanager counts it"


def test_a_surrogate_pair_stays_a_sign() -> None:
    """An emoji written as two escapes beside a lone surrogate is still the emoji."""
    (found,) = decoded(alert(annotations={"summary": "\U0001f525\ud800"})).alerts
    assert found.annotations == {"summary": "\U0001f525\ufffd"}


def test_long_texts_are_shortened() -> None:
    """An annotation of a megabyte does not cost the alert."""
    (found,) = decoded(alert(annotations={"log": "x" * 1_000_000})).alerts
    assert len(found.annotations["log"]) == ANNOTATION_AT_MOST


def test_labels_as_large_as_real_senders_write_them_are_kept() -> None:
    """10,000 labels and a value of a megabyte are an alert like any other, whole."""
    many = {f"l{n}": "v" for n in range(10_000)}
    large = {"alertname": "A", "log": "v" * 1_048_576}
    found = decoded(alert(labels=many), alert(labels=large)).alerts
    assert [one.labels for one in found] == [many, large]


def test_what_the_sender_left_out_is_told() -> None:
    """`truncatedAlerts` becomes a rejected part beside the alerts that came; the source has to be asked."""
    delivery = decoded(alert(), truncatedAlerts=17)
    assert len(delivery.alerts) == 1
    assert "17 alerts" in delivery.rejected[0].reason
    assert delivery.rejected[0].missed


def test_a_flood_of_bad_alerts_makes_few_dead_letters() -> None:
    """However many are bad, no more than a hundred letters: the last one has all the rest, and is JSON."""
    delivery = decoded(*range(1000), alert())
    assert len(delivery.alerts) == 1
    assert len(delivery.rejected) == REJECTED_AT_MOST
    assert json.loads(delivery.rejected[-1].payload) == list(range(REJECTED_AT_MOST - 1, 1000))
    assert not delivery.rejected[-1].missed


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_cut_off_of_a_flood_of_bad_alerts_was_missed(more: int) -> None:
    """As of one that stands alone: only the source can tell what the last letter does not hold."""
    huge = alert(labels=["v" * ENTRY_AT_MOST])
    letters = decoded(*range(REJECTED_AT_MOST - 1), huge, *range(more)).rejected
    assert [letter.missed for letter in letters] == [False] * (REJECTED_AT_MOST - 1) + [True]


@given(st.datetimes(timezones=st.timezones()).filter(lambda moment: moment.year > 1))
def test_times_are_read_as_written(moment: datetime) -> None:
    """Every time that Python can write is read back, in UTC and inside the bounds."""
    try:
        expected = min(max(moment.astimezone(UTC), EARLIEST), LATEST)
        text = moment.isoformat()
    except OverflowError:
        return
    if len(text.rpartition(":")[0].rpartition(":")[2]) != 2 or moment.utcoffset() is None:
        return
    try:
        found = parse_time(text)
    except ValueError:
        assert text[-6] not in "+-", "only offsets with seconds, which RFC 3339 has not, are refused"
        return
    assert found == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(
        ["firing", "resolved", "2026-11-23T22:01:02.1Z", "9999-12-31T23:59:59.999999999-12:00"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(codec=None)) | st.sampled_from(list(PAYLOAD)), inner, max_size=4
        )
    ),
    max_leaves=12,
)
ALERTS = st.fixed_dictionaries(
    {},
    optional={
        "status": JSON | st.sampled_from(["firing", "resolved"]),
        "labels": JSON
        | st.dictionaries(st.text(st.characters(codec=None)), st.text(st.characters(codec=None))),
        "annotations": JSON,
        "startsAt": JSON | st.just("0000-01-01T00:00:00Z"),
        "endsAt": JSON,
        "generatorURL": JSON,
        "fingerprint": JSON,
    },
)


@settings(max_examples=300)
@given(JSON | st.fixed_dictionaries({"alerts": st.lists(ALERTS | JSON, max_size=4)}))
@example({"alerts": [alert(startsAt="0000-01-01T00:00:00Z")]})
@example({"alerts": [alert(startsAt="9999-12-31T23:59:59.999999999Z")]})
@example({"alerts": [alert(startsAt="0002-01-01T00:00:00+23:59")]})
def test_no_json_crashes_decoding(document: Any) -> None:
    """Any JSON becomes a delivery whose every part can be stored, or a PermanentError."""
    try:
        delivery = decode(SOURCE, json.dumps(document).encode())
    except PermanentError as error:
        str(error).encode()
        return
    for found in delivery.alerts:
        assert EARLIEST <= found.starts_at <= LATEST
        assert found.ends_at is None or EARLIEST <= found.ends_at <= LATEST
        texts = [*found.labels, *found.labels.values(), *found.annotations, *found.annotations.values()]
        assert not any("\x00" in text for text in [*texts, found.generator_url])
        "".join([*texts, found.generator_url]).encode()
        assert len(content_hash(found)) == 16
    for part in delivery.rejected:
        assert "\x00" not in part.reason + part.payload
        (part.reason + part.payload).encode()


PLAIN_TEXT = st.text(max_size=8) | st.sampled_from(
    ["alertname", "replica", "a&b", "password=hunter2hunter2", "\u00e9", "\U0001f600", ""]
)
PLAIN = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["firing", "resolved", "pending"]),
        "labels": st.dictionaries(PLAIN_TEXT, PLAIN_TEXT, max_size=3),
        "startsAt": st.sampled_from(["2026-11-23T22:01:02.1Z", "0001-01-01T00:00:00Z", "yesterday"]),
    },
    optional={
        "annotations": st.dictionaries(PLAIN_TEXT, PLAIN_TEXT, max_size=2) | st.none(),
        "endsAt": st.sampled_from(["2026-11-23T23:01:02+01:00", "0001-01-01T00:00:00Z", ""]) | st.none(),
        "generatorURL": PLAIN_TEXT | st.none(),
        "fingerprint": PLAIN_TEXT,
        "other": JSON,
    },
)


@settings(max_examples=300)
@given(st.lists(PLAIN, max_size=3), st.booleans(), st.sampled_from([0, 2]))
@example(alerts=[alert(labels={"alertname": "A" * 16384})], ascii_only=True, truncated=0)
@example(alerts=[alert(generatorURL="u" * 8193)], ascii_only=False, truncated=0)
def test_a_plain_delivery_is_decoded_as_the_long_way_does(
    alerts: Any, ascii_only: bool, truncated: int
) -> None:
    """What is read at one go is what alert by alert would have given, or is left to that."""
    written = json.dumps({"alerts": alerts, "truncatedAlerts": truncated}, ensure_ascii=ascii_only)
    body = written.encode("utf-8", "surrogatepass")
    short = _plain(SOURCE, body, SHIPPED, None)
    assert short is None or short == _mended_delivery(SOURCE, body, SHIPPED)


@pytest.mark.parametrize("more", ['"x": NaN', '"alerts": []', '"truncatedAlerts": 1', '"alerts": 3'])
def test_a_key_given_twice_means_what_it_always_meant(more: str) -> None:
    """The last one counts, and what is no JSON is none."""
    given_alert = json.dumps(alert())
    for body in (f'{{"alerts": [{given_alert}], {more}}}', f'{{{more}, "alerts": [{given_alert}]}}'):
        try:
            long = _mended_delivery(SOURCE, body.encode(), SHIPPED)
        except NotAPayloadError:
            with pytest.raises(NotAPayloadError):
                decode(SOURCE, body.encode())
        else:
            assert decode(SOURCE, body.encode()) == long


@settings(max_examples=300)
@given(st.binary(max_size=64) | st.text().map(str.encode))
def test_no_bytes_crash_decoding(body: bytes) -> None:
    """Any bytes become a delivery or a PermanentError."""
    try:
        decode(SOURCE, body)
    except PermanentError as error:
        str(error).encode()


def divided(body: bytes) -> list[Delivery]:
    return list(divide(SOURCE, bytearray(body)))


def test_a_divided_body_is_the_same_delivery_in_slices() -> None:
    """1,201 alerts are three slices of at most 500, in order, and what was left out comes last."""
    alerts = [alert(labels={"alertname": "A", "n": str(number)}) for number in range(1201)]
    body = json.dumps({**PAYLOAD, "alerts": [*alerts, 7], "truncatedAlerts": 3}).encode()
    slices = divided(body)
    assert [len(part.alerts) for part in slices] == [SLICE, SLICE, 201, 0]
    whole = decode(SOURCE, body)
    assert tuple(found for part in slices for found in part.alerts) == whole.alerts
    assert [letter for part in slices for letter in part.rejected] == list(whole.rejected)


def test_a_slice_of_large_alerts_has_few_of_them() -> None:
    """A slice is bounded by bytes too: alerts of a megabyte are taken in one by one."""
    large = [alert(labels={"alertname": "A", "n": str(n), "log": "v" * 1_048_576}) for n in range(3)]
    assert [len(part.alerts) for part in divided(json.dumps({"alerts": large}).encode())] == [1, 1, 1]


@settings(max_examples=300)
@given(
    st.fixed_dictionaries({"alerts": st.lists(ALERTS | JSON, max_size=4)}, optional={"x": JSON, "y": JSON})
    | JSON,
    st.sampled_from([None, 2]),
)
def test_dividing_says_what_decoding_says(document: Any, indent: int | None) -> None:
    """Any JSON is the same alerts and dead letters in slices as in one piece, or no payload to both."""
    body = json.dumps(document, indent=indent).encode()
    assume(not re.search(rb"NaN|Infinity", body))  # dividing does not read the fields that nobody uses
    try:
        whole = decode(SOURCE, body)
    except PermanentError:
        with pytest.raises(PermanentError):
            divided(body)
        return
    slices = divided(body)
    assert tuple(found for part in slices for found in part.alerts) == whole.alerts
    assert tuple(letter for part in slices for letter in part.rejected) == whole.rejected


GOOD = json.dumps({**PAYLOAD, "alerts": [alert()] * 3}).encode()


@pytest.mark.parametrize(
    "body",
    [
        *(GOOD[:length] for length in range(0, len(GOOD), 7)),
        GOOD + b"}",
        GOOD + b"{}",
        b"x" + GOOD,
        b'{"alerts":[{}],"alerts":[{}]}',
        b'{"alerts":[{},]}',
        b'{"alerts":[{"a" "b"}]}',
        b'{"alerts":[{]}}',
        b'{"alerts":[' + b"[" * 150 + b"]" * 150 + b"]}",
        b'{"alerts":[{"labels":"\xff"}]}',
        b'{"alerts":[],"x":' + b"1" * 5000 + b"}",
        b'{"alerts":[' + b"1," * NO_ALERTS_AT_MOST + b"1]}",  # each would be a letter, all in one slice
        b'{"alerts":[{},' + b'"a",' * NO_ALERTS_AT_MOST + b"{}]}",
    ],
)
def test_what_is_no_payload_is_none_before_the_first_slice(body: bytes) -> None:
    """Cut off anywhere, or with brackets that do not match: an error, and nothing was taken in."""
    with pytest.raises(NotAPayloadError):
        next(divide(SOURCE, bytearray(body)))


def test_an_alert_that_is_too_large_to_read_costs_no_other() -> None:
    """It is kept in part, and the source has to be asked; its neighbours are decoded."""
    huge = alert(labels={"x": ["v" * 1000] * 20_000})
    slices = divided(json.dumps({"alerts": [*[alert()] * SLICE, huge, alert()]}).encode())
    assert sum(len(part.alerts) for part in slices) == SLICE + 1
    (letter,) = [letter for part in slices for letter in part.rejected]
    assert letter.missed
    assert "bytes, more than" in letter.reason


@pytest.mark.timeout(600)  # counting every allocation takes long where others use the machine
def test_what_is_no_alert_costs_little_memory_however_much_of_it_there_is() -> None:
    """A hundred thousand numbers: a hundred dead letters, and a small multiple of the body."""
    tracemalloc.start()
    try:
        delivery = decode(SOURCE, b'{"alerts":[' + b"1," * 100_000 + b"1]}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(delivery.rejected) == REJECTED_AT_MOST
    assert peak < 20 << 20


def test_of_something_very_large_that_is_refused_the_head_is_kept() -> None:
    """Without its secrets, and as something that only the source can tell whole."""
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    huge = {**alert(), "status": "burning", "annotations": {"a": f"{secret} " + "x" * ENTRY_AT_MOST}}
    (letter,) = decoded(huge).rejected
    assert letter.missed
    assert "status" in letter.reason
    assert "characters only the first are kept" in letter.reason
    assert len(letter.payload) < 64 * 1024
    assert secret not in letter.payload
