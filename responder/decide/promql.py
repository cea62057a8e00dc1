"""The little of PromQL that must be understood: its tokens, and the places where `$labels.x` may stand.

Enough to tell a string from a comparison and a label matcher from an operator; the rest of the language is
Prometheus's business.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

LABEL_REFERENCE = re.compile(r"\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)")
"""How users name a label of the alert."""

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|\#[^\n]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | `[^`]*`)
  | (?P<unclosed>["'`].*)
  | (?P<label>\$labels\.[a-zA-Z_][a-zA-Z0-9_]*)
  | (?P<match>=~|!~)
  | (?P<compare>==|!=|<=|>=|<|>)
  | (?P<equal>=)
  | (?P<open>[({\[])
  | (?P<close>[)}\]])
  | (?P<word>[a-zA-Z0-9_:.]+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class TokenKind(StrEnum):
    """What a token is, as far as it matters here."""

    STRING = "string"
    UNCLOSED = "unclosed"
    """A quote that nothing closes, and all that follows it."""
    LABEL = "label"
    """A `$labels.x` that stands outside quotes."""
    MATCH = "match"
    COMPARE = "compare"
    EQUAL = "equal"
    OPEN = "open"
    CLOSE = "close"
    WORD = "word"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `start` is its index in the query, `braces` how many braces stand open around it."""

    kind: TokenKind
    text: str
    start: int
    braces: int

    @property
    def end(self) -> int:
        """The index after its last character."""
        return self.start + len(self.text)

    @property
    def content(self) -> str:
        """What stands between the quotes of a string, escapes as written; else the text."""
        return self.text[1:-1] if self.kind is TokenKind.STRING else self.text


def tokens(query: str) -> tuple[Token, ...]:
    """All tokens of a query, blanks and comments left out. Every text has tokens; none is refused."""
    found: list[Token] = []
    braces = 0
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup
        if kind is None or kind == "blank":
            continue
        braces -= match.group() == "}"
        found.append(Token(TokenKind(kind), match.group(), match.start(), braces))
        braces += match.group() == "{"
    return tuple(found)


def string_literal(value: str) -> str:
    """A PromQL string that means exactly this value."""
    return '"' + "".join(_escaped(sign) for sign in value) + '"'


def quoted_regex(value: str) -> str:
    """An RE2 expression that matches exactly this value (Go's `regexp.QuoteMeta`)."""
    return "".join(f"\\{sign}" if sign in r"\.+*?()|[]{}^$" else sign for sign in value)


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if ord(sign) < 0x20 or ord(sign) == 0x7F:  # noqa: PLR2004 - the control characters of ASCII
        return f"\\x{ord(sign):02x}"
    return sign
