"""The routes about incidents: list, show, review, verify, and the commands that people give them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from aiohttp import web

from responder.decide.restraints import ways_of_claims, ways_to_end
from responder.decide.told_next import promised
from responder.model.autonomy import Autonomy
from responder.model.incident import ClosedAs, Command, CommandFacts, CommandKind, Incident
from responder.model.rule import Raise, Rule
from responder.model.way import Way, WayKind
from responder.ports import Dossier
from responder.review.explained import explain, may_be_repeated
from responder.web.access import actor_of, bearer_of
from responder.web.answers import COMMON_HEADERS, RequestError, answer
from responder.web.api import Api, ReviewFormat
from responder.web.bodies import read_as
from responder.web.queries import asked_flag, asked_key, asked_limit
from responder.web.roles import places, role_for
from responder.web.words import IncidentAct

SEARCHED = 10_000
"""Among so many newest incidents a prefix of an id is looked up."""
_SHORTEST = 4
_WHOLE = 36
_TEXT = re.compile(r"[0-9a-z-]{4,36}")
_ID = re.compile(r"[0-9a-f-]{4,36}")
_CONTENT_TYPES: Mapping[str, str] = {"md": "text/markdown", "json": "application/json", "html": "text/html"}
_REVIEW_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Incidents:
    """What people see of incidents and do with them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        one = "/api/v1/incidents/{id}"
        return [
            web.get("/api/v1/incidents", self.list),
            web.get(one, self.show),
            web.get(f"{one}/explain", self.explain),
            web.get(f"{one}/review", self.review),
            web.get(f"{one}/verify", self.verify),
            web.post(f"{one}/commands", self.command),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """The newest incidents first; `live=false` also the ended ones.

        `waiting=true` only those that wait for people, the worst first.
        """
        live_only, limit = asked_flag(request, "live", default=True), asked_limit(request)
        if asked_flag(request, "waiting", default=False):
            incidents = await self._api.desk.waiting(limit)
        else:
            incidents = await self._api.desk.incidents(live_only=live_only, limit=limit)
        return answer({"incidents": incidents, "now": await self._api.store.now()})

    async def show(self, request: web.Request) -> web.Response:
        """Everything about one incident."""
        return answer(await self._parts(await self._dossier(request)))

    async def explain(self, request: web.Request) -> web.Response:
        """What every guard said of every step, beside all that `show` has."""
        dossier = await self._dossier(request)
        return answer({**await self._parts(dossier), "explanation": explain(dossier)})

    async def _parts(self, dossier: Dossier) -> dict[str, Any]:
        parts = {name: getattr(dossier, name) for name in Dossier.model_fields}
        steps, again = dossier.rule.get("steps", ()), may_be_repeated(dossier)
        raises = [Raise.model_validate(one) for one in dossier.rule.get("raise", ())]
        heard_at = dossier.members.newest_seen_at
        told = promised(dossier.incident, len(steps), self._api.terms, raises, again=again, heard_at=heard_at)
        now = await self._api.store.now()
        return {**parts, "promised": told, "standing": await self._standing(dossier), "now": now}

    async def _standing(self, dossier: Dossier) -> Sequence[Way]:
        """How all is ended that keeps its steps from starting now, and which incidents hold targets."""
        file = self._api.started_with.halt_file
        halted = file is not None and self._api.halt_file() is not None
        removed = [Way(kind=WayKind.REMOVE_FILE, of=str(file))] if halted else []
        rule = dossier.incident.rule
        broken = await self._api.desk.open_breaker(rule)
        reset = [] if broken is None else [Way(kind=WayKind.RESET_BREAKER, of=rule)]
        book = await self._api.store.active_rulebook()
        active = None if book is None else book.rule(rule)
        promote = [] if await self._promoted(active) else [Way(kind=WayKind.PROMOTE, of=rule)]
        edit = [] if _may_all(active) else [Way(kind=WayKind.EDIT_RULE, of=rule)]
        held = ways_of_claims(await self._api.desk.claims())
        return [*removed, *ways_to_end(await self._api.store.restraints()), *reset, *promote, *edit, *held]

    async def _promoted(self, rule: Rule | None) -> bool:
        """Whether the rule as it is now may do more than shadow, by a person's word or the settings'."""
        if rule is None:
            return False
        level = await self._api.store.promotion(rule.name, rule.acting_hash)
        if level is None:
            return rule.acting_hash in self._api.started_with.promoted
        return level > Autonomy.SHADOW

    async def review(self, request: web.Request) -> web.Response:
        """The post-incident document."""
        form = _review_format(request)
        text = self._api.review(await self._dossier(request), form)
        headers = {**COMMON_HEADERS, "Content-Security-Policy": _REVIEW_POLICY}
        return web.Response(text=text, content_type=_CONTENT_TYPES[form], charset="utf-8", headers=headers)

    async def verify(self, request: web.Request) -> web.Response:
        """Whether the timeline's chain holds."""
        dossier = await self._dossier(request)
        broken = await self._api.desk.chain_break(dossier.incident.id)
        told = {"id": dossier.incident.id, "holds": broken is None, "broken": broken}
        return answer({**told, "entries": len(dossier.entries)})

    async def command(self, request: web.Request) -> web.Response:
        """Give one command. The same Idempotency-Key again gives no second one.

        202 where it was given, 200 where it had been given before, 409 where the key was used for another.
        """
        act = await read_as(request, IncidentAct)
        actor = actor_of(request, act.actor)
        _check_complete(act)
        dossier = await self._dossier(request)
        role = role_for(act.kind, dossier.incident.severity, act.severity)
        bearer = bearer_of(request)
        bearer.require(role, places(dossier))
        if act.kind is CommandKind.APPROVE:
            bearer.require_token("approve")
        command = Command(
            id=_command_id(request, dossier.incident.id),
            incident_id=dossier.incident.id,
            kind=act.kind,
            actor=actor,
            reason=act.reason or "",
            facts=await self._facts(request, act, dossier.incident.id),
            given_at=await self._api.store.now(),
        )
        given = await self._api.desk.give_command(command)
        if not given:
            _refuse_other(command, dossier.commands)
        return answer({"command": command.id, "given": given}, 202 if given else 200)

    async def _facts(self, request: web.Request, act: IncidentAct, incident_id: UUID) -> CommandFacts:
        """What belongs to the act, and who it came from. Raises RequestError where the other one is none."""
        bearer = bearer_of(request)
        of = None
        if act.duplicate_of is not None:
            of = await self._id(act.duplicate_of.lower())
            if of == incident_id or await self._api.desk.incident(of) is None:
                raise RequestError(400, "name another incident, that is there", field="duplicate_of")
        return CommandFacts(
            question=act.question,
            closed_as=act.closed_as,
            duplicate_of=of,
            severity=act.severity,
            identity=bearer.identity,
            said_by=act.actor if bearer.name not in {None, act.actor} else None,
        )

    async def _dossier(self, request: web.Request) -> Dossier:
        wanted = request.match_info["id"].lower()
        if _TEXT.fullmatch(wanted) and not _ID.fullmatch(wanted):
            raise _unknown(wanted)
        if not _ID.fullmatch(wanted):
            raise RequestError(
                400, "this is no id of an incident", field="id", mend=f"give at least {_SHORTEST} digits"
            )
        dossier = await self._api.desk.incident(await self._id(wanted))
        if dossier is None:
            raise _unknown(wanted)
        return dossier

    async def _id(self, wanted: str) -> UUID:
        """The id itself, or the one incident whose id begins so."""
        try:
            return UUID(wanted)
        except ValueError:
            pass
        incidents = await self._api.desk.incidents(live_only=False, limit=SEARCHED)
        return _only([incident for incident in incidents if str(incident.id).startswith(wanted)], wanted)


def _may_all(rule: Rule | None) -> bool:
    """Whether the rule itself caps nothing that it does."""
    levels = () if rule is None else (rule.autonomy, *(step.autonomy for step in rule.every_step))
    return bool(levels) and min(levels) is Autonomy.AUTO


_NEED_NO_REASON = {CommandKind.ACKNOWLEDGE, CommandKind.APPROVE}


def _check_complete(act: IncidentAct) -> None:
    """What a command needs of its own, and what it has no use for. Raises RequestError (400)."""
    if act.reason is None and act.kind not in _NEED_NO_REASON:
        raise RequestError(400, f"{act.kind.value} needs a reason", field="reason")
    answers = act.kind in {CommandKind.APPROVE, CommandKind.DECLINE}
    closes = act.kind is CommandKind.CLOSE
    changes = act.kind is CommandKind.CHANGE_SEVERITY
    duplicate = act.closed_as is ClosedAs.DUPLICATE
    for field, given, wanted in (
        ("question", act.question, answers),
        ("severity", act.severity, changes),
        ("duplicate_of", act.duplicate_of, duplicate),
    ):
        if wanted and given is None:
            raise RequestError(400, f"{act.kind.value} needs it", field=field, mend=_MENDS[field])
        if given is not None and not wanted:
            raise RequestError(400, f"{act.kind.value} has no use for it", field=field)
    if act.closed_as is not None and not closes:
        raise RequestError(400, f"{act.kind.value} has no use for it", field="closed_as")


_MENDS = {
    "question": "name the one that you have read: responder approvals list",
    "severity": "give one of P0, P1, P2, P3",
    "duplicate_of": "name the incident that goes on",
}


def _only(found: Sequence[Incident], wanted: str) -> UUID:
    match found:
        case [one]:
            return one.id
        case []:
            raise _unknown(wanted)
        case _:
            named = ", ".join(f"{incident.id} ({incident.rule})" for incident in found[:5])
            more = ", ..." if len(found) > len(found[:5]) else ""
            raise RequestError(
                409,
                f"{len(found)} incidents begin with {wanted}: {named}{more}",
                field="id",
                mend="give more digits",
            )


def _unknown(wanted: str) -> RequestError:
    text = f"there is no incident {wanted}" if len(wanted) == _WHOLE else f"no id begins with {wanted}"
    return RequestError(404, text, field="id", mend="responder incidents list --all shows them")


def _review_format(request: web.Request) -> ReviewFormat:
    wanted = request.query.get("format", "md")
    for form in get_args(ReviewFormat):
        if wanted == form:
            return form  # type: ignore[no-any-return]  # get_args is untyped; the literals are compared above
    raise RequestError(
        400, f"a review has no format {wanted!r}", field="format", mend="choose md, json or html"
    )


def _command_id(request: web.Request, incident_id: UUID) -> UUID:
    key = asked_key(request)
    return uuid4() if key is None else uuid5(NAMESPACE_OID, f"responder-command:{incident_id}:{key}")


def _refuse_other(command: Command, known: tuple[Command, ...]) -> None:
    """The same key with another content is a mistake of the client, not a repetition."""

    def content(one: Command) -> Any:
        return (one.kind, one.actor, one.reason, one.facts)

    if any(one.id == command.id and content(one) != content(command) for one in known):
        raise RequestError(
            409,
            "this key was used for another command",
            field="Idempotency-Key",
            mend="send a new key for a new command",
        )
