"""Who may do what, and where: roles, the scope in which a person has one, and what each route asks for.

A route that nobody has thought of asks for an admin of everything. A scope is held against what is known of
an incident's alerts; what is not known is never covered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from aiohttp import web
from pydantic import model_validator

from responder.decide.bind import bindable
from responder.engine.settings import Matchers
from responder.model.base import Frozen
from responder.model.incident import CommandKind
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Rule
from responder.model.severity import Severity
from responder.ports import Dossier
from responder.web.answers import RequestError

Labels = Mapping[str, str]


class Role(StrEnum):
    """What a person may do, each with all that stands before it.

    A viewer reads. An operator handles incidents, and may halt everything. An approver decides that something
    is done: approvals, actions by hand, the release of a target. An admin decides about the service: resume,
    promotions, circuit breakers, rule files, dead letters.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether it may do all that the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Grant(Frozen):
    """A role, and where it holds: for incidents whose alerts all meet the matchers; without any, everywhere.

    Beside the alerts' labels there are `rule`, and `severity` (P0 to P3), which hide labels of the same name.
    """

    role: Role
    scope: Matchers = ()

    @model_validator(mode="after")
    def _is_more_than_an_approver(self) -> Self:
        if self.role is Role.ADMIN and self.scope:
            raise ValueError(
                "what an admin decides holds for the whole service: leave `scope` out, "
                "or write `role: approver`, which is all that a scope lets through"
            )
        return self

    def covers(self, labels: Labels) -> bool:
        """Whether it holds there. A label that is missing is covered only where the scope asks for that."""
        return all(_covered(matcher, labels) for matcher in self.scope)


def _covered(matcher: Matcher, labels: Labels) -> bool:
    if matcher.name in labels:
        return matcher.matches(labels)
    return matcher.op is MatchOp.EQUAL and not matcher.value


EVERYTHING = (Grant(role=Role.ADMIN),)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who asks. `name` is the person whose token it is; the shared token, and no token, name nobody."""

    identity: str
    name: str | None
    grants: tuple[Grant, ...]
    colleagues: Mapping[str, tuple[Grant, ...]]
    """All people with their grants: who else may, where this one may not."""
    proven: bool = True
    """Whether a token was asked for, and was right."""

    def may(self, role: Role, where: Sequence[Labels]) -> bool:
        """Whether they have the role for all of these."""
        return _may(self.grants, role, where)

    def may_somewhere(self, role: Role) -> bool:
        """Whether they have the role at all."""
        return any(grant.role.includes(role) for grant in self.grants)

    def require_token(self, what: str, *, instead: str = "") -> None:
        """Refuse what lets something be done to whoever only reached the listener: shadow is all they have.

        `what` is what they may not, as a verb; `instead` what they may do, beside setting a token.

        Raises:
            RequestError: 403.
        """
        if not self.proven:
            raise RequestError(
                403,
                f"this listener asks for no token, and nobody may {what} without one",
                field="Authorization",
                mend=f"set web.api_token or web.people{instead}",
            )

    def require(self, role: Role, where: Sequence[Labels]) -> None:
        """Refuse what is not theirs to do.

        Raises:
            RequestError: 403 with the role that is missing, where, and who has it.
        """
        if not self.may(role, where):
            raise self._refused(role, f"for {_place(where)}", where)

    def require_everywhere(self, role: Role) -> None:
        """Refuse what concerns the whole service to whoever has the role in some places only."""
        if not any(grant.role.includes(role) and not grant.scope for grant in self.grants):
            raise self._refused(role, "without a scope", None)

    def require_somewhere(self, role: Role) -> None:
        """Refuse what is theirs to do nowhere."""
        if not self.may_somewhere(role):
            raise self._refused(role, "anywhere", [])

    def _refused(self, role: Role, place: str, where: Sequence[Labels] | None) -> RequestError:
        others = [
            name
            for name, grants in self.colleagues.items()
            if (_everywhere(grants, role) if where is None else _may(grants, role, where))
        ]
        asked = f"ask {', '.join(sorted(others))}, or " if others else ""
        return RequestError(
            403,
            f"{self.name or self.identity} does not have the role {role} {place}",
            field="Authorization",
            mend=f"{asked}grant it under web.people.{self.name or 'NAME'}.grants",
        )


def _may(grants: Iterable[Grant], role: Role, where: Sequence[Labels]) -> bool:
    able = [grant for grant in grants if grant.role.includes(role)]
    return bool(able) and all(any(grant.covers(labels) for grant in able) for labels in where)


def _everywhere(grants: Iterable[Grant], role: Role) -> bool:
    return any(grant.role.includes(role) and not grant.scope for grant in grants)


_TOLD = 4
"""Labels of a place that are told; an alert may have thousands."""


def _place(where: Sequence[Labels]) -> str:
    told = [f'{name}="{value[:80]}"' for name, value in sorted(where[0].items())] if where else []
    first = [
        text for text in told if text.startswith(("rule=", "severity=", "env=", "cluster=", "namespace="))
    ]
    rest = [text for text in told if text not in first]
    return ", ".join([*first, *rest][:_TOLD]) or "this"


def places(dossier: Dossier) -> Sequence[Labels]:
    """What is known of each alert of an incident; beyond the sample, what all of them have in common."""
    incident, members = dossier.incident, dossier.members
    known = bindable(Rule.model_validate(dossier.rule), incident.key)
    whole = 0 < members.total <= len(members.sample)
    alerts = [{**known, **member.labels} for member in members.sample] if whole else [known]
    return [place(labels, incident.rule, incident.severity) for labels in alerts]


def place(labels: Labels, rule: str, severity: Severity) -> Labels:
    """Labels with what is ours to say beside them."""
    return {**labels, "rule": rule, "severity": severity.value}


_BY_KIND = {CommandKind.APPROVE: Role.APPROVER, CommandKind.DECLINE: Role.APPROVER}


def role_for(kind: CommandKind, before: Severity, after: Severity | None) -> Role:
    """What a command to an incident asks for. To make it less bad may put it into somebody's scope."""
    if kind is CommandKind.CHANGE_SEVERITY and after is not None and after > before:
        return Role.APPROVER
    return _BY_KIND.get(kind, Role.OPERATOR)


class Reach(StrEnum):
    """Where a person must have a route's role."""

    SOMEWHERE = "somewhere"
    """Anywhere. A route about one incident, rule or target asks once more, when it knows which."""
    EVERYWHERE = "everywhere"


_RIGHTS: Mapping[tuple[str, str], tuple[Role, Reach]] = {
    ("POST", "/api/v1/rules/check"): (Role.VIEWER, Reach.SOMEWHERE),
    ("POST", "/api/v1/rules/explain"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/anchor/verify"): (Role.VIEWER, Reach.SOMEWHERE),
    ("POST", "/api/v1/halt"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/freezes"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", r"/api/v1/freezes/{id}/end"): (Role.APPROVER, Reach.EVERYWHERE),
    ("POST", "/api/v1/maintenance"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/maintenance/end"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/maintenance/{id}/end"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/schedules/{name}/run"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/sources/{name}/reconcile"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/notifications/test"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/incidents"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/incidents/{id}/commands"): (Role.OPERATOR, Reach.SOMEWHERE),
    ("POST", "/api/v1/acts"): (Role.APPROVER, Reach.SOMEWHERE),
    ("POST", "/api/v1/targets/release"): (Role.APPROVER, Reach.SOMEWHERE),
    ("POST", "/api/v1/give-backs/keep"): (Role.APPROVER, Reach.SOMEWHERE),
}


def check_right(request: web.Request, bearer: Bearer) -> None:
    """Refuse a request to a route that is not theirs at all. Raises RequestError (403)."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    reads = (Role.VIEWER, Reach.SOMEWHERE) if request.method in {"GET", "HEAD"} else None
    role, reach = reads or _RIGHTS.get((request.method, path), (Role.ADMIN, Reach.EVERYWHERE))
    if reach is Reach.EVERYWHERE:
        bearer.require_everywhere(role)
    else:
        bearer.require_somewhere(role)
