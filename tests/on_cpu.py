"""The runtime for networks of torch at reduced precision, on a CPU: what it runs is what it runs on a GPU."""

from __future__ import annotations

from sightsound import Host, hookimpl
from sightsound.host.torch_runtime import TorchRuntime


class OnCpu(TorchRuntime):
    """Offers a CPU what the runtime offers a GPU; torch computes the same operations there, only slower."""

    name = "on_cpu"
    precisions = ("bf16", "fp16")

    def fits(self, card, device):
        return device in ("auto", "cpu")

    @hookimpl
    def register_runtimes(self, register):
        register(self)


def with_reduced_precision(host: Host) -> Host:
    """Add the runtime to a host that has none other at these precisions, or names it."""
    host.register(OnCpu(), "on-cpu")
    return host
