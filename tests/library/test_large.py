"""What a command reads and keeps grows with the items of a library no more than it has to."""

from __future__ import annotations

import contextlib
import hashlib
import json

import numpy as np
import pytest

from sightsound import ClassList, Filter, Item, Library, list_items
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space

SPACE = Space("net.made", json.dumps({"dim": 4, "modality": "sound", "stages": []}))
CLASSES = ClassList("made", ("bark", "song"))


def made(where, items):
    """A library of recordings of two windows, every second one with a label; all of them have the class `bark`."""
    random = np.random.default_rng(0)
    with Library(where, create=True) as library, library.writing() as writer:
        id_ = writer.space_id(SPACE)
        writer.keep_scores(id_, "sigmoid", CLASSES)
        for number in range(items):
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


@pytest.fixture
def sizes(tmp_path):
    """Two libraries, of which one is eight times as large as the other."""
    return [made(tmp_path / "small", 100), made(tmp_path / "large", 800)]


@contextlib.contextmanager
def counted(library):
    """Count hundreds of steps of SQLite for reading a library."""
    steps = []
    connection = library._database._connection
    connection.set_progress_handler(lambda: steps.append(1) and 0, 100)
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
