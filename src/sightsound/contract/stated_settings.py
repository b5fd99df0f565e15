"""Settings that stand in the file of a network: what it says about its input and output, for those who import it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from sightsound.contract.card import Card
from sightsound.contract.frozen_json import thaw
from sightsound.contract.model_settings import ModelSettings

SETTINGS_KEY = "sightsound"
"""The name under which the metadata of a file have them, as JSON."""


def filled_settings(settings: ModelSettings, stated: str) -> ModelSettings:
    """Return settings of the user, with those in a file for the fields that are at their default.

    Labels and ids belong together: those of the file are taken if the user gave no labels.

    Parameters
    ----------
    settings : ModelSettings
        What the user says.
    stated : str
        What the file says: a JSON object with fields of `ModelSettings`, as `settings_json` writes it; "" for nothing.

    Raises
    ------
    SightsoundError
        If it is not an object with such fields, or a value is invalid.

    Returns
    -------
    ModelSettings
    """
    if not stated:
        return settings
    found, default = ModelSettings.from_json(stated, name=settings.name), ModelSettings(name=settings.name)
    at_default = {name for name, value in vars(settings).items() if value == getattr(default, name)}
    if settings.labels:
        at_default -= {"ids"}
    return dataclasses.replace(settings, **{name: getattr(found, name) for name in at_default})


def settings_json(settings: ModelSettings) -> str:
    """Return settings as a JSON object of the fields that are not at their default, without the name."""
    default = vars(ModelSettings(name=settings.name))
    return json.dumps({name: value for name, value in vars(settings).items() if value != default[name]})


def settings_of_card(card: Card) -> ModelSettings | None:
    """Return the settings that say what a card says.

    Parameters
    ----------
    card : Card
        The card of a network for images that are cropped as `CenterCrop` does, or for samples of sound.

    Returns
    -------
    ModelSettings or None
        The names of inputs and outputs are empty. None if the preprocessing is another than `Inputs` makes.
    """
    classes: dict[str, Any] = {"labels": card.labels, "ids": card.label_ids, "scores": card.scores}
    texts: dict[str, Any] = {"name": card.name, "license": card.license, "about": card.about}
    if card.modality == "image":
        image = _image_fields(card)
        return None if image is None else ModelSettings(modality="image", **texts, **image, **classes)
    rate, window, hop = card.sample_rate, card.window, card.hop
    if not rate or not window or not hop or [axis for axis in card.input_shape if axis != 1] != [window]:
        return None
    seconds: dict[str, Any] = {"rate": rate, "window": window / rate, "hop": hop / rate, "tail": card.tail}
    return ModelSettings(modality="sound", **texts, **seconds, **classes)


def _image_fields(card: Card) -> dict[str, Any] | None:
    """Return the fields for the constants of a card, as far as they are those of `CenterCrop`."""
    constants = thaw(card.constants)
    crop, squash = constants.get("crop"), constants.get("resize_mode") == "squash"
    if crop is None or "resize" not in constants or constants.get("crop_mode") != "center":
        return None
    if not squash and not (isinstance(crop, int) and isinstance(constants["resize"], int)):
        return None
    if not constants.get("antialias", True):
        return None
    return {
        "size": (crop, crop) if isinstance(crop, int) else tuple(crop),
        "layout": constants.get("layout", "nchw"),
        "channels": constants.get("channels", "rgb"),
        "scale": float(constants.get("scale", 255)),
        "mean": tuple(constants["mean"]),
        "std": tuple(constants["std"]),
        "resize": None if squash else constants["resize"],
        "squash": squash,
        "interpolation": constants["interpolation"],
    }
