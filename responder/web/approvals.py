"""The route that shows what people are asked: what exactly would be done, to what, and until when."""

from datetime import datetime
from typing import Any

from aiohttp import web

from responder.decide.told_next import promised
from responder.model.approval import Question
from responder.model.duration import format_duration
from responder.model.incident import Incident
from responder.model.rule import AllOf, GiveBack, Rule, Rung, StepKind, Undo, parts_of
from responder.ports import Dossier
from responder.web.access import bearer_of
from responder.web.answers import answer
from responder.web.api import Api
from responder.web.queries import asked_limit
from responder.web.roles import Role, places


class Approvals:
    """What awaits a person's yes or no. The answer is a command to the incident."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [web.get("/api/v1/approvals", self.list)]

    async def list(self, request: web.Request) -> web.Response:
        """Every open question, the worst incident first.

        `yours` says whether this token may answer it; `stale_at` when its alert is too old for a yes to help.
        """
        waiting = await self._api.desk.awaiting_approval(asked_limit(request))
        dossiers = [await self._api.desk.incident(incident.id) for incident in waiting]
        told = [
            {
                **_told(dossier.incident, question, _rule(dossier)),
                "yours": self._yours(request, dossier),
                "stale_at": self._stale_at(dossier),
            }
            for dossier in dossiers
            if dossier is not None and (question := dossier.incident.progress.question) is not None
        ]
        return answer({"approvals": told, "now": await self._api.store.now()})

    def _stale_at(self, dossier: Dossier) -> datetime | None:
        heard_at = dossier.members.newest_seen_at
        return promised(dossier.incident, 0, self._api.terms, heard_at=heard_at).stale_at

    def _yours(self, request: web.Request, dossier: Dossier) -> bool:
        return bearer_of(request).may(Role.APPROVER, places(dossier))


def _rule(dossier: Dossier) -> Rule:
    return Rule.model_validate(dossier.rule)


def _told(incident: Incident, question: Question, rule: Rule) -> dict[str, Any]:
    consent = question.consent
    step = rule.steps[question.step] if question.step < len(rule.steps) else None
    deadline: datetime | None = incident.deadline
    return {
        "incident": incident.id,
        "rule": incident.rule,
        "severity": incident.severity,
        "key": incident.key,
        "question": question.id,
        "asked_at": question.asked_at,
        "times": question.times,
        "until": deadline,
        "reasons": question.reasons,
        "action": consent.action,
        "target": consent.target,
        "params": consent.params,
        "elements": consent.titles,
        "consequences": () if step is None else consequences(step),
    }


def consequences(step: Rung) -> tuple[str, ...]:
    """What a yes means, in words."""
    kinds = {
        StepKind.READ_ONLY: "it only looks",
        StepKind.SAFE: "it is safe: nobody is interrupted",
        StepKind.DISRUPTIVE: "it is disruptive: what it hits is interrupted",
    }
    undo = {
        Undo.NEVER: "it is not taken back",
        Undo.IF_NOT_RECOVERED: "where it does not help it would be taken back, which is asked for again",
    }
    undos = {
        f"it is given back after {format_duration(part.undo.after)}, which this yes covers"
        if isinstance(part.undo, GiveBack)
        else undo[part.undo]
        for part in parts_of(step)
    }
    several = ("its parts run in this order, and stop at the first that fails",)
    kept = undos if len(undos) == 1 else ("some of its parts are taken back where it does not help",)
    return (
        kinds[step.kind],
        *(several if isinstance(step, AllOf) else ()),
        *kept,
        "what has gone by then is left out; anything more is asked anew",
    )
