"""The plugin that comes with the host: networks of torch at reduced precision on a GPU. It does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightsound._threads import has_gpu
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Output
from sightsound.contract.errors import CannotRun
from sightsound.contract.execution import Compiled, Execution, RegisterRuntime
from sightsound.contract.hookspecs import hookimpl
from sightsound.contract.requirements import installed_version


class TorchRuntime:
    """Runs networks of `sightsound.torch.TorchEmbedder` in bf16 or fp16 on a GPU; see `Runtime`.

    In float32 they run by themselves.
    """

    name = "torch"
    requires = ("torch",)

    @property
    def version(self) -> str:
        """The version of torch without what it was built for, such as "+cpu"; "none" if it is missing."""
        return installed_version("torch").partition("+")[0] or "none"

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it offers where there is a GPU; whether that has bf16 is known when torch is imported."""
        return ("bf16", "fp16") if has_gpu() else ()

    def fits(self, card: Card, device: str) -> bool:
        """Return whether a device is a GPU; whether a network is one of torch is known when it is loaded."""
        return has_gpu() and device.partition(":")[0] in ("auto", "cuda")

    def compile(
        self, embedder: Embedder, *, device: str, precision: str, weights: Mapping[str, Path], cache: Path
    ) -> Compiled:
        """Return the network on the device of the embedder. Nothing is written to `cache`.

        Raises
        ------
        CannotRun
            If the embedder is none of torch, torch sees no GPU, or that does not have the precision.
        """
        found: Any = embedder
        if not hasattr(embedder, "network_at"):
            raise CannotRun(f"it is no network of torch (TorchEmbedder); leave [precision={precision}] out")
        if not self.fits(embedder.card, found.device):
            raise CannotRun(f"torch sees no GPU, only {found.device}; leave [precision={precision}] out")
        from sightsound.torch.precision import require_finite

        network = found.network_at(precision)

        def embed(inputs: Floats) -> Output:
            output: Output = network(inputs)
            require_finite(output, precision)
            return output

        execution = Execution(
            batch_size=found.batch_size, workers=found.workers, device=found.device, precision=precision
        )
        return Compiled(embed, execution)


@hookimpl
def register_runtimes(register: RegisterRuntime) -> None:
    """Register the runtime `torch`."""
    register(TorchRuntime())
