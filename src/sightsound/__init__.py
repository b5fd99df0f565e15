"""Embeddings of pictures and sounds from pluggable networks; `import sightsound` itself loads nothing heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightsound import ontology
    from sightsound.classifying import SoundClasses, SoundStream, classify_image, classify_sound, classify_stream
    from sightsound.embedding import Embeddings, embed
    from sightsound.errors import SightsoundError
    from sightsound.filters import Filter
    from sightsound.hookspecs import hookimpl
    from sightsound.host import Host
    from sightsound.indexing import Report, index
    from sightsound.library import Library
    from sightsound.model import Model
    from sightsound.ontology import Ontology
    from sightsound.searching import search, search_tags
    from sightsound.segments import Rules
    from sightsound.space import Space
    from sightsound.tagging import Tags, tag
    from sightsound.types import (
        Card,
        Embedder,
        Hit,
        Item,
        Layer,
        Outcome,
        Output,
        Prediction,
        Row,
        Segment,
        WeightFile,
        Windows,
    )

__version__ = "0.1.0"

_ROOMS = {
    "classifying": ("SoundClasses", "SoundStream", "classify_image", "classify_sound", "classify_stream"),
    "embedding": ("Embeddings", "embed"),
    "errors": ("SightsoundError",),
    "hookspecs": ("hookimpl",),
    "host": ("Host",),
    "indexing": ("Report", "index"),
    "filters": ("Filter",),
    "library": ("Library",),
    "model": ("Model",),
    "ontology": ("Ontology",),
    "searching": ("search", "search_tags"),
    "segments": ("Rules",),
    "space": ("Space",),
    "tagging": ("Tags", "tag"),
    "types": (
        *("Card", "Embedder", "Hit", "Item", "Layer", "Outcome", "Output", "Prediction", "Row", "Segment"),
        *("WeightFile", "Windows"),
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
_WHOLE_ROOMS = ("media", "ontology")  # those that are used by their own name: sightsound.ontology.load()

__all__ = [
    "Card",
    "Embedder",
    "Embeddings",
    "Filter",
    "Hit",
    "Host",
    "Item",
    "Layer",
    "Library",
    "Model",
    "Ontology",
    "Outcome",
    "Output",
    "Prediction",
    "Report",
    "Row",
    "Rules",
    "Segment",
    "SightsoundError",
    "SoundClasses",
    "SoundStream",
    "Space",
    "Tags",
    "WeightFile",
    "Windows",
    "classify_image",
    "classify_sound",
    "classify_stream",
    "embed",
    "hookimpl",
    "index",
    "ontology",
    "search",
    "search_tags",
    "tag",
]


def __getattr__(name: str) -> Any:
    if name in _WHOLE_ROOMS:
        return importlib.import_module(f"sightsound.{name}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightsound' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"sightsound.{_ROOM_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_WHOLE_ROOMS})
