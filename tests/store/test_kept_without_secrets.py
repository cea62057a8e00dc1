"""What comes back from other systems and from people goes through redaction before the store keeps it."""

import json
from uuid import uuid4

from responder.decide.case import Finding
from responder.model.alert import Rejected
from responder.model.attempt import Attempt
from responder.model.autonomy import Autonomy
from responder.model.incident import Command, CommandFacts, CommandKind
from responder.model.target import Element
from tests.support.secrets import LEAKS
from tests.support.stored import change, intent, stored, told
from tests.support.traces import everything_stored, found_in


async def test_nothing_that_came_back_from_elsewhere_is_kept_with_a_secret(dsn: str) -> None:
    """Evidence, timeline, progress, attempts, commands, halts, drops, promotions: every table is searched."""
    texts = [leak.text for leak in LEAKS]
    async with stored(dsn) as it:
        lease, case = await it.held()
        entries = tuple(told(text, found={"body": json.dumps({"error": text})}) for text in texts)
        progress = case.incident.progress.model_copy(update={"outcome": "\n".join(texts)})
        acting = intent(
            case,
            elements=(Element(key="7/100", title=texts[0], facts={"query": "\n".join(texts)}),),
            state_before={"rows": texts},
            params={"note": "\n".join(texts)},
        )
        acted = change(case, entries=entries, progress=progress)
        assert isinstance(await it.store.commit_intent(lease, acting, acted), Attempt)
        later = change(await it.store.load(lease), entries=entries, progress=progress)
        assert await it.store.record(lease, case, later)
        finding = Finding(
            id=uuid4(), action="look", summary=texts[0], facts={"rows": texts, "password": "swordfish"}
        )
        await it.store.add_finding(case.incident.id, finding)
        command = Command(
            id=uuid4(),
            incident_id=case.incident.id,
            kind=CommandKind.ACKNOWLEDGE,
            actor="ada",
            reason="\n".join(texts),
            facts=CommandFacts(said_by="\n".join(texts)),
            given_at=case.incident.opened_at,
        )
        await it.store.give_command(command)
        await it.store.halt("ada", "\n".join(texts))
        await it.store.resume("ada", "\n".join(texts))
        letter = Rejected(reason="odd", payload="7")
        async with it.store.intake() as taken:
            await taken.write_dead_letters("am", [letter])
        [number] = [one.id for one in await it.store.dead_letters(1)]
        assert await it.store.drop_dead_letters([number], "ada", "\n".join(texts)) == [number]
        await it.store.promote("r", "h", Autonomy.AUTO, "ada", "\n".join(texts))
        assert await it.store.chain_break(case.incident.id) is None
    place = await everything_stored(dsn)
    assert "swordfish" not in place
    assert place.count("[redacted]") > len(LEAKS)
    assert found_in(place, [leak.secret for leak in LEAKS]) == []
