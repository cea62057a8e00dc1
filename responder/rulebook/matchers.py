"""Alertmanager's matcher text, read as Alertmanager reads it in its default, fallback mode.

Two parsers read the text. The UTF-8 one knows any label name, quoted where needed; the classic one knows
names of ASCII and forgives bare values such as `=~ ^a(b|c)$`. Only the classic one reads it: its result.
Both read it and differ: the classic one's result, because that is what Alertmanager does. Neither: an error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from responder.model.matcher import Matcher, MatchOp, compiled
from responder.rulebook.dialects import Differing, differing

_RESERVED = frozenset("{}!=~,\\\"'`")
_OPERATORS = {op.value: op for op in MatchOp}
_BLANKS = "\t\n\f\r "
"""What the classic parser's expression knows as blank."""
_CLASSIC = re.compile(
    rf"[{_BLANKS}]*([a-zA-Z_:][a-zA-Z0-9_:]*)[{_BLANKS}]*(=~|=|!=|!~)[{_BLANKS}]*(.*)", re.DOTALL
)
_SPACES = "".join(
    sign for sign in map(chr, range(0x3001)) if sign.isspace() and sign not in "\x1c\x1d\x1e\x1f"
)
"""What Go knows as white space: Python's without the four separators of ASCII."""
_NO_WORD = _RESERVED | frozenset(_SPACES)
_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_TOO_LARGE = "pattern too large - compile failed"
"""What RE2 says of a sound expression that it has no room for."""
_NUMERIC_ESCAPE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")

_SURROGATES = range(0xD800, 0xE000)


class MatcherError(ValueError):
    """The text is no matcher.

    Attributes:
        column: where in the text, from 1.
        mend: what to do.
    """

    mend = """Write it as Alertmanager does, such as 'alertname = "NAME"'"""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (character {column} of the matcher)")
        self.message = message
        self.column = column


class DifferingError(MatcherError):
    """The regular expression means one thing here and another in Alertmanager."""

    def __init__(self, found: Differing, column: int) -> None:
        super().__init__(found.text, column)
        self.mend = found.mend


@lru_cache(maxsize=4096)  # many rules ask the same of `severity` or `namespace`
def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read `a = "b"`, `a="b",c=~"d"` or `{a="b"}`; `{}` and the empty text are no condition at all.

    Raises:
        MatcherError: neither parser can read the text, or a regular expression is not RE2.
        DifferingError: RE2 and Go differ over a regular expression in it.
    """
    modern = _attempt(_parse_modern, text)
    classic = _attempt(_parse_classic, text)
    if isinstance(classic, DifferingError):
        raise classic  # nobody here can tell whether Alertmanager reads it
    if isinstance(classic, MatcherError):
        if isinstance(modern, MatcherError):
            raise modern
        return modern
    return classic


def _attempt(parser: Callable[[str], tuple[Matcher, ...]], text: str) -> tuple[Matcher, ...] | MatcherError:
    try:
        return parser(text)
    except MatcherError as error:
        return error


def _matcher(name: str, op: MatchOp, value: str, column: int) -> Matcher:
    if not name:
        raise MatcherError("the label name is empty", column)
    if op in {MatchOp.REGEX, MatchOp.NOT_REGEX}:
        found = differing(value)
        if found is not None:
            raise DifferingError(found, column)
        try:
            compiled(value)
        except ValueError as error:
            if str(error).endswith(_TOO_LARGE):
                raise DifferingError(Differing.SIZE, column) from None
            raise MatcherError(str(error), column) from None
    return Matcher(name=name, op=op, value=value)


# --- the UTF-8 parser -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`word` for names and values, `end`, or the punctuation itself."""
    text: str
    column: int


def _parse_modern(text: str) -> tuple[Matcher, ...]:
    return _Modern(text).matchers()


class _Modern:
    """Recursive descent over the tokens, one token ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    def matchers(self) -> tuple[Matcher, ...]:
        braced = self._accept("{") is not None
        found: list[Matcher] = []
        while self._peek().kind not in {"}", "end"}:
            found.append(self._matcher())
            if self._accept(",") is None:
                break
        self._close(braced=braced, listed=bool(found))
        return tuple(found)

    def _matcher(self) -> Matcher:
        name = self._expect({"word"}, "a label name was expected")
        op = self._expect(set(_OPERATORS), "an operator was expected: =, !=, =~ or !~")
        value = self._expect({"word"}, "a label value was expected")
        return _matcher(name.text, _OPERATORS[op.kind], value.text, value.column)

    def _close(self, *, braced: bool, listed: bool) -> None:
        token = self._peek()
        if braced:
            self._expect({"}"}, "a comma or a closing brace was expected")
        elif token.kind == "}":
            _fail("there is no opening brace for this closing one", token)
        after = "a comma or the end was expected" if listed and not braced else "the end was expected"
        self._expect({"end"}, after)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, kind: str) -> _Token | None:
        token = self._peek()
        if token.kind != kind:
            return None
        self._next += 1
        return token

    def _expect(self, kinds: set[str], message: str) -> _Token:
        token = self._peek()
        if token.kind not in kinds:
            _fail(message, token)
        self._next += token.kind != "end"
        return token


def _fail(message: str, token: _Token) -> NoReturn:
    raise MatcherError(message, token.column)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in _SPACES:
            at += 1
            continue
        token, at = _token(text, at)
        tokens.append(token)
    return [*tokens, _Token("end", "", len(text) + 1)]


def _token(text: str, at: int) -> tuple[_Token, int]:
    sign, column = text[at], at + 1
    if sign in "{},":
        return _Token(sign, sign, column), at + 1
    if sign in "=!":
        return _operator(text, at)
    if sign == '"':
        return _quoted(text, at)
    if sign in _RESERVED:
        raise MatcherError(f"{sign!r} must stand in double quotes", column)
    end = at
    while end < len(text) and text[end] not in _NO_WORD:
        end += 1
    return _Token("word", text[at:end], column), end


def _operator(text: str, at: int) -> tuple[_Token, int]:
    for length in (2, 1):
        sign = text[at : at + length]
        if sign in _OPERATORS:
            return _Token(sign, sign, at + 1), at + len(sign)
    raise MatcherError("an operator was expected: =, !=, =~ or !~", at + 1)


def _quoted(text: str, start: int) -> tuple[_Token, int]:
    """A double-quoted string with Go's escapes."""
    parts: list[str] = []
    at = start + 1
    while at < len(text):
        sign = text[at]
        if sign == '"':
            return _Token("word", "".join(parts), start + 1), at + 1
        if sign == "\n":
            raise MatcherError("a line break in quotes is written \\n", at + 1)
        if sign == "\\":
            sign, at = _escape(text, at)
        else:
            at += 1
        parts.append(sign)
    raise MatcherError("the closing quote is missing", start + 1)


def _escape(text: str, at: int) -> tuple[str, int]:
    sign = text[at + 1 : at + 2]
    if sign in _ESCAPES:
        return _ESCAPES[sign], at + 2
    found = _NUMERIC_ESCAPE.match(text, at + 1)
    if found is None:
        raise MatcherError(f"{text[at : at + 2]!r} is no escape; write \\\\ for a backslash", at + 1)
    short, four, eight, octal = found.groups()
    number = int(octal, 8) if octal else int(short or four or eight, 16)
    limit = 0x7F if short or octal else 0x10FFFF
    if number > limit or number in _SURROGATES:
        raise MatcherError(f"{text[at : found.end()]!r} is no character", at + 1)
    return chr(number), found.end()


# --- the classic parser ---------------------------------------------------------------------------------


def _parse_classic(text: str) -> tuple[Matcher, ...]:
    inner = text.removeprefix("{")
    offset = len(text) - len(inner)
    return tuple(_classic_matcher(part, offset + at) for at, part in _classic_parts(inner.removesuffix("}")))


def _classic_parts(text: str) -> list[tuple[int, str]]:
    """Split at commas outside quotes. The last part alone loses all white space, and may be nothing."""
    parts: list[tuple[int, str]] = []
    start, quoted, escaped = 0, False, False
    for at, sign in enumerate(text):
        if sign == ",":  # a backslash before it escapes what follows the comma, as in Alertmanager
            if not quoted:
                parts.append((start, text[start:at]))
                start = at + 1
            continue
        if sign == '"' and not escaped:
            quoted = not quoted
        escaped = sign == "\\" and not escaped
    last = text[start:].lstrip(_SPACES)
    if last:
        parts.append((len(text) - len(last), last.rstrip(_SPACES)))
    return parts


def _classic_matcher(text: str, offset: int) -> Matcher:
    found = _CLASSIC.fullmatch(text)
    if found is None:
        raise MatcherError(f"{text.strip()!r} is no matcher", offset + 1)
    name, op, raw = found.groups()
    column = offset + found.start(3) + 1
    return _matcher(name, _OPERATORS[op], _classic_value(raw.rstrip(_BLANKS), column), column)


def _classic_value(raw: str, column: int) -> str:
    """Unescape; a backslash before anything but n, a quote or a backslash is itself."""
    opened = raw.startswith('"')
    body = raw[1:] if opened else raw
    parts: list[str] = []
    at = 0
    while at < len(body):
        sign = body[at]
        if sign == "\\" and at + 1 < len(body):
            follower = body[at + 1]
            parts.append({"n": "\n", '"': '"', "\\": "\\"}.get(follower, sign + follower))
            at += 2
            continue
        if sign == '"':
            if not opened or at < len(body) - 1:
                raise MatcherError('a double quote inside the value is written \\"', column + at)
            return "".join(parts)
        parts.append(sign)
        at += 1
    if opened:
        raise MatcherError("the closing quote is missing", column)
    return "".join(parts)
