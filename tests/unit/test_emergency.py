"""Pages without a record: how often, how many, signed how, and what a bad receiver can do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr, ValidationError

from responder.clients.webhook import Webhook, signature
from responder.engine.emergency import Unstored
from responder.engine.rules import ActiveRules
from responder.model.alert import AlertKey, Delivery
from responder.model.rule import Rulebook, SeverityCase
from responder.model.severity import Severity
from responder.notify.emergency import NOTICE, Admission, EmergencyWebhook, Pacing
from responder.notify.settings import EmergencySettings
from responder.ports import EmergencyPage, Store
from responder.telemetry import build_metrics
from tests.support.pager import SECRET, PagerDesk, pager_desk
from tests.support.stored import RULE, alert


def key(number: int) -> AlertKey:
    return AlertKey("main", f"{number:016x}")


def test_an_alert_is_paged_at_most_once_in_15_minutes() -> None:
    """However often it is sent again; another source's alert of the same fingerprint is another alert."""
    pacing = Pacing(per_minute=10)
    times = (0.0, 1.0, 899.0, 900.0, 901.0, 1799.0, 1800.0)
    admitted = [pacing.admit(key(1), "Down", now) for now in times]
    sent, repeated = Admission.SENT, Admission.REPEATED
    assert admitted == [sent, repeated, repeated, sent, repeated, repeated, sent]
    assert pacing.admit(AlertKey("other", key(1).fingerprint), "Down", 1801.0) is sent


def test_a_storm_is_so_many_pages_a_minute_and_one_with_the_number_of_the_others() -> None:
    """Nothing is left out of the number, nothing counts twice, and the next minute has pages again."""
    pacing = Pacing(per_minute=3)
    admitted = [pacing.admit(key(n), f"rule {n % 2}", float(n) / 10) for n in range(10)]
    assert admitted == [Admission.SENT] * 3 + [Admission.COUNTED] * 7
    assert [pacing.admit(key(n), "rule", 5.0) for n in range(10)] == [Admission.REPEATED] * 10
    assert pacing.summary(59.9) == {}
    assert pacing.summary_in(45.0) == 15.0
    assert pacing.summary(60.0) == {"rule 1": 4, "rule 0": 3}
    assert pacing.summary(60.0) == {}
    assert pacing.summary_in(60.0) is None
    assert pacing.admit(key(11), "rule", 61.0) is Admission.SENT


def test_memory_is_bounded_and_what_is_not_remembered_is_still_counted() -> None:
    """A storm of new alerts: beyond the bound they are in the number, and after 15 minutes there is room."""
    pacing = Pacing(per_minute=1000, remembered=2)
    admitted = [pacing.admit(key(n), "rule", 0.0) for n in range(4)]
    assert admitted == [Admission.SENT, Admission.SENT, Admission.COUNTED, Admission.COUNTED]
    assert pacing.summary(60.0) == {"rule": 2}
    assert pacing.admit(key(9), "rule", 900.0) is Admission.SENT


def test_the_signature_is_the_one_of_the_standard() -> None:
    """The example of the reference implementations of Standard Webhooks."""
    secret = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"webhook": "https://x/y"}, "belong together"),
        ({"secret": SECRET}, "belong together"),
        ({"webhook": "ftp://x/y", "secret": SECRET}, "no address of HTTP"),
        ({"webhook": "https://u:p@x/y", "secret": SECRET}, "credentials"),
        ({"webhook": "https://x/y", "secret": "whsec_c2hvcnQ="}, "no signing secret"),
        ({"webhook": "https://x/y", "secret": "0123456789abcdef0123456789abcdef"}, "no signing secret"),
    ],
)
def test_settings_that_could_not_page_are_refused(given: dict[str, Any], why: str) -> None:
    """At the start, not in the night in which they are needed; and no secret is quoted."""
    with pytest.raises(ValidationError, match=why) as refused:
        EmergencySettings.model_validate(given)
    assert "c2hvcnQ" not in str(refused.value)


def page(number: int) -> EmergencyPage:
    return EmergencyPage(
        source="main",
        fingerprint=key(number).fingerprint,
        rule="Down",
        runbook_url=None,
        owner="team",
        labels={"alertname": "Down"},
        annotations={"summary": "ünreachable"},
        starts_at=datetime(2026, 11, 24, tzinfo=UTC),
        generator_url="",
    )


@dataclass
class Asked:
    """What is to be paged."""

    pages: list[EmergencyPage] = field(default_factory=list)

    def page(self, page: EmergencyPage) -> None:
        """See `ports.EmergencyPager.page`."""
        self.pages.append(page)


def test_a_page_is_no_larger_than_a_receiver_takes() -> None:
    """Whatever its alert carries: refused for its size it would be told to nobody. Its name is kept."""
    rule = RULE.model_copy(update={"severity": (SeverityCase(severity=Severity.P0),)})
    rules, asked = ActiveRules(cast(Store, None)), Asked()  # no store is asked
    rules.stand_in(Rulebook(rules=(rule,)))
    small = alert("p", summary="y" * 30_000)
    many = {f"a{number}": "x" * 10_000 for number in range(900)}
    large = replace(small, labels={**many, **small.labels})
    Unstored(rules, asked)(Delivery(source="main", alerts=(small, large)))
    first, second = asked.pages
    assert (first.labels, len(first.annotations["summary"])) == (small.labels, 1001)
    assert (second.labels["alertname"], len(second.labels)) == ("Stuck", 50)
    assert len(second.model_dump_json()) < 64 * 1024


def test_of_the_rules_that_take_an_alert_the_first_that_is_p0_pages() -> None:
    """Once for an alert, whichever rules pass it on; none that is P0, or none behind one that keeps it."""
    p0 = (SeverityCase(severity=Severity.P0),)
    lesser = RULE.model_copy(update={"name": "Lesser", "continues": True})
    worst = RULE.model_copy(update={"name": "Worst", "severity": p0, "continues": True})
    also = RULE.model_copy(update={"name": "Also", "severity": p0})
    for rules, paged in (
        ((lesser, worst, also), ["Worst"]),
        ((lesser.model_copy(update={"continues": False}), worst), []),
        ((lesser,), []),
    ):
        active, asked = ActiveRules(cast(Store, None)), Asked()  # no store is asked
        active.stand_in(Rulebook(rules=rules))
        Unstored(active, asked)(Delivery(source="main", alerts=(alert("p"),)))
        assert [page.rule for page in asked.pages] == paged


@asynccontextmanager
async def paging(
    desk: PagerDesk, per_minute: int = 10
) -> AsyncIterator[tuple[EmergencyWebhook, list[float]]]:
    """Pages to the desk, by a clock that the test sets."""
    now = [1000.0]
    receiver = Webhook(SecretStr(desk.url), SecretStr(SECRET))
    metrics = build_metrics("0")
    pager = EmergencyWebhook(receiver, Pacing(per_minute), timedelta(seconds=1), metrics, lambda: now[0])
    pager.start()
    try:
        yield pager, now
    finally:
        await pager.close()


async def test_a_page_is_tried_until_it_is_taken_under_the_same_id() -> None:
    """A 503 and a 429 are tried again; a 400 is not, and holds up no other page."""
    async with pager_desk() as desk, paging(desk) as (pager, _):
        desk.answers = [503, 429, 204, 400, 204]
        pager.page(page(1))
        first = list(await desk.got(3))
        pager.page(page(2))
        await desk.got(4)
        pager.page(page(3))
        tries = await desk.got(5)
    assert len({one.id for one in first}) == 1
    assert len({one.id for one in tries}) == 3
    data = tries[0].body["data"]
    assert (data["notice"], data["severity"], data["fingerprint"]) == (NOTICE, "P0", key(1).fingerprint)
    assert data["annotations"] == {"summary": "ünreachable"}


async def test_a_receiver_that_hangs_is_tried_again_and_holds_nobody_up() -> None:
    """Whoever asks for a page goes on at once; when the receiver is well again it has every page."""
    async with pager_desk() as desk, paging(desk) as (pager, _):
        desk.hangs = True
        pager.page(page(1))
        await desk.got(1)
        pager.page(page(2))
        desk.hangs = False
        while {one.body["data"]["fingerprint"] for one in desk.tries[1:]} != {
            key(1).fingerprint,
            key(2).fingerprint,
        }:
            await desk.got(len(desk.tries) + 1)


async def test_what_was_counted_is_told_when_its_minute_is_over_and_at_the_end() -> None:
    """One page with the number, marked like every other."""
    async with pager_desk() as desk:
        async with paging(desk, per_minute=1) as (pager, now):
            for number in range(4):
                pager.page(page(number))
            await desk.got(1)
            now[0] += 60.0
            pager.page(page(0))
            await desk.got(2)
            for number in range(10, 13):
                pager.page(page(number))
        tries = await desk.got(4)
    kinds = [one.body["type"] for one in tries]
    assert kinds == ["responder.emergency_page", "responder.emergency_summary"] * 2
    assert tries[1].body["data"]["count"] == 3
    assert tries[1].body["data"]["rules"] == {"Down": 3}
    assert tries[3].body["data"] == {"notice": NOTICE, "severity": "P0", "count": 2, "rules": {"Down": 2}}


async def test_after_15_minutes_a_page_is_given_up() -> None:
    """What nobody took for so long is told by the log; the next one for the same alert is sent anew."""
    async with pager_desk() as desk, paging(desk) as (pager, now):
        desk.answers = [503]
        pager.page(page(1))
        await desk.got(1)
        now[0] += 901.0
        pager.page(page(1))
        tries = await desk.got(2)
        await asyncio.sleep(0)
    assert len({one.id for one in tries}) == 2
