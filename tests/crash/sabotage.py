"""A responder that breaks its word in one way, for `python -m tests.crash.sabotage WAY serve ...`.

It proves the check: what a swap of two steps does must be found. The product has no way to any of this.
"""

import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from aiohttp import web

from responder.cli.main import main
from responder.decide import changes
from responder.decide.case import Case, Change, IntentLost
from responder.engine.gather import Place
from responder.engine.perform import Perform
from responder.model.attempt import Attempt, Intent, Outcome
from responder.model.timeline import EntryDraft
from responder.ports import Lease
from responder.web.webhooks import Webhooks


def _intent_after_effect() -> None:
    async def attempt(
        self: Perform,
        lease: Lease,
        case: Case,
        place: Place,
        intent: Intent,
        told: EntryDraft,
        now: datetime,
        *others: EntryDraft,
    ) -> Change | None:
        del others
        end = await self._act(lease, place, _uncommitted(intent, now), self.monotonic() + 60)
        change = changes.intended(case, intent, told, now, self.terms)
        committed = await self.store.commit_intent(lease, intent, change)
        if isinstance(committed, IntentLost):
            return None
        return changes.ended(await self.store.load(lease), committed, end, await self.store.now(), self.terms)

    Perform._attempt = attempt  # type: ignore[method-assign]


def _uncommitted(intent: Intent, now: datetime) -> Attempt:
    return Attempt(
        **intent.model_dump(include=Attempt.model_fields.keys() - {"elements"}),
        id=intent.attempt_id,
        elements=intent.elements,
        outcome=Outcome.STARTED,
        intended_at=now,
        start_before=now + timedelta(seconds=intent.start_window_s),
    )


def _answer_before_commit() -> None:
    async def receive(self: Webhooks, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answer = web.json_response({"stored": "soon"})
        await answer.prepare(request)
        await answer.write_eof()
        source = self._source(request)
        await self._take(source, bytearray(body), large=False)
        return answer

    Webhooks.receive = receive  # type: ignore[assignment, method-assign]


WAYS: Mapping[str, Callable[[], None]] = {
    "intent-after-effect": _intent_after_effect,
    "answer-before-commit": _answer_before_commit,
}
"""What is done in the wrong order."""

if __name__ == "__main__":
    WAYS[sys.argv.pop(1)]()
    main()
