"""Everything that a plugin needs from sightsound: `from sightsound.plugin import Card, hookimpl`."""

from sightsound._threads import cores
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card, Modality, WeightFile
from sightsound.contract.embedder import Embedder, Layer, Load, Output, Register, Windows
from sightsound.contract.errors import MediaError, PluginError, SightsoundError, UnknownModel
from sightsound.contract.hookspecs import hookimpl
from sightsound.media.framing import frames

__all__ = [
    "Card",
    "Embedder",
    "Floats",
    "Layer",
    "Load",
    "MediaError",
    "Modality",
    "Output",
    "PluginError",
    "Register",
    "Seconds",
    "SightsoundError",
    "UnknownModel",
    "WeightFile",
    "Windows",
    "cores",
    "frames",
    "hookimpl",
]
