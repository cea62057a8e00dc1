"""What strangers, broken proxies and old senders put on the wire, byte by byte, seeded.

Each shot says which answers are right; None is a connection that ends without one. A friendly shot is what a
real Alertmanager sends: it has to be taken, sooner or later.
"""

import gzip
import json
import random
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.hostile import AUTHORIZED, PATH, alert, payload

LIMIT = 4 * 1024 * 1024
"""Bytes of one body that the listener of these tests reads."""
READ_TIMEOUT = 1.0
IDLE_TIMEOUT = 3.0

_BOMB = gzip.compress(b'{"alerts": ["' + b"\x00" * 64 * 1024 * 1024 + b'"]}')


@dataclass(frozen=True, slots=True)
class Shot:
    """One connection: what is written, a pause before each piece but the first, and what may come back."""

    kind: str
    pieces: Sequence[bytes]
    right: frozenset[int | None]
    friendly: bool = False
    pause: float = 0.0
    hang_up: bool = False
    """Whether the client goes away after the last piece, without waiting for an answer."""


def shots(seed: int, number: int) -> list[Shot]:
    """So many shots, every kind among them, the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, nothing secret
    kinds = list(_KINDS)
    weights = [_KINDS[kind] for kind in kinds]
    chosen = [*kinds, *draw.choices(kinds, weights, k=number - len(kinds))]
    return [kind(draw, str(count)) for count, kind in enumerate(chosen)]


def _request(
    body: bytes,
    *,
    method: str = "POST",
    path: str = PATH,
    headers: Mapping[str, str] = AUTHORIZED,
    length: int | None = None,
    extra: str = "",
) -> bytes:
    told = {"Host": "127.0.0.1", **headers, "Content-Length": str(len(body) if length is None else length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}{extra}\r\n".encode("utf-8", "surrogateescape") + body


def _labels(count: str, **labels: str) -> dict[str, str]:
    """Labels of an alert that only this shot sends; few alertnames, so that there are few incidents."""
    return {"alertname": f"Hostile{int(count) % 7}", "n": count, **labels}


def _shot(kind: str, body: bytes, *right: int | None, friendly: bool = False) -> Shot:
    return Shot(kind, [_request(body)], frozenset(right), friendly)


# --- what friends send ----------------------------------------------------------------------------------


def good(draw: random.Random, count: str) -> Shot:
    """A few alerts in one group."""
    alerts = [alert(labels=_labels(count, at=str(n))) for n in range(draw.randint(1, 5))]
    return _shot("good", payload(*alerts), 200, friendly=True)


def resolved(draw: random.Random, count: str) -> Shot:
    """Ended, with the end before the start, as seen from Alertmanager."""
    end = draw.choice(["2026-11-24T01:00:00Z", "2026-11-24T01:30:00.5+01:00"])
    one = alert(labels=_labels(count), status="resolved", endsAt=end)
    return _shot("resolved", payload(one, status="resolved"), 200, friendly=True)


def twice(_draw: random.Random, count: str) -> Shot:
    """The same alert twice in one body."""
    one = alert(labels=_labels(count))
    return _shot("twice", payload(one, one, {**one, "annotations": {}}), 200, friendly=True)


def many_labels(_draw: random.Random, count: str) -> Shot:
    """10,000 labels."""
    labels = {f"label_{n}": f"value of {n} in {count}" for n in range(10_000)}
    return _shot("10,000 labels", payload(alert(labels=_labels(count, **labels))), 200, friendly=True)


def long_value(draw: random.Random, count: str) -> Shot:
    """A value of a megabyte, in a label and in an annotation."""
    value = draw.choice("xyz") * 1_000_000
    one = alert(labels=_labels(count, log=value), annotations={"log": value})
    return _shot("1 MB values", payload(one), 200, friendly=True)


def odd_texts(draw: random.Random, count: str) -> Shot:
    """NUL, lone surrogates and other signs that PostgreSQL, UTF-8 or a terminal will not have."""
    odd = draw.choice(["\x00", "\ud800", "\udfff\ud800", "\U0001f525\ud83d", "\x1b[2J", "\u202e", "\ufeff"])
    one = alert(labels=_labels(count, odd=odd, **{f"odd{odd}": "x"}), annotations={odd: odd})
    return _shot("odd texts", payload(one, alert(labels=_labels(count, at="2"))), 200, friendly=True)


def odd_times(draw: random.Random, count: str) -> Shot:
    """Years 1 and 9999, nanoseconds, offsets."""
    moments = [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59.999999999-12:00",
        "0001-01-01T00:00:00.000000001+14:00",
        "1969-12-31T23:59:59Z",
        "2026-11-24T01:02:03.1234567891+05:45",
    ]
    one = alert(
        labels=_labels(count),
        status=draw.choice(["firing", "resolved"]),
        startsAt=draw.choice(moments),
        endsAt=draw.choice(moments),
    )
    return _shot("odd times", payload(one), 200, friendly=True)


def other_senders(draw: random.Random, count: str) -> Shot:
    """Grafana's fields, an Alertmanager without fingerprints, one that left alerts out, a packing proxy."""
    one = alert(labels=_labels(count))
    kind = draw.choice(["grafana", "old", "left out", "gzip"])
    if kind == "gzip":
        headers = {**AUTHORIZED, "Content-Encoding": "gzip"}
        packed = _request(gzip.compress(payload(one)), headers=headers)
        return Shot(kind, [packed], frozenset({200}), friendly=True)
    if kind == "grafana":
        own = {"values": {"A": 1.5, "B": None}, "valueString": "[ var='A' ]", "orgId": 1, "panelURL": ""}
        body = payload({**one, **own}, version="1", orgId=1, title="[FIRING:1]", state="alerting")
    elif kind == "old":
        del one["fingerprint"]
        body = payload({**one, "endsAt": "2099-01-01T00:00:00Z"})
    else:
        body = payload(one, truncatedAlerts=draw.randint(1, 10**12))
    return _shot(kind, body, 200, friendly=True)


# --- what is in the body --------------------------------------------------------------------------------


def cut_off(draw: random.Random, count: str) -> Shot:
    """JSON that ends too early, declared as complete."""
    body = payload(alert(labels=_labels(count)))
    return _shot("cut off", body[: draw.randrange(len(body) - 1)], 400)


def flipped(draw: random.Random, count: str) -> Shot:
    """A few bytes are others."""
    body = bytearray(payload(alert(labels=_labels(count))))
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return _shot("flipped", bytes(body), 200, 400)


def wrong_types(draw: random.Random, count: str) -> Shot:
    """Fields of other types, in the alert or in the envelope."""
    wrong: Any = draw.choice([None, True, 7, -0.0, "text", [], {}, [[]], {"a": {"b": []}}, 10**400])
    field = draw.choice(["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "alerts"])
    if field == "alerts":
        return _shot("wrong types", payload(alerts=wrong), 200, 400)
    bad = alert(**{"labels": _labels(count), field: wrong})
    return _shot("wrong types", payload(bad, wrong, alert(labels=_labels(count, at="2"))), 200)


def odd_numbers(draw: random.Random, count: str) -> Shot:
    """NaN, infinities and integers without end."""
    number = draw.choice(["NaN", "Infinity", "-Infinity", "9" * 5000, "1e999", "-" + "1" * 400, "1E+400"])
    body = payload(alert(labels=_labels(count))).replace(b'"2026', number.encode() + b',"x":"2026', 1)
    return _shot("odd numbers", body, 200, 400)


def nested(draw: random.Random, count: str) -> Shot:
    """Nested without end, in whatever place."""
    depth = draw.choice([90, 150, 1000, 100_000])
    opened, closed = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opened * depth + b"1" + closed * draw.choice([depth, 0])
    whole = payload(alert(labels=_labels(count)), 7).replace(b"7]", deep + b"]")
    return _shot("nested", draw.choice([deep, whole]), 200, 400)


def flood_of_bad(draw: random.Random, _count: str) -> Shot:
    """Thousands of alerts that are none."""
    bad = draw.choice([b"{}", b"1", b"[]", b'""', b'{"labels":{}}'])
    body = b'{"alerts":[' + b",".join([bad] * draw.choice([2000, 20_000])) + b"]}"
    return _shot("flood of bad", body, 200)


def no_text(draw: random.Random, _count: str) -> Shot:
    """Bytes."""
    return _shot("bytes", draw.randbytes(draw.randrange(2000)), 400)


def large_and_broken(draw: random.Random, count: str) -> Shot:
    """Over a megabyte, and cut off or with a wrong bracket."""
    body = payload(*[alert(labels=_labels(count, at=str(n))) for n in range(4000)])
    broken = draw.choice([body[:-2], body.replace(b'}, "startsAt"', b'], "startsAt"', 1), body + b"]"])
    return _shot("large and broken", broken, 400, 503)


# --- how it is sent -------------------------------------------------------------------------------------


def oversized(draw: random.Random, count: str) -> Shot:
    """More than the limit, declared, or packed, or in chunks."""
    kind = draw.choice(["declared", "bomb", "chunks"])
    if kind == "declared":
        piece = payload(alert(labels=_labels(count)))
        return Shot("oversized", [_request(piece * 9, length=LIMIT * 20)], frozenset({413}))
    if kind == "bomb":
        headers = {**AUTHORIZED, "Content-Encoding": "gzip"}
        return Shot("gzip bomb", [_request(_BOMB, headers=headers)], frozenset({413, 503}))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    return Shot("endless chunks", [_chunked(chunk * 5)], frozenset({413, 503, None}))


def broken_gzip(draw: random.Random, count: str) -> Shot:
    """Packed, and cut off or damaged."""
    packed = bytearray(gzip.compress(payload(alert(labels=_labels(count)))))
    packed[draw.randrange(10, len(packed))] ^= 0xFF
    body = draw.choice([bytes(packed), bytes(packed[:-9]), b"no gzip", bytes(packed) * 2])
    request = _request(body, headers={**AUTHORIZED, "Content-Encoding": "gzip"})
    return Shot("broken gzip", [request], frozenset({200, 400}))


def slow(draw: random.Random, count: str) -> Shot:
    """Headers or a body that trickle."""
    request = _request(payload(alert(labels=_labels(count))))
    cut = draw.choice([10, 60, request.index(b"\r\n\r\n") + 2, request.index(b"\r\n\r\n") + 20])
    pieces = [request[:cut], *(request[at : at + 1] for at in range(cut, cut + 9))]
    return Shot("slow", pieces, frozenset({503, None}), pause=0.6)


def gone(draw: random.Random, count: str) -> Shot:
    """The client goes away in the middle."""
    request = _request(payload(alert(labels=_labels(count))))
    return Shot("gone", [request[: draw.randrange(len(request) - 1)]], frozenset({None}), hang_up=True)


def lying_length(draw: random.Random, count: str) -> Shot:
    """A Content-Length that is not the body's."""
    body = payload(alert(labels=_labels(count)))
    length: Any = draw.choice([len(body) + 9, len(body) - 9, -1, "abc", "", "1_000", "+9", 10**30, "5, 6"])
    return Shot("lying length", [_request(body, length=length)], frozenset({400, 413, 503, None}))


def lying_chunks(draw: random.Random, count: str) -> Shot:
    """Chunks whose sizes lie, or both ways to tell a length."""
    body = payload(alert(labels=_labels(count)))
    size = f"{len(body):x}".encode()
    sent = draw.choice(
        [
            b"zz\r\n" + body + b"\r\n0\r\n\r\n",
            b"5\r\n" + body + b"\r\n0\r\n\r\n",
            size + b"\r\n" + body + b"0\r\n\r\n",
            size + b";ext=" + b"x" * 20_000 + b"\r\n" + body + b"\r\n0\r\n\r\n",
            b"-1\r\n" + body,
            b"ffffffffffffffffff\r\n" + body,
        ]
    )
    extra = draw.choice(["", "Content-Length: 5\r\n"])
    return Shot("lying chunks", [_chunked(sent, extra)], frozenset({200, 400, 413, 503, None}))


def header_flood(draw: random.Random, count: str) -> Shot:
    """Too many headers, or too long ones, or what is none."""
    extra = draw.choice(
        [
            "".join(f"X-{n}: y\r\n" for n in range(5000)),
            f"X-Long: {'y' * 100_000}\r\n",
            f"{'X' * 100_000}: y\r\n",
            "no header at all\r\n",
            "X-Nul: a\x00b\r\n",
            "X Space: y\r\n",
            ": y\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Host: other.example.org\r\n",
        ]
    )
    request = _request(payload(alert(labels=_labels(count))), extra=extra)
    return Shot("header flood", [request], frozenset({200, 400, 421, 431, None}))


def form_post(draw: random.Random, count: str) -> Shot:
    """What a web page of somebody else can make a browser send."""
    headers = {
        "Host": "127.0.0.1",
        "Origin": draw.choice(["http://evil.example.org", "null", "http://127.0.0.1:9095"]),
        "Content-Type": draw.choice(["application/x-www-form-urlencoded", "text/plain", "application/json"]),
        "Sec-Fetch-Site": "cross-site",
    }
    path = draw.choice([PATH, "/api/v1/halt", "/api/v1/resume", "/api/v1/dead-letters/drop"])
    return Shot(
        "form post",
        [_request(payload(alert(labels=_labels(count))), path=path, headers=headers)],
        frozenset({403}),
    )


def bad_type(draw: random.Random, count: str) -> Shot:
    """Another content type, encoding or Host."""
    odd = draw.choice(
        [
            {"Content-Type": "text/plain"},
            {"Content-Type": "multipart/form-data; boundary=x"},
            {"Content-Type": "application/json; charset=\udcff"},
            {"Content-Type": ";;;="},
            {"Content-Encoding": "br"},
            {"Content-Encoding": "gzip, gzip"},
            {"Host": "rebound.example.org"},
            {"Host": "[::1"},
            {"Host": ""},
        ]
    )
    request = _request(payload(alert(labels=_labels(count))), headers={**AUTHORIZED, **odd})
    return Shot("bad type", [request], frozenset({200, 400, 415, 421}))


def bad_auth(draw: random.Random, count: str) -> Shot:
    """Missing, wrong and malformed credentials."""
    value = draw.choice(
        [
            "",
            "Bearer",
            "Bearer wrong",
            "Basic !!!",
            "Basic " + b64encode(b"main:" + draw.randbytes(9)).decode(),
            "Digest username=x",
            "Bearer " + "x" * 8000,
            "Bearer \udcff\udcfe",
        ]
    )
    headers = {**AUTHORIZED, "Authorization": value}
    return Shot(
        "bad auth", [_request(payload(alert(labels=_labels(count))), headers=headers)], frozenset({401, 400})
    )


def wrong_way(draw: random.Random, count: str) -> Shot:
    """Another method or another path."""
    body = payload(alert(labels=_labels(count)))
    if draw.random() < 0.5:
        method = draw.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "JUNK"])
        return Shot("wrong method", [_request(body, method=method)], frozenset({400, 404, 405}))
    path = draw.choice(
        [
            "/api/v1/webhooks/alertmanager/nobody",
            "/api/v1/webhooks/alertmanager/%ff%00",
            "/api/v1/webhooks/alertmanager/../../main",
            "/" + "x" * 100_000,
            "//evil.example.org/",
            "http://[::1/",
            "*",
            "/%",
            "/api/v1/webhooks/alertmanager/ma in",
        ]
    )
    return Shot("wrong path", [_request(body, path=path)], frozenset({400, 404, 405, 414, 421, None}))


def no_http(draw: random.Random, _count: str) -> Shot:
    """What is no HTTP at all."""
    sent = draw.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(500),
            b"\r\n\r\n\r\n",
            b"GET\r\n\r\n",
            b"SSH-2.0-x\r\n",
            draw.randbytes(900),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ]
    )
    return Shot("no HTTP", [sent], frozenset({400, 404, 405, 421, 505, None}))


def people(draw: random.Random, _count: str) -> Shot:
    """Nonsense for the routes of people."""
    path = draw.choice(
        [
            "/api/v1/halt",
            "/api/v1/targets/release",
            "/api/v1/dead-letters/retry",
            "/api/v1/dead-letters/drop",
            "/api/v1/incidents/019ab3c2/commands",
            "/api/v1/rules/check",
            "/api/v1/rules/explain",
            "/api/v1/rules/Anything/promote",
        ]
    )
    odd = ["\x00", "\ud800", 10**400, [[]], {"a": 1}, "x" * 5000, -1, 2**64, None]
    body = json.dumps(
        {name: draw.choice(odd) for name in ("actor", "reason", "ids", "target", "kind", "files")}
    )
    headers = {"Content-Type": "application/json"}
    if draw.random() < 0.3:
        odd_path = draw.choice(
            [
                "incidents/%00",
                "incidents?limit=%F0",
                "dead-letters/9" + "9" * 30,
                "dead-letters/x",
                "incidents/aaaa/review?format=%00",
                "rules/%ff",
            ]
        )
        return Shot(
            "people",
            [_request(b"", method="GET", path=f"/api/v1/{odd_path}", headers=headers)],
            frozenset({400, 404}),
        )
    return Shot("people", [_request(body.encode(), path=path, headers=headers)], frozenset({400, 404}))


def _chunked(sent: bytes, extra: str = "") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in AUTHORIZED.items())
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}{extra}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + sent


_KINDS: Mapping[Callable[[random.Random, str], Shot], float] = {
    good: 20,
    resolved: 5,
    twice: 5,
    many_labels: 0.5,
    long_value: 0.5,
    odd_texts: 6,
    odd_times: 6,
    other_senders: 6,
    cut_off: 6,
    flipped: 8,
    wrong_types: 8,
    odd_numbers: 5,
    nested: 3,
    flood_of_bad: 0.3,
    no_text: 4,
    large_and_broken: 0.2,
    oversized: 0.5,
    broken_gzip: 4,
    slow: 1,
    gone: 5,
    lying_length: 4,
    lying_chunks: 4,
    header_flood: 3,
    form_post: 5,
    bad_type: 5,
    bad_auth: 6,
    wrong_way: 5,
    no_http: 3,
    people: 5,
}
"""Each kind, and how often it comes."""
