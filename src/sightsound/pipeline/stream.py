"""Embed items in threads: read, fill batches across items, run the network, and give rows in the order of the items.

Memory is bounded by blocks and batches, not by the number or length of the files.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.execution import whole_number
from sightsound.contract.results import Item, Outcome, Rows
from sightsound.host.model import Model
from sightsound.pipeline.batches import Batch, batch_events
from sightsound.pipeline.pool import Pool
from sightsound.pipeline.reader import Job
from sightsound.pipeline.timing import StageTimes

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Embedded:
    """One item with all its rows.

    Parameters
    ----------
    item : Item
        The item.
    outcome : Outcome
        What became of it.
    embeddings : float32 ndarray of shape (n, dim) or None
        A row for each window, one for an image. None where `outcome.status` is not "ok".
    scores : float32 ndarray of shape (n, labels) or None
        The scores of the network's classes, where it has any.
    spans : float64 ndarray of shape (n, 2) or None
        The seconds of each window; None for images.
    """

    item: Item
    outcome: Outcome
    embeddings: Floats | None = None
    scores: Floats | None = None
    spans: Seconds | None = None


@contextlib.contextmanager
def embed_stream(
    model: Model,
    jobs: Iterable[Job],
    *,
    batch_size: int | None = None,
    after_batch: Callable[[], None] = lambda: None,
    times: StageTimes | None = None,
) -> Iterator[Iterator[Rows | Outcome]]:
    """Embed jobs, and give rows as they come; leaving the context stops the threads.

    Use it where a recording may be too long to hold all its rows, otherwise `embed_items`. Rows that came before an
    item failed must be discarded.

    Parameters
    ----------
    model : Model
        The model.
    jobs : iterable of Job
        Taken as they are needed, in the thread that iterates.
    batch_size : int or None
        Inputs in a batch. None stands for `model.batch_size`.
    after_batch : callable
        Called in the thread that iterates when it has taken the last row or outcome of a batch.
    times : StageTimes or None
        Where the time of the stages is added.

    Yields
    ------
    iterator of Rows or Outcome
        The rows of each item and then its outcome, in the order of the jobs. A file that cannot be read, or that the
        network fails on, has an outcome that is not "ok", and the other items go on.

    Raises
    ------
    SightsoundError
        If `batch_size` is no whole number from 1.
    """
    size = model.batch_size if batch_size is None else _checked_size(batch_size)
    log.info("%s: %d inputs at a time (%s)", model.card.name, size, model.execution)
    pool = Pool(model, jobs, size, times or StageTimes())
    with contextlib.closing(pool.batches()) as batches:
        yield _flat(model, batches, after_batch)


@contextlib.contextmanager
def embed_items(model: Model, jobs: Iterable[Job], *, batch_size: int | None = None) -> Iterator[Iterator[Embedded]]:
    """Embed jobs, and give each item with all its rows; leaving the context stops the threads.

    Parameters
    ----------
    model : Model
        The model.
    jobs : iterable of Job
        Taken as they are needed, in the thread that iterates.
    batch_size : int or None
        Inputs in a batch. None stands for `model.batch_size`.

    Yields
    ------
    iterator of Embedded
        One for each job, in their order. An item that failed has no rows.
    """
    with embed_stream(model, jobs, batch_size=batch_size) as events:
        yield _complete(events)


def _checked_size(batch_size: object) -> int:
    try:
        return whole_number("batch_size", batch_size)
    except ValueError as error:
        raise SightsoundError(str(error)) from None


def _complete(events: Iterator[Rows | Outcome]) -> Iterator[Embedded]:
    """Join the rows of each item; discard those of items that failed."""
    parts: list[Rows] = []
    for event in events:
        if isinstance(event, Rows):
            parts.append(event)
            continue
        yield _joined(event, parts if event.status == "ok" else [])
        parts = []


def _joined(outcome: Outcome, parts: list[Rows]) -> Embedded:
    if not parts:
        return Embedded(outcome.item, outcome)
    scores = [part.scores for part in parts if part.scores is not None]
    spans = [part.spans for part in parts if part.spans is not None]
    return Embedded(
        outcome.item,
        outcome,
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate(scores) if scores else None,
        np.concatenate(spans) if spans else None,
    )


def _flat(model: Model, batches: Iterable[Batch], after_batch: Callable[[], None]) -> Iterator[Rows | Outcome]:
    for batch in batches:
        yield from batch_events(model, batch)
        after_batch()
