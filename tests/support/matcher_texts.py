"""Matcher texts of every kind, good and broken, from one seed: what is asked of the real parser and of ours.

Texts grow from the grammars of both parsers, with quotes, escapes, blanks and braces where they belong and
where they do not, and some are changed by a character or two. Regular expressions are put together soundly,
or at random from every construct that RE2 or Go know and some that neither does.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from responder.model.matcher import Matcher

T = TypeVar("T")

_NAMES = ("alertname", "a", "job", "_x", "a:b", "A9")
_ODD_NAMES = ("a b", "héllo", "🙂", "a.b", "a-b", "1a", "", "{", "\\", '"')
_OPERATORS = ("=", "!=", "=~", "!~", "=~", "!~")
_ODD_OPERATORS = ("==", "~", "~=", "=!", "", "= ~")
_BLANKS = (" ", "  ", "\t", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\xa0", "\u2028", "\u3000", "\ufeff")
_SIGNS = (
    *"abkKsSi019_-+*?.^$|()[]{}\\/<>:;#&%@~!= '`\",nrtvfxuUQE",
    *"éßſÀΐ🙂\n\t\v\x00\x1c\x7f\x80\x85\xa0\u017f\u1fd3\u2028\u212a\ufeff\ufffd",
)
_PLAIN = (*'a b ab api-1 orders:5432 warning|critical a,b a} {a é \\ "'.split(), "", "a b", " a ", "\n")
_ESCAPED = r"""
    \n \" \\ \a \t \v \x41 \x7f \x80 \xff \u00e9 \ud800 \U0001F642 \U00110000 \101 \177 \200 \377 \400 \8 \' \`
    \é \x4 \u00 \d \w
""".split()
_ATOMS = (
    *r"""
    a b k S - _ 7 é ß ſ K 🙂 . ^ $ | ( ) api db-[0-9]+ (?: (a) (a|b) (?:a|) () (|a)* (?:^|a)+ (?:a*)* (?:$|b)* (\b|a)+
    (?i) (?i: (?s) (?m) (?U) (?-i) (?i-s: (?s-) (?) (?-) (?ii) (?x) (?m:^a$) (?s:.) (?P<a> (?<a>b) (?P<1> (?P<é>a)
    (?<é> (?P=a) (?P<>a) (?P<a-b> (?# (?=a) (?!a) (?<=a) (?>a) [ ] [^ [] [^] []a] [^]a] [a-z] [^a] [z-a] [a- [-a] [a-]
    [\d-z] [a\-z] [.] [[:alpha:]] [[:^alpha:]] [[:word:]] [:alpha:] [[:foo:]] [\w\s] [^\W] [\]] [a&&b] [\Qa] [(?i)é]
    * + ? *? +? ?? ** { } {2} {2,} {0} {0,0} {0,} {1,2} {2,1} {,2} {2}? {02} {1000} {1001} {0,1000} {99999999}
    {100000000} {9999999999} {1,9999999999} a{30} (?:a{2}){3} (?:a{100}){11} (?:a{32}){32} ((a{2}){0}b){600}
    (?:a{0,40}){40} (?:(?:a{10}){10}){10} \ \\ \a \f \t \n \r \v \e \0 \01 \1 \8 \12 \123 \400 \777 \x \x4 \x41 \xff
    \x{41} \x{} \x{0041} \x{e9} \x{110000} \x{10FFFF} \x{D800} \x{dfff} \d \D \w \W \s \S \h \R \X \N \b \B \A \z \Z
    \G \K \C \pL \PL \p{L} \p{^L} \p{Greek} \p{greek} \p{Letter} \p{} \p [\pN] \pX \u0041 \Q \E \Qa.b\E \Q\E \Qa\\E
    \Q(?i)\E \_ \- \é \" \/ \< \]
    """.split(),
    *(" ", "\n", "\\ ", "\\\n", "{ 2}", "\ufffd"),
)
_SOUND = r"""
    a b k S - _ 7 é 🙂 . ^ $ api db- [a-z] [^a] [0-9] \d \D \w \W \s \S \b \B \A \z \n \t \. \- \\ \x41 \x{e9} \123
    []a] [^]a] [-a] [a\-z] [[:alpha:]] [^[:^alpha:]] [\w\s] \Qa.b\E .* .+ (?s:.) (?m:^a$) [\x00-\x{10FFFF}] , = " {
""".split()
_OPENED = ("(", "(?:", "(?:", "(?i:", "(?s:", "(?m:", "(?U:", "(?i-s:", "(?P<n>", "(?<n>")
_TIMES = (*(("",) * 8), *"* + ? *? +? ?? {2} {1,2} {0,3} {2,} {3}?".split())
VALUES = (
    *"a b ab ba aa aab A k K K s S ſ é É ß ẞ _ 7 0 - a-b \ufffd 🙂 \\ ^ $ . a.b axb { } {2} {,2} a{2} ] [".split(),
    *"api API db-1 db- warning critical C d w Q E x41 n".split(),
    *("", " ", "\n", "a\n", "\na", "a\nb", "\x00", "\v", "\t", "a" * 30, "a" * 1000, "a" * 1024, "b" * 600),
)


def texts(random: Random, count: int) -> list[str]:
    """So many different texts."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[_text(random)] = None
    return list(found)


def label_sets(random: Random, matchers: tuple[Matcher, ...]) -> list[dict[str, str]]:
    """Labels for matchers: the values they name, values near them, others, and none."""
    sets: list[dict[str, str]] = [{}]
    for _ in range(7):
        chosen = {matcher.name: _value_for(random, matcher) for matcher in matchers}
        missing = random.choice([*chosen, None, None])
        sets.append({name: value for name, value in chosen.items() if name != missing})
    return sets


def _value_for(random: Random, matcher: Matcher) -> str:
    kind = random.randrange(4)
    if kind == 0:
        return matcher.value
    if kind == 1:
        return random.choice(matcher.value.split("|")).strip("^$().*")
    if kind == 2:
        return "".join(random.choices(_SIGNS, k=random.randint(1, 3)))
    return random.choice(VALUES)


def _text(random: Random) -> str:
    matchers = [_matcher(random) for _ in range(random.choice((0, 1, 1, 1, 1, 2, 2, 3)))]
    comma = _mostly(random, (",",), (",,", ";", " ", ""))
    inner = f"{_blank(random)}{comma}{_blank(random)}".join(matchers)
    if random.random() < 0.2:
        inner += random.choice((",", ", ", " ,", ",,", ",\x1c", ",\x85"))
    odd = (("{", ""), ("", "}"), ("{{", "}}"), ("{", "}}"), ("}", "{"))
    opened, closed = _mostly(random, (("", ""), ("", ""), ("{", "}")), odd)
    text = f"{_blank(random)}{opened}{_blank(random)}{inner}{_blank(random)}{closed}{_blank(random)}"
    return _changed(random, text) if random.random() < 0.25 else text


def _mostly(random: Random, usual: Sequence[T], odd: Sequence[T]) -> T:
    return random.choice(odd if random.random() < 0.1 else usual)


def _matcher(random: Random) -> str:
    name, operator = _name(random), _mostly(random, _OPERATORS, _ODD_OPERATORS)
    value = _written(random, expression(random) if "~" in operator else _value(random), bare=0.2)
    return f"{name}{_blank(random)}{operator}{_blank(random)}{value}"


def _name(random: Random) -> str:
    if random.random() < 0.7:
        return _written(random, random.choice(_NAMES), bare=0.8)
    return _written(random, random.choice(_ODD_NAMES), bare=0.2)


def _value(random: Random) -> str:
    if random.random() < 0.5:
        return random.choice(_PLAIN)
    return "".join(random.choices(_SIGNS, k=random.randint(0, 5)))


def expression(random: Random) -> str:
    """A regular expression, sound or not."""
    if random.random() < 0.6:
        return _sound(random, 3)
    return "".join(random.choices(_ATOMS, k=random.randint(1, 5)))


def _sound(random: Random, depth: int) -> str:
    """An expression that both engines should read."""
    parts: list[str] = []
    for _ in range(random.randint(1, 3)):
        nested = depth > 0 and random.random() < 0.3
        atom = f"{random.choice(_OPENED)}{_sound(random, depth - 1)})" if nested else random.choice(_SOUND)
        parts.append(atom + random.choice(_TIMES))
    return random.choice(("", "", "|")).join(parts)


def _written(random: Random, value: str, *, bare: float) -> str:
    """Bare, or in quotes: escaped, or as it is with an escape of some kind somewhere, or in wrong ones."""
    if random.random() < bare:
        return value
    kind = random.random()
    if kind < 0.8:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if kind < 0.95:
        at = random.randint(0, len(value))
        return f'"{value[:at]}{random.choice(_ESCAPED)}{value[at:]}"'
    quote = random.choice("\"'`")
    return f"{quote}{value}{quote}"


def _blank(random: Random) -> str:
    return random.choice(_BLANKS) if random.random() < 0.15 else ""


def _changed(random: Random, text: str) -> str:
    """With one to three characters deleted, put in, doubled or swapped."""
    signs = list(text)
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(signs))
        match random.randrange(4):
            case 0:
                del signs[at : at + 1]
            case 1:
                signs.insert(at, random.choice(_SIGNS))
            case 2:
                signs[at:at] = signs[at : at + 1]
            case _:
                signs[at : at + 2] = reversed(signs[at : at + 2])
    return "".join(signs)
