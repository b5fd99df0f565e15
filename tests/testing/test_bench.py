"""Measuring batch sizes and workers. How fast anything is, is not asserted."""

import pytest

from faulty_embedders import SOUND, CorrectImage, CorrectSound, LoadsNothing
from kit_runs import host_of
from sightsound import SightsoundError
from sightsound.plugin import PluginError
from sightsound.testing import bench_model
from sightsound.testing.bench import worker_counts


def test_each_batch_size_is_measured_for_each_number_of_workers_and_one_is_the_best():
    sizes = []

    class Counts(CorrectImage):
        def embed(self, inputs):
            sizes.append(len(inputs))
            return super().embed(inputs)

    rows = bench_model("correct.image", host=host_of(Counts), batch_sizes=[1, 16], workers=[1, 3], seconds=0)
    assert [(row.batch_size, row.workers) for row in rows] == [(1, 1), (1, 3), (16, 1), (16, 3)]
    assert all(row.per_second > 0 for row in rows)
    (best,) = [row for row in rows if row.best]
    assert best.per_second == max(row.per_second for row in rows)
    assert sizes == [1] * 6 + [16] * 6  # one call before each measurement


def test_a_batch_that_fails_is_a_row_with_the_reason():
    class Small(CorrectSound):
        def embed(self, inputs):
            if len(inputs) > 8:
                raise MemoryError("cuda:0: out of memory")
            return super().embed(inputs)

    small, large = bench_model("correct.sound", host=host_of(Small), batch_sizes=[8, 16], workers=[1], seconds=0)
    assert small.best and not small.reason
    assert (large.per_second, large.reason) == (0, "embed raised MemoryError: cuda:0: out of memory")


def test_a_network_that_does_not_load_or_never_runs_is_an_error():
    with pytest.raises(PluginError, match="expected an embedder with the registered card, got none"):
        bench_model("correct.sound", host=host_of(LoadsNothing))

    class Broken(CorrectSound):
        def embed(self, inputs):
            raise ValueError("no kernel")

    with pytest.raises(SightsoundError, match="embed raised ValueError: no kernel; run `sightsound check-model"):
        bench_model(SOUND.name, host=host_of(Broken), batch_sizes=[1], workers=[1], seconds=0)


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 3, 4, 6]), (16, [1, 2, 3, 4, 8, 16])])
def test_the_numbers_of_workers_end_with_the_number_of_cores(cores, counts):
    assert worker_counts(cores) == counts
