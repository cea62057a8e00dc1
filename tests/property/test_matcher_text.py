"""Matcher text: what we write reads back, and what Alertmanager reads we read the same way."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from responder.model.matcher import Matcher, MatchOp
from responder.rulebook.matchers import MatcherError, parse_matchers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXT.filter(bool) | st.sampled_from(["alertname", "a-b", "a b", "héllo", "{", 'q"q', "\\"])


def _literal(value: str) -> str:
    return "".join(f"\\{sign}" if sign in r"\.+*?()|[]{}^$" else sign for sign in value)


@st.composite
def matchers(draw: st.DrawFn) -> Matcher:
    op = draw(st.sampled_from(MatchOp))
    value = draw(TEXT)
    regex = op in {MatchOp.REGEX, MatchOp.NOT_REGEX}
    return Matcher(name=draw(NAMES), op=op, value=_literal(value) if regex else value)


@given(wanted=st.lists(matchers(), max_size=4), braces=st.booleans())
@example(wanted=[Matcher(name="a", op=MatchOp.EQUAL, value='"')], braces=False)
@example(wanted=[Matcher(name="a", op=MatchOp.EQUAL, value="x}")], braces=True)
@example(wanted=[Matcher(name="a", op=MatchOp.EQUAL, value="\\")], braces=False)
def test_what_is_written_reads_back(wanted: list[Matcher], braces: bool) -> None:
    """Any matchers, written as Alertmanager writes them, are read as the same matchers."""
    text = ", ".join(str(matcher) for matcher in wanted)
    assert parse_matchers(f"{{{text}}}" if braces else text) == tuple(wanted)


@given(st.text(st.sampled_from("a=!~\",{}\\ n'("), max_size=12) | TEXT)
def test_any_text_is_matchers_or_an_error_with_a_place_in_it(text: str) -> None:
    """No text breaks the parser in another way, and the column lies within the text."""
    column = 1
    try:
        parse_matchers(text)
    except MatcherError as error:
        column = error.column
    assert 1 <= column <= len(text) + 1


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", []),
        ("{}", []),
        ('alertname = "X"', [("alertname", "=", "X")]),
        ('{a="b",c=~"d|e",}', [("a", "=", "b"), ("c", "=~", "d|e")]),
        ("a=b,c!=d", [("a", "=", "b"), ("c", "!=", "d")]),
        ('"a b"="c"', [("a b", "=", "c")]),
        ("🙂=🙂", [("🙂", "=", "🙂")]),
        # Only the classic parser reads these.
        ("foo=", [("foo", "=", "")]),
        ("foo=~^b(a|r)$", [("foo", "=~", "^b(a|r)$")]),
        ("foo=bar}}", [("foo", "=", "bar}")]),
        ('{foo="bar"', [("foo", "=", "bar")]),
        ("foo=\v", [("foo", "=", "")]),
        ("foo=\v,a=b", [("foo", "=", "\v"), ("a", "=", "b")]),
        # Both read these, differently: Alertmanager takes the classic reading.
        (r'foo="\x41"', [("foo", "=", r"\x41")]),
        (r'foo="a\tb"', [("foo", "=", r"a\tb")]),
        # Only the UTF-8 parser reads the name, so its reading of the escape stands.
        (r'"a.b"="\x41\u00e9\101"', [("a.b", "=", "AéA")]),
    ],
)
def test_fallback_mode_reads_as_alertmanager_does(text: str, read: list[tuple[str, str, str]]) -> None:
    """UTF-8 first, classic second, and where both read it differently the classic reading."""
    assert [(m.name, m.op.value, m.value) for m in parse_matchers(text)] == read


@pytest.mark.parametrize(
    "text", ["a", "=b", ",", "{,}", 'a="b', 'a="b" c="d"', 'a=~"("', '""="x"', 'a="b"\x1c', r'a="\,",']
)
def test_what_neither_parser_reads_is_an_error(text: str) -> None:
    """Texts that Alertmanager refuses are refused, and so is an empty label name."""
    with pytest.raises(MatcherError):
        parse_matchers(text)
