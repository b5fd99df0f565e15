"""Checks of how a recording is cut into windows."""

from __future__ import annotations

import numpy as np

from sightsound.contract.embedder import Windows
from sightsound.media import framing
from sightsound.testing.media import odd_items, rate_window_hop
from sightsound.testing.subject import TOLERANCE, NotApplicable, Subject, distance


def spans_are_ordered_and_inside(subject: Subject) -> str | None:
    """Check that spans in seconds start before they end, lie inside the item, and are in the order of time."""
    if subject.card.modality == "image":
        raise NotApplicable("an image has no seconds")
    rate, _, _ = rate_window_hop(subject.card)
    for name, media in subject.media.items():
        spans = subject.preprocess(media).spans
        assert spans is not None, "preprocess: expected spans for sound, got None; `frames` returns them"
        length = len(media) / rate
        outside = (spans[:, 0] < 0) | (spans[:, 1] > length + 1e-9)
        assert not outside.any(), (
            f"spans of {name!r}: expected within 0 to {length:.3f} s, got {spans[outside][0].tolist()}; likely samples "
            "for seconds, or the padding counted: clip the end to the item, as `frames` does"
        )
        assert (spans[:, 0] < spans[:, 1]).all(), f"spans of {name!r}: expected start < end; likely swapped or empty"
        ordered = (np.diff(spans[:, 0]) > 0).all() and (np.diff(spans[:, 1]) >= 0).all()
        assert ordered, f"spans of {name!r}: expected in the order of time; likely sorted otherwise or repeated"
    return None


def windows_as_the_card_says(subject: Subject) -> str | None:
    """Check that the number of windows follows from `window`, `hop` and `tail`, and `padded` reports added zeros."""
    if subject.card.window is None:
        raise NotApplicable("the card has no windows")
    _, window, hop = rate_window_hop(subject.card)
    noise = odd_items(subject.card)["very long"]
    for n in (max(1, window // 2), window, window + 1, window + hop, window + 2 * hop + hop // 2):
        if n > len(noise):
            continue
        found, expected = subject.preprocess(noise[:n]), framing.count_windows(subject.card, n)
        assert len(found.inputs) == expected, (
            f"{n} samples: expected {expected} windows (window {window}, hop {hop}, tail {subject.card.tail!r}), got "
            f"{len(found.inputs)}; likely a tail that is dropped or padded against the card, or another framing: use "
            "`frames`, or correct the card"
        )
    for n, padded in ((max(1, window // 2), window > 1), (window, False)):
        found = subject.preprocess(noise[:n])
        assert found.padded == padded, (
            f"{n} samples, window {window}: expected padded={padded}, got {found.padded}; pass on what `frames` returns"
        )
    return None


def blocks_equal_the_whole(subject: Subject) -> str | None:
    """Check that a recording that comes in blocks, between those of another recording, has the rows of the whole."""
    if subject.card.window is None:
        raise NotApplicable("images and whole recordings come in one piece")
    names = list(subject.media)[:2]
    for size in (1, 2, 3):
        pieces: dict[str, list[Windows]] = {name: [] for name in names}
        blocks = [framing.blocks(subject.card, [subject.media[name]], size) for name in names]
        for pair in zip(*blocks, strict=True):
            for name, block in zip(names, pair, strict=True):
                pieces[name].append(subject.preprocess(*block))
        for name in names:
            _check_same_as_whole(subject, name, pieces[name], size)
    return None


def _check_same_as_whole(subject: Subject, name: str, pieces: list[Windows], size: int) -> None:
    whole = subject.preprocess(subject.media[name])
    inputs = np.concatenate([piece.inputs for piece in pieces])
    what = f"{name!r} in {len(pieces)} blocks of {size} windows"
    assert len(inputs) == len(whole.inputs), (
        f"{what}: expected {len(whole.inputs)} windows as in one block, got {len(inputs)}; likely every block is "
        "padded: only the last may be (`frames` does it)"
    )
    far = distance(subject.answer_for_inputs(None, inputs), subject.answer_for_inputs(None, whole.inputs))
    assert far <= TOLERANCE, (
        f"{what}: expected the rows of one block, got {far:.2g} apart; likely a mean, maximum or filter over the whole "
        "block instead of each window, or something kept from the block before"
    )
    spans = [piece.spans for piece in pieces if piece.spans is not None]
    if whole.spans is not None and spans:
        shift = abs(np.sort(np.concatenate(spans), axis=0) - np.sort(whole.spans, axis=0)).max(initial=0.0)
        assert shift <= 1e-6, f"{what}: expected the same seconds, got {shift:.3g} s apart; is `start` added?"
