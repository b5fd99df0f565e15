"""Fill batches across items, and run the network on them.

Batches are filled in the order of the items. So what a batch holds does not depend on the timing of threads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.results import Item, Outcome, Rows
from sightsound.host.faults import memory_error, stage_error
from sightsound.host.model import Model
from sightsound.pipeline.reader import ItemStream, failed_job

log = logging.getLogger(__name__)

_MOST_ENDS = 64  # items that may end in one batch, so that many unreadable files do not wait for a window


@dataclass
class BatchPart:
    """Consecutive inputs of one item in a batch.

    Parameters
    ----------
    item : Item
        The item.
    inputs : float32 ndarray of shape (n, ...)
        Inputs of the network.
    spans : float64 ndarray of shape (n, 2) or None
        The seconds of each input; None for images.
    failures : list of Outcome
        Shared by all parts of an item: empty, or why the item failed.
    outcome : Outcome or None
        What became of the item, if it ends here.
    """

    item: Item
    inputs: Floats
    spans: Seconds | None
    failures: list[Outcome]
    outcome: Outcome | None = None


@dataclass
class Batch:
    """Parts of one or more items that go through the network together."""

    parts: list[BatchPart] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part.inputs) for part in self.parts)

    def inputs(self) -> Floats | None:
        """Return all inputs as one array, or None where items only end here."""
        filled = [part.inputs for part in self.parts if len(part.inputs)]
        return np.concatenate(filled) if filled else None


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


class Batcher:
    """Fills batches from streams of windows, and runs the network on them.

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

    def batches(self, streams: Iterable[ItemStream]) -> Iterator[Batch]:
        """Yield batches filled across items. Each item ends in the batch of its last input.

        Parameters
        ----------
        streams : iterable of ItemStream
            Items in order.

        Yields
        ------
        Batch
        """
        batch = Batch()
        for stream in streams:
            failures: list[Outcome] = []
            for windows in stream:
                done = 0
                while done < len(windows.inputs):
                    size = self.size  # another thread may halve it at any moment
                    if len(batch) >= size:  # not before, so that an item that ends here ends in its batch
                        yield batch
                        batch = Batch()
                    stop = done + size - len(batch)
                    spans = None if windows.spans is None else windows.spans[done:stop]
                    batch.parts.append(BatchPart(stream.job.item, windows.inputs[done:stop], spans, failures))
                    done = stop
            batch.parts.append(self._end(stream, failures))
            if len(batch) >= self.size or len(batch.parts) >= max(_MOST_ENDS, 2 * self.size):
                yield batch
                batch = Batch()
        if batch.parts:
            yield batch

    def _end(self, stream: ItemStream, failures: list[Outcome]) -> BatchPart:
        none = np.empty((0, *self.model.card.input_shape), np.float32)
        return BatchPart(stream.job.item, none, None, failures, stream.outcome)

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
        inputs = batch.inputs()
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


def batch_events(model: Model, batch: Batch, result: BatchResult) -> list[Rows | Outcome]:
    """Return the rows of a batch by item, and the outcome of each item that ends in it.

    An item that failed has no rows from its first failure on.

    Parameters
    ----------
    model : Model
        The model, whose name errors are noted with.
    batch : Batch
        The batch.
    result : BatchResult
        What the network made of it.

    Returns
    -------
    list of Rows or Outcome
        In the order of the items.
    """
    events: list[Rows | Outcome] = []
    start = 0
    for part in batch.parts:
        stop = start + len(part.inputs)
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
