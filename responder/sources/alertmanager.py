"""Decoding what Alertmanager posts (webhook payload version 4) and what others post in the same shape.

One bad alert never costs the others: it becomes a `Rejected` with its reason. Only what is no payload at all
raises. Nothing here opens a connection; the size of a body is bounded by whoever read it. A large body is
divided: never more than one slice of it stands in memory as more than its bytes.

This is where secrets stop: what leaves here is redacted, the alerts and the dead letters. Texts are redacted
before they are shortened, because half a secret has no form any more.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import pydantic_core
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from responder.clients.wire import EARLIEST, parse_time, told
from responder.model.alert import Alert, Delivery, Rejected, Standing, fingerprint
from responder.model.errors import PermanentError
from responder.model.redaction import SHIPPED, Redaction
from responder.ports import Listed
from responder.sources.identity import Identity, identify
from responder.sources.refused import Refused, first_mistake, redacted_head, shortened
from responder.sources.remembered import MARK, Apart, Remembered, as_json, key_of, take_apart
from responder.sources.settings import SourceSettings
from responder.sources.slices import ELEMENT_AT_MOST, NotCutError, cut

LABELS_AT_MOST = 20_000
LABELS_TOGETHER_AT_MOST = 8 * 1024 * 1024
ANNOTATIONS_AT_MOST = 200
ANNOTATION_NAME_AT_MOST = 1024
ANNOTATION_AT_MOST = 32 * 1024
GENERATOR_URL_AT_MOST = 8 * 1024
"""Bounds in characters. Labels beyond theirs reject the alert, because a shortened label could lead an action
to another target; texts for people are shortened. Real senders were seen with 10,000 labels, and with values
of a megabyte: these are stored."""

SLICE = 500
"""Alerts that are decoded, and committed, together at most."""
SLICE_BYTES = 1024 * 1024
"""Bytes after which a slice is full with fewer alerts."""

_NESTING_AT_MOST = 100
_HEAD = 64 * 1024
_log = structlog.get_logger(__name__)


class NotAPayloadError(PermanentError):
    """The body is no delivery at all.

    Attributes:
        field: which field is wrong, dotted; empty where it is the body itself.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class _Payload(BaseModel):
    """The envelope. Its other fields (groupLabels, externalURL ...) only repeat what the alerts say."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    alerts: list[Any]
    truncated: int = Field(default=0, alias="truncatedAlerts")


class _PostedAlert(BaseModel):
    """One alert as it is posted."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: str = Field(alias="startsAt")
    ends_at: str | None = Field(default=None, alias="endsAt")
    generator_url: str | None = Field(default=None, alias="generatorURL")
    fingerprint: str | None = None


_Text = Annotated[str, Field(min_length=1)]
_AnnotationName = Annotated[str, Field(max_length=ANNOTATION_NAME_AT_MOST)]
_Annotation = Annotated[str, Field(max_length=ANNOTATION_AT_MOST)]


class _PlainAlert(_PostedAlert):
    """One alert within all bounds, with nothing to shorten or to drop."""

    labels: Annotated[dict[_Text, _Text], Field(min_length=1, max_length=LABELS_AT_MOST)]
    annotations: Annotated[dict[_AnnotationName, _Annotation], Field(max_length=ANNOTATIONS_AT_MOST)] = {}
    generator_url: str = Field(default="", alias="generatorURL", max_length=GENERATOR_URL_AT_MOST)


class _PlainPayload(BaseModel):
    """A delivery as nearly all are: read at one go, from the bytes to checked alerts."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    alerts: list[_PlainAlert]
    truncated: Literal[0] = Field(default=0, alias="truncatedAlerts")


class _PlainEnvelope(BaseModel):
    """A delivery with a mark in place of its alerts."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    alerts: tuple[Literal[MARK]]  # type: ignore[valid-type]  # made at start, so that nobody can send it
    truncated: Literal[0] = Field(default=0, alias="truncatedAlerts")


_PLAIN_AT_MOST = 16 * 1024
"""Bytes of a body that is read at one go. What is larger is rare; with a mistake for each of its thousands
of alerts it would leave the memory full of holes."""


def _is_to_be_mended(body: bytes) -> bool:
    """Whether there is in it what JSON cannot say, or PostgreSQL cannot keep: NUL, surrogates, no numbers."""
    if b"NaN" in body or b"Infinity" in body:
        return True
    return b"\\u" in body and (b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body)


def decoder(
    source: SourceSettings, redaction: Redaction, remembered: Remembered | None = None
) -> Callable[[bytes], Delivery]:
    """The decoder of one source, for whoever reads bodies. What is `remembered` is of this source alone."""

    def of_this_source(body: bytes) -> Delivery:
        return decode(source, body, redaction, remembered)

    return of_this_source


def divider(source: SourceSettings, redaction: Redaction) -> Callable[[bytearray], Iterator[Delivery]]:
    """The divider of one source, for whoever reads large bodies."""

    def of_this_source(body: bytearray) -> Iterator[Delivery]:
        return divide(source, body, redaction)

    return of_this_source


def divide(source: SourceSettings, body: bytearray, redaction: Redaction = SHIPPED) -> Iterator[Delivery]:
    """The delivery in a large body, slice by slice. The body is read as a whole before the first slice comes.

    Raises:
        NotAPayloadError: it is no JSON, or not of this shape; names the field. Then no slice has come.
    """
    try:
        found = cut(body, SLICE, SLICE_BYTES)
    except NotCutError as error:
        raise NotAPayloadError(str(error), error.field) from None
    payload = _envelope(_parsed(found.envelope))
    for start, end in found.slices:
        if end - start <= ELEMENT_AT_MOST:
            _parsed(_as_body(body, start, end))
    for start, end in found.slices:
        yield _slice(source, body, start, end, redaction)
    if payload.truncated > 0:
        yield Delivery(source=source.name, alerts=(), rejected=(_left_out(payload.truncated, source),))


def listed(
    source: SourceSettings, answer: bytes | bytearray, redaction: Redaction = SHIPPED
) -> Iterator[Sequence[Listed]]:
    """The alerts of an API's list, slice by slice, kept and redacted as if they had been delivered.

    Alertmanager cuts their times to milliseconds; nothing else is different.

    Raises:
        NotAPayloadError: it is no list of alerts. Slices may have come before.
    """
    body = bytearray(b"".join((b'{"alerts":', answer, b"}")))
    try:
        found = cut(body, SLICE, SLICE_BYTES)
    except NotCutError as error:
        raise NotAPayloadError(str(error), error.field) from None
    _envelope(_parsed(found.envelope))
    for start, end in found.slices:
        entries = _envelope(_parsed(_as_body(body, start, end))).alerts
        yield [one for entry in entries if (one := list_entry(source, entry, redaction)) is not None]


def list_entry(source: SourceSettings, entry: Any, redaction: Redaction) -> Listed | None:
    """One alert of a list; None where its labels are those of no alert that could ever have been kept."""
    try:
        labels = {"status": "firing", "labels": entry["labels"], "startsAt": ""}
        identity = _identity(_PostedAlert.model_validate(labels), source.drop_labels)
    except (ValueError, TypeError, KeyError):
        return None
    try:
        posted = _PostedAlert.model_validate({**entry, "status": "firing"})
        alert = replace(_alert(posted, identity, redaction), standing=Standing.CONFIRMED)
    except ValueError:
        return Listed(identity.fingerprint, None)
    return Listed(identity.fingerprint, alert)


def _as_body(body: bytearray, start: int, end: int) -> bytes:
    return b"".join((b'{"alerts":[', memoryview(body)[start:end], b"]}"))


def _slice(source: SourceSettings, body: bytearray, start: int, end: int, redaction: Redaction) -> Delivery:
    if end - start <= ELEMENT_AT_MOST:
        return decode(source, _as_body(body, start, end), redaction)
    reason = f"an alert of {end - start} bytes, more than {ELEMENT_AT_MOST}"
    head = redacted_head(bytes(body[start : start + _HEAD]), redaction)
    return Delivery(source=source.name, alerts=(), rejected=(Rejected(reason, head, missed=True),))


def decode(
    source: SourceSettings, body: bytes, redaction: Redaction = SHIPPED, remembered: Remembered | None = None
) -> Delivery:
    """The delivery in a body, redacted.

    Raises:
        NotAPayloadError: it is no JSON, or not of this shape; names the field.
    """
    plain = _plain(source, body, redaction, remembered)
    return _mended_delivery(source, body, redaction) if plain is None else plain


def _plain(
    source: SourceSettings, body: bytes, redaction: Redaction, remembered: Remembered | None
) -> Delivery | None:
    """The delivery, where nothing in it has to be looked at twice; else None. The long way makes the same."""
    if len(body) > _PLAIN_AT_MOST:
        return None
    apart = take_apart(body) if remembered is not None else None
    try:
        if apart is not None and remembered is not None:
            alerts = _recalled(source, apart, redaction, remembered)
        else:
            alerts = _plain_alerts(source, _plain_payload(body), redaction)
    except ValueError:
        return None
    return Delivery(source=source.name, alerts=tuple(alerts))


def _recalled(
    source: SourceSettings, apart: Apart, redaction: Redaction, remembered: Remembered
) -> list[Alert]:
    """The alerts of a body that was taken apart: only what is not remembered is read."""
    if apart.envelope not in remembered.envelopes:
        _check_to_be_kept(apart.envelope)
        _PlainEnvelope.model_validate_json(apart.envelope)
        remembered.note_envelope(apart.envelope)
    keys = [key_of(part) for part in apart.parts]
    known = [remembered.recall(key) for key in keys]
    news = [number for number, alert in enumerate(known) if alert is None]
    if news:
        _check_to_be_kept(b"".join([apart.parts[number] for number in news]))
        read = _PlainAlert.__pydantic_validator__.validate_json
        posted = [read(as_json(apart.parts[number])) for number in news]
        for number, alert in zip(news, _plain_alerts(source, posted, redaction), strict=True):
            remembered.note(keys[number], apart.parts[number], alert)
            known[number] = alert
    return [alert for alert in known if alert is not None]


def _plain_payload(body: bytes) -> list[_PlainAlert]:
    _check_to_be_kept(body)
    return _PlainPayload.model_validate_json(body).alerts


def _check_to_be_kept(body: bytes) -> None:
    if _is_to_be_mended(body):
        raise ValueError("it cannot be kept as it is")


def _plain_alerts(source: SourceSettings, posted: Sequence[_PlainAlert], redaction: Redaction) -> list[Alert]:
    """What was posted, as alerts. Raises ValueError where anything in it has to be looked at twice."""
    identities = [_plain_identity(one.labels, source.drop_labels) for one in posted]
    alerts = [
        _plain_alert(one, identity, redaction) for one, identity in zip(posted, identities, strict=True)
    ]
    texts = (mapping for alert in alerts for mapping in (alert.labels, alert.annotations))
    if redaction.suspects_any(texts, *(alert.generator_url for alert in alerts)):
        raise ValueError("something in it may be secret")
    _tell_differing(source, zip(posted, identities, strict=True))
    return alerts


def _plain_identity(labels: dict[str, str], drop_labels: frozenset[str]) -> Identity:
    if not drop_labels.isdisjoint(labels):
        return identify(labels, drop_labels)
    return Identity(fingerprint(labels), labels)


def _plain_alert(posted: _PlainAlert, identity: Identity, redaction: Redaction) -> Alert:
    if not identity.labels:
        raise ValueError("labels: none is left")
    resolved = posted.status == "resolved"
    return Alert(
        fingerprint=identity.fingerprint,
        labels=identity.labels,
        annotations=posted.annotations,
        standing=Standing.RESOLVED if resolved else Standing.FIRING,
        starts_at=_time(posted.starts_at, "startsAt", redaction) or EARLIEST,
        ends_at=_time(posted.ends_at, "endsAt", redaction) if resolved else None,
        generator_url=posted.generator_url,
    )


def _mended_delivery(source: SourceSettings, body: bytes, redaction: Redaction) -> Delivery:
    """The delivery of a body that is not plain, alert by alert: one bad alert costs no other."""
    payload = _envelope(_parsed(body))
    alerts: list[Alert] = []
    refused = Refused(redaction)
    usable: list[tuple[_PostedAlert, Identity]] = []
    for entry in payload.alerts:
        if not isinstance(entry, dict):
            refused.add(entry, lambda: "the alert: it is no object")
            continue
        try:
            posted = _PostedAlert.model_validate(entry)
            identity = _identity(posted, source.drop_labels)
            alerts.append(_alert(posted, identity, redaction))
        except ValidationError as error:
            refused.add(entry, partial(first_mistake, error, redaction))
        except ValueError as error:
            refused.add(entry, partial(str, error))
        else:
            usable.append((posted, identity))
    rejected = refused.letters()
    if payload.truncated > 0:
        rejected.append(_left_out(payload.truncated, source))
    _tell_differing(source, usable)
    return Delivery(source=source.name, alerts=tuple(alerts), rejected=tuple(rejected))


def _tell_differing(source: SourceSettings, usable: Iterable[tuple[_PostedAlert, Identity]]) -> None:
    differing = sum(_differs(posted, identity, source.drop_labels) for posted, identity in usable)
    if differing:
        _log.warning("fingerprints differ from the sender's", source=source.name, alerts=differing)


def _parsed(body: bytes) -> Any:
    """The JSON of a body. The fast parser refuses lone surrogates; the slow path mends them."""
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        return _mended(json.loads(body.decode(), parse_constant=_no_number), 0)
    except UnicodeDecodeError:
        raise NotAPayloadError("the body is not UTF-8") from None
    except RecursionError:
        raise NotAPayloadError("the body is nested too deeply") from None
    except ValueError as error:
        raise NotAPayloadError(f"the body is not JSON: {told(str(error))}") from None


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _mended(value: Any, depth: int) -> Any:
    if depth > _NESTING_AT_MOST:
        raise NotAPayloadError("the body is nested too deeply")
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_mended(name, depth + 1): _mended(inner, depth + 1) for name, inner in value.items()}
        case list():
            return [_mended(inner, depth + 1) for inner in value]
        case _:
            return value


def _envelope(value: Any) -> _Payload:
    if not isinstance(value, dict):
        raise NotAPayloadError("the body is JSON, but no object with `alerts`")
    try:
        return _Payload.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise NotAPayloadError(f"{field}: {first['msg']}", field) from None


def _identity(posted: _PostedAlert, drop_labels: frozenset[str]) -> Identity:
    if len(posted.labels) > LABELS_AT_MOST:
        raise ValueError(f"labels: {len(posted.labels)} of them, more than {LABELS_AT_MOST}")
    if "" in posted.labels:
        raise ValueError("labels: a name is empty")
    together = sum(map(len, posted.labels)) + sum(map(len, posted.labels.values()))
    if together > LABELS_TOGETHER_AT_MOST:
        raise ValueError(f"labels: {together} characters, more than {LABELS_TOGETHER_AT_MOST}")
    identity = identify(posted.labels, drop_labels)
    if not identity.labels:
        raise ValueError("labels: none is left, so nothing tells this alert from another")
    return identity


def _alert(posted: _PostedAlert, identity: Identity, redaction: Redaction) -> Alert:
    resolved = posted.status == "resolved"
    labels, annotations = identity.labels, _some(posted.annotations or {})
    url = posted.generator_url or ""
    if redaction.suspects_any((labels, annotations), url):
        labels, annotations = redaction.labels(labels), redaction.annotations(annotations)
        url = redaction.text(url)
    return Alert(
        fingerprint=identity.fingerprint,
        labels=labels,
        annotations={
            shortened(name, ANNOTATION_NAME_AT_MOST): shortened(value, ANNOTATION_AT_MOST)
            for name, value in annotations.items()
        },
        standing=Standing.RESOLVED if resolved else Standing.FIRING,
        starts_at=_time(posted.starts_at, "startsAt", redaction) or EARLIEST,
        ends_at=_time(posted.ends_at, "endsAt", redaction) if resolved else None,
        generator_url=shortened(url, GENERATOR_URL_AT_MOST),
    )


def _time(text: str | None, field: str, redaction: Redaction) -> datetime | None:
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        why = "it is no time of RFC 3339" if redaction.suspects(text) else told(str(error))
        raise ValueError(f"{field}: {why}") from None


def _some(written: dict[str, str]) -> Mapping[str, str]:
    return (
        dict(sorted(written.items())[:ANNOTATIONS_AT_MOST]) if len(written) > ANNOTATIONS_AT_MOST else written
    )


def _differs(posted: _PostedAlert, identity: Identity, drop_labels: frozenset[str]) -> bool:
    """Whether the sender knows this alert by another fingerprint, although nothing was dropped.

    Ours counts all the same: it is what its API's labels lead to.
    """
    if not posted.fingerprint or posted.fingerprint == identity.fingerprint:
        return False
    return drop_labels.isdisjoint(posted.labels)


def _left_out(truncated: int, source: SourceSettings) -> Rejected:
    return Rejected(
        f"truncatedAlerts: the sender left out {truncated} alerts; set `max_alerts: 0` in its settings",
        json.dumps({"source": source.name, "truncatedAlerts": truncated}),
        missed=True,
    )
