"""OpenVINO runs networks, and its files are read and written. Importing this package does not import openvino."""

from __future__ import annotations

from sightsound.plugin import RegisterExporter, RegisterImporter, RegisterRuntime, hookimpl, require_packages


@hookimpl
def register_runtimes(register: RegisterRuntime) -> None:
    """Register the runtime `openvino`."""
    from sightsound_openvino.runtime import OpenVinoRuntime

    register(OpenVinoRuntime())


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the format `openvino`."""
    require_packages("openvino")
    from sightsound_openvino.importer import OpenVinoImporter

    register(OpenVinoImporter())


@hookimpl
def register_exporters(register: RegisterExporter) -> None:
    """Register the format `openvino`."""
    from sightsound_openvino.exporter import OpenVinoExporter

    register(OpenVinoExporter())
