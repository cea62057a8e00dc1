"""The review: the same incident gives the same bytes, and what strangers sent stays text."""

import json
import re
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.model.attempt import Outcome, Owed, Quarantined, Verdict
from responder.model.incident import IncidentState
from responder.model.severity import Severity
from responder.model.timeline import EntryKind
from responder.ports import Dossier
from responder.review.facts import ResponseKind
from responder.review.follow_ups import Topic, follow_ups
from responder.review.markdown import escaped_line
from responder.review.picture import draw
from responder.review.words import is_link, lasted, plain, sentence, value_text
from responder.review.write import Form
from tests.support.dossiers import (
    ACTION,
    ATTEMPT,
    INCIDENT,
    TARGET,
    Story,
    after,
    facts_of,
    recovered,
    review_of,
    story_of,
)

FORMS: tuple[Form, ...] = get_args(Form)
HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)">',
    "]]></style></svg><svg onload=alert(3)>",
    "[click](javascript:alert(4)) ![x](http://evil.example/x.png)",
    "a | b\n| --- |\n# heading\n- item\n```\ncode",
    "$(reboot) `id` **bold** &lt;b&gt; \u202egnirts\u202c \x00\x1b[31m",
    "' onmouseover='alert(5)",
)


def topics(dossier: Dossier) -> list[Topic]:
    return [item.topic for item in follow_ups(facts_of(dossier))]


def shuffled(value: Any) -> Any:
    """The same value with every dict the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("form", FORMS)
def test_the_same_incident_gives_the_same_bytes(form: Form) -> None:
    """Written twice, read back from JSON with every dict reversed and every list of rows turned round."""
    story = recovered()
    story.alerts = 3
    dossier = story.dossier(IncidentState.CLOSED)
    told = shuffled(dossier.model_dump(mode="python"))
    turned = Dossier.model_validate(
        {**told, "entries": told["entries"][::-1], "attempts": told["attempts"][::-1]}
    )
    turned = turned.model_copy(
        update={"members": turned.members.model_copy(update={"sample": turned.members.sample[::-1]})}
    )
    assert review_of(dossier, form) == review_of(dossier, form) == review_of(turned, form)


def test_the_times_are_those_of_the_entries() -> None:
    """Detection delay, first action, recovery and response time are read off the recorded facts."""
    facts = facts_of(recovered().dossier(IncidentState.CLOSED))
    assert facts.detection_delay is not None
    assert lasted(facts.detection_delay) == "20.0s"
    assert (facts.first_action_at, facts.recovered_at) == (after(0.4), after(55))
    assert (facts.response.kind, facts.response.met) == (ResponseKind.ACTION, True)
    assert [stage.state.value for stage in facts.stages] == [
        "pending", "open", "remediating", "verifying", "resolved", "closed",
    ]  # fmt: skip
    assert facts.final
    assert facts.held_back == ()
    assert topics(recovered().dossier(IncidentState.CLOSED)) == []


def test_the_text_answers_the_questions_of_the_manual() -> None:
    """When detected, when resolved, what impact, what was done, was it in time, who was told."""
    text = review_of(recovered().dossier(IncidentState.CLOSED, outcome="recovered"), "md")
    for told in (
        "RunawayQueries was detected at 2026-11-20 23:59:30 UTC and was over 55.0s later.",
        "The responder acted 1 time: postgres.terminate_queries on postgres/orders (done, recovered).",
        "Nobody had to be told.",
        "P2 promises a response within 4h: kept. After 400ms the responder began an action.",
        "- **Runbook**: <https://runbooks.example.org/pg#long>",
        "| blocked | 3 | 0 |",
        "1 query over 10m blocks 3 sessions",
        "| 2026-11-21 00:00:25.250 | +55.0s | verification |",
    ):
        assert told in text


def test_what_was_held_back_is_told_with_its_reason_and_counted() -> None:
    """Equal judgements in a row are one line with their number; what held it becomes a follow-up."""
    story = Story().opens()
    for seconds in (1, 6, 11):
        story.judges(seconds, "wait", "halt", "halted: release night")
    story.moves(11, "open", "held", "halted: release night").escalates(14400, 1, "held for 4h by halt")
    dossier = story.dossier(IncidentState.ESCALATED, firing=1)
    (held,) = facts_of(dossier).held_back
    assert (held.times, held.guard, held.reason) == (3, "halt", "halted: release night")
    assert "+1.0s to +11.0s, 3 times" in review_of(dossier, "md")
    assert topics(dossier) == [Topic.UNANSWERED, Topic.HELD_BACK]


def test_a_shadow_that_woke_nobody_is_no_praise() -> None:
    """Where a person would have been told in auto, the review says so instead of that nobody had to be."""
    story = Story().opens().judges(1, "refuse", "floor", "6 were found, more than at_most 5", shadow=True)
    said = "a person would have been told at once (P2)"
    facts: dict[str, Any] = {"from": "open", "to": "recorded", "why": "in shadow", "in_auto": said}
    story.tell(1, EntryKind.STATE, "Recorded: in shadow", **facts)
    later = Story(severity=Severity.P2).opens()
    for seconds, in_auto in ((1, said), (2, None)):
        later.tell(seconds, EntryKind.STATE, "Recorded: in shadow", **{**facts, "in_auto": in_auto})
    assert facts_of(later.dossier(IncidentState.RECORDED)).in_auto is None
    text = review_of(story.dossier(IncidentState.RECORDED, firing=1), "md")
    assert f"Nobody was told: it was in shadow; in auto {said}." in text
    assert "Nobody had to be told" not in text


def test_shadow_is_told_as_what_would_have_been_done() -> None:
    """An incident in shadow says that nothing was changed, what would have been, and how to let it."""
    story = Story().opens().judges(1, "go", "autonomy", "shadow, no effect (the default)", shadow=True)
    story.moves(1, "open", "recorded", "in shadow step 1 would have started on 1 element")
    dossier = story.dossier(IncidentState.RECORDED, firing=1)
    text = review_of(dossier, "md")
    assert "The responder was in shadow: it looked and judged, and changed nothing." in text
    assert "Nobody had to be told" not in text
    assert (
        "Nobody was told: it was in shadow; in auto a person would be told unless the ladder helped." in text
    )
    assert "would have acted (shadow)" in text
    assert topics(dossier) == [Topic.SHADOW]
    assert facts_of(dossier).recovered_at is None


def test_shadow_names_what_the_step_would_have_hit() -> None:
    """Each element on a line of its own and the number of the others, in the review and for `incidents show`.

    Another set of elements is another judgement, though guard and reason are the same.
    """
    story = Story().opens()
    story.judges(1, "go", "autonomy", "shadow", shadow=True, elements=("pid 7 (a on b)",), more=3)
    story.judges(9, "go", "autonomy", "shadow", shadow=True, elements=("pid 9 (a on b)",))
    dossier = story.dossier(IncidentState.RECORDED, firing=1)
    first, second = facts_of(dossier).held_back
    assert (first.elements, first.element_count) == (("pid 7 (a on b)",), 4)
    assert second.elements == ("pid 9 (a on b)",)
    text = review_of(dossier, "md")
    assert "would have hit 4 elements:\n\n- pid 7 (a on b)\n- and 3 more\n" in text
    assert "would have hit 1 element:\n\n- pid 9 (a on b)\n" in text
    shown = story_of(dossier, after(600))["Held back"]
    assert shown[1:4] == ["would have hit 4 elements:", "pid 7 (a on b)", "and 3 more"]


def test_what_a_later_rulebook_took_up_arrived_when_it_was_first_heard_of() -> None:
    """Arrival and delay are the alert's own; the response counts from when a rule could respond at all."""
    story = recovered()
    story.starts_at, story.heard_at = after(-7220), after(-7200)
    dossier = story.dossier(IncidentState.CLOSED)
    facts = facts_of(dossier)
    assert (facts.detected_at, facts.taken_up_at) == (after(-7200), after(0))
    assert facts.detection_delay == after(20) - after(0)
    assert topics(dossier) == []
    text = review_of(dossier, "md")
    for told in (
        "was detected at 2026-11-20 21:59:30 UTC, was taken up by a new rulebook at 2026-11-20 23:59:30 UTC",
        "UTC and was over 55.0s later.",
        "- **Arrived**: 2026-11-20 21:59:30 UTC",
        "- **Taken up**: 2026-11-20 23:59:30 UTC, by a new rulebook; no rule took it before",
        "P2 promises a response within 4h: kept. After 400ms the responder began an action.",
        "| Taken up by a new rulebook | 2h | 2026-11-20 23:59:30 UTC |",
    ):
        assert told in text
    assert "a new rulebook took it up" in story_of(dossier, after(600))["Alerts"][0]


def test_an_unknown_outcome_asks_for_the_target_first() -> None:
    """Nobody knows whether it happened: the first follow-up is to find out, naming the target."""
    story = Story(severity=Severity.P0).opens().acts(1, Outcome.UNKNOWN)
    story.escalates(2, 1, "nobody can say whether it happened")
    found = follow_ups(facts_of(story.dossier(IncidentState.ESCALATED, firing=1)))
    assert [item.topic for item in found] == [Topic.UNKNOWN_OUTCOME, Topic.REVIEW, Topic.UNANSWERED]
    assert TARGET in found[0].text
    assert ACTION in found[0].text


def test_a_quarantine_is_told_with_who_released_it() -> None:
    """Then nobody is asked to release it any more, but to write down what was found."""
    for outcome, asks in (
        (Outcome.UNKNOWN, f"write down whether {ACTION} on {TARGET} happened"),
        (Outcome.DONE, "write down how it was brought into order"),
    ):
        story = Story().opens().acts(1, outcome).escalates(2, 1, "nobody can say")
        stands = Quarantined(target=TARGET, attempt_id=ATTEMPT, reason="nobody can say")
        dossier = story.dossier(IncidentState.ESCALATED, firing=1).model_copy(
            update={"quarantined": (stands,)}
        )
        assert "responder targets release" in follow_ups(facts_of(dossier))[0].text
        assert "the target stays held until a person releases it: nobody can say" in review_of(dossier, "md")
        given = stands.model_copy(update={"released_at": after(90), "released_by": "ada"})
        over = dossier.model_copy(update={"quarantined": (given,)})
        told = follow_ups(facts_of(over))[0].text
        assert f"ada released {TARGET} at 2026-11-21 00:01:00" in told
        assert asks in told
        assert "targets release" not in told
        assert "released by ada at 2026-11-21 00:01:00" in review_of(over, "md")


def test_what_is_lent_is_told_with_what_became_of_it() -> None:
    """When it is given back, as which incident, or who keeps it and why."""
    dossier = Story().opens().acts(1, Outcome.DONE).dossier(IncidentState.RESOLVED)
    owed = Owed(
        attempt_id=ATTEMPT, incident_id=INCIDENT, rule="Lent", action=ACTION, target=TARGET, due_at=after(90)
    )
    kept = {"kept_at": after(60), "kept_by": "ada", "kept_reason": "the sale goes on"}
    for moved, told in (
        ({}, "Given back: due at 2026-11-21 00:01:00 UTC"),
        ({"opened_as": ATTEMPT}, f"Given back: due at 2026-11-21 00:01:00 UTC, as incident {ATTEMPT}"),
        (kept, "Given back: no: ada keeps it since 2026-11-21 00:00:30 UTC: the sale goes on"),
    ):
        found = dossier.model_copy(update={"owed": (owed.model_copy(update=moved),)})
        assert told in review_of(found, "md").replace("*", "").replace("\\", "")
    assert "Given back" not in review_of(dossier, "md")


def test_what_was_done_without_a_verdict_is_owed() -> None:
    """An effect that was neither verified nor taken back when the incident escalated holds its target."""
    story = Story().opens().acts(1, Outcome.DONE).escalates(2, 1, "the undo is owed: halted")
    dossier = story.dossier(IncidentState.ESCALATED, firing=1)
    assert topics(dossier) == [Topic.QUARANTINE, Topic.UNANSWERED]
    undo = story.attempts[0].model_copy(update={"id": INCIDENT, "undo_of": ATTEMPT, "verdict_at": after(3)})
    taken_back = dossier.model_copy(update={"attempts": (*dossier.attempts, undo)})
    assert Topic.QUARANTINE not in topics(taken_back)


def test_an_attempt_that_did_nothing_is_no_response() -> None:
    """Proven not to have happened: it stands among the actions and does not count as a response."""
    facts = facts_of(Story().opens().acts(1, Outcome.NOT_DONE).dossier(IncidentState.OPEN, firing=1))
    assert len(facts.acts) == 1
    assert facts.response.kind is None


def test_who_was_asked_was_told() -> None:
    """A question reaches people as a page does: it is their first word of it, and is said in the summary."""
    story = Story().opens().moves(3, "open", "awaiting_approval", "a person must approve (the rule)")
    dossier = story.dossier(IncidentState.TAKEN_OVER)
    told = facts_of(dossier)
    assert told.first_told_at == after(3)
    assert told.response.kind is ResponseKind.TOLD
    text = review_of(dossier, "md")
    assert "A person was asked 1 time, first after 3.0s: a person must approve (the rule)." in text
    assert "Nobody had to be told" not in text
    assert "not over, 3.0s up to the last entry of the timeline" in text


def test_the_first_word_to_a_person_is_one_and_the_same_all_over_a_review() -> None:
    """A question at 5 s and a page at 305 s: summary, promise, table and picture tell both, in order."""
    story = Story().opens().moves(5, "open", "awaiting_approval", "may it?")
    dossier = story.escalates(305, 1, "nobody answered").dossier(IncidentState.ESCALATED, firing=1)
    text = review_of(dossier, "md")
    assert "People were asked 1 time and told 1 time, first after 5.0s: may it?\n" in text
    assert "After 5.0s a person was told." in text
    table = text[text.index("Who was told") :]
    assert re.findall(r"\| (\+\S+) +\| (\w+) +\| ([^|]+?) +\|", table)[:2] == [
        ("+5.0s", "asked", "may it?"),
        ("+5m5s", "1", "nobody answered"),
    ]
    picture = draw(facts_of(dossier))
    assert "asked: may it?" in picture
    assert "told, level 1: nobody answered" in picture


def test_no_picture_says_that_nobody_had_to_be_told_where_somebody_was_asked() -> None:
    """A question alone is a word to a person, in the picture as in the summary."""
    asked = Story().opens().moves(3, "open", "awaiting_approval", "a person must approve (the rule)")
    assert "nobody had to be told" not in draw(facts_of(asked.dossier(IncidentState.AWAITING_APPROVAL)))
    assert "nobody had to be told" in draw(facts_of(Story().opens().dossier(IncidentState.OPEN)))


@pytest.mark.parametrize(
    ("said", "end"),
    [("may it?", "may it?"), ("it is over.", "it is over."), ("no", "no."), ("now! ", "now!")],
)
def test_a_sentence_ends_once(said: str, end: str) -> None:
    """What people and the source say may have an end of its own."""
    assert sentence(said) == end


def test_a_late_response_breaks_the_promise() -> None:
    """P0 promises 15 minutes: a first word to a person after 20 is a broken promise and a follow-up."""
    story = Story(severity=Severity.P0).opens().escalates(1200, 1, "open for too long")
    dossier = story.dossier(IncidentState.ESCALATED, firing=1)
    assert facts_of(dossier).response.met is False
    assert "broken. After 20m a person was told." in review_of(dossier, "md")
    assert Topic.RESPONSE_TIME in topics(dossier)


def test_no_response_is_only_broken_when_its_time_was_over() -> None:
    """Without a response nobody can say yet, unless the incident is known to have lasted longer."""
    young = Story(severity=Severity.P0).opens().dossier(IncidentState.OPEN, firing=1)
    old = Story(severity=Severity.P0).opens().moves(1000, "open", "held", "x").dossier(IncidentState.HELD)
    assert facts_of(young).response.met is None
    assert facts_of(old).response.met is False


def test_follow_ups_come_from_the_facts() -> None:
    """Late alert, no data, a return after recovery, missing entries, errors, no runbook, no owner."""
    story = recovered()
    story.rule = {}
    story.starts_at = after(-3600)
    story.missing_entries = 2
    story.moves(1900, "resolved", "open", "it fires again").verifies(1960, Verdict.NO_DATA, "no series")
    story.tell(1961, EntryKind.ERROR, "the worker stopped in the middle")
    story.escalates(1962, 1, "nobody can say whether it recovered: no series")
    dossier = story.dossier(IncidentState.ESCALATED, firing=1)
    dossier = dossier.model_copy(
        update={"entries": tuple(entry for entry in dossier.entries if entry.facts.get("to") != "closed")}
    )
    assert topics(dossier) == [
        Topic.TIMELINE,
        Topic.UNANSWERED,
        Topic.NO_DATA,
        Topic.REOPENED,
        Topic.LATE_ALERT,
        Topic.ERRORS,
        Topic.RUNBOOK,
        Topic.OWNER,
    ]
    assert facts_of(dossier).recovered_at is None


def test_a_source_whose_clock_is_ahead_is_named_and_not_subtracted() -> None:
    """An alert that begins after it arrived gives no delay, but a word on the clocks."""
    story = recovered()
    story.starts_at = after(90)
    dossier = story.dossier(IncidentState.CLOSED)
    assert facts_of(dossier).detection_delay is None
    assert "unknown: the source's clock is ahead of ours" in review_of(dossier, "md")
    assert topics(dossier) == [Topic.CLOCKS]


def test_json_holds_everything_unshortened() -> None:
    """The form for programs is valid JSON with the whole of a long value, durations in seconds."""
    story = recovered()
    story.annotations = {"description": "x" * 5000}
    told = json.loads(review_of(story.dossier(IncidentState.CLOSED), "json"))
    assert told["alerts"]["sample"][0]["annotations"]["description"] == "x" * 5000
    assert (told["detection_delay"], told["response"]["target"]) == (20.0, 14400.0)
    assert told["acts"][0]["state_after"] == {"backends": [], "blocked": 0}
    assert "x" * 600 not in review_of(story.dossier(IncidentState.CLOSED), "md")


class Tags(HTMLParser):
    """Counts the elements and collects the attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count one element that opens."""
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        """Count one element that closes."""
        assert self.tags[tag]
        self.depth -= 1


def hostile_story(text: str) -> Dossier:
    """An incident in which everything that a stranger can write is `text`."""
    story = Story(labels={"datname": text, "server": "db1"})
    story.annotations = {"summary": text, text: "x"}
    story.rule = {"owner": text, "runbook_url": f"javascript:{text}", "notes": text}
    story.opens().judges(0.2, "wait", "claim", text).acts(0.4, Outcome.DONE)
    story.tell(0.5, EntryKind.EVIDENCE, text, action=text, summary=text)
    story.verifies(1, Verdict.NO_DATA, text).escalates(2, 1, text)
    story.tell(3, EntryKind.PERSON, text, text, command="acknowledge", reason=text)
    state = {text: [text], "plain": text}
    story.attempts = [
        story.attempts[0].model_copy(update={"state_before": state, "state_after": state, "params": state})
    ]
    return story.dossier(IncidentState.ESCALATED, firing=1, outcome=text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_value_is_only_text_in_html(text: str) -> None:
    """The page has the same elements, attributes and links as with a harmless value, and all are closed."""
    page = review_of(hostile_story(text), "html")
    hostile, harmless = Tags(page), Tags(review_of(hostile_story("harmless"), "html"))
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert hostile.links == harmless.links
    assert hostile.depth == harmless.depth
    assert "script" not in hostile.tags
    assert "\u202e" not in page
    assert "\x00" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_value_is_only_text_in_markdown(text: str) -> None:
    """As many lines, headings, tables and cells as with a harmless value, and no live markup character."""
    page = review_of(hostile_story(text), "md")
    harmless = review_of(hostile_story("harmless"), "md")
    assert [_shape(line) for line in page.splitlines()] == [_shape(line) for line in harmless.splitlines()]


def _shape(line: str) -> tuple[str, int]:
    """What a line is, and how many of its characters are live markup."""
    unescaped = "".join(part[1:] if index else part for index, part in enumerate(line.split("\\")))
    live = sum(unescaped.count(mark) for mark in "`*[]<>|~$")
    return (line[:2] if line[:2] in {"# ", "##", "- ", "| "} else "", live)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_escaped_markdown_is_one_line_without_live_markup(text: str) -> None:
    """Whatever the text: nothing breaks the line, begins a block or opens markup."""
    line = escaped_line(plain(text))
    assert len(line.splitlines()) <= 1
    assert _shape(line) == ("", 0)
    assert not line.startswith(("#", "-", "+", "=", " ", "\t"))


def test_values_are_read_as_words() -> None:
    """Mappings are pairs, nested ones in braces, what says nothing is left out."""
    value = {"b": {"server": "db1"}, "a": True, "none": None, "empty": [], "list": [1, "x"]}
    assert value_text(value) == 'a=yes, b={server=db1}, list=[1,"x"]'


def test_only_plain_web_addresses_become_links() -> None:
    """A rule's runbook may be followed when it is http or https, and holds nothing that could be more."""
    assert is_link("https://runbooks.example.org/a/b?c=d#e")
    for bad in ("javascript:alert(1)", "https://a.example/<b>", 'https://a.example/"', "http://", "//a"):
        assert not is_link(bad)


def test_a_long_idle_end_does_not_flatten_the_picture() -> None:
    """The scale ends at the recovery: the half hour until closing is not drawn."""
    picture = draw(facts_of(recovered().dossier(IncidentState.CLOSED)))
    assert "recovered +55.0s" in picture
    assert "+30m" not in picture
