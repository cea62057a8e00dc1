"""Binding labels: whatever an alert says stays one value, in parameters and in PromQL."""

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from responder.decide.bind import bind_params, bind_promql
from responder.decide.promql import TokenKind, tokens
from responder.model.errors import RefusedError

ATTACKS = ['"} or 1 #', "`", "\\", '\\"', "a\nb", "$labels.x", ".*", "a|b", "${1}", "\x00", "'", "\\E.*"]
HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.sampled_from(
    ATTACKS
)
QUERIES = st.sampled_from(
    [
        'max(x{datname="$labels.x"}) by (job)',
        "max(x{datname='$labels.x'}) by (job)",
        "max(x{datname=`$labels.x`}) by (job)",
        "max(x{datname=$labels.x}) by (job)",
        'max(x{datname=~"$labels.x", job!~"$labels.x"}) # $labels.x',
    ]
)


def meaning(literal: str) -> str:
    """What Prometheus (Go's strconv.Unquote) makes of a double-quoted literal of ours."""
    assert literal[0] == literal[-1] == '"'
    parts, at, body = [], 0, literal[1:-1]
    while at < len(body):
        sign = body[at]
        assert sign not in '"\n'
        if sign != "\\":
            parts.append(sign)
            at += 1
        elif body[at + 1] == "x":
            parts.append(chr(int(body[at + 2 : at + 4], 16)))
            at += 4
        else:
            assert body[at + 1] in '"\\'
            parts.append(body[at + 1])
            at += 2
    return "".join(parts)


@given(QUERIES, HOSTILE)
@example('x{a="$labels.x"}', '"} or vector(1) or x{a="')
def test_a_hostile_label_stays_one_string_literal_in_promql(query: str, value: str) -> None:
    """The bound query has the same tokens as the written one; only the literals say something else."""
    bound = bind_promql(query, {"x": value})
    before, after = tokens(query), tokens(bound)
    assert len(before) == len(after)
    for old, new, at in zip(before, after, range(len(after)), strict=True):
        if "$labels.x" not in old.text:
            assert new.text == old.text
            continue
        assert new.kind is TokenKind.STRING
        said = meaning(new.text)
        if before[at - 1].kind is TokenKind.MATCH:
            assert re2.compile(f"^(?s:{said})$").search(value) is not None
            assert re2.compile(f"^(?s:{said})$").search(value + "x") is None
        else:
            assert said == value


@given(HOSTILE)
def test_a_hostile_label_stays_one_value_in_parameters(value: str) -> None:
    """A label is put in once, as a text, at any depth; its own content is never looked at again."""
    params = {"a": "$labels.x", "b": {"c": ["$labels.x", 5, None, "x$labels.x"]}, "$labels.x": True}
    assert bind_params(params, {"x": value}) == {
        "a": value,
        "b": {"c": [value, 5, None, "x$labels.x"]},
        "$labels.x": True,
    }


@pytest.mark.parametrize("labels", [{}, {"x": ""}])
def test_a_missing_label_is_refused(labels: dict[str, str]) -> None:
    """No label and an empty one are refused: neither ever means "any"."""
    with pytest.raises(RefusedError, match=r"no label 'x'"):
        bind_params({"a": "$labels.x"}, labels)
    with pytest.raises(RefusedError, match=r"no label 'x'"):
        bind_promql("x{a=$labels.x}", labels)
