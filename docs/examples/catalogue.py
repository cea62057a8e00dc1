"""The actions that the example rules name: what each takes, and on what it acts. They reach nothing.

This is what `responder rules check` and `responder rules test` need to know of an action. Look and effect are
missing: docs/actions.md says how to write them. Names of your own begin with your own word, as `acme` here.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field

from responder.actions.base import ChangingAction, ReadOnlyAction
from responder.actions.parameters import AtMost, Name, Number
from responder.model.attempt import Attempt, ElementOutcome, Outcome
from responder.model.base import Frozen
from responder.model.duration import PositiveDuration
from responder.model.errors import PermanentError, RefusedError, TemporaryError
from responder.model.rule import StepKind
from responder.model.target import Element, State, Target
from responder.ports import UndoStep

NOTHING = "an example reaches nothing"

Host = Annotated[Name, AfterValidator(lambda value: value.rpartition(":")[0] or value)]
"""A host as alerts name it, `web-1:9100`: the port is the exporter's, and dropped."""

Workload = Annotated[
    Name | dict[str, Name], Field(description="A deployment: its name, or {pod: NAME} of it.")
]
"""A pod leads to its deployment: claims, budgets and cooldown count for that, whichever pod is named."""


class Seen(State):
    """What a look would find: things by name, and what there is now of what may be relative."""

    things: tuple[str, ...] = ()
    replicas: int = 0


class Pods(Frozen):
    """One pod's log."""

    namespace: Name
    pod: Name
    previous: bool = False
    lines: Number = 100


class InNamespace(Frozen):
    """All of a namespace."""

    namespace: Name


class Rollout(Frozen):
    """One deployment."""

    namespace: Name
    workload: Workload
    at_most: AtMost = 1


class Replicas(Rollout):
    """One deployment and its number of replicas."""

    replicas: Annotated[Number, Field(ge=0, le=100)]


class OneNode(Frozen):
    """One node."""

    node: Name
    at_most: AtMost = 1


class Drained(Frozen):
    """One node and how many of its pods may be evicted."""

    node: Name
    at_most: AtMost = 50


class OnHost(Frozen):
    """A place on a host."""

    host: Host
    path: Name = "/"
    at_most: AtMost = 1


class Journal(Frozen):
    """The journal of a host."""

    host: Host
    keep: PositiveDuration
    at_most: AtMost = 1


class Endpoint(Frozen):
    """Where a certificate is served."""

    endpoint: Name
    at_most: AtMost = 1


class Group(Frozen):
    """A consumer group."""

    consumergroup: Name
    topic: Name


def deployment(namespace: str, workload: str | dict[str, str]) -> str:
    """The key of the deployment. A real action asks the API for the pod's owners; this one cuts its name."""
    match workload:
        case str():
            return f"kubernetes/prod/{namespace}/deployment/{workload}"
        case {"pod": pod} if pod.count("-") >= 2:
            return f"kubernetes/prod/{namespace}/deployment/{pod.rsplit('-', 2)[0]}"
        case _:
            raise RefusedError(f"{workload} leads to no deployment in {namespace}")


def at(key: str) -> tuple[Target, ...]:
    """One target; what stands before its last part is its namespace for budgets."""
    return (Target(key=key, name=key.rpartition("/")[2], namespace=key.rpartition("/")[0]),)


P = TypeVar("P", bound=Frozen)


class Looking(ReadOnlyAction[P, Seen]):
    """An example that looks."""

    deadline: ClassVar[timedelta] = timedelta(seconds=10)

    async def look(self, params: P, target: Target) -> Seen:
        """Yours asks the system."""
        raise TemporaryError(NOTHING)


class Changing(ChangingAction[P, Seen]):
    """An example that changes something."""

    kind: ClassVar[StepKind] = StepKind.DISRUPTIVE
    deadline: ClassVar[timedelta] = timedelta(seconds=30)

    async def look(self, params: P, target: Target) -> Seen:
        """Yours asks the system."""
        raise TemporaryError(NOTHING)

    def pin(self, params: P, state: Seen) -> tuple[Element, ...]:
        """What was seen."""
        return tuple(Element(key=name, title=name) for name in state.things)

    def at_most(self, params: P) -> int:
        """The rule's own number."""
        return int(getattr(params, "at_most", 1))

    async def run(
        self, target: Target, element: Element, params: P, state: Seen, attempt_id: UUID
    ) -> ElementOutcome:
        """Yours acts, fenced by what the look saw."""
        raise PermanentError(NOTHING)

    async def happened(self, attempt: Attempt) -> tuple[ElementOutcome, ...]:
        """Yours asks the system."""
        return tuple(ElementOutcome(element=one.key, outcome=Outcome.UNKNOWN) for one in attempt.elements)


class PodLogs(Looking[Pods]):
    """The last lines that a pod has written."""

    name: ClassVar[str] = "acme.pod_logs"
    Params: ClassVar[type[Frozen]] = Pods

    def resolve(self, params: Pods) -> tuple[Target, ...]:
        """The pod."""
        return at(f"kubernetes/prod/{params.namespace}/pod/{params.pod}")


class RecentChanges(Looking[InNamespace]):
    """What was deployed in a namespace lately."""

    name: ClassVar[str] = "acme.recent_changes"
    Params: ClassVar[type[Frozen]] = InNamespace

    def resolve(self, params: InNamespace) -> tuple[Target, ...]:
        """The namespace."""
        return at(f"kubernetes/prod/{params.namespace}")


class UndoRollout(Changing[Rollout]):
    """Back to the revision before."""

    name: ClassVar[str] = "acme.undo_rollout"
    Params: ClassVar[type[Frozen]] = Rollout

    def resolve(self, params: Rollout) -> tuple[Target, ...]:
        """The deployment."""
        return at(deployment(params.namespace, params.workload))


class Scale(Changing[Replicas]):
    """Another number of replicas, given as such or relative to what there is."""

    name: ClassVar[str] = "acme.scale"
    kind: ClassVar[StepKind] = StepKind.SAFE
    undoable: ClassVar[bool] = True
    relative: ClassVar[frozenset[str]] = frozenset({"replicas"})
    Params: ClassVar[type[Frozen]] = Replicas

    def resolve(self, params: Replicas) -> tuple[Target, ...]:
        """The deployment."""
        return at(deployment(params.namespace, params.workload))

    def present(self, state: Seen) -> Mapping[str, int]:
        """The number of replicas now."""
        return {"replicas": state.replicas}

    def undo(self, params: Replicas, state_before: Mapping[str, Any]) -> UndoStep | None:
        """The number before."""
        return UndoStep(
            action=self.name,
            params={**params.model_dump(mode="json"), "replicas": state_before["replicas"]},
        )


class Cordon(Changing[OneNode]):
    """No new pods on a node."""

    name: ClassVar[str] = "acme.cordon"
    kind: ClassVar[StepKind] = StepKind.SAFE
    undoable: ClassVar[bool] = True
    Params: ClassVar[type[Frozen]] = OneNode

    def resolve(self, params: OneNode) -> tuple[Target, ...]:
        """The node."""
        return at(f"kubernetes/prod/node/{params.node}")

    def undo(self, params: OneNode, state_before: Mapping[str, Any]) -> UndoStep | None:
        """New pods again."""
        return UndoStep(action="acme.uncordon", params={"node": params.node})


class Uncordon(Changing[OneNode]):
    """New pods on a node again."""

    name: ClassVar[str] = "acme.uncordon"
    kind: ClassVar[StepKind] = StepKind.SAFE
    Params: ClassVar[type[Frozen]] = OneNode

    def resolve(self, params: OneNode) -> tuple[Target, ...]:
        """The node."""
        return at(f"kubernetes/prod/node/{params.node}")


class Drain(Changing[Drained]):
    """Evicts the pods of a node, as their disruption budgets allow."""

    name: ClassVar[str] = "acme.drain"
    Params: ClassVar[type[Frozen]] = Drained

    def resolve(self, params: Drained) -> tuple[Target, ...]:
        """The node."""
        return at(f"kubernetes/prod/node/{params.node}")


class DiskUse(Looking[OnHost]):
    """What is large on a disk, and which deleted files are still open."""

    name: ClassVar[str] = "acme.disk_use"
    Params: ClassVar[type[Frozen]] = OnHost

    def resolve(self, params: OnHost) -> tuple[Target, ...]:
        """The host."""
        return at(f"host/{params.host}")


class RotateLogs(Changing[OnHost]):
    """Rotates the logs below a path, with their writers told."""

    name: ClassVar[str] = "acme.rotate_logs"
    kind: ClassVar[StepKind] = StepKind.SAFE
    Params: ClassVar[type[Frozen]] = OnHost

    def resolve(self, params: OnHost) -> tuple[Target, ...]:
        """The host."""
        return at(f"host/{params.host}")


class VacuumJournal(Changing[Journal]):
    """Drops what is older from a host's journal."""

    name: ClassVar[str] = "acme.vacuum_journal"
    kind: ClassVar[StepKind] = StepKind.SAFE
    Params: ClassVar[type[Frozen]] = Journal

    def resolve(self, params: Journal) -> tuple[Target, ...]:
        """The host."""
        return at(f"host/{params.host}")


class RenewCertificate(Changing[Endpoint]):
    """Asks for a new certificate and serves it."""

    name: ClassVar[str] = "acme.renew_certificate"
    kind: ClassVar[StepKind] = StepKind.SAFE
    Params: ClassVar[type[Frozen]] = Endpoint

    def resolve(self, params: Endpoint) -> tuple[Target, ...]:
        """The endpoint."""
        return at(f"certificate/{params.endpoint}")


class ConsumerLag(Looking[Group]):
    """How far each partition of a group lags."""

    name: ClassVar[str] = "acme.consumer_lag"
    Params: ClassVar[type[Frozen]] = Group

    def resolve(self, params: Group) -> tuple[Target, ...]:
        """The group."""
        return at(f"kafka/{params.consumergroup}")


EXAMPLES: Mapping[str, str] = {
    action.name: f"{__name__}:{action.__name__}"
    for action in (
        PodLogs,
        RecentChanges,
        UndoRollout,
        Scale,
        Cordon,
        Uncordon,
        Drain,
        DiskUse,
        RotateLogs,
        VacuumJournal,
        RenewCertificate,
        ConsumerLag,
    )
}
"""By name, as the entry points of a package give them."""
