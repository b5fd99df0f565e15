"""Random sequences of what a writer does, against a model in plain Python: every reader sees the last commit."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightsound import Item, Library, check, copy_library
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library.store import database, segment_file, segments
from sightsound.library.store.transaction import write_lock
from sightsound.library.store.writer import Writer

SPACES = [Space(f"net.{dim}", json.dumps({"dim": dim, "modality": "image", "stages": []})) for dim in (4, 3)]
OPERATIONS = ("begin", "more", "ok", "ok", "failed", "copy outcome", "commit", "forget", "forget space", "compact")
ENDS = ("reopen", "kill", "roll back", "copy")


def rows_of(content, space):
    """The rows of a content: small integers, which are stored without loss."""
    random = np.random.default_rng(10 * content + space)
    return random.integers(-9, 10, (1 + 3 * content % 13, SPACES[space].dim)).astype(np.float32)


def hash_of(content):
    return hashlib.sha256(str(content).encode()).digest()


class Model:
    """What is in a library: the content of each item, and the outcome of items by space."""

    def __init__(self, items=(), outcomes=()):
        self.items, self.outcomes = dict(items), dict(outcomes)

    def copy(self):
        return Model(self.items, self.outcomes)

    def found(self, space):
        """Content -> the items that are found with it."""
        found = {}
        for (item, of), (content, status) in sorted(self.outcomes.items()):
            if of == space and status == "ok":
                found.setdefault(content, []).append(str(item))
        return found


class Run:
    """A library with a writer, a reader that stays open, and the models of what is written and what is committed."""

    def __init__(self, folder):
        self.folder = folder
        self.reader = Library(folder / "lib", create=True)
        self.written, self.committed = Model(), Model()
        self.open = None
        self.begin_writing()

    # -- the writer ----------------------------------------------------------------------------------------------

    def begin_writing(self):
        self.pending = {}  # (item, space) -> content, rows that are left
        self.open = contextlib.ExitStack()
        file = self.folder / "lib" / "library.sqlite"
        self.open.enter_context(write_lock(file))
        self.connection = self.open.enter_context(contextlib.closing(database.open_writing(file)))
        self.writer = Writer(self.connection, file.parent)

    def kill(self):
        """End the writer as the operating system ends a process."""
        self.writer.close()
        self.connection.close()
        self.open.close()
        self.written = self.committed.copy()

    def close(self):
        self.kill()
        self.reader.close()

    def id_of(self, space):
        return self.writer.space_id(SPACES[space])

    # -- operations ----------------------------------------------------------------------------------------------

    def do(self, operation, a, b, space):
        getattr(self, operation.replace(" ", "_"))(a, b, space)

    def begin(self, item, content, space):
        busy = any(key[0] == item or (left[0] == content and key[1] == space) for key, left in self.pending.items())
        if not busy:
            self.writer.items.record(Item("/made", str(item)), (0, 0), hash_of(content), "image")
            self.written.items[item] = content
            self.id_of(space)
            self.pending[item, space] = content, rows_of(content, space)
            self.add(item, space, 1 + content % 2)

    def add(self, item, space, count):
        content, left = self.pending[item, space]
        if len(left):
            first = len(rows_of(content, space)) - len(left)
            spans = np.arange(first, first + len(left[:count]))[:, None] + [0.0, 1.0]
            self.writer.add_rows(Rows(Item("/made", str(item)), spans, left[:count]), self.id_of(space))
            self.pending[item, space] = content, left[count:]

    def chosen(self, number):
        return sorted(self.pending)[number % len(self.pending)] if self.pending else None

    def more(self, a, b, space):
        if key := self.chosen(a):
            self.add(*key, b)

    def ok(self, a, b, space):
        if key := self.chosen(a):
            self.add(*key, 100)
            self.end(key, "ok")

    def failed(self, a, b, space):
        if key := self.chosen(a):
            self.end(key, "failed")

    def end(self, key, status):
        content, _ = self.pending.pop(key)
        item, space = key
        self.writer.outcomes.record(Outcome(Item("/made", str(item)), status), self.id_of(space))
        self.written.outcomes[key] = content, status

    def copy_outcome(self, item, content, space):
        if content not in self.written.found(space) or any(key[0] == item for key in self.pending):
            return
        named = Item("/made", str(item))
        self.writer.items.record(named, (0, 0), hash_of(content), "image")
        self.written.items[item] = content
        if self.writer.outcomes.copy(named, hash_of(content), self.id_of(space)):  # None if it was of this item alone
            self.written.outcomes[item, space] = content, "ok"

    def settle(self):
        for key in sorted(self.pending):
            self.end(key, "failed")

    def forget(self, a, b, space):
        self.settle()
        gone = {item for item in self.written.items if a <= item <= b}
        ids = [self.writer.items.find(Item("/made", str(item))).id for item in gone]
        assert self.writer.forget([*ids, *ids, 10**6]) == len(gone)
        self.written.items = {item: content for item, content in self.written.items.items() if item not in gone}
        self.written.outcomes = {key: found for key, found in self.written.outcomes.items() if key[0] not in gone}

    def forget_space(self, a, b, space):
        self.settle()
        expected = sum(len(rows_of(content, space)) for content in self.written.found(space))
        assert self.writer.forget_space(SPACES[space]) == expected
        self.written.outcomes = {key: found for key, found in self.written.outcomes.items() if key[1] != space}

    def commit(self, a=0, b=0, space=0):
        self.writer.commit()
        self.committed = self.written.copy()

    def compact(self, a, b, space):
        self.settle()
        self.writer.compact()
        self.commit()

    # -- what ends a writer --------------------------------------------------------------------------------------

    def end_writing(self, how):
        if how == "reopen":
            self.commit()
        if how == "roll back":
            self.writer.rollback()
        self.kill()
        if how == "copy":
            copy_library(self.folder / "lib", self.folder / "copy", progress=False)
            self.compare(self.folder / "copy")
            shutil.rmtree(self.folder / "copy")
        self.begin_writing()

    # -- readers -------------------------------------------------------------------------------------------------

    def compare(self, *folders):
        for folder in folders:
            with Library(folder) as library:
                self.compare_reader(library)
                assert check(library) == []
        self.compare_reader(self.reader)

    def compare_reader(self, library):
        there = {space.name: space for space in library.spaces}
        for number, space in enumerate(SPACES):
            expected = self.committed.found(number)
            if space.name not in there:
                assert not expected
                continue
            by_items = sorted((sorted(items), content) for content, items in expected.items())
            found = sorted(
                (sorted(item.path for item in items), rows.tolist(), spans[:, 0].tolist())
                for items, rows, spans in library.contents_in(space)
            )
            for (items, content), (others, rows, starts) in zip(by_items, found, strict=True):
                assert items == others
                np.testing.assert_allclose(rows, rows_of(content, number), atol=1e-5)
                assert starts == list(range(len(rows)))
            hits = library.search({space: np.ones((1, space.dim), np.float32)}, 1000)
            assert sorted(hit.item.path for hit in hits) == sorted(itertools.chain(*expected.values()))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)),
        st.sampled_from(ENDS),
    ),
    min_size=5,
    max_size=40,
)


def run(steps, most, buffer):
    """Do all steps. A segment has at most `most` bytes, and `buffer` bytes of rows wait to be written."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(segments, "MAX_BYTES", most)
        patch.setattr(segment_file, "_BUFFER_BYTES", buffer)
        with contextlib.closing(Run(Path(folder))) as library:
            for step in steps:
                if step in ENDS:
                    library.end_writing(step)
                else:
                    library.do(*step)
                library.compare(Path(folder) / "lib")


@pytest.mark.parametrize("examples", [15, pytest.param(1000, marks=pytest.mark.slow)])
def test_readers_see_what_a_model_has_committed(examples):
    checks = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    checks(given(STEPS, st.sampled_from([16, 80, 2**20]), st.sampled_from([0, 100, 2**23]))(run))()
