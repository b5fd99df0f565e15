"""Networks of timm and torchvision that give the pooled features before the head and, beside them, its scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

import torch
from sightsound._threads import cores
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Layer, Output, Windows
from sightsound.contract.errors import SightsoundError
from sightsound.torch import device, forward, state_dict, torchvision
from sightsound.torch.layers import Plan, Tapped
from sightsound_timm.cards import TIMM_TAGS
from sightsound_timm.picture import CenterCrop
from sightsound_timm.places365 import scenes
from torch import Tensor, nn

vision = torchvision()  # before timm, which imports it
import timm  # noqa: E402
from timm.data.imagenet_info import infer_imagenet_subset  # noqa: E402
from timm.data.transforms_factory import create_transform  # noqa: E402

from sightsound_timm.batchnorm import folded  # noqa: E402

CPU_BATCH = 4
OTHER_BATCH = 64
"""Inputs in a batch: on a CPU as measured (README.md, Speed), elsewhere a usual choice that nobody measured."""


class Network:
    """The embedder: `card`, the module that gives embeddings or (embeddings, scores or None), and the device."""

    def __init__(self, card: Card, builder: str, module: nn.Module, on: torch.device) -> None:
        self.card = card
        self._builder = builder
        self.batch_size = CPU_BATCH if on.type == "cpu" else OTHER_BATCH
        self.workers = cores() if on.type == "cpu" else 1
        module.eval().requires_grad_(False)
        self.network: Any = module.to(device=on, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._on = on
        self._picture = CenterCrop(card.constants) if "resize" in card.constants else _by_timm(card.constants)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """uint8 RGB (h, w, 3) -> one input, float32 (1, 3, height, width)."""
        return Windows(self._picture(media))

    def embed(self, inputs: Floats) -> Output:
        """float32 (n, 3, height, width) -> features before the head (n, dim) and softmax (n, classes) or None; or what
        the card's layers give (n, dim)."""
        found = forward(self.network, inputs, self._on)
        return Output(*found) if isinstance(found, tuple) else Output(found)

    def postprocess(self, output: Output) -> Floats:
        """The features as they are."""
        return output.embeddings

    def layers(self) -> list[Layer]:
        """The layers that the option `layer` may name."""
        from sightsound_timm import layers

        return layers.listed(self.card, self._builder)


def load(card: Card, builder: str, name: str, weights: Mapping[str, Path], plan: Plan | None = None) -> Embedder:
    """`card`'s network on the device `name`, filled from its one file by the builder of that name; with a plan, its
    layers as they were trained: no batch norm is folded.

    Raises `SightsoundError` where the file is not one of this network, which a head of another size means too: the
    card, with its classes, stands before the file is read.
    """
    on, full = device(name), card.name.partition("[")[0]
    (path,) = (weights[file.name] for file in card.weights)
    tensors = {key.removeprefix("module."): tensor for key, tensor in state_dict(path).items()}  # trained in parallel
    try:
        module = BUILDERS[builder](full, tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        wrong = _difference(BLANKS[builder](full).state_dict(), tensors) or str(error).splitlines()[0]
        raise SightsoundError(f"{path}: {wrong}; give a file of {full}, or name the network it is of") from error
    if plan is not None:
        return Network(card, builder, Tapped(module, plan), on)
    module = folded(module)
    module = Pooled(module) if builder.startswith("timm") else _split(module, len(card.labels))
    return Network(card, builder, module, on)


def _difference(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """The first tensor by name that the file has in another shape, or else lacks, or else has beyond the network's."""
    for name in own.keys() & tensors.keys():
        if own[name].shape != tensors[name].shape:
            return f"{name}: expected shape {tuple(own[name].shape)}, got {tuple(tensors[name].shape)}"
    for name in own:
        if name not in tensors and not name.endswith("num_batches_tracked"):  # files from before torch 0.4 have none
            return f"expected a tensor {name}, got {next(iter(tensors), 'none')} and others"
    beyond = next((name for name in tensors if name not in own), None)
    return f"expected no tensor {beyond}" if beyond else ""


def _by_timm(constants: Mapping[str, Any]) -> Callable[[NDArray[Any]], Floats]:
    """timm's own transform, for crops that are not a square from the middle."""
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in constants.items()}
    transform: Any = create_transform(**settings)
    return lambda rgb: transform(Image.fromarray(rgb)).numpy()[None]


# -- timm --------------------------------------------------------------------------------------------------------------


class Pooled(nn.Module):
    """A network of timm -> (features before the head (n, dim), softmax (n, classes) where its outputs are classes)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
        self.classifies = class_count(network) > 0

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        features = self.network.forward_features(inputs)
        pooled = self.network.forward_head(features, pre_logits=True).flatten(1)
        if not self.classifies:
            return pooled, None
        return pooled, self.network.forward_head(features).softmax(1)


def class_count(told: Any) -> int:
    """How many classes a timm network or its configuration has; 0 where its outputs are none that have names.

    CLIP's image towers, for one, count 512 and more outputs of a projection as classes.
    """
    count = int(told.num_classes)
    return count if count == 1000 or infer_imagenet_subset({"num_classes": count}) else 0


def timm_name(name: str) -> str | None:
    """`resnet50` -> `resnet50.a1_in1k`, timm's full name of the network; None for what it does not have."""
    if not timm.is_model(name):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            told = timm.get_pretrained_cfg(name)
        except RuntimeError:  # a tag that it does not have
            return None
    if told is None:
        return None
    arch = name.partition(".")[0]
    return f"{arch}.{told.tag}" if told.tag else arch


def timm_facts(name: str) -> tuple[int, int]:
    """Features before the head, and parameters, of a network that is built without numbers (where it lets itself)."""
    for where in ("meta", "cpu"):
        try:
            with torch.device(where), torch.inference_mode():
                network: Any = _blank_timm(name)
                size = network.pretrained_cfg["input_size"]
                pooled, _ = Pooled(network).eval()(torch.zeros(1, *size))
                return pooled.shape[1], sum(parameter.numel() for parameter in network.parameters())
        except (RuntimeError, NotImplementedError):
            if where == "cpu":
                raise
    raise AssertionError


def _blank_timm(name: str, **options: Any) -> nn.Module:
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    return network


def _timm(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    """Through timm's own loading, which renames where a file is older than the code."""
    network = _filled(name, tensors)
    if not network.state_dict().keys() <= tensors.keys():
        # Some networks are loaded leniently: what no tensor reached is random, so it differs when done once more.
        again = _filled(name, tensors).state_dict()
        for key, value in network.state_dict().items():
            if not torch.equal(value, again[key]):
                raise ValueError(f"expected a tensor for {key}, got none")
    return network


def _filled(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    network: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(tensors)})
    network.pretrained_cfg.pop("state_dict", None)  # else the numbers stay in memory twice
    return network  # type: ignore[no-any-return]


def _timm_in_order(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    """A file with other names but the same tensors in the same order; one with timm's own names goes by name."""
    network = _blank_timm(name)
    own = network.state_dict()
    if own.keys() != tensors.keys():
        if _kinds(own) != _kinds(tensors):
            raise ValueError(f"expected {len(own)} tensors in timm's order, got {len(tensors)}, or others")
        tensors = dict(zip(own, tensors.values(), strict=True))
    network.load_state_dict(tensors)
    return network


def _kinds(tensors: Mapping[str, Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name.rpartition(".")[2], tuple(tensor.shape)) for name, tensor in tensors.items()]


# -- torchvision -------------------------------------------------------------------------------------------------------


class Beside(nn.Module):
    """Stands in for the head: its input goes on beside its output, along the channels.

    What some networks still do afterwards (SqueezeNet: ReLU, mean over the positions) suits both.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.head(features)], dim=1)


class Split(nn.Module):
    """A network of torchvision whose head is `Beside` -> (features (n, dim), softmax (n, classes))."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.classes = classes

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        both = self.network(inputs)
        return both[:, : -self.classes], both[:, -self.classes :].softmax(1)


def torchvision_weights(name: str) -> tuple[str, Any] | None:
    """Architecture and weights of `arch`, `arch.IMAGENET1K_V1` or `arch.tv_in1k`; None for what torchvision lacks."""
    arch, _, tag = name.partition(".")
    if arch not in vision.models.list_models(module=vision.models):
        return None
    known = vision.models.get_model_weights(arch)
    full = {short: long for long, short in TIMM_TAGS.items()}.get(tag, tag)
    found = known.__members__.get(full or "DEFAULT")
    return (arch, found) if found is not None and found.meta["categories"] else None


def torchvision_width(arch: str, classes: int) -> int:
    """Features before the head."""
    try:
        with torch.device("meta"):
            network = _blank_torchvision(arch)
    except (RuntimeError, NotImplementedError):  # a network that reads its initial numbers
        network = _blank_torchvision(arch)
    head: Any = network.get_submodule(_head(network, classes))
    return int(head.in_features if isinstance(head, nn.Linear) else head.in_channels)


def _blank_torchvision(name: str, **options: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about initial numbers, which nobody uses
        network: nn.Module = vision.models.get_model(name.partition(".")[0], weights=None, **options)
    return network


def _torchvision(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    """Through torchvision's own builder, which sets the picture's size and renames as these weights need it."""
    found = torchvision_weights(name)
    assert found is not None, name
    arch, weights = found
    given = object.__new__(type(weights))  # the same weights, but with the tensors at hand instead of a download
    vars(given).update(vars(weights), get_state_dict=lambda *args, **kwargs: tensors)
    network: nn.Module = vision.models.get_model(arch, weights=given)
    return network


def _blank_places365(name: str, **options: Any) -> nn.Module:
    return _blank_torchvision(name, num_classes=len(scenes()), **options)


def _places365(name: str, tensors: dict[str, Tensor]) -> nn.Module:
    network = _blank_places365(name)
    network.load_state_dict(tensors)
    return network


def _split(network: nn.Module, classes: int) -> nn.Module:
    head = _head(network, classes)
    network.set_submodule(head, Beside(network.get_submodule(head)))
    return Split(network, classes)


def _head(network: nn.Module, classes: int) -> str:
    """The name of the last layer with as many outputs as there are classes."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    fitting: list[str] = [
        name
        for name, layer in layers
        if classes == (layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)
    ]
    return fitting[-1]


BUILDERS: dict[str, Callable[[str, dict[str, Tensor]], nn.Module]] = {
    "timm": _timm,
    "timm_in_order": _timm_in_order,
    "torchvision": _torchvision,
    "places365": _places365,
}
"""Name and tensors -> the network as timm or torchvision have it."""

BLANKS: dict[str, Callable[..., nn.Module]] = {
    "timm": _blank_timm,
    "timm_in_order": _blank_timm,
    "torchvision": _blank_torchvision,
    "places365": _blank_places365,
}
"""The same networks before anything was loaded. Each raises `TypeError` for options that its network does not take."""
