"""Properties that a log-spectrogram must have."""

import numpy as np
import pytest

from sightsound import Host


@pytest.fixture(scope="module")
def model():
    return Host().load("logspec.acme")


def tone(hertz, gain=0.5):
    return (gain * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)).astype(np.float32)


@pytest.mark.parametrize("hertz", [300, 1050, 5050])
def test_a_tone_is_strongest_in_its_own_band_of_125_hertz(model, hertz):
    _, rows, _ = model.rows(tone(hertz))
    assert rows[0, :64].argmax() == hertz // 125


def test_a_louder_tone_is_the_same_sound(model):
    near, far = (model.rows(tone(hertz, gain))[1][0] for hertz, gain in ((1000, 1.0), (3000, 0.5)))
    row = model.rows(tone(1000))[1][0]
    assert row @ near > row @ far


def test_there_is_a_row_for_every_half_second(model):
    spans, rows, _ = model.rows(np.zeros(30_000, np.float32))
    assert spans.tolist() == [[0, 1], [0.5, 1.5], [1, 1.875]]
    assert rows.shape == (3, 128)
