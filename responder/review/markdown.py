"""The review as GitHub-flavoured Markdown. Every value is escaped: none can become markup."""

import re
from collections.abc import Iterator
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
    Table,
)
from responder.review.words import is_link

_MARKUP = re.compile(r"([\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_]))")
_AT_START = re.compile(r"^(\d{1,9})([.)])(?=\s|$)|^([#+=-])")


def write_markdown(document: Document) -> str:
    """The whole document, ending with a newline."""
    lines = [f"# Incident review: {escaped(document.title)}", "", escaped_line(document.status), ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines).rstrip("\n") + "\n"


def escaped(text: str) -> str:
    """Text in which nothing is markup, inside of a line. An underscore inside of a word is none anyway."""
    return _MARKUP.sub(r"\\\1", text)


def escaped_line(text: str) -> str:
    """The same for text that begins a line: it does not begin a list or a heading either."""
    return _AT_START.sub(_unstarted, escaped(text))


def _unstarted(found: re.Match[str]) -> str:
    return f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield from (escaped_line(block.text), "")
        case Heading():
            yield from (f"### {escaped(block.text)}", "")
        case Bullets():
            yield from (f"- {escaped_line(item)}" for item in block.items)
            yield ""
        case Fields():
            yield from (f"- **{escaped(field.name)}**: {_value(field)}" for field in block.fields)
            yield ""
        case Table():
            yield from _table(block)
        case Picture():
            pass
        case _:
            assert_never(block)


def _value(field: Field) -> str:
    return f"<{field.value}>" if field.link and is_link(field.value) else escaped(field.value)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.head)
    yield _row(tuple("---" for _ in table.head), raw=True)
    for row in table.rows:
        yield _row(row)
    yield ""


def _row(cells: tuple[str, ...], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else escaped(cell) for cell in cells)} |"
