"""OpenVINO, imported without its converter and its telemetry, and such that threads may use it from the start.

The converter (`openvino.convert_model`) takes as long to import as all the rest, and most programs here run networks
that are compiled already. It is imported when it is first asked for, and then without `openvino_telemetry`, in whose
place it has a stub: else each conversion would report to its authors, from a fork of a process that has used PyTorch.

The first use of `Tensor.data` in a process builds a table. Two threads that do this at once may wait for each other for
ever: one has the lock of the table and waits for Python's, the other the reverse (seen in one of ten processes with
OpenVINO 2026.4). So it is done here, in the one thread that imports.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["openvino"]

_CONVERTER = "openvino.tools.ovc"
_TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    """Let the import of a module fail."""
    before = sys.modules.pop(name, None)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


def _import_engine() -> ModuleType:
    """Import OpenVINO, which goes without its converter if the import of that fails, as it does here."""
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        return importlib.import_module("openvino")
    with _absent(_CONVERTER):
        engine = importlib.import_module("openvino")
    engine.__dict__.setdefault("__getattr__", _converter)
    return engine


def _converter(name: str) -> Any:
    """Return `openvino.convert_model` for whoever asks for it; `openvino` has no other attribute to be found here."""
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    with _absent(_TELEMETRY):
        return importlib.import_module(_CONVERTER).convert_model


openvino: Any = _import_engine()
_ = openvino.Tensor(np.zeros(1, np.float32)).data
