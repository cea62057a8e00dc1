"""The timeline drawn as inline SVG: lanes for alert, state, actions, verification and people.

The scale runs from the first thing known to the recovery (or to the last thing known) and a little further,
so that what mattered fills the width. Classes, not colours: the page around it brings light and dark.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from html import escape

from responder.model.attempt import Verdict
from responder.model.incident import IncidentState
from responder.review.facts import ReviewFacts
from responder.review.words import lasted, offset, plain

_WIDTH, _LEFT, _RIGHT = 960, 104, 24
_TOP, _LANE, _BAR = 30, 34, 18
_SMALLEST = 3.0
"""Pixels of the narrowest bar: an effect takes milliseconds and must still be seen."""
_LETTER = 6.6
"""Pixels of one letter at the size used here, on the safe side: a text that does not fit is left out."""
_LANES = ("Alert", "State", "Actions", "Verification", "People")
_NICE_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_TICKS = 8
_NAMED = 'xmlns="http://www.w3.org/2000/svg" aria-labelledby="picture-title picture-text"'

_STATE_CLASS = {
    IncidentState.REMEDIATING: "act",
    IncidentState.VERIFYING: "check",
    IncidentState.ESCALATED: "bad",
    IncidentState.RESOLVED: "good",
}


class Scale:
    """Turns moments into pixels."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start = start
        self.end = max(end, start + timedelta(seconds=1))

    def x(self, at: datetime) -> float:
        """The place of a moment; what lies outside is put on the edge."""
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def draw(facts: ReviewFacts) -> str:
    """The picture as one `<svg>` element with a title and a description for those who cannot see it."""
    scale = _scale(facts)
    height = _TOP + len(_LANES) * _LANE + 26
    parts = [
        f'<svg class="picture" role="img" viewBox="0 0 {_WIDTH} {height}" {_NAMED}>',
        f'<title id="picture-title">{_safe(f"Timeline of {facts.rule}")}</title>',
        f'<desc id="picture-text">{_safe(_description(facts))}</desc>',
        *_grid(scale, facts, height),
        *_lane_names(),
        *_alert(facts, scale),
        *_states(facts, scale),
        *_actions(facts, scale),
        *_verification(facts, scale),
        *_people(facts, scale),
        *_recovery(facts, scale, height),
        "</svg>",
    ]
    return "\n".join(parts)


def _scale(facts: ReviewFacts) -> Scale:
    began = facts.detected_at if facts.detection_delay is None else facts.started_at or facts.detected_at
    if facts.taken_up_later:  # it may have fired for days before: that would leave no width for what was done
        began = facts.taken_up_at
    end = facts.recovered_at or facts.as_of
    pad = max((end - began) * 0.06, timedelta(milliseconds=200))
    return Scale(began - pad / 3, end + pad)


def _description(facts: ReviewFacts) -> str:
    told = f"{len(facts.acts)} actions, {len(facts.escalations)} escalations"
    if facts.recovered_at is None:
        return f"{told}, not recovered."
    return f"{told}, recovered after {lasted(facts.recovered_at - facts.taken_up_at)}."


# --- the ground ---------------------------------------------------------------------------------------


def _grid(scale: Scale, facts: ReviewFacts, height: int) -> Iterator[str]:
    """Lines at round distances from the detection, or from when a rule took it up later, which is 0."""
    span = (scale.end - scale.start).total_seconds()
    every = next((step for step in _NICE_S if span / step <= _TICKS), span / _TICKS)
    bottom, zero = height - 22, "taken up" if facts.taken_up_later else "detected"
    first = int((scale.start - facts.taken_up_at).total_seconds() / every)
    for number in range(first, first + 2 * _TICKS):
        at = facts.taken_up_at + timedelta(seconds=number * every)
        if scale.start <= at <= scale.end:
            x = scale.x(at)
            yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>'
            text = zero if number == 0 else _tick(timedelta(seconds=number * every))
            yield f'<text class="tick" x="{x:.1f}" y="{height - 8}">{_safe(text)}</text>'


def _tick(span: timedelta) -> str:
    return offset(span).replace(".0s", "s")


def _lane_names() -> Iterator[str]:
    for index, name in enumerate(_LANES):
        yield f'<text class="lane" x="{_LEFT - 10}" y="{_middle(index) + 4:.1f}">{name}</text>'


def _middle(lane: int) -> float:
    return _TOP + lane * _LANE + _BAR / 2


# --- the lanes ----------------------------------------------------------------------------------------


def _alert(facts: ReviewFacts, scale: Scale) -> Iterator[str]:
    """From the first start to recovery, in our time; the source's own times stand in the text."""
    began = facts.detected_at if facts.detection_delay is None else facts.started_at or facts.detected_at
    until = facts.recovered_at or scale.end
    text = f"{facts.alerts.total} firing" if facts.alerts.total > 1 else "firing"
    yield _bar(scale, 0, "alert", began, until, "", f"alert, {text}")
    yield _mark(scale, 0, "now", facts.detected_at, "arrived at the responder")
    yield from _beside(scale, 0, facts.detected_at, until, text)


def _states(facts: ReviewFacts, scale: Scale) -> Iterator[str]:
    for stage in facts.stages:
        if stage.since > scale.end:
            break
        name = stage.state.value.replace("_", " ")
        look = _STATE_CLASS.get(stage.state, "state")
        yield _bar(scale, 1, look, stage.since, stage.until or scale.end, name, f"{name}: {stage.why}")


def _actions(facts: ReviewFacts, scale: Scale) -> Iterator[str]:
    """The effect's bar; the action's name beside it, where there is room before the next one."""
    for index, act in enumerate(facts.acts):
        end = act.ended_at or act.intended_at
        after = facts.acts[index + 1].intended_at if index + 1 < len(facts.acts) else scale.end
        outcome = act.outcome.value.replace("_", " ")
        told = f"{act.action} on {act.target}: {outcome} ({offset(act.intended_at - facts.taken_up_at)})"
        yield _bar(scale, 2, "act", act.intended_at, end, "", told)
        yield from _beside(scale, 2, end, after, act.action)


def _verification(facts: ReviewFacts, scale: Scale) -> Iterator[str]:
    for stage in facts.stages:
        if stage.state is not IncidentState.VERIFYING or stage.since > scale.end:
            continue
        until = stage.until or scale.end
        verdict = next((c.verdict for c in facts.checks if c.verdict and stage.since <= c.at <= until), None)
        word = "no verdict" if verdict is None else verdict.value.replace("_", " ")
        look = {None: "check", Verdict.RECOVERED: "good"}.get(verdict, "bad")
        yield _bar(scale, 3, look, stage.since, until, word, f"verification: {word}")


def _people(facts: ReviewFacts, scale: Scale) -> Iterator[str]:
    for told in facts.escalations:
        yield _mark(scale, 4, "bad", told.at, f"told, level {told.level}: {told.reason}")
    for asked in facts.questions:
        yield _mark(scale, 4, "bad", asked.at, f"asked: {asked.reason}")
    for person in facts.people:
        yield _mark(scale, 4, "person", person.at, f"{person.actor}: {person.command.replace('_', ' ')}")
    if not facts.words and not facts.people:
        yield from _beside(scale, 4, scale.start, scale.end, "nobody had to be told")


def _recovery(facts: ReviewFacts, scale: Scale, height: int) -> Iterator[str]:
    if facts.recovered_at is None:
        return
    x = scale.x(facts.recovered_at)
    yield f'<line class="recovery" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 22}"/>'
    text = f"recovered {offset(facts.recovered_at - facts.taken_up_at)}"
    middle = min(x, _WIDTH - 8 - len(text) * _LETTER / 2)
    yield f'<text class="recovered" x="{middle:.1f}" y="{_TOP - 12}">{_safe(text)}</text>'


# --- shapes -------------------------------------------------------------------------------------------


def _bar(scale: Scale, lane: int, look: str, since: datetime, until: datetime, text: str, told: str) -> str:
    x = scale.x(since)
    width = max(scale.x(until) - x, _SMALLEST)
    y = _middle(lane) - _BAR / 2
    inside = ""
    if text and len(text) * _LETTER + 10 <= width:
        inside = f'<text class="inside" x="{x + 6:.1f}" y="{_middle(lane) + 4:.1f}">{_safe(text)}</text>'
    shape = f'<rect class="{look}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
    return f"<g><title>{_safe(told)}</title>{shape}{inside}</g>"


def _mark(scale: Scale, lane: int, look: str, at: datetime, told: str) -> str:
    x, y = scale.x(at), _middle(lane)
    shape = f'<path class="{look}" d="M{x:.1f} {y - 8:.1f}l6 8l-6 8l-6 -8z"/>'
    return f"<g><title>{_safe(told)}</title>{shape}</g>"


def _beside(scale: Scale, lane: int, after: datetime, before: datetime, text: str) -> Iterator[str]:
    """A text right of a moment, where it fits before the next one."""
    x = scale.x(after) + 8
    if x + len(text) * _LETTER <= scale.x(before):
        yield f'<text class="beside" x="{x:.1f}" y="{_middle(lane) + 4:.1f}">{_safe(text)}</text>'


def _safe(text: str) -> str:
    return escape(plain(text), quote=True)
