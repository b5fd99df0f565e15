"""The runtime `openvino`: networks of torch on the CPU, without torch once they are compiled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sightsound.plugin import CannotRun, Card, Compiled, Embedder, Execution, cores, installed_version, on_cpu

BATCHES = {"image": (2, 1), "sound": (8, 1)}
"""Inputs in a batch: the shapes that a network is compiled for. A call is cut into these. Compiled for any number of
inputs YAMNet takes 1.7 times as long, and images gain nothing from larger batches."""


class OpenVinoRuntime:
    """Runs networks on the CPU in OpenVINO; see `sightsound.plugin.Runtime`.

    Float32 is asked for by name: by default OpenVINO computes in bf16 where the processor has it.
    """

    name = "openvino"
    requires = ("openvino",)
    precisions = ("float32", "bf16")

    @property
    def version(self) -> str:
        """The version of OpenVINO, "" if it is missing."""
        return installed_version("openvino")

    def fits(self, card: Card, device: str) -> bool:
        """Return whether it may run a network: one that says how many parameters it has, on a CPU.

        By default networks run on a GPU where there is one.
        """
        return bool(card.params) and on_cpu(device)

    def compile(
        self, embedder: Embedder, *, device: str, precision: str, weights: Mapping[str, Path], cache: Path
    ) -> Compiled:
        """Return the compiled network.

        Raises
        ------
        CannotRun
            If the embedder has neither `module()` nor `openvino_model()`, the network cannot be traced, or the
            processor has no bf16.
        """
        from sightsound_openvino.compiled import CompiledNetwork, has_bf16

        if precision == "bf16" and not has_bf16():
            raise CannotRun("this processor has no bf16; leave [precision=bf16] out")
        if not (hasattr(embedder, "module") or hasattr(embedder, "openvino_model")):
            raise CannotRun("the plugin offers no network of torch (module())")
        network = CompiledNetwork(embedder, cache, precision, BATCHES[embedder.card.modality])
        own = str(getattr(embedder, "precision", precision)) if precision == "float32" else precision
        return Compiled(network, Execution(batch_size=network.batch_size, workers=cores(), precision=own))
