"""What a command reads and keeps grows with the items of a library no more than it has to."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json

import numpy as np
import pytest

from sightsound import ClassList, Filter, Item, Library, check, compact, forget, list_items
from sightsound.classify import export, tag_table
from sightsound.contract.results import Classified, Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library import space_reader
from sightsound.library.store import items, row_table

SPACE = Space("net.made", json.dumps({"dim": 4, "modality": "sound", "stages": []}))
CLASSES = ClassList("made", ("bark", "song"))


def made(where, count):
    """A library of recordings of two windows, every second one with a label; all of them have the class `bark`."""
    random = np.random.default_rng(0)
    with Library(where, create=True) as library, library.writing() as writer:
        id_ = writer.space_id(SPACE)
        writer.keep_scores(id_, "sigmoid", CLASSES)
        for number in range(count):
            item = Item("/made", f"{number % 10}/{number}.wav")
            own = writer.items.record(item, (1, 1), hashlib.sha256(item.path.encode()).digest(), "sound")
            spans = np.array([[0.0, 1], [1, 2]])
            rows = random.standard_normal((2, 4), dtype=np.float32)
            scores = np.array([[0.9, number % 2], [0.5, 0]], np.float32)
            writer.add_rows(Rows(item, spans, rows, scores), id_)
            writer.outcomes.record(Outcome(item, "ok", seconds=2.0), id_)
            if number % 2:
                writer.items.label(own, "odd", [str(number % 5)])
    return where


LOOKS = (5, 29, 58)
"""When the objects that are alive are counted, which takes long in a process that has many."""


def alive(kind):
    """The number of objects of a kind that are in memory.

    `isinstance` would ask a weak proxy, of which other tests leave some, for the object that is gone.
    """
    return sum(issubclass(type(each), kind) for each in gc.get_objects())


def items_of(library, where=None):
    """The items of a library with their rows and seconds."""
    return [(each.items[0], *each.read()) for each in library.stored_items(SPACE, where)]


@pytest.fixture
def sizes(tmp_path):
    """Two libraries, of which one is eight times as large as the other."""
    return [made(tmp_path / "small", 100), made(tmp_path / "large", 800)]


@contextlib.contextmanager
def counted(library, every=100):
    """Count the steps of SQLite, or hundreds of them, for reading a library."""
    steps = []
    connection = library._database._connection
    connection.set_progress_handler(lambda: steps.append(1), every)
    yield steps
    connection.set_progress_handler(None, 0)


def test_a_list_by_tags_takes_steps_in_proportion_to_the_items(sizes):
    found = []
    for where in sizes:
        with Library(where) as library, counted(library) as steps:
            tagged = list(list_items(library, where=Filter(tags=(frozenset(["song"]),))))
            assert len(tagged) == len(library) // 2
        found.append(len(steps))
    assert 0 < found[1] < 12 * found[0]


def test_a_file_is_forgotten_without_reading_all_items(sizes):
    found = []
    for where in sizes:
        with Library(where) as library, counted(library, every=1) as steps:
            assert [item.path for item in forget("/made/3/3.wav", library)] == ["3/3.wav"]
        found.append(len(steps))
    assert 0 < found[1] < 2 * found[0]


def test_nothing_is_forgotten_where_no_path_is_named(sizes):
    assert forget([], sizes[0]) == []
    with Library(sizes[0]) as library:
        assert len(library) == 100


def test_a_writer_keeps_few_of_the_items_that_it_records(tmp_path, monkeypatch):
    """A thousand bytes for each file that is indexed would be a gigabyte for a million."""
    monkeypatch.setattr(items, "_MOST_IDS", 7)
    made(tmp_path / "lib", 20)
    with Library(tmp_path / "lib") as library, library.writing() as writer:
        new = [Item("/made", f"new/{number}.wav") for number in range(50)]
        ids = [writer.items.record(item, (1, 1), item.path.encode().ljust(32), "sound") for item in new]
        assert [writer.items.id(item) for item in new] == ids
        assert len(writer.items._ids) <= 7 and not writer.items._renamed._unexamined


@pytest.mark.parametrize("read", ["contents_in", "vectors_in", "scores_in", "stored_items"])
def test_rows_are_read_with_few_items_at_a_time(tmp_path, monkeypatch, read):
    monkeypatch.setattr(space_reader, "_PAGE", 10)
    with Library(made(tmp_path / "lib", 60)) as library:
        most, count = 0, 0
        for _ in getattr(library, read)(SPACE):
            count += 1
            most = max(most, alive(Item) if count in LOOKS else 0)
        assert count == 60
        assert most < 35


def test_items_come_with_their_rows_in_the_order_of_their_ids(tmp_path):
    made(tmp_path / "lib", 30)
    with Library(tmp_path / "lib") as library:
        with library.writing() as writer:  # an older item gets a newer content
            item = library.item(3)
            writer.items.record(item, (2, 2), b"n" * 32, "sound")
            id_ = writer.space_id(SPACE)
            writer.add_rows(Rows(item, np.array([[0.0, 1]]), np.ones((1, 4), np.float32)), id_)
            writer.outcomes.record(Outcome(item, "ok", seconds=1.0), id_)
        found = items_of(library)
        assert [item.id for item, _, _ in found] == list(range(1, 31))
        for item, rows, spans in found:
            expected, seconds = library.vectors(SPACE, library.content(item.id))
            assert np.array_equal(rows, expected) and np.array_equal(spans, seconds)
        where = Filter(labels=("odd=1",))
        assert [item.id for item, _, _ in items_of(library, where)] == [2, 12, 22]


def test_what_was_forgotten_one_after_the_other_is_one_range(tmp_path):
    where = made(tmp_path / "lib", 60)
    forget([f"/made/{number % 10}/{number}.wav" for number in range(20, 50)], where)
    with Library(where) as library:
        assert len(items_of(library)) == 30
        (segment,) = library._reader._rows[1]._cached.values()
        assert segment.removed == [(40, 60)]


def test_compact_reads_some_runs_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(row_table, "_RUNS", 7)
    where = made(tmp_path / "lib", 60)
    forget("/made/3", where)
    with Library(where) as library:
        before = {item: rows for item, rows, _ in items_of(library)}
    assert compact(where) > 0 and check(where) == []
    with Library(where) as library:
        after = {item: rows for item, rows, _ in items_of(library)}
    assert len(after) == 54 and after.keys() == before.keys()
    assert all(np.array_equal(rows, before[item]) for item, rows in after.items())


def test_a_list_by_paths_reads_only_what_belongs_to_these(tmp_path):
    with Library(made(tmp_path / "lib", 800)) as library:
        steps = []
        for where in (Filter(paths=("3/*",)), Filter()):
            with counted(library) as taken:
                assert len(list(list_items(library, where=where))) == (80 if where.paths else 800)
            steps.append(len(taken))
        assert 0 < steps[0] < steps[1] / 3


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_is_tagged_in_a_library_is_written_as_it_is_read(tmp_path, monkeypatch, command, form):
    where, seen, makers = made(tmp_path / "lib", 60), [], {"csv": "_csv_rows", "json": "_json_object"}
    make = getattr(export, makers[form])

    def counting(result):
        seen.append(alive(Classified) if len(seen) in LOOKS else 0)
        return make(result)

    monkeypatch.setattr(export, makers[form], counting)
    done = command("tag", "--library", where, f"--{form}", "-o", tmp_path / f"t.{form}", "--threshold", "0.8")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / f"t.{form}").read_text()
    found = json.loads(text) if form == "json" else text.splitlines()[1:]
    assert len(found) >= 60 and len(seen) == 60
    assert 0 < max(seen) < 10


def test_what_a_probe_predicts_for_a_library_is_written_as_it_is_computed(tmp_path, monkeypatch, command):
    where, probe, seen, make = made(tmp_path / "lib", 60), tmp_path / "odd.probe", [], tag_table._prediction_row
    fit = ("probe", "fit", "--library", where, "--model", "net.made", "--strength", "1", "-o", probe)
    assert command(*fit).returncode == 0

    def counting(result, best):
        seen.append(alive(Classified) if len(seen) in LOOKS else 0)
        return make(result, best)

    monkeypatch.setattr(tag_table, "_prediction_row", counting)
    done = command("probe", "predict", probe, "--library", where, "-o", tmp_path / "t.csv")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 61 and len(seen) == 60
    assert 0 < max(seen) < 10
