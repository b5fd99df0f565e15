"""Networks of timm: built without numbers, filled from a file, and made to give features beside scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sightsound_timm.frameworks import timm


class FeaturesAndScores(nn.Module):
    """A network of timm that returns its pooled features before the head and, if it classifies, its scores.

    Parameters
    ----------
    network : torch.nn.Module
        A network of timm, with `forward_features` and `forward_head`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
        self.classifies = class_count(network) > 0

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (n, dim) and the softmax (n, classes), or None if the outputs are not classes."""
        features = self.network.forward_features(inputs)
        pooled = self.network.forward_head(features, pre_logits=True).flatten(1)
        if not self.classifies:
            return pooled, None
        return pooled, self.network.forward_head(features).softmax(1)


def class_count(network: Any) -> int:
    """Return how many classes a network of timm, or its configuration, has.

    It is 0 if the outputs are not classes with names. The image towers of CLIP, for example, count the dimensions of
    their projection as classes.
    """
    count = int(network.num_classes)
    known = timm.data.imagenet_info.infer_imagenet_subset({"num_classes": count})
    return count if count == 1000 or known else 0


def full_name(name: str) -> str | None:
    """Return timm's full name, `resnet50.a1_in1k` for `resnet50`, or None if timm does not have the network."""
    if not timm.is_model(name):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config = timm.get_pretrained_cfg(name)
        except RuntimeError:  # an unknown tag
            return None
    if config is None:
        return None
    arch = name.partition(".")[0]
    return f"{arch}.{config.tag}" if config.tag else arch


def sizes(name: str) -> tuple[int, int]:
    """Return the number of features before the head and the number of parameters.

    The network is built on torch's device `meta`, without memory for its parameters, or on the CPU if that fails.
    """
    for device in ("meta", "cpu"):
        try:
            with torch.device(device), torch.inference_mode():
                network: Any = blank(name)
                size = network.pretrained_cfg["input_size"]
                pooled, _ = FeaturesAndScores(network).eval()(torch.zeros(1, *size))
                return pooled.shape[1], sum(parameter.numel() for parameter in network.parameters())
        except (RuntimeError, NotImplementedError):
            if device == "cpu":
                raise
    raise AssertionError


def blank(name: str, **options: Any) -> nn.Module:
    """Return the network with its initial numbers. Raises `TypeError` for options that it does not have."""
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    return network


def filled(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network with these tensors, loaded by timm, which renames tensors of older files.

    Raises
    ------
    ValueError
        If the file lacks a tensor. timm loads some networks without complaint then and leaves random numbers, which
        differ between two loads.
    """
    network = _loaded_by_timm(name, tensors)
    if not network.state_dict().keys() <= tensors.keys():
        again = _loaded_by_timm(name, tensors).state_dict()
        for key, value in network.state_dict().items():
            if not torch.equal(value, again[key]):
                raise ValueError(f"expected a tensor for {key}, got none")
    return network


def filled_in_order(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the network with tensors that have other names but timm's order and shapes, or timm's own names.

    Raises `ValueError` if the kinds or shapes differ.
    """
    network = blank(name)
    own = network.state_dict()
    if own.keys() != tensors.keys():
        if _kinds_and_shapes(own) != _kinds_and_shapes(tensors):
            raise ValueError(f"expected {len(own)} tensors in timm's order, got {len(tensors)}, or others")
        tensors = dict(zip(own, tensors.values(), strict=True))
    network.load_state_dict(tensors)
    return network


def _loaded_by_timm(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    network: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(tensors)})
    network.pretrained_cfg.pop("state_dict", None)  # otherwise the numbers stay in memory twice
    return network  # type: ignore[no-any-return]


def _kinds_and_shapes(tensors: Mapping[str, Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name.rpartition(".")[2], tuple(tensor.shape)) for name, tensor in tensors.items()]
