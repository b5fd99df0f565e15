"""Files of approximate indexes: damaged ones, those of others, and what becomes of them when a library changes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sightsound
from approximate_indexes import SPACE, add, clustered, files_read, flip, found, index_of, library_of, make_small, paths
from library_files import raw_database
from sightsound import (
    Library,
    LibraryError,
    Session,
    build_index,
    check,
    compact,
    copy_library,
    forget_space,
    stats,
)
from sightsound.library.approximate import list_files, measuring
from sightsound.library.store import user_key


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    make_small(monkeypatch, tmp_path)
    monkeypatch.setattr(measuring, "HELD_OUT", 5)


@pytest.fixture
def reads(monkeypatch):
    """The files that FAISS was given to read."""
    return files_read(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return library_of(1300, tmp_path_factory.mktemp("made"))


@pytest.fixture
def where(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "lib"))


# -- files that are not ours -------------------------------------------------------------------------------------


def flip_and_hide(file):
    """In place, with the times of before."""
    before = file.stat()
    time.sleep(0.02)
    flip(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_copy(file):
    before = file.stat()
    shutil.copy2(file, file.with_name("copy"))
    os.replace(file.with_name("copy"), file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(file):
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def swap(file):
    """A sound index of this user, of other rows."""
    with Library(file.parent.parent / "other", create=True) as other:
        add(other, clustered(1000, seed=4))
        build_index(other, kind="ivf-sq8")
    os.replace(index_of(file.parent.parent / "other"), file)


def change_row(column, value):
    def change(file):
        with raw_database(file.parent) as db:
            db.execute(f"UPDATE indexes SET {column} = {value}")

    change.__name__ = f"{column} {value}"
    return change


def cut(file):
    os.truncate(file, 1000)


def emptied(file):
    os.truncate(file, 0)


def no_key(file):
    user_key.key_file().unlink()


def another_key(file):
    user_key.key_file().write_bytes(b"0" * 32)


def public_key(file):
    user_key.key_file().chmod(0o644)


DAMAGE = [
    flip,
    flip_and_hide,
    replace_by_copy,
    link,
    pipe,
    swap,
    cut,
    emptied,
    Path.unlink,
    change_row("signature", "zeroblob(32)"),
    change_row("signature", "'text'"),
    change_row("kind", "'hnsw'"),
    change_row("kind", "7"),
    change_row("report", "replace(report, '9', '8') || ' '"),
    change_row("stamp", "replace(stamp, '1200', '1199')"),
    change_row("name", "'../../elsewhere'"),
    change_row("name", "X'00ff'"),
    no_key,
    another_key,
    public_key,
]


QUICK_IF_OPEN = ("flip_and_hide", "replace_by_copy", "cut", "unlink", "signature zeroblob(32)", "another_key")
"""For a library that is open, the other damage is like one of these."""


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        pytest.param(
            damage,
            again,
            id=f"{damage.__name__}-{'open' if again else 'opened anew'}",
            marks=[pytest.mark.slow] * (again and damage.__name__ not in QUICK_IF_OPEN),
        )
        for damage in DAMAGE
        for again in (False, True)
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_never_read(where, damage, again, reads, caplog):
    query = clustered(1, seed=11)
    build_index(where, kind="ivf-sq8")
    with Library(where) as library:
        exact = found(library, query, exact=True)
        if again:
            assert found(library, query) and library.approximated
        damage(index_of(where))
        reads.clear()
        caplog.clear()
        if again and damage not in (no_key, another_key, public_key):  # what is open stays so without the key
            assert found(library, query) == exact and not library.approximated
    with Library(where) as library:
        assert found(library, query) == exact and not library.approximated
        assert found(library, query) == exact
        text = (
            "its index of net.made was not built here by you, or has changed, and is not used; `sightsound index-build`"
        )
        assert text in caplog.text
    assert not reads
    assert check(where) == []


@pytest.mark.parametrize(
    "report", ["{}", "[]", "x", '{"recall": {}, "parameters": {}}', '{"recall": {"10": "\\u001b"}}']
)
def test_odd_values_of_somebody_else_are_damage_in_one_line(where, report, command):
    build_index(where, kind="ivf")
    with raw_database(where) as db:
        db.execute("UPDATE indexes SET report = ?", (report,))
    done = command("stats", "-l", where)
    assert done.returncode == 2 and "damaged" in done.stderr and len(done.stderr.splitlines()) == 1
    with Library(where) as library:
        assert found(library, clustered(1)) and not library.approximated


def test_an_index_of_somebody_else_is_not_read(where, reads, monkeypatch, tmp_path):
    build_index(where, kind="ivf-sq8")
    monkeypatch.setattr(user_key, "key_file", lambda: tmp_path / "another" / "index.key")
    reads.clear()
    with Library(where) as library:
        assert not library.indexes()[SPACE].usable
        assert paths(library, clustered(1)[0]) == paths(library, clustered(1)[0], exact=True)
    assert not reads
    build_index(where, kind="ivf-sq8")
    with Library(where) as library:
        assert library.indexes()[SPACE].usable and paths(library, clustered(1)[0]) and library.approximated


def test_the_key_is_of_this_user_alone_and_not_in_the_library(where, tmp_path):
    build_index(where, kind="ivf")
    file = tmp_path / "data" / "index.key"
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_size == 32
    assert [path.name for path in file.parent.iterdir()] == ["index.key"]
    assert not any(file.read_bytes() in path.read_bytes() for path in where.iterdir())
    key = file.read_bytes()
    build_index(where, kind="ivf")
    assert file.read_bytes() == key
    file.chmod(0o666)
    with pytest.raises(LibraryError, match="expected 32 bytes that only you can read"):
        build_index(where, kind="ivf")


# -- upkeep ------------------------------------------------------------------------------------------------------


def test_an_index_that_does_not_fit_any_more_is_dropped(where):
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        first = index_of(where)
        build_index(library, kind="ivf")
        assert index_of(where) != first, "one takes the place of the other"
        assert index_of(where).stat().st_size < stats(where).bytes
        compact(where)
        assert index_of(where), "nothing was removed"
        with library.writing() as writer:
            writer.forget([5])
        assert found(library, clustered(1)) and library.approximated
        compact(where)
        assert not list(where.glob("library.*.index")) and library.indexes() == {}
        assert found(library, clustered(1)) and not library.approximated
        build_index(library, kind="ivf")
        forget_space("net.made", where)
        assert not list(where.glob("library.*.index")) and check(where) == []


def test_a_copy_has_no_index_and_a_copied_folder_an_unused_one(where, tmp_path, reads):
    build_index(where, kind="ivf-sq8")
    copy_library(where, tmp_path / "second")
    shutil.copytree(where, tmp_path / "third")
    reads.clear()
    with Library(tmp_path / "second") as second, Library(tmp_path / "third") as third:
        assert second.indexes() == {} and not list((tmp_path / "second").glob("*.index"))
        assert not third.indexes()[SPACE].usable
        assert found(second, clustered(1)) == found(third, clustered(1)) and not third.approximated
        assert check(tmp_path / "second") == check(tmp_path / "third") == [] == reads
        build_index(third, kind="ivf-sq8")
        assert found(third, clustered(1)) and third.approximated
    with Library(where) as library:
        assert found(library, clustered(1)) and library.approximated


def test_check_finds_an_index_whose_content_is_not_what_was_signed(where, monkeypatch):
    build_index(where, kind="ivf-sq8")
    with raw_database(where) as db:
        (stamp,) = db.execute("SELECT stamp FROM indexes").fetchone()
        other = json.dumps({**json.loads(stamp), "digest": "0" * 64})
        key = user_key.user_key()
        from sightsound.library.store.index_files import StoredIndex

        row = list(db.execute("SELECT space, name, kind, stamp, report FROM indexes").fetchone())
        row[3] = other
        with index_of(where).open("rb") as file:
            signed = StoredIndex(*row).signed(key, file.fileno())
        db.execute("UPDATE indexes SET stamp = ?, signature = ?", (other, signed.signature))
    assert [str(problem) for problem in check(where)] == [
        "the index of net.made has changed; run `sightsound index-build`"
    ]


KILLED = """
import sys
from pathlib import Path
from sightsound import build_index
from sightsound.library.approximate import list_files, measuring, measuring
from sightsound.library.store import user_key
user_key.key_file = lambda: Path(sys.argv[2])
list_files.GATHERED_BYTES = 30_000
print("begins", flush=True)
build_index(sys.argv[1], kind="ivf-sq8", progress=False)
"""


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_a_sound_library(where, tmp_path):
    words = [sys.executable, "-c", KILLED, where, tmp_path / "data" / "index.key"]
    before, states = sorted(where.glob("library.*")), set()
    for delay in np.linspace(0.3, 2.0, 5):
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert running.stdout.readline() == b"begins\n"
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=20)
        states.add(any(path.suffix == ".part" for path in where.iterdir()))
        assert check(where) == []
        with Library(where) as library:
            assert found(library, clustered(1), exact=True)
            with library.writing():
                pass
        left = [
            path for path in where.glob("library.*") if path.suffix not in (".index",) and "sqlite" not in path.name
        ]
        assert left == [path for path in left if path in before]
        with raw_database(where) as db:
            assert len(list(where.glob("*.index"))) == db.execute("SELECT count(*) FROM indexes").fetchone()[0]
    assert True in states, "none was killed while it wrote"


def test_a_file_that_the_database_does_not_know_is_deleted_by_the_next_writer(where):
    orphan = where / "library.0123456789abcdef.index"
    orphan.write_bytes(b"x")
    build_index(where, kind="ivf")
    assert not orphan.exists() and index_of(where)


def test_a_build_that_fails_keeps_the_index_there_was(where, monkeypatch):
    build_index(where, kind="ivf")
    before = index_of(where), index_of(where).read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(list_files.ListFiles, "write", fail)
    with pytest.raises(LibraryError, match="lib: the index cannot be written .*; free some space"):
        build_index(where, kind="ivf-sq8")
    monkeypatch.undo()
    assert (index_of(where), index_of(where).read_bytes()) == before
    assert not list(where.glob("*.part"))


def test_while_another_process_writes_none_is_built(where):
    with Library(where) as library, library.writing(), pytest.raises(LibraryError, match="is writing to it"):
        build_index(where, kind="ivf")


def test_damaged_rows_are_refused(where):
    with Library(where) as library:
        assert found(library, clustered(1)), "which also verifies the copy"
    file = max(where.glob("library.*.f32"), key=lambda path: path.stat().st_size)
    rows = np.memmap(file, np.float32, "r+")
    rows[1000] = np.nan
    rows.flush()
    with pytest.raises(LibraryError, match="damaged .a vector is not finite"):
        build_index(where, kind="ivf")
    assert not list(where.glob("*.index"))


def test_a_session_uses_the_index(where):
    with Session(where) as session:
        build_index(session.library, kind="ivf-sq8")
        assert session.library.indexes()[SPACE].usable
        assert session.library.search({SPACE: clustered(1)}) and session.library.approximated
        assert sightsound.stats(session.library).indexes["net.made"].rows == 1300
