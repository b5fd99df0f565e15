"""Everything that a plugin needs from sightsound: `from sightsound.plugin import Card, hookimpl`."""

from sightsound._threads import cores
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card, Modality, WeightFile
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Embedder, Layer, Load, Output, Register, RegisterOption, Windows
from sightsound.contract.errors import CannotRun, MediaError, PluginError, SightsoundError, UnknownModel
from sightsound.contract.execution import Compiled, Execution, RegisterRuntime, Runtime
from sightsound.contract.hookspecs import API, hookimpl
from sightsound.contract.layer_names import LAYER_OPTIONS
from sightsound.contract.options import Option, with_option
from sightsound.media.framing import frames

__all__ = [
    "API",
    "LAYER_OPTIONS",
    "CannotRun",
    "Card",
    "ClassList",
    "Compiled",
    "Embedder",
    "Execution",
    "Floats",
    "Layer",
    "Load",
    "MediaError",
    "Modality",
    "Option",
    "Output",
    "PluginError",
    "Register",
    "RegisterOption",
    "RegisterRuntime",
    "Runtime",
    "Seconds",
    "SightsoundError",
    "UnknownModel",
    "WeightFile",
    "Windows",
    "cores",
    "frames",
    "hookimpl",
    "with_option",
]
