"""A runtime in NumPy for the networks of tiny: one product with a matrix, which is the compiled file.

NUMPYRUN_FAULT lets it misbehave, so that tests see what the host makes of it.
"""

import os
from collections import Counter

import numpy as np

from sightsound.plugin import CannotRun, Compiled, Execution, Output, hookimpl

calls: Counter[str] = Counter()
"""How often it has compiled, read a compiled file, and run."""


def fault() -> str:
    return os.environ.get("NUMPYRUN_FAULT", "")


class NumpyRun:
    name = "numpyrun"
    version = "1.1"
    precisions = ("float32", "bf16")

    @property
    def requires(self):
        return ("an_engine",) if fault() == "absent" else ("numpy",)

    def fits(self, card, device):
        if fault() == "fits":
            raise RuntimeError("no such processor")
        return bool({"grid", "stretches"} & set(card.constants)) and device in ("auto", "cpu")

    def compile(self, embedder, *, device, precision, weights, cache):
        calls["compile"] += 1
        if fault() == "compile":
            raise RuntimeError("an operator that is unknown")
        if fault() == "import":
            import an_engine  # noqa: F401
        if fault() == "none":
            return None
        if fault() == "declines":
            raise CannotRun("it has no `module`")
        file = cache / "matrix.npy"
        if file.exists():
            calls["read"] += 1
        else:
            np.save(file, averages(embedder.card))
        matrix = np.load(file, allow_pickle=False)
        run = colours if embedder.card.modality == "image" else loudness
        device = "wrong:0" if fault() == "device" else "cpu"
        size = 0 if fault() == "size" else 16
        return Compiled(network(run, matrix, precision), Execution(batch_size=size, workers=2, device=device))


def averages(card):
    """The matrix whose product with an input has the means of its cells."""
    if card.modality == "image":
        rows, columns, channels = np.indices(card.input_shape)
        cells = ((rows // 4) * 4 + columns // 4) * 3 + channels
    else:
        cells = np.arange(1600) // 100
    cells = cells.ravel()
    return (np.arange(cells.max() + 1) == cells[:, None]).astype(np.float32) / np.bincount(cells).astype(np.float32)


def network(run, matrix, precision):
    def embed(inputs):
        calls["run"] += 1
        if fault() == "run":
            raise RuntimeError("illegal instruction")
        output = run(to_bf16(inputs), to_bf16(matrix)) if precision == "bf16" else run(inputs, matrix)
        rows = output.embeddings
        if fault() == "numbers":
            rows = np.roll(rows, 1, axis=1)
        if fault() == "lengths":
            rows = rows * np.float32(1.01)
        if fault() == "nan":
            rows = rows * np.float32("nan")
        if fault() == "shape":
            rows = rows[:, :-1]
        scores = None if output.scores is None or fault() == "scores" else output.scores
        if fault() == "scaled" and scores is not None:
            scores = scores * np.float32(0.9)
        return rows if fault() == "type" else Output(rows, scores)

    return embed


def to_bf16(numbers):
    """The nearest numbers with the upper 16 of the 32 bits."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def colours(inputs, matrix):
    return Output(inputs.reshape(len(inputs), -1) @ matrix)


def loudness(inputs, matrix):
    loud = np.sqrt(np.square(inputs) @ matrix)
    level = loud.mean(axis=1, keepdims=True)
    scores = np.concatenate([1 - level, level], axis=1).clip(0, 1)
    return Output(np.concatenate([loud, level + np.float32(0.01)], axis=1), scores)


@hookimpl
def register_runtimes(register):
    register(NumpyRun())
