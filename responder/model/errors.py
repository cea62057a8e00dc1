"""The errors that other layers may rely on: what is final, and what may be tried again."""

from datetime import timedelta


class ResponderError(Exception):
    """The base of every error that this program raises on purpose. Its text is fit for a person."""


class PermanentError(ResponderError):
    """Trying again will not help: the input or the settings are wrong."""


class StoreRefusesError(PermanentError):
    """The database is there and does not let us in: its settings, or ours, have to be mended."""


class TemporaryError(ResponderError):
    """It may work later.

    Attributes:
        delay: when to try again at the earliest.
    """

    def __init__(self, message: str, delay: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(message)
        self.delay = delay


class OverloadedError(TemporaryError):
    """Admission refused: the queue is full. Answered with 503 and Retry-After."""


class StoreAwayError(TemporaryError):
    """The database does not answer: nothing was stored, and no action may start."""


class StoreFullError(StoreAwayError):
    """The disk of the database is full: it answers, and stores nothing until there is room."""


class DeposedError(ResponderError):
    """This process no longer owns what it was about to change. It must drop the work and look again."""


class RefusedError(ResponderError):
    """An action will not do it: a parameter resolves to no target or to several, or a floor is reached."""


class UnknownTargetError(RefusedError):
    """What a parameter names is not among what the operator allows.

    Attributes:
        listed_in: the settings' key under which it would be.
    """

    def __init__(self, message: str, listed_in: str) -> None:
        super().__init__(message)
        self.listed_in = listed_in
