"""The routes about scheduled rules: when each runs, what its runs have found, and to run one now."""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aiohttp import web

from responder.decide.schedules import next_run, trouble
from responder.model.rule import Rule
from responder.model.schedule import PlanStanding, ScheduledRun, ScheduleStanding
from responder.model.severity import Severity
from responder.ports import RunAsked
from responder.web.access import actor_of, bearer_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import read_as
from responder.web.queries import asked_key, asked_limit
from responder.web.roles import Role, place
from responder.web.words import Act


class ScheduleRoutes:
    """What people see of scheduled rules and ask of them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/schedules", self.list),
            web.get("/api/v1/schedules/{name}", self.show),
            web.get("/api/v1/schedules/{name}/runs/{id}", self.run),
            web.post("/api/v1/schedules/{name}/run", self.ask),
        ]

    async def list(self, _request: web.Request) -> web.Response:
        """Every scheduled rule: when it runs next, and what its last run came to."""
        standing = await self._api.schedules.standing()
        book = await self._api.store.active_rulebook()
        rules = [rule for rule in (book.rules if book is not None else ()) if rule.on is not None]
        told = [_line(rule, standing) for rule in rules]
        return answer({"schedules": told, "now": standing.now, "civil": standing.civil})

    async def show(self, request: web.Request) -> web.Response:
        """One of them with its newest runs, each with its report."""
        rule = await self._rule(request)
        standing = await self._api.schedules.standing()
        runs = await self._api.schedules.runs(rule.name, asked_limit(request))
        told = {**_line(rule, standing), "runs": [_run(one) for one in runs]}
        return answer({**told, "now": standing.now, "civil": standing.civil})

    async def run(self, request: web.Request) -> web.Response:
        """One run with its report, also of a rule that is not there any more."""
        name = request.match_info["name"]
        try:
            found = await self._api.schedules.run(UUID(request.match_info["id"]))
        except ValueError:
            found = None
        if found is None or found.rule != name:
            mend = f"responder schedule show {name} lists its runs"
            raise RequestError(404, f"{name} has no such run", field="id", mend=mend)
        return answer(_run(found))

    async def ask(self, request: web.Request) -> web.Response:
        """Have it run now. 202 with the run; 200 where the same key asked before; 409 where one goes on."""
        wanted = await read_as(request, Act)
        rule = await self._rule(request)
        bearer = bearer_of(request)
        labels = {matcher.name: matcher.value for matcher in rule.match}
        bearer.require(Role.OPERATOR, [place(labels, rule.name, one) for one in Severity])
        asked, key = asked_key(request), None
        if asked is not None:
            key = uuid5(NAMESPACE_OID, f"responder-scheduled-run:{asked}")
        book = await self._api.store.active_hash() or ""
        actor = actor_of(request, wanted.actor)
        run, new = await self._api.schedules.ask(RunAsked(key, rule.name, book, actor, wanted.reason))
        if not new and run.id != key:
            raise RequestError(
                409,
                f"a run of {rule.name} is still going",
                field="name",
                mend=f"see what it finds: responder schedule show {rule.name}",
            )
        return answer({"run": run.id, "given": new}, 202 if new else 200)

    async def _rule(self, request: web.Request) -> Rule:
        name = request.match_info["name"]
        book = await self._api.store.active_rulebook()
        rule = None if book is None else book.rule(name)
        if rule is None or rule.on is None:
            what = f"there is no rule {name!r}" if rule is None else f"{name} is not scheduled"
            raise RequestError(404, what, field="name", mend="responder schedule list shows those that are")
        return rule


def _line(rule: Rule, standing: ScheduleStanding) -> Mapping[str, Any]:
    plan = next((one for one in standing.plans if one.rule == rule.name), None)
    on = rule.on
    return {
        "name": rule.name,
        "schedule": on.schedule if on is not None else None,
        "timezone": on.timezone if on is not None else None,
        "next": next_run(on, standing.civil) if on is not None else None,
        "severity": " / ".join(dict.fromkeys(case.severity.value for case in rule.severity)),
        "escalate": rule.escalate,
        "steps": [step.title for step in rule.checks],
        "owner": rule.owner,
        "runbook_url": rule.runbook_url,
        "notes": rule.notes,
        **_stands(plan),
    }


def _stands(plan: PlanStanding | None) -> Mapping[str, Any]:
    if plan is None:
        return {"going": None, "last": None, "trouble": None}
    return {
        "going": None if plan.going is None else _run(plan.going),
        "last": None if plan.last is None else _run(plan.last),
        "trouble": trouble(plan),
    }


def _run(run: ScheduledRun) -> Mapping[str, Any]:
    told = run.model_dump(mode="json", exclude={"owner", "report"})
    if run.report is None:
        return {**told, "report": None}
    steps = [{**one.model_dump(mode="json"), "finding": one.finding} for one in run.report.steps]
    report = {**run.report.model_dump(mode="json"), "steps": steps, "summary": run.report.summary}
    return {**told, "report": report}
