"""Embeddings of pictures and sounds from pluggable networks; `import sightsound` itself loads nothing heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightsound import dataset, ontology
    from sightsound.advice import Advice, advise
    from sightsound.classifying import SoundClasses, SoundStream, classify_image, classify_sound, classify_stream
    from sightsound.comparison import compare
    from sightsound.dataset import Dataset, Labels
    from sightsound.embedding import Embeddings, embed
    from sightsound.errors import SightsoundError
    from sightsound.filters import Filter
    from sightsound.hookspecs import hookimpl
    from sightsound.host import Host
    from sightsound.indexing import Report, index
    from sightsound.library import Library
    from sightsound.model import Model
    from sightsound.ontology import Ontology
    from sightsound.predicting import predict
    from sightsound.probe import LinearProbe
    from sightsound.searching import search, search_tags
    from sightsound.segments import Rules
    from sightsound.space import Space
    from sightsound.stack import Stack, load_probe
    from sightsound.tagging import Tags, tag
    from sightsound.teaching import teach
    from sightsound.transformer import EmbeddingTransformer
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
    "advice": ("Advice", "advise"),
    "classifying": ("SoundClasses", "SoundStream", "classify_image", "classify_sound", "classify_stream"),
    "comparison": ("compare",),
    "dataset": ("Dataset", "Labels"),
    "embedding": ("Embeddings", "embed"),
    "errors": ("SightsoundError",),
    "hookspecs": ("hookimpl",),
    "host": ("Host",),
    "indexing": ("Report", "index"),
    "filters": ("Filter",),
    "library": ("Library",),
    "model": ("Model",),
    "ontology": ("Ontology",),
    "predicting": ("predict",),
    "probe": ("LinearProbe",),
    "searching": ("search", "search_tags"),
    "segments": ("Rules",),
    "space": ("Space",),
    "stack": ("Stack", "load_probe"),
    "tagging": ("Tags", "tag"),
    "teaching": ("teach",),
    "transformer": ("EmbeddingTransformer",),
    "types": (
        *("Card", "Embedder", "Hit", "Item", "Layer", "Outcome", "Output", "Prediction", "Row", "Segment"),
        *("WeightFile", "Windows"),
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
_WHOLE_ROOMS = ("dataset", "media", "ontology")  # those that are used by their own name: sightsound.ontology.load()

__all__ = [
    "Advice",
    "Card",
    "Dataset",
    "Embedder",
    "EmbeddingTransformer",
    "Embeddings",
    "Filter",
    "Hit",
    "Host",
    "Item",
    "Labels",
    "Layer",
    "Library",
    "LinearProbe",
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
    "Stack",
    "Tags",
    "WeightFile",
    "Windows",
    "advise",
    "classify_image",
    "classify_sound",
    "classify_stream",
    "compare",
    "dataset",
    "embed",
    "hookimpl",
    "index",
    "load_probe",
    "ontology",
    "predict",
    "search",
    "search_tags",
    "tag",
    "teach",
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
