"""Writes networks of torch in OpenVINO's format, with what an importer needs to know in the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightsound.plugin import SETTINGS_KEY, ExportedNetwork, settings_json


class OpenVinoExporter:
    """Writes networks as an .xml and a .bin file: `input` to `embedding`, and to `scores` if there are any."""

    name = "openvino"
    suffix = ".xml"

    def write(self, network: ExportedNetwork, file: Path) -> list[Path]:
        """Write a network in float32. The metadata `sightsound` have its settings as JSON.

        Raises
        ------
        SightsoundError
            If its preprocessing cannot be said in settings, or if it is no network of torch.
        """
        stated = network.stated(self.suffix)
        from sightsound.torch import onnx_program
        from sightsound_openvino.engine import openvino

        model: Any = openvino.Core().read_model(onnx_program(network), b"")
        model.set_rt_info(settings_json(stated), [SETTINGS_KEY])
        openvino.save_model(model, str(file), compress_to_fp16=False)
        return [file, file.with_suffix(".bin")]
