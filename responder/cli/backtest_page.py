"""A backtest as one page that needs nothing beside itself: a chart over time, tables, what was assumed."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from responder.model.severity import Severity
from responder.rehearsal.result import Counted, Difference, Interval, Result

_WIDTH = 960
_HEIGHT = 180
_LEFT = 44
_COLOURS = {Severity.P0: "#8b0000", Severity.P1: "#d9480f", Severity.P2: "#e8a33d", Severity.P3: "#8aa0b4"}
_STARTS = "#1f6f43"
_LABELS = 6
_TEXT = 'font-size="11" fill="currentColor"'
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2733; max-width: 1000px; margin: 2rem auto }
body { padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: top }
th { border-bottom: 2px solid #c9d3dc } td { border-bottom: 1px solid #e6ebf0 } td.n { text-align: right }
svg { width: 100%; height: auto }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 1em }
@media (prefers-color-scheme: dark) {
  body { background: #14191f; color: #dbe3ea } td { border-color: #2a333c }
}
"""
_HEAD = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backtest</title><style>{style}</style></head><body>
"""


def page(found: Result, other: Result | None, changed: Sequence[Difference]) -> str:
    """The page."""
    return f"{_HEAD.format(style=_STYLE)}{''.join(_parts(found, other, changed))}</body></html>\n"


def _parts(found: Result, other: Result | None, changed: Sequence[Difference]) -> Iterator[str]:
    yield f"<h1>Backtest, {found.since:%F %H:%M} to {found.until:%F %H:%M} UTC</h1>\n"
    starts = sum(found.starts.values())
    yield (
        f"<p>{found.rows:,} rows of the journal: {found.incidents:,} incidents, {starts:,} actions that "
        f"would have started, {found.without_rule:,} episodes without a rule.</p>\n"
    )
    yield "<h2>Incidents opened, over time</h2>\n" + _chart(found.over_time, _highest(found, other))
    if other is not None:
        yield "<h2>The same, with the rules compared with</h2>\n" + _chart(
            other.over_time, _highest(found, other)
        )
        rows = ((one.rule, one.what, one.there, one.here) for one in changed)
        yield "<h2>Difference</h2>\n" + _table(("Rule", "What", "There", "Here"), rows, "There is none.")
    rules = (
        (one.rule, one.incidents, one.alerts, _listed(one.severities), _listed(one.starts), one.told)
        for one in found.rules
    )
    columns = ("Rule", "Incidents", "Alerts", "Severities", "Starts", "People told")
    yield "<h2>Rules, the noisiest first</h2>\n" + _table(columns, rules, "No rule took anything.")
    guards = ((one.guard, one.ruling, one.times) for one in found.guards)
    yield "<h2>Guards that held, asked or refused</h2>\n" + _table(
        ("Guard", "Ruling", "Times"), guards, "None."
    )
    yield "<h2>Taken from the record</h2>\n" + _counted(found.recorded)
    yield "<h2>Assumed</h2>\n" + _counted(found.assumptions)


def _counted(counted: Sequence[Counted]) -> str:
    told = (f"{one.of}: {one.text} ({one.times:,} times)" if one.of else one.text for one in counted)
    items = "".join(f"<li>{escape(one)}</li>" for one in told)
    return f"<ul>{items}</ul>\n" if items else "<p>Nothing.</p>\n"


def _highest(found: Result, other: Result | None) -> int:
    """Of both charts, so that they can be compared."""
    intervals = [*found.over_time, *(other.over_time if other is not None else ())]
    return max([1, *(max(sum(one.opened.values()), one.starts) for one in intervals)])


def _chart(intervals: Sequence[Interval], highest: int) -> str:
    """A bar for each interval, its severities upon each other; a line for what would have started."""
    wide, scale = (_WIDTH - _LEFT) / max(1, len(intervals)), _HEIGHT / highest
    bars: list[str] = []
    points: list[str] = []
    for number, one in enumerate(intervals):
        left, top = _LEFT + number * wide, float(_HEIGHT)
        told = ", ".join(f"{count} {severity}" for severity, count in one.opened.items()) or "none"
        bars.append(f"<g><title>{one.since:%F %H:%M}: {told}; {one.starts} starts</title>")
        for severity, count in sorted(one.opened.items(), reverse=True):
            top -= count * scale
            bars.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide * 0.9:.1f}" height="{count * scale:.1f}" '
                f'fill="{_COLOURS[severity]}"/>'
            )
        bars.append("</g>")
        points.append(f"{left + wide * 0.45:.1f},{_HEIGHT - one.starts * scale:.1f}")
    line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{_STARTS}" stroke-width="1.5"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 24}" role="img" aria-label="Incidents opened over time">'
        f"{''.join(bars)}{line}{''.join(_axes(intervals, highest, wide))}</svg>\n<p class='key'>{_key()}</p>"
    )


def _axes(intervals: Sequence[Interval], highest: int, wide: float) -> Iterator[str]:
    yield f'<line x1="{_LEFT}" y1="{_HEIGHT}" x2="{_WIDTH}" y2="{_HEIGHT}" stroke="currentColor"/>'
    for value, top in ((highest, 12), (0, _HEIGHT)):
        yield f'<text x="{_LEFT - 6}" y="{top}" text-anchor="end" {_TEXT}>{value}</text>'
    every = max(1, len(intervals) // _LABELS)
    for number in range(0, len(intervals), every):
        yield (
            f'<text x="{_LEFT + number * wide:.1f}" y="{_HEIGHT + 16}" {_TEXT}>'
            f"{intervals[number].since:%b %d %H:%M}</text>"
        )


def _key() -> str:
    named = [*((severity.value, colour) for severity, colour in _COLOURS.items()), ("actions", _STARTS)]
    return "".join(f'<span style="background:{colour}"></span>{name}' for name, colour in named)


def _listed(counted: dict[Severity, int] | dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counted.items()) or "-"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str | int]], none: str) -> str:
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return f"<p>{none}</p>\n"
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>\n"


def _cell(value: str | int) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(value)}</td>"
