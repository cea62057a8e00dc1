"""Asking what an alert would lead to costs the targets of one answer at a time, however many ask."""

import asyncio
from typing import Any, cast

from responder.decide.case import Terms
from responder.engine.foresight import Foresight
from responder.engine.gather import Gather
from responder.engine.rules import ActiveRules, IndexedRules
from responder.model.rule import Rulebook
from responder.ports import Store


class Followed:
    """A rulebook without rules, that notes how many follow it at once."""

    indexed = IndexedRules(Rulebook(rules=()))

    def __init__(self) -> None:
        self.now = self.most = 0

    async def follow(self) -> None:
        """Takes a moment."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1


async def test_one_answer_is_made_at_a_time() -> None:
    """Whoever asks again and again makes himself wait, and no target is asked by ten at once."""
    rules, nothing = Followed(), cast("Any", None)
    foresight = Foresight(
        cast("Store", nothing), cast("ActiveRules", rules), cast("Gather", nothing), Terms()
    )
    answers = await asyncio.gather(*(foresight.of({"alertname": "A"}, "main") for _ in range(10)))
    assert [one.matching.taken for one in answers] == [None] * 10
    assert rules.most == 1
