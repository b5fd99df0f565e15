"""Libraries that somebody made to do harm, and vectors that a disk damaged: refused, never a wrong answer."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from library_files import POSIX, file_bytes, raw_database, segment
from made import write_image
from sightsound import (
    Labels,
    Library,
    LibraryError,
    SightsoundError,
    check,
    compact,
    copy_library,
    forget,
    forget_missing,
    forget_space,
    index,
    load_dataset,
    relocate,
    search,
    search_tags,
    stats,
)
from sightsound.library.store.database import Database

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, i AS path FROM n"
MODELS = ("colours.tiny", "loudness.tiny")


@pytest.fixture
def tagged(where):
    """A library with a row in every table."""
    with Library(where) as library, library.writing() as writer:
        writer.forget([3])
    with raw_database(where) as db:
        db.execute("INSERT INTO labels VALUES (1, 'who', 'Tom')")
        db.execute("INSERT INTO tagged SELECT content, space, '{}' FROM outcomes")
        db.execute(
            "INSERT INTO tags (content, space, label, class, mean, peak)"
            " SELECT content, space, 'Dog', '/m/0bt9lr', .5, .5 FROM outcomes"
        )
    return where


# -- views, triggers and the like --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "word"),
    [
        (f"ALTER TABLE roots RENAME TO r0; CREATE VIEW roots AS {ENDLESS}", "view 'roots'"),
        (f"CREATE VIEW more AS {ENDLESS}", "view 'more'"),
        ("CREATE TRIGGER t AFTER DELETE ON items BEGIN DELETE FROM vectors; END", "trigger 't'"),
        ("CREATE VIRTUAL TABLE v USING fts5(text)", "virtual table 'v'"),
        ("ALTER TABLE roots ADD COLUMN big AS (hex(zeroblob(500000000)))", "generated column 'big'"),
    ],
    ids=["view for a table", "view", "trigger", "virtual table", "generated column"],
)
def test_a_library_with_more_than_tables_is_refused_at_opening(where, zoo, tiny, statements, word):
    with Library(where) as library:
        assert len(library.items()) == 5
    with raw_database(where) as db:
        try:
            db.executescript(statements)
        except Exception as error:
            pytest.skip(f"this SQLite has no {word}: {error}")
    before = file_bytes(where)
    for work in (
        lambda: Library(where),
        lambda: check(where),
        lambda: stats(where),
        lambda: forget_missing(where, yes=True),
        lambda: index(zoo, where, models=MODELS, host=tiny),
    ):
        with pytest.raises(LibraryError, match=f"lib: expected tables alone, got the {word}") as caught:
            work()
        assert "\n" not in str(caught.value)
    assert file_bytes(where) == before


def test_a_trigger_is_refused_in_an_older_format_too(where, monkeypatch):
    with raw_database(where) as db:
        db.execute("CREATE TRIGGER t AFTER UPDATE ON outcomes BEGIN DELETE FROM vectors; END")
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(LibraryError, match="got the trigger 't'"):
        Library(where)


@pytest.mark.parametrize("value", ["x", b"x"])
def test_values_of_another_type_in_an_older_format_are_reported_in_one_line(tmp_path, value):
    """Format 1 has no checksums, which the migration computes from the seconds."""
    kept = Path(__file__).parents[1] / "libraries" / "format1.sqlite.gz"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    assert len(stats(tmp_path / "lib").spaces) == 2
    with raw_database(tmp_path / "lib") as db:
        db.execute("UPDATE vectors SET start = ? WHERE id = (SELECT min(id) FROM vectors)", (value,))
    for work in (Library, check, forget_missing):
        with pytest.raises(LibraryError, match="lib: damaged, cannot be read as format 1"):
            work(tmp_path / "lib")
    assert not list((tmp_path / "lib").glob("*format*"))


# -- values of other types ---------------------------------------------------------------------------------------------

NESTED = "[" * 100_000
VALUES = {
    **{"integer": 2**62, "negative": -1, "zero": 0, "nothing": None},
    **{"bytes": b"\xff\x00", "text": "x\x00", "nested": NESTED, "number": 1e300},
}
COLUMNS = {
    "roots": ["path"],
    "contents": ["hash", "modality"],
    "items": ["path", "root", "size", "mtime_ns", "content"],
    "labels": ["column", "value", "item"],
    "spaces": ["name", "fingerprint", "facts", "generation"],
    "outcomes": ["status", "reason", "flags", "seconds", "facts", "content", "space"],
    "segments": ["id", "space", "name", "dtype", "rows", "inode"],
    "runs": ["content", "space", "part", "segment", "first", "count", "checksum", "record_checksum"],
    "removed": ["segment", "first", "count", "generation"],
    "tagged": ["rules", "content", "space"],
    "tags": ["label", "class", "start", "stop", "mean", "peak", "content", "space"],
}
CASES = [(table, column, value) for table, columns in COLUMNS.items() for column in columns for value in VALUES]
QUICK = {("roots", "path"), ("spaces", "facts"), ("outcomes", "facts"), ("labels", "value"), ("tags", "label")}


def set_value(where, table, column, value):
    """Write a value into the first row of a table."""
    with raw_database(where) as db:
        with contextlib.suppress(Exception):  # a key that is not unique
            db.execute(f'UPDATE {table} SET "{column}" = ? WHERE ROWID = (SELECT min(ROWID) FROM {table})', (value,))
            return
        first = "item = (SELECT min(item) FROM {0})" if table in ("labels", "outcomes") else "1"
        db.execute(f'UPDATE {table} SET "{column}" = ? WHERE {first.format(table)}', (value,))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        pytest.param(*case, marks=() if case[:2] in QUICK and case[2] != "number" else pytest.mark.slow)
        for case in CASES
    ],
)
def test_a_value_of_another_type_is_an_error_in_one_line_or_does_no_harm(tagged, zoo, tiny, table, column, value):
    with contextlib.suppress(Exception):
        set_value(tagged, table, column, VALUES[value])
    works = {
        "stats": stats,
        "check": check,
        "search": lambda where: search(zoo / "cats" / "0.png", where, host=tiny),
        "by id": lambda where: search(1, where, host=tiny),
        "filter": lambda where: search(np.ones(48), where, host=tiny),
        "tags": lambda where: search_tags(["Dog"], where),
        "dataset": lambda where: load_dataset(where, "colours.tiny", min_classes=1),
        "index": lambda where: index(zoo, where, models=MODELS, host=tiny),
        "relocate": lambda where: relocate(zoo, zoo, where),
        "forget": lambda where: forget_missing(where, yes=True),
        "compact": compact,
        "copy": lambda where: copy_library(where, where.parent / "copy of it"),
        "rows": lambda where: Library(where).sample_rows(next(iter(Library(where).spaces)), 9),
        "space": lambda where: forget_space("colours.tiny", where),
    }
    for name, work in works.items():
        copy = shutil.copytree(tagged, tagged.parent / name)
        with contextlib.suppress(SightsoundError):
            work(copy)


def test_a_space_of_made_up_facts_is_refused(where):
    for facts in ("[]", "{}", '{"dim": "x"}', NESTED, '{"dim": 1e99, "modality": "image", "stages": []}'):
        with raw_database(where) as db:
            fingerprint = hashlib.sha256(facts.encode()).hexdigest()
            db.execute("UPDATE spaces SET facts = ?, fingerprint = ? WHERE id = 1", (facts, fingerprint))
        with Library(where) as library, pytest.raises(LibraryError, match=r"lib: damaged \("):
            library.spaces  # noqa: B018


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("id INTEGER PRIMARY KEY AUTOINCREMENT", "id"),
        ("NOT NULL", ""),
        ("count INTEGER", "count TEXT"),
        ("inode INTEGER", "odd INTEGER"),
    ],
)
def test_tables_with_other_columns_are_refused(where, zoo, tiny, old, new):
    with raw_database(where) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, ?)", (old, new))
        db.execute("PRAGMA writable_schema = RESET")
    for work in (stats, check, lambda where: index(zoo, where, models=MODELS, host=tiny)):
        with pytest.raises(LibraryError, match="lib: damaged, its tables are not those of a library; restore it"):
            work(where)


# -- paths that lead elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/etc/passwd", b"../../etc/passwd", b"cats/../../x", b"", b"cats/0.png\0.txt"])
def test_an_item_whose_path_leads_out_of_its_root_is_refused(where, path):
    with raw_database(where) as db:
        db.execute("UPDATE items SET path = ? WHERE id = 1", (path,))
    with Library(where) as library:
        for read in (library.items, library.outcomes, lambda: library.item(1), lambda: library.content(1)):
            with pytest.raises(LibraryError, match="damaged .*item 1: expected a path below its root"):
                read()
        assert library.item(2).path == "cats/1.png"
    with pytest.raises(LibraryError, match="item 1: expected a path below its root"):
        search(np.ones(48), where)


@pytest.mark.parametrize("path", [b"relative", b"", b"/a\0b"])
def test_a_root_that_is_not_an_absolute_path_is_refused(where, path):
    with raw_database(where) as db:
        db.execute("UPDATE roots SET path = ?", (path,))
    with Library(where) as library:
        for read in (library.items, lambda: library.roots):
            with pytest.raises(LibraryError, match="expected an absolute path"):
                read()


@pytest.mark.parametrize("name", ["...", "a..b", "..a/b..", "~", "$HOME", "-x", "c:x"])
def test_names_that_only_look_like_paths_elsewhere_are_read(where, name):
    with raw_database(where) as db:
        db.execute("UPDATE items SET path = ? WHERE id = 1", (name.encode(),))
    with Library(where) as library:
        assert library.item(1).path == name


# -- damaged vectors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30], ids=str)
def test_a_damaged_vector_is_refused_and_never_gives_a_wrong_hit(where, zoo, tiny, value):
    with Library(where) as library:
        good = search(zoo / "cats" / "1.png", library, host=tiny)
        assert len(good) == 2
        content = library.content(1)
        (space,) = (space for space in library.spaces if space.name == "colours.tiny")
    _, vectors, records = segment(where, 1, 48)
    vectors[0, -1] = value
    vectors.flush()
    with Library(where) as library:
        for read in (
            lambda: search(zoo / "cats" / "1.png", library, host=tiny),
            lambda: search(np.ones(48), library, host=tiny),
        ):
            with pytest.raises(LibraryError, match="lib: damaged .* in colours.tiny"):
                read()
        assert len(check(library)) >= 1
        assert len(search(zoo / "dogs" / "0.wav", library, host=tiny)) == 1
    records["norm"][0] = np.inf
    records.flush()
    with Library(where) as library:
        for read in (
            lambda: search(1, library, host=tiny),
            lambda: library.vectors(space, content),
            lambda: list(library.contents_in(space)),
            lambda: load_dataset(library, "colours.tiny", Labels("folder"), min_classes=1),
        ):
            with pytest.raises(LibraryError, match="lib: damaged .* in colours.tiny"):
                read()


@pytest.mark.parametrize("suffix", ["f32", "records"])
def test_a_file_of_rows_that_became_shorter_is_refused_before_it_is_read(where, tiny, suffix):
    """To read what a map has no file for would end the process."""
    with Library(where) as library:
        assert len(search(np.ones(48), library, host=tiny)) == 3
        for file in where.glob(f"library.*.{suffix}"):
            os.truncate(file, file.stat().st_size - 1)
        with pytest.raises(LibraryError, match=f"{suffix}: damaged, expected at least .* bytes"):
            search(np.ones(48), library, host=tiny)
        with pytest.raises(LibraryError, match=f"{suffix}: damaged, expected at least .* bytes"):
            library.vectors(*next((s, library.content(1)) for s in library.spaces if s.name == "colours.tiny"))


@POSIX
@pytest.mark.parametrize("suffix", ["f32", "records"])
@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_file_of_rows_that_is_no_ordinary_file_is_refused_and_nothing_is_written_through_it(
    where, zoo, tiny, tmp_path, suffix, kind
):
    (file,) = (path.with_suffix(f".{suffix}") for path in where.glob("library.*.f32") if path.stat().st_size == 576)
    victim = tmp_path / "victim"
    victim.write_bytes(file.read_bytes() + b"the end of it")
    file.unlink()
    if kind == "hard link":
        os.link(victim, file)
    elif kind == "link":
        file.symlink_to(victim)
    else:
        os.mkfifo(file) if kind == "pipe" else file.mkdir()
    before = victim.read_bytes()
    if kind != "hard link":
        with Library(where) as library, pytest.raises(LibraryError, match=f"{suffix}: (cannot be opened|not an ord)"):
            search(np.ones(48), library, host=tiny)
        assert any(str(file) in problem.what for problem in check(where))
    write_image(zoo / "new.png", 70)
    index(zoo, where, models=MODELS, host=tiny)
    assert victim.read_bytes() == before


@pytest.mark.parametrize("id_", ["99999999999999999999", "-99999999999999999999", "0", "-1"])
def test_an_id_that_no_item_can_have_is_not_reported_as_damage(where, command, id_):
    done = command("search", "--id", id_, "-l", where)
    assert done.returncode == 2 and f"no item {id_} in lib" in done.stderr and "damaged" not in done.stderr
    with Library(where) as library:
        assert library.labels(int(id_)) == {}


# -- tables of segments that somebody made -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_million_segments_are_refused(where, zoo):
    with raw_database(where) as db:
        db.execute(
            "WITH RECURSIVE c(x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM c LIMIT 1000000)"
            " INSERT INTO segments SELECT x, 1, printf('%016x', x), 'f32', 1, 0, NULL, NULL FROM c"
        )
    for work in (
        lambda: search(np.ones(48), where),
        lambda: copy_library(where, where.parent / "copy"),
    ):
        with pytest.raises(LibraryError, match=r"damaged .*space 1: expected at most 65536 segments"):
            work()
    assert "expected at most 65536 segments" in str(check(where)[0])
    assert forget_space("colours.tiny", where) == 3
    assert check(where) == []


def test_two_segments_of_one_file_are_refused(where):
    with raw_database(where) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ' UNIQUE', '') WHERE name = 'segments'")
        db.execute("DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_segments_1'")
        db.execute("PRAGMA writable_schema = RESET")
        db.execute(
            "INSERT INTO segments SELECT 9, space, name, dtype, rows, inode, NULL, NULL FROM segments WHERE id = 1"
        )
    with pytest.raises(LibraryError, match="segments of different names"):
        search(np.ones(48), where)


def test_the_database_of_a_copied_folder_is_examined_once(where, monkeypatch, tmp_path):
    place = shutil.copytree(where, tmp_path / "copied")
    with raw_database(place) as db:
        (name, rows) = db.execute("SELECT name, rows FROM segments WHERE id = 1").fetchone()
        for number in range(5):
            for suffix in ("f32", "records"):
                shutil.copy(place / f"library.{name}.{suffix}", place / f"library.{number:016}.{suffix}")
            db.execute(
                "INSERT INTO segments VALUES (?, 1, ?, 'f32', ?, 0, NULL, NULL)", (10 + number, f"{number:016}", rows)
            )
    asked, rows_of = [], Database.rows
    monkeypatch.setattr(Database, "rows", lambda self, query, *v: asked.append(query) or rows_of(self, query, *v))
    with Library(place) as library:
        assert search(np.ones(48), library)
    assert asked.count("PRAGMA quick_check(1)") == 1


def test_compact_does_not_copy_rows_that_overlap_again_and_again(where, zoo):
    forget_one = [zoo / "cats" / "0.png"]
    with raw_database(where) as db:
        db.execute(
            "WITH RECURSIVE c(x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM c LIMIT 1000)"
            " INSERT INTO runs SELECT 2, 1, x, 1, 1, 2, 0, 0, 0 FROM c"
        )
    forget(forget_one, where)
    with pytest.raises(LibraryError, match="damaged .a run is not in its segment, or in another run"):
        compact(where)
    with Library(where) as library:
        (space,) = (space for space in library.spaces if space.name == "colours.tiny")
        with pytest.raises(LibraryError, match="damaged .*of segment 1: expected 3"):
            library.vectors(space, library.content(2))


@pytest.mark.parametrize("facts", ['{"dim": 1e999}', '{"dim": ' + NESTED, "[]", '{"dim": null}', '{"dim": -3}'])
def test_odd_facts_of_a_space_in_an_older_format_are_one_line(old_library, facts):
    with raw_database(old_library) as db:
        db.execute("UPDATE spaces SET facts = ?", (facts,))
    for work in (Library, check, compact):
        with contextlib.suppress(LibraryError):
            work(old_library)
