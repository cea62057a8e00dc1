"""The systems that this process asks, for `/readyz`: who gives no usable answer, and what does not go on.

None of them makes a process unready: alerts are taken in without them. Their addresses and what went wrong
are in the log; nobody has to show a token for these words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from responder.clients.answering import Answering
from responder.model.duration import format_duration
from responder.web.api import Part

_PROMETHEUS = (
    "Probes in PromQL have no data: what they verify or decide waits, and escalates at its deadline. "
    "Everything else goes on"
)
_SOURCE = (
    "As long as no peer answers, changing steps for its alerts are held, and escalate at their deadline; "
    "that an alert has ended is believed when all peers say so. Deliveries are taken in as ever"
)
_POSTGRES = "Steps, evidence and probes there wait, and escalate at their deadline. Everything else goes on"


@dataclass(frozen=True, slots=True)
class Asked:
    """Whoever is asked, by kind."""

    prometheus: Answering
    sources: Answering
    postgres: Answering

    def parts(self) -> Sequence[Part]:
        """One part for each that gave no usable answer when it was asked last."""
        kinds = (
            ("prometheus", self.prometheus, _PROMETHEUS),
            ("alert state of", self.sources, _SOURCE),
            ("postgres", self.postgres, _POSTGRES),
        )
        return [
            Part(name=f"{kind} {name}", ready=True, text=_text(since), warning=True, affects=affects)
            for kind, answering, affects in kinds
            for name, since in sorted(answering.silent().items())
        ]


def _text(since: timedelta) -> str:
    seconds = timedelta(seconds=int(since.total_seconds()))
    return f"it has given no usable answer for {format_duration(seconds)}: see the log"
