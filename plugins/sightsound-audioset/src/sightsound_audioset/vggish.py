"""The plugin `vggish`: an embedding of 128 numbers for a window of 0.975 s of sound every 0.96 s.

`vggish.audioset_f32` gives the raw output of the network, without a ReLU. The last step of Google's release is an
option: `vggish.audioset_f32[pca]` projects, whitens and clips to [-2, 2], and `vggish.audioset_f32[pca,8bit]` gives the
features of AudioSet, whole numbers from 0 to 255. The option `layer` takes rows from earlier layers. The constants are
those of the TensorFlow model garden, research/audioset/vggish (vggish_params.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound.plugin import LAYER_OPTIONS, Card, Embedder, Load, Option, Register, UnknownModel, WeightFile, hookimpl
from sightsound_audioset import log_mel, pca
from sightsound_audioset.loading import Loader

if TYPE_CHECKING:
    from torch import nn

    from sightsound.torch.layers import Plan

NETWORK = WeightFile(
    name="vggish-10086976.pth",
    sources=("https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",),
)
PCA = WeightFile(
    name="vggish_pca_params.npz",
    sha256="4d878af3e306defbfb37095365aa7e5a6cecb86bad13e859e626151c4e6a8b9d",
    sources=("https://storage.googleapis.com/audioset/vggish_pca_params.npz",),
    size=73020,
)

F32 = Card(
    name="vggish.audioset_f32",
    modality="sound",
    dim=128,  # EMBEDDING_SIZE
    input_shape=(log_mel.PATCH, log_mel.BANDS),
    sample_rate=log_mel.SAMPLE_RATE,
    window=log_mel.WINDOW,
    hop=log_mel.PATCH * log_mel.HOP,  # EXAMPLE_HOP_SECONDS 0.96: patches do not overlap
    tail="drop",
    weights=(NETWORK,),
    options=(
        Option("pca", help="Google's last step: projection, whitening, clipping to [-2, 2]"),
        Option("8bit", help="with pca: whole numbers from 0 to 255, as in AudioSet's features"),
        *LAYER_OPTIONS,
    ),
    aliases=("vggish",),
    constants={**log_mel.CONSTANTS, "log_offset": 0.01},  # LOG_OFFSET
    params=72_141_184,
    depth=9,
    license="Apache-2.0",
    about="VGGish, VGG on log-mel patches, trained by Google on YouTube-8M; raw embedding before PCA",
)

_LAST_STEPS: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("pca",): {"pca_clip": [pca.LOW, pca.HIGH]},
    ("pca", "8bit"): {"pca_clip": [pca.LOW, pca.HIGH], "levels": pca.LEVELS},
}


@hookimpl
def register_embedders(register: Register) -> None:
    """Register `vggish.audioset_f32`."""
    register(F32, Loader(F32, load))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, str | bool]) -> tuple[Card, Load] | None:
    """Return the card and loader for `vggish.audioset_f32` with options.

    Parameters
    ----------
    name : str
        The name without options.
    options : mapping
        `pca`, or `pca` and `8bit`, or `layer` and optionally `pool`.

    Returns
    -------
    tuple of Card and Load, or None
        None for the name of another network.

    Raises
    ------
    UnknownModel
        For other combinations.
    """
    if name != F32.name:
        return None
    if not options or set(options) <= {"layer", "pool"}:
        loader = Loader(F32, load)
        loader = loader.with_layers(options) if options else loader
        return loader.card, loader
    for chosen, constants in _LAST_STEPS.items():
        if dict(options) == dict.fromkeys(chosen, True):
            return _with_last_step(chosen, constants)
    got = ",".join(key if value is True else f"{key}={value}" for key, value in options.items())
    if "layer" in options:
        raise UnknownModel(f"{name}[{got}]: expected layer and pool alone, for other options follow the last layer")
    known = " or ".join(f"{name}[{','.join(chosen)}]" for chosen in _LAST_STEPS)
    raise UnknownModel(f"{name}[{got}]: expected options pca, or pca and 8bit, got {got!r}; use {known}, or no options")


def _with_last_step(chosen: tuple[str, ...], constants: Mapping[str, Any]) -> tuple[Card, Load]:
    card = replace(
        F32,
        name=f"{F32.name}[{','.join(chosen)}]",
        weights=(NETWORK, PCA),
        constants={**F32.constants, **constants},
        about=f"{F32.about.partition(';')[0]}; PCA and whitening, "
        + ("as 8-bit values 0 to 255" if "8bit" in chosen else f"clipped to [{pca.LOW:g}, {pca.HIGH:g}]"),
    )
    return card, Loader(card, load)


def load(device: str, weights: Mapping[str, Path], card: Card = F32, plan: Plan | None = None) -> Embedder:
    """Load VGGish.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    weights : mapping of str to pathlib.Path
        The paths of the weight files by name.
    card : Card
        `F32`, or a card that `resolve_embedder` made of it.
    plan : Plan, optional
        Layers to take rows from.

    Returns
    -------
    Embedder
        The loaded embedder.

    Raises
    ------
    SightsoundError
        If the file does not hold VGGish's weights, when the network is built.
    """
    from sightsound_audioset.embedder import PatchEmbedder

    def build() -> nn.Module:
        from sightsound_audioset.vggish_network import read

        return read(weights[NETWORK.name])

    last_step = None
    if PCA in card.weights:
        projection = pca.read(weights[PCA.name])
        last_step = projection.eight_bit if "levels" in card.constants else projection.clipped
    return PatchEmbedder(card, build, device, cpu_batch_size=8, last_step=last_step, plan=plan)
