"""Keras applications: their cards, from a table, and how they are built."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, ModelSettings, WeightFile

TAG = "keras_in1k"
"""The tag of all names: the weights that Keras publishes, trained on ImageNet-1k."""

NASNET_MOBILE = "nasnetmobile"

CROP = 0.875
"""The side of the crop as a part of the shorter side of the image: the usual single centre crop. Keras states none."""

PREPROCESSING: Mapping[str, Mapping[str, Any]] = {
    "caffe": {"channels": "bgr", "scale": 1.0, "mean": (103.939, 116.779, 123.68)},
    "tf": {"scale": 127.5, "mean": (1.0,)},
    "torch": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "none": {"scale": 1.0},
}
"""The modes of `keras.applications.imagenet_utils.preprocess_input`; "none" for networks that take 0 to 255."""

TOP1 = "https://keras.io/api/applications/"
"""Where the accuracies come from; those of MobileNetV3 from the docstring of its module."""

STEM_STD = (0.229, 0.224, 0.225)
"""Square roots of these divide the inputs of EfficientNet again, but in the network for the published weights alone."""


@dataclass(frozen=True)
class Application:
    """A row of `applications.tsv`.

    Sizes, dimensions, parameters and depths are those of the networks as Keras builds them. The depth is the longest
    path of convolutional and linear layers; a separable convolution counts as two.

    Attributes
    ----------
    name : str
        The name before the tag.
    function, title : str
        The name of the function in `keras.applications`, and of the network that it builds.
    size, dim, params, depth : int
        Pixels of a side, length of the embedding, numbers of parameters and of layers.
    top1 : float
        Accuracy on ImageNet in per cent, as published by Keras.
    preprocessing : str
        A mode of `PREPROCESSING`.
    license, sha256, source : str
        Licence, hash (empty if Keras states none, or MD5 only) and address of the weights.
    """

    name: str
    function: str
    title: str
    size: int
    dim: int
    params: int
    depth: int
    top1: float
    preprocessing: str
    license: str
    sha256: str
    source: str

    def card(self) -> Card:
        """Return the card. It is known without Keras."""
        settings = ModelSettings(
            name=f"{self.name}.{TAG}",
            size=(self.size, self.size),
            resize=math.floor(self.size / CROP),
            license=self.license,
            about=f"keras.applications.{self.function}, trained on ImageNet-1k; accuracy from {TOP1}",
            **PREPROCESSING[self.preprocessing],
        )
        card = settings.card(
            dim=self.dim,
            input_shape=(self.size, self.size, 3),
            layout="nhwc",
            constants={"embedding": "", "of": "input", "output": ""},
            weights=(WeightFile(name=Path(self.source).name, sha256=self.sha256, sources=(self.source,)),),
            options=LAYER_OPTIONS,
            aliases=(self.name,) if self.name == NASNET_MOBILE else (),
            params=self.params,
            depth=self.depth,
            top1=self.top1,
            top1_source="Keras, keras.io/api/applications",
        )
        return dataclasses.replace(card, classes=imagenet1k(), scores="softmax")

    def build(self) -> Any:
        """Return the network of Keras with initial numbers. To be called by `backend.built`."""
        from sightsound_keras.backend import import_keras

        keras = import_keras()
        if self.name == NASNET_MOBILE:
            return _nasnet_mobile()
        network = getattr(keras.applications, self.function)(weights=None, input_shape=(self.size, self.size, 3))
        if self.function.startswith("EfficientNetB"):
            return _with_stem_of_published_weights(keras, network)
        return network

    def loader(self, file: Path) -> Callable[[], Any]:
        """Return a function that builds the network with the numbers of a file, for `backend.built`.

        It raises `SightsoundError` if the file is damaged or not one of this network.
        """

        def load() -> Any:
            from sightsound_keras.weights import fill

            return fill(self.build(), file, f"{self.name}.{TAG}")

        return load


@functools.cache
def applications() -> Mapping[str, Application]:
    """Return all applications by name."""
    head, *lines = files("sightsound_keras").joinpath("applications.tsv").read_text("utf-8").splitlines()
    rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    convert: Mapping[str, Callable[[str], Any]] = {**dict.fromkeys(("size", "dim", "params", "depth"), int)}
    convert = {**convert, "top1": float}
    return {row["name"]: Application(**{key: convert.get(key, str)(row[key]) for key in row}) for row in rows}


@functools.cache
def imagenet1k() -> ClassList:
    """Return the 1,000 classes of ImageNet-1k in the usual order, in WordNet's words, with WordNet's ids."""
    lines = files("sightsound_keras").joinpath("imagenet1k.tsv").read_text("utf-8").splitlines()
    pairs = [line.partition("\t")[::2] for line in lines]
    return ClassList("imagenet1k", tuple(words for _, words in pairs), tuple(id_ for id_, _ in pairs))


def _nasnet_mobile() -> Any:
    """Return NASNetMobile. Keras's own function refuses torch, but the one behind it gives the right numbers.

    The tests compare them with those of Keras on TensorFlow. The arguments are those of NASNet-A (4 @ 1056).
    """
    nasnet: Any = importlib.import_module("keras.src.applications.nasnet")
    return nasnet.NASNet(
        penultimate_filters=1056,
        num_blocks=4,
        stem_block_filters=32,
        skip_reduction=False,
        filter_multiplier=2,
        default_size=224,
        weights=None,
        name="nasnet_mobile",
    )


def _with_stem_of_published_weights(keras: Any, network: Any) -> Any:
    """Return EfficientNet with the layer that Keras adds after the normalisation for the weights of ImageNet."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        found = layer(*args, **kwargs)
        if layer.name == "normalization":
            found = keras.layers.Rescaling([1 / math.sqrt(std) for std in STEM_STD])(found)
        return found

    return keras.models.clone_model(network, call_function=call)
