"""Exact search over the rows of a library against brute force in NumPy, and edge cases of the cosine."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound import Item, Library, check
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library import exact_search
from sightsound.library.exact_search import ExactSearch
from sightsound.library.space_reader import SpaceReader
from sightsound.library.store import segments

EXACT = 2e-6


def space_of(dim):
    return Space("net.made", json.dumps({"dim": dim, "modality": "image", "stages": []}))


class Made:
    """A library with some vectors of contents; a content of many vectors has them one after the other."""

    def __init__(self, vectors, contents, folder=None):
        self._folder = tempfile.TemporaryDirectory()
        self.space = space_of(vectors.shape[1])
        self.library = Library(Path(self._folder.name, "lib"), create=True)
        self.rows, self.owners = [], []
        self.add(vectors, contents)

    def add(self, vectors, contents):
        with self.library.writing() as writer:
            space = writer.space_id(self.space)
            for content in dict.fromkeys(contents.tolist()):
                item = Item("/made", str(content))
                hash_ = hashlib.sha256(str(content).encode()).digest()
                writer.items.record(item, (0, 0), hash_, "image")
                mine = np.ascontiguousarray(vectors[contents == content])
                spans = np.stack([np.arange(len(mine)), np.arange(len(mine)) + 1.0], axis=1)
                writer.add_rows(Rows(item, spans, mine), space)
                writer.outcomes.record(Outcome(item, "ok"), space)
                self.rows.append(mine)
                self.owners += [content] * len(mine)

    def forget(self, content):
        with self.library.writing() as writer:
            writer.forget([item.id for item in self.library.items() if item.path == str(content)])

    def search(self, queries, k, allowed=None, windows=False):
        """The best pairs for each query, with the numbers that the test gave to the contents."""
        search = SpaceReader(self.library._database)
        with search.reading(self.space) as (_, rows):
            names = dict(self.library.rows("SELECT content, CAST(path AS TEXT) FROM items"))
            chosen = None
            if allowed is not None:
                chosen = np.array(sorted(c for c, name in names.items() if int(name) in allowed), np.int64)
            found = ExactSearch(rows, queries, k, chosen, windows=windows).pairs()
            return [
                [(int(names[p.content]), p.score, int(p.seconds[0]), p.query_row) for p in pairs[:k]] for pairs in found
            ]


def unit(rows):
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def assert_equals_brute_force(made, queries, k, allowed=None):
    """Compare with all cosines in float64; a row of zeros has cosine 0 with everything."""
    rows, owners = unit(np.concatenate(made.rows)), np.array(made.owners)
    for query, found in zip(queries, made.search(queries, k, allowed), strict=True):
        cosines = unit(query) @ rows.T
        names = set(owners.tolist()) if allowed is None else allowed & set(owners.tolist())
        best = {content: cosines[:, owners == content].max() for content in names}
        expected = sorted(best.values(), reverse=True)[:k]
        np.testing.assert_allclose([score for _, score, *_ in found], expected, atol=EXACT)
        assert len({content for content, *_ in found}) == len(found)
        for content, score, window, query_row in found:
            assert abs(score - best[content]) <= EXACT
            assert abs(score - cosines[query_row, owners == content][window]) <= EXACT


@st.composite
def cases(draw):
    """Small integers in few dimensions, with many ties, duplicates and rows of zeros."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, dim = draw(st.integers(1, 200)), draw(st.integers(1, 5))
    span = draw(st.sampled_from([0, 1, 3, 1000]))
    vectors = random.integers(-span, span + 1, (n, dim)).astype(np.float32)
    sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))
    queries = [random.integers(-span, span + 1, (q, dim)).astype(np.float32) for q in sizes]
    contents = random.integers(0, draw(st.integers(1, n)), n)
    allowed = None
    if draw(st.booleans()):
        allowed = {int(c) for c in np.unique(contents) if random.random() < draw(st.sampled_from([0.05, 0.5]))}
    return vectors, contents, queries, draw(st.integers(1, 40)), allowed


@settings(max_examples=30, deadline=None)
@given(cases(), st.sampled_from([64, 2**26]))
def test_the_result_equals_brute_force(case, block):
    vectors, contents, queries, k, allowed = case
    before, segments.BLOCK_BYTES = segments.BLOCK_BYTES, block
    try:
        assert_equals_brute_force(Made(vectors, contents), queries, k, allowed)
    finally:
        segments.BLOCK_BYTES = before


@pytest.mark.parametrize("sizes", [[1], [64], [255, 1], [256], [257], [600, 3], [1] * 300, [2] * 200])
@pytest.mark.parametrize("every", [1, 3, 30])
def test_queries_of_many_rows_equal_brute_force(sizes, every, monkeypatch):
    monkeypatch.setattr(segments, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(exact_search, "_QUERY_ROWS", 256)
    random = np.random.default_rng(sum(sizes))
    made = Made(random.normal(size=(900, 8)).astype(np.float32), np.repeat(np.arange(90), 10))
    queries = [random.normal(size=(size, 8)).astype(np.float32) for size in sizes]
    assert_equals_brute_force(made, queries, 7, set(range(0, 90, every)))


def test_the_removed_are_not_found_and_the_new_are(monkeypatch):
    monkeypatch.setattr(segments, "MAX_BYTES", 8000)  # several segments
    random = np.random.default_rng(5)
    made = Made(random.normal(size=(600, 8)).astype(np.float32), np.repeat(np.arange(60), 10))
    assert len(list(made.library.path.glob("library.*.f32"))) > 2
    queries = [random.normal(size=(2, 8)).astype(np.float32) for _ in range(5)]
    assert_equals_brute_force(made, queries, 50)
    for gone in (0, 1, 24, 25, 59):
        made.forget(gone)
        keep = [owner != gone for owner in made.owners]
        rows = np.concatenate(made.rows)[keep]
        made.rows, made.owners = [rows], [owner for owner in made.owners if owner != gone]
        assert_equals_brute_force(made, queries, 60)
    made.add(random.normal(size=(30, 8)).astype(np.float32), np.repeat([0, 100, 101], 10))
    assert_equals_brute_force(made, queries, 70)
    assert check(made.library) == []


def test_one_reader_sees_each_commit():
    random = np.random.default_rng(6)
    made = Made(random.normal(size=(3, 4)).astype(np.float32), np.arange(3))
    query = [np.ones((1, 4), np.float32)]
    search = SpaceReader(made.library._database)
    counts = []
    for number in range(3, 9):
        with search.reading(made.space) as (_, rows):
            counts.append((len(rows), len(ExactSearch(rows, query, 100).pairs()[0])))
        made.add(random.normal(size=(2, 4)).astype(np.float32), np.array([number, number]))
        if number % 2:
            made.forget(number - 3)
    assert counts == [(3, 3), (4, 3), (6, 4), (7, 4), (9, 5), (9, 5)]


def test_a_recording_with_thousands_of_near_windows_does_not_hide_the_others():
    random = np.random.default_rng(1)
    vectors = np.concatenate([np.ones((3000, 4)) + random.normal(size=(3000, 4)) * 1e-3, random.normal(size=(5, 4))])
    made = Made(vectors.astype(np.float32), np.concatenate([np.zeros(3000, np.int64), np.arange(1, 6)]))
    assert_equals_brute_force(made, [np.ones((2, 4), np.float32)], 4)


def test_the_best_windows_are_those_of_brute_force():
    random = np.random.default_rng(9)
    vectors = random.normal(size=(300, 6)).astype(np.float32)
    made = Made(vectors, np.repeat(np.arange(30), 10))
    query = random.normal(size=(3, 6)).astype(np.float32)
    (found,) = made.search([query], 12, set(range(20)), windows=True)
    scores = (unit(query) @ unit(vectors[:200]).T).max(axis=0)
    expected = np.argsort(-scores)[:12]
    assert [content * 10 + window for content, _, window, _ in found] == expected.tolist()
    np.testing.assert_allclose([score for _, score, *_ in found], scores[expected], atol=EXACT)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-15, 1.0, 1e15, 1e30, 3e38])
def test_cosine_does_not_depend_on_the_length_of_vectors(scale):
    vectors = (np.array([[1, 0], [0.5, 0.5], [-1, 0]]) * scale).astype(np.float32)
    (found,) = Made(vectors, np.arange(3)).search([vectors[:1]], 3)
    assert [content for content, *_ in found] == [0, 1, 2]
    expected = pytest.approx([1, 0.5**0.5, -1], abs=1e-3 if scale < 1e-40 else 1e-6)
    assert [score for _, score, *_ in found] == expected


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e3, 1e30])
def test_rows_come_back_as_they_were(scale):
    random = np.random.default_rng(3)
    vectors = (random.normal(size=(50, 300)) * scale).astype(np.float32)
    vectors[7] = 0
    made = Made(vectors, np.arange(50))
    found = np.concatenate([rows for _, rows, _ in made.library.contents_in(made.space)])
    np.testing.assert_allclose(found, vectors, rtol=1.3e-7)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    errors = np.linalg.norm(found.astype(np.float64) - vectors, axis=1)
    assert (errors <= 1e-7 * lengths).all() and not found[7].any()


def test_scores_never_leave_minus_one_to_one():
    random = np.random.default_rng(2)
    vectors = np.repeat(random.normal(size=(50, 300)), 4, axis=0).astype(np.float32)
    (found,) = Made(vectors, np.arange(200)).search([np.concatenate([vectors, -vectors])], 200)
    assert len(found) == 200 and all(-1 <= score <= 1 for _, score, *_ in found)


def test_the_cosine_with_a_vector_of_zeros_is_zero():
    made = Made(np.array([[0, 0], [-1, 0], [1, 1]], np.float32), np.arange(3))
    (found,) = made.search([np.array([[1, 0]], np.float32)], 3)
    assert [(content, pytest.approx(score)) for content, score, *_ in found] == [(2, 0.5**0.5), (0, 0), (1, -1)]


def test_equal_scores_are_sorted_by_content():
    made = Made(np.ones((500, 3), np.float32), np.arange(500))
    (found,) = made.search([np.ones((1, 3), np.float32)], 5)
    assert [content for content, *_ in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("queries", "k", "allowed"), [(np.empty((0, 2)), 3, None), (np.ones((1, 2)), 0, None), (np.ones((1, 2)), 3, set())]
)
def test_an_empty_query_k_of_zero_or_no_allowed_content_finds_nothing(queries, k, allowed):
    made = Made(np.ones((4, 2), np.float32), np.arange(4))
    assert made.search([queries.astype(np.float32)], k, allowed) == [[]]


def test_a_search_does_not_change_the_query():
    queries = np.full((1, 2), 7, np.float32)
    Made(np.full((3, 2), 5, np.float32), np.arange(3)).search([queries], 2)
    assert (queries == 7).all()


def test_a_medium_that_cannot_map_files_is_read_block_by_block(monkeypatch):
    def refuse(*_, **__):
        raise OSError(19, "No such device")

    random = np.random.default_rng(4)
    made = Made(random.normal(size=(500, 8)).astype(np.float32), np.repeat(np.arange(100), 5))
    made.forget(3)
    keep = np.array(made.owners) != 3
    made.rows, made.owners = [np.concatenate(made.rows)[keep]], np.array(made.owners)[keep].tolist()
    queries = [random.normal(size=(2, 8)).astype(np.float32) for _ in range(3)]
    expected = made.search(queries, 20), made.search(queries, 20, {1, 2, 3})
    monkeypatch.setattr(segments.mmap, "mmap", refuse)
    monkeypatch.setattr(segments, "BLOCK_BYTES", 2048)
    found = made.search(queries, 20), made.search(queries, 20, {1, 2, 3})
    for mine, other in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert [pair[0] for pair in mine] == [pair[0] for pair in other]
    assert_equals_brute_force(made, queries, 20)
    assert exact_search._GATHER > 1
