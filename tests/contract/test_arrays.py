"""Rows of unit length, pooling, and JSON values that cannot be changed."""

from __future__ import annotations

import json
import tracemalloc
from types import MappingProxyType

import numpy as np
import pytest

from sightsound import SightsoundError
from sightsound.contract.arrays import unit_rows
from sightsound.contract.frozen_json import freeze, is_json, thaw
from sightsound.contract.pooling import POOLS, default_pool, pooled

ROWS = np.array([[3, 4], [0, 0], [-1, 0]], np.float32)


def test_rows_are_scaled_to_length_one_and_zeros_remain():
    unit = unit_rows(ROWS)
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [-1, 0]], atol=1e-7)
    assert unit.dtype == np.float32 and unit.flags.c_contiguous


def test_rows_too_long_for_float32_are_scaled_too():
    np.testing.assert_allclose(unit_rows(np.full((1, 4), 2e38, np.float32)), [[0.5] * 4])


def test_unit_rows_are_computed_in_blocks():
    """Beside the rows and the result, which are as large as each other, only a few megabytes are needed."""
    rows = np.random.default_rng(0).normal(size=(40_000, 256)).astype(np.float32)
    tracemalloc.start()
    unit = unit_rows(rows)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(np.linalg.norm(unit, axis=1), 1) and most < rows.nbytes + 25 * 2**20


def test_features_that_are_often_zero_are_pooled_by_their_maximum():
    random = np.random.default_rng(0).normal(size=(20, 40)).astype(np.float32)
    assert default_pool(np.maximum(random, 0)) == "max" and default_pool(random) == "mean+max"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [2 / 3, 4 / 3]),
        ("max", [3, 4]),
        ("mean+max", [2 / 3, 4 / 3, 3, 4]),
        ("mean+std", [2 / 3, 4 / 3, np.sqrt(10 / 3 - 4 / 9), np.sqrt(16 / 3 - 16 / 9)]),
    ],
)
def test_windows_are_pooled_to_one_vector(how, expected):
    vector = pooled(ROWS, how)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)
    assert vector.dtype == np.float32


def test_another_way_of_pooling_is_refused():
    assert set(POOLS) == {"mean", "max", "mean+max", "mean+std"}
    with pytest.raises(SightsoundError, match=r"^pool: expected one of mean, max, mean\+max, mean\+std, got 'median'$"):
        pooled(ROWS, "median")


def test_a_frozen_value_equals_the_original_in_json():
    value = {"a": [1, {"b": [True, None, 0.5]}], "c": "text"}
    frozen = freeze(value)
    assert isinstance(frozen, MappingProxyType) and isinstance(frozen["a"], tuple)
    assert thaw(frozen) == value and json.dumps(thaw(frozen)) == json.dumps(value)


@pytest.mark.parametrize("value", [{}, {"a": [1.5, (2, None)]}, "text", MappingProxyType({"a": 1})])
def test_json_holds_these_values(value):
    assert is_json(value)


@pytest.mark.parametrize("value", [{1: 2}, float("nan"), [float("inf")], {1, 2}, b"x", np.float32(1), object()])
def test_json_does_not_hold_these_values(value):
    assert not is_json(value)


def test_a_list_that_contains_itself_is_not_json():
    endless: list[object] = []
    endless.append(endless)
    assert not is_json(endless)
