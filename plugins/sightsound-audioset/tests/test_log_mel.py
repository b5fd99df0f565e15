"""The shared front end, against a slow float64 reference that has no code in common with it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import reference
from sightsound_audioset import log_mel, vggish, yamnet

CARDS = [vggish.F32, yamnet.F32, yamnet.I8]


@pytest.mark.parametrize("offset", [0.01, 0.001])
def test_log_mel_equals_the_float64_golden(offset):
    golden = np.load(reference.GOLDENS / "log_mel.npz")[f"offset_{offset}"]
    found = log_mel.log_mel(reference.signal(), offset)
    np.testing.assert_allclose(found, golden, rtol=0, atol=2e-6)


def test_a_pure_tone_keeps_its_empty_bins():
    """The transform is exact enough for bins that hold a millionth of the largest, where float32 is not."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    np.testing.assert_allclose(
        log_mel.log_mel(tone, 0.01), reference.log_mel(tone.astype(np.float64), 0.01), rtol=0, atol=2e-6
    )


def test_mel_triangles_equal_those_computed_one_by_one():
    np.testing.assert_allclose(log_mel.mel_matrix(), reference.triangles(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
@pytest.mark.parametrize("hops", [1, 2, 5])
def test_blocks_give_the_same_numbers_as_the_whole(card, hops):
    rng = np.random.default_rng(1)
    sound = rng.standard_normal(7 * card.hop + 9000).astype(np.float32)
    whole = log_mel.windows(card, sound, 0, True)
    step, size = hops * card.hop, (hops - 1) * card.hop + card.window
    starts = [0, *range(step, len(sound) - size + step, step)]  # the last block reaches the end
    parts = [log_mel.windows(card, sound[s : s + size], s, s + size >= len(sound)) for s in starts]
    assert np.array_equal(np.concatenate([part.inputs for part in parts]), whole.inputs)
    assert np.array_equal(np.concatenate([part.spans for part in parts]), whole.spans)


def test_the_parts_of_the_mel_matrix_are_all_of_it_and_add_in_the_same_order():
    magnitudes = np.abs(np.random.default_rng(2).standard_normal((12, 257))).astype(np.float32)
    matrix, found = log_mel.mel_matrix().astype(np.float32), np.empty((12, 64), np.float32)
    joined = np.zeros_like(matrix)
    for bins, bands, part in log_mel._mel_parts():
        joined[bins, bands] += part
        found[:, bands] = magnitudes[:, bins] @ part
    assert np.array_equal(joined, matrix)
    np.testing.assert_allclose(found, magnitudes @ matrix, rtol=1e-6, atol=0)


def test_a_call_changes_nothing_that_an_earlier_one_returned():
    first = log_mel.log_mel(reference.signal(), 0.001)
    before = first.copy()
    log_mel.log_mel(np.ones(16000, np.float32), 0.001)
    assert np.array_equal(first, before)


def test_threads_do_not_mix_sounds():
    rng = np.random.default_rng(3)
    sounds = [rng.standard_normal(20000 + 160 * i).astype(np.float32) for i in range(40)]
    expected = [log_mel.log_mel(sound, 0.001) for sound in sounds]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda sound: log_mel.log_mel(sound, 0.001), sounds))
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_sound_shorter_than_a_window_is_padded_to_one_and_flagged(card):
    sound = np.ones(3000, np.float32)
    found = log_mel.windows(card, sound, 0, True)
    assert found.inputs.shape == (1, 96, 64)
    assert found.padded
    assert found.spans.tolist() == [[0, 3000 / 16000]]
    padded = log_mel.windows(card, np.pad(sound, (0, 12600)), 0, True)
    assert np.array_equal(padded.inputs, found.inputs)


def test_windows_span_the_receptive_field():
    found = log_mel.windows(yamnet.F32, np.zeros(16000 * 3, np.float32), 0, True)
    assert found.spans[0].tolist() == [0, 0.975]
    assert found.spans[1].tolist() == [0.48, 1.455]


def test_yamnet_loses_nothing_of_the_tail_and_vggish_drops_it():
    sound = np.zeros(log_mel.WINDOW + 1, np.float32)
    padded, dropped = (log_mel.windows(card, sound, 0, True) for card in (yamnet.F32, vggish.F32))
    assert (len(padded.inputs), padded.padded) == (2, True)
    assert (len(dropped.inputs), dropped.padded) == (1, False)


def test_silence_is_the_logarithm_of_the_offset():
    found = log_mel.log_mel(np.zeros(16000, np.float32), 0.001)
    assert np.all(found == np.log(np.float32(0.001)))


def test_the_sound_is_not_changed_and_the_inputs_are_a_copy():
    sound = reference.signal()
    before = sound.copy()
    sound.flags.writeable = False
    found = log_mel.windows(yamnet.F32, sound[: log_mel.WINDOW], 0, True)
    found.inputs[:] = 0
    assert np.array_equal(sound, before)


def test_the_log_offset_comes_from_the_card():
    card = replace(yamnet.F32, constants={**yamnet.F32.constants, "log_offset": 0.5})
    assert log_mel.windows(card, np.zeros(20000, np.float32), 0, True).inputs[0, 0, 0] == np.log(np.float32(0.5))
