"""The embedder of YAMNet in int8. Importing this module imports no framework."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightsound.plugin import CannotRun, Card, LinearHead
from sightsound_audioset.embedder import PatchEmbedder

if TYPE_CHECKING:
    import openvino
    from torch import nn

    from sightsound_audioset.yamnet_int8 import Int8Yamnet


class Int8Embedder(PatchEmbedder):
    """YAMNet in int8 from a TFLite file.

    Parameters
    ----------
    card : Card
        The card.
    file : pathlib.Path
        The file. It is read when the network is built.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    cpu_batch_size : int
        Inputs in a batch on a CPU.
    """

    def __init__(self, card: Card, file: Path, device: str, *, cpu_batch_size: int) -> None:
        super().__init__(card, self._own, device, cpu_batch_size=cpu_batch_size, precision="int8")
        self._file = file

    def _own(self) -> nn.Module:
        from sightsound_audioset.yamnet_int8 import read_tflite
        from sightsound_audioset.yamnet_network import int8_network

        return int8_network(read_tflite(self._file))

    def folded(self, network: nn.Module) -> nn.Module:
        """Return the network as it runs fastest, with the int8 instructions of the processor."""
        from sightsound_audioset.yamnet_network import with_int8_instructions

        return with_int8_instructions(network) if self._device.type == "cpu" else network

    def openvino_model(self) -> openvino.Model:
        """Return the network with its head as a graph of OpenVINO, in int8 where the processor adds exactly.

        The numbers are those of the network in torch. Torch is imported only if the network was derived with a state.

        Returns
        -------
        openvino.Model
            From `input`, float32 (n, 96, 64), to `embedding` (n, 1024), and to `scores` (n, classes) if the card has
            scores.

        Raises
        ------
        CannotRun
            If the numbers of a derived network are not whole numbers any more.
        SightsoundError
            If the file is not the int8 TFLite build of YAMNet.
        """
        from sightsound_audioset.yamnet_openvino import adds_exactly, int8_model

        weights = self._whole_numbers()
        head = self.linear_head
        if head is None and self.card.scores:
            weight, bias = (
                np.asarray(each, np.float64) for each in (weights.layers[-1].kernel, weights.layers[-1].bias)
            )
            head = LinearHead(weight=weight, bias=bias, kind="sigmoid", labels=self.card.labels)
        return int8_model(weights, head, int8=adds_exactly())

    def _whole_numbers(self) -> Int8Yamnet:
        from sightsound_audioset.yamnet_int8 import read_tflite

        weights = read_tflite(self._file)
        if self._state is None:
            return weights
        from sightsound_audioset.yamnet_network import layers_of

        try:
            return replace(weights, layers=layers_of(self.module()))
        except ValueError as error:
            raise CannotRun(f"{self.card.name}: expected the whole numbers of an int8 network, got {error}") from error
