"""Networks in OpenVINO's format, an .xml and a .bin file, read and written. Importing it does not import openvino."""

from __future__ import annotations

from sightsound.plugin import RegisterExporter, RegisterImporter, hookimpl, require_packages


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
