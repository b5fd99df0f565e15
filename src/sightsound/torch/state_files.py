"""Networks that are derived from others, in a file: a state dict, a linear head, and what they are derived from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sightsound.contract.errors import SightsoundError
from sightsound.torch.embedder import Head

_NETWORK, _WEIGHT, _BIAS = "network.", "head.weight", "head.bias"


def write_state(file: Path, state: Mapping[str, torch.Tensor], head: Head | None, metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file.

    Parameters
    ----------
    file : pathlib.Path
        The file.
    state : mapping of str to torch.Tensor
        The state dict of a `module()`.
    head : pair of float32 arrays (classes, d) and (classes,), or None
        A linear classifier of embeddings.
    metadata : mapping
        JSON values, stored under the name "sightsound".
    """
    from safetensors.torch import save_file

    tensors = {f"{_NETWORK}{name}": tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # safetensors refuses shared memory
    if head is not None:
        tensors |= {_WEIGHT: torch.tensor(head[0]), _BIAS: torch.tensor(head[1])}
    save_file(tensors, file, metadata={"sightsound": json.dumps(metadata)})


def read_state(file: Path) -> tuple[dict[str, torch.Tensor], Head | None]:
    """Return the state dict and the head of a file that `write_state` wrote.

    Raises `SightsoundError` if it is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SightsoundError(f"{file}: expected a network in safetensors ({error}); import it again") from error
    state = {name.removeprefix(_NETWORK): each for name, each in tensors.items() if name.startswith(_NETWORK)}
    head = (tensors[_WEIGHT].numpy(), tensors[_BIAS].numpy()) if _WEIGHT in tensors else None
    if not state:
        raise SightsoundError(f"{file}: expected tensors of a network, got none; import another file")
    return state, head
