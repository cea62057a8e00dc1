"""One thing that is wrong with the settings: where, what, and how to mend it."""

from dataclasses import dataclass

from responder.model.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Problem:
    """`place` is `file:line:column` or a variable's name; `field` is dotted, or empty for the whole file."""

    place: str
    field: str
    text: str
    mend: str

    def __str__(self) -> str:
        """One line for a terminal."""
        field = f"{self.field}: " if self.field else ""
        return f"{self.place}: {field}{self.text}. {self.mend}."


class SettingsError(PermanentError):
    """The settings cannot be used; `problems` are all that is wrong with them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(["the settings cannot be used:", *map(str, problems)]))
        self.problems = problems
