"""The player of pages: what a page says and a program does not print is found."""

from pathlib import Path

import pytest

from tests.support.walkthrough import Command, Reader, Written, missing_line, steps

PAGE = """Before.

```yaml a/b.yaml
x: 1
```

```console
$ cat a/b.yaml
x: 1
$ echo one; echo two
one
...
```

```sh
not played
```
"""


def test_a_page_is_its_files_and_commands_in_order() -> None:
    """Blocks with a file name and console blocks; what is for reading only is left out."""
    assert list(steps(PAGE)) == [
        Written("a/b.yaml", "x: 1\n"),
        Command("cat a/b.yaml", ("x: 1",)),
        Command("echo one; echo two", ("one",)),
    ]


def test_a_reader_writes_and_types(tmp_path: Path) -> None:
    """The page above says what happens."""
    reader = Reader(tmp_path, {"x: 1": "x: 2"})
    for step in steps(PAGE):
        reader.write(step) if isinstance(step, Written) else reader.type(step)
    assert (tmp_path / "a" / "b.yaml").read_text() == "x: 2\n"


def test_what_is_not_printed_is_found(tmp_path: Path) -> None:
    """A line that does not come fails, with what came instead."""
    with pytest.raises(AssertionError, match=r"the page says: two\nprinted was:\none"):
        Reader(tmp_path).type(Command("echo one", ("one", "two")))


@pytest.mark.parametrize(
    ("expected", "missing"),
    [
        (["a", "c"], None),
        (["b...", "c"], None),
        (["c", "a"], "a"),
        (["a", "a"], "a"),
        (["b"], "b"),
    ],
)
def test_lines_come_in_their_order_and_dots_stand_for_anything(
    expected: list[str], missing: str | None
) -> None:
    """Each line is a whole one, later than the one before."""
    assert missing_line(expected, "a\nb and more\nc  \n") == missing
