"""Reads an Alertmanager's configuration for what keeps alerts, or their ends, from arriving here.

Alertmanager hides URLs in what it shows of its configuration, so our receiver is known by its name in the
settings; only where the URL is shown, by that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from responder.cli.findings import Finding, failed, good, warned

WATCHDOGS = ("Watchdog", "DeadMansSwitch")
"""The usual names of an alert that always fires."""
_OUR_PATH = "/api/v1/webhooks/alertmanager/"


@dataclass(frozen=True, slots=True)
class _Route:
    receiver: str
    goes_on: bool
    matchers: str


def routing_findings(part: str, text: str, name: str, receiver: str | None) -> list[Finding]:
    """What is wrong with the way from this Alertmanager to source `name`. `receiver` is ours by name."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        config = None
    if not isinstance(config, Mapping):
        return [warned(part, "its configuration cannot be read", "Look at it by hand")]
    receivers = {str(one.get("name")): one for one in _maps(config.get("receivers"))}
    ours = _ours(receivers, name, receiver)
    if not ours:
        return [_no_receiver(part, receivers, receiver)]
    routes = list(_routes(config.get("route"), ""))
    return [
        *(finding for one in ours for finding in _receiver_findings(part, one, receivers[one])),
        *_route_findings(part, routes, ours),
        *_fallback_findings(part, routes, receivers, ours),
    ]


def has_watchdog_route(text: str) -> bool:
    """Whether any route names an always-firing alert."""
    return any(name in text for name in WATCHDOGS)


def _ours(receivers: Mapping[str, Mapping[str, Any]], name: str, receiver: str | None) -> list[str]:
    if receiver is not None:
        return [receiver] if receiver in receivers else []
    path = f"{_OUR_PATH}{name}"
    return [
        key
        for key, one in receivers.items()
        if any(str(hook.get("url", "")).endswith(path) for hook in _maps(one.get("webhook_configs")))
    ]


def _no_receiver(part: str, receivers: Mapping[str, Any], receiver: str | None) -> Finding:
    if receiver is not None:
        named = ", ".join(receivers) or "none"
        return failed(
            part,
            f"it has no receiver {receiver!r} (it has: {named})",
            "Correct `receiver` of the source, or add it to Alertmanager",
        )
    return warned(
        part,
        "it cannot be told which of its receivers posts here, for it hides URLs",
        "Set `receiver` of the source to the name of ours in Alertmanager",
    )


def _receiver_findings(part: str, name: str, receiver: Mapping[str, Any]) -> Iterator[Finding]:
    hooks = _maps(receiver.get("webhook_configs"))
    if not hooks:
        yield failed(part, f"receiver {name!r} has no webhook_configs", "Add one with the URL of this source")
    for hook in hooks:
        if hook.get("send_resolved", True) is False:
            yield failed(
                part,
                f"receiver {name!r} has send_resolved: false, so no end of an alert arrives",
                "Set send_resolved: true",
            )
        if limit := hook.get("max_alerts"):
            yield failed(
                part,
                f"receiver {name!r} has max_alerts: {limit}, so larger groups arrive cut",
                "Remove max_alerts, or set it to 0",
            )


def _route_findings(part: str, routes: list[_Route], ours: list[str]) -> Iterator[Finding]:
    to_us = [route for route in routes if route.receiver in ours]
    if not to_us:
        yield failed(part, f"no route leads to receiver {ours[0]!r}", "Add a route with this receiver")
        return
    yield good(part, f"{len(to_us)} route{'' if len(to_us) == 1 else 's'} to receiver {ours[0]!r}")
    swallowing = [route for route in to_us if not route.goes_on and not has_watchdog_route(route.matchers)]
    if swallowing:
        yield warned(
            part,
            f"a route to {ours[0]!r} does not go on, so what it takes reaches no person from Alertmanager",
            "Set continue: true on it, with a route to people after it",
        )


def _fallback_findings(
    part: str, routes: list[_Route], receivers: Mapping[str, Mapping[str, Any]], ours: list[str]
) -> Iterator[Finding]:
    """People must be reached when we are down: by a receiver that is used and is not us."""
    others = {route.receiver for route in routes} - set(ours)
    reaching = [name for name in others if _reaches_somebody(receivers.get(name, {}))]
    if reaching:
        yield good(part, f"people are reached beside us by {', '.join(sorted(reaching))}")
    else:
        yield warned(
            part,
            "no receiver beside ours reaches anybody: when we are down, nobody is told",
            "Add a route to people (mail, a pager) beside ours",
        )


def _reaches_somebody(receiver: Mapping[str, Any]) -> bool:
    return any(key.endswith("_configs") and value for key, value in receiver.items())


def _routes(route: Any, inherited: str) -> Iterator[_Route]:
    """All routes, depth first. A route without a receiver has its parent's."""
    if not isinstance(route, Mapping):
        return
    receiver = str(route.get("receiver") or inherited)
    children = _maps(route.get("routes"))
    matchers = str([route.get("matchers"), route.get("match"), route.get("match_re")])
    yield _Route(receiver, bool(route.get("continue")) or bool(children), matchers)
    for child in children:
        yield from _routes(child, receiver)


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
