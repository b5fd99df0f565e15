"""Networks of torch at reduced precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightsound.contract.arrays import Floats
from sightsound.contract.embedder import Output
from sightsound.contract.errors import CannotRun, SightsoundError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions as torch names them."""

BF16_CAPABILITY = (8, 0)
"""From this compute capability on NVIDIA's GPUs multiply bf16 (CUDA C++ Programming Guide, "Compute Capabilities")."""

_ROUNDED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Reduced(nn.Module):
    """A network whose convolutions and products of matrices are computed at reduced precision.

    What torch's autocast keeps in float32 stays there: on a GPU normalisations over features, softmax, powers and sums.
    Parameters of plain convolutions and linear layers are rounded once; autocast would do so in each call, since it
    remembers only those of trainable parameters.

    Parameters
    ----------
    network : torch.nn.Module
        Returns a tensor, or a tuple of tensors and None. It is changed.
    dtype : torch.dtype
        One of `DTYPES`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype
        for layer in network.modules():
            if type(layer) in _ROUNDED:  # a subclass may compute its weights anew in each call
                for name in {"weight", "bias"} & set(dict(layer.named_parameters(recurse=False))):
                    setattr(layer, name, nn.Parameter(getattr(layer, name).to(dtype), requires_grad=False))

    def forward(self, inputs: Tensor) -> Any:
        """Return what the network returns, as float32."""
        with torch.autocast(inputs.device.type, self.dtype):
            found = self.network(inputs)
        return tuple(map(_float32, found)) if isinstance(found, tuple) else _float32(found)


def at_precision(network: nn.Module, name: str) -> nn.Module:
    """Return a network at a precision: itself for float32, else `Reduced`, which changes it."""
    return network if name == "float32" else Reduced(network, DTYPES[name])


def precisions_of(capability: tuple[int, int] | None) -> tuple[str, ...]:
    """Return the precisions at which a device computes.

    Parameters
    ----------
    capability : tuple of (int, int) or None
        The compute capability of a GPU; None for a CPU, which computes at both, if only slowly.
    """
    has_bf16 = capability is None or capability >= BF16_CAPABILITY
    return ("float32", "bf16", "fp16") if has_bf16 else ("float32", "fp16")


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """Return the compute capability of a GPU, None for another device."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def require_precision(name: str, device: torch.device) -> None:
    """Raise `CannotRun` if a device does not compute at a precision."""
    capability = capability_of(device)
    offered = precisions_of(capability)
    if name not in offered:
        what = str(device) + (f" of compute capability {capability[0]}.{capability[1]}" if capability else "")
        raise CannotRun(f"precision={name}: {what} has {', '.join(offered)}; ask for one of these (--model)")


def require_finite(output: Output, name: str) -> None:
    """Raise `SightsoundError` if numbers of an output are not finite, as those above 65504 in fp16."""
    arrays: list[Floats] = [output.embeddings, *([] if output.scores is None else [output.scores])]
    bad = ~np.logical_and.reduce([np.isfinite(rows).all(axis=1) for rows in arrays])
    if bad.any():
        other = "[precision=bf16] or float32" if name == "fp16" else "float32"
        most = torch.finfo(DTYPES[name]).max
        raise SightsoundError(
            f"precision={name}: expected finite numbers up to {most:.5g}, got NaN or infinity in {bad.sum()} of "
            f"{len(bad)} rows; use {other}"
        )


def _float32(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float()
