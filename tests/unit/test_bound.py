"""What a label may take the place of, and what fixes a label."""

import pytest

from responder.decide.bind import bind_promql, bind_value, bindable, fixed_in
from responder.decide.promql import string_literal, tokens
from responder.model.errors import RefusedError
from responder.model.matcher import Matcher, MatchOp
from tests.support.virtual import ladder

LABELS = {"pod": "a.b"}


def test_a_matcher_for_no_label_fixes_none() -> None:
    """`team=""` asks that there is none: there is no value to go on with."""
    matchers = [
        Matcher(name="team", op=MatchOp.EQUAL, value=""),
        Matcher(name="pod", op=MatchOp.EQUAL, value="a"),
        Matcher(name="zone", op=MatchOp.NOT_EQUAL, value="b"),
    ]
    assert fixed_in(matchers) == {"pod": "a"}


def test_labels_are_bound_in_lists_of_either_kind() -> None:
    """At any depth; what is no text stays as it is."""
    given = {"one": ("$labels.pod", 3), "two": [["$labels.pod"], None]}
    assert bind_value(given, LABELS) == {"one": ["a.b", 3], "two": [["a.b"], None]}


def test_a_label_at_the_beginning_of_a_query_is_a_plain_string() -> None:
    """Nothing stands before it that could make an expression of it; behind `=~` it matches only itself."""
    assert bind_promql("$labels.pod", LABELS) == '"a.b"'
    assert bind_promql("up{pod=~$labels.pod}", LABELS) == 'up{pod=~"a\\\\.b"}'
    assert bind_promql('up{pod="$labels.pod"} > 3', LABELS) == 'up{pod="a.b"} > 3'


def test_braces_are_counted_around_what_stands_in_them() -> None:
    """A matcher stands in one brace; the braces themselves, and what follows them, stand outside."""
    found = [(token.text, token.braces) for token in tokens('a{b="c"} > d{e!="f"}')]
    outside, inside = [(text, 0) for text in ("a", "{")], [("b", 1), ("=", 1), ('"c"', 1)]
    behind = [("}", 0), (">", 0), ("d", 0), ("{", 0), ("e", 1), ("!=", 1), ('"f"', 1), ("}", 0)]
    assert found == [*outside, *inside, *behind]


def test_control_characters_are_escaped_and_nothing_else() -> None:
    """A blank is none, the last one of ASCII is."""
    assert string_literal(" \x1f\x7f\x80\n!") == '" \\x1f\\x7f\x80\\x0a!"'


def test_a_redacted_label_names_nothing() -> None:
    """It is refused with its name, wherever the rule names it."""
    with pytest.raises(RefusedError, match="the label 'pod' was redacted"):
        bind_value("$labels.pod", {"pod": "[redacted:0123456789abcdef]"})


def test_the_key_and_what_the_match_fixes_may_be_named() -> None:
    """The key comes first where both have a label."""
    match = (
        Matcher(name="alertname", op=MatchOp.EQUAL, value="Stuck"),
        Matcher(name="pod", op=MatchOp.EQUAL, value="b"),
    )
    rule = ladder().model_copy(update={"match": match})
    assert bindable(rule, LABELS) == {"alertname": "Stuck", "pod": "a.b"}
