"""How a recording is cut: into blocks by the host, into windows by a plugin. One place knows the arithmetic.

Everything is counted in samples: Google's float32 ceiling, for one, is a window short for some long recordings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.errors import MediaError

BLOCK_SECONDS = 30
"""About as much sound as one block brings: it bounds the memory, and changes no number."""

WHOLE_SECONDS = 30 * 60
"""The longest recording that is handed over in one piece, to a card without window and hop."""


def count_windows(card: Card, samples: int) -> int:
    """How many windows a recording of `samples` samples has.

    With tail `pad` enough to cover every sample, with `drop` the whole ones and at least one; an empty one has none.
    """
    if not samples:
        return 0
    window, hop = _cut(card)
    beyond = max(0, samples - window)
    if card.tail == "drop":
        return 1 + beyond // hop
    return 1 + min(-(-beyond // hop), (samples - 1) // hop)


def frames(card: Card, media: Floats, start: int, last: bool) -> tuple[Floats, Seconds, bool]:
    """The windows that begin in a block.

    Returns samples float32 (n, card.window), seconds float64 (n, 2) clipped to the item, and whether the last
    window was filled up with zeros. `media` stays as it is; the windows may be a read-only view of it.
    """
    window, hop = _cut(card)
    n = max(0, (len(media) - window) // hop + 1)
    if last and (start == 0 or (card.tail == "pad" and len(media) > window - hop)):
        n = count_windows(card, len(media))
    begin = hop * np.arange(n, dtype=np.int64)
    end = np.minimum(begin + window, len(media))
    spans = (start + np.stack([begin, end], axis=1)) / card.sample_rate
    if not n:
        return np.empty((0, window), np.float32), spans, False
    missing = (n - 1) * hop + window - len(media)
    if missing > 0:
        media = np.pad(media, (0, missing))
    return np.lib.stride_tricks.sliding_window_view(media, window)[::hop][:n], spans, missing > 0


def blocks(
    card: Card, pieces: Iterable[Floats], windows: int = 0, *, soon: bool = False
) -> Iterator[tuple[Floats, int, bool]]:
    """Joins pieces of any length to blocks `(media, start, last)` on hop boundaries, of which exactly one is last.

    A block holds as many `windows` as are named, or some 30 s of them; where they are wanted `soon`, as many as there
    are when a piece has come, and that many at most. An empty recording has no block.

    Raises `MediaError` for a recording over 30 minutes where the card has no window.
    """
    if card.window is None:
        yield from _whole(card, pieces)
        return
    window, hop = _cut(card)
    assert card.sample_rate is not None
    windows = windows or max(1, BLOCK_SECONDS * card.sample_rate // hop)
    held, start = np.empty(0, np.float32), 0
    for piece in pieces:
        held = np.concatenate([held, piece])
        while True:  # at least one sample stays, so this block is not the last
            n = min(windows, (len(held) - 1) // hop, (len(held) - 1 - window) // hop + 1)
            if n < (1 if soon else windows):
                break
            yield held[: (n - 1) * hop + window], start, False
            held, start = held[n * hop :], start + n * hop
    if start + len(held):
        yield held, start, True


def _whole(card: Card, pieces: Iterable[Floats]) -> Iterator[tuple[Floats, int, bool]]:
    assert card.sample_rate is not None
    held: list[Floats] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) > WHOLE_SECONDS * card.sample_rate:
            raise MediaError(
                f"too long: {card.name} takes whole recordings of at most {WHOLE_SECONDS // 60} minutes; "
                "cut it, or use a model that has windows"
            )
    if any(map(len, held)):
        yield np.concatenate(held), 0, True


def _cut(card: Card) -> tuple[int, int]:
    assert card.window is not None and card.hop is not None, f"{card.name} has no window and hop"
    return card.window, card.hop
