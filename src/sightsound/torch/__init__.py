"""What torch plugins share: the device, safe loading, one forward pass, and torchvision beside a CPU torch.

Part of the extra `sightsound[torch]`; the host never imports this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import torch
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError

_THREADS = torch.get_num_threads()
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 2**28  # bytes
_schemas: list[Any] = []
_lock = threading.Lock()


def device(name: str) -> torch.device:
    """`auto` is cuda, then mps, then cpu. Raises `SightsoundError` where the device named is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(kind, False):
        raise SightsoundError(f"device {name!r}: torch {torch.__version__} sees none here; use --device cpu")
    if kind == "cpu":
        _keep_memory()
    return torch.device(name)


@functools.cache
def _keep_memory() -> None:
    """Lets glibc keep large blocks that were freed, for the next batch wants them again.

    By default it gives them back to the system, and a fifth of the time goes into fresh pages. Whoever set malloc up
    by the environment is left alone; other C libraries have no such switch.
    """
    mine = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if not sys.platform.startswith("linux") or any(name in os.environ for name in mine):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(parameter, _KEPT)


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors or torch file, on the CPU. Nothing but tensors is ever unpickled.

    Raises `SightsoundError` for a file of another kind.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if head[8:] == b"{":  # a length in eight bytes, then JSON
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SightsoundError(f"{path}: expected tensors (.safetensors, .pth), got: {reason}") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise SightsoundError(f"{path}: expected a dictionary of tensors, got {type(found).__name__}")
    return found


def forward(network: Callable[[torch.Tensor], Any], inputs: Floats, on: torch.device) -> Any:
    """Runs `network` on float32 `inputs` without gradients; the tensors (or tuple of them) come back as NumPy float32.

    On a CPU one call keeps to one core, since several calls side by side are faster than one call over several
    cores (tests/benchmarks/batch_size.py). Four-dimensional inputs go in channels last. Raises `MemoryError` when
    the device has no room for the batch.
    """
    batch = torch.from_numpy(np.require(inputs, np.float32, ("C", "W")))
    if on.type == "cpu":
        torch.set_num_threads(1)  # holds for this thread alone
    try:
        batch = batch.to(on, memory_format=torch.channels_last if batch.ndim == 4 else torch.preserve_format)
        with torch.inference_mode(), _float32():
            found = network(batch)
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"{on}: {str(error).splitlines()[0]}") from error
    finally:
        if on.type == "cpu":
            torch.set_num_threads(_THREADS)
    return tuple(map(_numpy, found)) if isinstance(found, tuple) else _numpy(found)


def _float32() -> Any:
    """Keeps cuDNN from rounding products to TF32's ten bits, its default for convolutions."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )


def _numpy(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
    return None if tensor is None else tensor.float().cpu().numpy()


def torchvision() -> ModuleType:
    """Imports torchvision, beside a CPU torch too.

    The registry's torchvision is a CUDA build whose compiled operators do not load beside CPU torch, and its import
    then fails on the schemas of two of them. Declaring the schemas first makes models and transforms work;
    `torchvision.ops.nms` stays without an implementation. Where the operators load, nothing is declared.
    """
    with _lock:
        try:
            import torchvision
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _schemas.append(library)  # the declarations live as long as this object
            import torchvision
    found: ModuleType = torchvision
    return found
