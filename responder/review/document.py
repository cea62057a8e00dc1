"""The review as sections of plain blocks: what is said, in which order. How it looks is the writers'.

All text here is unescaped and may hold what strangers sent; `words.plain` makes one visible line of it, and
each writer escapes it for its own form.
"""

from collections.abc import Iterator
from typing import Any

from responder.model.attempt import Outcome, Owed, Quarantined, Verdict
from responder.model.base import Frozen
from responder.model.by_hand import ByHand
from responder.model.guard import called
from responder.model.incident import MemberAlert
from responder.review.facts import Act, Asked, Escalation, HeldBack, ReviewFacts, Told
from responder.review.follow_ups import follow_ups
from responder.review.words import (
    clock,
    count,
    day,
    is_empty,
    lasted,
    listed,
    offset,
    pairs,
    plain,
    sentence,
    value_text,
    when,
)


class Paragraph(Frozen):
    """One paragraph."""

    text: str


class Bullets(Frozen):
    """A list in which the order tells nothing."""

    items: tuple[str, ...]


class Field(Frozen):
    """A name and its value. `link` marks a value of the rule's author that may be followed if it is a URL."""

    name: str
    value: str
    link: bool = False


class Fields(Frozen):
    """Names with values."""

    fields: tuple[Field, ...]


class Table(Frozen):
    """Rows under a head; every row is as long as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Heading(Frozen):
    """A heading inside a section."""

    text: str


class Picture(Frozen):
    """The place of the drawn timeline. A form that cannot draw leaves it out: the table says the same."""


Block = Paragraph | Bullets | Fields | Table | Heading | Picture


class Section(Frozen):
    """A titled part of the review; `anchor` is its stable name."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


class Document(Frozen):
    """The whole review."""

    title: str
    status: str
    sections: tuple[Section, ...]


def compose(facts: ReviewFacts) -> Document:
    """The sections, in the order in which people read them."""
    sections = (
        ("summary", "Summary", _summary(facts)),
        ("detection", "Detection", _detection(facts)),
        ("impact", "Impact", _impact(facts)),
        ("cause", "Cause", _cause(facts)),
        ("timeline", "Timeline", _timeline(facts)),
        ("actions", "Actions", _actions(facts)),
        ("held-back", "Held back", _held_back(facts)),
        ("response", "Response", _response(facts)),
        ("follow-ups", "Follow-ups", _follow_ups(facts)),
    )
    group = f" ({pairs(facts.key)})" if facts.key else ""
    what = facts.rule if facts.by_hand is None else f"{facts.by_hand.title}, by hand"
    return Document(
        title=plain(f"{facts.severity} {what}{group}"),
        status=_status(facts),
        sections=tuple(
            Section(anchor=anchor, title=title, blocks=tuple(blocks)) for anchor, title, blocks in sections
        ),
    )


def _status(facts: ReviewFacts) -> str:
    state = facts.state.value.replace("_", " ")
    if facts.final:
        return f"Final. Incident {facts.incident_id}."
    return f"Preliminary, as of {when(facts.as_of)}: the incident is {state}. Incident {facts.incident_id}."


# --- summary, detection, impact, cause ------------------------------------------------------------------


def _summary(facts: ReviewFacts) -> Iterator[Block]:
    yield Paragraph(text=" ".join((_how_it_went(facts), _what_was_done(facts), _who_was_told(facts))))
    recovered = when(facts.recovered_at) if facts.recovered_at else "not yet"
    yield Fields(
        fields=(
            *_asked_by(facts),
            Field(name="Severity", value=f"{facts.severity}: {facts.terms.description}"),
            Field(name="Detected", value=when(facts.detected_at)),
            *_taken_up(facts),
            Field(name="Recovered", value=recovered),
            Field(name="Duration", value=_duration(facts)),
            Field(name="Outcome", value=plain(facts.outcome or facts.state.value.replace("_", " "))),
            Field(name="Owner", value=plain(facts.owner or "nobody")),
            Field(name="Runbook", value=plain(facts.runbook_url or "none"), link=True),
        )
    )


def _asked_by(facts: ReviewFacts) -> Iterator[Field]:
    asked = facts.by_hand
    if asked is not None:
        yield Field(name="Asked for by", value=plain(f"{asked.actor}, by hand: {asked.reason}"))


def _taken_up(facts: ReviewFacts) -> Iterator[Field]:
    if facts.taken_up_later:
        yield Field(
            name="Taken up", value=f"{when(facts.taken_up_at)}, by a new rulebook; no rule took it before"
        )


def _how_it_went(facts: ReviewFacts) -> str:
    if facts.by_hand is not None:
        return plain(_how_the_act_went(facts.by_hand, facts))
    began = f"{facts.rule} was detected at {when(facts.detected_at)}"
    if facts.taken_up_later:
        began += f", was taken up by a new rulebook at {when(facts.taken_up_at)}"
    if facts.recovered_at is not None:
        return plain(f"{began} and was over {lasted(facts.recovered_at - facts.taken_up_at)} later.")
    if facts.final:
        return plain(f"{began}; it was closed without being seen to recover.")
    return plain(f"{began} and is not over.")


def _how_the_act_went(asked: ByHand, facts: ReviewFacts) -> str:
    at = when(facts.taken_up_at)
    if not asked.acts:
        return sentence(f"{asked.actor} opened {asked.title} by hand at {at}: {asked.reason}")
    dry = ", to see what would come of it" if asked.dry_run else ""
    return sentence(f"{asked.actor} asked by hand for {asked.title}{dry} at {at}: {asked.reason}")


def _what_was_done(facts: ReviewFacts) -> str:
    if facts.acts:
        done = "; ".join(_act_in_short(act) for act in facts.acts)
        return plain(f"The responder acted {count(len(facts.acts), 'time')}: {done}.")
    if facts.by_hand is not None and facts.held_back:
        why = facts.outcome or facts.held_back[-1].reason
        return plain(sentence(f"The responder changed nothing: {why}"))
    if any(held.shadow for held in facts.held_back):
        return "The responder was in shadow: it looked and judged, and changed nothing."
    if facts.held_back:
        return plain(sentence(f"The responder changed nothing: {facts.held_back[-1].reason}"))
    return "The responder changed nothing."


def _act_in_short(act: Act) -> str:
    verdict = f", {_verdict(act)}" if act.verdict is not None else ""
    outcome = act.outcome.value.replace("_", " ")
    return f"{act.action} on {act.target} ({outcome}{verdict})"


def _verdict(act: Act) -> str:
    match act.verdict:
        case None:
            return "not verified"
        case Verdict.RECOVERED:
            return "recovered"
        case Verdict.NOT_RECOVERED:
            return "not recovered"
        case Verdict.NO_DATA:
            return "no data"


def _who_was_told(facts: ReviewFacts) -> str:
    if facts.first_told_at is None:
        return _nobody_told(facts)
    told, asked = (count(len(words), "time") for words in (facts.escalations, facts.questions))
    if not facts.questions:
        who = f"People were told {told}"
    elif not facts.escalations:
        who = f"A person was asked {asked}"
    else:
        who = f"People were asked {asked} and told {told}"
    after = lasted(facts.first_told_at - facts.taken_up_at)
    return plain(sentence(f"{who}, first after {after}: {facts.words[0].reason}"))


def _nobody_told(facts: ReviewFacts) -> str:
    """That nobody was told is no praise of a shadow: it pages nobody, whatever happens."""
    if facts.in_auto is not None:
        return plain(sentence(f"Nobody was told: it was in shadow; in auto {facts.in_auto}"))
    if facts.by_hand is not None:
        return "Nobody else had to be told."
    if any(held.shadow for held in facts.held_back) and not facts.acts:
        return "Nobody was told: it was in shadow; in auto a person would be told unless the ladder helped."
    return "Nobody had to be told."


def _duration(facts: ReviewFacts) -> str:
    if facts.recovered_at is not None:
        return lasted(facts.recovered_at - facts.detected_at)
    known = f"not over, {lasted(facts.as_of - facts.detected_at)} up to the last entry of the timeline"
    return known if not facts.final else "unknown"


def _detection(facts: ReviewFacts) -> Iterator[Block]:
    opened = when(facts.opened_at) if facts.opened_at else "not opened"
    sources = ", ".join(facts.alerts.sources) or "unknown"
    yield Fields(
        fields=(
            Field(name="First alert began", value=_source_time(facts)),
            Field(name="Arrived", value=when(facts.detected_at)),
            *_taken_up(facts),
            Field(name="Delay", value=_delay(facts)),
            Field(name="Opened", value=opened),
            Field(name="Source", value=plain(sources)),
        )
    )
    if facts.by_hand is not None:
        yield Paragraph(text=plain(f"No alert: {facts.by_hand.actor} asked for it by hand."))
    for alert in facts.alerts.sample[:1]:
        yield Paragraph(text="What the first alert said:")
        yield Bullets(items=tuple(_alert_words(alert)))


def _source_time(facts: ReviewFacts) -> str:
    return f"{when(facts.started_at)} (by the source's clock)" if facts.started_at else "unknown"


def _delay(facts: ReviewFacts) -> str:
    if facts.started_at is None:
        return "unknown"
    if facts.detection_delay is None:
        return "unknown: the source's clock is ahead of ours"
    return f"{lasted(facts.detection_delay)} (from the source's clock to ours)"


def _alert_words(alert: MemberAlert) -> Iterator[str]:
    yield plain(f"Labels: {pairs(alert.labels)}")
    for name, text in sorted(alert.annotations.items()):
        yield plain(f"{name}: {text}")


def _impact(facts: ReviewFacts) -> Iterator[Block]:
    alerts = facts.alerts
    ended = f"{when(facts.ended_at)} (by the source's clock)" if facts.ended_at else "not known to have ended"
    targets = sorted({act.target for act in facts.acts} | {h.target for h in facts.held_back if h.target})
    yield Fields(
        fields=(
            Field(name="Affected", value=plain(pairs(alerts.common_labels or facts.key) or "unknown")),
            Field(name="Alerts", value=f"{alerts.total}, at most {alerts.most_firing} firing at a time"),
            Field(name="Last alert ended", value=ended),
            Field(name="Targets", value=plain(", ".join(targets) or "none")),
            Field(name="Changed by the responder", value=_changed(facts)),
        )
    )
    if len(alerts.sample) > 1:
        yield Table(
            head=("Alert", "Began", "Ended"),
            rows=tuple(_alert_row(alert, alerts.common_labels) for alert in alerts.sample),
        )
    if alerts.total > len(alerts.sample):
        yield Paragraph(text=f"{alerts.total - len(alerts.sample)} further alerts are not listed.")


def _changed(facts: ReviewFacts) -> str:
    done = sum(1 for act in facts.acts for element in act.elements if element.outcome.value == "done")
    unknown = sum(1 for act in facts.acts for element in act.elements if element.outcome.value == "unknown")
    unsure = f", {unknown} unknown" if unknown else ""
    return f"{count(done, 'element')}{unsure}" if facts.acts else "nothing"


def _alert_row(alert: MemberAlert, common: dict[str, str]) -> tuple[str, str, str]:
    own = {name: value for name, value in alert.labels.items() if common.get(name) != value}
    ended = when(alert.ends_at) if alert.ends_at else "still fires"
    return (plain(pairs(own or alert.labels)), when(alert.starts_at), ended)


def _cause(facts: ReviewFacts) -> Iterator[Block]:
    """What speaks for a cause. The cause itself is for people to write."""
    if facts.evidence:
        yield Paragraph(text="What was found when it opened:")
        yield Bullets(items=tuple(plain(f"{found.action}: {found.summary}") for found in facts.evidence))
    yield Bullets(items=tuple(_warning_signs(facts)))
    if facts.notes:
        yield Paragraph(text=plain(f"The rule's notes: {facts.notes}"))
    yield Paragraph(
        text="The responder does not know causes. For people to answer: what was the underlying cause, "
        "what triggered it, and were there warning signs before the alert?"
    )


def _warning_signs(facts: ReviewFacts) -> Iterator[str]:
    if facts.by_hand is not None:
        yield "No alert is known of it."
        return
    earlier = max((alert.generation - 1 for alert in facts.alerts.sample), default=0)
    if earlier:
        yield f"The same alert had fired {count(earlier, 'time')} before."
    else:
        yield "The same alert is not known to have fired before."
    if facts.reopened:
        yield f"It came back {count(facts.reopened, 'time')} after it was over."


# --- timeline, actions, held back -----------------------------------------------------------------------


def _timeline(facts: ReviewFacts) -> Iterator[Block]:
    yield Picture()
    yield Table(
        head=("#", "Time (UTC)", "After", "What", "Who", "Told"),
        rows=tuple(_told_row(told, facts) for told in facts.timeline),
    )
    if facts.timeline_head is not None:
        length = count(len(facts.timeline), "entry", "entries")
        yield Paragraph(
            text=f"{length}, chained; the last one's code is {facts.timeline_head}. "
            f"Times are on {day(facts.taken_up_at)} and after, counted from {_zero(facts)}."
        )


def _zero(facts: ReviewFacts) -> str:
    return "when a new rulebook took it up" if facts.taken_up_later else "the detection"


def _told_row(told: Told, facts: ReviewFacts) -> tuple[str, ...]:
    text = "(redacted)" if told.redacted else plain(told.text)
    date = "" if day(told.at) == day(facts.taken_up_at) else f"{day(told.at)} "
    after = offset(told.at - facts.taken_up_at)
    return (str(told.number), f"{date}{clock(told.at)}", after, told.kind.value, plain(told.actor), text)


def _actions(facts: ReviewFacts) -> Iterator[Block]:
    if not facts.acts:
        yield Paragraph(text="The responder changed nothing.")
    for number, act in enumerate(facts.acts, start=1):
        yield Heading(text=plain(f"{number}. {act.action} on {act.target}"))
        yield Fields(fields=tuple(_act_fields(act, facts)))
        yield Table(
            head=("Element", "Outcome", "Detail"),
            rows=tuple(
                (plain(e.title), e.outcome.value.replace("_", " "), plain(e.detail)) for e in act.elements
            ),
        )
        yield from _states(act)


def _act_fields(act: Act, facts: ReviewFacts) -> Iterator[Field]:
    yield Field(
        name="Began", value=f"{when(act.intended_at)} ({offset(act.intended_at - facts.taken_up_at)})"
    )
    took = lasted(act.ended_at - act.intended_at) if act.ended_at else "no end is known"
    yield Field(name="Took", value=took)
    lost = ": nobody can say whether it happened" if act.outcome is Outcome.UNKNOWN else ""
    yield Field(name="Outcome", value=f"{act.outcome.value.replace('_', ' ')}{lost}")
    if act.quarantined is not None:
        yield Field(name="Quarantine", value=plain(_quarantine(act.quarantined)))
    if act.owed is not None:
        yield Field(name="Given back", value=plain(_given_back(act.owed)))
    yield Field(name="Verified", value=_verdict(act))
    if act.approved_by is not None:
        yield Field(name="Approved by", value=plain(act.approved_by))
    part = "" if act.part is None else f", part {act.part + 1} of it"
    yield Field(name="Step", value=f"{act.step + 1} of the ladder{part}" if act.undo_of is None else "undo")
    if act.undo_of is not None:
        yield Field(name="Takes back", value=f"attempt {act.undo_of}")
    yield Field(name="Parameters", value=plain(value_text(act.params)))
    yield Field(name="Attempt", value=str(act.attempt_id))


def _quarantine(left: Quarantined) -> str:
    if left.released_at is None:
        return f"the target stays held until a person releases it: {left.reason}"
    by = f" by {left.released_by}" if left.released_by else ""
    return f"released{by} at {when(left.released_at)}: {left.reason}"


def _given_back(owed: Owed) -> str:
    if owed.kept_at is not None:
        return f"no: {owed.kept_by} keeps it since {when(owed.kept_at)}: {owed.kept_reason}"
    became = "" if owed.opened_as is None else f", as incident {owed.opened_as}"
    return f"due at {when(owed.due_at)}{became}"


SHOWN = 20
"""Items of one list of a state that the forms for people show."""


def _states(act: Act) -> Iterator[Block]:
    """The target's state, field by field. A list is shown by its items, one for each row."""
    before, after = act.state_before, act.state_after or {}
    rows = tuple(row for name in sorted(before.keys() | after.keys()) for row in _state_rows(name, act))
    if rows:
        yield Paragraph(text="The target's state:")
        yield Table(head=("Field", "Before", "After"), rows=rows)
    if act.state_after is None:
        yield Paragraph(text="The state afterwards is not known.")


def _state_rows(name: str, act: Act) -> Iterator[tuple[str, str, str]]:
    before, after = act.state_before.get(name), (act.state_after or {}).get(name)
    if is_empty(before) and is_empty(after):
        return
    if not isinstance(before, list) and not isinstance(after, list):
        yield (plain(name), plain(value_text(before)), plain(value_text(after)))
        return
    old, new = _items(before), _items(after)
    known = act.state_after is not None
    yield (plain(name), count(len(old), "item"), count(len(new), "item") if known else "-")
    items = sorted({*old, *new})
    for item in items[:SHOWN]:
        yield ("", plain(item) if item in old else "-", _item_after(item, old, new) if known else "-")
    if len(items) > SHOWN:
        yield ("", f"{len(items) - SHOWN} more in the JSON form", "")


def _items(value: Any) -> tuple[str, ...]:
    return tuple(value_text(item) for item in value) if isinstance(value, list) else ()


def _item_after(item: str, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    if item not in new:
        return "gone"
    return "the same" if item in old else plain(item)


def _held_back(facts: ReviewFacts) -> Iterator[Block]:
    if not facts.held_back:
        yield Paragraph(text="Nothing was held back.")
        return
    yield Table(
        head=("When", "Step", "What", "Ruling", "Guard", "Why"),
        rows=tuple(_held_row(held, facts) for held in facts.held_back),
    )
    for held in facts.held_back:
        if held.elements:
            yield Paragraph(text=plain(f"{_found(held)} {count(held.element_count, 'element')}:"))
            yield Bullets(items=tuple(plain(line) for line in listed(held.elements, held.element_count)))


def _found(held: HeldBack) -> str:
    step = f"step {held.step + 1} " if held.step is not None else ""
    verb = "would have hit" if held.only_shadow else "found"
    return f"At {clock(held.last_at)} {step}({held.action} on {held.target or 'no target'}) {verb}"


_RULINGS = {"go": "would have acted", "ask": "asked a person", "wait": "waited", "refuse": "refused"}


def _held_row(held: HeldBack, facts: ReviewFacts) -> tuple[str, ...]:
    first = offset(held.first_at - facts.taken_up_at)
    last = f" to {offset(held.last_at - facts.taken_up_at)}, {held.times} times" if held.times > 1 else ""
    ruling = _RULINGS.get(held.ruling, held.ruling)
    others = [f"{called(guard)}: {reason}" for guard, reason in held.objections if guard != held.guard]
    why = held.reason if not others else f"{held.reason}; also {'; '.join(others)}"
    return (
        f"{first}{last}",
        str(held.step + 1) if held.step is not None else "-",
        plain(f"{held.action} on {held.target or 'no target'}"),
        f"{ruling} (shadow)" if held.shadow else ruling,
        plain(called(held.guard)),
        plain(why),
    )


# --- response and follow-ups ----------------------------------------------------------------------------


def _response(facts: ReviewFacts) -> Iterator[Block]:
    yield Paragraph(text=_promise(facts))
    if facts.taken_up_later:
        yield Paragraph(text=f"Counted from {_zero(facts)}: until then nothing here could respond.")
    began = facts.taken_up_at
    rows = (
        ("Detection (the source's clock to ours)", facts.started_at, facts.detected_at),
        *([("Taken up by a new rulebook", facts.detected_at, began)] if facts.taken_up_later else []),
        ("First action", began, facts.first_action_at),
        ("First word to a person", began, facts.first_told_at),
        ("First act of a person", began, facts.first_person_at),
        ("Recovery", began, facts.recovered_at),
    )
    yield Table(
        head=("What", "Took", "At"),
        rows=tuple(
            (
                what,
                lasted(at - since) if at and since and at >= since else "-",
                when(at) if at else "-",
            )
            for what, since, at in rows
        ),
    )
    if facts.words:
        yield Heading(text="Who was told")
        yield Table(
            head=("After", "Level", "Why"),
            rows=tuple((offset(word.at - began), _level(word), plain(word.reason)) for word in facts.words),
        )
    if facts.people:
        yield Heading(text="What people did")
        yield Table(
            head=("After", "Who", "What", "Why"),
            rows=tuple(
                (
                    offset(person.at - began),
                    plain(person.actor),
                    plain(person.command.replace("_", " ")),
                    plain(person.reason),
                )
                for person in facts.people
            ),
        )


def _level(word: Escalation | Asked) -> str:
    return "asked" if isinstance(word, Asked) else str(word.level)


def _promise(facts: ReviewFacts) -> str:
    promised = f"{facts.severity} promises a response within {lasted(facts.response.target)}"
    response = facts.response
    if response.kind is not None and response.taken is not None:
        word = "kept" if response.met else "broken"
        return f"{promised}: {word}. After {lasted(response.taken)} {response.kind.value}."
    if response.met is False:
        return f"{promised}: broken. Nobody responded."
    if facts.recovered_at is not None:
        return f"{promised}: it was over before that, without a response."
    return f"{promised}: none yet, and there is still time."


def _follow_ups(facts: ReviewFacts) -> Iterator[Block]:
    found = follow_ups(facts)
    if not found:
        yield Paragraph(text="None that the facts ask for.")
        return
    yield Bullets(items=tuple(plain(f"{item.text}{_grounds(item.entries)}") for item in found))


def _grounds(entries: tuple[int, ...]) -> str:
    if not entries:
        return ""
    return f" [{'entry' if len(entries) == 1 else 'entries'} {', '.join(str(number) for number in entries)}]"
