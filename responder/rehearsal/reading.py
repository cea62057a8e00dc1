"""Test files to tests, with all that is wrong in them in one run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from responder.model.attempt import Outcome, Verdict
from responder.model.autonomy import Autonomy
from responder.model.guard import Guard, Ruling
from responder.model.incident import CommandKind, IncidentState
from responder.model.inventory import PostgresConnection
from responder.model.matcher import Matcher
from responder.model.policy import NoticeKind
from responder.model.restraint import RestraintKind
from responder.model.rule import Position
from responder.model.schedule import Outcome as RunOutcome
from responder.model.severity import Severity
from responder.rehearsal.script import (
    AlertSeries,
    Answer,
    Effect,
    Expectation,
    FakedAction,
    FakedProbe,
    GivenSource,
    PersonDoes,
    Restrains,
    RuleTest,
    RuleTests,
    SourceSays,
    SourceWord,
    Span,
    Wanted,
    What,
)
from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar, plain, read_document
from responder.rulebook.load import TESTS_END, read_files
from responder.rulebook.matchers import MatcherError, parse_matchers
from responder.rulebook.mistake import Mistakes, did_you_mean
from responder.rulebook.reading import Reader

E = TypeVar("E", bound=Enum)

_START = datetime(2026, 1, 1, tzinfo=UTC)
_NOWHERE = SecretStr("")
_ZERO = timedelta(0)
_NO_DATA = "no_data"


class _As(Enum):
    """How the value of a field is read, where it is not one of some words."""

    TEXT = auto()
    NUMBER = auto()
    LABELS = auto()
    WRITTEN = auto()
    """Whatever it is: parameters, lists."""


_WHICH: Mapping[str, type[Enum] | _As] = {"rule": _As.TEXT, "key": _As.LABELS}
_STEP: Mapping[str, type[Enum] | _As] = {"step": _As.NUMBER, "action": _As.TEXT}
_PART: Mapping[str, type[Enum] | _As] = {"part": _As.NUMBER}
_FIELDS: Mapping[What, Mapping[str, type[Enum] | _As]] = {
    What.INCIDENTS: {**_WHICH, "severity": Severity, "state": IncidentState, "outcome": _As.TEXT},
    What.STEPS: {
        **_WHICH,
        **_STEP,
        **_PART,
        "target": _As.TEXT,
        "with": _As.WRITTEN,
        "elements": _As.WRITTEN,
        "outcome": Outcome,
        "undo": _As.WRITTEN,
    },
    What.VERDICTS: {**_WHICH, **_STEP, "verdict": Verdict},
    What.ESCALATIONS: {
        **_WHICH,
        "severity": Severity,
        "kind": NoticeKind,
        "level": _As.NUMBER,
        "says": _As.TEXT,
    },
    What.NOTICES: {**_WHICH, "kind": NoticeKind, "level": _As.NUMBER, "says": _As.TEXT},
    What.GUARDS: {**_WHICH, **_STEP, **_PART, "guard": Guard, "ruling": Ruling, "says": _As.TEXT},
    What.RUNS: {"rule": _As.TEXT, "outcome": RunOutcome, "findings": _As.WRITTEN, "says": _As.TEXT},
}
"""What of each kind can be compared; the words of those that have only some."""


def read_tests(files: Sequence[Path], mistakes: Mistakes) -> list[RuleTests]:
    """Every test of these files. With any of `mistakes` none of them is to be believed."""
    read = []
    for name, text in sorted(read_files(files, mistakes)):
        root = read_document(name, text, mistakes)
        if root is not None:
            read.append(_File(Reader(mistakes), Path(name)).read(root))
        elif not mistakes.found:
            start = Position(file=name, line=1, column=1)
            mistakes.add(start, "there is no test in this file", "Add `tests:`")
    return read


class _File:
    """Reads one file."""

    def __init__(self, reader: Reader, file: Path) -> None:
        self._reader = reader
        self._file = file
        self._ceiling = Autonomy.AUTO

    def read(self, root: Node) -> RuleTests:
        known = ("rules", "inventory", "queries", "source", "ceiling", "tests")
        keys = self._reader.mapping(root, "a test file", known)
        if "ceiling" in keys:
            self._ceiling = self._word(keys["ceiling"].value, "`ceiling`", _AUTONOMY, Autonomy.AUTO)
        queries = keys.get("queries")
        return RuleTests(
            file=str(self._file),
            rules=self._rules(root, keys.get("rules")),
            connections=self._inventory(keys.get("inventory")),
            queries=None
            if queries is None
            else frozenset(t for _, t in self._texts(queries.value, "`queries`")),
            source=self._source_of_file(keys.get("source")),
            tests=self._tests(root, keys.get("tests")),
        )

    # --- what all tests of a file share ----------------------------------------------------------------

    def _rules(self, root: Node, entry: Entry | None) -> tuple[tuple[Position, Path], ...]:
        if entry is not None:
            named = self._texts(entry.value, "`rules`")
            return tuple((node.position, self._file.parent / name) for node, name in named)
        beside = self._file.with_name(self._file.name.removesuffix(TESTS_END) + ".yaml")
        return ((root.position, beside),)

    def _inventory(self, entry: Entry | None) -> tuple[PostgresConnection, ...] | None:
        if entry is None:
            return None
        keys = self._reader.mapping(entry.value, "`inventory`", ("postgres",))
        if "postgres" not in keys:
            return ()
        items = self._reader.listing(keys["postgres"].value, "`postgres`", "a list of connections")
        return tuple(self._connection(item) for item in items)

    def _connection(self, node: Node) -> PostgresConnection:
        keys = self._mapping(node, "a connection", ("name", "matches", "namespace"), needs=("name",))
        return PostgresConnection(
            name=self._text(keys.get("name"), "name") or "",
            dsn=_NOWHERE,
            matches=self._matchers(keys.get("matches")),
            namespace=self._text(keys.get("namespace"), "namespace"),
        )

    def _source_of_file(self, entry: Entry | None) -> GivenSource | None:
        if entry is None:
            return None
        keys = self._reader.mapping(entry.value, "`source`", ("name", "api"))
        name = self._text(keys.get("name"), "name") or "main"
        api = keys.get("api")
        return GivenSource(name, has_api=api is None or self._reader.truth(api.value, "`api`"))

    # --- a test ----------------------------------------------------------------------------------------

    def _tests(self, root: Node, entry: Entry | None) -> tuple[RuleTest, ...]:
        if entry is None:
            self._reader.wrong(root, "there is no test in this file", "Add `tests:`")
            return ()
        items = self._reader.listing(entry.value, "`tests`", "a list of tests")
        return tuple(self._test(item) for item in items)

    def _test(self, node: Node) -> RuleTest:
        known = (
            "name",
            "start",
            "ceiling",
            "promoted",
            "alerts",
            "actions",
            "probes",
            "source",
            "people",
            "restraints",
            "expect",
        )
        keys = self._mapping(node, "a test", known, needs=("name", "expect"))
        ceiling = keys.get("ceiling")
        promoted = keys.get("promoted")
        return RuleTest(
            name=self._text(keys.get("name"), "name") or "",
            position=node.position,
            start=self._start(keys.get("start")),
            ceiling=self._ceiling
            if ceiling is None
            else self._word(ceiling.value, "`ceiling`", _AUTONOMY, Autonomy.AUTO),
            promoted=promoted is None or self._reader.truth(promoted.value, "`promoted`"),
            alerts=tuple(one for item in self._items(keys, "alerts") for one in self._alerts(item)),
            actions=tuple(self._action(item) for item in self._items(keys, "actions")),
            probes=tuple(self._probe(item) for item in self._items(keys, "probes")),
            source=tuple(self._says(item) for item in self._items(keys, "source")),
            people=tuple(self._person(item) for item in self._items(keys, "people")),
            restraints=tuple(self._restraint(item) for item in self._items(keys, "restraints")),
            expect=self._expectations(keys),
        )

    def _start(self, entry: Entry | None) -> datetime:
        text = self._text(entry, "start")
        if entry is None or text is None:
            return _START
        try:
            start = datetime.fromisoformat(text)
        except ValueError:
            start = None
        if start is None or start.tzinfo is None:
            self._reader.wrong(entry.value, f"{text!r} is no moment", 'Write one like "2026-01-01T00:00:00Z"')
            return _START
        return start.astimezone(UTC)

    def _alerts(self, node: Node) -> tuple[AlertSeries, ...]:
        """One alert, or as many as `copies` says, each with its number in a label of its own."""
        known = ("labels", "annotations", "fires", "from", "to", "copies")
        keys = self._mapping(node, "an alert", known, needs=("labels",))
        fires = keys.get("fires")
        for beside in ("from", "to"):
            if fires is not None and beside in keys:
                text = f"`{beside}` stands beside `fires`, which says when it fires"
                self._reader.wrong(keys[beside], text, "Write it in `fires`, or leave that out")
        if fires is None:
            spans: tuple[Span, ...] = (self._span(keys),)
        else:
            items = self._reader.listing(fires.value, "`fires`", "a list like [{from: 0s, to: 5m}]")
            spans = tuple(self._span(self._mapping(item, "`fires`", ("from", "to"))) for item in items)
        labels, annotations = self._labels(keys.get("labels")), self._labels(keys.get("annotations"))
        if "copies" not in keys:
            return (AlertSeries(labels, annotations, spans),)
        copies = keys["copies"].value
        given = self._mapping(copies, "`copies`", ("label", "number"), needs=("label", "number"))
        name = self._text(given.get("label"), "label") or ""
        number = self._reader.count(given["number"].value, "`number`", 1) if "number" in given else 0
        return tuple(
            AlertSeries({**labels, name: str(one)}, annotations, spans) for one in range(1, number + 1)
        )

    def _action(self, node: Node) -> FakedAction:
        known = ("action", "rule", "step", "from", "finds", "state", "look", "floor", "away", "run")
        keys = self._mapping(node, "an action", known, needs=("action",))
        step = keys.get("step")
        finds, state = keys.get("finds"), keys.get("state")
        found = () if finds is None else tuple(text for _, text in self._texts(finds.value, "`finds`"))
        return FakedAction(
            position=node.position,
            action=self._text(keys.get("action"), "action") or "",
            rule=self._text(keys.get("rule"), "rule"),
            step=None if step is None else self._reader.count(step.value, "`step`", 1),
            since=self._offset(keys.get("from"), "from"),
            finds=found,
            state={} if state is None else self._plain_mapping(state, "`state`"),
            look=None if "look" not in keys else self._plain_mapping(keys["look"], "`look`"),
            floor=self._text(keys.get("floor"), "floor"),
            away=self._text(keys.get("away"), "away"),
            run=self._effect(keys.get("run"), found),
        )

    def _effect(self, entry: Entry | None, finds: Sequence[str]) -> Effect | Mapping[str, Effect]:
        """What comes of it; by element, each of them one that is found where these are given."""
        words = {word.value: word for word in Effect}
        match entry:
            case None:
                return Effect.DONE
            case Entry(value=Mapped(entries=entries)):
                for name, one in entries.items():
                    if finds and name not in finds:
                        text = f"`run` names {name!r}, which is not found"
                        self._reader.wrong(one, text, did_you_mean(name, finds, "elements"))
                return {
                    name: self._word(one.value, f"`run` of {name}", words, Effect.DONE)
                    for name, one in entries.items()
                }
            case Entry(value=node):
                return self._word(node, "`run`", words, Effect.DONE)

    def _probe(self, node: Node) -> FakedProbe:
        keys = self._mapping(node, "a probe", ("sql", "promql", "connection", "answers"), needs=("answers",))
        if ("sql" in keys) == ("promql" in keys):
            self._reader.wrong(node, "a probe is asked by `sql` or by `promql`", "Give one of the two")
        return FakedProbe(
            position=node.position,
            sql=self._text(keys.get("sql"), "sql"),
            promql=self._text(keys.get("promql"), "promql"),
            connection=self._text(keys.get("connection"), "connection"),
            answers=self._answers(keys.get("answers")),
        )

    def _answers(self, entry: Entry | None) -> tuple[Answer, ...]:
        if entry is None:
            return ()
        if not isinstance(entry.value, Listing):
            return (Answer(_ZERO, self._number(entry.value)),)
        answers = [
            (self._offset(keys.get("from"), "from"), keys["is"].value)
            for item in entry.value.items
            if "is" in (keys := self._mapping(item, "an answer", ("from", "is"), needs=("is",)))
        ]
        given = [Answer(since, self._number(node)) for since, node in answers]
        return tuple(sorted(given, key=lambda answer: answer.since))

    def _whole_number(self, entry: Entry) -> int:
        if isinstance(entry.value, Scalar) and type(entry.value.value) is int:
            return entry.value.value
        self._reader.wrong(
            entry.value, f"`{entry.key}` is a whole number", "Write one like 1, without quotes"
        )
        return 1

    def _number(self, node: Node) -> float | None:
        match node:
            case Scalar(value=bool()):
                pass
            case Scalar(value=int() | float() as value):
                return float(value)
            case Scalar(text=text) if text == _NO_DATA:
                return None
        self._reader.wrong(node, "an answer is a number or no_data", "Write one like 0 or 1.5")
        return None

    def _says(self, node: Node) -> SourceSays:
        keys = self._mapping(node, "`source`", ("from", "to", "says", "match", "why"), needs=("says",))
        said = keys.get("says")
        words = {word.value: word for word in SourceWord}
        return SourceSays(
            span=self._span(keys),
            says=SourceWord.FIRING
            if said is None
            else self._word(said.value, "`says`", words, SourceWord.FIRING),
            match=self._matchers(keys.get("match")),
            why=self._text(keys.get("why"), "why") or "the test says so",
        )

    def _person(self, node: Node) -> PersonDoes:
        known = ("at", "does", "who", "reason", "rule", "severity")
        keys = self._mapping(node, "what a person does", known, needs=("at", "does"))
        does, severity = keys.get("does"), keys.get("severity")
        kinds, severities = _words(CommandKind), _words(Severity)
        return PersonDoes(
            position=node.position,
            at=self._offset(keys.get("at"), "at"),
            does=CommandKind.COMMENT
            if does is None
            else self._word(does.value, "`does`", kinds, CommandKind.COMMENT),
            who=self._text(keys.get("who"), "who") or "a person",
            reason=self._text(keys.get("reason"), "reason") or "the test",
            rule=self._text(keys.get("rule"), "rule"),
            severity=None
            if severity is None
            else self._word(severity.value, "`severity`", severities, Severity.P3),
        )

    def _restraint(self, node: Node) -> Restrains:
        known = ("kind", "from", "to", "match", "who", "reason")
        keys = self._mapping(node, "a restraint", known, needs=("kind",))
        kind, span = keys.get("kind"), self._span(keys)
        halts = (
            isinstance(node, Mapped) and kind is not None and plain(kind.value) == RestraintKind.HALT.value
        )
        if span.until is None and not halts:
            self._reader.wrong(node, "only a halt has no end", "Add `to:`")
        return Restrains(
            span=span,
            kind=RestraintKind.HALT
            if kind is None
            else self._word(kind.value, "`kind`", _words(RestraintKind), RestraintKind.HALT),
            match=self._matchers(keys.get("match")),
            who=self._text(keys.get("who"), "who") or "a person",
            reason=self._text(keys.get("reason"), "reason") or "the test",
        )

    # --- what is expected --------------------------------------------------------------------------------

    def _expectations(self, keys: Mapping[str, Entry]) -> tuple[Expectation, ...]:
        read: list[Expectation] = []
        for item in self._items(keys, "expect"):
            one = self._expectation(item)
            if read and one.at <= read[-1].at:
                text = "an expectation stands before an earlier one, or has the same time"
                self._reader.wrong(item, text, "Order them by `at`, one for each time")
            read.append(one)
        if "expect" in keys and not read:
            self._reader.wrong(keys["expect"], "a test expects nothing", "Add a moment: [{at: 0s, ...}]")
        return tuple(read)

    def _expectation(self, node: Node) -> Expectation:
        keys = self._mapping(node, "an expectation", ("at", *What), needs=("at",))
        lists = {what: keys[what] for what in What if what in keys}
        if not lists:
            self._reader.wrong(node, "nothing is expected here", f"Add one of: {', '.join(What)}")
        return Expectation(
            position=node.position,
            at=self._offset(keys.get("at"), "at"),
            lists={what: self._wanted(what, entry.value) for what, entry in lists.items()},
            places={what: entry.position for what, entry in lists.items()},
        )

    def _wanted(self, what: What, node: Node) -> tuple[Wanted, ...]:
        items = self._reader.listing(node, f"`{what}`", f"a list, or [] for no {what}")
        return tuple(self._one_wanted(what, item) for item in items)

    def _one_wanted(self, what: What, node: Node) -> Wanted:
        known = _FIELDS[what]
        keys = self._reader.mapping(node, f"one of `{what}`", tuple(known))
        return Wanted(node.position, {name: self._field(known[name], entry) for name, entry in keys.items()})

    def _field(self, read: type[Enum] | _As, entry: Entry) -> object:
        match read:
            case _As.TEXT:
                return self._text(entry, entry.key)
            case _As.NUMBER:
                return self._whole_number(entry)
            case _As.LABELS:
                return self._labels(entry)
            case _As.WRITTEN:
                return plain(entry.value)
            case words:
                self._word(entry.value, f"`{entry.key}`", _words(words), next(iter(words)))
                return plain(entry.value)

    # --- small things --------------------------------------------------------------------------------------

    def _mapping(
        self, node: Node, what: str, known: Sequence[str], needs: Sequence[str] = ()
    ) -> Mapping[str, Entry]:
        keys = self._reader.mapping(node, what, known)
        for name in needs:
            if isinstance(node, Mapped) and name not in keys:
                self._reader.wrong(node, f"{what} has no `{name}`", f"Add `{name}:`")
        return keys

    def _items(self, keys: Mapping[str, Entry], name: str) -> tuple[Node, ...]:
        entry = keys.get(name)
        return () if entry is None else self._reader.listing(entry.value, f"`{name}`", "a list")

    def _text(self, entry: Entry | None, name: str) -> str | None:
        return None if entry is None else self._reader.text(entry.value, f"`{name}`")

    def _texts(self, node: Node, what: str) -> tuple[tuple[Node, str], ...]:
        return self._reader.texts(node, what, "a list of texts")

    def _word(self, node: Node, what: str, words: Mapping[str, E], instead: E) -> E:
        if isinstance(node, Scalar) and node.text not in words:
            self._reader.wrong(
                node, f"{what} cannot be {node.text!r}", did_you_mean(node.text, words, "words")
            )
            return instead
        return self._reader.word(node, what, words, instead)

    def _offset(self, entry: Entry | None, name: str) -> timedelta:
        return _ZERO if entry is None else self._reader.duration(entry.value, f"`{name}`", _ZERO)

    def _span(self, keys: Mapping[str, Entry]) -> Span:
        until = keys.get("to")
        span = Span(
            self._offset(keys.get("from"), "from"),
            None if until is None else self._offset(until, "to"),
        )
        if until is not None and span.until is not None and span.until <= span.since:
            self._reader.wrong(until.value, "it ends before it begins", "Give `to` a later time than `from`")
        return span

    def _labels(self, entry: Entry | None) -> dict[str, str]:
        if entry is None:
            return {}
        if not isinstance(entry.value, Mapped):
            self._reader.wrong(entry.value, f"`{entry.key}` must be a mapping", "Write {name: value}")
            return {}
        texts = {name: self._label(name, one.value) for name, one in entry.value.entries.items()}
        return {name: text for name, text in texts.items() if text is not None}

    def _label(self, name: str, node: Node) -> str | None:
        """As it is written: a label is text, and nobody has to quote its digits."""
        return node.text if isinstance(node, Scalar) else self._reader.text(node, f"the label `{name}`")

    def _plain_mapping(self, entry: Entry, what: str) -> dict[str, object]:
        if isinstance(entry.value, Mapped):
            return dict(plain(entry.value))
        self._reader.wrong(entry.value, f"{what} must be a mapping", "Write {field: value}")
        return {}

    def _matchers(self, entry: Entry | None) -> tuple[Matcher, ...]:
        if entry is None:
            return ()
        found: list[Matcher] = []
        for node, text in self._texts(entry.value, f"`{entry.key}`"):
            try:
                found += parse_matchers(text)
            except MatcherError as error:
                self._reader.wrong(node, str(error), 'Write one like alertname = "Name"')
        return tuple(found)


def _words(words: type[E]) -> dict[str, E]:
    """By what users write: the value, or the name where the value is a number."""
    return {str(one.value) if isinstance(one.value, str) else one.name.lower(): one for one in words}


_AUTONOMY = _words(Autonomy)
