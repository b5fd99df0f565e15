"""Everything that a plugin needs from sightsound: `from sightsound.plugin import Card, hookimpl`."""

from sightsound._threads import cores, has_gpu, on_cpu
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card, Modality, WeightFile
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Embedder, Layer, Load, Output, Register, RegisterOption, Windows
from sightsound.contract.errors import CannotRun, MediaError, PluginError, SightsoundError, UnknownModel
from sightsound.contract.execution import Compiled, Execution, RegisterRuntime, Runtime
from sightsound.contract.exporter import ExportedNetwork, Exporter, RegisterExporter
from sightsound.contract.graph import Graph, Run, Tensor, graph_card
from sightsound.contract.hookspecs import API, hookimpl
from sightsound.contract.importer import Importer, RegisterImporter, file_of
from sightsound.contract.layer_names import LAYER_OPTIONS
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.options import Option, with_option
from sightsound.contract.requirements import installed_version, require_packages
from sightsound.contract.stated_settings import SETTINGS_KEY, filled_settings, settings_json
from sightsound.media.center_crop import CenterCrop
from sightsound.media.framing import frames
from sightsound.media.graph_embedder import GraphEmbedder
from sightsound.media.inputs import Inputs

__all__ = [
    "API",
    "LAYER_OPTIONS",
    "SETTINGS_KEY",
    "CannotRun",
    "Card",
    "CenterCrop",
    "ClassList",
    "Compiled",
    "Embedder",
    "Execution",
    "ExportedNetwork",
    "Exporter",
    "Floats",
    "Graph",
    "GraphEmbedder",
    "Importer",
    "Inputs",
    "Layer",
    "LinearHead",
    "Load",
    "MediaError",
    "Modality",
    "ModelSettings",
    "Option",
    "Output",
    "PluginError",
    "Register",
    "RegisterExporter",
    "RegisterImporter",
    "RegisterOption",
    "RegisterRuntime",
    "Run",
    "Runtime",
    "Seconds",
    "SightsoundError",
    "Tensor",
    "UnknownModel",
    "WeightFile",
    "Windows",
    "cores",
    "file_of",
    "filled_settings",
    "frames",
    "graph_card",
    "has_gpu",
    "hookimpl",
    "installed_version",
    "on_cpu",
    "require_packages",
    "settings_json",
    "with_option",
]
