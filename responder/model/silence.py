"""How a silence that the responder made is recognised: by who made it, and by what its comment names."""

from uuid import UUID

CREATED_BY = "responder"
"""`createdBy` of every silence of ours."""


def attempt_mark(attempt_id: UUID) -> str:
    """What the comment has of the attempt that made it."""
    return f"attempt {attempt_id}"


def incident_mark(incident_id: UUID) -> str:
    """What the comment has of the incident that it was made for."""
    return f"incident {incident_id}"


def made_for(created_by: str, comment: str, incident_id: UUID) -> bool:
    """Whether a silence was made by a step of this incident."""
    return created_by == CREATED_BY and incident_mark(incident_id) in comment
