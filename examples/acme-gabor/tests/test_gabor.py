"""Properties that Gabor features must have."""

import importlib.util

import numpy as np
import pytest
from textures import SIZE, picture, wave

from acme_gabor import CARD, NUMBERS
from sightsound import Host

WAVELENGTHS, ORIENTATIONS = NUMBERS["wavelengths"], NUMBERS["orientations"]
FIRST = len(WAVELENGTHS) * ORIENTATIONS


@pytest.fixture(scope="module")
def row():
    model = Host().load("gabor.acme", "cpu")
    return lambda values: model.rows(picture(values))[1][0]


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
@pytest.mark.parametrize("scale", range(len(WAVELENGTHS)))
def test_a_grating_is_strongest_in_the_filter_of_its_own_scale_and_orientation(row, scale, orientation):
    grating = 0.5 * wave(WAVELENGTHS[scale], 180 / ORIENTATIONS * orientation)
    means = row(grating)[:FIRST]
    assert means.argmax() == scale * ORIENTATIONS + orientation
    assert means.max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("direction", range(4))
def test_a_slow_change_of_contrast_is_strongest_in_the_second_filter_of_its_own_direction(row, direction):
    slow = NUMBERS["pool"] * NUMBERS["second_wavelengths"][0]
    second = row(wave(3, 0) * (0.5 + 0.4 * wave(slow, 45 * direction)))[2 * FIRST :]
    assert second[:4].argmax() == direction


def test_light_does_not_matter_and_contrast_does(row):
    grating = 0.3 * wave(6, 30)
    np.testing.assert_allclose(row(grating + 0.4), row(grating), atol=0.003)
    np.testing.assert_allclose(row(2 * grating), 2 * row(grating), atol=0.01)
    assert row(np.full((SIZE, SIZE), 0.8)).max() < 0.002


def test_a_picture_turned_by_90_degrees_has_the_same_numbers_in_other_filters(row):
    noise = np.random.default_rng(0).normal(0, 0.3, (SIZE, SIZE))
    means, turned = (row(each)[:FIRST].reshape(-1, ORIENTATIONS) for each in (noise, np.rot90(noise)))
    np.testing.assert_allclose(turned, np.roll(means, ORIENTATIONS // 2, axis=1), atol=1e-5)


def test_the_card_says_what_there_is():
    pairs = FIRST + FIRST * len(NUMBERS["second_wavelengths"]) * NUMBERS["second_orientations"]
    assert CARD.dim == 2 * pairs
    assert {*NUMBERS} < {*CARD.constants}


def test_without_torch_the_plugin_is_listed_with_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else found(name, *rest)
    )
    host = Host()
    assert "gabor.acme" not in host.cards
    (plugin,) = (each for each in host.plugins if each.name == "gabor")
    assert "pip install torch" in str(plugin)
