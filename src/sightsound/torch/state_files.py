"""Networks that are derived from others, in a file: a state dict, a head, and what they are derived from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead
from sightsound.torch.embedder import Head

_NETWORK, _HEAD = "network.", "head."
_ARRAYS = ("weight", "bias", "centre")
_FACTS = ("kind", "labels", "copies", "sqrt", "unit")


def write_state(
    file: Path, state: Mapping[str, torch.Tensor], head: LinearHead | None, metadata: Mapping[str, Any]
) -> None:
    """Write a safetensors file.

    Parameters
    ----------
    file : pathlib.Path
        The file.
    state : mapping of str to torch.Tensor
        The state dict of a `module()`.
    head : LinearHead or None
        A linear classifier of embeddings.
    metadata : mapping
        JSON values, stored under the name "sightsound".
    """
    from safetensors.torch import save_file

    tensors = {f"{_NETWORK}{name}": tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}  # safetensors refuses shared memory
    facts = None
    if head is not None:
        facts = {name: getattr(head, name) for name in _FACTS}
        arrays = {name: getattr(head, name) for name in _ARRAYS}
        tensors |= {
            f"{_HEAD}{name}": torch.tensor(each).contiguous() for name, each in arrays.items() if each is not None
        }
    save_file(tensors, file, metadata={"sightsound": json.dumps({**metadata, "head": facts})})


def read_state(file: Path) -> tuple[dict[str, torch.Tensor], LinearHead | Head | None]:
    """Return the state dict and the head of a file that `write_state` wrote.

    A head that is a matrix and biases alone is returned as such, float32. Raises `SightsoundError` for another file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            facts = json.loads(opened.metadata()["sightsound"]).get("head")
        state = {name.removeprefix(_NETWORK): each for name, each in tensors.items() if name.startswith(_NETWORK)}
        arrays = {name: tensors[f"{_HEAD}{name}"].numpy() for name in _ARRAYS if f"{_HEAD}{name}" in tensors}
        head = LinearHead(**{**facts, "labels": tuple(facts["labels"])}, **arrays) if facts else None
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SightsoundError(f"{file}: expected a network in safetensors ({reason}); import it again") from error
    if not state:
        raise SightsoundError(f"{file}: expected tensors of a network, got none; import another file")
    if head is not None and (head.copies, head.sqrt, head.unit, head.centre) == (1, False, False, None):
        return state, (head.weight.astype("float32"), head.bias.astype("float32"))
    return state, head
