"""Probes as users write them: `promql` or `sql`, each with `is`."""

import re
from collections.abc import Mapping

from responder.decide.promql import LABEL_REFERENCE, Token, TokenKind, tokens
from responder.model.rule import Comparison, Position, Probe, PromqlProbe, SqlProbe
from responder.rulebook.connections import check_connection
from responder.rulebook.document import Entry, Mapped, Node, Scalar, plain
from responder.rulebook.mistake import did_you_mean
from responder.rulebook.reading import Reader
from responder.rulebook.scope import Scope, check_reference, check_values
from responder.rulebook.surroundings import Surroundings

Connection = str | dict[str, str]

_LATER = ("http", "tcp", "dns", "tls", "kubernetes")
_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>|=)\s*(-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SETS_LABELS = frozenset({TokenKind.EQUAL, TokenKind.MATCH, TokenKind.COMPARE})


def read_probe(
    node: Node, scope: Scope, surroundings: Surroundings, reader: Reader, connections: tuple[Connection, ...]
) -> Probe | None:
    """One probe, or None where it is wrong.

    `connections` are those of the steps around it: an `sql` probe that names none takes it where it is one.
    """
    known = ("promql", "sql", "connection", "is")
    entries = reader.mapping(node, "a probe", known, _LATER)
    if isinstance(node, Mapped) and any(word in node.entries for word in _LATER):
        return None
    if ("promql" in entries) == ("sql" in entries):
        reader.wrong(node, "a probe needs either `promql` or `sql`", "Write one of the two, with `is`")
        return None
    expect = _expectation(node, entries, reader)
    if "promql" in entries:
        return _promql(entries, expect, scope, surroundings, reader)
    return _sql(node, entries, expect, scope, surroundings, reader, connections)


def _expectation(node: Node, entries: Mapping[str, Entry], reader: Reader) -> Comparison:
    entry = entries.get("is")
    mend = "Write a comparison with a number in quotes, such as is: '< 1'"
    if entry is None:
        reader.wrong(node, "the probe does not say what answer it expects", mend)
        return Comparison(op="==", value=0)
    text = entry.value.text.strip() if isinstance(entry.value, Scalar) else ""
    found = _COMPARISON.fullmatch(text)
    if found is None:
        reader.wrong(entry.value, f"{text!r} is no comparison", mend)
        return Comparison(op="==", value=0)
    return Comparison(op=operator(found.group(1)), value=float(found.group(2)))


def operator(written: str) -> str:
    """One `=` is as good as two."""
    return "==" if written == "=" else written


# --- promql ---------------------------------------------------------------------------------------------


def _promql(
    entries: Mapping[str, Entry],
    expect: Comparison,
    scope: Scope,
    surroundings: Surroundings,
    reader: Reader,
) -> Probe | None:
    node = entries["promql"].value
    if "connection" in entries:
        reader.wrong(entries["connection"], "a promql probe has no `connection`", "Remove it")
    if not surroundings.prometheus:
        mend = "Add `prometheus` to the settings, or verify by an sql probe or the alert alone"
        reader.wrong(node, "no Prometheus is configured: this probe never has data", mend)
    query = reader.text(node, "promql")
    if query is None or not isinstance(node, Scalar):
        return None
    check_query(node, query, scope, reader)
    return PromqlProbe(promql=query, expect=expect)


def check_query(node: Scalar, query: str, scope: Scope, reader: Reader) -> None:
    """Note what makes a query ambiguous or hostile: bare comparisons, labels that are no whole value."""
    read = tokens(query)
    _check_brackets(node, read, reader)
    for at, token in enumerate(read):
        place = node.within(token.start + 1)
        following = read[at + 1].text if at + 1 < len(read) else ""
        if token.kind is TokenKind.COMPARE and not token.braces and following != "bool":
            text = f"the bare comparison `{token.text}` leaves an empty answer for both false and no data"
            reader.wrong(place, text, "Move it to `is`, or write it with `bool`")
        if "$" in token.text and token.kind is not TokenKind.UNCLOSED:
            _check_dollar(token, read[at - 1] if at else None, place, scope, reader)


def _check_dollar(token: Token, before: Token | None, at: Position, scope: Scope, reader: Reader) -> None:
    found = LABEL_REFERENCE.fullmatch(token.content)
    is_value = before is not None and before.kind in _SETS_LABELS and token.braces
    if found is not None and is_value:
        check_reference(found.group(1), at, scope, reader)
    elif "$labels" in token.text or token.kind is not TokenKind.STRING:
        text = f"`{token.text}` is no whole value of a label matcher"
        reader.wrong(at, text, 'Write `$labels.x` as in {datname="$labels.datname"}')


def _check_brackets(node: Scalar, read: tuple[Token, ...], reader: Reader) -> None:
    """Quotes and brackets are closed: else strings and comparisons cannot be told apart."""
    opened: list[Token] = []
    for token in read:
        if token.kind is TokenKind.OPEN:
            opened.append(token)
        elif token.kind is TokenKind.CLOSE and not (opened and _CLOSING[opened.pop().text] == token.text):
            reader.wrong(node.within(token.start + 1), f"nothing opens this `{token.text}`", "Remove it")
            return
        elif token.kind is TokenKind.UNCLOSED:
            reader.wrong(node.within(token.start + 1), "the closing quote is missing", f"Add {token.text[0]}")
            return
    if opened:
        closing = _CLOSING[opened[-1].text]
        place = node.within(opened[-1].start + 1)
        reader.wrong(place, f"`{opened[-1].text}` is never closed", f"Add `{closing}`")


# --- sql ------------------------------------------------------------------------------------------------


def _sql(
    node: Node,
    entries: Mapping[str, Entry],
    expect: Comparison,
    scope: Scope,
    surroundings: Surroundings,
    reader: Reader,
    connections: tuple[Connection, ...],
) -> Probe | None:
    name = reader.text(entries["sql"].value, "sql")
    if name is not None and name not in surroundings.queries:
        text = f"there is no query named {name!r} in the settings"
        reader.wrong(entries["sql"].value, text, did_you_mean(name, surroundings.queries, "queries"))
    given = entries.get("connection")
    if given is not None:
        connection = _connection(given.value, scope, surroundings, reader)
    else:
        connection = _inherited(node, connections, reader)
    if name is None or connection is None:
        return None
    return SqlProbe(sql=name, connection=connection, expect=expect)


def _connection(node: Node, scope: Scope, surroundings: Surroundings, reader: Reader) -> Connection | None:
    value = plain(node)
    labels = isinstance(value, dict) and value and all(isinstance(v, str) for v in value.values())
    if not labels and not (isinstance(value, str) and value):
        mend = "Write a name, or labels such as {server: $labels.server}"
        reader.wrong(node, "a connection is a name of the inventory, or labels that lead to one", mend)
        return None
    check_values(node, scope, reader)
    check_connection(node, surroundings.inventory, scope, reader)
    found: Connection = value
    return found


def _inherited(node: Node, connections: tuple[Connection, ...], reader: Reader) -> Connection | None:
    different = [c for at, c in enumerate(connections) if c not in connections[:at]]
    match different:
        case [one]:
            return one
        case []:
            text = "the probe does not say where to ask, and no step of the rule has a connection"
        case _:
            text = "the probe does not say where to ask, and the steps have several connections"
    reader.wrong(node, text, "Add `connection`, a name or labels, as in a step's `with`")
    return None
