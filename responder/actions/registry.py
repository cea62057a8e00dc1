"""Which action has which name. Adding one of ours is one line in `BUILT_IN`.

Users' own come through the entry-point group `responder.actions`: the entry's name is the action's name, its
value is `module:Class`. A class is imported when it is first asked for, so that what nobody uses costs
nothing and needs no package.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias, get_type_hints

from responder.actions.base import ChangingAction, Clients, ReadOnlyAction
from responder.model.errors import PermanentError
from responder.model.expectation import FieldKind
from responder.model.target import State, result_fields
from responder.ports import Action
from responder.rulebook.catalogue import ActionFacts

ActionClass: TypeAlias = type[ReadOnlyAction[Any, Any]] | type[ChangingAction[Any, Any]]

ENTRY_POINT_GROUP = "responder.actions"

BUILT_IN: Mapping[str, str] = {
    "alertmanager.alerts": "responder.actions.alertmanager_alerts:Alerts",
    "alertmanager.expire_silence": "responder.actions.alertmanager:ExpireSilence",
    "alertmanager.silence": "responder.actions.alertmanager:MakeSilence",
    "postgres.activity": "responder.actions.postgres:Activity",
    "postgres.cancel_queries": "responder.actions.postgres:CancelQueries",
    "postgres.terminate_queries": "responder.actions.postgres:TerminateQueries",
    "prometheus.query": "responder.actions.prometheus:Query",
}


class Registry:
    """The catalogue of all actions: what the check of rules asks, without any client.

    Raises:
        PermanentError: (when made) an entry point takes a name that is taken.
    """

    def __init__(
        self, own: Mapping[str, str] = BUILT_IN, installed: Sequence[EntryPoint] | None = None
    ) -> None:
        found = entry_points(group=ENTRY_POINT_GROUP) if installed is None else installed
        self._paths = dict(own)
        for entry in found:
            if entry.name in self._paths:
                raise PermanentError(
                    f"the action {entry.name!r} of {entry.value} clashes with {self._paths[entry.name]}: "
                    "rename it or uninstall its package"
                )
            self._paths[entry.name] = entry.value
        self._classes: dict[str, ActionClass] = {}

    def names(self) -> Sequence[str]:
        """Every name, sorted."""
        return sorted(self._paths)

    def find(self, name: str) -> ActionFacts | None:
        """What a rule may rely on. Raises PermanentError where the class cannot be loaded."""
        if name not in self._paths:
            return None
        action = self.load(name)
        return ActionFacts(
            name=name,
            kind=action.kind,
            params=action.Params,
            deadline=action.deadline,
            undoable=action.undoable,
            relative=action.relative,
            results=results_of(action),
        )

    def load(self, name: str) -> ActionClass:
        """The class of that name, imported on first use.

        Raises:
            PermanentError: there is none of that name, or it cannot be used; says why and what to do.
        """
        if name not in self._paths:
            raise PermanentError(f"there is no action {name!r}; there are: {', '.join(self.names())}")
        if name not in self._classes:
            self._classes[name] = _imported(name, self._paths[name])
        return self._classes[name]


class BuiltActions:
    """The actions of a registry, each built once, on first use: implements `ports.Actions`."""

    def __init__(self, registry: Registry, clients: Clients) -> None:
        self._registry = registry
        self._clients = clients
        self._built: dict[str, Action[Any, Any]] = {}

    def get(self, name: str) -> Action[Any, Any]:
        """The action. Raises PermanentError where there is none of that name."""
        if name not in self._built:
            self._built[name] = self._registry.load(name)(self._clients)
        return self._built[name]


def _imported(name: str, path: str) -> ActionClass:
    module, _, attribute = path.partition(":")
    try:
        action = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PermanentError(f"the action {name!r} cannot be loaded from {path}: {error}") from error
    if not (isinstance(action, type) and issubclass(action, ReadOnlyAction | ChangingAction)):
        raise PermanentError(f"{path} is no action: derive it from ReadOnlyAction or ChangingAction")
    own_name = getattr(action, "name", None)
    if own_name != name:
        raise PermanentError(f"{path} calls itself {own_name!r}, but is registered as {name!r}")
    return action


def results_of(action: ActionClass) -> Mapping[str, FieldKind]:
    """The fields of the state that its look says it returns. Of what is not said nothing can be expected."""
    try:
        state = get_type_hints(action.look).get("return")
    except NameError:
        return {}
    return result_fields(state) if isinstance(state, type) and issubclass(state, State) else {}
