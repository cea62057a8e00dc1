"""Deliveries as Alertmanager writes them."""

from collections.abc import Mapping, Sequence


def payload(alerts: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """The body of one POST with these alerts."""
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "status": "firing",
        "receiver": "responder",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "truncatedAlerts": 0,
        "alerts": alerts,
    }
