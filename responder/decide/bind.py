"""Binding: the labels of an incident take the places of `$labels.x`.

What an alert says is hostile until proven otherwise. In parameters a label is a whole value and stays one
value; in PromQL it becomes a string literal, and inside `=~` and `!~` one that matches only itself. A label
that is missing or empty is refused: an empty database name could mean "all of them". So is one in which
something was redacted: it names nothing any more.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from responder.decide.promql import LABEL_REFERENCE, Token, TokenKind, quoted_regex, string_literal, tokens
from responder.model.errors import RefusedError
from responder.model.matcher import Matcher, MatchOp
from responder.model.redaction import is_redacted
from responder.model.rule import Rule

PROMQL = "promql"
"""The parameter that is a question to Prometheus."""


def fixed_in(matchers: Iterable[Matcher]) -> dict[str, str]:
    """The labels whose value an equality matcher fixes."""
    return {m.name: m.value for m in matchers if m.op is MatchOp.EQUAL and m.value}


def bindable(rule: Rule, key: Mapping[str, str]) -> dict[str, str]:
    """Everything that `$labels` may name in an incident of this rule: its key, and what the match fixes."""
    return {**fixed_in(rule.match), **key}


def bind_params(params: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Parameters with every `$labels.x` replaced by the label's value, at any depth; `promql` as a query.

    Raises:
        RefusedError: a label that is named is missing or empty.
    """
    return {name: _bound(name, value, labels) for name, value in params.items()}


def _bound(name: str, value: Any, labels: Mapping[str, str]) -> Any:
    if name == PROMQL and isinstance(value, str):
        return bind_promql(value, labels)
    return bind_value(value, labels)


def bind_value(value: Any, labels: Mapping[str, str]) -> Any:
    """One value, bound. Only a text that is nothing but `$labels.x` is a reference. Raises RefusedError."""
    match value:
        case str():
            found = LABEL_REFERENCE.fullmatch(value)
            return value if found is None else _label(found.group(1), labels)
        case Mapping():
            return {name: bind_value(inner, labels) for name, inner in value.items()}
        case list() | tuple():
            return [bind_value(inner, labels) for inner in value]
        case _:
            return value


def bind_promql(query: str, labels: Mapping[str, str]) -> str:
    """A query with every `$labels.x` replaced by a string literal, whether it stood in quotes or not.

    Raises:
        RefusedError: a label that is named is missing or empty.
    """
    parts: list[str] = []
    done = 0
    before: Token | None = None
    for token in tokens(query):
        found = LABEL_REFERENCE.fullmatch(token.content)  # of a string or a label: no other token fits
        if found is not None:
            value = _label(found.group(1), labels)
            regex = before is not None and before.kind is TokenKind.MATCH
            parts += [query[done : token.start], string_literal(quoted_regex(value) if regex else value)]
            done = token.end
        before = token
    return "".join([*parts, query[done:]])


def _label(name: str, labels: Mapping[str, str]) -> str:
    value = labels.get(name, "")
    if not value:
        raise RefusedError(f"the alert has no label {name!r}, which the rule names as $labels.{name}")
    if is_redacted(value):
        raise RefusedError(f"the label {name!r} was redacted, and the rule names it as $labels.{name}")
    return value
