"""Checks of what the three stages return and what they do to their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.media import framing
from sightsound.testing.media import Media, odd_items
from sightsound.testing.subject import Subject, copied, row_distance


def shapes_and_dtypes(subject: Subject) -> str | None:
    """Check that every stage returns NumPy arrays of the dtype and shape that the contract and the card say."""
    card = subject.card
    for name, media in subject.media.items():
        windows = subject.preprocess(media)
        n = len(windows.inputs)
        _check_array(f"preprocess({name!r}).inputs", windows.inputs, np.float32, (None, *card.input_shape))
        if card.modality == "sound":
            _check_array(f"preprocess({name!r}).spans", windows.spans, np.float64, (n, 2))
        else:
            assert windows.spans is None, "preprocess: spans: expected None for an image; leave them out"
        output = subject.embed(windows.inputs)
        _check_array("embed().embeddings", output.embeddings, np.float32, (n, None))
        if output.scores is not None:
            _check_array("embed().scores", output.scores, np.float32, (n, None))
        _check_array("postprocess()", subject.postprocess(output), np.float32, (n, card.dim))
    return None


def rows_are_finite(subject: Subject) -> str | None:
    """Check that no stage returns NaN or infinity, for ordinary and odd items."""
    for name, media in {**subject.media, **odd_items(subject.card)}.items():
        try:
            windows = subject.preprocess(media)
            inputs = _both_ends(windows.inputs)
            stages = {"preprocess": inputs}
            if len(inputs):
                answer = subject.answer_for_inputs(None, inputs)
                stages |= {"postprocess": answer.embeddings}
                stages |= {} if answer.scores is None else {"scores": answer.scores}
        except AssertionError:
            continue  # stages that raise are reported by `odd_inputs_work` and others
        for stage, found in stages.items():
            assert np.isfinite(found).all(), (
                f"{stage} of {name!r}: expected finite numbers, got NaN or infinity; likely log(0) or a division by a "
                "norm or deviation of 0: add the network's own small constant before it"
            )
    return None


def inputs_stay_unchanged(subject: Subject) -> str | None:
    """Check that no stage writes into its arguments: the host gives the same array to several networks."""
    for media in subject.media.values():
        given = media.copy()
        windows = subject.call("preprocess", media=given, start=0, last=True)
        _check_unchanged("preprocess", "media", media, given)
        inputs = np.array(windows.inputs[:2])
        output = subject.call("embed", inputs=inputs)
        _check_unchanged("embed", "inputs", windows.inputs[:2], inputs)
        copy = copied(output)
        subject.call("postprocess", output=copy)
        _check_unchanged("postprocess", "embeddings", output.embeddings, copy.embeddings)
        if output.scores is not None:
            _check_unchanged("postprocess", "scores", output.scores, copy.scores)
    return None


def results_stay_unchanged(subject: Subject) -> str | None:
    """Check that what a stage returned stays as it was when the stage is called for another item."""
    first, *_, last = subject.media.values()
    one = subject.preprocess(first)
    kept_inputs = np.array(one.inputs)
    other = subject.preprocess(last)
    _check_kept("preprocess", "inputs", kept_inputs, one.inputs)
    n = min(len(one.inputs), len(other.inputs), 2)
    if not n:
        return "not checked: an item without windows"
    inputs = [np.array(windows.inputs[:n]) for windows in (one, other)]
    output = subject.call("embed", inputs=inputs[0])
    kept = copied(output)
    later = copied(subject.call("embed", inputs=inputs[1]))
    _check_kept("embed", "embeddings", kept.embeddings, output.embeddings)
    if kept.scores is not None:
        _check_kept("embed", "scores", kept.scores, output.scores)
    rows = subject.call("postprocess", output=copied(kept))
    kept_rows = np.array(rows)
    subject.call("postprocess", output=later)
    _check_kept("postprocess", "rows", kept_rows, rows)
    return None


def different_inputs_differ(subject: Subject) -> str | None:
    """Check that different items have different rows."""
    names = list(subject.media)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = (subject.baseline[name].embeddings[:1] for name in (one, other))
            assert a.shape != b.shape or row_distance(a, b) > 1e-6, (
                f"{one!r} and {other!r}: expected different rows, got the same; likely the input never reaches the "
                "network, is scaled to nothing (/ 255 twice), or every output saturates"
            )
    return None


def odd_inputs_work(subject: Subject) -> str | None:
    """Check that tiny, narrow, silent, loud and very long items are embedded like any other."""
    faults = []
    for name, media in odd_items(subject.card).items():
        try:
            for block in _blocks_of_the_host(subject.card, media):
                windows = subject.preprocess(*block)
                inputs = _both_ends(windows.inputs)
                n = len(subject.answer_for_inputs(None, inputs).embeddings) if len(inputs) else 0
                assert n == len(inputs), f"expected {len(inputs)} rows, got {n}"
        except AssertionError as error:
            faults.append(f"{name}: {error}")
    assert not faults, "; ".join(faults) + "; pad or resize to the network's input before anything that needs a size"
    return None


def _check_array(what: str, found: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    want = f"{np.dtype(dtype)} ({', '.join('n' if size is None else str(size) for size in shape)})"
    assert isinstance(found, np.ndarray), f"{what}: expected a NumPy array {want}, got {type(found).__name__}"
    fits = found.ndim == len(shape) and all(size in (None, got) for size, got in zip(shape, found.shape, strict=True))
    assert fits, f"{what}: expected {want}, got {found.shape}; does the card say what the network does?"
    assert found.dtype == dtype, (
        f"{what}: expected {want}, got {found.dtype}; convert with .astype(np.{np.dtype(dtype)})"
    )


def _check_unchanged(stage: str, what: str, before: Media, after: Media | None) -> None:
    same = after is not None and np.array_equal(before, after, equal_nan=True)
    assert same, (
        f"{stage} changed its {what}: expected them as they were; likely an operation in place (`-=`, `out=`, torch's "
        "`sub_`): work on a copy"
    )


def _check_kept(stage: str, what: str, before: Media, after: Media | None) -> None:
    same = after is not None and np.array_equal(before, after, equal_nan=True)
    assert same, (
        f"{stage} changed the {what} that it had returned when it was called again: expected them as they were; likely "
        "one buffer for all outputs (IO binding, shared outputs of a runtime): return a copy"
    )


def _blocks_of_the_host(card: Card, media: Media) -> Iterator[tuple[Media, int, bool]]:
    return iter([(media, 0, True)]) if card.modality == "image" else framing.blocks(card, [media])


def _both_ends(inputs: Floats) -> Floats:
    """Return at most eight inputs from both ends, so that long items do not take longer than short ones."""
    return inputs if len(inputs) <= 8 else np.concatenate([inputs[:4], inputs[-4:]])
