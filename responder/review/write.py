"""The door: one dossier in, one text out."""

from collections.abc import Mapping
from typing import Literal, assert_never

from responder.model.severity import Severity, SeverityTerms
from responder.ports import Dossier
from responder.review.as_json import write_json
from responder.review.document import compose
from responder.review.facts import read
from responder.review.html import write_html
from responder.review.markdown import write_markdown
from responder.review.picture import draw

Form = Literal["md", "json", "html"]
"""The forms in which a review is written."""


def write_review(dossier: Dossier, form: Form, terms: Mapping[Severity, SeverityTerms]) -> str:
    """The review of one incident, `terms` being what severities promise (from the settings)."""
    facts = read(dossier, terms[dossier.incident.severity])
    match form:
        case "md":
            return write_markdown(compose(facts))
        case "html":
            return write_html(compose(facts), draw(facts))
        case "json":
            return write_json(facts)
        case _:
            assert_never(form)
