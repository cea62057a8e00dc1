"""Claims about alerts that are known by their bytes: it is quicker, and nothing else is different."""

import json
import tracemalloc
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from responder.model.alert import Delivery
from responder.model.errors import PermanentError
from responder.model.redaction import SHIPPED
from responder.sources import remembered
from responder.sources.alertmanager import decode
from responder.sources.remembered import Remembered, as_json, key_of, take_apart
from responder.sources.settings import SourceSettings

SOURCE = SourceSettings(name="main", drop_labels=frozenset({"replica"}))
BETWEEN = '},{"status":"'


def alert(**fields: Any) -> dict[str, Any]:
    """One alert as Alertmanager writes it, the status first and the fingerprint last."""
    plain = {
        "status": "firing",
        "labels": {"alertname": "A", "pod": "p-1"},
        "annotations": {"summary": "s"},
        "startsAt": "2026-11-23T22:01:02.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "0",
    }
    return {**plain, **fields}


def compact(value: Any) -> str:
    """As Go writes JSON."""
    return json.dumps(value, separators=(",", ":"))


def body_of(*alerts: Any) -> bytes:
    """A body with these alerts."""
    return compact({"receiver": "r", "alerts": alerts, "groupKey": "{}", "truncatedAlerts": 0}).encode()


def outcome(body: bytes, memory: Remembered | None) -> Delivery | str:
    """What decoding makes of it, be it an error."""
    try:
        return decode(SOURCE, body, SHIPPED, memory)
    except PermanentError as error:
        return str(error)


KNOWN = [alert(labels={"alertname": "A", "pod": f"p-{number}"}) for number in range(3)]


def with_known() -> Remembered:
    """A memory of the known alerts."""
    memory = Remembered()
    for _ in range(2):
        decode(SOURCE, body_of(*KNOWN), SHIPPED, memory)
    return memory


TEXT = st.text(max_size=4) | st.sampled_from(
    [BETWEEN, '"}]', '"alerts":[{"status":"', "replica", "NaN", "\x00", "password=hunter2hunter2"]
)
ALERTS = st.sampled_from(KNOWN) | st.builds(
    alert,
    status=st.sampled_from(["firing", "resolved", "burning"]),
    labels=st.dictionaries(TEXT, TEXT, max_size=2),
    annotations=st.dictionaries(TEXT, TEXT | st.none(), max_size=2),
    startsAt=st.sampled_from(["2026-11-23T22:01:02Z", "0001-01-01T00:00:00Z", "yesterday"]),
    other=TEXT | st.lists(st.sampled_from(KNOWN), max_size=2),
)


@settings(max_examples=300)
@given(st.lists(st.lists(ALERTS, max_size=4), min_size=1, max_size=3))
@example([[alert(annotations={"a": f"x{BETWEEN}firing"}), *KNOWN]])
@example([[alert(other=KNOWN), *KNOWN]])
def test_what_is_remembered_is_what_decoding_says(bodies: list[list[Any]]) -> None:
    """Any alerts, in any company, once, twice and three times: the same delivery as without a memory."""
    memory = with_known()
    for _ in range(3):
        for alerts in bodies:
            body = body_of(*alerts)
            assert outcome(body, memory) == outcome(body, None)


WHOLE = body_of(*KNOWN, alert(annotations={"a": f"x{BETWEEN}y"}), alert(status="resolved")).decode()
PIECES = [
    *(compact(one)[1:-1] for one in KNOWN),
    *WHOLE.replace("},{", "}\x01,\x01{").replace("[", "[\x01").replace("]", "\x01]").split("\x01"),
    *('{"alerts":[{"status":"', '"alerts":[', BETWEEN, '"}]', '"', "{", "}", "[", "]", ",", "]}", '"x":"'),
]


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
@example(f'{{"alerts":[{compact(KNOWN[0])}],"alerts":["{remembered.MARK[:-1]}x"]}}')
@example(f'{{"alerts":[],"x":"\\"alerts\\":[{compact(KNOWN[0])}]"}}')
@example(f'{{"x":{{"alerts":[{compact(KNOWN[0])}]}}}}')
@example(f'{{"x":{{"alerts":[{compact(KNOWN[0])}]}},"alerts":[{compact(KNOWN[1])}]}}')
@example(f'{{"alerts":[{compact(KNOWN[0])}],"x":NaN}}')
@example(f'{{"alerts":[{compact(KNOWN[0])}],"truncatedAlerts":2}}')
@example(f'{{"alerts":[{compact(KNOWN[0])}],"alerts":[{compact(KNOWN[1])}]}}')
def test_no_bytes_mean_anything_else_where_alerts_are_remembered(written: str) -> None:
    """Pieces of bodies in any order: known alerts among them are taken for alerts only where they are."""
    for body in (written.encode(), WHOLE.replace(compact(KNOWN[1]), written).encode()):
        assert outcome(body, with_known()) == outcome(body, None)


def test_what_comes_a_third_time_is_not_read_again() -> None:
    """The very same alert, in another group's body too; and not what came only once."""
    memory = with_known()
    (known,) = decode(SOURCE, body_of(KNOWN[0]), SHIPPED, memory).alerts
    (again,) = decode(
        SOURCE, compact({"alerts": [KNOWN[0]], "groupKey": "b"}).encode(), SHIPPED, memory
    ).alerts
    assert again is known
    new = body_of(alert(labels={"alertname": "B"}))
    once, twice = (decode(SOURCE, new, SHIPPED, memory).alerts[0] for _ in range(2))
    assert once == twice
    assert once is not twice


def test_the_memory_is_bounded_and_keeps_what_is_heard_of() -> None:
    """New alerts, each twice, more than there is room for: so much is held, and what is told of stays."""
    room = 1 << 18
    memory = Remembered(room)
    kept, forgotten = (key_of(compact(one).encode()[len('{"status":"') : -1]) for one in KNOWN[:2])
    decode(SOURCE, body_of(*KNOWN), SHIPPED, memory)
    decode(SOURCE, body_of(*KNOWN), SHIPPED, memory)
    assert memory.recall(forgotten) is not None
    tracemalloc.start()
    try:
        for number in range(1000):
            new = body_of(alert(annotations={"n": f"{number:04d}"}))
            for body in (new, new, body_of(KNOWN[0])):
                decode(SOURCE, body, SHIPPED, memory)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 2 * room
    assert memory.recall(kept) is not None
    assert memory.recall(forgotten) is None


def test_a_part_is_the_json_of_its_alert() -> None:
    """What is looked up by a part is all of an alert."""
    apart = take_apart(body_of(*KNOWN))
    assert apart is not None
    assert [json.loads(as_json(part)) for part in apart.parts] == KNOWN
