"""The forward pass leaves the settings of torch as the user has set them."""

from __future__ import annotations

import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sightsound.torch import forward, running  # noqa: E402

CPU = torch.device("cpu")
ROW = np.ones((1, 3), np.float32)


@pytest.fixture(autouse=True)
def _same_count():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_thread_count_of_the_user_is_restored(count):
    inside = []

    def network(batch):
        inside.append(torch.get_num_threads())
        return batch

    torch.set_num_threads(count)
    forward(network, ROW, CPU)
    assert (inside, torch.get_num_threads()) == ([1], count)


def test_the_thread_count_is_restored_after_a_failure():
    def network(batch):
        raise ValueError("broken network")

    torch.set_num_threads(3)
    with pytest.raises(ValueError, match="broken network"):
        forward(network, ROW, CPU)
    assert torch.get_num_threads() == 3


def test_a_cpu_without_memory_is_a_memory_error():
    with pytest.raises(MemoryError, match="cpu: not enough memory for 1 inputs at once"):
        forward(lambda batch: batch + torch.empty(2**45), ROW, CPU)
    with pytest.raises(RuntimeError, match="of another kind"):
        forward(fail_otherwise, ROW, CPU)


def fail_otherwise(batch):
    raise RuntimeError("of another kind")


def test_threads_that_begin_while_another_computes_leave_the_count_of_the_user():
    torch.set_num_threads(3)
    entered, go_on, second_entered, counts = threading.Event(), threading.Event(), threading.Event(), {}

    def first(batch):
        entered.set()
        assert second_entered.wait(30)
        return batch

    def second(batch):
        second_entered.set()
        assert go_on.wait(30)
        return batch

    def run(name, network):
        forward(network, ROW, CPU)
        counts[name] = torch.get_num_threads()

    threads = [threading.Thread(target=run, args=("first", first))]
    threads[0].start()
    assert entered.wait(30)
    threads.append(threading.Thread(target=run, args=("second", second)))
    threads[1].start()
    threads[0].join()
    go_on.set()  # the second, which began with the count 1 of the first, ends last
    threads[1].join()
    late = threading.Thread(target=lambda: counts.update(late=torch.get_num_threads()))
    late.start()
    late.join()
    assert counts == {"first": 3, "second": 3, "late": 3}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("users", [True, False])
def test_no_thread_computes_in_tf32_while_another_leaves_and_the_setting_of_the_user_is_restored(users):
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    try:
        cudnn.allow_tf32 = users
        first, second = running._float32(), running._float32()
        first.__enter__(), second.__enter__()
        first.__exit__(None, None, None)
        assert cudnn.allow_tf32 is False
        second.__exit__(None, None, None)
        assert cudnn.allow_tf32 is users
    finally:
        cudnn.allow_tf32 = before
