"""The database file: what it contains, which files are refused, older formats, and media that cannot be written."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from library_files import POSIX, all_rows, file_bytes, mount, public_copy, raw_database
from made import ordinary_user, write_sound
from sightsound import Library, LibraryError, check, forget_missing, index, search, stats
from sightsound.library.store import database, schema, validation

MODELS = ("colours.tiny", "loudness.tiny")


def test_the_file_has_the_documented_pragmas_and_ids_that_are_never_reused(where):
    with raw_database(where) as db:
        values = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "application_id", "user_version", "journal_mode")
        }
        tables = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert values == {
        "page_size": 4096,
        "application_id": 0x73736C62,
        "user_version": schema.FORMAT,
        "journal_mode": "wal",
    }
    for table in ("roots", "contents", "items", "spaces", "segments"):
        assert "AUTOINCREMENT" in tables[table], table


def test_a_library_that_is_not_open_is_a_database_and_some_files_for_each_space(where):
    names = [path.name.split(".") for path in where.iterdir() if not path.name.startswith("writer.")]
    assert {first for first, *_ in names} == {"library"}
    assert sorted(last for *_, last in names) == ["f32", "f32", "records", "records", "scores", "sqlite"]


@POSIX
@pytest.mark.parametrize(
    "name", ["a b?c#d%41&mode=memory", os.fsdecode(b"caf\xe9"), "two\nlines", "[/x]", ":memory:", "file:x"]
)
def test_a_library_may_have_any_name(zoo, tiny, tmp_path, name):
    if sys.platform == "darwin" and not name.isprintable():
        pytest.skip("the file system takes UTF-8 names only")
    index(zoo, tmp_path / name, models=MODELS, host=tiny)
    assert index(zoo, tmp_path / name, models=MODELS, host=tiny).counts == {"unchanged": 5}
    with Library(tmp_path / name) as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2
        assert check(library) == []
    assert (tmp_path / name / "library.sqlite").is_file()


# -- files that are not a library --------------------------------------------------------------------------------------


def test_opening_for_reading_does_not_create_a_library(tmp_path):
    with pytest.raises(LibraryError, match=r"no library at .*nowhere; make one: sightsound index PATH --library"):
        Library(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a sightsound library"),
        (
            b"hello, this is a text and not a database, and a long one at that" * 50,
            "expected a library, got another kind of file",
        ),
        (b"SQLite format 3\0" + bytes(100), "library"),
    ],
    ids=["empty", "text", "head"],
)
@pytest.mark.parametrize("writing", [False, True])
def test_a_file_that_is_not_a_database_is_refused(tmp_path, zoo, tiny, data, words, writing):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.sqlite").write_bytes(data)
    with pytest.raises(LibraryError, match=words) as caught:
        index(zoo, tmp_path / "lib", models=MODELS, host=tiny) if writing else Library(tmp_path / "lib")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "lib" / "library.sqlite").read_bytes() == data


def test_another_sqlite_database_is_refused_and_unchanged(tmp_path, zoo, tiny):
    (tmp_path / "lib").mkdir()
    with raw_database(tmp_path / "lib") as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    before = (tmp_path / "lib" / "library.sqlite").read_bytes()
    for work in (lambda: Library(tmp_path / "lib"), lambda: index(zoo, tmp_path / "lib", models=MODELS, host=tiny)):
        with pytest.raises(LibraryError, match="expected a sightsound library, got another SQLite database"):
            work()
    assert (tmp_path / "lib" / "library.sqlite").read_bytes() == before


@pytest.mark.parametrize("format_", [0, -3])
def test_a_format_that_no_library_has_is_refused_as_damage(where, zoo, tiny, format_):
    with raw_database(where) as db:
        db.execute(f"PRAGMA user_version = {format_}")
    before = file_bytes(where)
    for work in (lambda: Library(where), lambda: index(zoo, where, models=MODELS, host=tiny)):
        with pytest.raises(LibraryError, match=f"lib: damaged, its format is {format_}; restore it from a copy"):
            work()
    assert file_bytes(where) == before


def test_a_newer_format_is_refused(where, zoo, tiny):
    with raw_database(where) as db:
        db.execute("PRAGMA user_version = 7")
    before = file_bytes(where)
    for work in (lambda: Library(where), lambda: index(zoo, where, models=MODELS, host=tiny)):
        with pytest.raises(
            LibraryError,
            match=f"lib: library of format 7, this program reads up to {schema.FORMAT}; upgrade sightsound",
        ):
            work()
    assert file_bytes(where) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, zoo, tiny):
    (tmp_path / "lib").write_text("hello")
    with pytest.raises(LibraryError, match="lib: expected a folder, got a file; name another --library"):
        index(zoo, tmp_path / "lib", models=MODELS, host=tiny)


def test_a_folder_with_other_files_is_refused(zoo, tiny):
    with pytest.raises(LibraryError, match="expected a library or an empty folder, it holds"):
        index(zoo, zoo, models=MODELS, host=tiny)
    assert not (zoo / "library.sqlite").exists()


def test_reading_from_a_closed_library_is_refused(where):
    library = Library(where)
    library.close()
    with pytest.raises(LibraryError, match="lib: the library was closed"):
        list(library.items())


@pytest.mark.parametrize("command_line", [("stats",), ("check",), ("search", "--id", "1"), ("forget", "x")])
def test_commands_refuse_a_file_that_is_not_a_library_in_one_line(command, tmp_path, command_line):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.sqlite").write_bytes(b"hello" * 1000)
    done = command(*command_line, "-l", tmp_path / "lib")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("sightsound: ") and len(done.stderr.splitlines()) == 1


# -- a library from somebody else --------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """A file outside of the library that the user can write."""
    file = tmp_path / "authorized_keys"
    file.write_text("ssh-ed25519 AAAA user")
    file.chmod(0o600)
    return file


def old_library(folder, format_):
    """A small library of an older format."""
    folder.mkdir()
    kept = Path(__file__).parents[1] / "libraries" / f"format{format_}.sqlite.gz"
    (folder / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    for file in kept.parent.glob(f"format{format_}/library.*"):
        shutil.copy(file, folder)
    return folder


@POSIX
@pytest.mark.parametrize("name", ["library.sqlite-wal", "library.sqlite-shm", "writer.json", "writer.lock"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_among_the_files_of_a_library_is_refused_and_its_target_unchanged(where, victim, name, dangling):
    assert len(Library(where).items()) == 5
    (where / name).unlink(missing_ok=True)
    target = victim.with_name("nothing") if dangling else victim
    (where / name).symlink_to(target)
    for work in (lambda: Library(where), lambda: forget_missing(where, yes=True), lambda: check(where)):
        with pytest.raises(LibraryError, match=f"{name}: a link, expected a file of a library"):
            work()
    assert victim.read_text() == "ssh-ed25519 AAAA user" and victim.stat().st_mode & 0o777 == 0o600
    assert not victim.with_name("nothing").exists()


@POSIX
def test_a_database_that_is_a_link_is_refused(where, tmp_path, command):
    (tmp_path / "handed").mkdir()
    (tmp_path / "handed" / "library.sqlite").symlink_to(where / "library.sqlite")
    before = file_bytes(where)
    done = command("forget", "--missing", "--yes", "-l", tmp_path / "handed")
    assert done.returncode == 2 and "library.sqlite: a link" in done.stderr and len(done.stderr.splitlines()) == 1
    assert file_bytes(where) == before


@POSIX
def test_the_copy_before_a_migration_does_not_follow_a_link(tmp_path, victim):
    lib = old_library(tmp_path / "lib", 1)
    (lib / "library.format1.sqlite").symlink_to(victim)
    assert len(forget_missing(lib, yes=True)) > 0
    assert victim.read_text() == "ssh-ed25519 AAAA user" and victim.stat().st_mode & 0o777 == 0o600
    copy = lib / "library.format1-2.sqlite"
    assert copy.is_file() and not copy.is_symlink()


def journal_that_names(file):
    """A rollback journal without pages, with a file in the place of the super-journal: SQLite deletes that file."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), os.fsencode(file)
    head = magic + struct.pack(">IIIII", 0, 1, 1, 512, 65536)
    checksum = sum(name) & 0xFFFFFFFF
    return (
        head.ljust(512, b"\0")
        + struct.pack(">I", 2**30 // 65536 + 1)
        + name
        + struct.pack(">II", len(name), checksum)
        + magic
    )


def test_a_journal_that_names_a_file_to_delete_is_refused(where, victim, tmp_path):
    (tmp_path / "copy").mkdir()
    for folder in (where, tmp_path / "copy"):
        with raw_database(folder) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("CREATE TABLE IF NOT EXISTS t (x)")
        (folder / "library.sqlite-journal").write_bytes(journal_that_names(victim))
    for work in (lambda: Library(where), lambda: check(where), lambda: forget_missing(where, yes=True)):
        with pytest.raises(LibraryError, match="library.sqlite-journal: names another file"):
            work()
    assert victim.exists()
    with raw_database(tmp_path / "copy") as db:
        db.execute("SELECT * FROM t")
    assert not victim.exists()  # SQLite itself deletes it


@POSIX
def test_a_named_pipe_among_the_files_of_a_library_is_refused_without_waiting(where):
    (where / "writer.json").unlink(missing_ok=True)
    os.mkfifo(where / "writer.json")
    with pytest.raises(LibraryError, match=r"writer\.json: not an ordinary file"):
        forget_missing(where)


# -- older formats -----------------------------------------------------------------------------------------------------


@pytest.fixture
def future(where, monkeypatch):
    """A library of the present format, read by a program of the next format, which adds a column to the items."""

    def step(db):
        db.execute("ALTER TABLE items ADD COLUMN colour TEXT DEFAULT 'grey'")

    of_items = "content INTEGER REFERENCES contents,   -- NULL"
    tables = schema.TABLES.replace(of_items, "colour TEXT, " + of_items, 1)
    monkeypatch.setattr(schema, "TABLES", tables)
    validation._present_columns.cache_clear()
    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT, step)
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    yield where
    monkeypatch.undo()  # before the cache is cleared
    validation._present_columns.cache_clear()


def test_an_older_format_is_read_and_unchanged_on_disk(future, zoo, tiny):
    before = file_bytes(future)
    with Library(future) as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2
        assert {colour for (colour,) in library.rows("SELECT colour FROM items")} == {"grey"}
    assert file_bytes(future) == before


def test_an_older_format_is_copied_and_migrated_by_the_first_writer(future, zoo, tiny, monkeypatch):
    assert index(zoo, future, models=MODELS, host=tiny).counts == {"unchanged": 5}
    with raw_database(future) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)
        assert db.execute("SELECT DISTINCT colour FROM items").fetchone() == ("grey",)
    with Library(future) as library:
        assert check(library) == []
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT - 1)
    monkeypatch.setattr(schema, "TABLES", schema.TABLES.replace("colour TEXT, ", "", 1))
    validation._present_columns.cache_clear()
    backup = future.parent / "backup"
    backup.mkdir()
    shutil.copy(future / f"library.format{schema.FORMAT}.sqlite", backup / "library.sqlite")
    assert index(zoo, backup, models=MODELS, host=tiny).counts == {"unchanged": 5}


def test_a_migration_that_fails_leaves_the_old_format(future, zoo, tiny, monkeypatch):
    def breaks(db):
        db.execute("ALTER TABLE items ADD COLUMN colour TEXT")
        raise RuntimeError("power cut")

    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT - 1, breaks)
    with pytest.raises(RuntimeError, match="power cut"):
        index(zoo, future, models=MODELS, host=tiny)
    with raw_database(future) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT - 1,)
        assert "colour" not in db.execute("SELECT sql FROM sqlite_master WHERE name = 'items'").fetchone()[0]


def labels_in(file):
    """The labels in a database file."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        return [value for (value,) in db.execute("SELECT value FROM labels ORDER BY value")]


def test_the_copy_before_a_migration_is_complete_while_a_reader_is_at_work(future, zoo, tiny):
    with raw_database(future) as reader, raw_database(future) as writer:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM items").fetchone() == (5,)
        writer.executemany("INSERT INTO labels VALUES (1, 'n', ?)", [(f"{n:02}",) for n in range(50)])
        index(zoo, future, models=MODELS, host=tiny)
        assert reader.execute("SELECT count(*) FROM labels").fetchone() == (0,)
    assert labels_in(future / f"library.format{schema.FORMAT - 1}.sqlite") == [f"{n:02}" for n in range(50)]


def test_the_copy_before_a_migration_does_not_replace_an_earlier_copy(future, zoo, tiny):
    earlier = future / f"library.format{schema.FORMAT - 1}.sqlite"
    earlier.write_text("the only copy of last year")
    index(zoo, future, models=MODELS, host=tiny)
    assert earlier.read_text() == "the only copy of last year"
    assert labels_in(future / f"library.format{schema.FORMAT - 1}-2.sqlite") == []


def test_a_migration_that_was_killed_after_its_copy_keeps_this_copy_the_next_time(tmp_path, tiny, zoo):
    where = old_library(tmp_path / "lib", 2)
    code = (
        "import os, signal, sys; from sightsound import _atomic, forget_missing\n"
        "replace = _atomic.replace\n"
        "_atomic.replace = lambda *paths: (replace(*paths), os.kill(os.getpid(), signal.SIGKILL))\n"
        "forget_missing(sys.argv[1], yes=True)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(where)], check=False, capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    copy = where / "library.format2.sqlite"
    first = copy.stat().st_ino, copy.read_bytes()
    forget_missing(where, yes=True)
    assert (copy.stat().st_ino, copy.read_bytes()) == first
    assert [path.name for path in where.glob("library.format*")] == [copy.name]
    with Library(where) as library:
        assert check(library) == []


def test_an_earlier_copy_that_a_migration_used_is_kept_if_it_fails(future, zoo, tiny, monkeypatch):
    def breaks(db):
        raise RuntimeError("power cut")

    index(zoo, future, models=MODELS, host=tiny)
    (copy,) = future.glob("library.format*")
    (future / "library.sqlite").write_bytes(copy.read_bytes())
    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT - 1, breaks)
    with pytest.raises(RuntimeError, match="power cut"):
        index(zoo, future, models=MODELS, host=tiny)
    assert list(future.glob("library.format*")) == [copy]


@pytest.mark.root
def test_a_full_disk_at_the_copy_before_a_migration_is_reported_in_one_line_and_leaves_no_half_copy(tmp_path, command):
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", place)
    try:
        lib = old_library(place / "lib", 2)
        before = file_bytes(lib)
        room = os.statvfs(place)
        (place / "filling").write_bytes(bytes(room.f_bavail * room.f_frsize - 2**18))
        done = command("forget", "--missing", "--yes", "-l", lib)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "free some space" in done.stderr
        assert file_bytes(lib) == before and not list(lib.glob("*format*"))
        (place / "filling").unlink()
        assert command("forget", "--missing", "--yes", "-l", lib).returncode == 0
        assert (lib / "library.format2.sqlite").is_file()
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_an_unfinished_copy_of_a_killed_writer_is_removed_by_the_next_one(where):
    (where / "library.format2-0123.part").write_text("half")
    forget_missing(where)
    assert not (where / "library.format2-0123.part").exists()


@pytest.mark.parametrize("format_", range(1, schema.FORMAT + 1))
def test_a_library_of_every_format_is_read_checked_and_written(format_, tiny, tmp_path):
    """Small libraries that the versions with these formats made (tests/libraries). Their files do not exist here."""
    where = old_library(tmp_path / "lib", format_)
    with Library(where) as library:
        assert check(library) == []
        assert sorted(item.path for item in library.items())[0] == "blue.png"
        (hit, *_) = search(np.ones(48), library, host=tiny)
        assert hit.item.path == "warm/orange.png" and hit.labels == {"label": ("warm",)}
        assert {s.name: n for s, n in library.spaces.items()} == {"colours.tiny": 3, "loudness.tiny": 7}
        assert {o.item.path: o.status for o, _ in library.outcomes() if o.status != "ok"} == {
            "broken.png": "failed",
            "notes.txt": "not-media",
        }
        forget_missing(library, yes=True)
        assert library.items() == []
        assert check(library) == []


# -- media that cannot be written --------------------------------------------------------------------------------------


def content(where):
    """Everything that a search can find, without the ids."""
    with Library(where) as library:
        query = (
            "SELECT r.path, i.path, lower(hex(c.hash)), s.name, o.status FROM outcomes o JOIN items i ON i.id = o.item"
            " JOIN roots r ON r.id = i.root JOIN spaces s ON s.id = o.space JOIN contents c ON c.id = o.content"
            " ORDER BY 1, 2, 4"
        )
        stored = {key: (rows.tolist(), str(spans)) for key, (rows, spans) in all_rows(library).items()}
        return [(*facts, stored.get((facts[2], facts[3]))) for facts in library.rows(query)]


@pytest.fixture
def read_only(where, tmp_path):
    """The library on a medium that is mounted read-only."""
    place = tmp_path / "cdrom"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    try:
        shutil.copytree(where, place / "lib")
        mount("-o", "remount,ro", place)
        yield place / "lib"
    finally:
        subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.root
def test_a_library_on_a_read_only_medium_can_be_searched(read_only, where, zoo, tiny, command):
    with Library(read_only) as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2
        assert len(search(write_sound(zoo / "new.wav", 70), library, host=tiny)) == 2
        assert check(library) == [] and stats(library).items == 5
    assert content(read_only) == content(where)
    assert command("search", zoo / "cats" / "0.png", "-l", read_only).returncode == 0
    refused = command("index", zoo, "-l", read_only, "-m", "colours.tiny")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "cannot be written (Read-only file system); it can still be searched" in refused.stderr


@pytest.mark.root
def test_a_read_only_library_whose_writer_was_killed_is_refused_with_advice(where, zoo, tiny, tmp_path):
    place = tmp_path / "cdrom"
    place.mkdir()
    with Library(where) as library, library.writing() as writer:
        writer.items.label(1, "who", ["Tom"])
        writer.commit()
        copy = shutil.copytree(where, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    try:
        shutil.copytree(copy, place / "lib")
        mount("-o", "remount,ro", place)
        with pytest.raises(LibraryError, match="its last writer did not finish, and the medium is read-only; copy it"):
            Library(place / "lib")
    finally:
        subprocess.run(["umount", "-l", place], check=False)
    with Library(copy) as library:
        assert library.labels(1) == {"who": ("Tom",)}


@POSIX
def test_a_library_in_a_folder_that_may_not_be_written_can_be_searched(where, zoo, tiny):
    with public_copy(where) as place:
        for path in (*place.iterdir(), place):
            path.chmod(path.stat().st_mode & ~0o222)
        with ordinary_user():
            with Library(place) as library:
                assert len(search(np.ones(48), library, host=tiny)) == 3
                with pytest.raises(LibraryError, match="cannot be written .*; it can still be searched"):
                    library.writing().__enter__()
            with pytest.raises(LibraryError, match="cannot make a library here"):
                Library(place / "new", create=True)


@POSIX
def test_a_library_without_read_permission_is_refused(where):
    with public_copy(where) as place:
        (place / "library.sqlite").chmod(0)
        with ordinary_user(), pytest.raises(LibraryError, match="cannot be opened"):
            Library(place)
        place.chmod(0)
        with ordinary_user(), pytest.raises(LibraryError, match="library"):
            Library(place)
        place.chmod(0o755)


@pytest.fixture
def without_shared_memory(monkeypatch):
    """A file system without shared memory, as some network ones: SQLite has no WAL mode there."""
    connect = database._connect
    monkeypatch.setattr(database, "_connect", lambda uri: connect(f"{uri}&vfs=unix-none"))


@POSIX
def test_a_new_library_works_on_a_file_system_without_shared_memory(without_shared_memory, zoo, tiny, tmp_path):
    assert index(zoo, tmp_path / "lib", models=MODELS, host=tiny).counts == {"ok": 5}
    with Library(tmp_path / "lib") as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2 and check(library) == []


@POSIX
def test_a_library_that_was_copied_to_a_file_system_without_shared_memory_can_be_written(where, zoo, tiny, request):
    assert file_bytes(where)[18] == 2  # WAL mode
    request.getfixturevalue("without_shared_memory")
    write_sound(zoo / "new.wav", 70)
    assert index(zoo, where, models=MODELS, host=tiny).counts == {"ok": 1, "unchanged": 5}
