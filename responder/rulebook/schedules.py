"""`on`: a rule that is planned instead of matched, and which keys of a rule it has no use for."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from responder.decide.civil import cron_of, zone_of
from responder.model.matcher import Matcher, MatchOp
from responder.model.rule import Step
from responder.model.schedule import FINDING_LABEL, SCHEDULE_LABEL, Overlap, Plan
from responder.rulebook.document import Entry, Mapped, Node
from responder.rulebook.reading import Reader

GROUPS = ("alertname", FINDING_LABEL, SCHEDULE_LABEL)
"""The labels of what a run finds."""
DEFAULT_RUN_LATE = timedelta(hours=1)
DEFAULT_TIMEZONE = "UTC"
_KEYS = ("schedule", "timezone", "overlap", "run_late")
_EXAMPLE = """on: {schedule: "0 7 * * *", timezone: UTC}"""
_NO_USE = {
    "match": "a scheduled rule takes no alerts but what its own runs find",
    "continue": "what its runs find belongs to it alone",
    "for": "what a run finds is told at once",
    "autonomy": "a scheduled rule changes nothing",
    "verify": "a scheduled rule changes nothing, so there is nothing to prove",
    "limits": "a scheduled rule changes nothing that could be limited",
    "notify": "a scheduled rule changes nothing, so nobody need be told beside what it finds",
}


def is_scheduled(node: Node) -> bool:
    """Whether a rule has `on`."""
    return isinstance(node, Mapped) and "on" in node.entries


def check_keys(own: Mapping[str, Entry], reader: Reader) -> None:
    """Keys that mean nothing beside `on`."""
    for key, why in _NO_USE.items():
        if key in own:
            reader.wrong(own[key], f"`{key}` stands beside `on`, and {why}", f"Remove `{key}`")


def read_plan(entry: Entry, origins: dict[str, str], reader: Reader) -> Plan:
    """When a rule runs."""
    keys = reader.mapping(entry.value, "`on`", _KEYS)
    if "schedule" not in keys and isinstance(entry.value, Mapped):
        reader.wrong(entry.value, "`on` has no `schedule`", f"Write {_EXAMPLE}")
    built_in = {f"on.{key}": "built in" for key in ("timezone", "overlap", "run_late") if key not in keys}
    origins.update(built_in)
    return Plan(
        schedule=_schedule(keys.get("schedule"), reader),
        timezone=_timezone(keys.get("timezone"), reader),
        overlap=_overlap(keys.get("overlap"), reader),
        run_late=DEFAULT_RUN_LATE
        if "run_late" not in keys
        else reader.duration(keys["run_late"].value, "run_late", DEFAULT_RUN_LATE, positive=True),
    )


def own_match(rule: str) -> tuple[Matcher, ...]:
    """What the findings of a scheduled rule have, and nothing else."""
    return (
        Matcher(name="alertname", op=MatchOp.EQUAL, value=rule),
        Matcher(name=SCHEDULE_LABEL, op=MatchOp.EQUAL, value=rule),
    )


def check_groups(labels: Iterable[tuple[Node, str]], reader: Reader) -> None:
    """Only what a finding has can tell its incidents apart."""
    for node, label in labels:
        if label not in GROUPS:
            text = f"no finding of a run has a label `{label}`"
            reader.wrong(node, text, f"Write group_by: [{FINDING_LABEL}], or leave it out")


def check_titles(steps: Sequence[Step], nodes: Sequence[Node], reader: Reader) -> None:
    """The report, and what is found, name each step: no two may have one name."""
    seen: set[str] = set()
    for step, node in zip(steps, nodes, strict=True):
        if step.title in seen:
            text = f"two steps are called {step.title!r}, and nobody could tell them apart"
            reader.wrong(node, text, "Give each a `name:` of its own")
        seen.add(step.title)


def _schedule(entry: Entry | None, reader: Reader) -> str:
    text = None if entry is None else reader.text(entry.value, "schedule")
    if entry is None or text is None:
        return "0 0 * * *"
    try:
        return cron_of(text)
    except ValueError as error:
        reader.wrong(entry.value, str(error), """Write one like "0 7 * * *": every day at 7:00""")
        return "0 0 * * *"


def _timezone(entry: Entry | None, reader: Reader) -> str:
    text = None if entry is None else reader.text(entry.value, "timezone")
    if entry is None or text is None:
        return DEFAULT_TIMEZONE
    try:
        return zone_of(text)
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        reader.wrong(entry.value, what, f"{mend[:1].upper()}{mend[1:]}")
        return DEFAULT_TIMEZONE


def _overlap(entry: Entry | None, reader: Reader) -> Overlap:
    if entry is None:
        return Overlap.SKIP
    return reader.word(entry.value, "overlap", {word.value: word for word in Overlap}, Overlap.SKIP)
