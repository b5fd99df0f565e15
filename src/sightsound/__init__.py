"""Embeddings of pictures and sounds from pluggable networks; `import sightsound` itself loads nothing heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightsound.embedding import Embeddings, embed
    from sightsound.errors import SightsoundError
    from sightsound.filters import Filter
    from sightsound.hookspecs import hookimpl
    from sightsound.host import Host
    from sightsound.indexing import Report, index
    from sightsound.library import Library
    from sightsound.model import Model
    from sightsound.searching import search
    from sightsound.space import Space
    from sightsound.types import Card, Embedder, Hit, Item, Outcome, Output, Row, WeightFile, Windows

__version__ = "0.1.0"

_ROOMS = {
    "embedding": ("Embeddings", "embed"),
    "errors": ("SightsoundError",),
    "hookspecs": ("hookimpl",),
    "host": ("Host",),
    "indexing": ("Report", "index"),
    "filters": ("Filter",),
    "library": ("Library",),
    "model": ("Model",),
    "searching": ("search",),
    "space": ("Space",),
    "types": ("Card", "Embedder", "Hit", "Item", "Outcome", "Output", "Row", "WeightFile", "Windows"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Card",
    "Embedder",
    "Embeddings",
    "Filter",
    "Hit",
    "Host",
    "Item",
    "Library",
    "Model",
    "Outcome",
    "Output",
    "Report",
    "Row",
    "SightsoundError",
    "Space",
    "WeightFile",
    "Windows",
    "embed",
    "hookimpl",
    "index",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightsound' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"sightsound.{_ROOM_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
