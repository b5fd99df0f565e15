"""State dicts that were written by `pickle.dump` instead of `torch.save`, read without running what they name."""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

HEAD = 32
"""How many bytes of a file `is_plain_pickle` needs."""

TORCH_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
"""torch's magic number, the first thing in a file of `torch.save` before torch 1.6, which is several pickles."""

_TENSOR, _BYTES = "tensor", "bytes"


def is_plain_pickle(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a pickle of protocol 3 to 5, and not one of torch."""
    return head[:2] in (b"\x80\x03", b"\x80\x04", b"\x80\x05") and TORCH_MAGIC not in head


def read_plain_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a dictionary that `pickle.dump` wrote, on the CPU.

    A tensor refers to functions of torch. They are not called: the unpickler notes their arguments, and the tensors are
    made of these afterwards, within the bounds of their bytes. Every other name in the file ends the reading.

    Parameters
    ----------
    path : pathlib.Path
        The file. It is trusted no more than one of `torch.load(weights_only=True)`.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    ValueError
        If the file holds anything else.
    """
    with path.open("rb") as file:
        found = _Unpickler(file).load()
    if not isinstance(found, dict):
        raise ValueError(f"a pickle of {type(found).__name__}")
    return {_checked_name(name): _tensor(value) for name, value in found.items()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)
        # new functions for each file: a pickle can set attributes of what it refers to
        self._admitted: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: (_TENSOR, arguments),
            ("torch.storage", "_load_from_bytes"): lambda content: (_BYTES, content),
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name. Raises `UnpicklingError` for all but those that a state dict needs."""
        if (module, name) not in self._admitted:
            raise pickle.UnpicklingError(f"{module}.{name}, which is not needed for tensors")
        return self._admitted[module, name]

    def persistent_load(self, key: object) -> Any:
        """Refuse objects outside the file."""
        raise pickle.UnpicklingError("an object that is not in the file")


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a tensor named {name!r}"[:80])
    return name


def _tensor(noted: object) -> torch.Tensor:
    """Return the tensor of noted arguments. Raises `ValueError` if they are others."""
    match noted:
        case (str(kind), ((str(of), bytes(content)), int(offset), tuple(size), tuple(stride), *_)):
            if (kind, of) == (_TENSOR, _BYTES) and offset >= 0:
                return _values(content).as_strided(size, stride, offset)  # torch checks that it is within the values
    raise ValueError(f"a {type(noted).__name__} that is no tensor")


def _values(content: bytes) -> torch.Tensor:
    """Return the values that a storage holds, in one dimension."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are deprecated
        storage: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not isinstance(storage, torch.storage.TypedStorage):
            raise ValueError(f"a {type(storage).__name__} that is no storage")
        return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
