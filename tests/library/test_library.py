"""The store: one file, one writer, many readers; what is refused, what is read-only, what `check` finds."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from made import nobody, sound, stand, started, tints
from sightsound import Item, Library, SightsoundError, index, search
from sightsound.contract.errors import LibraryError, SpaceMismatch
from sightsound.library.check import check
from sightsound.library.maintenance import forget_missing
from sightsound.library.stats import stats
from sightsound.library.store import schema

MODELS = ("colours.tiny", "loudness.tiny")
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX")


@pytest.fixture
def where(tiny, zoo, tmp_path):
    """The folder of a library with both tiny models."""
    index(zoo, tmp_path / "lib", models=MODELS, host=tiny)
    return tmp_path / "lib"


@contextlib.contextmanager
def raw(where):
    """The database behind the library's back."""
    db = sqlite3.connect(where / "library.sqlite", isolation_level=None)
    try:
        yield db
    finally:
        db.close()


def content(where):
    """Everything that a search can find, without ids."""
    with Library(where) as library:
        query = (
            "SELECT r.path, i.path, c.hash, s.name, o.status, v.start, v.embedding FROM outcomes o JOIN items i ON"
            " i.id = o.item JOIN roots r ON r.id = i.root JOIN spaces s ON s.id = o.space JOIN contents c ON"
            " c.id = o.content LEFT JOIN vectors v ON v.content = o.content AND v.space = o.space ORDER BY 1, 2, 4, 6"
        )
        return library.rows(query)


# -- the file ----------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_design_says(where):
    with raw(where) as db:
        values = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "application_id", "user_version", "journal_mode")
        }
        tables = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert values == {
        "page_size": 65536,
        "application_id": 0x73736C62,
        "user_version": schema.FORMAT,
        "journal_mode": "wal",
    }
    for table in ("roots", "contents", "items", "spaces", "vectors"):
        assert "AUTOINCREMENT" in tables[table], table


def test_a_library_that_nobody_has_open_is_one_file(where):
    assert sorted(path.name for path in where.iterdir() if not path.name.startswith("writer.")) == ["library.sqlite"]


def test_both_modalities_and_several_networks_share_one_store(where, zoo, tiny):
    index(zoo, where, models=[*MODELS, tints(tiny)], host=tiny)
    with Library(where) as library:
        assert {space.name: count for space, count in library.spaces.items()} == {
            "colours.tiny": 3,
            "loudness.tiny": 6,
            "tints.tiny": 3,
        }
        sizes = library.rows("SELECT v.id, s.name, length(v.embedding) FROM vectors v JOIN spaces s ON s.id = v.space")
        assert len({id_ for id_, _, _ in sizes}) == 12
        assert {(name, size) for _, name, size in sizes} == {
            ("colours.tiny", 192),
            ("loudness.tiny", 68),
            ("tints.tiny", 48),
        }
        assert library.roots == [str(zoo)]
        assert library.item(1) == Item(str(zoo), "cats/0.png", 1)


def test_stats_count_what_is_there(where, zoo, tiny):
    (zoo / "text").write_text("hello")
    (zoo / "cut.png").write_bytes((zoo / "cats" / "0.png").read_bytes()[:50])
    index(zoo, where, models=MODELS, host=tiny, label_from="folder")
    with Library(where) as library:
        found = stats(library)
    assert (found.items, found.roots) == (7, (str(zoo),))
    assert found.outcomes == {
        ("colours.tiny", "ok"): 3,
        ("colours.tiny", "failed"): 1,
        ("loudness.tiny", "ok"): 2,
        ("", "not-media"): 1,
    }
    assert {name: (dim, count) for name, (_, dim, count) in found.spaces.items()} == {
        "colours.tiny": (48, 3),
        "loudness.tiny": (17, 6),
    }
    assert found.labels == {("label", "cats"): 3, ("label", "dogs"): 2, ("label", "zoo"): 2}
    assert found.seconds == {"loudness.tiny": 4}
    assert [outcome.item.path for outcome in found.failed] == ["cut.png"]


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


# -- what is no library ------------------------------------------------------------------------------------------


def test_no_library_is_not_made_by_reading(tmp_path):
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
def test_a_file_that_is_no_database_is_refused(tmp_path, zoo, tiny, data, words, writing):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.sqlite").write_bytes(data)
    with pytest.raises(LibraryError, match=words) as caught:
        index(zoo, tmp_path / "lib", models=MODELS, host=tiny) if writing else Library(tmp_path / "lib")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "lib" / "library.sqlite").read_bytes() == data


def test_another_sqlite_database_is_refused_and_left_alone(tmp_path, zoo, tiny):
    (tmp_path / "lib").mkdir()
    with raw(tmp_path / "lib") as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    before = (tmp_path / "lib" / "library.sqlite").read_bytes()
    for work in (lambda: Library(tmp_path / "lib"), lambda: index(zoo, tmp_path / "lib", models=MODELS, host=tiny)):
        with pytest.raises(LibraryError, match="expected a sightsound library, got another SQLite database"):
            work()
    assert (tmp_path / "lib" / "library.sqlite").read_bytes() == before


def test_a_newer_format_is_refused(where, zoo, tiny):
    with raw(where) as db:
        db.execute("PRAGMA user_version = 7")
    before = content_of_file(where)
    for work in (lambda: Library(where), lambda: index(zoo, where, models=MODELS, host=tiny)):
        with pytest.raises(
            LibraryError, match="lib: library of format 7, this program reads up to 3; upgrade sightsound"
        ):
            work()
    assert content_of_file(where) == before


def content_of_file(where):
    return (where / "library.sqlite").read_bytes()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path, zoo, tiny):
    (tmp_path / "lib").write_text("hello")
    with pytest.raises(LibraryError, match="lib: expected a folder, got a file; name another --library"):
        index(zoo, tmp_path / "lib", models=MODELS, host=tiny)


def test_a_folder_with_other_things_in_it_is_refused(zoo, tiny):
    with pytest.raises(LibraryError, match="expected a library or an empty folder, it holds"):
        index(zoo, zoo, models=MODELS, host=tiny)
    assert not (zoo / "library.sqlite").exists()


def test_a_library_that_was_closed_says_so(where):
    library = Library(where)
    library.close()
    with pytest.raises(LibraryError, match="lib: the library was closed"):
        list(library.items())


@pytest.mark.parametrize("command_line", [("stats",), ("check",), ("search", "--id", "1"), ("forget", "x")])
def test_commands_refuse_what_is_no_library_in_one_line(command, tmp_path, command_line):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.sqlite").write_bytes(b"hello" * 1000)
    done = command(*command_line, "-l", tmp_path / "lib")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("sightsound: ") and len(done.stderr.splitlines()) == 1


# -- older formats -----------------------------------------------------------------------------------------------


@pytest.fixture
def future(where, monkeypatch):
    """A program of the next format, for which every item has a colour, beside a library of this one."""

    def step(db):
        db.execute("ALTER TABLE items ADD COLUMN colour TEXT DEFAULT 'grey'")

    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT, step)
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT + 1)
    return where


def test_an_older_format_is_read_and_left_as_it_is(future, zoo, tiny):
    before = content_of_file(future)
    with Library(future) as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2
        assert {colour for (colour,) in library.rows("SELECT colour FROM items")} == {"grey"}
    assert content_of_file(future) == before


def test_an_older_format_is_backed_up_and_migrated_when_it_is_written(future, zoo, tiny, monkeypatch):
    assert index(zoo, future, models=MODELS, host=tiny).counts == {"unchanged": 5}
    with raw(future) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)
        assert db.execute("SELECT DISTINCT colour FROM items").fetchone() == ("grey",)
    with Library(future) as library:
        assert check(library) == []
    monkeypatch.setattr(schema, "FORMAT", schema.FORMAT - 1)
    backup = future.parent / "backup"
    backup.mkdir()
    shutil.copy(future / f"library.format{schema.FORMAT}.sqlite", backup / "library.sqlite")
    assert index(zoo, backup, models=MODELS, host=tiny).counts == {"unchanged": 5}


def test_a_migration_that_breaks_leaves_the_old_format(future, zoo, tiny, monkeypatch):
    def breaks(db):
        db.execute("ALTER TABLE items ADD COLUMN colour TEXT")
        raise RuntimeError("power cut")

    monkeypatch.setitem(schema.MIGRATIONS, schema.FORMAT - 1, breaks)
    with pytest.raises(RuntimeError, match="power cut"):
        index(zoo, future, models=MODELS, host=tiny)
    with raw(future) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT - 1,)
        assert "colour" not in db.execute("SELECT sql FROM sqlite_master WHERE name = 'items'").fetchone()[0]


@pytest.mark.parametrize("format_", range(1, schema.FORMAT + 1))
def test_a_library_of_every_format_is_read_checked_and_written(format_, tiny, tmp_path):
    """Small libraries that programs of their time made (tests/libraries), of files that are gone."""
    kept = Path(__file__).parents[1] / "libraries" / f"format{format_}.sqlite.gz"
    where = tmp_path / "lib"
    where.mkdir()
    (where / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
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


# -- one writer, many readers ------------------------------------------------------------------------------------


def test_a_second_writer_is_told_by_whom(where, zoo, command):
    with Library(where) as library, library.writing():
        done = command("forget", zoo / "cats", "-l", where, process=True)
        assert done.returncode == 2
        assert f"lib: process {os.getpid()} on " in done.stderr
        assert done.stderr.rstrip().endswith("is writing to it; wait until it is done, or stop it")
        assert command("search", zoo / "cats" / "0.png", "-l", where, process=True).returncode == 0
    assert command("forget", zoo / "cats", "-l", where).returncode == 0


def test_a_second_writer_in_the_same_process_is_refused_too(where):
    with Library(where) as one, Library(where) as two, one.writing():
        with pytest.raises(LibraryError, match=f"process {os.getpid()} on "), two.writing():
            pass
        with pytest.raises(LibraryError, match="is writing to it"), one.writing():
            pass


def test_a_writer_that_was_killed_does_not_keep_the_library_busy(install, command, zoo, tmp_path):
    words = ("index", zoo, "-l", tmp_path / "lib", "-m", "colours.tiny")
    running = started(install("tiny"), *words, TINY_SECONDS="20")
    while running.poll() is None and not (tmp_path / "lib" / "writer.json").exists():
        pass
    busy = command(*words)
    assert busy.returncode == 2 and f"process {running.pid} on " in busy.stderr
    running.kill()
    running.communicate()
    assert command(*words).returncode == 0


def test_readers_see_the_last_commit_meanwhile(where, zoo, tiny):
    query = zoo / "cats" / "0.png"
    with Library(where) as library, Library(where) as reader:
        with library.writing() as writer:
            writer.forget([2])
            assert len(search(query, reader, host=tiny)) == len(search(query, library, host=tiny)) == 2
            with Library(where) as late:
                assert len(search(query, late, host=tiny)) == 2
            writer.commit()
            assert len(search(query, reader, host=tiny)) == 1
            writer.forget([3])
        assert search(query, reader, host=tiny) == search(query, library, host=tiny) == []


def test_an_error_while_writing_undoes_what_was_not_committed(where, zoo):
    with Library(where) as library:
        with contextlib.suppress(RuntimeError), library.writing() as writer:
            writer.forget([1])
            writer.commit()
            writer.forget([2])
            raise RuntimeError("no")
        assert [item.id for item in library.items()] == [2, 3, 4, 5]


def test_searches_during_indexing_never_fail_or_find_the_unfinished(zoo, tiny, tmp_path):
    for i in range(30):
        sound(zoo / "dogs" / f"more{i}.wav", 100 + i, seconds=4)
    name = stand(tiny, "slow.tiny", "loudness.tiny", batch_size=3, workers=2)
    index(zoo / "dogs" / "0.wav", tmp_path / "lib", models=[name], host=tiny)
    done, counts, failures = threading.Event(), [], []

    def look():
        with Library(tmp_path / "lib") as library:
            ((space),) = library.spaces
            while not done.is_set():
                try:
                    hits = library.search({space: np.ones((1, 17), np.float32)}, 100)
                    counts.append(len(hits))
                    for hit in hits:
                        rows, _ = library.vectors(space, library.content(hit.item.id))
                        assert len(rows) == (3 if hit.item.path in ("0.wav", "1.wav") else 7), hit.item
                except Exception as error:
                    failures.append(error)
                    return

    reader = threading.Thread(target=look)
    reader.start()
    try:
        index(zoo / "dogs", tmp_path / "lib", models=[name], host=tiny)
    finally:
        done.set()
        reader.join()
    assert failures == [] and counts == sorted(counts)


def test_rows_that_a_crash_left_unfinished_are_not_found_and_go(where, zoo, tiny):
    with raw(where) as db:
        db.execute("INSERT INTO contents (hash, modality) VALUES (?, 'image')", (bytes(32),))
        (id_,) = db.execute("SELECT id FROM contents WHERE hash = ?", (bytes(32),)).fetchone()
        db.execute("INSERT INTO pending VALUES (?, 1)", (id_,))
        db.execute("INSERT INTO vectors (content, space, embedding) VALUES (?, 1, ?)", (id_, bytes(192)))
    with Library(where) as library:
        assert {space.name: n for space, n in library.spaces.items()}["colours.tiny"] == 3
        assert len(search(np.ones(48), library, host=tiny)) == 3
        assert check(library) == []
        with library.writing():
            pass
        assert library.rows("SELECT count(*) FROM vectors WHERE content = ?", id_) == [(0,)]


# -- spaces ------------------------------------------------------------------------------------------------------


def test_vectors_of_another_space_are_refused(where, tiny):
    with Library(where) as library:
        with pytest.raises(SpaceMismatch, match="lib has no vectors in space 'tints.tiny'; it has 'colours.tiny'"):
            library.search({tiny.space(tints(tiny)): np.ones((1, 12), np.float32)})
        with pytest.raises(SightsoundError, match=r"expected rows of 48 numbers for colours.tiny, got \(1, 12\)"):
            library.search({tiny.space("colours.tiny"): np.ones((1, 12), np.float32)})


# -- media that cannot be written --------------------------------------------------------------------------------


def mounted(*words):
    """Runs mount, or skips the test with what it said."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("needs to mount, which takes root on Linux")
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@pytest.fixture
def read_only(where, tmp_path):
    """The library on a medium that is mounted read-only, with ten seconds for whoever left it open."""
    place = tmp_path / "cdrom"
    place.mkdir()
    mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    try:
        shutil.copytree(where, place / "lib")
        mounted("-o", "remount,ro", place)
        yield place / "lib"
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_a_library_on_a_read_only_medium_can_be_searched(read_only, where, zoo, tiny, command):
    with Library(read_only) as library:
        assert len(search(zoo / "cats" / "0.png", library, host=tiny)) == 2
        assert len(search(sound(zoo / "new.wav", 70), library, host=tiny)) == 2
        assert check(library) == [] and stats(library).items == 5
    assert content(read_only) == content(where)
    assert command("search", zoo / "cats" / "0.png", "-l", read_only).returncode == 0
    refused = command("index", zoo, "-l", read_only, "-m", "colours.tiny")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "cannot be written (Read-only file system); it can still be searched" in refused.stderr


def test_a_read_only_library_whose_writer_was_killed_says_what_to_do(where, zoo, tiny, tmp_path):
    place = tmp_path / "cdrom"
    place.mkdir()
    with Library(where) as library, library.writing() as writer:
        writer.items.label(1, "who", ["Tom"])
        writer.commit()
        copy = shutil.copytree(where, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    try:
        shutil.copytree(copy, place / "lib")
        mounted("-o", "remount,ro", place)
        with pytest.raises(LibraryError, match="its last writer did not finish, and the medium is read-only; copy it"):
            Library(place / "lib")
    finally:
        subprocess.run(["umount", "-l", place], check=False)
    with Library(copy) as library:
        assert library.labels(1) == {"who": ("Tom",)}


@POSIX
def test_a_library_in_a_folder_that_may_not_be_written_can_be_searched(where, zoo, tiny):
    with public(where) as place:
        for path in (*place.iterdir(), place):
            path.chmod(path.stat().st_mode & ~0o222)
        with nobody():
            with Library(place) as library:
                assert len(search(np.ones(48), library, host=tiny)) == 3
                with pytest.raises(LibraryError, match="cannot be written .*; it can still be searched"):
                    library.writing().__enter__()
            with pytest.raises(LibraryError, match="cannot make a library here"):
                Library(place / "new", create=True)


@POSIX
def test_a_library_that_may_not_be_read_says_so(where):
    with public(where) as place:
        (place / "library.sqlite").chmod(0)
        with nobody(), pytest.raises(LibraryError, match="cannot be opened"):
            Library(place)
        place.chmod(0)
        with nobody(), pytest.raises(LibraryError, match="library"):
            Library(place)
        place.chmod(0o755)


@contextlib.contextmanager
def public(where):
    """A copy of a library in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Path(shutil.copytree(where, Path(folder, "lib")))
        place.chmod(0o755)
        try:
            yield place
        finally:
            place.chmod(0o755)


# -- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            "UPDATE vectors SET embedding = substr(embedding, 1, 100) WHERE id = 2",
            "vector 2 of colours.tiny: expected 192 bytes, got 100",
        ),
        (
            "UPDATE vectors SET embedding = CAST(x'0000c07f' || substr(embedding, 5) AS BLOB) WHERE id = 2",
            "vector 2 of colours.tiny: not finite",
        ),
        (
            "DELETE FROM vectors WHERE space = 1 AND content = 2",
            "item 2 is ok in colours.tiny but has no vectors there",
        ),
        ("DELETE FROM outcomes WHERE item = 2", "1 vectors belong to no item"),
        ("DELETE FROM contents WHERE id = 2", "refers to a row of contents that is not there"),
        ("DELETE FROM roots", "refers to a row of roots that is not there"),
        (
            "UPDATE spaces SET facts = replace(facts, '\"revision\": 1', '\"revision\": 2')",
            "its facts do not give its fingerprint",
        ),
        ("UPDATE vectors SET space = 77 WHERE id = 2", "refers to a row of spaces that is not there"),
    ],
)
def test_check_finds_what_does_not_fit(where, command, damage, words):
    with raw(where) as db:
        db.execute(damage)
    with Library(where) as library:
        problems = check(library)
    assert any(words in str(problem) for problem in problems), problems
    assert all(problem.remedy and "\n" not in str(problem) for problem in problems)
    done = command("check", "-l", where)
    assert done.returncode == 1 and words in done.stdout
    assert done.stdout.splitlines()[-1] == f"{len(problems)} problems"


def test_check_finds_a_recording_that_lost_one_of_its_windows(where):
    """A recording whose seconds say that there were three."""
    with raw(where) as db:
        db.execute("DELETE FROM vectors WHERE id = (SELECT min(id) + 1 FROM vectors WHERE space = 2)")
    with Library(where) as library:
        assert check(library) != []


def test_check_finds_a_flipped_bit_in_a_vector(where):
    with raw(where) as db:
        (row,) = db.execute("SELECT embedding FROM vectors WHERE id = 2").fetchone()
        db.execute("UPDATE vectors SET embedding = ? WHERE id = 2", (bytes([row[0] ^ 1]) + row[1:],))
    with Library(where) as library:
        assert check(library) != []


def test_a_damaged_file_is_a_message_and_never_a_traceback(where, zoo, tiny, tmp_path):
    """One bit is turned, 250 times over, where the file is not empty: everything works, or says what is wrong."""
    whole, chance = bytearray(content_of_file(where)), random.Random(5)
    places = [i for i, byte in enumerate(whole) if byte] + list(range(100)) * 5
    copy = tmp_path / "copy"
    copy.mkdir()
    told, tracebacks = 0, {}
    for _ in range(250):
        data, at = bytearray(whole), chance.choice(places)
        data[at] ^= 1 << chance.randrange(8)
        (copy / "library.sqlite").write_bytes(data)
        for look in (check, stats, lambda library: search(np.ones(48), library, host=tiny)):
            try:
                with Library(copy) as library:
                    told += bool(look(library)) and look is check
            except SightsoundError:
                told += 1
            except Exception as error:
                tracebacks[at] = f"{whole[at]} -> {data[at]}: {type(error).__name__}: {error}"
    assert tracebacks == {}
    assert told > 20


def test_a_file_that_was_cut_off_is_told(where, command):
    data = content_of_file(where)
    for size in (50, 100, 65536, len(data) // 2, len(data) - 65536):
        (where / "library.sqlite").write_bytes(data[:size])
        done = command("check", "-l", where)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, (size, done)
