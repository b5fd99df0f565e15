"""How the network of a card is built, by the name of its builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from sightsound.torch import state_dict
from sightsound_timm import keras_squeezenet, timm_networks, torchvision_networks


@dataclass(frozen=True)
class Builder:
    """Builds the networks of one origin, all by their names without options.

    Attributes
    ----------
    blank : callable
        `blank(name, **options)` returns the network with initial numbers. It raises `TypeError` for options that the
        network does not have.
    filled : callable
        `filled(name, tensors)` returns the network with the tensors of a file. It raises `ValueError`, `KeyError` or
        `RuntimeError` if they do not fit.
    with_features : callable
        `with_features(network, classes)` returns a network that gives features (n, dim) and scores (n, classes), or
        None instead of scores.
    read : callable
        `read(path)` returns the tensors of a file. It raises `SightsoundError` if it is of another kind.
    """

    blank: Callable[..., nn.Module]
    filled: Callable[[str, Mapping[str, Tensor]], nn.Module]
    with_features: Callable[[nn.Module, int], nn.Module]
    read: Callable[[Path], Mapping[str, Tensor]] = state_dict


def _timm_features(network: nn.Module, classes: int) -> nn.Module:
    return timm_networks.FeaturesAndScores(network)


BUILDERS: Mapping[str, Builder] = {
    "timm": Builder(timm_networks.blank, timm_networks.filled, _timm_features),
    "timm_in_order": Builder(timm_networks.blank, timm_networks.filled_in_order, _timm_features),
    "torchvision": Builder(torchvision_networks.blank, torchvision_networks.filled, torchvision_networks.with_features),
    "places365": Builder(
        torchvision_networks.blank_places365,
        torchvision_networks.filled_places365,
        torchvision_networks.with_features,
    ),
    "keras_squeezenet": Builder(
        torchvision_networks.blank,
        torchvision_networks.filled_as_it_is,
        torchvision_networks.with_features,
        keras_squeezenet.read_keras,
    ),
}
"""The builders that `cards.py`, `places365.py`, `networks.tsv` and `zoo.py` name beside each card."""
