"""How a recording is cut: into blocks by the host, and into windows by a plugin.

All positions are whole numbers of samples. With seconds in float32, as in Google's code, some long recordings lose a
window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.errors import MediaError

BLOCK_SECONDS = 30
"""The approximate length of a block. It limits the memory and does not change any number."""

WHOLE_SECONDS = 30 * 60
"""The longest recording for a card without window and hop, which gets it in one piece."""


def count_windows(card: Card, samples: int) -> int:
    """Return how many windows a recording of `samples` samples has.

    With the tail `pad` they cover every sample. With `drop` only complete windows count, but at least one. An empty
    recording has none.
    """
    if not samples:
        return 0
    window, hop = _window_and_hop(card)
    beyond = max(0, samples - window)
    if card.tail == "drop":
        return 1 + beyond // hop
    return 1 + min(-(-beyond // hop), (samples - 1) // hop)


def frames(card: Card, media: Floats, start: int, last: bool) -> tuple[Floats, Seconds, bool]:
    """Return the windows that begin in a block.

    Parameters
    ----------
    card : Card
        Has window and hop.
    media : ndarray
        float32 (samples,), the block. It stays unchanged.
    start : int
        The first sample of the block in its recording.
    last : bool
        Whether the recording ends with this block. Only then the last window may be padded.

    Returns
    -------
    windows : ndarray
        float32 (n, card.window). It may be a read-only view of `media`.
    spans : ndarray
        Seconds, float64 (n, 2), clipped to the recording.
    padded : bool
        Whether the last window was padded with zeros.
    """
    window, hop = _window_and_hop(card)
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
        media = np.concatenate([media, np.zeros(missing, np.float32)])  # np.pad takes many times as long
    return np.lib.stride_tricks.sliding_window_view(media, window)[::hop][:n], spans, missing > 0


def blocks(
    card: Card, pieces: Iterable[Floats], windows: int = 0, *, soon: bool = False
) -> Iterator[tuple[Floats, int, bool]]:
    """Join pieces of any length to blocks that begin at multiples of the hop.

    Parameters
    ----------
    card : Card
        The card. Without window and hop, the whole recording is one block.
    pieces : iterable of ndarray
        float32 (n,), any n.
    windows : int
        The number of windows in a block; 0 means about 30 s.
    soon : bool
        Whether a block is also yielded with fewer windows, as soon as a piece completes any.

    Yields
    ------
    media : ndarray
        float32 (samples,).
    start : int
        The first sample of the block in the recording.
    last : bool
        True for exactly one block, the last. An empty recording has no block.

    Raises
    ------
    MediaError
        If the card has no window and the recording is longer than 30 minutes.
    """
    if card.window is None:
        yield from _whole_recording(card, pieces)
        return
    window, hop = _window_and_hop(card)
    assert card.sample_rate is not None
    windows = windows or max(1, BLOCK_SECONDS * card.sample_rate // hop)
    least = 1 if soon else windows
    held: deque[Floats] = deque()
    length, start = 0, 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if _enough(length, window, hop, windows) < least:
            continue
        whole, at = _emptied(held, length), 0
        while (n := _enough(length - at, window, hop, windows)) >= least:
            yield whole[at : at + (n - 1) * hop + window], start + at, False
            at += n * hop
        held.append(whole[at:].copy())  # a view would keep the block in memory
        length, start = length - at, start + at
    if start + length:
        yield _emptied(held, length), start, True


def _enough(samples: int, window: int, hop: int, most: int) -> int:
    """Return how many whole windows, at most `most`, are a block that is not the last: a sample stays behind them."""
    return min(most, (samples - 1) // hop, (samples - 1 - window) // hop + 1)


def _whole_recording(card: Card, pieces: Iterable[Floats]) -> Iterator[tuple[Floats, int, bool]]:
    assert card.sample_rate is not None
    held: deque[Floats] = deque()
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length > WHOLE_SECONDS * card.sample_rate:
            raise MediaError(
                f"too long: {card.name} takes whole recordings of at most {WHOLE_SECONDS // 60} minutes; "
                "cut it, or use a model that has windows"
            )
    if length:
        yield _emptied(held, length), 0, True


def _emptied(held: deque[Floats], length: int) -> Floats:
    """Return the pieces as one array. Each is freed when it is copied, so that the recording is not held twice."""
    if len(held) == 1:
        return held.pop()
    whole, at = np.empty(length, np.float32), 0
    while held:
        piece = held.popleft()
        whole[at : at + len(piece)] = piece
        at += len(piece)
    return whole


def _window_and_hop(card: Card) -> tuple[int, int]:
    assert card.window is not None and card.hop is not None, f"{card.name} has no window and hop"
    return card.window, card.hop
