"""Writes networks of torch as ONNX, with what an importer needs to know in the metadata. It imports no framework."""

from __future__ import annotations

from pathlib import Path

from sightsound.plugin import SETTINGS_KEY, ExportedNetwork, settings_json


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
        stated = network.stated(self.suffix)
        import onnx

        from sightsound.torch import onnx_program

        model = onnx.load_model_from_string(onnx_program(network))
        onnx.helper.set_model_props(model, {SETTINGS_KEY: settings_json(stated)})
        model.producer_name = "sightsound"
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())
        return [file]
