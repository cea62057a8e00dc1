"""`notify:` of a rule: when people are told that an incident has opened, beside what is escalated."""

from datetime import timedelta

from responder.model.rule import Notify, PageAfter, PageAt
from responder.rulebook.document import Listing, Mapped, Node, Scalar
from responder.rulebook.reading import Reader

_WORDS = {word.value: word for word in PageAt}
_CHOICES = "at_once, on_escalation, or a time such as {after: 5m}"


def read_notify(node: Node, reader: Reader) -> Notify:
    """The mapping under `notify`."""
    entries = reader.mapping(node, "`notify`", ("page",))
    if "page" not in entries:
        if isinstance(node, Mapped):
            reader.wrong(node, "`notify` does not say when people are told", f"Add `page:` with {_CHOICES}")
        return Notify()
    page = _page(entries["page"].value, reader)
    return Notify() if page is None else Notify(page=page)


def _page(node: Node, reader: Reader) -> PageAt | PageAfter | None:
    match node:
        case Scalar(text=text) if text in _WORDS:
            return _WORDS[text]
        case Scalar(text=text):
            reader.wrong(node, f"page cannot be {text!r}", f"Write {_CHOICES}")
            return None
        case Mapped():
            return _after(node, reader)
        case Listing():
            reader.wrong(node, "page cannot be a list", f"Write {_CHOICES}")
            return None


def _after(node: Mapped, reader: Reader) -> PageAfter | None:
    entries = reader.mapping(node, "`page`", ("after",))
    if "after" not in entries:
        reader.wrong(node, "`page` does not say after how long", f"Write {_CHOICES}")
        return None
    usual = timedelta(minutes=5)
    return PageAfter(after=reader.duration(entries["after"].value, "after", usual, positive=True))
