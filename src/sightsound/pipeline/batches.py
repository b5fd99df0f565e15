"""Fill batches across items, and run the network on them.

Batches are filled in the order of the items. So what a batch holds does not depend on the timing of threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.embedder import Windows
from sightsound.contract.results import Item, Outcome, Rows
from sightsound.host.faults import memory_error, stage_error
from sightsound.host.model import Model
from sightsound.pipeline.reader import failed_job

log = logging.getLogger(__name__)

_MOST_ENDS = 64  # items that may end in one batch, so that many unreadable files do not wait for a window


@dataclass
class BatchPart:
    """Consecutive inputs of one item in a batch.

    Parameters
    ----------
    item : Item
        The item.
    count : int
        The number of its inputs.
    spans : float64 ndarray of shape (count, 2) or None
        The seconds of each input; None for images.
    failures : list of Outcome
        Shared by all parts of an item: empty, or why the item failed.
    outcome : Outcome or None
        What became of the item, if it ends here.
    """

    item: Item
    count: int
    spans: Seconds | None
    failures: list[Outcome]
    outcome: Outcome | None = None


@dataclass(eq=False)
class Batch:
    """Parts of one or more items that go through the network together.

    Attributes
    ----------
    result : BatchResult or None
        What the network made of it; None before.
    error : BaseException or None
        What must end the run, as KeyboardInterrupt.
    """

    parts: list[BatchPart] = field(default_factory=list)
    result: BatchResult | None = None
    error: BaseException | None = None
    _inputs: list[Floats] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def is_done(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.error is not None

    def add(self, part: BatchPart, inputs: Floats | None = None) -> None:
        """Add a part, with its inputs float32 (part.count, ...)."""
        self.parts.append(part)
        if inputs is not None:
            self._inputs.append(inputs)

    def take_inputs(self) -> Floats | None:
        """Return all inputs as one array, which the batch does not hold any longer; None where items only end here."""
        inputs, self._inputs = self._inputs, []
        if not inputs:
            return None
        return inputs[0] if len(inputs) == 1 else np.concatenate(inputs)


@dataclass
class BatchResult:
    """What the network made of a batch of n inputs.

    Parameters
    ----------
    embeddings : float32 ndarray of shape (n, dim) or None
        After `postprocess`. None where no input gave any.
    scores : float32 ndarray of shape (n, labels) or None
        Scores of the network's classes.
    errors : dict of int to Exception
        The inputs that the network raised for.
    finite : bool ndarray of shape (n,) or None
        Whether embedding and scores of each input are finite.
    strange : set of int
        The inputs for which `embed` gave numbers that are not finite; `postprocess` is to blame for others.
    """

    embeddings: Floats | None = None
    scores: Floats | None = None
    errors: dict[int, Exception] = field(default_factory=dict)
    finite: NDArray[np.bool_] | None = None
    strange: set[int] = field(default_factory=set)

    def error(self, start: int, stop: int, model: Model, spans: Seconds | None) -> Exception | None:
        """Return why some of the inputs from `start` to `stop` have no usable embedding, or None.

        Parameters
        ----------
        start, stop : int
            The inputs.
        model : Model
            The model, which the error names.
        spans : float64 ndarray of shape (stop - start, 2) or None
            Their seconds, for the error.
        """
        for index in range(start, stop):
            if index in self.errors:
                return self.errors[index]
            if self.finite is None or not self.finite[index]:
                span = "" if spans is None else f" at {spans[index - start, 0]:.2f}-{spans[index - start, 1]:.2f} s"
                return stage_error(model, "embed" if index in self.strange else "postprocess", f"NaN or infinity{span}")
        return None


class Filler:
    """Fills batches with the windows of items, which come in order.

    Parameters
    ----------
    size : callable
        Returns the number of inputs in a batch, which may become smaller at any time.
    """

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._batch = Batch()

    def add(self, item: Item, windows: Windows, failures: list[Outcome]) -> list[Batch]:
        """Add windows of an item, and return the batches that they filled."""
        filled, done = list[Batch](), 0
        while done < len(windows.inputs):
            size = self._size()
            if len(self._batch) >= size:  # not before, so that an item that ends here ends in its batch
                filled.append(self._next())
            stop = done + size - len(self._batch)
            spans, inputs = None if windows.spans is None else windows.spans[done:stop], windows.inputs[done:stop]
            self._batch.add(BatchPart(item, len(inputs), spans, failures), inputs)
            done += len(inputs)
        return filled

    def end(self, outcome: Outcome, failures: list[Outcome]) -> list[Batch]:
        """End an item, in the batch of its last window; return the batch if it is full."""
        self._batch.add(BatchPart(outcome.item, 0, None, failures, outcome))
        size = self._size()
        is_full = len(self._batch) >= size or len(self._batch.parts) >= max(_MOST_ENDS, 2 * size)
        return [self._next()] if is_full else []

    def rest(self) -> list[Batch]:
        """Return the last batch, if there is anything in it."""
        return [self._next()] if self._batch.parts else []

    def _next(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        return batch


class Batcher:
    """Runs the network on batches.

    Parameters
    ----------
    model : Model
        The model.
    size : int
        The number of inputs in a batch. It is halved where a batch does not fit in memory.
    """

    def __init__(self, model: Model, size: int) -> None:
        self.model = model
        self.size = size

    def run(self, batch: Batch) -> BatchResult:
        """Run the network on a batch. Worker threads call it.

        Parameters
        ----------
        batch : Batch
            The batch.

        Returns
        -------
        BatchResult
        """
        inputs = batch.take_inputs()
        if inputs is None:
            return BatchResult()
        result = self._embed(inputs)
        known = [rows for rows in (result.embeddings, result.scores) if rows is not None]
        if known:
            result.finite = _are_finite(known)
        return result

    def _embed(self, inputs: Floats) -> BatchResult:
        """Embed inputs. A batch that fails, or does not fit in memory, is halved down to the inputs at fault."""
        try:
            output = self.model.embed(inputs)
            known = [rows for rows in (output.embeddings, output.scores) if rows is not None]
            strange = set(np.flatnonzero(~_are_finite(known)).tolist())
            return BatchResult(self.model.postprocess(output), output.scores, strange=strange)
        except Exception as error:
            if len(inputs) == 1:
                if isinstance(error, MemoryError):
                    error = memory_error(self.model, error, "with a single input")
                return BatchResult(errors={0: error})
            half = len(inputs) // 2
            if isinstance(error, MemoryError) and half < self.size:
                log.warning("out of memory with %d inputs at once; going on with %d (%s)", len(inputs), half, error)
                self.size = half
            return _joined(self._embed(inputs[:half]), self._embed(inputs[half:]), half, len(inputs))


def batch_events(model: Model, batch: Batch) -> list[Rows | Outcome]:
    """Return the rows of a batch by item, and the outcome of each item that ends in it.

    An item that failed has no rows from its first failure on.

    Parameters
    ----------
    model : Model
        The model, whose name errors are noted with.
    batch : Batch
        The batch, with its result.

    Returns
    -------
    list of Rows or Outcome
        In the order of the items.
    """
    assert batch.result is not None
    result, events = batch.result, list[Rows | Outcome]()
    start = 0
    for part in batch.parts:
        stop = start + part.count
        if stop > start and not part.failures:
            error = result.error(start, stop, model, part.spans)
            if error is not None:
                part.failures.append(failed_job(model, part.item, error))
            else:
                events.append(_rows(part, result, slice(start, stop)))
        start = stop
        if part.outcome is not None:
            events.append(part.failures[0] if part.failures else part.outcome)
    return events


def _rows(part: BatchPart, result: BatchResult, place: slice) -> Rows:
    assert result.embeddings is not None
    scores = None if result.scores is None else result.scores[place]
    return Rows(part.item, part.spans, result.embeddings[place], scores)


def _joined(first: BatchResult, second: BatchResult, half: int, count: int) -> BatchResult:
    """Join the results of the first `half` and the other inputs of a batch of `count`."""
    errors = first.errors | {half + index: error for index, error in second.errors.items()}
    strange = first.strange | {half + index for index in second.strange}
    embeddings = _joined_rows(first.embeddings, second.embeddings, half, count)
    scores = _joined_rows(first.scores, second.scores, half, count)
    return BatchResult(embeddings, scores, errors, strange=strange)


def _are_finite(arrays: Iterable[Floats]) -> NDArray[np.bool_]:
    """Return for each row whether all its numbers are finite in all of the arrays."""
    finite: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(rows).all(axis=1) for rows in arrays])
    return finite


def _joined_rows(first: Floats | None, second: Floats | None, half: int, count: int) -> Floats | None:
    """Join two arrays; the rows of one that is None are NaN."""
    known = first if first is not None else second
    if known is None:
        return None
    joined = np.full((count, known.shape[1]), np.nan, np.float32)
    for rows, place in ((first, slice(0, half)), (second, slice(half, count))):
        if rows is not None:
            joined[place] = rows
    return joined
