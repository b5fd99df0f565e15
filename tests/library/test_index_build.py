"""Approximate indexes: recall against brute force, and what is new, removed or filtered."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from approximate_indexes import (
    DIM,
    SPACE,
    add,
    clustered,
    files_read,
    flip,
    found,
    index_of,
    library_of,
    make_small,
    paths,
)
from sightsound import (
    Filter,
    Library,
    SightsoundError,
    build_index,
    check,
)
from sightsound.library.approximate import kinds, list_files, measuring, opened
from sightsound.library.query_types import QueryVectors

KINDS = ("hnsw", "ivf", "ivf-sq8", "ivf-pq")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    make_small(monkeypatch, tmp_path)


@pytest.fixture
def reads(monkeypatch):
    """The files that FAISS was given to read."""
    return files_read(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return library_of(3000, tmp_path_factory.mktemp("made"))


@pytest.fixture
def where(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "lib"))


def recall(library, queries, k=10, **how):
    shares = []
    for query in queries:
        exact, mine = (set(paths(library, query, k, exact=e, **how)) for e in (True, False))
        assert library.approximated and len(mine) == len(exact)
        shares.append(len(mine & exact) / len(exact))
    return np.mean(shares)


# -- what is found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pytest.param(each, marks=[pytest.mark.slow] * (each != "hnsw")) for each in KINDS])
def test_recall_is_as_stated_and_scores_are_exact(where, kind, reads, monkeypatch):
    monkeypatch.setattr(measuring, "HELD_OUT", 60)
    with Library(where) as library:
        facts = build_index(library, kind=kind)[SPACE]
        assert (facts.kind, facts.rows, facts.usable) == (kind, 3000, True) and facts == library.indexes()[SPACE]
        assert facts.bytes == index_of(where).stat().st_size
        assert facts.recall["10"] >= 0.88 and facts.recall["10 filtered"] >= 0.88, "stated with other queries"
        queries, rows = clustered(25, seed=7), clustered(3000)
        assert recall(library, queries) == pytest.approx(facts.recall["10"], abs=0.08)
        assert recall(library, queries, 100) == pytest.approx(facts.recall["100"], abs=0.06)
        assert recall(library, queries, where=Filter(facts=("of=3",))) > 0.9
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for number, score in found(library, queries[0]):
            assert score == pytest.approx(rows[number] @ queries[0] / np.linalg.norm(queries[0]), abs=1e-6)
        assert len(reads) == 2, "once to measure it, once to search"
        assert check(where) == []


def test_the_least_effort_is_taken_that_is_good_enough(where, monkeypatch):
    monkeypatch.setattr(measuring, "HELD_OUT", 60)
    with Library(where) as library:
        facts = build_index(library, kind="ivf")[SPACE]
        most = kinds.list_count(3000)
        assert 2 <= facts.parameters["nprobe"] < most == 64, "not all lists"
        rows = library.mapped_rows(SPACE)[2]
        index = library._vector_search._indexes
        with library._reader.reading(SPACE) as (space_id, mapped):
            usable = index.usable(space_id, mapped)
            measurement = measuring.Measurement(rows, usable.index)
            condition = measurement._conditions[""]
            assert measurement._recall(condition, facts.parameters["nprobe"] // 2, 10, measuring._CHOOSING) < 0.95
            assert measurement._recall(condition, facts.parameters["nprobe"], 10, measuring._CHOOSING) >= 0.95
            stated = measurement._recall(condition, facts.parameters["nprobe"], 10, measuring._STATING)
            assert stated == facts.recall["10"] and measurement._recall(condition, most, 10, slice(None)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_are_found_and_removed_ones_are_not(where, kind):
    queries = clustered(20, seed=3)
    with Library(where) as library:
        build_index(library, kind=kind)
        add(library, queries, first=5000)  # fills a segment of the index, and others
        for number, query in enumerate(queries):
            (first, score), *_ = found(library, query)
            assert (first, round(score, 5)) == (5000 + number, 1) and library.approximated
        rows = clustered(3000)
        for number in (0, 5, 700, 2999):
            best = found(library, rows[number])
            assert best[0] == (number, pytest.approx(1))
            gone = {path for path, _ in best}
            with library.writing() as writer:
                writer.forget([item.id for item in library.items() if int(item.path) in gone])
            rest = paths(library, rows[number])
            assert len(rest) == 10 and not gone & set(rest) and library.approximated
        assert check(where) == []


def test_contents_of_many_windows_are_counted_once(tmp_path):
    random = np.random.default_rng(0)
    with Library(tmp_path / "lib", create=True) as library:
        centres = random.normal(size=(60, 1, DIM))
        vectors = (centres + 0.1 * random.normal(size=(60, 50, DIM))).reshape(3000, DIM).astype(np.float32)
        add(library, vectors, windows=50)
        build_index(library, kind="hnsw")
        mine = found(library, vectors[[5, 60]], 10)
        assert library.approximated and len({path for path, _ in mine}) == 10
        assert mine[0][0] in (0, 1) and mine[1][0] in (0, 1)
        exact = found(library, vectors[[5, 60]], 10, exact=True)
        assert mine[:2] == [(path, pytest.approx(score)) for path, score in exact[:2]]
        assert found(library, vectors[:1], 60) == found(library, vectors[:1], 60, exact=True), "all that there are"


def test_the_content_of_the_query_and_few_contents_of_a_filter(where):
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        rows = clustered(3000)
        hash_ = hashlib.sha256(b"17").digest()
        assert paths(library, rows[17])[0] == 17 and 17 not in paths(library, rows[17], leave_out=hash_)
        assert library.approximated
        few = Filter(paths=("1?",))
        assert paths(library, rows[17], where=few) == paths(library, rows[17], where=few, exact=True)
        assert not library.approximated, "so few are searched exactly"


def test_what_is_searched_exactly_in_any_case(where):
    rows = clustered(3000)
    with Library(where) as library:
        build_index(library, kind="ivf-sq8")
        for k, queries, how in (
            (10, rows[:1], {"exact": True}),
            (10, rows[:65], {}),
            (1001, rows[:1], {}),
            (10, rows[:1], {"per": "window"}),
        ):
            library.search_many([QueryVectors({SPACE: queries})], k, **how)
            assert not library.approximated, how
        library.search({SPACE: rows[:64]})
        assert library.approximated
        many = [QueryVectors({SPACE: row[None]}) for row in rows[:150]]
        together = library.search_many(many, 10)
        assert library.approximated
        assert [hits[0].item.path for hits in together] == [str(number) for number in range(150)]


def test_equal_rows_and_rows_of_zeros(tmp_path):
    with Library(tmp_path / "lib", create=True) as library:
        vectors = clustered(1000)
        vectors[::2] = 0
        vectors[1::2] = vectors[1]
        add(library, vectors)
        for kind in KINDS:
            build_index(library, kind=kind)
            assert [score for _, score in found(library, vectors[1])] == [pytest.approx(1)] * 10
            assert [score for _, score in found(library, np.ones(DIM), 3)] == [
                pytest.approx(score) for _, score in found(library, np.ones(DIM), 3, exact=True)
            ]


# -- which kind --------------------------------------------------------------------------------------------------


def test_auto_chooses_by_rows_and_memory(where):
    gigabyte = 10**9
    names = [
        kinds.choose("auto", rows, dim, memory)
        for rows, dim, memory in (
            (49_999, 1024, 64 * gigabyte),
            (50_000, 1024, 16 * gigabyte),
            (200_000, 1024, gigabyte),
            (200_001, 1024, 16 * gigabyte),
            (5_000_000, 1024, 24 * gigabyte),
            (5_000_000, 1024, 8 * gigabyte),
            (5_000_000, 1021, 8 * gigabyte),
        )
    ]
    expected = [None, "hnsw", "ivf-sq8", "ivf-sq8", "ivf-sq8", "ivf-pq", "ivf-sq8"]
    assert [kind and kind.name for kind in names] == expected
    assert build_index(where) == {SPACE: None} and not list(where.glob("*.index"))
    with pytest.raises(SightsoundError, match="hnsw: 5,000,000 rows need 6.5 GB of memory; use ivf-sq8"):
        kinds.choose("hnsw", 5_000_000, 1024, 8 * gigabyte)
    with pytest.raises(SightsoundError, match="kind: expected auto, hnsw, ivf, ivf-sq8, ivf-pq, got 'flat'"):
        build_index(where, kind="flat")
    with pytest.raises(SightsoundError, match="ivf-pq: expected at least 256 rows of an even length, got 9 of 24"):
        kinds.choose("ivf-pq", 9, 24, gigabyte)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 30, 256])
def test_small_spaces_have_indexes_too(tmp_path, kind, count):
    with Library(tmp_path / "lib", create=True) as library:
        add(library, clustered(count))
        if kind == "ivf-pq" and count < 256:
            with pytest.raises(SightsoundError, match="ivf-pq: expected at least 256 rows"):
                build_index(library, kind=kind)
            return
        build_index(library, kind=kind)
        query = clustered(1, seed=5)
        assert found(library, query, 300) == found(library, query, 300, exact=True)


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_builds_shows_and_overrules(where, command, tmp_path):
    np.save(tmp_path / "query.npy", clustered(1, seed=9))
    few = command("index-build", "-l", where)
    assert few.stdout == "net.made: 3000 vectors, which exact search finds fast; no index was built\n"
    done = command("index-build", "-l", where, "--kind", "ivf-sq8", "-m", "net.made")
    assert done.returncode == 0 and done.stdout.startswith("net.made: ivf-sq8 of 3000 vectors, ")
    (facts,) = json.loads(command("stats", "-l", where, "--json").stdout)["indexes"].values()
    assert facts["kind"] == "ivf-sq8" and facts["usable"] and f"nprobe {facts['parameters']['nprobe']}" in done.stdout
    table = command("stats", "-l", where).stdout
    assert "index of" in table and f"{facts['recall']['10']:.3f}" in table
    words = ("search", "--vector", tmp_path / "query.npy", "-l", where, "-m", "net.made")
    answer = search(words, command)
    line = f"approximate (ivf-sq8): recall@10 {facts['recall']['10']:.2f}; --exact searches all\n"
    assert answer.stderr == line
    filtered = search((*words, "--fact", "of=1"), command).stderr
    assert filtered == line.replace(
        f"{facts['recall']['10']:.2f}", f"{facts['recall']['10 filtered']:.2f} under a filter"
    )
    exact = search((*words, "--exact"), command)
    assert exact.stderr == "" and len(exact.stdout.splitlines()) == len(answer.stdout.splitlines()) == 11
    wrong = command("index-build", "-l", where, "-m", "other")
    assert wrong.returncode == 2 and "space 'other': expected the name of a space" in wrong.stderr
    flip(index_of(where))
    noted = search(words, command)
    assert "its index of net.made was not built here by you, or has changed, and is not used" in noted.stderr
    assert noted.stdout == exact.stdout
    assert "not used: build it anew" in command("stats", "-l", where).stdout


def search(words, command):
    done = command(*[word for word in words if word not in ("-m", "net.made")])
    assert done.returncode == 0, done.stderr
    return done


# -- formats -----------------------------------------------------------------------------------------------------


def test_the_table_is_in_the_present_format(where):
    with sqlite3.connect(where / "library.sqlite") as db:
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(indexes)")]
    assert columns == ["space", "name", "kind", "stamp", "report", "signature"]


@pytest.mark.parametrize("kind", ["ivf", "ivf-sq8", "ivf-pq"])
def test_the_lists_in_files_are_those_that_faiss_would_write(tmp_path, kind, monkeypatch):
    """Opened by FAISS, the same lists in the same order as of an index in memory."""
    import faiss

    monkeypatch.setattr(list_files, "GATHERED_BYTES", 10_000)
    rows = clustered(2000)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    whole = kinds.trained(kinds.KINDS[kind], rows, len(rows))
    with list_files.ListFiles(whole, tmp_path) as lists, (tmp_path / "mine").open("wb") as file:
        for first in range(0, 2000, 100):
            lists.add(rows[first : first + 100], np.arange(first, first + 100))
        assert len(lists._parts) > 1
        lists.write(file)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    whole.add_with_ids(rows, np.arange(2000))
    faiss.write_index(whole, str(tmp_path / "theirs"))
    assert (tmp_path / "mine").read_bytes() == (tmp_path / "theirs").read_bytes()
    stamp = opened.Stamp("", 0, ((1, "a", 2000),))
    mine = opened.OpenIndex(str(tmp_path / "mine"), kinds.KINDS[kind], stamp)
    assert (mine.ask(rows[:50], 1, mine.most, None)[:, 0] == np.arange(50)).mean() > 0.9
