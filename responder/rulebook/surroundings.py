"""What the check of rules needs to know of the settings. `app` and the CLI build it; nothing here reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from responder.model.budget import Budgets
from responder.model.inventory import Inventory
from responder.model.redaction import SHIPPED, Redaction
from responder.model.severity import Severity
from responder.rulebook.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the check needs to know of one source of alerts.

    `has_api` says whether the source can be asked what fires; where it cannot, a "resolved" comes up to
    `evaluation_interval` plus `group_interval` late. `endless` sources never send a "resolved" at all.
    """

    name: str
    has_api: bool
    evaluation_interval: timedelta = timedelta(minutes=1)
    group_interval: timedelta = timedelta(minutes=5)
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that rules may name and lean on."""

    catalogue: Catalogue
    inventory: Inventory
    queries: frozenset[str] = frozenset()
    """The names of the read-only queries that `sql` probes may ask."""
    sources: tuple[SourceFacts, ...] = ()
    prometheus: bool = False
    """Whether a Prometheus is configured: without one a `promql` probe can never be answered."""
    redaction: Redaction = SHIPPED
    """Says which labels are redacted whole: a rule can ask whether they are there, and nothing else."""
    response_times: Mapping[Severity, timedelta] = field(default_factory=dict)
    """How soon a person is promised, by severity; nothing is said of those that are missing."""
    budgets: Budgets | None = None
    """How many disruptive starts a window allows; None where that is not known."""
