"""Who gives no usable answer is known by name, since when, and not for ever."""

from datetime import timedelta

from responder.clients.answering import FORGOTTEN_AFTER, Answering
from responder.standing.asked import Asked


def test_a_silence_lasts_from_its_first_failure_to_the_next_answer() -> None:
    """However often it was asked meanwhile; another name's answer changes nothing."""
    now = 100.0
    answering = Answering("test", lambda: now)
    answering.heard("a", None)
    assert not answering.silent()
    for now in (110.0, 120.0, 125.0):  # noqa: B007 - the clock reads it
        answering.heard("a", "it hangs")
        answering.heard("b", None)
    assert answering.silent() == {"a": timedelta(seconds=15)}
    answering.heard("a", None)
    assert not answering.silent()


def test_what_nobody_asks_any_more_is_forgotten() -> None:
    """How it stands then nobody can say."""
    now = 0.0
    answering = Answering("test", lambda: now)
    answering.heard("a", "it hangs")
    now = FORGOTTEN_AFTER.total_seconds()
    assert answering.silent()
    now += 1
    assert not answering.silent()


def test_readiness_names_each_with_what_it_affects_and_stays_ready() -> None:
    """A kind, a name and for how long; no address, and no reason that might hold one."""
    asked = Asked(prometheus=Answering("p"), sources=Answering("s"), postgres=Answering("c"))
    assert not asked.parts()
    asked.prometheus.heard("1 of 1", "http://secret:9090 did not answer")
    asked.sources.heard("main, peer 2 of 2", "http://secret:9093 did not answer")
    asked.postgres.heard("orders", "no answer within 5s")
    parts = asked.parts()
    assert [part.name for part in parts] == [
        "prometheus 1 of 1", "alert state of main, peer 2 of 2", "postgres orders"
    ]  # fmt: skip
    assert all(part.ready and part.warning and part.affects for part in parts)
    assert "secret" not in str(parts)
