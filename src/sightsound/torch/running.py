"""A device, safe loading of tensors, a forward pass, and torchvision beside a CPU build of torch."""

from __future__ import annotations

import contextlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightsound._memory import keep_memory
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.torch.plain_pickle import HEAD, is_plain_pickle, read_plain_pickle

_schemas: list[Any] = []
_lock = threading.Lock()
_running: list[int] = []  # the thread count of the user, for each thread in `_one_thread`
_known = threading.local()
_precise: list[bool] = []  # the TF32 setting of the user, for each thread in `_float32`


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is cuda, else mps, else cpu.

    Raises `SightsoundError` if the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(kind, False):
        raise SightsoundError(f"device {name!r}: torch {torch.__version__} sees none here; use --device cpu")
    if kind == "cpu":
        keep_memory()
    return torch.device(name)


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors or torch file by name, on the CPU. Only tensors are unpickled.

    A dictionary of tensors that `pickle.dump` wrote is read in the same way.

    Raises `SightsoundError` for another kind of file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head[8:9] == b"{":  # a length in eight bytes, then JSON
            from safetensors.torch import load_file

            return load_file(path)
        if is_plain_pickle(head):
            return read_plain_pickle(path)
        if _is_program(path):
            raise ValueError("a program of TorchScript; save its state_dict()")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SightsoundError(f"{path}: expected tensors (.safetensors, .pth), got: {_reason(error)}") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise SightsoundError(f"{path}: expected a dictionary of tensors, got {type(found).__name__}")
    return found


def _is_program(path: Path) -> bool:
    """Return whether a file is an archive of TorchScript, which torch would only refuse after a warning."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without torch's advice to unpickle it without restrictions."""
    if isinstance(error, MemoryError):
        return "more than fits in memory"
    text = str(error)
    found = text.partition("WeightsUnpickler error: ")[2] or text
    return found.strip().partition("\n")[0].partition(". ")[0] or type(error).__name__


def forward(network: Callable[[torch.Tensor], Any], inputs: Floats, on: torch.device) -> Any:
    """Run a network without gradients.

    On a CPU one call uses one core: several calls at once are faster than one call on several cores
    (tests/benchmarks/batch_size.py).

    Parameters
    ----------
    network : callable
        Takes a tensor; four-dimensional inputs have channels-last memory. Returns a tensor, or a tuple of tensors and
        None.
    inputs : ndarray
        float32 (n, ...).
    on : torch.device
        Where the network is.

    Returns
    -------
    ndarray or tuple of (ndarray or None)
        What the network returned, float32.

    Raises
    ------
    MemoryError
        If the batch does not fit the device.
    """
    batch = torch.from_numpy(np.require(inputs, np.float32, ("C", "W")))
    try:
        order = torch.channels_last if batch.ndim == 4 else torch.preserve_format
        staged = batch.pin_memory() if on.type == "cuda" else batch  # so that the copy goes on beside the network
        batch = staged.to(on, memory_format=order, non_blocking=on.type == "cuda")
        with torch.inference_mode(), _one_thread() if on.type == "cpu" else _float32():
            found = network(batch)
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"{on}: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):  # torch has no class for it
            raise
        raise MemoryError(f"{on}: not enough memory for {len(inputs)} inputs at once") from error
    return tuple(map(_numpy, found)) if isinstance(found, tuple) else _numpy(found)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let operators of this thread use one core, and restore the user's setting.

    torch has a number of threads for each thread. One that has used no operator yet takes over what was set last in
    any thread, which may be the 1 of another call.
    """
    with _lock:
        count = torch.get_num_threads()
        if count == 1 and _running and not hasattr(_known, "count"):
            count = _running[0]
        _known.count = count
        _running.append(count)
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _running.remove(count)
            torch.set_num_threads(count)


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Keep cuDNN from rounding products to the ten bits of TF32, its default for convolutions.

    The setting is one for the process: the last thread that leaves this context restores that of the user.
    """
    cudnn: Any = torch.backends.cudnn
    with _lock:
        _precise.append(_precise[0] if _precise else cudnn.allow_tf32)
        cudnn.allow_tf32 = False
    try:
        yield
    finally:
        with _lock:
            users = _precise.pop()
            if not _precise:
                cudnn.allow_tf32 = users


def _numpy(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
    return None if tensor is None else tensor.float().cpu().numpy()


def import_torchvision() -> ModuleType:
    """Import and return torchvision, also beside a CPU build of torch. Call it before timm is imported.

    The torchvision of PyPI is a CUDA build. Its compiled operators do not load beside CPU torch, and its import fails
    because two of them have no schema. Declaring the schemas first makes models and transforms work;
    `torchvision.ops.nms` has no implementation then. If the operators load, nothing is declared.
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
