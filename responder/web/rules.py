"""The routes about rules: what is active, checking files, reloading, promoting."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from responder.model.rule import Rule, Rulebook
from responder.rulebook.mistake import Mistake
from responder.rulebook.show import lines
from responder.web.access import actor_of
from responder.web.answers import RequestError, answer
from responder.web.api import Api
from responder.web.bodies import FILES_LIMIT, read_as
from responder.web.words import AlertToExplain, RuleFiles, RulePromotion


class Rules:
    """What people see of the rulebook and do with it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/api/v1/rules", self.list),
            web.post("/api/v1/rules/check", self.check),
            web.post("/api/v1/rules/explain", self.explain),
            web.post("/api/v1/rules/reload", self.reload),
            web.get("/api/v1/rules/{name}", self.show),
            web.post("/api/v1/rules/{name}/promote", self.promote),
        ]

    async def list(self, _request: web.Request) -> web.Response:
        """All active rules in the order in which they are tried.

        `refused`: the mistakes of this process's files, where what they say is not active because of them.
        """
        book = await self._book()
        rules = [await self._line(rule) for rule in book.rules]
        refused = _told(self._api.rules.mistakes)
        return answer({"rulebook": book.hash, "rules": rules, "refused": refused})

    async def show(self, request: web.Request) -> web.Response:
        """One rule as it applies, with where its defaults came from."""
        rule = await self._rule(request)
        resolved = [{"path": one.path, "value": one.value, "origin": one.origin} for one in lines(rule)]
        told = {**await self._line(rule), "rule": self._api.describe_rule(rule), "lines": resolved}
        return answer(told)

    async def check(self, request: web.Request) -> web.Response:
        """Check files without activating them. Mistakes in them are the answer, no error of the request."""
        wanted = await read_as(request, RuleFiles, FILES_LIMIT)
        return _mistakes(await self._api.rules.check(wanted.files), 200)

    async def explain(self, request: web.Request) -> web.Response:
        """What an alert would lead to now. Targets are looked at, and nothing is changed."""
        wanted = await read_as(request, AlertToExplain)
        source = wanted.source or next(iter(self._api.sources), "")
        if wanted.source is not None and wanted.source not in self._api.sources:
            known = ", ".join(self._api.sources) or "none"
            raise RequestError(
                400, f"there is no source {wanted.source!r}", field="source", mend=f"sources: {known}"
            )
        labels = self._api.redaction.labels(wanted.labels)  # as it would be kept, and matched
        return answer((await self._api.foresee(labels, source)).model_dump(mode="json"))

    async def reload(self, _request: web.Request) -> web.Response:
        """Read the files again and activate them; 409 with the mistakes, and the old ones stay."""
        mistakes = await self._api.rules.reload()
        return _mistakes(mistakes, 409 if mistakes else 200)

    async def promote(self, request: web.Request) -> web.Response:
        """Record how far the acting part of a rule may go."""
        wanted = await read_as(request, RulePromotion)
        rule = await self._rule(request)
        if wanted.acting_hash not in {None, rule.acting_hash}:
            raise RequestError(
                409,
                f"the acting part of {rule.name} is another by now",
                field="acting_hash",
                mend=f"read it again: responder rules show {rule.name}",
            )
        actor = actor_of(request, wanted.actor)
        await self._api.desk.promote(rule.name, rule.acting_hash, wanted.level, actor, wanted.reason)
        return answer(await self._line(rule))

    async def _book(self) -> Rulebook:
        book = await self._api.store.active_rulebook()
        return book if book is not None else Rulebook(rules=())

    async def _rule(self, request: web.Request) -> Rule:
        name = request.match_info["name"]
        rule = (await self._book()).rule(name)
        if rule is None:
            raise RequestError(
                404, f"there is no rule {name!r}", field="name", mend="responder rules list shows them"
            )
        return rule

    async def _line(self, rule: Rule) -> dict[str, Any]:
        promoted = await self._api.store.promotion(rule.name, rule.acting_hash)
        by_settings = promoted is None and rule.acting_hash in self._api.started_with.promoted
        return {
            "name": rule.name,
            "match": [str(matcher) for matcher in rule.match],
            "severity": " / ".join(dict.fromkeys(case.severity.value for case in rule.severity)),
            "autonomy": rule.autonomy.word,
            "promoted": promoted.word if promoted is not None else None,
            "promoted_by_settings": by_settings,
            "ceilings": [{"level": one.level.word, "origin": one.origin} for one in self._api.ceilings(rule)],
            "changing": rule.changing,
            "on": rule.on.model_dump(mode="json") if rule.on is not None else None,
            "steps": [step.action for step in (*rule.checks, *rule.steps)],
            "acting_hash": rule.acting_hash,
            "position": str(rule.position),
            "owner": rule.owner,
            "notes": rule.notes,
        }


def _mistakes(mistakes: Sequence[Mistake], status: int) -> web.Response:
    return answer({"ok": not mistakes, "mistakes": _told(mistakes)}, status)


def _told(mistakes: Sequence[Mistake]) -> list[dict[str, Any]]:
    return [{**one.position.model_dump(), "text": one.text, "mend": one.mend} for one in mistakes]
