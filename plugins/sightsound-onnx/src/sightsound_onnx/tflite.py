"""The format `tflite`: networks in TFLite files, run by LiteRT. Importing this module does not import LiteRT.

LiteRT is the program that defines the format. It computes quantised networks in whole numbers, as they were trained,
and is a tenth of the size of OpenVINO, which also reads such files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.plugin import (
    Card,
    Embedder,
    GraphEmbedder,
    ModelSettings,
    RegisterImporter,
    Run,
    cores,
    file_of,
    graph_card,
    hookimpl,
    require_packages,
)


class TFLiteImporter:
    """Reads networks in TFLite files; see `sightsound.plugin.Importer`."""

    name = "tflite"
    suffixes: tuple[str, ...] = (".tflite",)

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in a file.

        Raises
        ------
        SightsoundError
            If the file is damaged, needs operators of other libraries, or does not fit the settings.
        """
        from sightsound_onnx.tflite_graph import TFLiteGraph

        return graph_card(TFLiteGraph(files[0]), settings, {"format": self.name})

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of an imported network; it runs on the CPU whatever `device` is."""
        file = file_of(weights, *self.suffixes)

        def opened(names: Sequence[str], shape: tuple[int, ...]) -> Run:
            from sightsound_onnx.tflite_graph import TFLiteGraph

            return TFLiteGraph(file).opened(names, shape)

        return GraphEmbedder(card, opened, batch_size=1, workers=cores())


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the format `tflite`."""
    require_packages("ai_edge_litert")
    register(TFLiteImporter())
