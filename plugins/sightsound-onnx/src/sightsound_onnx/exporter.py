"""Writes networks of torch as ONNX, with what an importer needs to know in the metadata. It imports no framework."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sightsound.plugin import SETTINGS_KEY, ExportedNetwork, SightsoundError, settings_json


class OnnxExporter:
    """Writes networks as ONNX: `input` to `embedding`, and to `scores` if there are any."""

    name = "onnx"
    suffix = ".onnx"

    def write(self, network: ExportedNetwork, file: Path) -> list[Path]:
        """Write a network. The metadata `sightsound` have its settings as JSON.

        Raises
        ------
        SightsoundError
            If its preprocessing cannot be said in settings, or if it is no network of torch.
        """
        if network.settings is None:
            text = f"{network.name}: expected an image that is resized and cropped, or samples of sound, as input"
            raise SightsoundError(f"{text}; its preprocessing is its own, which {self.suffix} files do not have")
        import onnx

        from sightsound.torch import onnx_program

        model = onnx.load_model_from_string(onnx_program(network))
        output = "scores" if network.settings.labels else ""
        stated = dataclasses.replace(network.settings, embedding="embedding", output=output)
        onnx.helper.set_model_props(model, {SETTINGS_KEY: settings_json(stated)})
        model.producer_name = "sightsound"
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())
        return [file]
