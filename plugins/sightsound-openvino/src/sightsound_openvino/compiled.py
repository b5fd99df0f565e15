"""A network that OpenVINO has compiled for batches of fixed sizes, in files that are found again."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.plugin import CannotRun, Embedder, Floats, Output, SightsoundError, cores
from sightsound_openvino.engine import openvino

log = logging.getLogger(__name__)

HINTS = {"float32": "f32", "bf16": "bf16"}
"""Precisions as OpenVINO names them."""


class CompiledNetwork:
    """A network in OpenVINO; several threads may call it.

    Parameters
    ----------
    embedder : Embedder
        Its network is asked for if `cache` has none.
    cache : pathlib.Path
        For the network, and for what was compiled of it.
    precision : {"float32", "bf16"}
        Of the products.
    batches : sequence of int
        Inputs in a batch, from the largest; the last is 1.
    """

    def __init__(self, embedder: Embedder, cache: Path, precision: str, batches: Sequence[int]) -> None:
        self._embedder, self._cache, self._precision = embedder, cache, precision
        self._shape = embedder.card.input_shape
        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "float32" else "PERFORMANCE",
            "INFERENCE_NUM_THREADS": cores(),
            "NUM_STREAMS": cores(),
            "ENABLE_CPU_PINNING": False,
        }
        self._batches = tuple(batches)
        self._compiled: dict[int, Any] = {}
        self._lock, self._local = threading.Lock(), threading.local()
        self._compile(self._batches[0])

    @property
    def batch_size(self) -> int:
        """The largest batch."""
        return self._batches[0]

    def __call__(self, inputs: Floats) -> Output:
        """Return the output for inputs float32 (n, *card.input_shape)."""
        parts, first = list[list[Floats]](), 0
        while first < len(inputs):
            size = next(size for size in self._batches if size <= len(inputs) - first)
            parts.append(self._run(inputs[first : first + size]))
            first += size
        if not parts:
            rows = self._run(np.zeros((1, *self._shape), np.float32))
            return Output(*(each[:0] for each in rows))
        return Output(*(np.concatenate(each) for each in zip(*parts)))

    def _run(self, inputs: Floats) -> list[Floats]:
        """Return copies of what the network returns for a batch of one of the sizes."""
        size, requests = len(inputs), vars(self._local).setdefault("requests", {})
        if size not in requests:
            requests[size] = self._compile(size).create_infer_request()
        request = requests[size]
        request.infer([np.ascontiguousarray(inputs)])
        return [request.get_output_tensor(place).data.copy() for place in range(len(request.model_outputs))]

    def _compile(self, size: int) -> Any:
        """Return what is compiled for a size of batches, from the cache if it is there."""
        with self._lock:
            if size not in self._compiled:
                file = self._cache / f"batch{size}.blob"
                self._compiled[size] = self._imported(file) or self._exported(size, file)
            return self._compiled[size]

    def _imported(self, file: Path) -> Any:
        if not file.exists():
            return None
        try:
            return self._core.import_model(file.read_bytes(), "CPU", self._settings)
        except RuntimeError as error:
            log.info("%s: %s; it is compiled again", file, _reason(error))
            return None

    def _exported(self, size: int, file: Path) -> Any:
        """Compile the network, and write what comes of it."""
        model = self._model()
        model.reshape({0: [size, *self._shape]})
        try:
            compiled = self._core.compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise CannotRun(f"OpenVINO {openvino.__version__} cannot compile it ({_reason(error)})") from error
        content = compiled.export_model()
        _write(file, content if isinstance(content, bytes) else content.getvalue())
        return compiled

    def _model(self) -> Any:
        """Return the network, from the cache if it is there."""
        file = self._cache / "network.xml"
        if file.exists():
            try:
                return self._core.read_model(str(file))
            except RuntimeError as error:
                log.info("%s: %s; it is made again", file, _reason(error))
        make = getattr(self._embedder, "openvino_model", None)
        model = make() if make is not None else _traced(self._embedder)
        part = self._cache / f"part-{os.getpid()}-{threading.get_ident()}.xml"
        openvino.save_model(model, str(part), compress_to_fp16=False)
        part.with_suffix(".bin").replace(file.with_suffix(".bin"))
        part.replace(file)  # the last: a network is complete when this file is there
        return model


def has_bf16() -> bool:
    """Return whether this processor multiplies bf16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _traced(embedder: Embedder) -> Any:
    """Return the network of torch of an embedder, for any number of inputs."""
    from sightsound.plugin import ExportedNetwork
    from sightsound.torch import traced_module

    try:
        traced = traced_module(ExportedNetwork(embedder=embedder, settings=None))
        with warnings.catch_warnings(), _root_logger_as_it_is():
            warnings.simplefilter("ignore")
            return openvino.convert_model(traced, input=[(-1, *embedder.card.input_shape)])
    except SightsoundError as error:
        raise CannotRun(str(error)) from error
    except Exception as error:  # of OpenVINO, of any class
        raise CannotRun(f"OpenVINO {openvino.__version__} cannot read the network ({_reason(error)})") from error


@contextlib.contextmanager
def _root_logger_as_it_is() -> Iterator[None]:
    """Undo what OpenVINO's converter does to the root logger: it sets its level, and adds a handler."""
    root = logging.getLogger()
    level, handlers, filters = root.level, list(root.handlers), list(root.filters)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def _write(file: Path, content: bytes) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        log.warning("%s: cannot be written (%s); the network is compiled again next time", file, error.strerror)
        part.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Return the last line of what OpenVINO says, without places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
