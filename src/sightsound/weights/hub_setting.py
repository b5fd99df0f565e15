"""The setting by which huggingface_hub stays off the network, for a limited time."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_lock = threading.Lock()
_inside: list[None] = []  # one for each thread in `hubs_offline`
_before: list[tuple[str | None, bool | None]] = []  # the user's setting, while a thread is in it


@contextlib.contextmanager
def hubs_offline() -> Iterator[None]:
    """Tell huggingface_hub not to use the network, and restore the setting; timm fetches through it.

    The setting is one for the process and its children. Several threads may be in this context at once; the last one
    that leaves it restores the setting. torch.hub and tensorflow_hub have no such setting.
    """
    with _lock:
        if not _inside:
            _before.append((os.environ.get("HF_HUB_OFFLINE"), _hub_constants().get("HF_HUB_OFFLINE")))
        _inside.append(None)
        os.environ["HF_HUB_OFFLINE"] = "1"
        _hub_constants()["HF_HUB_OFFLINE"] = True  # it reads the environment once, when it is imported
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                _restore(*_before.pop())


def _hub_constants() -> dict[str, Any]:
    """Return the settings of huggingface_hub, an empty dictionary if it is not imported."""
    module = sys.modules.get("huggingface_hub.constants")
    return {} if module is None else vars(module)


def _restore(variable: str | None, constant: bool | None) -> None:
    if variable is None:
        os.environ.pop("HF_HUB_OFFLINE", None)
    else:
        os.environ["HF_HUB_OFFLINE"] = variable
    stated = (variable or "").upper() in ("1", "ON", "YES", "TRUE")  # as it reads the variable, if imported meanwhile
    _hub_constants()["HF_HUB_OFFLINE"] = stated if constant is None else constant
