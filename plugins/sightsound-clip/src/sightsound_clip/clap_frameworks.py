"""CLAP of transformers, imported also where torchvision or torchaudio are installed, but do not load."""

from __future__ import annotations

import importlib
from typing import Any

from sightsound.torch import import_torchvision

_MODULES = ("configuration_clap", "feature_extraction_clap", "modeling_clap")


def _import_clap() -> list[Any]:
    """Import the modules of CLAP.

    transformers imports torchaudio if it is installed, for functions that are not used here. A torchaudio that does not
    load (that of PyPI beside a CPU build of torch) is left out.
    """
    import_torchvision()
    try:
        return _modules()
    except (OSError, RuntimeError):
        utils: Any = importlib.import_module("transformers.utils")
        asked = utils.is_torchaudio_available
        utils.is_torchaudio_available = lambda: False
        try:
            return _modules()
        finally:
            utils.is_torchaudio_available = asked


def _modules() -> list[Any]:
    return [importlib.import_module(f"transformers.models.clap.{name}") for name in _MODULES]


configuration, features, modeling = _import_clap()
tokenizers: Any = importlib.import_module("tokenizers")
