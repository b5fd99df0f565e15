"""Settings that stand in the file of a network, and those that say what a card says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightsound import Card, ModelSettings, SightsoundError
from sightsound.contract.stated_settings import filled_settings, settings_json, settings_of_card
from sightsound.plugin import Inputs

IMAGE = {"modality": "image", "size": (6, 8), "mean": (0.1, 0.2, 0.3), "std": (2.0,), "interpolation": "bicubic"}
SOUND = {"rate": 48_000, "window": 3.0, "hop": 1.5, "tail": "drop"}


def test_fields_at_their_default_are_filled():
    stated = json.dumps({"mean": 0.5, "labels": ["a"], "ids": ["1"], "about": "theirs", "name": "other"})
    found = filled_settings(ModelSettings(name="mine", mean=(0.1,)), stated)
    assert found == ModelSettings(name="mine", mean=(0.1,), labels=("a",), ids=("1",), about="theirs")
    assert filled_settings(found, "") == found


def test_ids_of_other_labels_are_not_taken():
    stated = json.dumps({"labels": ["a", "b"], "ids": ["1", "2"]})
    assert filled_settings(ModelSettings(name="mine", labels=("x",)), stated).ids == ()


@pytest.mark.parametrize("stated", ["{", "[]", '{"sizes": 1}', '{"std": 0}'])
def test_what_is_wrong_in_a_file_is_refused(stated):
    with pytest.raises(SightsoundError):
        filled_settings(ModelSettings(name="mine"), stated)


@pytest.mark.parametrize("fields", [IMAGE, SOUND, {**IMAGE, "size": (8, 8), "resize": 9, "layout": "nhwc"}], ids=str)
def test_settings_survive_json_and_a_card(fields):
    settings = ModelSettings(name="mine", labels=("a", "ü"), scores="sigmoid", **fields)
    assert filled_settings(ModelSettings(name="mine"), settings_json(settings)) == settings
    layout = settings.layout or "nchw"
    shape = settings.image_shape(layout, settings.size) if settings.size else (settings.samples,)
    card = settings.card(dim=3, input_shape=shape, constants={})
    stated = settings_of_card(card)
    again = stated.card(dim=3, input_shape=shape, constants={})
    assert again == card
    media = np.random.default_rng(0)
    sample = media.integers(0, 256, (20, 30, 3)).astype(np.uint8) if settings.size else media.normal(size=200_000)
    ours, theirs = (
        Inputs(each)(sample.astype(np.uint8 if settings.size else np.float32), 0, True) for each in (card, again)
    )
    np.testing.assert_array_equal(ours.inputs, theirs.inputs)


def test_other_preprocessing_has_no_settings():
    facts = {"name": "a.b", "modality": "image", "dim": 1, "input_shape": (3, 8, 8)}
    assert settings_of_card(Card(**facts, constants={"input_size": [3, 8, 8], "crop_mode": "border"})) is None
    sound = {"name": "a.b", "modality": "sound", "dim": 1, "sample_rate": 100}
    assert settings_of_card(Card(**sound, input_shape=(4, 4), window=100, hop=50)) is None
    assert settings_of_card(Card(**sound, input_shape=(100,))) is None
