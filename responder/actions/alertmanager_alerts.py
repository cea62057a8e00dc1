"""Which alerts an Alertmanager knows now: for planned checks, and as evidence."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from pydantic import Field

from responder.actions.base import Clients, ReadOnlyAction
from responder.actions.parameters import Name
from responder.clients.alertmanager import Alertmanager, AlertStatus, KnownAlert
from responder.model.base import Frozen
from responder.model.duration import Duration
from responder.model.errors import TemporaryError
from responder.model.target import State, Target

_TOLD = 5


class AlertsParams(Frozen):
    """What `alertmanager.alerts` takes."""

    source: Name | None = Field(
        default=None, description="The source whose Alertmanager is asked; needed where several have one."
    )
    labels: dict[Name, str] = Field(
        default_factory=dict,
        description="Only alerts with exactly these labels.",
    )
    without: tuple[Name, ...] = Field(
        default=("Watchdog", "InfoInhibitor"),
        description="Names of alerts that are left out: those that fire although nothing is wrong.",
    )


class Named(Frozen):
    """Alerts of one name."""

    alertname: str
    alerts: int


class AlertsState(State):
    """What is known there as not ended."""

    active: int
    """Neither silenced nor inhibited."""
    suppressed: int
    oldest_for: Duration | None
    """How long the oldest active one has fired, by the Alertmanager's word."""
    named: tuple[Named, ...]
    """The active ones by name, the most frequent first."""

    @property
    def summary(self) -> str:
        """How many, and of which names."""
        names = ", ".join(f"{one.alertname} ({one.alerts})" for one in self.named[:_TOLD])
        more = f" and {len(self.named) - _TOLD} more names" if len(self.named) > _TOLD else ""
        told = f": {names}{more}" if names else ""
        return f"{self.active} alerts are active{told}; {self.suppressed} suppressed"


class Alerts(ReadOnlyAction[AlertsParams, AlertsState]):
    """Counts the alerts that an Alertmanager knows as not ended.

    Every peer is asked, and what any of them knows counts once; it is active where any peer says so.
    """

    name: ClassVar[str] = "alertmanager.alerts"
    deadline: ClassVar[timedelta] = timedelta(seconds=10)
    Params: ClassVar[type[Frozen]] = AlertsParams

    def __init__(self, clients: Clients) -> None:
        super().__init__(clients)
        self._clusters = clients.alertmanagers

    def resolve(self, params: AlertsParams) -> tuple[Target, ...]:
        """The cluster."""
        name = self._clusters.find(params.source)
        return (Target(key=f"alertmanager/{name}", name=name),)

    async def look(self, params: AlertsParams, target: Target) -> AlertsState:
        """What all peers that answer know together."""
        known = await _known(self._clusters.peers(target.name))
        wanted = [one for one in known if _wanted(one, params)]
        active = {one.fingerprint: one for one in wanted if one.state is not AlertStatus.SUPPRESSED}
        suppressed = {one.fingerprint for one in wanted} - active.keys()
        names = Counter(one.labels.get("alertname", "") for one in active.values())
        begun = [one.starts_at for one in active.values() if one.starts_at is not None]
        return AlertsState(
            ground=(target.key,),
            active=len(active),
            suppressed=len(suppressed),
            oldest_for=_since(min(begun)) if begun else None,
            named=tuple(
                Named(alertname=name, alerts=alerts)
                for name, alerts in sorted(names.items(), key=lambda item: (-item[1], item[0]))
            ),
        )


def _since(begun: datetime) -> timedelta:
    """In whole seconds: its clock is another one than ours."""
    return timedelta(seconds=max(0, (datetime.now(UTC) - begun) // timedelta(seconds=1)))


def _wanted(alert: KnownAlert, params: AlertsParams) -> bool:
    return (
        params.labels.items() <= alert.labels.items() and alert.labels.get("alertname") not in params.without
    )


async def _known(peers: Sequence[Alertmanager]) -> Sequence[KnownAlert]:
    """Every alert, once for each peer that knows it. Raises TemporaryError where no peer answers."""
    found: list[KnownAlert] = []
    problems = []
    for peer in peers:
        try:
            found += await peer.alerts()
        except TemporaryError as error:
            problems.append(error)
    if len(problems) == len(peers):
        raise TemporaryError("; ".join(map(str, problems)) or "its Alertmanager is not known")
    return found
