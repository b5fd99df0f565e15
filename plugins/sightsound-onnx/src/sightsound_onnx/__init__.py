"""ONNX Runtime runs networks, and ONNX files are read and written.

Importing this package imports neither onnx nor onnxruntime.
"""

from __future__ import annotations

from sightsound.plugin import RegisterExporter, RegisterImporter, RegisterRuntime, hookimpl, require_packages


@hookimpl
def register_runtimes(register: RegisterRuntime) -> None:
    """Register the runtime `onnx`."""
    from sightsound_onnx.runtime import OnnxRuntime

    register(OnnxRuntime())


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the format `onnx`."""
    require_packages("onnx", "onnxruntime")
    from sightsound_onnx.importer import OnnxImporter

    register(OnnxImporter())


@hookimpl
def register_exporters(register: RegisterExporter) -> None:
    """Register the format `onnx`."""
    from sightsound_onnx.exporter import OnnxExporter

    register(OnnxExporter())
