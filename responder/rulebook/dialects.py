"""Regular expressions that RE2, which runs here, and Go's `regexp` in Alertmanager read differently.

Only what both read alike may stand in a matcher: a rule that takes other alerts than the route beside it, or
that changes with the release of an engine, surprises somebody at night. What differs was found by asking both
(`tests/real/test_matchers_real.py` goes on asking); what only one of them refuses is listed too.
"""

import re
from collections.abc import Iterator
from enum import Enum

DEEPEST = 100
"""Groups within groups. Go gives up somewhere below 1,000, which depends on what stands in them."""


class Differing(Enum):
    """What differs, as (what is wrong, the mend)."""

    ANY_BYTE = (r"`\C` is a byte to RE2 and a mistake to Go", "Write `(?s:.)` for any character")
    UNICODE_CLASS = (
        r"Unicode classes, `\p` and `\P`, differ with the Unicode version of each engine",
        r"Write the characters out, such as `[a-zà-ÿ]`, or use `\w` and `[[:alpha:]]`, which are ASCII",
    )
    FOLDED = (
        "`(?i)` beside characters that are not ASCII depends on the Unicode version of each engine",
        "Write both cases out, such as `[éÉ]`, without `(?i)`",
    )
    SURROGATE = (
        r"half of a surrogate pair, `\x{D800}` to `\x{DFFF}`, is no character, and RE2 reads it as another",
        "Remove it: no label can hold it",
    )
    ENDLESS_COUNT = (
        "a count of nine digits is text to RE2 and a mistake to Go",
        r"Repeat at most 1000 times, or write `\{` where a brace is meant",
    )
    NO_TIMES = (
        "a repetition of no times, `{0}`, counts in the size of what holds it to RE2 and not to Go",
        "Leave out what is repeated no times",
    )
    GROUP_NAME = (
        "a group's name with characters that are not ASCII is a mistake to Go",
        "Name it with letters, digits and `_`, or write `(?:`: a matcher uses no groups",
    )
    SIZE = (
        "it is larger than RE2 compiles, and Go takes larger ones",
        "Write fewer alternatives or repetitions, or several rules",
    )
    DEPTH = (f"groups stand more than {DEEPEST} deep, and Go has another limit than RE2", "Nest less")

    @property
    def text(self) -> str:
        """What is wrong."""
        return str(self.value[0])

    @property
    def mend(self) -> str:
        """What to do."""
        return str(self.value[1])


_WORTH_READING = re.compile(r"[\\{]|\(\?")
_PIECE = re.compile(
    r"""
      \\Q(?P<quoted>.*?)(?:\\E|\Z)
    | \\x\{(?P<braced>[0-9a-fA-F]+)\} | \\x(?P<hex>[0-9a-fA-F]{2}) | \\(?P<octal>[0-7]{2,3})
    | \\(?P<letter>.)
    | (?P<group>\(\?P?<(?P<name>[^>]*)> | \(\?(?P<flags>[imsU]*)(?:-[imsU]*)?(?P<scope>[:)]) | \()
    | (?P<close>\))
    | (?P<open>\[\^?\]?)
    | (?P<count>\{(?P<least>\d+)(?:,(?P<most>\d*))?\})
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_IN_CLASS = re.compile(
    r"""
      \[:\^?[a-z]+:\]
    | \\x\{(?P<braced>[0-9a-fA-F]+)\} | \\x(?P<hex>[0-9a-fA-F]{2}) | \\(?P<octal>[0-7]{2,3})
    | \\(?P<letter>.)
    | (?P<end>\])
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_LETTERS = {"C": Differing.ANY_BYTE, "p": Differing.UNICODE_CLASS, "P": Differing.UNICODE_CLASS}
_SURROGATES = range(0xD800, 0xE000)
_LAST_ASCII = 0x7F
_COUNTED_DIGITS = 8
"""A number of more digits ends Go's reading of it."""


def differing(pattern: str) -> Differing | None:
    """The first construct of a pattern that RE2 and Go read differently, or None.

    That it is too large (`SIZE`) only compiling it tells.
    A pattern that neither of them reads may get any answer.
    """
    if _WORTH_READING.search(pattern) is None and pattern.count("(") <= DEEPEST:
        return None
    return next(_found(pattern), None)


def _found(pattern: str) -> Iterator[Differing]:
    depth, folds, beyond_ascii = 0, False, False
    for piece in _pieces(pattern):
        given = piece.groupdict()
        depth += _deeper(given)
        folds = folds or "i" in (given.get("flags") or "")
        beyond_ascii = beyond_ascii or _beyond_ascii(given)
        yield from _in_piece(given)
        if depth > DEEPEST:
            yield Differing.DEPTH
        if folds and beyond_ascii:
            yield Differing.FOLDED


def _pieces(pattern: str) -> Iterator[re.Match[str]]:
    """The pieces of a pattern, those within its character classes too."""
    at, within = 0, False
    while piece := (_IN_CLASS if within else _PIECE).match(pattern, at):
        at = piece.end()
        given = piece.groupdict()
        within = given.get("open") is not None if not within else given["end"] is None
        yield piece


def _deeper(given: dict[str, str | None]) -> int:
    if given.get("group") is not None and given["scope"] != ")":
        return 1
    return -1 if given.get("close") is not None else 0


def _in_piece(given: dict[str, str | None]) -> Iterator[Differing]:
    letter = given["letter"]
    if letter is not None and letter in _LETTERS:
        yield _LETTERS[letter]
    if _number(given) in _SURROGATES:
        yield Differing.SURROGATE
    if not (given.get("name") or "").isascii():
        yield Differing.GROUP_NAME
    if given.get("count") is not None:
        yield from _in_count(given["least"] or "", given["most"])


def _in_count(least: str, most: str | None) -> Iterator[Differing]:
    if max(len(least), len(most or "")) > _COUNTED_DIGITS:
        yield Differing.ENDLESS_COUNT
    if least == "0" and most in {None, "0"}:
        yield Differing.NO_TIMES


def _beyond_ascii(given: dict[str, str | None]) -> bool:
    written = (given.get("quoted") or "") + (given["letter"] or "") + (given["plain"] or "")
    return not written.isascii() or _number(given) > _LAST_ASCII


def _number(given: dict[str, str | None]) -> int:
    """The character that an escape names by its number; 0 where there is none."""
    if given["octal"] is not None:
        return int(given["octal"], 8)
    return int(given["braced"] or given["hex"] or "0", 16)
