"""Claims about the clients: what they ask, what they believe, and that failures are words without secrets."""

import asyncio
import gzip
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from responder.clients.alertmanager import Alertmanager, AlertStatus
from responder.clients.http import Access, HttpClient, shown
from responder.clients.prometheus import Prometheus, RuleState, Sample
from responder.model.errors import PermanentError, TemporaryError
from responder.sources.settings import SourceSettings
from tests.support.parts import free_port
from tests.support.peers import FakeAlertmanager, FakePrometheus, known_alert, served

SECOND = timedelta(seconds=1)
SECRET = "s3cr3t-of-the-tests"


@asynccontextmanager
async def asking(url: str, access: Access | None = None) -> AsyncIterator[HttpClient]:
    client = HttpClient(url, access)
    try:
        yield client
    finally:
        await client.close()


async def problem(url: str, access: Access | None = None, within: timedelta = 5 * SECOND) -> str:
    async with asking(url, access) as client:
        with pytest.raises(TemporaryError) as raised:
            await client.get("api/v2/status", {}, within)
        return str(raised.value)


@asynccontextmanager
async def answering(answer: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def test_credentials_are_sent_and_read_anew(tmp_path: Path) -> None:
    """A token file is read for each request, so a rotated token counts at once; basic works as well."""
    file = tmp_path / "token"
    file.write_text("first\n")
    api = FakeAlertmanager()
    async with served(api), asking(api.url, Access(token_file=file)) as client:
        await client.get("api/v2/alerts", {}, SECOND)
        file.write_text("second")
        await client.get("api/v2/alerts", {}, SECOND)
        async with asking(api.url, Access(username="u", password=SecretStr("p"))) as basic:
            await basic.get("api/v2/alerts", {}, SECOND)
    sent = [request.headers["Authorization"] for request in api.seen]
    assert sent == ["Bearer first", "Bearer second", "Basic dTpw"]


async def test_failures_are_words_without_secrets(tmp_path: Path) -> None:
    """Nobody there, a hang, a wrong certificate file: the text names the address, never a credential."""
    access = Access(token=SecretStr(SECRET))
    nobody = f"http://user:{SECRET}@127.0.0.1:{free_port()}"
    api = FakeAlertmanager(hangs=True)
    async with served(api):
        hung = await problem(api.url, access, timedelta(milliseconds=200))
    texts = [
        await problem(nobody),
        hung,
        await problem("http://nobody.invalid", access),
        await problem("https://127.0.0.1", Access(token=SecretStr(SECRET), ca_file=tmp_path / "no.pem")),
        await problem("http://127.0.0.1", Access(token_file=tmp_path / "none")),
    ]
    assert "cannot be reached" in texts[0]
    assert "did not answer within 0.2 s" in texts[1]
    assert "no.pem cannot be read" in texts[3]
    assert "none cannot be read" in texts[4]
    assert not any(SECRET in text for text in texts)
    assert shown(nobody) not in ("", nobody)


async def test_no_fallback_from_tls() -> None:
    """Plain HTTP behind an https address is an error in words, and no credential is sent."""
    api = FakeAlertmanager()
    async with served(api):
        text = await problem(api.url.replace("http:", "https:"), Access(token=SecretStr(SECRET)))
    assert "TLS" in text
    assert not api.seen


async def test_an_answer_is_bounded_even_when_it_is_compressed() -> None:
    """A small gzip that unpacks to more than the limit is given up, not kept in memory."""

    async def bomb(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(3_000_000)), headers={"Content-Encoding": "gzip"})

    async with answering(bomb) as url:
        assert "more than 100000 bytes" in await problem(url, Access(response_limit=100_000))


async def test_redirects_are_not_followed() -> None:
    """A redirect is no answer: credentials go to the configured address and nowhere else."""
    other = FakeAlertmanager()

    async def away(_request: web.Request) -> web.Response:
        raise web.HTTPFound(other.url)

    async with served(other), answering(away) as url:
        client = Alertmanager(url, Access(token=SecretStr(SECRET)))
        with pytest.raises(TemporaryError, match="302 Found"):
            await client.alerts()
        await client.close()
    assert not other.seen


async def test_alertmanager_is_asked_for_everything_not_ended() -> None:
    """Silenced and inhibited alerts are asked for; the receiver is an expression there, so it is quoted."""
    silenced = known_alert({"alertname": "A"}, state="suppressed", silenced=["id-1"])
    api = FakeAlertmanager(alerts=[known_alert({"alertname": "B"}), silenced])
    async with served(api):
        client = Alertmanager(api.url)
        active, suppressed = await client.alerts("team.x|y", "Disk full")
        await client.alerts("responder", "DiskFull")
        await client.close()
    assert (active.state, suppressed.state) == (AlertStatus.ACTIVE, AlertStatus.SUPPRESSED)
    assert (suppressed.silenced_by, suppressed.held_by) == (("id-1",), ())
    assert active.starts_at == datetime(2026, 11, 24, 0, 11, 2, 123000, tzinfo=UTC)
    asked, narrowed = (dict(request.query) for request in api.seen)
    assert asked["receiver"] == r"team\.x\|y"
    assert asked["silenced"] == asked["inhibited"] == asked["unprocessed"] == "true"
    assert "filter" not in asked, "a blank is read differently by old and new parsers"
    assert narrowed["filter"] == 'alertname="DiskFull"'


async def test_what_newer_alertmanagers_add_is_no_error() -> None:
    """Unknown fields are ignored, missing lists are empty, and time intervals of 0.28 suppress."""
    alert = known_alert({"alertname": "A"}, state="suppressed")
    alert["status"] = {"state": "suppressed", "silencedBy": None, "mutedBy": ["weekends"], "new": 1}
    api = FakeAlertmanager(alerts=[alert], up_for=timedelta(seconds=90))
    async with served(api):
        client = Alertmanager(api.url)
        (found,) = await client.alerts()
        status = await client.status()
        await client.close()
    assert (found.silenced_by, found.held_by) == ((), ("time interval weekends",))
    assert status.version == "0.25.0"
    assert abs(status.up_for - timedelta(seconds=90)) < timedelta(seconds=3)
    assert status.config.startswith("route:")


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'[{"labels": {}}]', b'[{"labels": {"a": 1}}]', b"[null]"]
)
async def test_what_is_no_alertmanager_is_a_failure(body: bytes) -> None:
    """A login page or another program's JSON is no empty list of alerts."""

    async def other(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with answering(other) as url:
        client = Alertmanager(url)
        with pytest.raises(TemporaryError, match="does not answer as"):
            await client.alerts()
        await client.close()


async def test_prometheus_answers_vectors_and_scalars() -> None:
    """Each series with its value, NaN and infinity included; a scalar is one sample without labels."""
    api = FakePrometheus()
    api.data = {
        "resultType": "vector",
        "result": [
            {"metric": {"job": "a"}, "value": [1764000000.1, "0.5"]},
            {"metric": {"job": "b"}, "value": [1764000000.1, "NaN"]},
            {"metric": {"job": "c"}, "value": [1764000000.1, "+Inf"]},
        ],
    }
    async with served(api):
        client = Prometheus(api.url)
        half, nan, infinite = await client.query("up", SECOND)
        api.data = {"resultType": "scalar", "result": [1764000000.1, "42"]}
        scalar = await client.query("scalar(up)")
        api.data = {"resultType": "vector", "result": []}
        empty = await client.query("absent_metric")
        await client.close()
    assert half == Sample({"job": "a"}, 0.5)
    assert math.isnan(nan.value)
    assert infinite.value == math.inf
    assert scalar == (Sample({}, 42.0),)
    assert empty == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"resultType": "matrix", "result": []}, PermanentError),
        ({"resultType": "string", "result": [1, "x"]}, PermanentError),
        ({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}, PermanentError),
        ({"resultType": "vector", "result": [{"metric": {}, "value": [1, 2]}]}, TemporaryError),
        ({"resultType": "vector", "result": [{"value": [1, "2"]}]}, TemporaryError),
        ({"resultType": "vector", "result": 3}, TemporaryError),
        ({"result": []}, TemporaryError),
        (None, TemporaryError),
    ],
)
async def test_what_is_no_number_is_an_error(data: Any, expected: type[Exception]) -> None:
    """Ranges, texts, histograms and foreign shapes are never read as a value or as an empty answer."""
    api = FakePrometheus(data=data)
    async with served(api):
        client = Prometheus(api.url)
        with pytest.raises(expected):
            await client.query("x")
        await client.close()


async def test_an_incomplete_answer_is_no_answer() -> None:
    """A warning (a partial response) raises; a mere remark of old and new versions does not."""
    api = FakePrometheus(extra={"warnings": ["remote read failed"]})
    async with served(api):
        client = Prometheus(api.url)
        with pytest.raises(TemporaryError, match="remote read failed"):
            await client.query("x")
        api.extra = {"warnings": ["PromQL info: metric might not be a counter"], "infos": ["PromQL info: y"]}
        assert await client.query("x") == ()
        await client.close()


async def test_a_wrong_query_is_permanent_and_says_why() -> None:
    """What Prometheus refuses is told in its words and is permanent; its overload is temporary."""

    async def refuse(request: web.Request) -> web.Response:
        form = await request.post()
        wrong = form["query"] == "wrong"
        body = {"status": "error", "errorType": "bad_data", "error": "1:1: parse error"}
        return web.json_response(body, status=400 if wrong else 503)

    async with answering(refuse) as url:
        client = Prometheus(url)
        with pytest.raises(PermanentError, match="parse error"):
            await client.query("wrong")
        with pytest.raises(TemporaryError, match="503"):
            await client.query("right")
        await client.close()


async def test_prometheus_tells_its_alerts() -> None:
    """Pending and firing alerts, and for how long the server is up by its own clock."""
    alerts: list[dict[str, Any]] = [
        {
            "labels": {"alertname": "A"},
            "annotations": {},
            "state": "firing",
            "activeAt": "2026-11-24T00:00:00.1Z",
        },
        {
            "labels": {"alertname": "B"},
            "annotations": {},
            "state": "pending",
            "activeAt": None,
            "value": "1e+00",
        },
    ]
    api = FakePrometheus(alerts=alerts, up_for=timedelta(hours=2))
    async with served(api):
        client = Prometheus(api.url)
        firing, pending = await client.alerts()
        up_for = await client.up_for()
        await client.close()
    assert (firing.state, pending.state) == (RuleState.FIRING, RuleState.PENDING)
    assert abs(up_for - timedelta(hours=2)) < timedelta(seconds=3)


async def test_time_is_measured_on_the_servers_clock() -> None:
    """A server whose clock is a day ahead is not a day older than it is."""
    ahead = datetime.now(UTC) + timedelta(days=1)

    async def status(_request: web.Request) -> web.Response:
        body = {"uptime": (ahead - timedelta(seconds=30)).isoformat(), "config": {"original": ""}}
        date = ahead.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return web.Response(text=json.dumps(body), content_type="application/json", headers={"Date": date})

    async with answering(status) as url:
        client = Alertmanager(url)
        told = await client.status()
        await client.close()
    assert timedelta(seconds=28) < told.up_for <= timedelta(seconds=30)


async def test_a_trickling_answer_ends_at_the_limit() -> None:
    """The limit covers the whole exchange: a byte now and then does not keep it open."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(600):
            await response.write(b"[")
            await asyncio.sleep(0.1)
        return response

    async with answering(trickle) as url:
        began = time.monotonic()
        assert "did not answer within 0.5 s" in await problem(url, within=timedelta(seconds=0.5))
    assert time.monotonic() - began < 20, "not the minute that the server would take"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"alertmanager": [f"http://user:{SECRET}@am:9093"]}, "credentials"),
        ({"alertmanager": ["am:9093"]}, "no address of HTTP"),
        ({"prometheus": ["http://p/?x=1"]}, "query"),
        ({"token": SECRET, "username": "u", "password": SECRET}, "not both"),
        ({"username": "u"}, "belong together"),
        ({"resend_period": "0s"}, "more than 0s"),
        ({"api": {"token": SECRET, "token_file": "/x"}}, "not both"),
        ({"tokenn": SECRET}, "Extra inputs"),
    ],
)
def test_wrong_settings_are_told_without_their_values(fields: dict[str, Any], word: str) -> None:
    """A mistake in a source's settings says what is wrong and never repeats a secret."""
    with pytest.raises(ValidationError) as raised:
        SourceSettings.model_validate({"name": "main", **fields})
    assert word in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_sources_secrets_come_from_files(tmp_path: Path) -> None:
    """Token and password may stand in files; an empty file is refused, it would let anybody in."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    by_token = SourceSettings(name="main", token_file=file)
    by_password = SourceSettings(name="main", username="u", password_file=file)
    assert by_token.bearer() == SecretStr(SECRET)
    assert by_password.basic() == ("u", SecretStr(SECRET))
    assert SECRET not in f"{by_token!r}{by_password!r}"
    file.write_text("\n")
    with pytest.raises(PermanentError, match="is empty"):
        by_token.bearer()
