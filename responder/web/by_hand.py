"""The routes by which people begin something themselves: what can be done, an act, an incident for people."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aiohttp import web

from responder.actions.page import described
from responder.model.by_hand import ByHand
from responder.model.rule import Rule
from responder.model.severity import Severity
from responder.ports import NewByHand
from responder.rulebook.by_hand import AskedWronglyError, Proof
from responder.web.access import actor_of, bearer_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_key
from responder.web.roles import Role, place
from responder.web.words import Act, ActByHand, IncidentByHand


class ByHandRoutes:
    """What people begin by hand."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/actions", self.actions),
            web.post("/api/v1/acts", self.act),
            web.post("/api/v1/incidents", self.open),
        ]

    async def actions(self, _request: web.Request) -> web.Response:
        """Every action with its kind and parameters, and what of the inventory can be acted on by name."""
        around = self._api.by_hand.around
        found = [around.catalogue.find(name) for name in around.catalogue.names()]
        told = [
            {
                "name": one.name,
                "kind": one.kind,
                "timeout_s": one.deadline.total_seconds(),
                "params": described(one.params),
            }
            for one in found
            if one is not None
        ]
        connections = [entry.name for entry in around.inventory.postgres]
        return answer({"actions": told, "connections": connections})

    async def act(self, request: web.Request) -> web.Response:
        """Ask for one act. It goes the way of every step; nothing is done here.

        202 with its incident; 200 where the same Idempotency-Key came before, 409 where it was used for
        something else. 403 where the role approver is missing for the target, whatever the severity: that is
        the asker's own word.
        """
        wanted = await read_as(request, ActByHand)
        actor = actor_of(request, wanted.actor)
        proof = None
        if wanted.verify is not None:
            proof = Proof(
                promql=wanted.verify.promql,
                expect=wanted.verify.expect,
                within=wanted.verify.within,
                stable_for=wanted.verify.stable_for,
            )
        try:
            prepared = self._api.by_hand.act(wanted.action, wanted.params, wanted.severity, proof)
        except AskedWronglyError as error:
            raise _wrong(error) from None
        name, bearer = prepared.rule.name, bearer_of(request)
        if not wanted.dry_run:
            bearer.require_token("act by hand", instead=", or send dry_run (--dry-run) to look only")
        bearer.require(Role.APPROVER, [place(prepared.labels, name, one) for one in Severity])
        asked = ByHand(
            actor=actor,
            reason=wanted.reason,
            title=f"{wanted.action} on {prepared.target.key}",
            asked_at=await self._api.store.now(),
            action=wanted.action,
            target=prepared.target.key,
            dry_run=wanted.dry_run,
            **_who(request, wanted),
        )
        new = NewByHand(_key(request), asked, prepared.rule, dict(prepared.labels), wanted.severity)
        return await self._opened(new, {"target": asked.target, "lasts_s": prepared.lasts.total_seconds()})

    async def open(self, request: web.Request) -> web.Response:
        """Open an incident for people: they are told at once."""
        wanted = await read_as(request, IncidentByHand)
        actor = actor_of(request, wanted.actor)
        rule = await self._telling(wanted.severity, wanted.rule)
        bearer_of(request).require(Role.OPERATOR, [place(wanted.labels, rule.name, wanted.severity)])
        asked = ByHand(
            actor=actor,
            reason=wanted.reason,
            title=wanted.title or rule.name,
            asked_at=await self._api.store.now(),
            **_who(request, wanted),
        )
        return await self._opened(
            NewByHand(_key(request), asked, rule, dict(wanted.labels), wanted.severity), {}
        )

    async def _telling(self, severity: Severity, named: str | None) -> Rule:
        active = await self._api.store.active_rulebook() if named is not None else None
        try:
            return self._api.by_hand.incident(severity, named, active)
        except AskedWronglyError as error:
            raise _wrong(error) from None

    async def _opened(self, new: NewByHand, more: Mapping[str, Any]) -> web.Response:
        opened = await self._api.desk.open_by_hand(new)
        if not opened.new and not opened.same:
            raise RequestError(
                409,
                "this key was used for something else",
                field="Idempotency-Key",
                mend="send a new key for something new",
            )
        told = {"incident": opened.incident.id, "given": opened.new, **more}
        return answer(told, 202 if opened.new else 200)


def _who(request: web.Request, wanted: Act) -> dict[str, str | None]:
    bearer = bearer_of(request)
    said = wanted.actor if bearer.name not in {None, wanted.actor} else None
    return {"identity": bearer.identity, "said_by": said}


def _key(request: web.Request) -> UUID | None:
    key = asked_key(request)
    return None if key is None else uuid5(NAMESPACE_OID, f"responder-by-hand:{key}")


def _wrong(error: AskedWronglyError) -> RequestError:
    return RequestError(400, error.text, field=error.field, mend=error.mend)
