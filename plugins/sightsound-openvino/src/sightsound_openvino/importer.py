"""The format `openvino`: cards and embedders of networks in an .xml and a .bin file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.plugin import (
    Card,
    Embedder,
    GraphEmbedder,
    ModelSettings,
    Run,
    SightsoundError,
    cores,
    file_of,
    filled_settings,
    graph_card,
)

CPU_BATCH_SIZE = 4
"""Inputs in a batch; more gain little on one core."""


class OpenVinoImporter:
    """Reads networks in OpenVINO's format; see `sightsound.plugin.Importer`."""

    name = "openvino"
    suffixes: tuple[str, ...] = (".xml",)

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in two files: the graph (.xml) and its numbers (.bin).

        Raises
        ------
        SightsoundError
            If a file is missing or damaged, or if they do not fit the settings.
        """
        from sightsound_openvino.graph import OpenVinoGraph

        numbers = [file for file in files if file.suffix.lower() == ".bin"]
        if len(files) != 2 or len(numbers) != 1:
            beside = files[0].with_suffix(".bin")
            raise SightsoundError(f"{files[0]}: expected its numbers too; name both files: {files[0]} {beside}")
        graph = OpenVinoGraph(files[0], numbers[0])
        settings = filled_settings(settings, graph.stated)
        return graph_card(graph, settings, {"format": self.name}, params=graph.params or None)

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of an imported network; it runs on the CPU whatever `device` is."""
        graph, numbers = file_of(weights, ".xml"), file_of(weights, ".bin")

        def opened(names: Sequence[str], shape: tuple[int, ...]) -> Run:
            from sightsound_openvino.graph import OpenVinoGraph

            return OpenVinoGraph(graph, numbers).opened(names, shape)

        return GraphEmbedder(card, opened, batch_size=CPU_BATCH_SIZE, workers=cores())
