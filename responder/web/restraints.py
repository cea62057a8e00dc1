"""The routes of what keeps automation from acting: halts, freezes, maintenance windows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from aiohttp import web

from responder.decide.bind import fixed_in
from responder.decide.freezes import Freeze, Period, in_force_until
from responder.engine.settings import Matchers
from responder.model.restraint import Restraint, RestraintKind, Restraints
from responder.ports import NewRestraint
from responder.web.access import actor_of, bearer_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_key
from responder.web.roles import Role
from responder.web.words import Act, EndByKey, NewFreeze, NewHalt, NewMaintenance, Resume

_FLAG = 0
"""The number of a flag that no halt stands behind."""


class RestraintRoutes:
    """What people stop, and let go on."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/halt", self.show_halt),
            web.post("/api/v1/halt", self.halt),
            web.post("/api/v1/resume", self.resume),
            web.get("/api/v1/freezes", self.freezes),
            web.post("/api/v1/freezes", self.freeze),
            web.post(r"/api/v1/freezes/{id:\d{1,18}}/end", self.end_freeze),
            web.get("/api/v1/maintenance", self.windows),
            web.post("/api/v1/maintenance", self.maintain),
            web.post(r"/api/v1/maintenance/{id:\d{1,18}}/end", self.end_maintenance),
            web.post("/api/v1/maintenance/end", self.end_maintenance_by_key),
        ]

    # Halts ---------------------------------------------------------------------------------------------

    async def show_halt(self, _request: web.Request) -> web.Response:
        """Whether everything halts, and every halt that stands."""
        return answer(await self._halts())

    async def halt(self, request: web.Request) -> web.Response:
        """Stop every replica, or what the matchers of `scope` may concern."""
        act = await read_as(request, NewHalt)
        self._refuse_redacted(act.scope, "scope")
        halt = await self._api.desk.halt(actor_of(request, act.actor), act.reason, act.scope)
        return answer({"id": halt.id, **await self._halts()})

    async def resume(self, request: web.Request) -> web.Response:
        """End a halt, and name what still holds: a file is removed where it was made.

        Where several stand, a request that names none of them ends none: each has a reason of its own.
        """
        act = await read_as(request, Resume)
        stand = _numbered(await self._api.store.restraints())
        if act.id is not None and act.id not in stand:
            raise RequestError(409, f"halt {act.id} does not stand", field="id", mend=_which(stand))
        if act.id is None and not act.all and len(stand) > 1:
            raise RequestError(409, f"{len(stand)} halts stand", field="id", mend=_which(stand))
        ids = [act.id] if act.id is not None else None if act.all else [*stand] or None
        ended = await self._api.desk.resume(actor_of(request, act.actor), act.reason, ids)
        return answer({"ended": [one.id for one in ended], **await self._halts()})

    async def _halts(self) -> dict[str, Any]:
        stands, by_file = await self._api.store.restraints(), self._api.halt_file()
        path = self._api.started_with.halt_file
        file = [] if by_file is None else [{"what": "file", "path": path, "reason": by_file}]
        whole = stands.halts_all is not None or by_file is not None
        return {"halted": whole, "by": [*_halts(stands), *file]}

    # Freezes -------------------------------------------------------------------------------------------

    async def freezes(self, _request: web.Request) -> web.Response:
        """Those of the settings, and those of people that have not ended."""
        stands, now = await self._api.store.restraints(), await self._api.store.now()
        civil = stands.civil or now
        written = [_written(freeze, civil) for freeze in self._api.freezes]
        given = [_frozen(one, civil) for one in stands.of(RestraintKind.FREEZE)]
        return answer({"freezes": [*written, *given], "now": civil})

    async def freeze(self, request: web.Request) -> web.Response:
        """No action that changes something, for a time."""
        act = await read_as(request, NewFreeze)
        self._refuse_redacted(act.match, "match")
        key = asked_key(request) or str(uuid4())
        await self._refuse_past(act.until, key)
        new = NewRestraint(
            RestraintKind.FREEZE,
            key,
            actor_of(request, act.actor),
            act.reason,
            act.match,
            act.allow,
            since=act.since,
            until=act.until,
            lasts=act.lasts,
        )
        return await self._added(new, "freeze")

    async def _refuse_past(self, until: datetime | None, key: str) -> None:
        """It would freeze nothing. Asked again with its key, one that was taken then is told, though over."""
        if until is None or await self._api.desk.restraint(RestraintKind.FREEZE, key) is not None:
            return
        civil = (await self._api.store.restraints()).civil or await self._api.store.now()
        if until <= civil:
            raise RequestError(
                400,
                f"{until:%Y-%m-%d %H:%M:%S%z} is over, so nothing would be frozen: it is"
                f" {civil:%Y-%m-%d %H:%M:%S%z}",
                field="until",
                mend="give a later moment, or how long from now with `for`",
            )

    async def end_freeze(self, request: web.Request) -> web.Response:
        """End one of people before its time. Those of the settings end where they are written."""
        return await self._end(request, RestraintKind.FREEZE)

    # Maintenance ---------------------------------------------------------------------------------------

    async def windows(self, _request: web.Request) -> web.Response:
        """Those that have not ended."""
        stands, now = await self._api.store.restraints(), await self._api.store.now()
        return answer(
            {"maintenance": [_shown(one) for one in stands.of(RestraintKind.MAINTENANCE)], "now": now}
        )

    async def maintain(self, request: web.Request) -> web.Response:
        """Record matching alerts only, for a time. The same Idempotency-Key is the same window."""
        act = await read_as(request, NewMaintenance)
        bearer_of(request).require(Role.OPERATOR, [fixed_in(act.match)])
        self._refuse_redacted(act.match, "match")
        key = asked_key(request) or str(uuid4())
        new = NewRestraint(
            RestraintKind.MAINTENANCE,
            key,
            actor_of(request, act.actor),
            act.reason,
            act.match,
            lasts=act.lasts,
        )
        return await self._added(new, "maintenance")

    async def end_maintenance(self, request: web.Request) -> web.Response:
        """End one before its time, by its number."""
        return await self._end(request, RestraintKind.MAINTENANCE)

    async def end_maintenance_by_key(self, request: web.Request) -> web.Response:
        """End one before its time, by the key that it was begun with."""
        act = await read_as(request, EndByKey)
        return await self._ended(request, RestraintKind.MAINTENANCE, act.key, act)

    # Shared --------------------------------------------------------------------------------------------

    async def _added(self, new: NewRestraint, name: str) -> web.Response:
        added = await self._api.desk.restrain(new)
        known, now = added.restraint, await self._api.store.now()
        if not added.new and (known.match, known.allow) != (new.match, new.allow):
            raise RequestError(
                409,
                f"this key belongs to {known.name}, over {known.scope}",
                field="Idempotency-Key",
                mend="send another key for another one",
            )
        over = known.ended_at is not None or (known.until is not None and known.until <= now)
        return answer({name: {**_shown(known), "over": over}, "new": added.new}, 201 if added.new else 200)

    async def _end(self, request: web.Request, kind: RestraintKind) -> web.Response:
        act = await read_as(request, Act)
        return await self._ended(request, kind, int(request.match_info["id"]), act)

    async def _ended(
        self, request: web.Request, kind: RestraintKind, which: int | str, act: Act
    ) -> web.Response:
        """Whoever may not begin one may not end it: the alerts in it are acted on when it is over."""
        known = await self._api.desk.restraint(kind, which)
        if known is not None:
            bearer_of(request).require(Role.OPERATOR, [fixed_in(known.match)])
        ended = await self._api.desk.end_restraint(kind, which, actor_of(request, act.actor), act.reason)
        if ended is None:
            raise RequestError(
                404, f"there is no {kind.value} {which}", field="id", mend=f"responder {kind.value} list"
            )
        return answer({kind.value: _shown(ended)})

    def _refuse_redacted(self, match: Matchers, field: str) -> None:
        """A matcher that can never hold would stop less than the person means."""
        for one in match:
            if self._api.redaction.hides_label(one.name) and not one.asks_for_presence:
                raise RequestError(
                    400,
                    f"`{one}` asks for the value of a label that is redacted before anything is matched",
                    field=field,
                    mend="ask whether it is there, or match another label",
                )


def _numbered(stands: Restraints) -> dict[int, str]:
    """Every halt by its number, in words."""
    known = {
        one.id: f"halt {one.id} over {one.scope} by {one.actor}: {one.reason}"
        for one in stands.of(RestraintKind.HALT)
    }
    return known if stands.flag is None else {**known, _FLAG: f"halt {_FLAG}, the flag: {stands.flag}"}


def _which(stand: dict[int, str]) -> str:
    """What stands, and how to name it."""
    told = "; ".join(stand.values()) or "none"
    return f"responder resume --id N, or --all; standing: {told}"


def _halts(stands: Restraints) -> Sequence[dict[str, Any]]:
    told: list[dict[str, Any]] = [
        {
            "what": "halt",
            "id": one.id,
            "scope": [str(matcher) for matcher in one.match],
            "actor": one.actor,
            "reason": one.reason,
            "since": one.since,
        }
        for one in stands.of(RestraintKind.HALT)
    ]
    if stands.flag is not None:
        told.append({"what": "flag", "id": _FLAG, "scope": [], "reason": stands.flag})
    if stands.unreadable is not None:
        told.append({"what": "flag", "scope": [], "reason": stands.unreadable})
    return told


def _shown(one: Restraint) -> dict[str, Any]:
    return {
        "id": one.id,
        "match": [str(matcher) for matcher in one.match],
        "allow": one.allow,
        "actor": one.actor,
        "reason": one.reason,
        "since": one.since,
        "until": one.until,
        "ended_at": one.ended_at,
    }


def _frozen(one: Restraint, civil: datetime) -> dict[str, Any]:
    return {**_shown(one), "name": one.name, "when": None, "in_force": one.since <= civil}


def _written(freeze: Freeze, civil: datetime) -> dict[str, Any]:
    when = freeze.when
    until = in_force_until(freeze, civil)
    return {
        "id": None,
        "name": freeze.name,
        "match": [str(matcher) for matcher in freeze.match],
        "allow": freeze.allow,
        "actor": "the settings",
        "reason": freeze.reason,
        "when": f"{when.begins} to {when.ends}" if isinstance(when, Period) else when,
        "timezone": freeze.timezone,
        "since": None,
        "until": until,
        "in_force": until is not None,
    }
