"""Rule files that are activated when they change: whole, once, and never with a mistake in them."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from responder.engine import loading
from responder.engine.loading import RuleFiles
from responder.engine.rules import ActiveRules
from responder.model.errors import StoreAwayError
from responder.model.rule import Rulebook
from responder.ports import Store
from responder.rulebook.load import read_files
from responder.rulebook.mistake import Mistakes
from responder.telemetry import Metrics, build_metrics
from tests.support.rule_surroundings import surroundings


class OneRow:
    """A store that is nothing but the active rulebook."""

    def __init__(self) -> None:
        self.activated: list[Rulebook] = []
        self.away = False

    async def activate(self, rulebook: Rulebook, origin: str) -> None:
        """The one row."""
        assert origin
        if self.away:
            raise StoreAwayError("the database is away")
        self.activated.append(rulebook)

    async def active_hash(self) -> str | None:
        """Of the newest."""
        return self.activated[-1].hash if self.activated else None

    async def active_rulebook(self) -> Rulebook | None:
        """The newest."""
        return self.activated[-1] if self.activated else None


class Watched:
    """A folder of rule files, watched by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = OneRow()
        self.metrics: Metrics = build_metrics("test")
        store = cast("Store", self.store)
        self.active = ActiveRules(store)
        self.files = RuleFiles([folder], surroundings(), store, self.active, self.metrics)

    def write(self, name: str, version: str) -> None:
        """One file with one rule of its own."""
        (self.folder / name).write_text(
            f"rules:\n  - name: {Path(name).stem}-{version}\n    match: 'alertname = \"{name}\"'\n"
            f"    severity: P3\n    escalate: true\n"
        )

    def rounds(self, number: int = 1) -> None:
        """So many looks."""
        for _ in range(number):
            asyncio.run(self.files.round())

    @property
    def names(self) -> list[list[str]]:
        """The rules of each activation."""
        return [sorted(rule.name for rule in book.rules) for book in self.store.activated]

    @property
    def failures(self) -> float:
        """What the metric has counted."""
        return float(self.metrics.rulebook_load_failures._value.get())


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    one = Watched(tmp_path)
    one.write("a.yaml", "1")
    one.write("b.yaml", "1")
    asyncio.run(one.files.reload())
    assert one.names == [["a-1", "b-1"]]
    return one


def test_what_changes_is_activated_when_it_has_stood_still_for_a_round(watched: Watched) -> None:
    """Once, and matched by from then on; what is written anew with the same words is no change."""
    watched.rounds(3)
    watched.write("a.yaml", "1")
    watched.rounds(3)
    assert len(watched.names) == 1
    watched.write("a.yaml", "2")
    watched.rounds()
    assert len(watched.names) == 1, "who writes it may not be done"
    watched.rounds(3)
    assert watched.names[1:] == [["a-2", "b-1"]]
    assert watched.active.rulebook == watched.store.activated[-1]


def test_files_that_are_written_one_after_the_other_are_taken_together(watched: Watched) -> None:
    """No half of them becomes the rulebook, nor does what is taken back before it stood still."""
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        watched.write(name, "2")
        watched.rounds()
    assert len(watched.names) == 1
    watched.rounds()
    assert watched.names[1:] == [["a-2", "b-2", "c-2"]]
    watched.write("a.yaml", "3")
    watched.rounds()
    watched.write("a.yaml", "2")
    watched.rounds()
    watched.write("a.yaml", "3")
    watched.rounds()
    assert len(watched.names) == 2
    watched.rounds()
    assert watched.names[2:] == [["a-3", "b-2", "c-2"]]


def test_a_file_that_comes_or_goes_is_a_change_too(watched: Watched) -> None:
    """So is another name for the same words: rules are tried in the order of their files."""
    (watched.folder / "b.yaml").unlink()
    watched.rounds(2)
    assert watched.names[1:] == [["a-1"]]
    (watched.folder / "a.yaml").rename(watched.folder / "z.yaml")
    watched.rounds(2)
    assert len(watched.names) == 3
    [rule] = watched.store.activated[-1].rules
    assert rule.position.file.endswith("z.yaml")


def test_a_mistake_is_refused_once_and_the_old_rules_stay(watched: Watched) -> None:
    """With the mistake to be read as long as it stands there; the mended files are taken."""
    old = watched.active.rulebook
    (watched.folder / "b.yaml").write_text("rules: [{name: b}]\n")
    watched.rounds(5)
    assert (len(watched.names), watched.failures) == (1, 1.0)
    assert watched.active.rulebook == old
    assert any("b.yaml" in str(mistake) for mistake in watched.files.mistakes)
    watched.write("b.yaml", "2")
    watched.rounds(2)
    assert (watched.names[1:], watched.failures) == ([["a-1", "b-2"]], 1.0)
    assert watched.files.mistakes == ()


def test_files_that_cannot_be_read_are_a_mistake_and_the_old_rules_stay(watched: Watched) -> None:
    """A folder that is empty for a while, as during a deployment, empties no rulebook."""
    for name in ("a.yaml", "b.yaml"):
        (watched.folder / name).unlink()
    watched.rounds(3)
    assert (len(watched.names), watched.failures) == (1, 1.0)
    assert len(watched.active.rulebook.rules) == 2
    assert [one.text for one in watched.files.mistakes] == ["there is no rule file in this folder"]


def test_what_the_database_did_not_take_is_tried_again(watched: Watched) -> None:
    """It counts as no mistake; and what was refused before is not forgotten by it."""
    watched.write("a.yaml", "2")
    watched.store.away = True
    watched.rounds()
    for _ in range(2):
        with pytest.raises(StoreAwayError):
            watched.rounds()
    assert watched.failures == 0
    watched.store.away = False
    watched.rounds()
    assert watched.names[1:] == [["a-2", "b-1"]]


def test_a_folder_that_is_exchanged_while_it_is_read_is_read_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file of the old folder and one of the new are no rulebook, however often that is what is read."""
    old = read_files([watched.folder], Mistakes())
    watched.write("a.yaml", "2")
    watched.write("b.yaml", "2")
    new = read_files([watched.folder], Mistakes())
    by_name = sorted(old), sorted(new)
    looks = iter([[by_name[0][0], by_name[1][1]], [by_name[1][0], by_name[0][1]]])
    monkeypatch.setattr(loading, "read_files", lambda paths, found: next(looks, read_files(paths, found)))
    asyncio.run(watched.files.reload())
    assert watched.names[1:] == [["a-2", "b-2"]]


async def test_two_that_load_do_it_one_after_the_other(tmp_path: Path) -> None:
    """What was read first is not activated last: the newest files stay."""
    watched = Watched(tmp_path)
    watched.write("a.yaml", "1")
    first_reads = asyncio.Event()
    take = watched.store.activate

    async def slow(rulebook: Rulebook, origin: str) -> None:
        """The first one is held up on its way to the database."""
        if not first_reads.is_set():
            first_reads.set()
            for _ in range(50):
                await asyncio.sleep(0.01)
        await take(rulebook, origin)

    watched.store.activate = slow  # type: ignore[method-assign]  # a held-up database
    first = asyncio.create_task(watched.files.reload())
    await first_reads.wait()
    watched.write("a.yaml", "2")
    await asyncio.gather(first, watched.files.reload())
    assert watched.names == [["a-1"], ["a-2"]]


async def test_of_two_that_follow_the_later_answer_stays(tmp_path: Path) -> None:
    """What the first was told of is an older rulebook by the time that it is read."""
    watched = Watched(tmp_path)
    watched.write("a.yaml", "1")
    await watched.files.reload()
    old = watched.store.activated[-1]
    watched.write("a.yaml", "2")
    [*_] = await watched.files.reload()
    new = watched.store.activated[-1]
    watched.active.stand_in(Rulebook(rules=()))
    hashes, asked = iter([old, new]), asyncio.Event()

    async def active_hash() -> str:
        return next(hashes).hash

    async def active_rulebook() -> Rulebook:
        if asked.is_set():
            return new
        asked.set()
        for _ in range(50):
            await asyncio.sleep(0.01)
        return old

    watched.store.active_hash = active_hash  # type: ignore[method-assign]  # answers of two moments
    watched.store.active_rulebook = active_rulebook  # type: ignore[method-assign]
    first = asyncio.create_task(watched.active.follow())
    await asked.wait()
    await asyncio.gather(first, watched.active.follow())
    assert watched.active.rulebook == new
