"""The writer of a library: interrupts, files that are left over, and segments that are used again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import zlib

import numpy as np
import pytest

from library_files import raw_database
from sightsound import Item, Library, check, compact, forget_space, migrate
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library import space_rows
from sightsound.library.store import database, segment_file, segment_pool, segments, transaction
from sightsound.library.store.transaction import Transaction

SPACE = Space("net.made", json.dumps({"dim": 4, "modality": "image", "stages": []}))


def hash_of(number):
    return hashlib.sha256(str(number).encode()).digest()


def begin(writer, number, count=1, space=SPACE):
    """Add rows of a content that is under way; return its item."""
    item = Item("/made", str(number))
    writer.items.record(item, (0, 0), hash_of(number), "image")
    vectors = np.random.default_rng(number).normal(size=(count, space.dim)).astype(np.float32)
    spans = np.stack([np.arange(count), np.arange(count) + 1.0], axis=1)
    writer.add_rows(Rows(item, spans, vectors), writer.space_id(space))
    return item


def add(writer, number, count=1, space=SPACE):
    item = begin(writer, number, count, space)
    writer.outcomes.record(Outcome(item, "ok"), writer.space_id(space))


def made(folder, *numbers):
    with Library(folder, create=True) as library, library.writing() as writer:
        for number in numbers:
            add(writer, number)
    return folder


def counts(folder):
    with Library(folder) as library:
        assert check(library) == []
        return sum(len(rows) for space in library.spaces for _, rows, _ in library.contents_in(space))


def row_files(folder):
    return sorted(path.name for path in folder.glob("library.*") if path.suffix in (".f32", ".records"))


# -- interrupts ------------------------------------------------------------------------------------------------------


def test_an_interrupt_right_after_a_commit_does_not_delete_the_rows_of_that_commit(tmp_path, monkeypatch):
    commit = Transaction.commit

    def interrupted(self):
        commit(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "lib", 1, 2)
    assert counts(tmp_path / "lib") == 2
    made(tmp_path / "lib", 3)
    assert counts(tmp_path / "lib") == 3


def test_an_interrupt_right_after_a_migration_does_not_delete_its_rows(tmp_path, monkeypatch, old_library):
    def interrupted(self):
        if self.folder == old_library:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segment_pool.SegmentPool, "committed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            migrate(old_library)
    assert counts(old_library) == 10


# -- files that are left over ----------------------------------------------------------------------------------------


def test_the_log_is_synced_before_files_of_a_killed_writer_are_deleted(tmp_path, monkeypatch):
    """A commit of a killed writer is lost with the power as long as the log is not synced, and its files are needed."""
    where = made(tmp_path / "lib", 1, 2)
    with Library(where) as library, library.writing() as writer:
        writer.forget([1])
    with Library(where):  # which keeps the log
        with monkeypatch.context() as patch:
            patch.setattr(segment_pool.SegmentPool, "committed", lambda self: None)
            compact(where)
        before = row_files(where)
        assert len(before) == 4
        synced, deleted = set(), []
        fsync, unlink = os.fsync, os.unlink

        def observe_sync(file):
            synced.add(os.fstat(file).st_ino)
            fsync(file)

        def observe_unlink(path, *rest, **named):
            if str(path).endswith((".f32", ".records")):
                assert {where.stat().st_ino, (where / "library.sqlite-wal").stat().st_ino} <= synced
                deleted.append(path)
            unlink(path, *rest, **named)

        monkeypatch.setattr(os, "fsync", observe_sync)
        monkeypatch.setattr(os, "unlink", observe_unlink)
        with Library(where) as library, library.writing():
            pass
        assert len(deleted) == 2 and len(row_files(where)) == 2
    assert counts(where) == 1


def test_files_of_a_killed_writer_do_not_count_for_the_largest_size(tmp_path):
    where = made(tmp_path / "lib", 1)
    (where / f"library.{'0' * 16}.f32").write_bytes(bytes(10_000_000))
    with Library(where) as library, library.writing(max_bytes=5_000_000) as writer:
        add(writer, 2)
    assert counts(where) == 2


def test_rows_that_were_taken_back_do_not_count_for_the_largest_size(tmp_path):
    with Library(tmp_path / "lib", create=True) as library, library.writing(max_bytes=2_000_000) as writer:
        space = writer.space_id(SPACE)
        for number in range(10):
            item = begin(writer, number, 10_000)
            writer.outcomes.record(Outcome(item, "failed"), space)
        add(writer, 100)
    assert counts(tmp_path / "lib") == 1


# -- segments --------------------------------------------------------------------------------------------------------


def test_contents_that_are_under_way_at_once_do_not_make_new_files_in_every_run(tmp_path):
    where = tmp_path / "lib"
    for run in range(6):
        with Library(where, create=True) as library, library.writing() as writer:
            items = [begin(writer, 10 * run + i) for i in range(3)]
            for item in items:
                writer.outcomes.record(Outcome(item, "ok"), writer.space_id(SPACE))
    assert counts(where) == 18
    assert len(row_files(where)) == 6


def test_a_segment_of_another_type_is_compacted_into_one_of_its_type(tmp_path):
    where = made(tmp_path / "lib", 1, 2)
    with raw_database(where) as db:
        (name,) = db.execute("SELECT name FROM segments").fetchone()
        other = "ab" * 8
        halves = np.fromfile(where / f"library.{name}.f32", "<f4").reshape(2, 4).astype("<f2")
        halves.tofile(where / f"library.{other}.f16")
        (where / f"library.{other}.records").write_bytes((where / f"library.{name}.records").read_bytes())
        db.execute("INSERT INTO segments VALUES (7, 1, ?, 'f16', 2, 0, NULL, NULL)", (other,))
        db.execute("DELETE FROM runs WHERE content = 2")
        db.execute("INSERT INTO removed VALUES (1, 1, 1, 9)")
        db.execute("INSERT INTO removed VALUES (7, 0, 1, 9)")
        sums = zlib.crc32(halves[1:].tobytes()), zlib.crc32((where / f"library.{name}.records").read_bytes()[32:])
        db.execute("INSERT INTO runs VALUES (2, 1, 0, 7, 1, 1, ?, ?, 0)", sums)
    assert counts(where) == 2
    compact(where)
    assert counts(where) == 2
    with raw_database(where) as db:
        found = db.execute("SELECT dtype, rows FROM segments ORDER BY id").fetchall()
    assert sorted(found) == [("f16", 1), ("f32", 1)]


# -- names that somebody made up -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"), [("x/../../victim", "f32"), ("x", "y/../../victim.f32"), ("x\0y", "f32"), (b"x", "f32")]
)
@pytest.mark.parametrize("space", [True, False])
def test_a_made_up_name_of_a_segment_deletes_nothing_outside_the_library(tmp_path, name, dtype, space):
    where = made(tmp_path / "lib", 1)
    victims = [tmp_path / "victim.f32", tmp_path / "victim.records"]
    for path in (where / "library.x", where / "library.x.y"):
        path.mkdir()
    for victim in victims:
        victim.write_text("mine")
    with raw_database(where) as db:
        db.execute("INSERT INTO segments (space, name, dtype, rows, inode) VALUES (1, ?, ?, 0, 0)", (name, dtype))
    if space:
        assert forget_space("net.made", where) == 1
    else:
        with Library(where) as library, library.writing() as writer:
            writer.forget([1])
    assert all(victim.exists() for victim in victims)
    assert not row_files(where)


def test_rows_of_a_content_in_two_files_stay_in_order_when_the_first_file_is_compacted(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 16 * 5)
    where = made(tmp_path / "lib", 1, 2)
    with Library(where) as library, library.writing() as writer:
        add(writer, 3, 6)
        expected = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    with Library(where) as reader:
        for forgotten in ((), (1,), (2,)):
            with reader.writing() as writer:
                writer.forget(forgotten)
            compact(where)
            found = {items[0].path: (rows, spans) for items, rows, spans in reader.contents_in(SPACE)}
            np.testing.assert_allclose(found["3"][0], expected, rtol=1e-6)
            assert found["3"][1][:, 0].tolist() == list(range(6))
    assert counts(where) == 6


def test_compact_does_not_wait_for_a_reader_that_stays(tmp_path, monkeypatch):
    """Where it had to, it would wait for ten minutes here; it may try for half a second."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 600)
    monkeypatch.setattr(transaction, "BUSY_SECONDS", 600)
    where = made(tmp_path / "lib", 1, 2)
    with Library(where) as library, library.writing() as writer:
        writer.forget([1])
    with contextlib.closing(sqlite3.connect(where / "library.sqlite")) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM items").fetchone() == (1,)
        compaction = threading.Thread(target=compact, args=[where], daemon=True)
        compaction.start()
        compaction.join(60)
        assert not compaction.is_alive(), "it has ended while the reader is there"
        assert reader.in_transaction and check(where) == []


def test_a_reader_looks_only_at_the_segments_that_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 16 * 5)
    where = made(tmp_path / "lib", *range(23))
    with Library(where) as reader:
        assert len(reader.search({SPACE: np.ones((1, 4), np.float32)}, 100)) == 23
        looked, runs_of = [], space_rows._runs
        monkeypatch.setattr(
            space_rows, "_runs", lambda cached: looked.append(cached.segment.facts.id) or runs_of(cached)
        )
        with reader.writing() as writer:
            writer.forget([1])
            add(writer, 100)
        assert len(reader.search({SPACE: np.ones((1, 4), np.float32)}, 100)) == 23
        assert looked == [1, 5]


def test_rows_are_written_where_the_system_has_no_pwrite(tmp_path, monkeypatch):
    usual = made(tmp_path / "usual", 1, 2, 3)
    monkeypatch.setattr(segment_file, "_pwrite", segment_file._seek_and_write)
    other = made(tmp_path / "other", 1, 2)
    made(other, 3)
    assert counts(other) == 3
    for suffix in (".f32", ".records"):
        files = [next(path for path in where.glob("library.*") if path.suffix == suffix) for where in (usual, other)]
        assert files[0].read_bytes() == files[1].read_bytes()
