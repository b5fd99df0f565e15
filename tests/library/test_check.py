"""What `check` finds in a damaged library, and that damage is reported in one line everywhere else."""

from __future__ import annotations

import importlib
from random import Random

import numpy as np
import pytest

from library_files import file_bytes, raw_database, segment
from sightsound import Filter, Library, LibraryError, SightsoundError, check, compact, forget, search, stats
from sightsound.library.store import files

check_module = importlib.import_module("sightsound.library.check")  # its function has the same name


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            "DELETE FROM runs WHERE space = 1 AND content = 2",
            "item 2 is ok in colours.tiny but has no vectors there",
        ),
        ("DELETE FROM runs WHERE space = 1 AND content = 2", "segment 1: expected a run at row 1, got 2"),
        ("DELETE FROM runs WHERE space = 1 AND content = 3", "segment 1: 3 rows, 2 of them known"),
        ("UPDATE runs SET count = 2 WHERE space = 1 AND content = 2", "segment 1: expected a run at row 3, got 2"),
        ("UPDATE runs SET checksum = 7 WHERE space = 1 AND content = 2", "item 2: its vectors in colours.tiny"),
        ("UPDATE runs SET record_checksum = 7 WHERE space = 2 AND content = 4", "item 4: its vectors in loudness.tiny"),
        ("UPDATE segments SET rows = rows + 1 WHERE space = 1", ".f32: damaged, expected at least 768 bytes, got 576"),
        ("UPDATE segments SET name = 'a' WHERE space = 1", "segment 1: expected a name, got 'a'"),
        ("DELETE FROM outcomes WHERE item = 2", "1 vectors belong to no item"),
        ("DELETE FROM contents WHERE id = 2", "refers to a row of contents that is not there"),
        ("DELETE FROM roots", "refers to a row of roots that is not there"),
        (
            "UPDATE spaces SET facts = replace(facts, '\"revision\": 1', '\"revision\": 2')",
            "its facts do not give its fingerprint",
        ),
        ("UPDATE runs SET space = 77 WHERE content = 2", "refers to a row of spaces that is not there"),
    ],
)
def test_check_finds_rows_that_contradict_each_other(where, command, damage, words):
    assert check(where) == []
    with raw_database(where) as db:
        db.execute(damage)
    problems = check(where)
    assert any(words in str(problem) for problem in problems), problems
    assert all(problem.remedy and "\n" not in str(problem) for problem in problems)
    done = command("check", "-l", where)
    assert done.returncode == 1 and words in done.stdout
    assert done.stdout.splitlines()[-1] == f"{len(problems)} problems"


def test_check_finds_a_flipped_bit_in_a_vector(where):
    assert check(where) == []
    _, vectors, _ = segment(where, 1, 48)
    vectors.view(np.uint32)[1, 7] ^= 1
    vectors.flush()
    expected = "item 2: its vectors in colours.tiny have changed; forget it and index it again"
    assert list(map(str, check(where))) == [expected]


@pytest.mark.parametrize("field", ["content", "start", "stop", "norm"])
def test_check_finds_a_record_that_has_changed(where, field):
    assert check(where) == []
    _, _, records = segment(where, 2, 17)
    records[field][4] += 1
    records.flush()
    assert [problem.what for problem in check(where)] == ["item 5: its vectors in loudness.tiny have changed"]


@pytest.mark.parametrize("suffix", ["f32", "records"])
def test_check_finds_a_file_that_is_missing_or_too_short(where, suffix):
    assert check(where) == []
    file = min(where.glob(f"library.*.{suffix}"))
    file.write_bytes(file.read_bytes()[:-1])
    (problem,) = check(where)
    assert f"{file}: damaged, expected at least" in problem.what and problem.remedy
    file.unlink()
    (problem,) = check(where)
    assert f"{file}: is missing" in problem.what and problem.remedy


def test_check_leaves_an_open_library_open(where):
    with Library(where) as library:
        assert check(library) == [] and len(library.items()) == 5


# -- damage that other calls meet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE outcomes SET facts = 'nonsense'", lambda library: library.outcomes()),
        ("UPDATE outcomes SET seconds = 'long' WHERE space = 2", lambda library: library.outcomes()),
        ("UPDATE outcomes SET facts = '3'", lambda library: search(1, library, where=Filter(facts=("width=24",)))),
        ("UPDATE items SET path = 7 WHERE id = 1", lambda library: library.items()),
        ("UPDATE items SET path = 7 WHERE id = 2", lambda library: library.item(2)),
        ("UPDATE items SET path = 7 WHERE id = 2", lambda library: search(1, library)),
        ("UPDATE roots SET path = 7", lambda library: library.roots),
        ("UPDATE spaces SET facts = '{}'", lambda library: library.spaces),
        ("UPDATE segments SET dtype = 'f64' WHERE space = 1", lambda library: search(2, library)),
        ("UPDATE segments SET rows = 'all' WHERE space = 2", lambda library: search(4, library)),
        ("UPDATE runs SET count = 'all' WHERE space = 2", lambda library: search(4, library)),
        ("UPDATE runs SET first = 2000 WHERE space = 2", lambda library: search(4, library)),
    ],
)
def test_a_stored_value_that_cannot_be_decoded_is_reported_as_damage(where, damage, read):
    with Library(where) as library:
        read(library)
    with raw_database(where) as db:
        db.execute(damage)
    with Library(where) as library, pytest.raises(LibraryError, match="lib: damaged .*; run `sightsound check`"):
        read(library)


def test_an_error_outside_of_the_library_is_not_reported_as_damage(where, monkeypatch):
    def broken(self, path):
        raise TypeError("a bug in a filter")

    monkeypatch.setattr(Filter, "matches_path", broken)
    with Library(where) as library:
        with pytest.raises(TypeError, match="a bug in a filter"):
            search(1, library, where=Filter(paths=("*",)))
        with pytest.raises(LibraryError, match=f"no item {2**70} in lib"):
            library.item(2**70)


@pytest.mark.parametrize("flips", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_the_file_is_harmless_or_reported_in_one_line(where, zoo, tiny, tmp_path, flips):
    """Each time one random bit is flipped where the file is not zero, and in its header more often than elsewhere."""
    whole, random = file_bytes(where), Random(5)
    places = [i for i, byte in enumerate(whole) if byte] + list(range(100)) * 5
    copy = tmp_path / "copy"
    copy.mkdir()
    reports, messages, other_errors = 0, [], {}
    for _ in range(flips):
        data, at = bytearray(whole), random.choice(places)
        data[at] ^= 1 << random.randrange(8)
        (copy / "library.sqlite").write_bytes(data)
        for read in (check, stats, lambda path: search(np.ones(48), path, host=tiny)):
            try:
                reports += bool(read(copy)) and read is check
            except SightsoundError as error:
                messages.append(str(error))
                reports += 1
            except Exception as error:
                other_errors[at] = f"{whole[at]} -> {data[at]}: {type(error).__name__}: {error}"
    assert other_errors == {}
    assert not [message for message in messages if "\n" in message]
    assert reports > flips / 12


def test_a_truncated_file_is_reported(where, command):
    data = file_bytes(where)
    assert command("check", "-l", where).returncode == 0
    for size in (50, 100, 65536, len(data) // 2, len(data) - 65536):
        (where / "library.sqlite").write_bytes(data[:size])
        done = command("check", "-l", where)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, (size, done)


def test_check_and_stats_beside_compact_do_not_report_files_that_were_replaced(where, zoo, monkeypatch):
    forget([zoo / "cats" / "0.png"], where)
    found, examine, bytes_of = [], check_module._EXAMINED[0], files.find_segment_files

    def compact_meanwhile(database):
        problems = list(examine(database))
        if not found:
            found.append(compact(where))
        return problems

    monkeypatch.setattr(check_module, "_EXAMINED", (compact_meanwhile, *check_module._EXAMINED[1:]))
    assert check(where) == [] and len(found) == 1
    forget([zoo / "cats" / "1.png"], where)

    def compact_then(folder):
        there = list(bytes_of(folder))
        monkeypatch.setattr(files, "find_segment_files", bytes_of)
        compact(where)
        return iter(there)

    monkeypatch.setattr(files, "find_segment_files", compact_then)
    assert stats(where).bytes > 0
