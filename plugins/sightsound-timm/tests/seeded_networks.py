"""Networks with seeded numbers, their files, and what a plain forward hook sees in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A network with random numbers, batch norms included."""
    torch.manual_seed(0)
    made = build().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return made


def saved(net: nn.Module, path: Path) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def hooked(net: nn.Module, names: Iterable[str], inputs: NDArray[np.float32]) -> dict[str, torch.Tensor]:
    """What each module gave at its last call, copied before anything could change it."""
    seen: dict[str, torch.Tensor] = {}
    handles = [
        net.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.__setitem__(name, output.clone())
        )
        for name in names
    ]
    with torch.inference_mode():
        net(torch.from_numpy(inputs))
    for handle in handles:
        handle.remove()
    return seen
