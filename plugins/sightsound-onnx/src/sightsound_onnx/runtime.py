"""The runtime `onnx`: networks of torch in ONNX Runtime on the CPU, without torch once they are written."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightsound.plugin import (
    CannotRun,
    Card,
    Compiled,
    Embedder,
    Execution,
    Output,
    SightsoundError,
    cores,
    installed_version,
    on_cpu,
)

log = logging.getLogger(__name__)

BATCH_SIZE = {"image": 2, "sound": 8}
"""Inputs in a batch; more gain little on one core."""


class OnnxRuntime:
    """Runs networks on the CPU in ONNX Runtime; see `sightsound.plugin.Runtime`."""

    name = "onnx"
    requires = ("onnxruntime", "onnx")

    @property
    def version(self) -> str:
        """The version of ONNX Runtime, "" if it is missing."""
        return installed_version("onnxruntime")

    def fits(self, card: Card, device: str) -> bool:
        """Return whether it may run a network: one that says how many parameters it has, on a CPU.

        By default networks run on a GPU where there is one.
        """
        return bool(card.params) and on_cpu(device)

    def compile(
        self, embedder: Embedder, *, device: str, precision: str, weights: Mapping[str, Path], cache: Path
    ) -> Compiled:
        """Return the network in a session with one thread, which several threads may call.

        Raises
        ------
        CannotRun
            If the embedder has no `module()`, the network has an operation that ONNX has not, or its products are
            int8: ONNX Runtime rounds them otherwise (YAMNet: 1 - cosine 3e-4).
        """
        own = str(getattr(embedder, "precision", "float32"))
        if own != "float32":
            raise CannotRun(f"its own precision is {own}, which ONNX Runtime rounds otherwise")
        from sightsound_onnx.graph import session

        file = cache / "network.onnx"
        if not file.exists():
            _write(file, _program(embedder))
        try:
            found = session(file.read_bytes(), file)
        except SightsoundError as error:
            log.info("%s; it is written again", error)
            _write(file, _program(embedder))
            found = session(file.read_bytes(), file)
        names = [each.name for each in found.get_outputs()]

        def embed(inputs: Any) -> Output:
            return Output(*found.run(names, {"input": inputs}))

        return Compiled(embed, Execution(batch_size=BATCH_SIZE[embedder.card.modality], workers=cores()))


def _program(embedder: Embedder) -> bytes:
    if not hasattr(embedder, "module"):
        raise CannotRun("the plugin offers no network of torch (module())")
    from sightsound.plugin import ExportedNetwork
    from sightsound.torch import onnx_program

    try:
        return onnx_program(ExportedNetwork(embedder=embedder, settings=None))
    except SightsoundError as error:
        raise CannotRun(str(error)) from error


def _write(file: Path, content: bytes) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
    part.write_bytes(content)
    part.replace(file)
