"""The JSON Schema of rule files, for editors: keys, words and shapes while one writes.

It knows what stands in one place. What needs the whole file, or the settings, the check alone finds: it is
the judge, and whatever it accepts this accepts.
"""

from collections.abc import Iterable
from typing import Any

from responder.model.autonomy import Autonomy
from responder.model.rule import PageAt, Undo
from responder.model.schedule import Overlap
from responder.model.severity import Severity
from responder.rulebook.catalogue import ActionFacts, Catalogue

Schema = dict[str, Any]

_LABEL: Schema = {"type": "string", "pattern": r"^\$labels\.[a-zA-Z_][a-zA-Z0-9_]*$"}
_TEXT: Schema = {"type": "string", "minLength": 1}
_DURATION: Schema = {
    "type": ["string", "integer"],
    "pattern": r"^(0|([0-9]+(y|w|d|h|ms|m|s))+)$",
    "maximum": 0,
    "description": "A duration as Prometheus writes it: 30s, 10m, 1h30m, 7d.",
}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_COMPARISON: Schema = {
    "type": "string",
    "pattern": r"^\s*(==|!=|<=|>=|<|>|=)\s*-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$",
    "description": "What the answer has to be: '< 1'.",
}
_EXPECTED: Schema = {
    "type": "string",
    "pattern": r"^\s*(==|!=|<=|>=|<|>|=)\s*\S",
    "description": "What the field has to be: '< 80', '> 14d', '== true'.",
}
_MATCHERS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT}],
    "description": "Alertmanager's matchers, all of which must hold: 'alertname = \"A\"'.",
}


def schema(catalogue: Catalogue) -> Schema:
    """The schema (draft 2020-12) of a rule file, with the actions of this catalogue."""
    facts = [found for name in catalogue.names() if (found := catalogue.find(name)) is not None]
    reading = [one for one in facts if not one.kind.changing]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of the responder",
        **_mapping({"defaults": _ref("defaults"), "lists": _lists(), "rules": _rules()}),
        "type": ["object", "null"],
        "$defs": {
            "defaults": _mapping(_DEFAULTED),
            "rule": {
                "if": {"required": ["on"]},
                "then": _ref("scheduled_rule"),
                "else": _ref("matched_rule"),
            },
            "matched_rule": _mapping(_rule(), "name", "match"),
            "scheduled_rule": _mapping(_scheduled(), "name", "on", "steps"),
            "step": {"if": _HAS_ALL, "then": _ref("all_of"), "else": _ref("one_step")},
            "one_step": _steps(facts, _STEP),
            "all_of": _mapping(_ALL_OF, "all"),
            "part": {**_steps([one for one in facts if one.kind.changing], _PART), "type": "object"},
            "evidence": _steps(reading, {"name": _NAME}),
            "check": _checks(reading),
            "severity": _SEVERITY,
            "limits": _LIMITS,
            "notify": _NOTIFY,
            "probe": _PROBE,
            "connection": _CONNECTION,
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _mapping(properties: Schema, *required: str) -> Schema:
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**found, "required": list(required)} if required else found


def _words(words: Iterable[str], meaning: str = "") -> Schema:
    return {"enum": list(words), **({"description": meaning} if meaning else {})}


_LEVELS = [level.value for level in Severity]
_SEVERITY: Schema = {
    "anyOf": [
        _words(_LEVELS, "P0: all is down, to P3: cosmetic or future impact."),
        {
            "type": "array",
            "minItems": 1,
            "items": _mapping({"when": _MATCHERS, "is": _words(_LEVELS)}, "is"),
            "description": "The first whose `when` holds decides; the last has none.",
        },
    ]
}
_RAISE = _mapping({"after": _DURATION, "to": _words(_LEVELS)}, "after", "to")
_LIMITS = _mapping(
    {
        "attempts": {**_COUNT, "description": "So many attempts on one target within `per`."},
        "per": _DURATION,
        "cooldown": _DURATION,
        "recurrence": _mapping({"count": _COUNT, "within": _DURATION}, "count", "within"),
        "only_if_open_at_most": _COUNT,
    }
)
_NOTIFY = _mapping(
    {"page": {"anyOf": [_words(word.value for word in PageAt), _mapping({"after": _DURATION}, "after")]}},
    "page",
)
_CONNECTION: Schema = {
    "anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}],
    "description": "A connection of the inventory: its name, or labels that lead to it by its `matches:`.",
}
_BY: Schema = {
    "oneOf": [
        _mapping({"by": {"type": "integer", "minimum": 1}, "ceiling": {"type": "integer"}}, "by", "ceiling"),
        _mapping({"by": {"type": "integer", "maximum": -1}, "floor": {"type": "integer"}}, "by", "floor"),
    ],
    "description": "So much more than there is, or less, and never beyond the bound.",
}
_PROBE: Schema = {
    "oneOf": [
        _mapping({"promql": _TEXT, "is": _COMPARISON}, "promql", "is"),
        _mapping({"sql": _TEXT, "connection": _ref("connection"), "is": _COMPARISON}, "sql", "is"),
    ]
}
_EVIDENCE: Schema = {
    "type": ["string", "integer"],
    "minLength": 1,
    "minimum": 1,
    "description": "The evidence that is meant: its name, its action, or its number from 1.",
}
_EXPECTATION: Schema = {"type": "object", "minProperties": 1, "additionalProperties": _EXPECTED}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
_AUTONOMY = _words(
    (level.word for level in Autonomy),
    "observe: record; shadow: all but the effect; approve: ask a person; auto.",
)
_DEFAULTED: Schema = {
    "autonomy": _AUTONOMY,
    "for": _DURATION,
    "group_by": {"type": "array", "items": _TEXT, "uniqueItems": True},
    "limits": _ref("limits"),
    "notify": _ref("notify"),
    "owner": _TEXT,
    "runbook_url": {"type": "string", "pattern": "^https?://"},
    "severity": _ref("severity"),
}
_STEP: Schema = {
    "when": {
        "oneOf": [
            _mapping({"probe": _ref("probe")}, "probe"),
            _mapping({"evidence": _EVIDENCE, "is": _EXPECTATION}, "evidence", "is"),
        ]
    },
    "undo": {"anyOf": [_words(word.value for word in Undo), _mapping({"after": _DURATION}, "after")]},
    "repeat": {**_COUNT, "description": "So often it is taken again, as long as it does not help."},
    "autonomy": _AUTONOMY,
}
_PART: Schema = {"undo": _words(word.value for word in Undo)}
_HAS_ALL: Schema = {"type": "object", "required": ["all"]}
_ALL_OF: Schema = {
    "all": {
        "type": "array",
        "minItems": 2,
        "items": _ref("part"),
        "description": "Steps that are one: run in order, taken back in reverse, verified once at the end.",
    },
    **{key: _STEP[key] for key in ("when", "repeat", "autonomy")},
}


def _rules() -> Schema:
    return {"type": "array", "items": _ref("rule")}


def _lists() -> Schema:
    items = {"anyOf": [_ref("step"), _ref("evidence")]}
    steps = {"type": "array", "minItems": 1, "items": items}
    return {"type": "object", "additionalProperties": steps, "description": "Steps that several rules share."}


def _rule() -> Schema:
    verify = _mapping(
        {
            "alert_resolved_within": _DURATION,
            "stable_for": _DURATION,
            "probes": {"type": "array", "items": _ref("probe")},
        }
    )
    return {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"},
        "match": _MATCHERS,
        "continue": {
            "type": "boolean",
            "description": "Whether later rules take its alerts, too: each then has an incident of its own.",
        },
        **_DEFAULTED,
        "raise": {
            "anyOf": [_RAISE, {"type": "array", "minItems": 1, "items": _RAISE}],
            "description": "Worse from some time after its opening on, where it is not over by then.",
        },
        "inhibited_by": {
            "type": "array",
            "minItems": 1,
            "items": _TEXT,
            "uniqueItems": True,
            "description": "Rules: while an incident of theirs is under way, this one is only recorded.",
        },
        "evidence": {"type": "array", "items": _ref("evidence")},
        "steps": {"type": "array", "items": _ref("step")},
        "verify": verify,
        "escalate": {"type": "boolean"},
        "notes": _TEXT,
    }


def _scheduled() -> Schema:
    plan = {
        "schedule": {**_TEXT, "description": "A cron expression of five fields: '0 7 * * *'."},
        "timezone": {**_TEXT, "description": "Whose clock on the wall: Europe/Berlin. UTC if left out."},
        "overlap": _words((word.value for word in Overlap), "What becomes of a run while one is going."),
        "run_late": _DURATION,
    }
    shared = (
        "name",
        "severity",
        "raise",
        "group_by",
        "evidence",
        "escalate",
        "runbook_url",
        "owner",
        "notes",
    )
    known = {**_DEFAULTED, **_rule()}
    return {
        **{key: known[key] for key in shared},
        "on": _mapping(plan, "schedule"),
        "steps": {"type": "array", "minItems": 1, "items": _ref("check")},
    }


def _checks(facts: Iterable[ActionFacts]) -> Schema:
    """A step of a scheduled rule. What is expected is of the fields that its action finds."""
    named = list(facts)
    found = _steps(named, {"name": _NAME, "expect": {"type": "object", "minProperties": 1}})
    cases = [
        {
            "if": {"type": "object", "properties": {"action": {"const": one.name}}, "required": ["action"]},
            "then": {"properties": {"expect": _mapping(dict.fromkeys(one.results, _EXPECTED))}},
        }
        for one in named
    ]
    return {**found, "allOf": [*found["allOf"], *cases]}


def _steps(facts: Iterable[ActionFacts], more: Schema) -> Schema:
    """A step of any of these actions, whose name says which parameters there are; or the name of a list."""
    named = list(facts)
    keys = {"action": _words(one.name for one in named), "with": {"type": "object"}, "timeout": _DURATION}
    cases = [
        {
            "if": {"type": "object", "properties": {"action": {"const": one.name}}, "required": ["action"]},
            "then": {"properties": {"with": parameters(one)}},
        }
        for one in named
    ]
    return {**_mapping({**keys, **more}, "action"), "type": ["object", "string"], "allOf": cases}


def parameters(facts: ActionFacts) -> Schema:
    """What stands under `with` for one action. Any value of it may be a label of the alert instead."""
    found = facts.params.model_json_schema(by_alias=True)
    defs = found.pop("$defs", {})
    properties = {name: _or_a_label(_inlined(one, defs)) for name, one in found.get("properties", {}).items()}
    for name in facts.relative & properties.keys():
        properties[name]["anyOf"].append(_BY)
    return {**found, "properties": properties}


def _or_a_label(value: Schema) -> Schema:
    told: Schema = {key: inner for key, inner in value.items() if key in {"description", "default"}}
    return {**told, "anyOf": [_LABEL, value]}


def _inlined(value: Any, defs: Schema) -> Any:
    """A model's schema refers to its own definitions, which would stand elsewhere here."""
    match value:
        case {"$ref": str(ref)}:
            return _inlined(defs[ref.rpartition("/")[2]], defs)
        case dict():
            return {key: _inlined(inner, defs) for key, inner in value.items()}
        case list():
            return [_inlined(inner, defs) for inner in value]
        case _:
            return value
