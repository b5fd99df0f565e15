"""Networks of torchvision: built without numbers, filled from a file, and made to give features beside scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sightsound_timm.cards import TIMM_TAGS
from sightsound_timm.frameworks import torchvision
from sightsound_timm.places365 import scenes


class HeadWithInput(nn.Module):
    """A head that returns its input and its output, concatenated along the channels.

    What some networks still apply to the result suits both: SqueezeNet has a ReLU and a mean over the positions there.

    Parameters
    ----------
    head : torch.nn.Module
        The layer that computes the logits.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, dim + classes, ...) for features (n, dim, ...)."""
        return torch.cat([features, self.head(features)], dim=1)


class FeaturesAndScores(nn.Module):
    """A network of torchvision that returns its features before the head and its scores.

    Parameters
    ----------
    network : torch.nn.Module
        A network whose head is a `HeadWithInput`.
    classes : int
        The number of classes of the head.
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.classes = classes

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, dim) and the softmax (n, classes)."""
        both = self.network(inputs)
        return both[:, : -self.classes], both[:, -self.classes :].softmax(1)


def with_features(network: nn.Module, classes: int) -> nn.Module:
    """Return the network as `FeaturesAndScores`; its own head is replaced."""
    head = head_name(network, classes)
    network.set_submodule(head, HeadWithInput(network.get_submodule(head)))
    return FeaturesAndScores(network, classes)


def head_name(network: nn.Module, classes: int) -> str:
    """Return the name of the last layer with as many outputs as there are classes."""
    fitting: list[str] = [
        name
        for name, layer in network.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == classes)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == classes)
    ]
    return fitting[-1]


def find_weights(name: str) -> tuple[str, Any] | None:
    """Return the architecture and torchvision's weights for a name, or None if torchvision does not have them.

    The name is `arch`, `arch.IMAGENET1K_V1` or `arch.tv_in1k`.
    """
    arch, _, tag = name.partition(".")
    models = torchvision.models
    if arch not in models.list_models(module=models):
        return None
    known = models.get_model_weights(arch)
    full = {short: long for long, short in TIMM_TAGS.items()}.get(tag, tag)
    found = known.__members__.get(full or "DEFAULT")
    return (arch, found) if found is not None and found.meta["categories"] else None


def feature_count(arch: str, classes: int) -> int:
    """Return the number of features before the head."""
    try:
        with torch.device("meta"):
            network = blank(arch)
    except (RuntimeError, NotImplementedError):  # some networks read their initial numbers
        network = blank(arch)
    head: Any = network.get_submodule(head_name(network, classes))
    return int(head.in_features if isinstance(head, nn.Linear) else head.in_channels)


def blank(name: str, **options: Any) -> nn.Module:
    """Return the network with its initial numbers. Raises `TypeError` for options that it does not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the initial numbers, which are not used
        network: nn.Module = torchvision.models.get_model(name.partition(".")[0], weights=None, **options)
    return network


def filled(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network with these tensors, loaded by torchvision's own builder.

    The builder sets the image size that belongs to the weights and renames tensors of older files.
    """
    found = find_weights(name)
    assert found is not None, name
    arch, weights = found
    given = object.__new__(type(weights))  # the same weights, but `get_state_dict` returns our tensors: no download
    vars(given).update(vars(weights), get_state_dict=lambda *args, **kwargs: dict(tensors))
    network: nn.Module = torchvision.models.get_model(arch, weights=given)
    return network


def filled_as_it_is(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network with tensors that have torchvision's present names."""
    network = blank(name)
    network.load_state_dict(tensors)
    return network


def blank_places365(name: str, **options: Any) -> nn.Module:
    """Return the network for the classes of Places365 with its initial numbers."""
    return blank(name, num_classes=len(scenes()), **options)


def filled_places365(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network for the classes of Places365 with these tensors."""
    network = blank_places365(name)
    network.load_state_dict(tensors)
    return network
