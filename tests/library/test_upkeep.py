"""Compaction, copies and migration of a library."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from library_files import all_rows, file_bytes, raw_database, segment
from made import write_image, write_sound
from sightsound import Library, LibraryError, check, compact, copy_library, forget, index, migrate, search, stats
from sightsound.library import space_rows
from sightsound.library.store import schema, segments

MODELS = ("colours.tiny", "loudness.tiny")


# -- compact, copy, migrate --------------------------------------------------------------------------------------


def answers(where, zoo, tiny):
    """What searches find, and every row, which must stay the same."""
    with Library(where) as library:
        assert check(library) == []
        hits = [
            [(hit.item.path, round(hit.score, 6), hit.seconds) for hit in search(zoo / query, library, host=tiny)]
            for query in ("cats/0.png", "dogs/0.wav")
        ]
        rows = {key: (rows.tolist(), str(spans)) for key, (rows, spans) in all_rows(library).items()}
        return hits, rows


def row_bytes(where):
    return sum(path.stat().st_size for suffix in ("f32", "records") for path in where.glob(f"library.*.{suffix}"))


def test_compact_gives_back_the_room_of_what_was_forgotten(tiny, zoo, tmp_path, command):
    where = tmp_path / "lib"
    for i in range(300):
        write_image(zoo / "more" / f"{i}.png", 300 + i)
    index(zoo, where, models=MODELS, host=tiny)
    with Library(where) as reader:
        assert len(search(zoo / "cats" / "0.png", reader, host=tiny, k=1000)) == 302
        forget([zoo / "more"], where)
        before, size, rows = answers(where, zoo, tiny), stats(where).bytes, row_bytes(where)
        done = command("compact", "-l", where)
        assert done.stdout == f"{(size - stats(where).bytes) / 1e6:,.1f} MB given back\n" and done.returncode == 0
        assert rows - row_bytes(where) == 300 * (192 + 32)
        assert answers(where, zoo, tiny) == before
        assert len(search(zoo / "cats" / "0.png", reader, host=tiny, k=1000)) == 2, "a reader goes on"
        with raw_database(where) as db:
            assert db.execute("SELECT count(*) FROM removed").fetchone() == (0,)
        assert compact(where) == 0
    write_image(zoo / "new.png", 900)
    assert index(zoo / "new.png", where, models=MODELS, host=tiny).counts == {"ok": 1}
    assert check(where) == []


def test_compact_of_several_segments_keeps_every_row(tiny, zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 192 * 7)
    where = tmp_path / "lib"
    for i in range(60):
        write_image(zoo / "more" / f"{i}.png", 300 + i)
    for seconds in (5, 9, 20):
        write_sound(zoo / "dogs" / f"long{seconds}.wav", seconds, seconds=seconds)
    index(zoo, where, models=MODELS, host=tiny)
    assert len(list(where.glob("library.*.f32"))) > 8
    for path in ("more/0.png", "more/9.png", "more/10.png", "dogs/long9.wav"):
        forget([zoo / path], where)
    forget([zoo / "more" / f"{i}.png" for i in range(20, 40)], where)
    before, rows = answers(where, zoo, tiny), row_bytes(where)
    assert compact(where) > 0
    assert rows - row_bytes(where) == 23 * (192 + 32) + 17 * (68 + 32)
    assert answers(where, zoo, tiny) == before


def test_compact_of_damaged_rows_does_not_hide_the_damage(where, zoo):
    forget([zoo / "cats" / "0.png"], where)
    _, vectors, _ = segment(where, 1, 48)
    vectors.view(np.uint32)[1, 7] ^= 1
    vectors.flush()
    (problem,) = check(where)
    compact(where)
    assert check(where) == [problem]


def test_a_copy_has_all_that_was_committed(where, zoo, tiny, tmp_path, command):
    before = answers(where, zoo, tiny)
    done = command("copy", where, tmp_path / "second")
    assert done.returncode == 0 and done.stdout == f"{where} is copied to {tmp_path / 'second'}\n"
    assert answers(tmp_path / "second", zoo, tiny) == before == answers(where, zoo, tiny)
    again = command("copy", where, tmp_path / "second")
    assert again.returncode == 2 and "second: is a library already; name a new folder" in again.stderr
    refused = command("copy", where, zoo)
    assert refused.returncode == 2 and "expected a library or an empty folder, it holds" in refused.stderr
    with Library(tmp_path / "second") as library, library.writing():
        copy_library(library, tmp_path / "third")  # while it is written
    assert answers(tmp_path / "third", zoo, tiny) == before


@pytest.mark.parametrize("format_", [1, 2, 3, 4])
def test_a_library_of_an_older_format_is_migrated_into_another_folder_or_in_place(format_, tmp_path, tiny, command):
    old = tmp_path / "old"
    old.mkdir()
    kept = Path(__file__).parents[1] / "libraries" / f"format{format_}.sqlite.gz"
    (old / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    for file in kept.parent.glob(f"format{format_}/library.*"):
        shutil.copy(file, old)
    names = sorted(path.name for path in old.iterdir())
    bytes_ = file_bytes(old)
    with Library(old) as library:
        expected = {key: rows.tolist() for key, (rows, _) in all_rows(library).items()}
        assert len(expected) == 4 + (format_ == 4) and sum(map(len, expected.values())) == 10
    done = command("migrate", old, "--to", tmp_path / "new")
    assert done.returncode == 0 and done.stdout == f"{tmp_path / 'new'} is in the present format\n"
    assert file_bytes(old) == bytes_ and sorted(path.name for path in old.iterdir()) == names
    assert command("migrate", old).returncode == 0
    assert (old / f"library.format{format_}.sqlite").stat().st_size >= len(bytes_)
    for where in (old, tmp_path / "new"):
        with Library(where) as library:
            assert check(library) == []
            assert {key: rows.tolist() for key, (rows, _) in all_rows(library).items()} == expected
        with raw_database(where) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (schema.FORMAT,)


@pytest.mark.parametrize(
    "damage", ["substr(embedding, 5)", "zeroblob(192)", "'text'", "X'0000c07f' || substr(embedding, 5)"]
)
def test_damaged_vectors_of_an_older_format_are_left_out_with_a_warning(damage, tmp_path, caplog):
    old = tmp_path / "old"
    old.mkdir()
    kept = Path(__file__).parents[1] / "libraries" / "format3.sqlite.gz"
    (old / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    with raw_database(old) as db:
        db.execute(f"UPDATE vectors SET embedding = CAST({damage} AS BLOB) WHERE id = 2")
    migrate(old)
    assert "old: the vectors of 1 contents are damaged and were left out; index the files again" in caplog.text
    with Library(old) as library:
        assert sum(map(len, (rows for rows, _ in all_rows(library).values()))) == 9
        assert check(library) == []


# -- a folder that was copied by other means -----------------------------------------------------------------------


def test_a_copied_folder_is_verified_before_the_first_answer_and_once(where, zoo, tiny, tmp_path, monkeypatch):
    verified, real = [], space_rows.changed_contents
    monkeypatch.setattr(space_rows, "changed_contents", lambda *given: verified.append(given) or real(*given))
    place = shutil.copytree(where, tmp_path / "copied")
    assert len(search(zoo / "cats" / "0.png", place, host=tiny)) == 2
    assert len(verified) == 1
    assert len(search(zoo / "cats" / "0.png", place, host=tiny)) == 2
    assert len(verified) == 1


def test_a_folder_that_was_copied_while_it_was_written_gives_no_wrong_answer(where, zoo, tiny, tmp_path):
    place = shutil.copytree(where, tmp_path / "copied")
    _, vectors, _ = segment(place, 1, 48)
    vectors[2] = vectors[1]
    vectors.flush()
    with pytest.raises(LibraryError, match="copied: damaged .vectors are not those that were written; the folder may"):
        search(zoo / "cats" / "0.png", place, host=tiny)
    assert len(search(zoo / "dogs" / "0.wav", place, host=tiny)) == 1
    assert len(check(place)) == 1


# -- float16 -----------------------------------------------------------------------------------------------------------


def test_a_library_of_float16_is_half_as_large_and_finds_the_same(zoo, tiny, tmp_path, command):
    whole, half = tmp_path / "whole", tmp_path / "half"
    index(zoo, whole, models=MODELS, host=tiny)
    words = ("index", zoo, "-l", half, "-m", "colours.tiny", "-m", "loudness.tiny", "--store", "f16")
    assert command(*words).returncode == 0
    sizes = [sum(path.stat().st_size for path in where.glob("library.*.f[13]*")) for where in (whole, half)]
    assert sizes[0] == 2 * sizes[1] > 0
    with Library(whole) as one, Library(half) as other:
        expected, found = all_rows(one), all_rows(other)
        assert expected.keys() == found.keys()
        for key, (rows, spans) in expected.items():
            lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(found[key][0], axis=1)
            assert (np.einsum("ij,ij->i", rows, found[key][0]) / lengths >= 0.999999).all()
            np.testing.assert_array_equal(spans, found[key][1])
        for query in ("cats/0.png", "dogs/0.wav"):
            hits = [search(zoo / query, library, host=tiny) for library in (one, other)]
            assert [hit.item.path for hit in hits[0]] == [hit.item.path for hit in hits[1]]
            assert [hit.score for hit in hits[1]] == pytest.approx([hit.score for hit in hits[0]], abs=1e-3)
        assert (stats(one).store, stats(other).store) == ("f32", "f16")
    assert "vectors as float16" in command("stats", "-l", half).stdout
    assert check(half) == [] and command(*words).returncode == 0
    write_image(zoo / "new.png", 70)
    assert index(zoo, half, models=MODELS, host=tiny).counts == {"ok": 1, "unchanged": 5}
    forget([zoo / "cats" / "0.png"], half)
    compact(half)
    copy_library(half, tmp_path / "copied")
    assert check(half) == [] == check(tmp_path / "copied")
    assert not list(half.glob("library.*.f32")) and not list((tmp_path / "copied").glob("library.*.f32"))
    refused = command("index", zoo, "-l", half, "--store", "f32")
    assert refused.returncode == 2 and "store f32: expected f16, which the library keeps" in refused.stderr
