"""The check of a runtime that runs the network instead of the embedder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sightsound.contract.embedder import Output
from sightsound.host.compiler import Difference, Running, difference
from sightsound.testing.subject import NotApplicable, Subject, copied


def runtime_keeps_the_numbers(subject: Subject) -> str | None:
    """Check that a runtime that runs the network gives its numbers within `card.tolerance`, in any batch and thread."""
    running, execution = subject.model.embedder, subject.model.execution
    if not isinstance(running, Running):
        raise NotApplicable("no runtime runs this network")
    if execution.precision != "float32":
        raise NotApplicable(f"rows of {execution.precision} have a space of their own")
    network: Any = running._embedder
    if hasattr(network, "prepare"):
        network.prepare()
    inputs = np.concatenate([subject.inputs] * 3)
    expected = copied(network.embed(inputs.copy()))
    batches = [slice(0, n) for n in {1, 2, 3, 5, len(inputs)}] + [slice(n, n + 4) for n in range(0, len(inputs) - 4, 3)]

    def apart(rows: slice) -> Difference:
        wanted = Output(expected.embeddings[rows], None if expected.scores is None else expected.scores[rows])
        return difference(wanted, running.embed(inputs[rows].copy()))

    for workers in sorted({1, execution.workers}):
        with ThreadPoolExecutor(workers) as pool:
            for rows, far in zip(batches * workers, pool.map(apart, batches * workers), strict=True):
                assert not far.exceeds(subject.card.tolerance), (
                    f"runtime {execution.runtime}, inputs {rows.start} to {rows.stop}, {workers} at once: expected the "
                    f"numbers of the network within {subject.card.tolerance:g}, got differences of {far}; likely "
                    "other preparation or scores, another precision (bf16, TF32), a batch of fixed size, or one "
                    "request for all threads"
                )
    return None
