"""Who an alert is: the one way from the labels that a source wrote to fingerprint and stored labels.

What is delivered and what an API answers both go through here: only so are they the same alert.
"""

from dataclasses import dataclass

from responder.clients.wire import storable
from responder.model.alert import fingerprint


@dataclass(frozen=True, slots=True)
class Identity:
    """An alert's fingerprint, over the labels as written, and the labels as they are kept."""

    fingerprint: str
    labels: dict[str, str]


def identify(written: dict[str, str], drop_labels: frozenset[str]) -> Identity:
    """The identity of a label set, less the labels that only tell replicas apart.

    An empty label is a missing one, as in Prometheus. The fingerprint is over the text as written, NUL
    included, so that it is the one that Alertmanager shows; what is kept has no NUL.
    """
    raw = {name: value for name, value in written.items() if value and name not in drop_labels}
    return Identity(fingerprint(raw), _kept(raw))


def _kept(raw: dict[str, str]) -> dict[str, str]:
    together = "".join((*raw, *raw.values()))
    if storable(together) == together:  # almost always: one look instead of one for each text
        return raw
    return {storable(name): storable(value) for name, value in raw.items()}
