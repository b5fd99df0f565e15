"""Layers in the name of a model, `resnet18.tv_in1k[layer=layer2+layer3]`, and their columns in its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.errors import UnknownModel
from sightsound.contract.options import Option

LAYER_OPTIONS = (
    Option("layer", str, help="rows from layers, joined by +; see `sightsound models layers NAME`"),
    Option("pool", str, default="avg", help="how positions become one number: avg, max, std, joined by +, or flat"),
)
"""For `Card.options` of a network with layers. `sightsound.torch.layers.choose` reads their values."""

_LAYER = re.compile(r"(?<=[\[,])layer=([^,\]]+)")


def named(model: str, layers: Sequence[str] = (), pool: str = "") -> str:
    """Return the name of a model with the options `layer=a+b` and `pool=...` added.

    Parameters
    ----------
    model : str
        A name, with or without options.
    layers : sequence of str
        Names of layers; none adds no option.
    pool : str
        How the output of a layer is pooled; "" adds no option.

    Returns
    -------
    str
        The name with the new options behind its own.

    Raises
    ------
    UnknownModel
        If the name has such an option already.

    Examples
    --------
    >>> named("yamnet.audioset_f32[hop=0.24]", ["body.25", "body.53"])
    'yamnet.audioset_f32[hop=0.24,layer=body.25+body.53]'
    """
    base, _, before = model.removesuffix("]").partition("[")
    options = [option for option in before.split(",") if option]
    for key, value in (("layer", "+".join(layers)), ("pool", pool)):
        if value and any(option.partition("=")[0].strip() == key for option in options):
            raise UnknownModel(f"{model}: expected one {key}, got {key}={value} too; leave one of them out")
        options += [f"{key}={value}"] if value else []
    return f"{base}[{','.join(options)}]" if options else model


def alone(card: Card) -> dict[str, str]:
    """Return, for each layer of a card in order, the name of the model that gives this layer alone.

    A card with layers has the option `layer` in its name, and `constants["layers"]` lists one mapping for each layer:
    its `name`, and its `dim`, the number of columns that it has in a row. For other cards the result is empty.
    """
    every = "+".join(layer for layer, _ in _dims(card))
    return {layer: card.name.replace(f"layer={every}", f"layer={layer}") for layer, _ in _dims(card)}


def split(card: Card, rows: Floats) -> dict[str, Floats]:
    """Return, for each layer of a card in order, its columns.

    Parameters
    ----------
    card : Card
        The card of the rows.
    rows : float32 array (n, card.dim)
        Rows of that card.

    Returns
    -------
    dict of str to float32 array (n, dim of the layer)
        Views of `rows`; empty for a card without layers.
    """
    columns, start = {}, 0
    for layer, dim in _dims(card):
        columns[layer] = rows[:, start : start + dim]
        start += dim
    return columns


def _dims(card: Card) -> list[tuple[str, int]]:
    layers = card.constants.get("layers")
    if not _LAYER.search(card.name) or not isinstance(layers, tuple):
        return []
    return [(str(layer["name"]), int(layer["dim"])) for layer in layers]
