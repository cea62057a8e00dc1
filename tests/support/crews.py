"""A crew for a test that runs its workers itself."""

from responder.engine.crew import Crew

ALONE = Crew(size=1_000, waiting_at_most=0, replace=lambda: None)
"""Nobody of it is one too many, and nobody is replaced."""
