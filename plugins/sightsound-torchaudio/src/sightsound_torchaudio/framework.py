"""torchaudio, imported also beside a build of torch that its compiled part does not fit."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

COMPILED = "torchaudio._extension"
"""The module of torchaudio that loads its compiled part."""

log = logging.getLogger(__name__)
_lock = threading.Lock()


class _NoCompiledPart(ModuleType):
    """Stands in for `torchaudio._extension` and says that nothing compiled is there."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_IS_"):
            return False
        if name.startswith("fail_if_no_"):
            return _refused
        raise AttributeError(f"module {COMPILED!r} has no attribute {name!r}")


def _refused(function: Callable[..., Any]) -> Callable[..., NoReturn]:
    """Return a function that raises, in place of one that needs the compiled part."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"torchaudio's {function.__name__}: its compiled part does not load beside this torch")

    return refuse


def import_torchaudio() -> ModuleType:
    """Import and return torchaudio, also beside a CPU build of torch.

    The torchaudio of PyPI is a CUDA build. Its compiled part does not load beside CPU torch or torch for another CUDA,
    and its import fails. The networks are plain torch and do not need that part, so the module that loads it is
    replaced by one that says that it is not there. If torchaudio can be imported, nothing is replaced.
    """
    with _lock:
        try:
            return importlib.import_module("torchaudio")
        except (OSError, RuntimeError) as error:
            log.debug("torchaudio without its compiled part: %s", error)
            sys.modules[COMPILED] = _NoCompiledPart(COMPILED)
        try:
            return importlib.import_module("torchaudio")
        except BaseException:
            del sys.modules[COMPILED]
            raise


torchaudio: Any = import_torchaudio()
