"""Layers in a model's name, `resnet18.tv_in1k[layer=layer2+layer3]`, and the part of its rows that each layer gives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.errors import UnknownModel

_LAYER = re.compile(r"(?<=[\[,])layer=([^,\]]+)")


def named(model: str, layers: Sequence[str] = (), pool: str = "") -> str:
    """`model` with the options `layer=a+b` and `pool=...` behind those that it has.

    >>> named("yamnet.audioset_f32[hop=0.24]", ["body.25", "body.53"])
    'yamnet.audioset_f32[hop=0.24,layer=body.25+body.53]'

    Raises `UnknownModel` where the name has such an option already.
    """
    base, _, before = model.removesuffix("]").partition("[")
    options = [option for option in before.split(",") if option]
    for key, value in (("layer", "+".join(layers)), ("pool", pool)):
        if value and any(option.partition("=")[0].strip() == key for option in options):
            raise UnknownModel(f"{model}: expected one {key}, got {key}={value} too; leave one of them out")
        options += [f"{key}={value}"] if value else []
    return f"{base}[{','.join(options)}]" if options else model


def alone(card: Card) -> dict[str, str]:
    """For each layer of a card, in order, the name of the model that gives it alone; empty for a card without layers.

    Such a card has the option `layer` in its name, and `constants["layers"]` is a list of mappings, one a layer, with
    the `name` of the layer and its `dim`, the columns that it has in a row.
    """
    every = "+".join(layer for layer, _ in _dims(card))
    return {layer: card.name.replace(f"layer={every}", f"layer={layer}") for layer, _ in _dims(card)}


def split(card: Card, rows: Floats) -> dict[str, Floats]:
    """float32 (n, card.dim) -> for each layer of the card, in order, its columns, float32 (n, its dim), not copied.

    Empty for a card without layers.
    """
    found, start = {}, 0
    for layer, dim in _dims(card):
        found[layer] = rows[:, start : start + dim]
        start += dim
    return found


def _dims(card: Card) -> list[tuple[str, int]]:
    told = card.constants.get("layers")
    if not _LAYER.search(card.name) or not isinstance(told, list):
        return []
    return [(str(layer["name"]), int(layer["dim"])) for layer in told]
