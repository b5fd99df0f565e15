"""Two libraries become one: rows are copied, labels joined, and what differs is refused until somebody decides."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from library_files import all_rows
from made import write_image, write_sound
from sightsound import (
    Item,
    Library,
    LibraryError,
    MergeConflict,
    check,
    index,
    merge_libraries,
    search,
)
from sightsound.cli.merge import merge
from sightsound.contract.results import Outcome
from sightsound.library.merging import source
from sightsound.library.store import commit_pace, segments
from sightsound.library.store.schema import NAMES
from sightsound.library.store.writer import Writer

MODELS = ("colours.tiny", "loudness.tiny")
TABLES = {
    "items": "SELECT r.path, i.path, i.size, i.mtime_ns, hex(c.hash), c.modality FROM items i"
    " JOIN roots r ON r.id = i.root LEFT JOIN contents c ON c.id = i.content",
    "labels": 'SELECT i.path, l."column", l.value FROM labels l JOIN items i ON i.id = l.item',
    "outcomes": "SELECT i.path, s.name, o.status, o.reason, o.flags, o.seconds, o.facts, hex(c.hash) FROM outcomes o"
    " JOIN items i ON i.id = o.item LEFT JOIN spaces s ON s.id = o.space LEFT JOIN contents c ON c.id = o.content",
    "highest": "SELECT hex(c.hash), s.name, k.label, h.score FROM highest h JOIN contents c ON c.id = h.content"
    " JOIN spaces s ON s.id = h.space JOIN classes k ON k.id = h.class",
    "tags": "SELECT hex(c.hash), t.label, t.start, t.stop FROM tags t JOIN contents c ON c.id = t.content",
}


def content(where):
    """What is in a library, whatever its numbers."""
    with Library(where) as library:
        found = {name: sorted(library.rows(query), key=repr) for name, query in TABLES.items()}
        rows = all_rows(library)
        scores = [
            (space.name, kept.outcomes[0].item.path, kept.scores.tolist())
            for space in library.spaces
            for kept in library.scores_in(space)
        ]
    found["rows"] = sorted((*key, str(spans), each.tolist()) for key, (each, spans) in rows.items())
    return found | {"scores": sorted(scores)}


def files(where):
    """The bytes of the files of a library, but for those of readers."""
    return {path.name: path.read_bytes() for path in Path(where).iterdir() if not path.name.endswith(("-shm", "-wal"))}


def label(where, **labels):
    with Library(where) as library, library.writing() as writer:
        for item in library.items():
            if item.path in labels:
                writer.items.label(item.id, "who", labels[item.path])


@pytest.fixture
def small_files(monkeypatch):
    """At most five rows of `loudness.tiny` in a file, and two of `colours.tiny`."""
    monkeypatch.setattr(segments, "MAX_BYTES", 4 * 48 * 2)


@pytest.fixture
def two(tiny, tmp_path):
    """The folders of two libraries that have an item in common, and a content."""
    for i in range(3):
        write_image(tmp_path / "left" / f"{i}.png", i)
    for i in range(2):
        write_sound(tmp_path / "right" / f"{i}.wav", i, seconds=2)
    write_image(tmp_path / "right" / "7.png", 7)
    shutil.copy(tmp_path / "left" / "1.png", tmp_path / "right" / "copy.png")
    (tmp_path / "right" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (tmp_path / "right" / "text").write_text("hello")
    index(tmp_path / "left", tmp_path / "a", models=MODELS, host=tiny, label_from="folder")
    index([tmp_path / "right", tmp_path / "left" / "0.png"], tmp_path / "b", models=MODELS, host=tiny)
    return tmp_path / "a", tmp_path / "b"


def both_at_once(tiny, tmp_path):
    """The library that indexing all at once gives."""
    index(tmp_path / "left", tmp_path / "all", models=MODELS, host=tiny, label_from="folder")
    index(tmp_path / "right", tmp_path / "all", models=MODELS, host=tiny)
    return tmp_path / "all"


def test_a_merged_library_is_as_if_all_had_been_indexed_into_it(two, tiny, tmp_path):
    a, b = two
    before = files(a), files(b)
    report = merge_libraries(a, b, tmp_path / "c")
    assert (files(a), files(b)) == before
    assert (report.items, report.known, report.conflicts) == (6, 1, 0)
    expected = content(both_at_once(tiny, tmp_path))
    assert content(tmp_path / "c") == expected and check(tmp_path / "c") == []
    assert report.rows == 1 + sum(len(rows) for _, name, _, rows in expected["rows"] if name == "loudness.tiny")
    again = merge_libraries(a, b, tmp_path / "c")
    assert (again.items, again.rows, again.known) == (0, 0, 7) and content(tmp_path / "c") == expected
    for query in (tmp_path / "left" / "0.png", tmp_path / "right" / "1.wav"):
        ours, theirs = (
            {(hit.item.path, hit.score) for hit in search(query, where, host=tiny)}
            for where in (tmp_path / "c", tmp_path / "all")
        )
        assert ours == theirs and ours


def test_one_library_takes_in_the_other(two, tiny, tmp_path):
    a, b = two
    before = files(b)
    merge_libraries(a, b, a)
    assert files(b) == before
    expected = content(both_at_once(tiny, tmp_path))
    assert content(a) == expected and check(a) == []
    with Library(b) as ours, Library(a) as theirs:
        assert ours.merge(theirs).known == 7
        assert ours.merge(theirs).items == 0
    assert content(b) == expected and check(b) == []


@pytest.mark.parametrize("nested", ["a", "b"])
def test_a_file_is_one_item_though_the_roots_of_the_libraries_differ(tiny, tmp_path, nested):
    """One of them was made of a folder, the other of the folder above it. Labels of the file may conflict, too."""
    for i in range(3):
        write_image(tmp_path / "top" / "in" / f"{i}.png", i)
    write_image(tmp_path / "top" / "above.png", 9)
    where = {name: tmp_path / name for name in ("a", "b")}
    for name, folder in where.items():
        index(tmp_path / "top" / ("in" if name == nested else ""), folder, models=["colours.tiny"], host=tiny)
    (tmp_path / "top" / "in" / "2.png").rename(tmp_path / "top" / "in" / "3.png")
    index(tmp_path / "top", where["b"], models=["colours.tiny"], host=tiny)
    for name in where:
        label(where[name], **{"0.png" if name == nested else "in/0.png": [name]})
    with pytest.raises(MergeConflict, match="who is a in the first, b in the second"):
        merge_libraries(where["a"], where["b"], tmp_path / "c")
    merge_libraries(where["a"], where["b"], tmp_path / "c", prefer="both")
    with Library(tmp_path / "c") as library:
        found = {item.file.name: library.labels(item.id) for item in library.items()}
        assert len(found) == len(list(library.items())), "each file once"
    assert found["0.png"] == {"who": ("a", "b")} and check(tmp_path / "c") == []
    assert index(tmp_path / "top", tmp_path / "c", models=["colours.tiny"], host=tiny).counts["ok"] == 0


def test_a_third_library_is_refused_and_so_is_one_library_twice(two, tmp_path):
    a, b = two
    shutil.copytree(a, tmp_path / "other")
    with pytest.raises(LibraryError, match="is a library already; name a new folder"):
        merge_libraries(a, b, tmp_path / "other")
    with pytest.raises(LibraryError, match="expected two libraries, got one twice"):
        merge_libraries(a, a, tmp_path / "c")
    with pytest.raises(LibraryError, match="no library at"):
        merge_libraries(a, tmp_path / "nothing", tmp_path / "c")
    assert not (tmp_path / "c").exists() and not (tmp_path / "nothing").exists()


def test_labels_that_differ_are_listed_and_refused(two, tmp_path):
    a, b = two
    label(a, **{"0.png": ["Tom"], "1.png": ["Ann"], "2.png": ["Eve"]})
    label(b, **{"0.png": ["Tim"], "copy.png": ["Bob"], "7.png": ["Eve"]})
    before = content(a), content(b)
    with pytest.raises(MergeConflict, match="a and b differ in 2 labels or contents") as error:
        merge_libraries(a, b, tmp_path / "c")
    assert {(each.path, each.column, each.a, each.b) for each in error.value.conflicts} == {
        ("0.png", "who", ("Tom",), ("Tim",)),
        ("copy.png", "who", ("Ann",), ("Bob",)),
    }
    with pytest.raises(MergeConflict):
        merge_libraries(a, b, b)
    assert (content(a), content(b)) == before and not (tmp_path / "c").exists()


@pytest.mark.parametrize("into", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("a", {"0.png": ["Tom"], "1.png": ["Ann"], "copy.png": ["Ann"]}),
        ("b", {"0.png": ["Tim"], "1.png": ["Bob"], "copy.png": ["Bob"]}),
        ("both", {"0.png": ["Tim", "Tom"], "1.png": ["Ann", "Bob"], "copy.png": ["Ann", "Bob"]}),
    ],
)
def test_labels_that_differ_are_those_of_the_preferred_library(two, tmp_path, prefer, expected, into):
    a, b = two
    label(a, **{"0.png": ["Tom"], "1.png": ["Ann"], "2.png": ["Eve"]})
    label(b, **{"0.png": ["Tim"], "copy.png": ["Bob"], "7.png": ["Eve"]})
    for _ in range(2):  # the same again changes nothing
        merge_libraries(a, b, tmp_path / into, prefer=prefer)
        with Library(tmp_path / into) as library:
            found = {item.path: list(library.labels(item.id).get("who", ())) for item in library.items()}
        assert found == {
            **{path: [] for path in ("0.wav", "1.wav", "bad.png", "text")},
            **expected,
            "2.png": ["Eve"],
            "7.png": ["Eve"],
        }


@pytest.mark.parametrize(("prefer", "kept"), [("a", 0), ("b", 1)])
def test_a_file_that_changed_between_two_libraries_is_a_conflict(two, tiny, tmp_path, prefer, kept):
    a, b = two
    write_image(tmp_path / "left" / "0.png", 99)
    index(tmp_path / "left" / "0.png", b, models=MODELS, host=tiny)
    with Library(a) as first, Library(b) as second:
        hashes = [first.content(1), next(second.content(i.id) for i in second.items() if i.path == "0.png")]
    with pytest.raises(MergeConflict, match="content is"):
        merge_libraries(a, b, tmp_path / "c")
    merge_libraries(a, b, tmp_path / "c", prefer=prefer)
    with Library(tmp_path / "c") as library:
        assert library.content(1) == hashes[kept]
        assert library.vectors(tiny.space("colours.tiny"), hashes[kept]) is not None
        assert library.vectors(tiny.space("colours.tiny"), hashes[1 - kept]) is None
    assert check(tmp_path / "c") == []


def test_an_ok_outcome_counts_more_than_a_failure(two, tiny, tmp_path):
    a, b = two
    space = tiny.space("colours.tiny")
    with Library(a) as library, library.writing() as writer:
        item = library.item(1)
        writer.items.find(Item(item.root, item.path))
        writer.outcomes.record(Outcome(Item(item.root, item.path), "failed", "a bad disk"), writer.space_id(space))
    merge_libraries(a, b, tmp_path / "c")
    merge_libraries(b, a, tmp_path / "d")
    for name in ("c", "d"):
        with Library(tmp_path / name) as library:
            status = {o.item.path: o.status for o, name in library.outcomes() if name == "colours.tiny"}
        assert status["0.png"] == "ok" and check(tmp_path / name) == []


def test_scores_of_either_library_are_kept(tiny, zoo, tmp_path):
    for name, scores in (("a", False), ("b", True)):
        index(zoo / "dogs", tmp_path / name, models=["loudness.tiny"], host=tiny, scores=scores)
    merge_libraries(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    merge_libraries(tmp_path / "b", tmp_path / "a", tmp_path / "d")
    expected = content(tmp_path / "b")
    assert expected["scores"] and expected["highest"]
    for name in ("c", "d"):
        assert content(tmp_path / name) == expected and check(tmp_path / name) == []


@pytest.mark.skipif("ranges" not in NAMES, reason="the format of libraries has no labels of time ranges")
def test_labels_of_time_ranges_are_joined(two, tmp_path):
    a, b = two
    both = (1.0, 2.0, None, None, None, "call", "owl")
    for folder, path, mine in ((a, "0.png", (3.0, 4.0, 100.0, None, 1, "call", "a")), (b, "0.wav", both)):
        with Library(folder) as library, library.writing() as writer:
            ids = [item.id for item in library.items() if item.path in (path, "0.png")]
            for id_ in ids:
                writer.intake.add_ranges(id_, [both, mine, both])
    query = (
        "SELECT i.path, g.start, g.low_hz, g.channel, g.value FROM ranges g JOIN items i ON i.id = g.item ORDER BY 1, 2"
    )
    for _ in range(2):
        merge_libraries(a, b, tmp_path / "c")
        with Library(tmp_path / "c") as library:
            assert library.rows(query) == [
                (b"0.png", 1.0, None, None, "owl"),
                (b"0.png", 3.0, 100.0, 1, "a"),
                (b"0.wav", 1.0, None, None, "owl"),
            ]
    assert check(tmp_path / "c") == []


@pytest.mark.parametrize("stores", [("f32", "f16"), ("f16", "f32")])
def test_precisions_may_differ(tiny, zoo, tmp_path, stores):
    for name, store, folder in zip("ab", stores, ("cats", "dogs")):
        index(zoo / folder, tmp_path / name, models=MODELS, host=tiny, store=store)
    merge_libraries(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    with Library(tmp_path / "b") as library, Library(tmp_path / "c") as merged:
        assert merged.store == stores[0]
        ours, theirs = all_rows(merged), all_rows(library)
        assert ours.keys() > theirs.keys()
        for key, (rows, spans) in theirs.items():
            np.testing.assert_allclose(ours[key][0], rows, rtol=2e-3)
            assert np.array_equal(ours[key][1], spans)
    assert check(tmp_path / "c") == []


def test_rows_of_several_segments_and_a_reader_that_is_open(small_files, two, tiny, tmp_path):
    a, b = two
    with Library(a) as library:
        assert len(search(1, library, host=tiny)) == 2
        with Library(b) as other:
            library.merge(other)
        assert len(search(1, library, host=tiny)) == 4
    assert check(a) == [] and content(a) == content(both_at_once(tiny, tmp_path))


def test_a_damaged_library_is_not_taken_in(two, tmp_path):
    a, b = two
    with Library(b) as library:
        ((name,),) = library.rows("SELECT name FROM segments ORDER BY id LIMIT 1")
    file = b / f"library.{name}.f32"
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.write_bytes(data)
    with pytest.raises(LibraryError, match="are not those that were written"):
        merge_libraries(a, b, a)
    assert check(a) == []


def test_a_library_of_an_older_format_is_taken_in(two, old_library, tmp_path):
    a, _ = two
    before = files(old_library)
    merge_libraries(a, old_library, tmp_path / "c")
    merge_libraries(old_library, a, tmp_path / "d")
    assert files(old_library) == before
    assert content(tmp_path / "c") == content(tmp_path / "d") and content(tmp_path / "c")["tags"]
    assert check(tmp_path / "c") == [] == check(tmp_path / "d")
    kept = Path(__file__).parents[1] / "libraries" / "format3.sqlite.gz"
    assert before["library.sqlite"] == gzip.decompress(kept.read_bytes())


def test_files_that_are_gone_are_not_taken_for_renamed_ones(two, tiny, tmp_path):
    a, b = two
    (tmp_path / "left" / "1.png").unlink()  # whose content copy.png has
    report = merge_libraries(a, b, tmp_path / "c")
    assert report.items == 6
    with Library(tmp_path / "c") as library:
        assert {"1.png", "copy.png"} <= {item.path for item in library.items()}


@pytest.mark.parametrize("prefer", ["a", "b", "both"])
def test_time_ranges_of_a_path_with_another_content_are_kept(tiny, tmp_path, prefer):
    for name, number in (("a", 0), ("b", 1)):
        write_sound(tmp_path / "media" / "dawn.wav", number, seconds=4)
        index(tmp_path / "media", tmp_path / name, models=["loudness.tiny"], host=tiny)
        with Library(tmp_path / name) as library, library.writing() as writer:
            writer.intake.add_ranges(1, [(number, number + 1.0, None, None, None, "call", f"of {name}")])
    assert merge_libraries(tmp_path / "a", tmp_path / "b", tmp_path / "c", prefer=prefer).conflicts == 1
    with Library(tmp_path / "c") as library:
        assert [(each.start, each.value) for each in library.ranges(1)] == [(0, "of a"), (1, "of b")]


def test_the_command_line(two, tmp_path):
    a, b = (str(each) for each in two)
    label(a, **{"0.png": ["Tom"]})
    label(b, **{"0.png": ["Tim"]})
    ran = CliRunner().invoke(merge, [a, b, "--into", str(tmp_path / "c")])
    assert isinstance(ran.exception, MergeConflict) and ran.output.splitlines()[1].split() == [
        "who",
        "Tom",
        "Tim",
        str(tmp_path / "left" / "0.png"),
    ]
    ran = CliRunner().invoke(merge, [a, b, "--into", str(tmp_path / "c"), "--prefer", "b", "--json"])
    assert json.loads(ran.output) == {"items": 6, "known": 1, "rows": 7, "conflicts": 1, "copied": 3}
    ran = CliRunner().invoke(merge, [a, b, "--into", str(tmp_path / "d"), "--prefer", "b"])
    counts = f"3 items of {a}; 6 items of {b} and 7 vectors taken in; 1 known; 1 conflicts settled"
    assert ran.output == f"{tmp_path / 'd'}: {counts}\n"
    ran = CliRunner().invoke(merge, [a, b, "--into", a, "--prefer", "a"])
    assert ran.output == f"{a}: 6 items and 7 vectors taken in; 1 known; 1 conflicts settled\n"


def test_a_file_below_another_root_is_known(tiny, tmp_path):
    """The same file, indexed by its own folder in one library and by a folder above it in the other."""
    deep = tmp_path / "all" / "deep"
    for number in range(2):
        write_image(deep / f"{number}.png", number)
    write_image(tmp_path / "all" / "0.png", 7)
    index(deep, tmp_path / "below", models=MODELS, host=tiny)
    index(tmp_path / "all", tmp_path / "above", models=MODELS, host=tiny)
    label(tmp_path / "above", **{"deep/0.png": ["we"]})
    label(tmp_path / "below", **{"0.png": ["they"], "1.png": ["both"]})
    with pytest.raises(MergeConflict, match=f"such as {deep / '0.png'}: who is we in the first") as raised:
        merge_libraries(tmp_path / "above", tmp_path / "below", tmp_path / "new")
    assert [(each.item.file, each.a, each.b) for each in raised.value.conflicts] == [
        (deep / "0.png", ("we",), ("they",))
    ]
    for a, b, known in (("above", "below", 2), ("below", "above", 2)):
        report = merge_libraries(tmp_path / a, tmp_path / b, tmp_path / f"of {a}", prefer="b")
        with Library(tmp_path / f"of {a}") as merged:
            found = {
                item.file: merged.rows("SELECT value FROM labels WHERE item = ?", item.id) for item in merged.items()
            }
            assert len(found) == len(list(merged.items())) == 3
        assert found[deep / "0.png"] == [("they" if b == "below" else "we",)] and found[deep / "1.png"] == [("both",)]
        assert report.known == known and check(tmp_path / f"of {a}") == []


# -- many at a time ---------------------------------------------------------------------------------------------------


@pytest.fixture
def odd(two, tiny, tmp_path):
    """A library with what is not taken in with others at once: an older content, copies; and labels of ranges."""
    for i in range(3):
        shutil.copy(tmp_path / "left" / f"{i % 2}.png", tmp_path / "right" / f"same{i}.png")
    write_image(tmp_path / "right" / "changed.png", 50)
    index(tmp_path / "right", two[1], models=MODELS, host=tiny)
    with Library(two[1]) as library, library.writing() as writer:
        numbers = {item.path: item.id for item in library.items()}
        for path in ("7.png", "1.wav"):
            found = library.item(numbers[path])
            writer.intake.add_ranges(numbers[path], [(0.5, 1.0, None, None, 1, "call", "owl")] * 2)
            writer.items.label(numbers[path], "who", ["Tom", "Ann"])
        changed = library.item(numbers["changed.png"])
        writer.items.record(Item(changed.root, changed.path), (1, 1), bytes(32), "image")
        space = writer.space_id(tiny.space(MODELS[1]))
        writer.outcomes.record(Outcome(Item(found.root, found.path), "ok", seconds=9.0), space)
    return two[1]


@pytest.mark.parametrize("limits", [(1, 1, 2**20), (2, 3, 2**20), (1000, 20_000, 2**22), (1000, 2, 100)])
def test_blocks_and_commits_of_any_size_give_the_same(odd, tiny, two, tmp_path, monkeypatch, limits):
    monkeypatch.setattr(source, "_ITEMS", limits[0])
    monkeypatch.setattr(commit_pace, "_LEAST_ITEMS", limits[1])
    monkeypatch.setattr("sightsound.library.merging.bulk_merge.STRETCH_BYTES", limits[2])
    Library(tmp_path / "empty", create=True).close()
    report = merge_libraries(odd, tmp_path / "empty", tmp_path / "empty")
    expected = content(odd)
    assert report.items == len(expected["items"]) and report.rows == len([r for r in expected["rows"] for _ in r[-1]])
    assert content(tmp_path / "empty") == expected and check(tmp_path / "empty") == []
    report = merge_libraries(two[0], odd, tmp_path / "c")
    assert check(tmp_path / "c") == [] and (report.items, report.known) == (len(expected["items"]) - 1, 1)
    merge_libraries(odd, two[0], tmp_path / "d")
    assert content(tmp_path / "d") == content(tmp_path / "c")


def test_rows_of_many_contents_fill_several_files(small_files, odd, tmp_path):
    Library(tmp_path / "empty", create=True).close()
    merge_libraries(tmp_path / "empty", odd, tmp_path / "c")
    assert content(tmp_path / "c") == content(odd) and check(tmp_path / "c") == []


def test_a_file_that_the_source_has_below_two_roots_is_one_item(two, tiny, tmp_path):
    with Library(two[1]) as library, library.writing() as writer:
        below = Item(str(tmp_path), "right/7.png")
        first = next(item for item in library.items() if item.path == "7.png")
        writer.items.record(below, (1, 1), library.content(first.id), "image", renamed=False)
        writer.outcomes.copy(below, library.content(first.id), writer.space_id(tiny.space(MODELS[0])))
    Library(tmp_path / "empty", create=True).close()
    report = merge_libraries(tmp_path / "empty", two[1], tmp_path / "c")
    with Library(tmp_path / "c") as merged:
        files_ = [item.file for item in merged.items()]
    assert len(files_) == len(set(files_)) == report.items and report.known == 1


def test_commits_are_few_and_readers_see_whole_ones(two, tiny, tmp_path, monkeypatch):
    """A commit writes pages of all indexes again: they are as many as the library grows by halves, or it takes long."""
    seen = []

    def commit(writer, committed=Writer.commit):
        committed(writer)
        with Library(tmp_path / "into") as library:
            found = list(library.items())
            assert all(library.content(item.id) for item in found)
            seen.append(len(found))

    Library(tmp_path / "into", create=True).close()
    monkeypatch.setattr(Writer, "commit", commit)
    monkeypatch.setattr(source, "_ITEMS", 1)
    with Library(two[1]) as library:
        count = len(list(library.items()))
    merge_libraries(two[1], tmp_path / "into", tmp_path / "into")
    assert set(seen) == {count}, "at the end"
    seen.clear()
    monkeypatch.setattr(commit_pace, "_LEAST_ITEMS", 2)
    shutil.rmtree(tmp_path / "into")
    Library(tmp_path / "into", create=True).close()
    merge_libraries(two[1], tmp_path / "into", tmp_path / "into")
    assert sorted(set(seen)) == [2, 4, 6, count]
    monkeypatch.setattr(commit_pace, "_MOST_BYTES", 1)
    shutil.rmtree(tmp_path / "into")
    Library(tmp_path / "into", create=True).close()
    seen.clear()
    merge_libraries(two[1], tmp_path / "into", tmp_path / "into")
    assert len(set(seen)) > 4, "after each item with rows"
