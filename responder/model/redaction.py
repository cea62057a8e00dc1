"""Redaction: what is secret in a text is replaced before anything is stored, logged or answered.

Two kinds of marks stand in place of a secret. In a text it is `[redacted]`. In a label it is
`[redacted:0123456789abcdef]`, a keyed hash (HMAC-SHA-256, cut to 64 bits), so that the same secret is still
the same label, and its alert the same incident, while nobody without the key can try guesses. The alert's
fingerprint is over what the source wrote, so the source still knows it.

One automaton of all forms looks at a text first; only where it finds something are the forms tried one by
one. RE2 runs in linear time whatever the text is. Redacting what is redacted changes nothing.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from responder.model.base import Frozen
from responder.model.secret_forms import IN_CONTEXT, LABELS, PROVED, TOKENS, Proof

T = TypeVar("T")

REDACTED = "[redacted]"
"""What stands in a text where a secret stood."""
MASK = "********"
"""What stands where a setting or a field of a log line is secret by its name; redaction leaves it alone."""

_MARK = re2.compile(r"^(?:\[redacted(?::[0-9a-f]{16})?\]|\*{8})$")
_HASH_DIGITS = 16
_NAMES_REMEMBERED = 2048
_LONGEST_REMEMBERED = 256
_MEMORY = 16 << 20
_MEMORY_OF_ONE = 4 << 20
"""Bytes that the automaton of all forms, and that of one, may take at most. Texts that no alert ever says
could fill them; beyond that RE2 begins them anew, or goes on more slowly, with the same result."""
_ANCHOR = re.compile(r"(\\[^Az]|\[\^?\]?(?:\\.|[^\]\\])*\])|\\[Az]|[\^$]", re.DOTALL)
"""What means the begin or the end of a text; what is escaped, and classes of signs, are passed over."""
_PAIR_IN_JSON = r"(?:\\*\"|')([^\"'\\]*)(?:\\*\"|')\s*:\s*\\*\"((?:[^\"\\]|\\[^\"]|\\\\\")*)"
"""A name and its text, in JSON or in JSON inside of JSON, which may be cut off."""


def _expression(text: str) -> str:
    try:
        _compiled(text)
    except ValueError as error:
        raise ValueError(f"{error}; write an expression of RE2, which has no look-around") from None
    if _compiled(text).search(b"") is not None:
        raise ValueError(
            f"{text!r} matches the empty text, so it would match everywhere; ask for a sign more"
        )
    return text


Expression = Annotated[str, AfterValidator(_expression)]
"""A pydantic field that is RE2."""


class RedactionSettings(Frozen):
    """The `redaction:` block of the settings.

    Names are RE2 that must match the whole name, so a plain name is itself. In a pattern with a group, the
    first group that took part is the secret; without one the whole match is.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    shipped: bool = True
    """Whether the forms of secrets that the responder knows by itself are replaced."""
    labels: tuple[Expression, ...] = ()
    """Labels that are redacted whole; they keep their names."""
    annotations: tuple[Expression, ...] = ()
    """Annotations that are redacted whole."""
    patterns: tuple[Expression, ...] = ()
    keep: tuple[Expression, ...] = ()
    """What is no secret although a pattern says so: RE2 that must match all of what would be replaced."""
    key: SecretStr | None = Field(default=None, min_length=16)
    """What the hashes of redacted labels are keyed with; absent, it is derived from the timeline's key."""


class Redaction:
    """Replaces secrets, by the settings and the shipped forms. Pure, and the same for all of one process.

    Args:
        settings: what is secret.
        secret: what the key is derived from where the settings name none: the timeline's key, which every
            replica has, and which outlives a restart.
    """

    def __init__(self, settings: RedactionSettings, secret: bytes) -> None:
        own = settings.key.get_secret_value().encode() if settings.key is not None else secret
        # Derived, so that what is shown of labels says nothing of the key that chains timelines.
        self._key = hmac.new(own, b"responder: labels redacted", sha256).digest()
        shipped = LABELS if settings.shipped else ()
        self._labels = _Names((*shipped, *settings.labels))
        self._annotations = _Names((*shipped, *settings.annotations))
        self._any_name = _Names((*shipped, *settings.labels, *settings.annotations))
        self._secret_names = _Names(shipped)
        self._forms = (*(_shipped_forms() if settings.shipped else ()), *map(_Form, settings.patterns))
        self._in_json = _NamedInJson(self._any_name)
        forms = [form.pattern for form in self._forms]
        names = (*shipped, *settings.labels, *settings.annotations)
        alone = [pattern for pattern in settings.patterns if _unanchored(pattern) != pattern]
        self._suspicious = _any_of(forms)
        self._suspicious_alone = _any_of(alone)
        self._suspicious_lines = _any_of((*forms, *(rf"(?m:^(?:{_unanchored(name)})$)" for name in names)))
        self._keep = _Names(settings.keep)

    def suspects(self, text: str) -> bool:
        """Whether any form is found in it: one run over the text."""
        return self._suspicious is not None and self._suspicious(_encoded(text))

    def suspects_any(self, pairs: Iterable[Mapping[str, str]], *texts: str) -> bool:
        """Whether anything in these texts may have to be redacted: one run over all of them together.

        Almost always there is nothing, and this is all that redaction costs an alert. Names and values are
        lines of one text; what only seems to be a secret across two lines is told apart afterwards. Patterns
        of the settings that say where a text begins or ends are tried on each by itself.
        """
        if self._suspicious_lines is None:
            return False
        lines = [*texts]
        for one in pairs:
            lines += one
            lines += one.values()
        if self._suspicious_lines(_encoded("\n".join(lines))):
            return True
        alone = self._suspicious_alone
        return alone is not None and any(alone(_encoded(line)) for line in lines)

    def hides_label(self, name: str) -> bool:
        """Whether the label of this name is redacted whole, whatever its value."""
        return self._labels.has(name)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._replaced(text, _mark) if self.suspects(text) else text

    def labels(self, written: Mapping[str, str]) -> Mapping[str, str]:
        """Labels as they are kept; the same mapping where there is nothing to redact."""
        return self._pairs(written, self._labels, self._hashed)

    def annotations(self, written: Mapping[str, str]) -> Mapping[str, str]:
        """Annotations as they are kept; the same mapping where there is nothing to redact."""
        return self._pairs(written, self._annotations, _mark)

    def document(self, text: str) -> str:
        """A text that may be JSON, whole or cut off: what stands under a redacted name goes, too."""
        return self.text(self._in_json.replaced(text, _mark, self._kept))

    def value(self, value: T) -> T:
        """The value with every text in it redacted, of the same type; the same object where nothing changed.

        Walks mappings, sequences and models. A text under a name that says secret is redacted whole. The
        names of the settings do not count here: they name labels, and a parameter of that name is none.
        """
        redacted: T = self._walked(value, self._secret_names)
        return redacted

    def entry(self, written: Any) -> Any:
        """What was to be an alert, as JSON: as `value`, and all redacted names count."""
        return self._walked(written, self._any_name)

    def _walked(self, value: Any, hidden: "_Names") -> Any:
        match value:
            case str():
                return self.text(value) if type(value) is str else value
            case Mapping():
                new = {
                    self._walked(name, hidden): self._under(name, inner, hidden)
                    for name, inner in value.items()
                }
                return value if _same(value.items(), new.items()) else new
            case list() | tuple():
                parts = [self._walked(inner, hidden) for inner in value]
                return value if _same(value, parts) else type(value)(parts)
            case BaseModel():
                fields = type(value).model_fields
                changed = {
                    name: new
                    for name in fields
                    if (new := self._walked(old := getattr(value, name), hidden)) is not old
                }
                return value.model_copy(update=changed) if changed else value
            case _:
                return value

    def _under(self, name: Any, value: Any, hidden: "_Names") -> Any:
        whole = isinstance(name, str) and hidden.has(name) and type(value) is str and value
        return _mark(value) if whole else self._walked(value, hidden)

    def _pairs(
        self, written: Mapping[str, str], hidden: "_Names", mark: Callable[[str], str]
    ) -> Mapping[str, str]:
        if not self.suspects_any((written,)):
            return written
        whole = hidden.among(written)
        return {
            self.text(name): (mark(value) if value else value)
            if name in whole
            else (self._replaced(value, mark) if self.suspects(value) else value)
            for name, value in written.items()
        }

    def _replaced(self, text: str, mark: Callable[[str], str]) -> str:
        for form in self._forms:
            text = form.replaced(text, mark, self._kept)
        return text

    def _kept(self, secret: str) -> bool:
        return self._keep.has(secret)

    def _hashed(self, secret: str) -> str:
        if is_mark(secret):
            return secret
        digest = hmac.new(self._key, _encoded(secret), sha256).hexdigest()
        return f"{REDACTED[:-1]}:{digest[:_HASH_DIGITS]}]"


def is_mark(text: str) -> bool:
    """Whether a text is nothing but a mark of redaction."""
    return _MARK.search(text) is not None


def is_redacted(text: str) -> bool:
    """Whether something was redacted in this text: what it says now is not what the source wrote."""
    return REDACTED[:-1] in text


def _mark(secret: str) -> str:
    return secret if is_mark(secret) else REDACTED


def _same(old: Iterable[Any], new: Iterable[Any]) -> bool:
    """Whether nothing was replaced: compared by value, for keys and texts are equal or were redacted."""
    return all(one is other or one == other for one, other in zip(old, new, strict=False))


class _Form:
    """One form of secrets: what it looks like, and the second look where one is needed."""

    __slots__ = ("_compiled", "_proof", "pattern")

    def __init__(self, pattern: str, proof: Proof | None = None) -> None:
        self.pattern = pattern
        self._compiled = _compiled(pattern)
        self._proof = proof

    def replaced(self, text: str, mark: Callable[[str], str], kept: Callable[[str], bool]) -> str:
        """The text with a mark for each secret of this form."""
        raw = _encoded(text)
        parts: list[bytes] = []
        done = 0
        for found in self._compiled.finditer(raw):
            start, end = _secret_of(found)
            secret = raw[start:end].decode(errors="replace")
            if self._is_secret(raw, start, end, secret) and not kept(secret):
                parts += [raw[done:start], mark(secret).encode()]
                done = end
        return b"".join((*parts, raw[done:])).decode(errors="replace") if parts else text

    def _is_secret(self, raw: bytes, start: int, end: int, secret: str) -> bool:
        if self._proof is None:
            return True
        before = raw[max(0, start - _LONGEST_REMEMBERED) : start].decode(errors="replace")
        return self._proof(before, secret, raw[end : end + 2].decode(errors="replace"))


class _NamedInJson:
    """What stands under a redacted name in a text that may be JSON, whole or cut off: name by name."""

    __slots__ = ("_names", "_pair")

    def __init__(self, names: "_Names") -> None:
        self._names = names
        self._pair = _compiled(_PAIR_IN_JSON)

    def replaced(self, text: str, mark: Callable[[str], str], kept: Callable[[str], bool]) -> str:
        """The text with a mark for each of them."""
        raw = _encoded(text)
        parts: list[bytes] = []
        done = 0
        for found in self._pair.finditer(raw):
            name, secret = found[1].decode(errors="replace"), found[2].decode(errors="replace")
            if secret and self._names.has(name) and not kept(secret):
                start, end = found.span(2)
                parts += [raw[done:start], mark(secret).encode()]
                done = end
        return b"".join((*parts, raw[done:])).decode(errors="replace") if parts else text


def _secret_of(found: Any) -> tuple[int, int]:
    """Where the secret stands: the first group that took part, else the whole match."""
    spans = (found.span(number) for number in range(1, found.re.groups + 1))
    where: tuple[int, int] = next((span for span in spans if span[0] >= 0), found.span())
    return where


class _Names:
    """Expressions for whole names; what they said of a name is remembered."""

    def __init__(self, expressions: tuple[str, ...]) -> None:
        self._matches = _any_of(f"^(?:{one})$" for one in expressions)
        self._remembered = lru_cache(maxsize=_NAMES_REMEMBERED)(self._look)

    def has(self, name: str) -> bool:
        """Whether one of them matches the whole name."""
        if self._matches is None:
            return False
        return self._remembered(name) if len(name) <= _LONGEST_REMEMBERED else self._look(name)

    def among(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that one of them matches."""
        return frozenset(filter(self.has, names)) if self._matches is not None else frozenset()

    def _look(self, name: str) -> bool:
        return self._matches is not None and self._matches(_encoded(name))


def _any_of(patterns: Iterable[str]) -> Callable[[bytes], bool] | None:
    """One automaton for all patterns: whether any of them is found."""
    together = "|".join(f"(?:{pattern})" for pattern in patterns)
    if not together:
        return None
    search = _compiled(together, capture=False).search
    return lambda raw: search(raw) is not None


def _unanchored(expression: str) -> str:
    """The expression without its signs for where a text begins and ends: whoever asks sees to that itself."""
    return _ANCHOR.sub(lambda found: found[1] or "", expression)


@lru_cache(maxsize=1)
def _shipped_forms() -> tuple[_Form, ...]:
    tokens = _Form("|".join(f"(?:{pattern})" for pattern in TOKENS.values()))
    contexts = (_Form(pattern) for pattern in IN_CONTEXT.values())
    return (tokens, *contexts, *(_Form(one.pattern, one.proof) for one in PROVED.values()))


@lru_cache(maxsize=512)
def _compiled(pattern: str, *, capture: bool = True) -> Any:
    """RE2 over bytes of UTF-8. Raises ValueError where it cannot be compiled; says why."""
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not capture
    options.max_mem = _MEMORY_OF_ONE if capture else _MEMORY
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{pattern!r} is no RE2 expression: {text}") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


SHIPPED = Redaction(RedactionSettings(), b"the shipped forms alone: nothing of these is stored as a label")
"""The shipped forms, for texts alone: what is said before the settings are known."""
