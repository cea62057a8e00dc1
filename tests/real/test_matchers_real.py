"""Our matchers against Alertmanager's own parser and Go's regular expressions, text by text."""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest

from responder.model.matcher import Matcher, all_match
from responder.rulebook.dialects import Differing
from responder.rulebook.matchers import DifferingError, MatcherError, parse_matchers
from tests.support.matcher_texts import label_sets, texts
from tests.support.oracle import Answer, Question, ask

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]  # the first run builds the program

TEXTS = 24_000
COMPARED = 10_000
SHRUNK = 3

EXAMPLES = {
    Differing.ANY_BYTE: (r"\C", "a"),
    Differing.UNICODE_CLASS: (r"\p{Han}", "\U0002ebf0"),
    Differing.FOLDED: ("(?i)\u0390", "\u1fd3"),
    Differing.SURROGATE: (r"\x{D800}", "\ufffd"),
    Differing.ENDLESS_COUNT: ("{9999999999}", "{9999999999}"),
    Differing.NO_TIMES: ("((a{2}){0}b){1000}", "b" * 1000),
    Differing.GROUP_NAME: ("(?P<é>a)", "a"),
    Differing.SIZE: (".{1000}" * 60, "a" * 60_000),
    Differing.DEPTH: ("(" * 1000 + "a" + ")" * 1000, "a"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A text, what we make of it, and the labels to match; None where we refuse the text."""

    text: str
    matchers: tuple[Matcher, ...] | None
    labels: Sequence[dict[str, str]] = ()

    def difference(self, theirs: Answer) -> str | None:
        """What Alertmanager says otherwise, or None."""
        if self.matchers is None:
            return None if theirs.error else f"refused here, {theirs.matchers} there"
        if theirs.error:
            return f"{self.matchers!r} here, refused there: {theirs.error}"
        read = tuple((m.name, m.op.value, m.value) for m in self.matchers)
        if read != theirs.matchers:
            return f"read as {read} here, as {theirs.matchers} there"
        for labels, there in zip(self.labels, theirs.match, strict=True):
            if all_match(self.matchers, labels) is not there:
                return f"{labels!r} {'match there' if there else 'match here'} only"
        return None


def case(text: str, random: Random) -> Case | None:
    """The case of a text; None where we say that RE2 and Go differ over it."""
    try:
        matchers = parse_matchers(text)
    except DifferingError:
        return None
    except MatcherError:
        return Case(text, None)
    return Case(text, matchers, label_sets(random, matchers))


def differences(cases: Sequence[Case]) -> list[tuple[Case, str]]:
    """The cases over which we and Alertmanager differ."""
    answers = ask([Question(each.text, each.labels) for each in cases])
    found = [(each, each.difference(theirs)) for each, theirs in zip(cases, answers, strict=True)]
    return [(each, said) for each, said in found if said is not None]


def smallest(text: str, seed: int) -> str:
    """The shortest text found, by leaving out more and more, over which we still differ; and how."""
    said = "no shorter one differs"
    while True:
        parts = [
            text[:at] + text[to:]
            for at in range(len(text))
            for to in range(at + 1, min(at + 6, len(text)) + 1)
        ]
        cases = [each for part in parts if (each := case(part, Random(seed))) is not None]
        found = differences(cases)
        if not found:
            return f"{text!r}: {said}"
        shorter, said = min(found, key=lambda one: len(one[0].text))
        text = shorter.text


def test_every_matcher_is_read_and_matches_as_in_alertmanager() -> None:
    """Over 10,000 texts of every kind: Alertmanager takes what we take, reads and matches it the same.

    The same texts each time, so that no run depends on luck; another `SEED` tries others.
    """
    seed = int(os.environ.get("SEED", "1"))
    random = Random(seed)
    cases = [each for text in texts(random, TEXTS) if (each := case(text, random)) is not None]
    found = differences(cases)
    taken = [each for each in cases if each.matchers is not None]
    sys.stdout.write(
        f"seed {seed}: {len(cases)} texts compared, {len(taken)} of them taken, with "
        f"{sum(len(each.labels) for each in taken)} label sets; {len(found)} differences; "
        f"{TEXTS - len(cases)} refused because the engines differ\n"
    )
    reports = [f"{said}\n  smallest: {smallest(each.text, seed)}" for each, said in found[:SHRUNK]]
    assert not found, f"SEED={seed} repeats it: {len(found)} differences\n" + "\n".join(reports)
    assert len(cases) >= COMPARED
    assert len(taken) >= len(cases) // 4


def test_what_we_write_alertmanager_reads_as_the_same_matchers() -> None:
    """The text form of any matchers that we read is read by Alertmanager as just these."""
    random = Random(20_000)
    read = [each.matchers for text in texts(random, 3000) if (each := case(text, random)) and each.matchers]
    written = [", ".join(map(str, matchers)) for matchers in read]
    for matchers, answer in zip(read, ask([Question(text) for text in written]), strict=True):
        assert not answer.error
        assert answer.matchers == tuple((m.name, m.op.value, m.value) for m in matchers)


@pytest.mark.parametrize("construct", Differing)
def test_what_is_refused_because_the_engines_differ_does_differ(construct: Differing) -> None:
    """Each construct that the check refuses for it has an expression that RE2 and Go read differently."""
    pattern, value = EXAMPLES[construct]
    text = f'a=~"{pattern}"'.replace("\\", "\\\\")
    with pytest.raises(DifferingError, match=re.escape(construct.text)):
        parse_matchers(text)
    (theirs,) = ask([Question(text, [{"a": value}])])
    assert (not theirs.error and theirs.match[0]) is not _matches_here(pattern, value)


def _matches_here(pattern: str, value: str) -> bool:
    try:
        return Matcher.model_validate({"name": "a", "op": "=~", "value": pattern}).matches({"a": value})
    except ValueError:
        return False
