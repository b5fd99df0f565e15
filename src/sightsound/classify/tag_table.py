"""The results of `tag` and of probes as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sightsound.contract.results import Classified
from sightsound.formats.columns import Batch, Column, batches_of

_FILE = (
    Column("path", "path", "path of the file below `root`, with slashes"),
    Column("root", "path", "absolute path of the folder that was named"),
    Column("file", "path", "path of the file as it is typed in the working folder"),
)
TAG_COLUMNS = (
    _FILE[0],
    Column("start", "number", "where the segment starts; empty for images", "s"),
    Column("stop", "number", "where it stops", "s"),
    Column("label", "text", "the class"),
    Column("id", "text", "the id of the class, such as an AudioSet mid"),
    Column("mean", "number", "the mean score over the windows of the segment; of an image its score"),
    Column("peak", "number", "the highest score over these windows; of an image its score"),
    Column("channel", "integer", "the channel, counted from 0, where channels were classified each by itself"),
    Column("model", "text", "the name of the model"),
    Column("status", "text", "ok, failed, not-media or no-windows"),
    Column("reason", "text", "why the status is not ok"),
    *_FILE[1:],
)
"""The columns of `tag_batches`, those of `csv_table`."""

PREDICTION_COLUMNS = (
    *_FILE,
    Column("status", "text", "ok, failed, not-media or no-windows"),
    Column("reason", "text", "why the status is not ok"),
    Column("label", "text", "the class; empty for none of them"),
    Column("score", "number", "the highest probability of a class"),
    Column("top_labels", "texts", "the classes with the highest probabilities, best first"),
    Column("top_scores", "singles", "their probabilities, from 0 to 1"),
)
"""The columns of `prediction_batches`."""


def tag_batches(results: Iterable[Classified]) -> Iterator[Batch]:
    """Return a row for each segment of a sound and each class of an image, in batches of `TAG_COLUMNS`.

    A file without any has one row, as has an image with none of the classes of a probe.
    """
    return batches_of(TAG_COLUMNS, (row for result in results for row in _tag_rows(result)))


def _tag_rows(result: Classified) -> list[list[Any]]:
    end = [result.model or None, result.outcome.status, result.outcome.reason or None, result.item.root]
    end.append(result.item.shown)
    path, rows = result.item.path, list[list[Any]]()
    for s in result.segments:
        rows.append([path, s.start, s.stop, s.label, s.id or None, s.mean, s.peak, s.channel, *end])
    if result.outcome.seconds is None and result.top and result.label is None:
        score = result.top[0].score
        return [[path, None, None, None, None, score, score, None, *end]]
    for p in result.top if result.outcome.seconds is None else ():
        rows.append([path, None, None, p.label, p.id or None, p.score, p.score, None, *end])
    return rows or [[path, *[None] * 7, *end]]


def prediction_batches(results: Iterable[Classified], best: int) -> Iterator[Batch]:
    """Return a row for each file, in batches of `PREDICTION_COLUMNS`.

    Parameters
    ----------
    results : iterable of Classified
        The results of `predict`.
    best : int
        How many of the best classes at most.
    """
    return batches_of(PREDICTION_COLUMNS, (_prediction_row(result, best) for result in results))


def _prediction_row(result: Classified, best: int) -> list[Any]:
    top = result.top[:best]
    score = result.top[0].score if result.top else None
    item, outcome = result.item, result.outcome
    file = [item.path, item.root, item.shown, outcome.status, outcome.reason or None]
    return [*file, result.label, score, [p.label for p in top], [p.score for p in top]]
