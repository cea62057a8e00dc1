"""One rule file to rules: every key of the language, and what it defaults to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from responder.decide.bind import fixed_in
from responder.model.autonomy import Autonomy
from responder.model.matcher import Matcher
from responder.model.rule import (
    Limits,
    Notify,
    Position,
    Probe,
    Raise,
    Recurrence,
    Rule,
    Rung,
    SeverityCase,
    Step,
    Verify,
    parts_of,
)
from responder.model.schedule import Plan
from responder.model.severity import Severity
from responder.model.storm import UMBRELLA
from responder.rulebook.document import Entry, Listing, Mapped, Node, Scalar
from responder.rulebook.inhibition import Inhibitions
from responder.rulebook.lists import StepLists
from responder.rulebook.matchers import DifferingError, MatcherError, parse_matchers
from responder.rulebook.never import check_never
from responder.rulebook.notify import read_notify
from responder.rulebook.probes import Connection, read_probe
from responder.rulebook.proof import check_give_backs, check_proof, check_repeats
from responder.rulebook.raising import check_raised, read_raise
from responder.rulebook.reading import Reader
from responder.rulebook.schedules import check_groups, check_keys, check_titles, own_match, read_plan
from responder.rulebook.scope import Scope
from responder.rulebook.steps import AUTONOMY_WORDS, StepReader, connections_of, note_inherited
from responder.rulebook.surroundings import Surroundings

T = TypeVar("T")

_DEFAULT_KEYS = ("autonomy", "for", "group_by", "limits", "notify", "owner", "runbook_url", "severity")
_RULE_KEYS = (
    "name",
    "on",
    "match",
    "continue",
    "severity",
    "raise",
    "inhibited_by",
    "group_by",
    "for",
    "autonomy",
    "evidence",
    "steps",
    "verify",
    "limits",
    "escalate",
    "notify",
    "runbook_url",
    "owner",
    "notes",
)
_DEFAULTED_LIMITS = ("attempts", "per", "cooldown")
_LIMIT_KEYS = (*_DEFAULTED_LIMITS, "recurrence", "only_if_open_at_most")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_SEVERITIES = {level.value: level for level in Severity}
_MATCH_EXAMPLE = """match: ['alertname = "NAME"']"""

BUILT_IN = "built in"
DEFAULT_LIMITS = Limits(attempts=3, per=timedelta(hours=1), cooldown=timedelta(minutes=10))
DEFAULT_STABLE_FOR = timedelta(minutes=2)


def read_rules(
    document: Node | None,
    lists: StepLists,
    inhibitions: Inhibitions,
    around: Surroundings,
    reader: Reader,
) -> tuple[Rule, ...]:
    """The rules of one file, in its order. A file may have nothing but lists."""
    if document is None:
        return ()
    top = reader.mapping(document, "a rule file", ("defaults", "lists", "rules"))
    defaults = top["defaults"].value if "defaults" in top else None
    given = {} if defaults is None else reader.mapping(defaults, "defaults", _DEFAULT_KEYS)
    if "rules" not in top:
        if "lists" in top and defaults is None:
            return ()
        reader.wrong(document, "the file has no `rules`", "Add `rules:` with a list of rules")
        return ()
    nodes = reader.listing(top["rules"].value, "`rules`", "a list, each item starting with `- name:`")
    read = [_RuleReader(node, given, lists, inhibitions, around, reader).rule() for node in nodes]
    return tuple(rule for rule in read if rule is not None)


class _RuleReader:
    """Reads one rule; notes where each value comes from that the rule does not give."""

    def __init__(
        self,
        node: Node,
        defaults: Mapping[str, Entry],
        lists: StepLists,
        inhibitions: Inhibitions,
        around: Surroundings,
        reader: Reader,
    ) -> None:
        self._node = node
        self._own = reader.mapping(node, "a rule", _RULE_KEYS)
        self._defaults = defaults
        self._lists = lists
        self._inhibitions = inhibitions
        self._around = around
        self._reader = reader
        self._origins: dict[str, str] = {}

    def rule(self) -> Rule | None:
        """The rule, or None where it is no mapping."""
        if not isinstance(self._node, Mapped):
            return None
        told = len(self._reader.mistakes.found)
        name = self._name()
        plan = self._plan()
        match = self._match() if plan is None else own_match(name)
        group_by = self._group_by()
        scope = Scope(group_by, fixed_in(match), self._around.redaction, name, scheduled=plan is not None)
        placed, evidence = self._steps(scope)
        steps = tuple(step for _, step in placed)
        severity = self._severity()
        rule = Rule(
            name=name,
            match=match,
            on=plan,
            checks=() if plan is None else self._checks(name),
            continues=self._continues(),
            severity=severity,
            raises=self._raises(severity),
            group_by=group_by,
            inhibited_by=self._inhibited_by(name),
            wait_for=self._wait_for(),
            autonomy=self._autonomy(),
            evidence=evidence,
            steps=steps,
            verify=self._verify(scope, steps),
            limits=self._limits(),
            escalate=self._escalate(),
            notify=self._notify(steps),
            runbook_url=self._link("runbook_url"),
            owner=self._text("owner"),
            notes=self._text("notes"),
            position=self._node.position,
            origins=self._origins,
        )
        if plan is None:
            check_proof(rule, self._node, self._around, self._reader)
            check_repeats(rule, placed, self._reader)
            check_give_backs(rule, placed, self._reader)
            if len(self._reader.mistakes.found) == told:  # a value that is wrong was read as some other
                check_never(rule, self._node, placed, self._around, self._reader)
        check_raised(rule, self._node, self._reader)
        return rule

    def _plan(self) -> Plan | None:
        """When it runs, where it is scheduled."""
        entry = self._own.get("on")
        if entry is None:
            return None
        check_keys(self._own, self._reader)
        return read_plan(entry, self._origins, self._reader)

    def _checks(self, name: str) -> tuple[Step, ...]:
        """What each run of a scheduled rule asks; no alert comes before it, so no label is known."""
        scope = Scope((), {}, self._around.redaction, name, scheduled=True)
        steps = StepReader(scope, self._around, self._reader, self._origins)
        entry = self._own.get("steps")
        if entry is None or (isinstance(entry.value, Listing) and not entry.value.items):
            mend = "Add `steps:`, each an action that only looks, with `expect:`"
            at = self._node if entry is None else entry
            self._reader.wrong(at, "the rule says when to run, and not what to ask", mend)
        read = [(steps.check(node, path), node) for path, node in self._list("steps")]
        found = [(step, node) for step, node in read if step is not None]
        check_titles([step for step, _ in found], [node for _, node in found], self._reader)
        return tuple(step for step, _ in found)

    def _entry(self, key: str) -> Entry | None:
        """The rule's own entry, else the file's default."""
        own = self._own.get(key)
        if own is not None:
            return own
        default = self._defaults.get(key)
        self._origins[key] = BUILT_IN if default is None else _defaults_at(default.position)
        return default

    def _name(self) -> str:
        entry = self._own.get("name")
        if entry is None:
            self._reader.wrong(self._node, "the rule has no `name`", "Add `name:`, unique over all rules")
            return ""
        name = self._reader.text(entry.value, "name") or ""
        if name and _NAME.fullmatch(name) is None:
            mend = "Use up to 128 letters, digits and . _ : - and start with a letter or digit"
            self._reader.wrong(entry.value, f"{name!r} cannot be a rule's name", mend)
        if name == UMBRELLA.name:
            mend = "Choose another name: the incident that tells of a storm has this one"
            self._reader.wrong(entry.value, f"{name!r} is the responder's own rule", mend)
        return name

    def _match(self) -> tuple[Matcher, ...]:
        entry = self._own.get("match")
        if entry is None:
            mend = f"Add {_MATCH_EXAMPLE}, or `match: []` for every alert"
            self._reader.wrong(self._node, "the rule has no `match`", mend)
            return ()
        return _matchers(entry.value, "match", self._around, self._reader)

    def _group_by(self) -> tuple[str, ...] | None:
        entry = self._entry("group_by")
        if "on" in self._own and "group_by" not in self._own:
            self._origins["group_by"] = BUILT_IN
            return ()
        if entry is None:
            return ()
        read = self._reader.texts(entry.value, "group_by", "group_by: [server, datname], or ['...'] for all")
        labels = tuple(text for _, text in read)
        if labels == ("...",):
            return None
        if "on" in self._own:
            check_groups(read, self._reader)
        for at, (node, label) in enumerate(read):
            if label == "...":
                self._reader.wrong(node, "`...` stands for all labels", "Write ['...'] alone")
            elif label in labels[:at]:
                self._reader.wrong(node, f"the label {label!r} stands in group_by twice", "Remove one")
        return labels

    def _severity(self) -> tuple[SeverityCase, ...]:
        entry = self._entry("severity")
        if entry is None:
            text = "the rule has no `severity`"
            self._reader.wrong(self._node, text, "Add `severity: P2`, or a list by matchers")
            return (SeverityCase(severity=Severity.P3),)
        return _severity(entry.value, self._around, self._reader)

    def _raises(self, severity: tuple[SeverityCase, ...]) -> tuple[Raise, ...]:
        entry = self._own.get("raise")
        return () if entry is None else read_raise(entry.value, severity, self._reader)

    def _inhibited_by(self, name: str) -> tuple[str, ...]:
        entry = self._own.get("inhibited_by")
        return () if entry is None else self._inhibitions.read(entry, name)

    def _wait_for(self) -> timedelta:
        entry = self._entry("for")
        return timedelta(0) if entry is None else self._reader.duration(entry.value, "for", timedelta(0))

    def _autonomy(self) -> Autonomy:
        entry = self._entry("autonomy")
        if entry is None:
            return Autonomy.SHADOW
        return self._reader.word(entry.value, "autonomy", AUTONOMY_WORDS, Autonomy.SHADOW)

    def _steps(self, scope: Scope) -> tuple[list[tuple[Node, Rung]], tuple[Step, ...]]:
        """The ladder, each step with its place, and the evidence."""
        looks = StepReader(scope, self._around, self._reader, self._origins)
        evidence = _present([looks.evidence(node, path) for path, node in self._list("evidence")])
        steps = replace(looks, gathered=evidence)
        ladder = () if "on" in self._own else self._list("steps")
        read = [(node, steps.rung(node, path)) for path, node in ladder]
        return [(node, step) for node, step in read if step is not None], evidence

    def _list(self, key: str) -> Iterator[tuple[str, Node]]:
        """The steps under a key, those of named lists among them, each with its path."""
        entry = self._own.get(key)
        example = "a list, each item starting with `- action:`"
        nodes = () if entry is None else self._reader.listing(entry.value, f"`{key}`", example)
        for at, item in enumerate(self._lists.unfolded(nodes)):
            if item.of_list is not None:
                self._origins[f"{key}.{at}"] = item.of_list
            yield f"{key}.{at}", item.node

    def _verify(self, scope: Scope, steps: tuple[Rung, ...]) -> Verify | None:
        entry = self._own.get("verify")
        if entry is None or "on" in self._own:
            return None
        known = ("alert_resolved_within", "stable_for", "probes")
        entries = self._reader.mapping(entry.value, "`verify`", known)
        connections = connections_of([step.params for rung in steps for step in parts_of(rung)])
        return Verify(
            alert_resolved_within=self._within(entries.get("alert_resolved_within")),
            stable_for=self._stable_for(entries.get("stable_for")),
            probes=self._probes(entries.get("probes"), scope, connections),
        )

    def _within(self, entry: Entry | None) -> timedelta | None:
        if entry is None:
            return None
        usual = timedelta(minutes=10)
        return self._reader.duration(entry.value, "alert_resolved_within", usual, positive=True)

    def _stable_for(self, entry: Entry | None) -> timedelta:
        if entry is None:
            self._origins["verify.stable_for"] = BUILT_IN
            return DEFAULT_STABLE_FOR
        return self._reader.duration(entry.value, "stable_for", DEFAULT_STABLE_FOR)

    def _probes(
        self, entry: Entry | None, scope: Scope, connections: tuple[Connection, ...]
    ) -> tuple[Probe, ...]:
        if entry is None:
            return ()
        found: list[Probe | None] = []
        for at, node in enumerate(self._reader.listing(entry.value, "`probes`", "a list of probes")):
            probe = read_probe(node, scope, self._around, self._reader, connections)
            note_inherited(probe, node, f"verify.probes.{at}", self._origins)
            found.append(probe)
        return _present(found)

    def _limits(self) -> Limits:
        own = self._limit_entries(self._own)
        defaults = self._limit_entries(self._defaults)
        found: dict[str, Node] = {}
        for key in _LIMIT_KEYS:
            entry = own.get(key) or defaults.get(key)
            if entry is not None:
                found[key] = entry.value
            if key not in own and (entry is not None or key in _DEFAULTED_LIMITS):
                self._origins[f"limits.{key}"] = BUILT_IN if entry is None else _defaults_at(entry.position)
        return _limits(found, self._reader)

    def _limit_entries(self, entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
        entry = entries.get("limits")
        if entry is None:
            return {}
        return self._reader.mapping(entry.value, "`limits`", _LIMIT_KEYS)

    def _continues(self) -> bool:
        entry = self._own.get("continue")
        if entry is None:
            self._origins["continue"] = BUILT_IN
            return False
        return self._reader.truth(entry.value, "continue")

    def _escalate(self) -> bool:
        entry = self._own.get("escalate")
        if entry is None:
            self._origins["escalate"] = BUILT_IN
            return "on" in self._own  # what is planned is planned so that somebody hears of it
        return self._reader.truth(entry.value, "escalate")

    def _notify(self, steps: tuple[Rung, ...]) -> Notify:
        entry = self._entry("notify")
        if "on" in self._own:
            return Notify()
        notify = Notify() if entry is None else read_notify(entry.value, self._reader)
        acts = any(step.kind.changing for step in steps)
        if notify.page_after is None or acts:
            return notify
        if entry is not None and entry is self._own.get("notify"):
            text = "the rule changes nothing, so nobody need be told beside what it does"
            mend = "Write `escalate: true`, which tells a person; `for: 5m` waits before it"
            self._reader.wrong(entry, text, mend)
        self._origins["notify"] = BUILT_IN
        return Notify()

    def _link(self, key: str) -> str | None:
        text = self._text(key)
        if text is not None and not text.startswith(("https://", "http://")):
            at = self._own.get(key) or self._defaults[key]
            self._reader.wrong(
                at.value, f"{key} is no address of the web", "Begin it with https:// or http://"
            )
        return text

    def _text(self, key: str) -> str | None:
        entry = self._own.get(key) or self._defaults.get(key)
        if entry is None:
            return None
        if key not in self._own:
            self._origins[key] = _defaults_at(entry.position)
        return self._reader.text(entry.value, key)


def _limits(found: Mapping[str, Node], reader: Reader) -> Limits:
    attempts, per, cooldown, recurrence, open_at_most = (found.get(key) for key in _LIMIT_KEYS)
    fallback = DEFAULT_LIMITS
    return Limits(
        attempts=fallback.attempts
        if attempts is None
        else reader.count(attempts, "attempts", fallback.attempts),
        per=fallback.per if per is None else reader.duration(per, "per", fallback.per, positive=True),
        cooldown=fallback.cooldown
        if cooldown is None
        else reader.duration(cooldown, "cooldown", fallback.cooldown),
        recurrence=None if recurrence is None else _recurrence(recurrence, reader),
        only_if_open_at_most=None
        if open_at_most is None
        else reader.count(open_at_most, "only_if_open_at_most", 1),
    )


def _recurrence(node: Node, reader: Reader) -> Recurrence | None:
    entries = reader.mapping(node, "`recurrence`", ("count", "within"))
    missing = [key for key in ("count", "within") if key not in entries]
    if isinstance(node, Mapped) and missing:
        text = f"`recurrence` has no `{missing[0]}`"
        reader.wrong(node, text, "Write recurrence: {count: 3, within: 10d}")
    if missing:
        return None
    count = reader.count(entries["count"].value, "count", 1)
    within = reader.duration(entries["within"].value, "within", timedelta(days=1), positive=True)
    return Recurrence(count=count, within=within)


def _severity(node: Node, around: Surroundings, reader: Reader) -> tuple[SeverityCase, ...]:
    if isinstance(node, Scalar):
        return (SeverityCase(severity=reader.word(node, "severity", _SEVERITIES, Severity.P3)),)
    items = reader.listing(node, "severity", "severity: P2, or a list of {when: [...], is: P1}")
    cases = tuple(_severity_case(item, around, reader) for item in items)
    for item, case in zip(items[:-1], cases[:-1], strict=True):
        if not case.when:
            reader.wrong(item, "no later severity can apply after one without `when`", "Move it to the end")
    if cases and cases[-1].when:
        mend = "Add a last line without `when`, such as {is: P2}"
        reader.wrong(items[-1], "the last severity has a `when`, so some alerts have none", mend)
    if not cases and isinstance(node, Listing):
        reader.wrong(node, "the list of severities is empty", "Write severity: P2")
    return cases or (SeverityCase(severity=Severity.P3),)


def _severity_case(node: Node, around: Surroundings, reader: Reader) -> SeverityCase:
    entries = reader.mapping(node, "a severity", ("when", "is"))
    when = _matchers(entries["when"].value, "when", around, reader) if "when" in entries else ()
    if "is" not in entries:
        reader.wrong(node, "the severity does not say which", "Add `is: P1`")
        return SeverityCase(when=when, severity=Severity.P3)
    level = reader.word(entries["is"].value, "severity", _SEVERITIES, Severity.P3)
    return SeverityCase(when=when, severity=level)


def _matchers(node: Node, what: str, around: Surroundings, reader: Reader) -> tuple[Matcher, ...]:
    nodes = (node,) if isinstance(node, Scalar) else reader.listing(node, what, _MATCH_EXAMPLE)
    return tuple(matcher for item in nodes for matcher in _matcher(item, what, around, reader))


def _matcher(node: Node, what: str, around: Surroundings, reader: Reader) -> tuple[Matcher, ...]:
    if isinstance(node, Mapped):
        mend = f"Quote each matcher: {_MATCH_EXAMPLE}"
        reader.wrong(node, f"{what} holds texts, and this is a mapping to YAML", mend)
        return ()
    text = reader.text(node, f"each of {what}")
    if text is None or not isinstance(node, Scalar):
        return ()
    try:
        matchers = parse_matchers(text)
    except MatcherError as error:
        verdict = "cannot be used" if isinstance(error, DifferingError) else "is no matcher"
        reader.wrong(node.within(error.column), f"{text!r} {verdict}: {error.message}", error.mend)
        return ()
    for matcher in matchers:
        if around.redaction.hides_label(matcher.name) and not matcher.asks_for_presence:
            text = f"`{matcher}` asks for the value of a label that is redacted before anything is matched"
            reader.wrong(node, text, f"""Ask whether it is there: '{matcher.name} != ""'""")
    return matchers


def _present(found: list[T | None]) -> tuple[T, ...]:
    return tuple(item for item in found if item is not None)


def _defaults_at(position: Position) -> str:
    return f"defaults at {position}"
