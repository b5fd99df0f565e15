"""Search by FAISS against brute force in NumPy, and edge cases of the cosine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound.contract.arrays import unit_rows
from sightsound.library import vector_index
from sightsound.library.vector_index import VectorIndex

EXACT = 2e-6


def brute(vectors, contents, queries, allowed):
    """All cosines in float64, and the best of each content; a row of zeros has cosine 0 with everything."""

    def lengths(rows):
        found = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.where(found > 0, found, 1)

    a, b = queries.astype(np.float64), vectors.astype(np.float64)
    cosines = (a / lengths(a)) @ (b / lengths(b)).T
    return cosines, {int(c): cosines[:, allowed & (contents == c)].max() for c in np.unique(contents[allowed])}


def assert_equals_brute_force(vectors, contents, queries, allowed, k, min_score):
    found = VectorIndex(vectors, contents, np.full((len(vectors), 2), np.nan)).search(
        queries, k, allowed=allowed, min_score=min_score
    )
    cosines, best = brute(vectors, contents, queries, allowed)
    expected = sorted((score for score in best.values() if score >= min_score - EXACT), reverse=True)[:k]
    sure = sum(score >= min_score + EXACT for score in expected)
    assert sure <= len(found) <= len(expected)
    np.testing.assert_allclose([pair.score for pair in found], expected[: len(found)], atol=EXACT)
    assert len({pair.content for pair in found}) == len(found)
    for pair in found:
        assert abs(pair.score - best[pair.content]) <= EXACT
        assert contents[pair.row] == pair.content and allowed[pair.row]
        assert abs(pair.score - cosines[pair.query_row, pair.row]) <= EXACT


@st.composite
def cases(draw):
    """Small integers in few dimensions, with many ties, duplicates and rows of zeros."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, q, dim = draw(st.integers(1, 400)), draw(st.integers(1, 20)), draw(st.integers(1, 5))
    span = draw(st.sampled_from([0, 1, 3, 1000]))
    vectors = random.integers(-span, span + 1, (n, dim)).astype(np.float32)
    queries = random.integers(-span, span + 1, (q, dim)).astype(np.float32)
    contents = random.integers(0, draw(st.integers(1, n)), n)
    allowed = random.random(n) < draw(st.sampled_from([0.02, 0.5, 1.0]))
    k, min_score = draw(st.integers(1, 60)), draw(st.sampled_from([-1.0, 0.0, 0.5, 0.99]))
    return vectors, contents.astype(np.int64), queries, allowed, k, min_score


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_result_equals_brute_force(case):
    vectors, contents, queries, allowed, k, min_score = case
    if not allowed.any():
        allowed[0] = True
    assert_equals_brute_force(vectors, contents, queries, allowed, k, min_score)


@pytest.mark.parametrize("copied", [0, 2**30])
@pytest.mark.parametrize("queries", [1, 64, 65, 255, 256, 257, 600])
def test_a_query_of_many_rows_equals_brute_force(queries, copied, monkeypatch):
    monkeypatch.setattr(vector_index, "_COPIED_BYTES", copied)
    random = np.random.default_rng(queries)
    vectors = random.normal(size=(900, 8)).astype(np.float32)
    contents = np.repeat(np.arange(90), 10).astype(np.int64)
    assert_equals_brute_force(
        vectors, contents, random.normal(size=(queries, 8)).astype(np.float32), contents % 3 > 0, 7, -1.0
    )


def test_a_recording_with_thousands_of_near_windows_does_not_hide_the_others():
    random = np.random.default_rng(1)
    vectors = np.concatenate([np.ones((3000, 4)) + random.normal(size=(3000, 4)) * 1e-3, random.normal(size=(5, 4))])
    contents = np.concatenate([np.zeros(3000), np.arange(1, 6)]).astype(np.int64)
    assert_equals_brute_force(
        vectors.astype(np.float32), contents, np.ones((2, 4), np.float32), np.ones(3005, bool), 4, -1.0
    )


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-15, 1.0, 1e15, 1e30, 3e38])
def test_cosine_does_not_depend_on_the_length_of_vectors(scale):
    vectors = (np.array([[1, 0], [0.5, 0.5], [-1, 0]]) * scale).astype(np.float32)
    found = VectorIndex(vectors, np.arange(3), np.full((3, 2), np.nan)).search(vectors[:1], 3, allowed=np.ones(3, bool))
    assert [pair.content for pair in found] == [0, 1, 2]
    assert [pair.score for pair in found] == pytest.approx([1, 0.5**0.5, -1], abs=1e-3 if scale < 1e-40 else 1e-6)


def test_scores_never_leave_minus_one_to_one():
    random = np.random.default_rng(2)
    vectors = np.repeat(random.normal(size=(50, 300)), 4, axis=0).astype(np.float32)
    found = VectorIndex(vectors, np.arange(200), np.full((200, 2), np.nan)).search(
        np.concatenate([vectors, -vectors]), 200, allowed=np.ones(200, bool)
    )
    assert len(found) == 200 and all(-1 <= pair.score <= 1 for pair in found)


def test_the_cosine_with_a_vector_of_zeros_is_zero():
    vectors = np.array([[0, 0], [-1, 0], [1, 1]], np.float32)
    found = VectorIndex(vectors, np.arange(3), np.full((3, 2), np.nan)).search(
        np.array([[1, 0]], np.float32), 3, allowed=np.ones(3, bool)
    )
    assert [(pair.content, pytest.approx(pair.score)) for pair in found] == [(2, 0.5**0.5), (0, 0), (1, -1)]


def test_equal_scores_are_sorted_by_content():
    found = VectorIndex(np.ones((500, 3), np.float32), np.arange(500)[::-1].copy(), np.full((500, 2), np.nan)).search(
        np.ones((1, 3), np.float32), 5, allowed=np.ones(500, bool)
    )
    assert [pair.content for pair in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("queries", "k", "allowed"), [(np.empty((0, 2)), 3, True), (np.ones((1, 2)), 0, True), (np.ones((1, 2)), 3, False)]
)
def test_an_empty_query_k_of_zero_or_no_allowed_vector_finds_nothing(queries, k, allowed):
    space = VectorIndex(np.ones((4, 2), np.float32), np.arange(4), np.full((4, 2), np.nan))
    assert space.search(queries.astype(np.float32), k, allowed=np.full(4, allowed)) == []


def test_an_empty_index_finds_nothing():
    space = VectorIndex(np.empty((0, 2), np.float32), np.empty(0, np.int64), np.empty((0, 2)))
    assert space.search(np.ones((1, 2), np.float32), 3, allowed=np.empty(0, bool)) == []


def test_a_search_does_not_change_the_vectors_or_the_query():
    vectors, queries = np.full((3, 2), 5, np.float32), np.full((1, 2), 7, np.float32)
    VectorIndex(vectors, np.arange(3), np.full((3, 2), np.nan)).search(queries, 2, allowed=np.ones(3, bool))
    assert (vectors == 5).all() and (queries == 7).all()
    assert unit_rows(vectors).dtype == np.float32
