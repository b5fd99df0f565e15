"""The format `onnx`: cards and embedders of networks in ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.plugin import (
    SETTINGS_KEY,
    Card,
    Embedder,
    GraphEmbedder,
    ModelSettings,
    Run,
    cores,
    file_of,
    filled_settings,
    graph_card,
)

CPU_BATCH_SIZE = 4
"""Inputs in a batch; more gain nothing on one core (README.md, Speed)."""


class OnnxImporter:
    """Reads networks in ONNX files; see `sightsound.plugin.Importer`."""

    name = "onnx"
    suffixes: tuple[str, ...] = (".onnx",)

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in a file.

        Raises
        ------
        SightsoundError
            If the file is damaged, needs other files or other operators, or does not fit the settings.
        """
        from sightsound_onnx.graph import OnnxGraph

        graph = OnnxGraph(files[0])
        settings = filled_settings(settings, graph.metadata.get(SETTINGS_KEY, ""))
        return graph_card(graph, settings, {"format": self.name}, params=graph.params or None)

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of an imported network; it runs on the CPU whatever `device` is."""
        file = file_of(weights, *self.suffixes)

        def opened(names: Sequence[str], shape: tuple[int, ...]) -> Run:
            from sightsound_onnx.graph import OnnxGraph

            return OnnxGraph(file).opened(names, shape)

        return GraphEmbedder(card, opened, batch_size=CPU_BATCH_SIZE, workers=cores())
