"""How a recording is cut, compared with a slow way: one window after the other, sample by sample."""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound import Card, MediaError
from sightsound.media import framing


def card(window=None, hop=None, tail="pad", rate=10):
    return Card(
        name="cut.test", modality="sound", dim=1, input_shape=(1,), sample_rate=rate, window=window, hop=hop, tail=tail
    )


def recording(samples: int) -> np.ndarray:
    """Samples 1, 2, 3, ..., so that each differs from the others and from padding."""
    return np.arange(1, samples + 1, dtype=np.float32)


def begins(window: int, hop: int, tail: str, samples: int) -> list[int]:
    """Where windows begin: the first always does; a further one if it is whole or, with `pad`, if the windows before
    leave something over that it would take in."""
    found = []
    covered = 0
    for begin in range(0, samples, hop):
        if not found or begin + window <= samples or (tail == "pad" and covered < samples):
            found.append(begin)
            covered = begin + window
    return found


def cut(window: int, hop: int, tail: str, sound: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]], bool]:
    """The windows, the samples (from, to) that each covers, and whether the last is padded."""
    rows, spans = [], []
    for begin in begins(window, hop, tail, len(sound)):
        row = [sound[i] if i < len(sound) else 0 for i in range(begin, begin + window)]
        rows.append(row)
        spans.append((begin, min(begin + window, len(sound))))
    padded = bool(rows) and spans[-1][0] + window > len(sound)
    return np.array(rows, np.float32).reshape(len(rows), window), spans, padded


def in_blocks(card: Card, pieces, **arguments) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    """What comes of blocks and frames together, as the pipeline does it."""
    rows, spans, padded = [np.empty((0, card.window), np.float32)], [np.empty((0, 2))], []
    for media, start, last in framing.blocks(card, pieces, **arguments):
        windows, seconds, filled = framing.frames(card, media, start, last)
        rows.append(windows)
        spans.append(seconds)
        padded.append(filled)
    return np.concatenate(rows), np.concatenate(spans), padded


sizes = st.integers(1, 40) | st.integers(1, 700)
tails = st.sampled_from(["pad", "drop"])
patient = settings(deadline=None)
lengths = st.integers(0, 100) | st.integers(0, 2500)


@st.composite
def pieces(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray]]:
    sound = recording(draw(lengths))
    cuts = sorted(draw(st.lists(st.integers(0, len(sound)), max_size=8)))
    return sound, [sound[a:b] for a, b in itertools.pairwise([0, *cuts, len(sound)])]


# -- windows -----------------------------------------------------------------------------------------------------


@patient
@given(sizes, sizes, tails, lengths)
def test_the_number_of_windows_equals_that_of_a_slow_count(window, hop, tail, samples):
    assert framing.count_windows(card(window, hop, tail), samples) == len(begins(window, hop, tail, samples))


@patient
@given(sizes, sizes, tails, lengths)
def test_a_whole_recording_is_cut_as_the_slow_way_does(window, hop, tail, samples):
    sound = recording(samples)
    rows, spans, padded = framing.frames(card(window, hop, tail), sound, 0, True)
    expected, seconds, filled = cut(window, hop, tail, sound)
    np.testing.assert_array_equal(rows, expected)
    assert rows.dtype == np.float32 and spans.dtype == np.float64 and spans.shape == (len(rows), 2)
    np.testing.assert_array_equal(spans, np.array(seconds, np.float64).reshape(-1, 2) / 10)
    assert padded == filled
    np.testing.assert_array_equal(sound, recording(samples), "the block is left as it was")


@patient
@given(sizes, sizes, lengths)
def test_with_pad_every_sample_is_in_a_window(window, hop, samples):
    window, hop = max(window, hop), min(window, hop)
    rows, spans, _ = framing.frames(card(window, hop), recording(samples), 0, True)
    assert set(rows.ravel()) - {0} == set(recording(samples))
    assert (spans[-1, 1] if samples else 0) == samples / 10


@patient
@given(sizes, sizes, lengths)
def test_with_pad_every_window_is_needed(window, hop, samples):
    """Without its last window some sample would be lost."""
    window, hop = max(window, hop), min(window, hop)
    rows, _, _ = framing.frames(card(window, hop), recording(samples), 0, True)
    if len(rows) > 1:
        assert set(rows[:-1].ravel()) - {0} < set(recording(samples))


@patient
@given(sizes, sizes, lengths)
def test_with_drop_only_a_recording_shorter_than_a_window_is_padded(window, hop, samples):
    rows, _, padded = framing.frames(card(window, hop, "drop"), recording(samples), 0, True)
    assert padded == (0 < samples < window)
    assert len(rows) == (1 if padded else sum(a + window <= samples for a in range(0, samples, hop)))


@patient
@given(sizes, sizes, tails, lengths)
def test_spans_are_ordered_not_empty_and_inside_the_item(window, hop, tail, samples):
    _, spans, _ = framing.frames(card(window, hop, tail), recording(samples), 0, True)
    assert (spans[:, 0] < spans[:, 1]).all() and (spans >= 0).all() and (spans <= samples / 10).all()
    assert (np.diff(spans[:, 0]) > 0).all()


# -- blocks ------------------------------------------------------------------------------------------------------


@settings(patient, max_examples=300)
@given(sizes, sizes, tails, pieces())
def test_blocks_and_frames_give_the_whole(window, hop, tail, parts):
    sound, given_pieces = parts
    rows, spans, padded = in_blocks(card(window, hop, tail), given_pieces)
    expected, seconds, filled = cut(window, hop, tail, sound)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(spans, np.array(seconds, np.float64).reshape(-1, 2) / 10)
    assert not any(padded[:-1]) and any(padded) == filled


@patient
@given(sizes, sizes, tails, pieces(), st.integers(1, 50))
def test_blocks_of_a_named_number_of_windows_give_the_whole(window, hop, tail, parts, windows):
    sound, given_pieces = parts
    rows, _, _ = in_blocks(card(window, hop, tail), given_pieces, windows=windows)
    np.testing.assert_array_equal(rows, cut(window, hop, tail, sound)[0])


@patient
@given(sizes, sizes, tails, pieces())
def test_blocks_begin_on_hops_are_stretches_of_the_recording_and_one_is_last(window, hop, tail, parts):
    sound, given_pieces = parts
    found = list(framing.blocks(card(window, hop, tail), given_pieces))
    assert [last for _, _, last in found] == [False] * (len(found) - 1) + [True] * bool(len(sound))
    for media, start, _ in found:
        assert start % hop == 0 and len(media)
        np.testing.assert_array_equal(media, sound[start : start + len(media)])
    for (media, start, _), (_, after, _) in itertools.pairwise(found):
        whole = [begin for begin in range(start, after, hop) if begin + window > start + len(media)]
        assert after > start and not whole, "every window that begins before the next block is whole in this one"
    if found:
        assert found[-1][1] + len(found[-1][0]) == len(sound), "the last block reaches to the end"


@patient
@given(sizes, sizes, tails, pieces())
def test_blocks_do_not_depend_on_the_pieces(window, hop, tail, parts):
    sound, given_pieces = parts
    once, pieced = (list(framing.blocks(card(window, hop, tail), p)) for p in ([sound], given_pieces))
    assert [(start, last, media.tolist()) for media, start, last in once] == [
        (start, last, media.tolist()) for media, start, last in pieced
    ]


def test_blocks_bound_the_memory_however_long_the_recording_is():
    """An hour at 16 kHz in pieces of a second: no block is much over 30 s, and only one is held at a time."""
    yamnet = card(15_600, 7_680, rate=16_000)
    second = np.zeros(16_000, np.float32)
    sizes = [len(media) for media, _, _ in framing.blocks(yamnet, itertools.repeat(second, 3600))]
    assert max(sizes) <= 31 * 16_000
    assert len(sizes) == 121


@pytest.mark.parametrize(("over", "windows"), [(0, 0), (1, 1)])
def test_a_last_block_that_brings_nothing_new_has_no_window(over, windows):
    """The window before, samples 0 to 100, contains the first 60 of these 60 + `over` samples."""
    rows, spans, padded = framing.frames(card(100, 40), recording(60 + over), 40, True)
    assert (len(rows), len(spans), padded) == (windows, windows, bool(windows))


# -- whole recordings --------------------------------------------------------------------------------------------


@patient
@given(pieces())
def test_a_card_without_window_gets_the_recording_in_one_block(parts):
    sound, given_pieces = parts
    found = list(framing.blocks(card(), given_pieces))
    assert [(media.tolist(), start, last) for media, start, last in found] == (
        [(sound.tolist(), 0, True)] if len(sound) else []
    )


def test_a_card_without_window_gets_thirty_minutes_and_not_a_sample_more():
    limit = 30 * 60 * 10
    ((media, start, last),) = framing.blocks(card(), [recording(limit)])
    assert (len(media), start, last) == (limit, 0, True)
    with pytest.raises(MediaError, match="too long: cut.test takes whole recordings of at most 30 minutes; cut it, or"):
        list(framing.blocks(card(), [recording(limit), recording(1)]))


def test_a_recording_that_is_too_long_is_not_read_to_its_end():
    def endless():
        for seconds in range(10**9):
            assert seconds < 40 * 60, "read on and on"
            yield np.zeros(10, np.float32)

    with pytest.raises(MediaError, match="too long"):
        list(framing.blocks(card(), endless()))


# -- the published networks --------------------------------------------------------------------------------------

GOOGLE = [
    *range(1, 40_000, 97),
    *(15_600 + k * 7_680 + d for k in (0, 1, 2, 120, 7_500, 75_000) for d in (-1, 0, 1)),
    *(17 * 60 * 16_000 + 7_680 * k + 1 for k in range(0, 9_000, 700)),
]


def pad_waveform(samples: int) -> int:
    """YAMNet's windows as its published features.py pads them, in whole numbers: at least one window of 0.96 s and
    the rest of its last STFT frame (0.025 - 0.010 s), and beyond that rounded up to hops of 0.48 s, at 16 kHz."""
    least, hop, hops = (960 + 25 - 10) * 16, 480 * 16, 0
    while least + hops * hop < samples:
        hops += 1
    return 1 + hops


def test_yamnet_has_as_many_windows_as_googles_padding_makes():
    yamnet = card(15_600, 7_680, rate=16_000)
    assert [framing.count_windows(yamnet, samples) for samples in GOOGLE] == [
        pad_waveform(samples) for samples in GOOGLE
    ]


def test_vggish_has_the_whole_examples_alone_and_at_least_one():
    """Frames of 400 samples each 160, examples of 96 frames each 96, both cut as published: the whole ones."""
    vggish = card(15_600, 15_360, "drop", rate=16_000)
    for samples in GOOGLE:
        frames = (samples - 400) // 160 + 1 if samples >= 400 else 0
        assert framing.count_windows(vggish, samples) == max(1, (frames - 96) // 96 + 1 if frames >= 96 else 0), samples


def test_the_published_windows_of_a_second_a_clip_and_a_day():
    yamnet, vggish = card(15_600, 7_680, rate=16_000), card(15_600, 15_360, "drop", rate=16_000)
    assert [framing.count_windows(yamnet, 16_000 * s) for s in (0, 1, 5, 86_400)] == [0, 2, 10, 179_999]
    assert [framing.count_windows(vggish, 16_000 * s) for s in (0, 1, 5, 86_400)] == [0, 1, 5, 89_999]


def test_pieces_of_a_whole_recording_are_freed_when_they_are_joined() -> None:
    freed: list[int] = []

    def pieces():
        for i in range(5):
            piece = np.full(100, i, np.float32)
            weakref.finalize(piece, freed.append, i)
            yield piece
            del piece

    found = framing.blocks(card(), pieces())
    whole, start, last = next(found)
    assert freed == [0, 1, 2, 3], "all but the last, before the recording is used"
    np.testing.assert_array_equal(whole, np.repeat(np.arange(5, dtype=np.float32), 100))
    assert (start, last, list(found)) == (0, True, [])
