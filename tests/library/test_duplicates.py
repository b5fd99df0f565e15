"""Near-duplicates: which files are in a group, which one is kept, parts of recordings, and the tables."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from PIL import Image

import made
from library_files import POSIX, segment
from sightsound import (
    Item,
    Library,
    LibraryError,
    SightsoundError,
    build_index,
    find_duplicates,
    forget,
    index,
    write_duplicates_csv,
)
from sightsound.cli.duplicates import duplicates
from sightsound.contract.arrays import unit_rows
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library.approximate import measuring
from sightsound.library.duplicates import graph, identical, lists, pairs, rows
from sightsound.library.duplicates.graph import SimilarityGraph, approximate_graph, exact_graph, similarity_graph
from sightsound.library.duplicates.groups import around_kept
from sightsound.library.duplicates.identical import first_of_each
from sightsound.library.duplicates.keep import quality
from sightsound.library.duplicates.pairs import similar_pairs
from sightsound.library.duplicates.rows import ArrayRows, StoredRows, item_rows, recording_row
from sightsound.library.store import segments, user_key

MODEL = "colours.tiny"


def write_grid(path: Path, seed: int, size: int = 64, **options) -> Path:
    """Write an image of 4 x 4 random colours, which no other seed has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(colours.repeat(size // 4, axis=0).repeat(size // 4, axis=1))
    image.save(os.fspath(path), **options)
    return path


@pytest.fixture
def grids(tmp_path):
    """Six different images, and altered copies of two of them."""
    folder = tmp_path / "grids"
    for i in range(6):
        write_grid(folder / f"{i}.png", i)
    write_grid(folder / "copies" / "0.jpg", 0, 128, quality=75)
    write_grid(folder / "copies" / "0 small.png", 0, 32)
    write_grid(folder / "copies" / "3.jpg", 3, 64, quality=60)
    return folder


@pytest.fixture
def library(tiny, grids, tmp_path):
    """A library of these images."""
    index(grids, tmp_path / "lib", models=[MODEL], host=tiny)
    return tmp_path / "lib"


def paths(found):
    """The paths of each group of the only space, the one to keep first."""
    (duplicates,) = found
    return [[each.item.path for each in group.files] for group in duplicates]


# -- pairs and groups ----------------------------------------------------------------------------------------------


def brute_force(vectors, least, chosen=None, owners=None):
    scores = vectors @ vectors.T
    found = {(a, b) for a, b in zip(*np.nonzero(scores >= least)) if a < b}
    if chosen is not None:
        found = {pair for pair in found if set(pair) & set(chosen.tolist())}
    if owners is not None:
        found = {(a, b) for a, b in found if owners[a] != owners[b]}
    return found


@pytest.mark.parametrize("chosen", [None, np.array([0, 3, 50, 51, 199])])
@pytest.mark.parametrize("owners", [None, np.arange(200) // 3])
def test_pairs_are_those_of_all_comparisons(monkeypatch, chosen, owners):
    monkeypatch.setattr(pairs, "_ROWS", 7)
    monkeypatch.setattr(pairs, "_OTHERS", 23)
    monkeypatch.setattr(pairs, "_PAIRS", 5)
    vectors = unit_rows(np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32))
    found = [*similar_pairs([ArrayRows(vectors)], 0.7, chosen=chosen, owners=owners)]
    each = [(int(a), int(b)) for part in found for a, b in zip(*part[:2])]
    expected = brute_force(vectors, 0.7, chosen, owners)
    assert len(each) == len(set(each)) and set(each) == expected and len(expected) > 10
    for a, b, similarity in found:
        assert similarity == pytest.approx(np.sum(vectors[a] * vectors[b], axis=1), abs=1e-6)


def test_a_row_has_only_its_nearest_neighbours_and_equal_rows_stay_together(monkeypatch):
    monkeypatch.setattr(pairs, "_ROWS", 16)
    monkeypatch.setattr(pairs, "_OTHERS", 8)
    same = np.tile(unit_rows(np.ones((1, 5), np.float32)), (100, 1))
    found = exact_graph(ArrayRows(same), 0.99, "same")
    assert len(found.a) <= 100 * graph.NEIGHBOURS < 100 * 99 / 2
    kept, similarity = around_kept(ArrayRows(same), found, np.arange(100)[::-1].copy(), 0.99)
    assert set(kept.tolist()) == {99} and similarity.min() > 0.99
    some = [*similar_pairs([ArrayRows(same)], 0.99, most=3)]
    assert np.bincount(np.concatenate([a for a, _, _ in some])).max() == 3


def test_a_chain_is_no_group():
    """Each of these is similar to the next one alone: the one in the middle may stand for both others."""
    angles = np.radians([0, 20, 40, 60, 80])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    least = float(np.cos(np.radians(25)))
    found = exact_graph(ArrayRows(vectors), least, "chain")
    assert list(zip(found.a.tolist(), found.b.tolist())) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    kept, similarity = around_kept(ArrayRows(vectors), found, np.array([2, 0, 1, 3, 4]), least)
    assert kept.tolist() == [2, 0, 2, 2, 4]
    assert similarity.tolist() == pytest.approx([1, 1, np.cos(np.radians(20)), np.cos(np.radians(20)), 1], abs=1e-6)
    kept, _ = around_kept(ArrayRows(vectors), found, np.arange(5), least)
    assert kept.tolist() == [0, 0, 2, 2, 4]


def test_no_rows_give_no_groups():
    none = SimilarityGraph(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    kept, similarity = around_kept(ArrayRows(np.empty((0, 3), np.float32)), none, np.empty(0, np.int64), 0.9)
    assert len(kept) == len(similarity) == 0
    assert len(exact_graph(ArrayRows(np.empty((0, 3), np.float32)), 0.9, "none").a) == 0


# -- files of a library --------------------------------------------------------------------------------------------


def test_altered_copies_are_grouped_around_the_best_file(library):
    (found,) = find_duplicates(library, threshold=0.99)
    assert (found.groups, found.others, found.compared, found.kind) == (2, 3, 9, "")
    assert paths([found]) == [["3.png", "copies/3.jpg"], ["copies/0.jpg", "0.png", "copies/0 small.png"]]
    second, first = found
    assert [each.keep for each in first.files] == [True, False, False] and (second.number, first.number) == (1, 2)
    assert first.files[0].reason.startswith("best: 128 x 128 px JPEG, ") and first.files[0].similarity == 1
    assert all(0.99 <= each.similarity <= 1 for each in (*first.files, *second.files))
    assert second.files[1].reason.startswith("similar: 64 x 64 px JPEG, "), "lossless is kept before lossy"
    assert str(second) == "3.png = copies/3.jpg"


@pytest.mark.parametrize(
    ("keep", "expected"), [("largest", {"copies/0.jpg", "copies/3.jpg"}), ("oldest", {"copies/0 small.png", "3.png"})]
)
def test_which_file_is_kept_follows_the_rule(tiny, grids, tmp_path, keep, expected):
    order = ["copies/0 small.png", "copies/0.jpg", "0.png", "3.png", "copies/3.jpg"]
    for second, file in enumerate(order, 1):
        os.utime(grids / file, (second, second))
    shutil.copy(grids / "3.png", grids / "3 same.png")
    os.utime(grids / "3 same.png", (9, 9))
    index(grids, tmp_path / "other", models=[MODEL], host=tiny)
    found = find_duplicates(tmp_path / "other", threshold=0.99, keep=keep)
    assert {group[0] for group in paths(found)} == expected
    assert sorted(map(sorted, paths(found))) == [
        ["0.png", "copies/0 small.png", "copies/0.jpg"],
        ["3 same.png", "3.png", "copies/3.jpg"],
    ]
    if keep == "oldest":
        assert "oldest: 1970-01-01 00:00:01 (file time)" in {group.files[0].reason for group in found[0]}


def test_files_of_the_same_bytes_are_shown_as_such_whatever_the_threshold(tiny, grids, tmp_path):
    shutil.copy(grids / "5.png", grids / "5 again.png")
    shutil.copy(grids / "copies" / "3.jpg", grids / "3 again.jpg")
    index(grids, tmp_path / "lib", models=[MODEL], host=tiny)
    (found,) = find_duplicates(tmp_path / "lib", "colours.tiny", threshold=1.0)
    same = [group for group in found if group.files[1].same_bytes]
    assert [str(group) for group in same] == ["3 again.jpg = copies/3.jpg", "5 again.png = 5.png"]
    assert all(group.files[1].reason.startswith("same bytes: ") for group in same)
    (found,) = find_duplicates(tmp_path / "lib", threshold=0.99)
    of_three = next(group for group in found if "3.png" in str(group))
    assert [each.same_bytes for each in of_three.files] == [False, False, False] and len(of_three.files) == 3


def test_only_new_files_are_compared(library, grids):
    found = find_duplicates(library, threshold=0.99, against=grids / "copies" / "3.jpg")
    assert paths(found) == [["3.png", "copies/3.jpg"]]
    assert paths(find_duplicates(library, threshold=0.99, against=[grids / "1.png", grids / "2.png"])) == []
    every = paths(find_duplicates(library, threshold=0.99))
    assert paths(find_duplicates(library, threshold=0.99, against=[grids / "copies"])) == every
    assert paths(find_duplicates(library, threshold=0.99, against=[grids])) == every
    with pytest.raises(LibraryError, match=r"nothing of this path is in lib; index it first: sightsound index .*other"):
        find_duplicates(library, against=[grids / "copies", grids / "other"])
    with pytest.raises(LibraryError, match="an empty path"):
        find_duplicates(library, against=[""])


def test_what_was_forgotten_is_not_found(library, grids):
    forget(grids / "copies" / "0.jpg", library)
    assert paths(find_duplicates(library, threshold=0.99)) == [
        ["0.png", "copies/0 small.png"],
        ["3.png", "copies/3.jpg"],
    ]
    with Library(library) as opened:
        found = find_duplicates(opened, threshold=0.99)
        forget(grids / "0.png", opened)
        assert paths(found) == [["3.png", "copies/3.jpg"]], "it is read anew"


def test_stored_rows_are_those_of_the_library_without_removed_ones(tiny, zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 4 * 17 * 4)
    for i in range(5):
        made.write_sound(zoo / "more" / f"{i}.wav", 10 + i, seconds=1.5 + i)
    index(zoo, tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    forget(zoo / "more" / "2.wav", tmp_path / "lib")
    with Library(tmp_path / "lib") as library:
        (space,) = library.spaces
        _, _, view = library.mapped_rows(space)
        stored, pooled = StoredRows(view), item_rows(view)
        assert len(view.runs) > 3 and len(stored) == library.spaces[space]
        every = stored.block(0, len(stored))
        numbers = np.random.default_rng(0).permutation(len(stored))
        assert np.array_equal(stored.take(numbers), every[numbers])
        assert np.array_equal(np.concatenate([stored.block(i, i + 1) for i in range(len(stored))]), every)
        ids = dict(library.rows("SELECT hash, id FROM contents"))
        for content, hash_ in ((id_, h) for h, id_ in ids.items()):
            found = library.vectors(space, hash_)
            if found is None:
                continue
            mine = np.flatnonzero(stored.contents == content)
            spans = stored.spans(mine)
            order = mine[np.argsort(spans[:, 0])]
            assert every[order] == pytest.approx(unit_rows(found[0]), abs=1e-6)
            (at,) = np.flatnonzero(pooled.contents == content)
            (row,) = pooled.take(np.array([at]))
            parts = np.concatenate([found[0].mean(axis=0), found[0].max(axis=0)]).astype(np.float64)
            expected = np.sign(parts) * np.sqrt(np.abs(parts))
            assert row == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
            assert row == pytest.approx(recording_row(found[0]), abs=1e-6)
        monkeypatch.setattr(rows, "_IN_MEMORY", 0)
        monkeypatch.setattr(rows, "_POOLED", 3)
        on_disk = item_rows(view)
        assert isinstance(on_disk._rows, np.memmap)
        assert on_disk.block(0, len(on_disk)) == pytest.approx(pooled.block(0, len(pooled)), abs=1e-6)


def test_rows_that_cannot_be_are_reported_as_damage(library):
    _, vectors, _ = segment(library, 1, 48)
    vectors[2] = np.nan
    vectors.flush()
    with pytest.raises(LibraryError, match="a vector is not finite, or not of length 1"):
        find_duplicates(library)


def test_each_modality_has_a_result_of_its_own(tiny, zoo, grids, tmp_path):
    index([zoo, grids], tmp_path / "lib", models=[MODEL, "loudness.tiny"], host=tiny)
    assert [each.space for each in find_duplicates(tmp_path / "lib")] == [MODEL, "loudness.tiny"]
    assert [each.space for each in find_duplicates(tmp_path / "lib", "loudness.tiny")] == ["loudness.tiny"]
    assert [each.space for each in find_duplicates(tmp_path / "lib", windows=True)] == ["loudness.tiny"]
    (found,) = find_duplicates(tmp_path / "lib", MODEL)
    assert (found.threshold, found.calibration, found.given) == (0.9, None, False)


def test_what_cannot_be_asked_is_refused(library, tmp_path):
    with pytest.raises(SightsoundError, match=r"threshold: expected a cosine above 0, at most 1, got 1\.5"):
        find_duplicates(library, threshold=1.5)
    with pytest.raises(SightsoundError, match="threshold: expected a cosine above 0"):
        find_duplicates(library, threshold=float("nan"))
    with pytest.raises(SightsoundError, match="keep: expected one of best, largest, oldest, got 'newest'"):
        find_duplicates(library, keep="newest")
    with pytest.raises(
        SightsoundError, match=r"colours.tiny: expected a space of recordings for windows, got one of im"
    ):
        find_duplicates(library, MODEL, windows=True)
    with pytest.raises(LibraryError, match="lib has no recordings; index some"):
        find_duplicates(library, windows=True)
    with pytest.raises(LibraryError, match="space 'other': expected the name of a space"):
        find_duplicates(library, "other")
    Library(tmp_path / "none", create=True).close()
    with pytest.raises(LibraryError, match="none has no vectors; index some"):
        find_duplicates(tmp_path / "none")


def image(side, form="PNG"):
    return {"width": side, "height": side, "format": form}


def sound(rate, channels, subtype="PCM_16"):
    return {"sample_rate": rate, "channels": channels, "subtype": subtype}


@pytest.mark.parametrize(
    ("rule", "better", "worse"),
    [
        ("best", (image(20, "JPEG"), None, 10), (image(19, "PNG"), None, 99)),
        ("best", (image(9, "PNG"), None, 5), (image(9, "JPEG"), None, 99)),
        ("best", (image(9, "JPEG"), None, 6), (image(9, "JPEG"), None, 5)),
        ("best", (sound(48000, 1), 1.0, 1), (sound(44100, 2), 1.0, 9)),
        ("best", (sound(8000, 2, "VORBIS"), 1.0, 1), (sound(8000, 1, "PCM_16"), 1.0, 9)),
        ("best", (sound(8000, 1, "PCM_16"), 1.0, 1), (sound(8000, 1, "MS_ADPCM"), 1.0, 9)),
        ("largest", ({}, 2.0, 1), ({}, 1.0, 9)),
        ("largest", (image(9), None, 1), (image(8), None, 9)),
        (
            "oldest",
            ({"recorded": "2020-01-01T00:00:00+00:00"}, 1.0, 1),
            ({"recorded": "2020-01-01T00:00:00-01:00"}, 1, 1),
        ),
        ("oldest", ({"recorded": "1969-12-31"}, 1.0, 1), ({"recorded": "no date"}, 1.0, 1)),
    ],
)
def test_what_a_rule_prefers(rule, better, worse):
    assert quality(rule, *better, 5_000_000_000).key > quality(rule, *worse, 5_000_000_000).key


def test_facts_that_cannot_be_are_no_reason_to_fail():
    for facts in ({"width": float("inf"), "height": -1}, {"width": "9", "height": None}, {"recorded": 7}):
        for rule in ("best", "largest", "oldest"):
            assert np.isfinite(quality(rule, facts, None, 0, 2**63 - 1).key).all()


# -- many rows -----------------------------------------------------------------------------------------------------

DIM = 24
NET = Space("net.made", json.dumps({"dim": DIM, "modality": "image", "stages": []}))


def planted(count, seed):
    """Random rows, of which every tenth is one before it with some noise."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, DIM))
    vectors[9::10] = vectors[8::10][: len(vectors[9::10])] + 0.1 * random.normal(size=(len(vectors[9::10]), DIM))
    return vectors.astype(np.float32)


def add(library, vectors, first=0):
    with library.writing() as writer:
        space = writer.space_id(NET)
        for number, vector in enumerate(vectors, first):
            item = Item("/made", f"{number}")
            writer.items.record(item, (0, 0), hashlib.sha256(item.path.encode()).digest(), "image")
            writer.add_rows(Rows(item, None, vector[None]), space)
            writer.outcomes.record(Outcome(item, "ok", facts={"width": 1, "height": 1}), space)


def pairs_of(found):
    return set(zip(found.a.tolist(), found.b.tolist()))


def test_nearby_lists_have_nearly_all_pairs_and_the_recall_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 4 * DIM * 1200)
    monkeypatch.setattr(graph, "FEW_ROWS", 100)
    with Library(tmp_path / "lib", create=True) as library:
        add(library, planted(2000, 0))
        add(library, planted(200, 1), 2000)
        forget("/made/8", library)
        (found,) = find_duplicates(library, threshold=0.95)
        (exact,) = find_duplicates(library, threshold=0.95, exact=True)
        assert exact.kind == "" and exact.recall is None and exact.groups == 219
        assert found.kind == "lists" and found.recall >= 0.95 and found.measured > 50
        expected, mine = ({tuple(group) for group in paths([each])} for each in (exact, found))
        assert len(mine & expected) >= 0.99 * len(expected) and mine <= expected
        assert ("2008", "2009") in mine and ("8", "9") not in mine
        (few,) = find_duplicates(library, threshold=0.95, against=["/made/19", "/made/2009"])
        assert few.kind == "" and {tuple(group) for group in paths([few])} == {("18", "19"), ("2008", "2009")}
        ran = CliRunner().invoke(duplicates, ["-l", os.fspath(tmp_path / "lib"), "--threshold", "0.95"])
        assert f"in nearby lists only: recall of similar pairs {found.recall:.3f} (of {found.measured})" in ran.output
        ran = CliRunner().invoke(duplicates, ["-l", os.fspath(tmp_path / "lib"), "--json", "--threshold", "0.95"])
        assert json.loads(ran.output)[0]["approximate"] == {
            "kind": "lists",
            "recall": found.recall,
            "pairs": found.measured,
        }
        monkeypatch.setattr(graph, "FEW_ROWS", 10)
        (few,) = find_duplicates(library, threshold=0.95, against=["/made/19", "/made/2009"])
        assert few.kind == "lists" and {tuple(group) for group in paths([few])} == {("18", "19"), ("2008", "2009")}


@pytest.mark.parametrize("chosen", [None, np.arange(0, 2000, 3)])
@pytest.mark.parametrize("owners", [None, np.arange(2000) // 10])
def test_pairs_in_nearby_lists_are_those_that_are_asked_for(monkeypatch, chosen, owners):
    monkeypatch.setattr(lists, "_ENTRIES", 100)
    monkeypatch.setattr(graph, "_WAITING", 50)
    vectors = unit_rows(planted(2000, 2))
    found = approximate_graph(ArrayRows(vectors), 0.6, chosen=chosen, owners=owners)
    there = exact_graph(ArrayRows(vectors), 0.6, "all", chosen=chosen, owners=owners)
    assert pairs_of(found) <= pairs_of(there) and len(there.a) > 200
    assert len(found.a) >= 0.95 * len(there.a) and found.recall >= 0.9


def test_what_is_in_other_lists_lowers_the_recall(monkeypatch):
    monkeypatch.setattr(graph, "LEAST_LISTS", 1)
    monkeypatch.setattr(graph, "MOST_LISTS", 1)
    rows = ArrayRows(unit_rows(planted(2000, 0)))
    mine, there = approximate_graph(rows, 0.65), exact_graph(rows, 0.65, "all")
    share = len(mine.a) / len(there.a)
    assert pairs_of(mine) < pairs_of(there) and len(there.a) > 500 and 0.1 < share < 0.9
    assert mine.recall == pytest.approx(share, abs=0.05) and mine.measured > 200 and there.recall is None


def test_as_many_lists_are_looked_into_as_the_recall_needs(monkeypatch):
    rows, looked = ArrayRows(unit_rows(planted(3000, 0))), []
    nearest = lists.Lists.nearest
    monkeypatch.setattr(lists.Lists, "nearest", lambda *of: looked.append(of[2]) or nearest(*of))
    for least in (0.95, 0.6):
        approximate_graph(rows, least)
    assert looked == [32, 8, 32, looked[-1]] and looked[-1] > 8


def test_identical_rows_are_linked_with_one_of_them_and_zeros_with_none(monkeypatch):
    monkeypatch.setattr(identical, "_ROWS", 7)
    vectors = unit_rows(np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32))
    vectors[[3, 9, 30]] = vectors[20]
    vectors[[1, 2]] = 0
    assert np.flatnonzero(first_of_each(ArrayRows(vectors)) != np.arange(40)).tolist() == [9, 20, 30]
    found = similarity_graph(ArrayRows(vectors), 0.999, "some")
    assert pairs_of(found) == {(3, 9), (3, 20), (3, 30)} and (found.similarity == 1).all()
    new = similarity_graph(ArrayRows(vectors), 0.999, "some", chosen=np.array([30]))
    assert (3, 30) in pairs_of(new)
    assert len(first_of_each(ArrayRows(vectors[:0]))) == 0


def test_equal_files_in_great_number_have_few_links(monkeypatch):
    monkeypatch.setattr(graph, "FEW_ROWS", 100)
    same = np.tile(unit_rows(np.ones((1, 5), np.float32)), (3000, 1))
    found = similarity_graph(ArrayRows(same), 0.99, "same")
    assert len(found.a) == 2999 and found.kind == ""
    same[:, 0] += 1e-4 * np.random.default_rng(0).random(3000, np.float32)
    found = similarity_graph(ArrayRows(same := unit_rows(same)), 0.99, "nearly the same")
    assert found.kind == "lists" and len(found.a) <= 3000 * graph.NEIGHBOURS
    assert found.recall == 1, "what is missing is beyond the greatest number of neighbours"
    kept, similarity = around_kept(ArrayRows(same), found, np.arange(3000)[::-1].copy(), 0.99)
    assert set(kept.tolist()) == {2999} and similarity.min() > 0.99


def test_an_index_that_is_older_than_the_rows_makes_no_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(user_key, "key_file", lambda: tmp_path / "data" / "index.key")
    monkeypatch.setattr(measuring, "HELD_OUT", 15)
    monkeypatch.setattr(graph, "FEW_ROWS", 100)
    with Library(tmp_path / "lib", create=True) as library:
        add(library, planted(300, 0))
        build_index(library, kind="hnsw")
        add(library, planted(300, 0)[:1] * 1.001, 3000)  # new, and like an old one
        (found,) = find_duplicates(library, threshold=0.95)
        assert found.kind == "lists" and ["0", "3000"] in paths([found]) and found.groups == 31


# -- parts of recordings -------------------------------------------------------------------------------------------


def levels(seed, seconds):
    """Samples for `loudness.tiny` with a loudness that changes every tenth of a second."""
    random = np.random.default_rng(seed)
    steps = np.repeat(random.random(10 * seconds) ** 3, made.RATE // 10)
    return (steps * random.choice([-1.0, 1.0], len(steps))).astype(np.float32)


def save(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, made.RATE, "FLOAT")


@pytest.fixture
def recordings(tiny, tmp_path):
    """A library of recordings; five seconds of the first are in the second, and all have the same silence."""
    folder, rate = tmp_path / "recordings", made.RATE
    silence = np.zeros(4 * rate, np.float32)
    first, second, third = (np.concatenate([levels(seed, 12), silence]) for seed in range(3))
    second[6 * rate : 11 * rate] = 0.5 * first[2 * rate : 7 * rate]
    for name, samples in (("first", first), ("second", second), ("third", third)):
        save(folder / f"{name}.wav", samples)
    index(folder, tmp_path / "sounds", models=["loudness.tiny"], host=tiny)
    return tmp_path / "sounds"


def spans(found):
    (duplicates,) = found
    return [str(group) for group in duplicates]


def test_parts_of_recordings_are_found_with_their_seconds(recordings):
    found = find_duplicates(recordings, windows=True, threshold=0.995)
    assert spans(found) == ["first.wav 2.0-7.0 = second.wav 6.0-11.0"]
    ((kept, other),) = (group.files for group in found[0])
    assert (kept.seconds, other.seconds) == ((2, 7), (6, 11)) and kept.keep and not other.keep
    assert other.similarity > 0.995 and found[0].windows and found[0].compared == 3 * 31


def test_new_recordings_alone_are_compared_with_the_others(recordings, tmp_path):
    folder = tmp_path / "recordings"
    assert spans(find_duplicates(recordings, windows=True, threshold=0.995, against=folder / "third.wav")) == []
    assert len(spans(find_duplicates(recordings, windows=True, threshold=0.995, against=folder / "second.wav"))) == 1


def test_steady_sounds_fit_at_any_lag_and_are_no_part(tiny, tmp_path):
    for name, seconds in (("a", 9), ("b", 12)):
        save(tmp_path / "hum" / f"{name}.wav", np.tile([0.5, -0.5], seconds * made.RATE // 2).astype(np.float32))
    index(tmp_path / "hum", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    assert spans(find_duplicates(tmp_path / "lib", windows=True, threshold=0.995)) == []
    assert len(paths(find_duplicates(tmp_path / "lib", threshold=0.995))) == 1, "as whole files they are the same"


def test_two_windows_are_no_run_and_one_may_be_missing(tiny, tmp_path):
    rate = made.RATE
    first, second, third = levels(0, 12), levels(1, 12), levels(2, 12)
    second[: 3 * rate // 2] = first[5 * rate : 13 * rate // 2]  # two windows
    third[: 4 * rate] = first[: 4 * rate]
    third[7 * rate // 4 : 9 * rate // 4] *= np.tile([1, 0.1], rate // 4)  # differs in the middle
    for name, samples in (("first", first), ("second", second), ("third", third)):
        save(tmp_path / "r" / f"{name}.wav", samples)
    index(tmp_path / "r", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    assert spans(find_duplicates(tmp_path / "lib", windows=True, threshold=0.9995)) in (
        ["first.wav 0.0-4.0 = third.wav 0.0-4.0"],
        [],
    )


# -- tables --------------------------------------------------------------------------------------------------------

NAMES = ['a, "b".png', "new\nline.png", "=1+1.png", "-rf.png", " spaces .png"]


@POSIX
def test_odd_names_survive_the_tables(tiny, tmp_path, command):
    folder = tmp_path / "odd"
    for name in NAMES:
        write_grid(folder / name, 0)
    latin = os.fsencode(folder) + b"/caf\xe9.png"
    shutil.copy(folder / NAMES[0], os.fsdecode(latin))
    index(folder, tmp_path / "lib", models=[MODEL], host=tiny)
    assert write_duplicates_csv(find_duplicates(tmp_path / "lib"), tmp_path / "out.csv") == 6
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        table = [*csv.DictReader(file)]
    assert {row["path"] for row in table} == {*(str(folder / name) for name in NAMES), f"{folder}/caf\\xe9.png"}
    assert [row["path"] for row in table if "not UTF-8" in row["note"]] == [f"{folder}/caf\\xe9.png"]
    assert {row["group"] for row in table} == {"1"} and sorted(row["keep"] for row in table) == ["no"] * 5 + ["yes"]
    done = command("duplicates", "-l", tmp_path / "lib", "--json")
    ((group,),) = ([*each["groups"]] for each in json.loads(done.stdout))
    assert {os.fsencode(os.path.join(each["root"], each["path"])) for each in group["files"]} == {
        latin,
        *(os.fsencode(folder / name) for name in NAMES),
    }


def test_the_command_prints_groups_and_writes_a_table(library, tmp_path, command, grids):
    done = command("duplicates", "-l", library, "--threshold", "0.99")
    assert done.returncode == 0, done.stderr
    assert "copies/0 small.png" in done.stdout and "    1  keep" in done.stdout
    assert "colours.tiny: 2 groups of files among 9 files, 3 not to keep; threshold 0.9900 (as given)" in done.stdout
    done = command("duplicates", "-l", library, "--csv", tmp_path / "d.csv", "--against", grids / "copies/3.jpg")
    assert "threshold 0.9000 (not calibrated for this library; --calibrate measures one)" in done.stdout
    with (tmp_path / "d.csv").open(newline="") as file:
        table = [*csv.DictReader(file)]
    assert [(row["path"], row["keep"], row["start"]) for row in table] == [
        (str(grids / "3.png"), "yes", ""),
        (str(grids / "copies" / "3.jpg"), "no", ""),
    ]
    assert sorted(path.name for path in grids.rglob("*.*")) and len([*grids.rglob("*.*")]) == 9, "nothing is deleted"


def test_the_command_prints_seconds_of_parts(recordings, tmp_path, command):
    done = command("duplicates", "-l", recordings, "--windows", "--threshold", "0.995", "--csv", tmp_path / "d.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "d.csv").open(newline="") as file:
        assert [(row["start"], row["stop"]) for row in csv.DictReader(file)] == [
            ("2.0", "7.0"),
            ("6.0", "11.0"),
        ]
    done = command("duplicates", "-l", recordings, "--windows", "--threshold", "0.995")
    assert "2.0-7.0" in done.stdout and "1 group of parts of two recordings among 93 windows" in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--threshold", "0"), "threshold: expected a cosine above 0, at most 1, got 0.0"),
        (("--csv", "out.json"), "out.json: expected a name that ends in .csv or .txt, got .json"),
        (("--csv", "{}/library.sqlite"), "name another place"),
        (("--keep", "newest"), "'newest' is not one of 'best', 'largest', 'oldest'"),
        (("--calibrate", "9", "--windows"), "--calibrate goes with --space, --device and the form of the table alone"),
        (("--calibrate", "0"), "0 is not in the range"),
        (("--against", "nowhere"), "nowhere: nothing of this path is in lib; index it first"),
    ],
)
def test_mistakes_get_one_line(library, command, words, text):
    done = command("duplicates", "-l", library, *(word.format(library) for word in words))
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not Path("out.json").exists()
