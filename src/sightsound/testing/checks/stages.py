"""Checks of what the three stages return and what they do to their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.media import framing
from sightsound.testing.media import Media, odd_items
from sightsound.testing.subject import NotApplicable, Subject, copied, row_distance


def shapes_and_dtypes(subject: Subject) -> str | None:
    """Check that every stage returns NumPy arrays of the dtype and shape that the contract and the card say."""
    card = subject.card
    for name, media in subject.media.items():
        windows = subject.preprocess(media)
        inside = subject.beside("preprocess")
        check_array(f"preprocess({name!r}).inputs", windows.inputs, np.float32, (None, *card.input_shape), inside)
        n = len(windows.inputs)
        if card.modality == "sound":
            check_array(f"preprocess({name!r}).spans", windows.spans, np.float64, (n, 2), inside)
        else:
            assert windows.spans is None, f"preprocess: spans: expected None for an image; leave them out{inside}"
        output = subject.embed(windows.inputs)
        check_array("embed().embeddings", output.embeddings, np.float32, (n, None), subject.beside("embed"))
        if output.scores is not None:
            check_array("embed().scores", output.scores, np.float32, (n, None), subject.beside("embed"))
        rows = subject.postprocess(output)
        check_array("postprocess()", rows, np.float32, (n, card.dim), subject.beside("postprocess"))
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
                f"{subject.beside('embed' if stage == 'scores' else stage)}"
            )
    return None


def inputs_stay_unchanged(subject: Subject) -> str | None:
    """Check that no stage writes into its arguments: the host gives the same array to several networks."""
    for media in subject.media.values():
        given = media.copy()
        windows = subject.call("preprocess", media=given, start=0, last=True)
        _check_unchanged(subject, "preprocess", "media", media, given)
        inputs = np.array(windows.inputs[:2])
        output = subject.call("embed", inputs=inputs)
        _check_unchanged(subject, "embed", "inputs", windows.inputs[:2], inputs)
        copy = copied(output)
        subject.call("postprocess", output=copy)
        _check_unchanged(subject, "postprocess", "embeddings", output.embeddings, copy.embeddings)
        if output.scores is not None:
            _check_unchanged(subject, "postprocess", "scores", output.scores, copy.scores)
    return None


def results_stay_unchanged(subject: Subject) -> str | None:
    """Check that what a stage returned stays as it was when the stage is called for other items."""
    first, *others = subject.media.values()
    later_media = [*others, first, *others]
    one = subject.preprocess(first)
    kept_inputs = np.array(one.inputs)
    later_windows = [subject.preprocess(media) for media in later_media]
    _check_kept(subject, "preprocess", "inputs", kept_inputs, one.inputs)
    n = min(2, *(len(windows.inputs) for windows in (one, *later_windows)))
    if not n:
        raise NotApplicable("an item has no windows")
    output = subject.call("embed", inputs=np.array(one.inputs[:n]))
    kept = copied(output)
    later = [copied(subject.call("embed", inputs=np.array(each.inputs[:n]))) for each in later_windows]
    _check_kept(subject, "embed", "embeddings", kept.embeddings, output.embeddings)
    if kept.scores is not None:
        _check_kept(subject, "embed", "scores", kept.scores, output.scores)
    rows = subject.call("postprocess", output=copied(kept))
    kept_rows = np.array(rows)
    for each in later:
        subject.call("postprocess", output=each)
    _check_kept(subject, "postprocess", "rows", kept_rows, rows)
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


def check_array(what: str, found: Any, dtype: type, shape: tuple[int | None, ...], beside: str = "") -> None:
    """Raise `AssertionError` if an array has another dtype or shape, in which None stands for any size."""
    want = f"{np.dtype(dtype)} ({', '.join('n' if size is None else str(size) for size in shape)})"
    assert isinstance(found, np.ndarray), f"{what}: expected a NumPy array {want}, got {type(found).__name__}{beside}"
    fits = found.ndim == len(shape) and all(size in (None, got) for size, got in zip(shape, found.shape, strict=True))
    assert fits, f"{what}: expected {want}, got {found.shape}; does the card say what the network does?{beside}"
    assert found.dtype == dtype, (
        f"{what}: expected {want}, got {found.dtype} {found.shape}; convert with .astype(np.{np.dtype(dtype)}){beside}"
    )


def _check_unchanged(subject: Subject, stage: str, what: str, before: Media, after: Media | None) -> None:
    same = after is not None and np.array_equal(before, after, equal_nan=True)
    assert same, (
        f"{stage} changed its {what}: expected them as they were; likely an operation in place (`-=`, `out=`, torch's "
        f"`sub_`): work on a copy{subject.beside(stage)}"
    )


def _check_kept(subject: Subject, stage: str, what: str, before: Media, after: Media | None) -> None:
    same = after is not None and np.array_equal(before, after, equal_nan=True)
    assert same, (
        f"{stage} changed the {what} that it had returned when it was called again: expected them as they were; likely "
        "one buffer for several outputs (IO binding, shared outputs of a runtime): return a copy"
        f"{subject.beside(stage)}"
    )


def _blocks_of_the_host(card: Card, media: Media) -> Iterator[tuple[Media, int, bool]]:
    return iter([(media, 0, True)]) if card.modality == "image" else framing.blocks(card, [media])


def _both_ends(inputs: Floats) -> Floats:
    """Return at most eight inputs from both ends, so that long items do not take longer than short ones."""
    return inputs if len(inputs) <= 8 else np.concatenate([inputs[:4], inputs[-4:]])
