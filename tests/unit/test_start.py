"""How a start comes to its end: what is waited for, and what ends it."""

from datetime import timedelta

import pytest

from responder import app
from responder.model.errors import PermanentError, StoreAwayError, StoreRefusesError


async def start(monkeypatch: pytest.MonkeyPatch, *met: Exception) -> int:
    """Begin until nothing is in the way; how often deliveries were said to be refused."""
    ahead, away = list(met), []

    async def begin() -> None:
        if ahead:
            raise ahead.pop(0)

    monkeypatch.setattr(app, "_SOON", timedelta(0))
    await app._in_the_end(begin, timedelta(minutes=1), lambda: away.append(1))
    return len(away)


async def test_a_start_that_waits_for_its_database_waits_for_its_role_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever sets the server up does so step by step."""
    refused = StoreRefusesError("role x does not exist")
    assert await start(monkeypatch, StoreAwayError("away"), refused, refused) == 3


@pytest.mark.parametrize("before", [(), (StoreAwayError("away"),)])
async def test_a_mistake_ends_a_start(monkeypatch: pytest.MonkeyPatch, before: tuple[Exception, ...]) -> None:
    """A database that refuses us from the beginning is a mistake; rules that cannot be read always are."""
    mistake = PermanentError("rules/x.yaml") if before else StoreRefusesError("wrong password")
    with pytest.raises(type(mistake)):
        await start(monkeypatch, *before, mistake)
