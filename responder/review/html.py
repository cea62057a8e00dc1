"""The review as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

It follows the reader's light or dark setting, prints on paper, and has a policy that forbids everything but
its own style, so that even a value that escaped its escaping could load or run nothing.
"""

from collections.abc import Iterator
from html import escape
from typing import assert_never

from responder.review.document import (
    Block,
    Bullets,
    Document,
    Field,
    Fields,
    Heading,
    Paragraph,
    Picture,
    Section,
    Table,
)
from responder.review.words import is_link

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --soft: #5b6675; --line: #d5dbe3; --page: #ffffff; --raised: #f4f6f9;
  --alert: #f3c6c0; --state: #dfe5ec; --act: #b9cdf5; --check: #efe0b0; --good: #bfe3c6; --bad: #e9a59b;
  --edge: #8592a3; --link: #1b57c0; --now: #b5392b; --recovery: #2c8544; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e4e9f0; --soft: #9aa7b7; --line: #36404d; --page: #14181e; --raised: #1d232b;
  --alert: #6e3730; --state: #37424f; --act: #34518c; --check: #6a5a22; --good: #2c5f3a; --bad: #8d3a2e;
  --edge: #76859a; --link: #8cb4ff; --now: #f08a7c; --recovery: #6cc886; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .6rem 0; overflow-wrap: anywhere; }
.status { margin: 0; color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; padding: 0; margin: 1rem 0 0; }
a { color: var(--link); }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .3rem 1.2rem;
  margin: .8rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: break-word; max-width: 26rem; }
td:last-child { overflow-wrap: anywhere; min-width: 12rem; }
.picture { display: block; width: 100%; height: auto; margin: 1rem 0; background: var(--raised);
  border: 1px solid var(--line); border-radius: 8px; font: 12px system-ui, sans-serif; }
.picture text { fill: var(--ink); } .picture .lane { text-anchor: end; fill: var(--soft); }
.picture .tick { text-anchor: middle; fill: var(--soft); font-size: 11px; }
.picture .recovered { text-anchor: middle; fill: var(--recovery); font-weight: 600; }
.picture .inside, .picture .beside { font-size: 11px; } .picture .beside { fill: var(--soft); }
.picture .grid { stroke: var(--line); } .picture .recovery { stroke: var(--recovery); stroke-dasharray: 4 3; }
.picture rect { stroke: var(--edge); stroke-width: .5; }
.picture .alert { fill: var(--alert); } .picture .state { fill: var(--state); }
.picture .act { fill: var(--act); } .picture .check { fill: var(--check); }
.picture .good { fill: var(--good); } .picture .bad { fill: var(--bad); }
.picture .now { fill: var(--now); } .picture .person { fill: var(--link); }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 11pt; }
  nav { display: none; } h2, h3 { break-after: avoid; } tr, .picture { break-inside: avoid; }
  .picture, .picture * { print-color-adjust: exact; } .scroll { overflow: visible; } }
"""


def write_html(document: Document, picture: str) -> str:
    """The whole page. `picture` is trusted markup from `picture.draw`; all else is escaped here."""
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>Incident review: {escape(document.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>{escape(document.title)}</h1>",
        f'<p class="status">Incident review. {escape(document.status)}</p>',
        "</header>",
        *_contents(document),
        "<main>",
        *(line for section in document.sections for line in _section(section, picture)),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _contents(document: Document) -> Iterator[str]:
    yield '<nav aria-label="Sections"><ul>'
    for section in document.sections:
        yield f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>'
    yield "</ul></nav>"


def _section(section: Section, picture: str) -> Iterator[str]:
    yield f'<section id="{section.anchor}">'
    yield f"<h2>{escape(section.title)}</h2>"
    for block in section.blocks:
        yield from _block(block, picture)
    yield "</section>"


def _block(block: Block, picture: str) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"<p>{escape(block.text)}</p>"
        case Heading():
            yield f"<h3>{escape(block.text)}</h3>"
        case Bullets():
            yield "<ul>"
            yield from (f"<li>{escape(item)}</li>" for item in block.items)
            yield "</ul>"
        case Fields():
            yield "<dl>"
            yield from (f"<dt>{escape(field.name)}</dt><dd>{_value(field)}</dd>" for field in block.fields)
            yield "</dl>"
        case Table():
            yield from _table(block)
        case Picture():
            yield picture
        case _:
            assert_never(block)


def _value(field: Field) -> str:
    text = escape(field.value)
    return (
        f'<a href="{text}" rel="noreferrer noopener">{text}</a>'
        if field.link and is_link(field.value)
        else text
    )


def _table(table: Table) -> Iterator[str]:
    yield '<div class="scroll"><table>'
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    yield f"<thead><tr>{head}</tr></thead>"
    yield "<tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"
