"""The machines' route over a real listener: what is stored, what is refused, and with which answer."""

import asyncio
import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest
from pydantic import SecretStr

from responder.model.errors import OverloadedError, StoreAwayError
from responder.web.settings import WebSettings
from tests.support.http_api import listening

PATH = "/api/v1/webhooks/alertmanager/default"
JSON = {"Content-Type": "application/json"}
ALERT = {"alertname": "A"}


async def test_a_delivery_is_answered_after_it_was_taken() -> None:
    """200 means that the intake has it, and the answer counts."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, json={"alerts": [ALERT]}) as response:
            assert response.status == 200
            assert await response.json() == {"stored": 1, "rejected": 0}
        assert served.intake.taken[0].alerts[0].labels == ALERT


async def test_a_bad_alert_among_good_ones_is_a_success_that_says_so() -> None:
    """A 4xx would bring the whole group again: 200, and the body tells."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, json={"alerts": [ALERT, 7]}) as response:
            told = await response.json()
        assert response.status == 200
        assert (told["stored"], told["rejected"]) == (1, 1)
        assert told["reasons"] == ["labels are no object"]


@pytest.mark.parametrize(
    "problem", [OverloadedError("the queue is full", timedelta(seconds=3)), StoreAwayError("away")]
)
async def test_what_may_work_later_is_503_with_retry_after(problem: Exception) -> None:
    """Overload and a database that is away: nothing is lost, Alertmanager comes again."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        served.intake.problem = problem
        async with client.post(PATH, json={"alerts": [ALERT]}) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert (await response.json())["error"] == str(problem)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"alerts": 5}'.replace(b"5", b"null"),
        b"{" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"alerts":' + b"9" * 10_000 + b"}",
        b"\xff\xfe",
        b'"\\ud800"',
        b"NaN",
    ],
)
async def test_what_is_no_payload_is_400_naming_the_field(body: bytes) -> None:
    """Whatever the bytes are, the answer is a 400 with the field: never a 5xx, and nothing is taken."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, data=body, headers=JSON) as response:
            assert response.status == 400
            assert (await response.json())["field"]
        assert served.intake.taken == []


async def test_an_unknown_source_is_404_and_names_the_mend() -> None:
    """A misspelt URL is told as such, also when its bytes are no text."""
    async with listening() as served, aiohttp.ClientSession() as client:
        for name in ("nobody", "%ff%00"):
            url = f"{served.url}/api/v1/webhooks/alertmanager/{name}"
            async with client.post(url, json={"alerts": []}) as response:
                assert response.status == 404
                assert "sources" in (await response.json())["mend"]


async def test_only_the_sources_own_credentials_open_its_route() -> None:
    """Bearer or basic as configured; missing, wrong and malformed ones are 401 with the scheme."""
    token, basic = SecretStr("right-token"), ("am", SecretStr("pässword"))
    async with listening(token=token, basic=basic) as served, aiohttp.ClientSession(served.url) as client:

        async def status(value: str | None) -> int:
            headers = {"Authorization": value} if value is not None else {}
            async with client.post(PATH, json={"alerts": []}, headers=headers) as response:
                assert response.status == 200 or "realm" in response.headers["WWW-Authenticate"]
                return response.status

        good = "Basic " + b64encode("am:pässword".encode()).decode()
        assert [await status(value) for value in ("Bearer right-token", "bearer right-token", good)] == [
            200
        ] * 3
        wrong = (
            None,
            "",
            "Bearer",
            "Bearer right-tokem",
            "Basic !!!",
            "Basic YW06",
            "Digest x",
            "right-token",
        )
        assert [await status(value) for value in wrong] == [401] * len(wrong)


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Content-Type": "text/plain"}, 415, "Content-Type"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415, "Content-Type"),
        ({**JSON, "Content-Encoding": "br"}, 415, "Content-Encoding"),
        ({**JSON, "Origin": "null"}, 403, "Origin"),
        ({**JSON, "Origin": "http://127.0.0.1"}, 403, "Origin"),
        ({**JSON, "Host": "rebound.example.org"}, 421, "Host"),
        ({**JSON, "Host": "[::1"}, 421, "Host"),
    ],
)
async def test_what_a_web_page_could_send_is_refused(
    headers: dict[str, str], status: int, field: str
) -> None:
    """A page that the operator visits can neither post a form nor use a rebound name."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, data=b'{"alerts": []}', headers=headers) as response:
            assert response.status == status
            assert (await response.json())["field"] == field
        assert served.intake.taken == []


async def test_a_gzip_bomb_is_413_and_leaves_a_dead_letter() -> None:
    """The limit counts unpacked bytes; the head of what was refused is kept for a person."""
    bomb = gzip.compress(b'{"alerts": ["' + b"x" * 50_000_000 + b'"]}')
    settings = WebSettings(body_limit=1_000_000)
    headers = {**JSON, "Content-Encoding": "gzip"}
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, data=bomb, headers=headers) as response:
            assert response.status == 413
        [letter] = served.intake.taken[0].rejected
        assert letter.payload.startswith('{"alerts": ["xxx')
        assert len(letter.payload) <= 1024


async def test_gzip_is_unpacked_and_broken_gzip_is_the_clients_mistake() -> None:
    """Proxies may pack; what cannot be unpacked is a 400."""
    packed = gzip.compress(json.dumps({"alerts": [ALERT]}).encode())
    headers = {**JSON, "Content-Encoding": "gzip"}
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, data=packed, headers=headers) as response:
            assert response.status == 200
        for broken in (b"no gzip at all", packed[:-12]):
            async with client.post(PATH, data=broken, headers=headers) as response:
                assert response.status == 400


async def test_a_large_delivery_is_taken_in_slices_and_all_of_it() -> None:
    """1,201 alerts become three transactions, in order, and the answer comes after the last."""
    alerts = [{"n": str(number)} for number in range(1201)]
    settings = WebSettings(large_body=1024)
    async with listening(settings) as served, aiohttp.ClientSession(served.url) as client:
        async with client.post(PATH, json={"alerts": [*alerts, 7]}) as response:
            assert (await response.json())["stored"] == 1201
        assert [len(part.alerts) for part in served.intake.taken] == [500, 500, 201]
        assert sum(len(part.rejected) for part in served.intake.taken) == 1


async def test_a_sender_that_stalls_is_told_to_come_again() -> None:
    """A body that does not arrive holds nothing for long, and is 503: the network may be at fault."""

    async def stalling() -> AsyncIterator[bytes]:
        yield b'{"alerts":'
        await asyncio.sleep(30)

    settings = WebSettings(read_timeout=timedelta(milliseconds=200))
    async with (
        listening(settings) as served,
        aiohttp.ClientSession(served.url) as client,
        client.post(PATH, data=stalling(), headers=JSON) as response,
    ):
        assert response.status == 503


async def test_deliveries_are_counted_by_outcome() -> None:
    """The metrics tell stored, rejected and refused apart."""
    async with listening() as served, aiohttp.ClientSession(served.url) as client:
        await client.post(PATH, json={"alerts": [ALERT, 7]})
        await client.post(PATH, data=b"?", headers=JSON)
        async with client.get("/metrics") as response:
            text = await response.text()
    for outcome in ("stored", "rejected", "refused"):
        assert f'responder_alerts_received_total{{outcome="{outcome}",source="default"}} 1.0' in text
    assert "responder_intake_seconds_count 2.0" in text
