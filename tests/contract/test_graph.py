"""Networks of named tensors: the axes that are averaged, and batches of the size that a network takes."""

from __future__ import annotations

import numpy as np
import pytest

from sightsound.contract.graph import mean_axes, run_batches


@pytest.mark.parametrize(
    ("shape", "channels_last", "axes"),
    [
        ((1, 5), None, ()),
        ((1, 8, 7, 7), None, (2, 3)),
        ((1, 7, 7, 8), None, (1, 2)),
        ((1, 8, 1, 1), None, (2, 3)),
        ((1, 1, 1, 8), None, (1, 2)),
        ((1, 7, 7, 7), None, (2, 3)),
        ((1, 7, 7, 7), True, (1, 2)),
        ((1, 6, 7, 8), None, (2, 3)),
        ((1, 7, 7, 8), False, (2, 3)),
        ((1, 50, 8), None, (1,)),
        ((1, 8, 1), None, (2,)),
        ((1, 1, 8), None, (1,)),
        ((1, 8, 50), False, (2,)),
    ],
)
def test_space_and_time_are_averaged(shape, channels_last, axes):
    assert mean_axes(shape, channels_last) == axes


@pytest.mark.parametrize("batch", [None, 0, 1, 2, 3, 5])
def test_batches_of_any_size_give_the_rows_of_each_input(batch):
    sizes = []

    def run(inputs):
        sizes.append(inputs.shape)
        return [inputs * 2, inputs.sum(axis=-1, keepdims=True)]

    inputs = np.arange(12, dtype=np.float32).reshape(4, 3)
    doubled, sums = run_batches(run, inputs, batch, "float32")
    np.testing.assert_array_equal(doubled, inputs * 2)
    np.testing.assert_array_equal(sums, inputs.sum(axis=1, keepdims=True))
    assert set(sizes) == {(4, 3) if batch is None else (3,) if batch == 0 else (batch, 3)}


def test_whole_numbers_are_rounded_and_clipped():
    (found,) = run_batches(lambda inputs: [inputs], np.array([[-1.0, 1.6, 300.0]], np.float32), None, "uint8")
    assert (found.dtype, found.tolist()) == (np.uint8, [[0, 2, 255]])
