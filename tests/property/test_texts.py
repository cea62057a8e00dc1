"""What is computed in parts, or by a faster way, is what the plain way gives."""

from hypothesis import given
from hypothesis import strategies as st

from responder.model.alert import fingerprint
from responder.model.base import canonical_json, json_of_texts

TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=8)


@given(LABELS)
def test_the_json_of_texts_is_canonical(texts: dict[str, str]) -> None:
    """In whatever order they are given, and whatever signs they have."""
    assert json_of_texts(texts) == canonical_json(texts)


@given(LABELS)
def test_a_fingerprint_in_parts_is_fnv_byte_by_byte(labels: dict[str, str]) -> None:
    """As prometheus/common defines it: FNV-1a over the sorted pairs, each part ended by 0xff."""
    state = 14695981039346656037
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            state = (state ^ byte) * 1099511628211 % 2**64
    assert {fingerprint(labels) for _ in range(3)} == {f"{state:016x}"}  # new, noticed, remembered
