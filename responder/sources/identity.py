"""Who an alert is: the one way from the labels that a source wrote to fingerprint and stored labels.

What is delivered and what an API answers both go through here: only so are they the same alert.
"""

from collections.abc import Mapping
from typing import NamedTuple

from responder.clients.wire import storable
from responder.model.alert import fingerprint
from responder.model.redaction import Redaction


class Identity(NamedTuple):
    """An alert's fingerprint, over the labels as written, and these labels in a form that can be stored.

    They are not redacted yet.
    """

    fingerprint: str
    labels: Mapping[str, str]


def identify(written: Mapping[str, str], drop_labels: frozenset[str]) -> Identity:
    """The identity of a label set, less the labels that only tell replicas apart.

    An empty label is a missing one, as in Prometheus. The fingerprint is over the text as written, NUL and
    secrets included, so that it is the one that Alertmanager shows.
    """
    raw = _told_apart(written, drop_labels)
    return Identity(fingerprint(raw), _storable(raw))


def kept_labels(
    written: Mapping[str, str], drop_labels: frozenset[str], redaction: Redaction
) -> Mapping[str, str]:
    """The labels as they are kept: less the dropped ones, storable, and without secrets."""
    return redaction.labels(_storable(_told_apart(written, drop_labels)))


def _told_apart(written: Mapping[str, str], drop_labels: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in written.items() if value and name not in drop_labels}


def _storable(raw: dict[str, str]) -> dict[str, str]:
    together = "".join((*raw, *raw.values()))
    if storable(together) == together:  # almost always: one look instead of one for each text
        return raw
    return {storable(name): storable(value) for name, value in raw.items()}
