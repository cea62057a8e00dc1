"""What keeps each promise, and how it is taken out: the lines of the product, and what stands there instead.

A sabotage is found when the promise's test fails at the line that it names. Its text must stand exactly once
in its file: where the product has changed, the sabotage has to be written anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One line taken out. `fails` is a part of the test's line that fails by it."""

    promise: int
    what: str
    file: str
    find: str
    instead: str
    fails: str


SABOTAGES: Sequence[Sabotage] = (
    Sabotage(
        1,
        "the answer waits for the COMMIT",
        "responder/engine/intake.py",
        "            return await answer\n",
        "            return Receipt(stored=len(delivery.alerts), rejected=0)\n",
        "assert await unanswered(lost)",
    ),
    Sabotage(
        2,
        "a full queue refuses",
        "responder/engine/intake.py",
        "        if len(self._batches) >= self._settings.queue_limit:\n",
        "        if len(self._batches) < 0:\n",
        "assert await refused_soon(",
    ),
    Sabotage(
        2,
        "what may work later is a 503",
        "responder/web/answers.py",
        "RequestError(503, str(error), mend=",
        "RequestError(429, str(error), mend=",
        "assert await refused_soon(",
    ),
    Sabotage(
        3,
        "alerts of one group are one incident",
        "responder/engine/rules.py",
        '        values = tuple([labels.get(name, "") for name in rule.group_by])\n',
        "        return NewIncident(rule.name, self.hash, dict(labels), severity, rule.wait_for, ())\n",
        "assert len(incidents) == 1",
    ),
    Sabotage(
        3,
        "the earliest start counts",
        "responder/decide/fold.py",
        "            starts_at=min(record.starts_at, alert.starts_at),\n",
        "            starts_at=alert.starts_at,\n",
        "assert await db.sql(episodes) ==",
    ),
    Sabotage(
        4,
        "what only a peer knows is taken in",
        "responder/engine/reconcile.py",
        "                await self._take_in(compared, missing)\n            else:\n",
        "                pass\n            else:\n",
        'await until(is_told, "what only a peer knows is told to a person"',
    ),
    Sabotage(
        4,
        "nothing ends while a peer does not answer",
        "responder/engine/reconcile.py",
        "            believed=bool(reports) and all(report.doubt is None for report in reports),\n",
        "            believed=True,\n",
        'assert await counted(client, "reconcile_gone") == 0',
    ),
    Sabotage(
        5,
        "the position is moved in the transaction of the journal",
        "responder/engine/commit.py",
        "                await transaction.advance(source, position)\n",
        "                async with self._store.intake() as before:\n"
        "                    await before.advance(source, position)\n",
        "assert await on.db.sql(both) == [(0, None)]",
    ),
    Sabotage(
        6,
        "what cannot be used is kept with its reason",
        "responder/engine/commit.py",
        "                    await transaction.write_dead_letters(delivery.source, delivery.rejected)\n",
        "                    pass\n",
        "assert len(letters) == len(bad) + 2",
    ),
    Sabotage(
        6,
        "a batch that cannot be written is divided",
        "responder/engine/isolate.py",
        "            await self._divide(pieces, error)\n        except (StoreAwayError",
        "            raise StoreAwayError from error\n        except (StoreAwayError",
        "assert isinstance(receipt, Receipt)",
    ),
    Sabotage(
        7,
        "after a crash the target is asked",
        "responder/engine/perform.py",
        "                results = tuple(await action.happened(attempt))\n",
        "                params = action.Params.model_validate(attempt.params)\n"
        "                [there] = action.resolve(params)\n"
        "                state = await action.look(params, there)\n"
        "                results = tuple(\n"
        "                    [await action.run(there, one, params, state, attempt.id)\n"
        "                     for one in attempt.elements]\n"
        "                )\n",
        "assert not [result.text for result in results if result.violations]",
    ),
    Sabotage(
        8,
        "an effect begins only while its process owns the lease",
        "responder/engine/perform.py",
        " if self.monotonic() > latest or not self.ownership.owns(lease) else None",
        " if self.monotonic() > latest else None",
        'assert begun == [("db1", "first")]',
    ),
    Sabotage(
        8,
        "an intent is committed only by the owner",
        "responder/store/owner.py",
        "WHERE id = $1 AND owner = $2 AND epoch = $5\n",
        "WHERE id = $1 AND $2::uuid IS NOT NULL AND $5::integer IS NOT NULL\n",
        "assert by_its_old_lease is IntentLost.DEPOSED",
    ),
    Sabotage(
        8,
        "a heartbeat that is overdue deposes",
        "responder/store/owner.py",
        '        if seen["heartbeat_at"] is None or seen["heartbeat_at"] <= now - self._lease_time:\n',
        '        if seen["heartbeat_at"] is None:\n',
        "assert overdue is IntentLost.DEPOSED",
    ),
    Sabotage(
        9,
        "what is spent is counted under the budget's lock",
        "responder/store/budgets.py",
        "    SELECT count(*) < {globally} AND count(*)",
        "    SELECT count(*) < 1000 + {globally} AND count(*)",
        'await on.held(len(NAMES) - 5, "budget")',
    ),
    Sabotage(
        10,
        "a claim is one attempt's",
        "responder/store/ledger.py",
        '"ON CONFLICT (target) DO NOTHING"\n',
        '"ON CONFLICT (target) DO UPDATE SET since = excluded.since"\n',
        'await on.held(1, "claim")',
    ),
    Sabotage(
        10,
        "a claim lasts beyond the outcome, to the verdict",
        "responder/store/ledger.py",
        "    await connection.execute(_END, end.attempt_id, end.outcome.value, results, after, now)\n",
        "    await connection.execute(_END, end.attempt_id, end.outcome.value, results, after, now)\n"
        "    await connection.execute(_RELEASE, end.attempt_id)\n",
        "assert await on.db.one(overlaps) == 0",
    ),
    Sabotage(
        11,
        "more elements than at_most refuse",
        "responder/engine/gather.py",
        "action.refuse(place.params, place.state) or _too_many(elements, action.at_most(place.params))\n",
        "action.refuse(place.params, place.state)\n",
        'await on.are("escalated", 2)',
    ),
    Sabotage(
        11,
        "no target refuses",
        "responder/engine/gather.py",
        '            raise RefusedError("the parameters lead to no target")\n',
        '            return Target(key="test/anything", name="anything")\n',
        'await on.are("escalated", 2)',
    ),
    Sabotage(
        12,
        "each step looks anew",
        "responder/engine/gather.py",
        "                state = await action.look(params, target)\n",
        "                seen = self.__dict__.setdefault('seen', {})\n"
        "                state = seen.setdefault(target.key, await action.look(params, target))\n",
        'await on.are("escalated", 1)',
    ),
    Sabotage(
        13,
        "a halt is looked at before each effect",
        "responder/engine/perform.py",
        "        if self.halt.before_effect(place.concern):\n",
        "        if self.halt.file_reason():\n",
        'assert on.gate.elements("second") == set()',
    ),
    Sabotage(
        13,
        "a halt file that cannot be read halts",
        "responder/engine/halting.py",
        '        return f"the halt file {file} cannot be read ({error.strerror})"\n',
        "        return None if error else None\n",
        "await on.held(1)",
    ),
    Sabotage(
        13,
        "a flag that is missing halts",
        "responder/store/restraints.py",
        '        flag=flag if row["flagged"] else _MISSING,\n',
        "        flag=flag,\n",
        'await until(flag_holds, "the missing flag halts"',
    ),
    Sabotage(
        14,
        "without a committed intent there is no effect",
        "responder/engine/perform.py",
        "        attempt = await self.store.commit_intent(lease, intent, change, after=length)\n",
        "        try:\n"
        "            attempt = await self.store.commit_intent(lease, intent, change, after=length)\n"
        "        except ResponderError:\n"
        "            attempt = Attempt(\n"
        "                **intent.model_dump(include=Attempt.model_fields.keys() - {'elements'}),\n"
        "                id=intent.attempt_id,\n"
        "                elements=intent.elements,\n"
        "                outcome=Outcome.STARTED,\n"
        "                intended_at=now,\n"
        "                start_before=now,\n"
        "            )\n",
        "assert await sessions.stand(*names)",
    ),
    Sabotage(
        14,
        "a P0 that cannot be stored pages",
        "responder/web/webhooks.py",
        "        self._api.unstored(part)\n",
        "        del part\n",
        'await until(paged, "a person is paged"',
    ),
    Sabotage(
        15,
        "what a dead worker owned is leased to another",
        "responder/store/leases.py",
        "WHERE i.owner IS NOT NULL AND i.due_at IS NOT NULL AND NOT ",
        "WHERE i.owner IS NOT NULL AND i.due_at IS NULL AND NOT ",
        'at = await until(lambda: watch.fetchval(since, before), "another process has it"',
    ),
    Sabotage(
        16,
        "what is held escalates at its deadline",
        "responder/decide/next_move.py",
        "    if now >= hold.deadline:\n",
        "    if now < hold.since:\n",
        'assert "held by 7" in told[S.HELD]',
    ),
    Sabotage(
        16,
        "a question that nobody answers escalates",
        "responder/decide/next_move.py",
        'changes.escalated(case, now, "nobody answered the question in time", terms)',
        "changes.stay(case, now)",
        "assert await moved() == LEADS_TO",
    ),
    Sabotage(
        17,
        "a probe without an answer is no data",
        "responder/decide/verify.py",
        "    holds = [alert, *(probe.holds for probe in reading.probes)]\n",
        "    holds = [alert, *(probe.holds is not False for probe in reading.probes)]\n",
        'await on.are("escalated", 1)',
    ),
    Sabotage(
        17,
        "recovery has to last",
        "responder/decide/verify.py",
        "    return running.good_since is not None and now >= running.good_since + _stable_for(case)\n",
        "    return running.good_since is not None and now >= running.good_since\n",
        "assert at - on.world.asked[2] > STABLE_FOR - slack",
    ),
    Sabotage(
        18,
        "no entry of the timeline is changed or deleted",
        "responder/store/migrations/0001_initial.sql",
        "    RAISE EXCEPTION 'the timeline is append-only: only the body of an entry may be redacted';\n",
        "    RETURN coalesce(NEW, OLD);\n",
        'with pytest.raises(asyncpg.PostgresError, match="append-only"):',
    ),
    Sabotage(
        18,
        "an anchor is compared with the entries of now",
        "responder/store/anchors.py",
        "    if there.lost:\n",
        "    if there.heads != anchor.heads:\n",
        "assert not await anchored()",
    ),
    Sabotage(
        18,
        "annotations are redacted before they are kept",
        "responder/model/redaction.py",
        "        return self._pairs(written, self._annotations, _mark)\n",
        "        return written\n",
        "assert found_in(place",
    ),
    Sabotage(
        19,
        "a jump of the wall clock is taken back",
        "responder/store/clock.py",
        "SET shift = shift - $1, taken_back",
        "SET shift = shift, taken_back",
        "assert abs((passed - then).total_seconds()",
    ),
    Sabotage(
        20,
        "a large body is decoded slice by slice",
        "responder/web/webhooks.py",
        "source.divide(body) if large else _slices(await self._decode(source, bytes(body)))\n",
        "_slices(await self._decode(source, bytes(body)))\n",
        "assert peak < 512 * MEGABYTE",
    ),
    Sabotage(
        21,
        "a step waits for a source that does not answer",
        "responder/decide/guards/source.py",
        '    if facts.source.problem is not None:\n        reason = f"the source does not answer',
        '    if facts.now is None:\n        reason = f"the source does not answer',
        "await standing(client, {needs_none:",
    ),
)
