"""What the check says no alert reaches, none reaches: held against every label set of a small world."""

import json
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from responder.model.matcher import Matcher, MatchOp, all_match
from responder.rulebook.load import check_texts
from tests.support.rule_surroundings import surroundings

VALUES = ["", "a", "b", "ab", "c", "a\nb"]
PATTERNS = [
    "a|b",
    "a.*",
    ".+",
    ".*",
    "b|",
    "a$b",
    "^a",
    "[ab]",
    "ab|c",
    "a^b",
    "(a|b$)b?",
    "$^",
    "ab$+",
    "^+^a",
]
LABELS = ["x", "y"]
WORLD = [dict(zip(LABELS, values, strict=True)) for values in product(VALUES, repeat=len(LABELS))]
MATCHERS = st.builds(
    Matcher,
    name=st.sampled_from(LABELS),
    op=st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]),
    value=st.sampled_from(VALUES),
) | st.builds(
    Matcher,
    name=st.sampled_from(LABELS),
    op=st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]),
    value=st.sampled_from(PATTERNS),
)
MATCHES = st.lists(MATCHERS, max_size=3).map(tuple)


def written(rules: list[tuple[Matcher, ...]], when: tuple[Matcher, ...]) -> str:
    severity = [*([{"when": [str(one) for one in when], "is": "P0"}] if when else []), {"is": "P3"}]
    found = [
        {"name": f"R{at}", "match": [str(one) for one in match], "severity": severity}
        for at, match in enumerate(rules)
    ]
    return json.dumps({"rules": found})


@settings(max_examples=100)
@given(st.lists(MATCHES, min_size=1, max_size=4), MATCHES)
def test_what_is_said_never_to_happen_never_happens(
    rules: list[tuple[Matcher, ...]], when: tuple[Matcher, ...]
) -> None:
    """No alert has a rule that "takes none" as its first one, nor a severity that "never applies"."""
    mistakes = [
        mistake.text for mistake in check_texts([("r", written(rules, when))], surroundings()).mistakes
    ]
    assert all("never" in text or "no alert can match" in text for text in mistakes), mistakes
    silent = {f"R{at}" for at in range(len(rules)) for text in mistakes if _speaks_of(text, f"R{at}")}
    severities = {f"R{at}" for at in range(len(rules)) for text in mistakes if f"P0 of R{at} never" in text}
    for labels in WORLD:
        taken = next((at for at, match in enumerate(rules) if all_match(match, labels)), None)
        assert f"R{taken}" not in silent, (labels, mistakes)
        if taken is not None and all_match(when, labels):
            assert f"R{taken}" not in severities, (labels, mistakes)


def _speaks_of(text: str, rule: str) -> bool:
    return text.startswith((f"{rule} never takes", f"no alert can match {rule}:"))
