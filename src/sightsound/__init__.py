"""Embeddings of pictures and sounds from pluggable networks; `import sightsound` itself loads nothing heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightsound.classify import ontology
    from sightsound.classify.classify import SoundClasses, SoundStream, classify_image, classify_sound, classify_stream
    from sightsound.classify.ontology import Ontology
    from sightsound.classify.segments import Rules
    from sightsound.classify.tag import Tags, tag
    from sightsound.contract.errors import SightsoundError
    from sightsound.contract.hookspecs import hookimpl
    from sightsound.contract.space import Space
    from sightsound.contract.types import (
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
    from sightsound.host.host import Host
    from sightsound.host.model import Model
    from sightsound.learn import dataset
    from sightsound.learn.advise import Advice, advise
    from sightsound.learn.compare import compare
    from sightsound.learn.dataset import Dataset, Labels
    from sightsound.learn.fit import teach
    from sightsound.learn.predict import predict
    from sightsound.learn.transformer import EmbeddingTransformer
    from sightsound.library.filters import Filter
    from sightsound.library.index import Report, index
    from sightsound.library.library import Library
    from sightsound.library.search import search, search_tags
    from sightsound.linear.probe import LinearProbe
    from sightsound.linear.stack import Stack, load_probe
    from sightsound.pipeline.embeddings import Embeddings, embed

__version__ = "0.1.0"

_ROOMS = {
    "learn.advise": ("Advice", "advise"),
    "classify.classify": ("SoundClasses", "SoundStream", "classify_image", "classify_sound", "classify_stream"),
    "learn.compare": ("compare",),
    "learn.dataset": ("Dataset", "Labels"),
    "pipeline.embeddings": ("Embeddings", "embed"),
    "contract.errors": ("SightsoundError",),
    "contract.hookspecs": ("hookimpl",),
    "host.host": ("Host",),
    "library.index": ("Report", "index"),
    "library.filters": ("Filter",),
    "library.library": ("Library",),
    "host.model": ("Model",),
    "classify.ontology": ("Ontology",),
    "learn.predict": ("predict",),
    "linear.probe": ("LinearProbe",),
    "library.search": ("search", "search_tags"),
    "classify.segments": ("Rules",),
    "contract.space": ("Space",),
    "linear.stack": ("Stack", "load_probe"),
    "classify.tag": ("Tags", "tag"),
    "learn.fit": ("teach",),
    "learn.transformer": ("EmbeddingTransformer",),
    "contract.types": (
        *("Card", "Embedder", "Hit", "Item", "Layer", "Outcome", "Output", "Prediction", "Row", "Segment"),
        *("WeightFile", "Windows"),
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
_WHOLE_ROOMS = {"dataset": "learn.dataset", "media": "media", "ontology": "classify.ontology"}  # used by their own name

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
        return importlib.import_module(f"sightsound.{_WHOLE_ROOMS[name]}")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightsound' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"sightsound.{_ROOM_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_WHOLE_ROOMS})
