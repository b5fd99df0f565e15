"""Networks with the weights of a file, and the mean over time of one of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sightsound.plugin import SightsoundError
from sightsound.torch import state_dict
from sightsound_torchaudio.bundles import blank

_OLD_NAMES = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""The two tensors of a weight norm: their names until torch 2.0, and those of today."""


class LayerMean(nn.Module):
    """The mean over time of one transformer layer; the layers after it are left out.

    Parameters
    ----------
    network : torch.nn.Module
        A `Wav2Vec2Model` of torchaudio. It loses its later layers.
    layer : int
        The layer, counted from 1.
    normalize_eps : float or None
        If given, each waveform is scaled to a mean of 0 and a variance of 1, with this added to its variance.
    """

    def __init__(self, network: Any, layer: int, normalize_eps: float | None) -> None:
        super().__init__()
        transformer = network.encoder.transformer
        transformer.layers = transformer.layers[:layer]
        self.network = network
        self.normalize_eps = normalize_eps

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return embeddings (n, dim) for waveforms (n, samples)."""
        if self.normalize_eps is not None:  # each by itself; torchaudio would take one mean over the whole batch
            waveforms = nn.functional.layer_norm(waveforms, waveforms.shape[1:], eps=self.normalize_eps)
        features, _ = self.network.extract_features(waveforms)
        mean: Tensor = features[-1].mean(dim=1)
        return mean


def filled(arch: str, file: Path) -> nn.Module:
    """Return the network of a bundle with the weights of a file, on the CPU.

    Parameters
    ----------
    arch : str
        The name of the bundle in lower case.
    file : pathlib.Path
        Tensors as torchaudio publishes them, or as it saves its networks today. Those of a head are not used.

    Returns
    -------
    torch.nn.Module
        The network in float32.

    Raises
    ------
    SightsoundError
        If the file is not one of this network.
    """
    tensors = {_own_name(name): tensor for name, tensor in state_dict(file).items()}
    tensors = {name: tensor.float() for name, tensor in tensors.items() if not name.startswith("aux.")}
    network = blank(arch)
    if wrong := _first_difference(network.state_dict(), tensors):
        raise SightsoundError(f"{file}: {wrong}; give the file of torchaudio's {arch.upper()}")
    network.load_state_dict(tensors, assign=True)
    return network


def _own_name(name: str) -> str:
    """Return the name of a tensor in the network for its name in a file; a normalising bundle is saved as `model`."""
    module, dot, last = name.removeprefix("model.").rpartition(".")
    return module + dot + _OLD_NAMES.get(last, last)


def _first_difference(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Describe the first tensor that is missing or has another shape, else the first that is extra; "" if none."""
    for name, tensor in own.items():
        if name not in tensors:
            return f"expected a tensor {name}, got {next(iter(tensors), 'none')} and others"
        if tensor.shape != tensors[name].shape:
            return f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(tensors[name].shape)}"
    extra = next((name for name in tensors if name not in own), None)
    return f"expected no tensor {extra}" if extra else ""
