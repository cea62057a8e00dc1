"""What RE2 and Go read differently is found in a pattern, and nothing else is."""

import pytest

from responder.rulebook.dialects import Differing, differing
from responder.rulebook.matchers import DifferingError, parse_matchers


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"a\Cb", Differing.ANY_BYTE),
        (r"\pL+", Differing.UNICODE_CLASS),
        (r"[a\P{Greek}]", Differing.UNICODE_CLASS),
        ("(?i)é", Differing.FOLDED),
        ("a(?i-s:b)|é", Differing.FOLDED),
        (r"(?i)[a-\x{17f}]", Differing.FOLDED),
        (r"(?i)\xe9", Differing.FOLDED),
        (r"(?i)\351", Differing.FOLDED),
        (r"(?i)\Qé\E", Differing.FOLDED),
        (r"\x{D800}", Differing.SURROGATE),
        (r"[\x{dfff}]", Differing.SURROGATE),
        ("a{100000000}", Differing.ENDLESS_COUNT),
        ("{1,9999999999}", Differing.ENDLESS_COUNT),
        ("a{0}", Differing.NO_TIMES),
        ("(a){0,0}", Differing.NO_TIMES),
        ("(?P<é>a)", Differing.GROUP_NAME),
        ("(?<é>a)", Differing.GROUP_NAME),
        ("(" * 101 + ")" * 101, Differing.DEPTH),
        ("(?:" * 101 + ")" * 101, Differing.DEPTH),
    ],
)
def test_what_differs_is_found(pattern: str, found: Differing) -> None:
    """In the open, in groups, in classes and behind escapes."""
    assert differing(pattern) is found


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "a|b",
            "é",
            r"\\C",
            r"\\pL",
            "(?s)é",
            "(?-i)é",
            "(?i)[a-z]",
            r"é\(?i\)",
            "[(?i)é]",
            r"\Q(?i)é\E",
            "{",
            "{0",
        ),
        *(
            "a{0,}",
            "a{0,1}",
            "[{0}]",
            r"\{0}",
            r"\Q{0}\E",
            "a{10}",
            r"\x{D7FF}",
            r"\x41",
            "(?P<a>b)",
            "()" * 200,
            "[(]" * 200,
        ),
    ],
)
def test_what_both_read_alike_is_left_alone(pattern: str) -> None:
    """The same signs where they mean themselves, or something harmless, are no mistake."""
    assert differing(pattern) is None


def test_what_is_too_large_for_re2_is_refused_as_such() -> None:
    """Go compiles larger ones: it is no mistake of the syntax, and the mend says so."""
    with pytest.raises(DifferingError, match="larger than RE2 compiles"):
        parse_matchers(f'a=~"{".{1000}" * 60}"')


def test_what_the_classic_reading_leaves_open_is_refused() -> None:
    """Where Alertmanager would take the classic reading if Go reads it, the other reading is no answer."""
    with pytest.raises(DifferingError, match="Unicode classes"):
        parse_matchers(r'a=~"\\x5cp{L}\pL"')
    assert parse_matchers(r'a=~"\x5cpL"')[0].value == r"\x5cpL"
