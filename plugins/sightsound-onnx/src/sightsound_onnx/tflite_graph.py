"""The network in a TFLite file: its tensors, and interpreters of LiteRT that return some of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from sightsound.plugin import Run, SightsoundError, Tensor

IDENTIFIER = b"TFL3"
"""The bytes 4 to 7 of a TFLite file."""

LINEAR = {"FULLY_CONNECTED", "BATCH_MATMUL"}
"""Operators of linear layers."""


class TFLiteGraph:
    """The network in a TFLite file; a `sightsound.plugin.Graph`.

    Quantised inputs and outputs are float32 here: they are quantised and dequantised with the scales of the file.

    Parameters
    ----------
    file : pathlib.Path
        The file.

    Raises
    ------
    SightsoundError
        If it is no TFLite file, or LiteRT cannot run it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = file.read_bytes()
        if self._content[4:8] != IDENTIFIER:
            raise SightsoundError(f"{file}: expected a TFLite file, got another; copy it anew")
        interpreter = self._interpreter(inner=True)
        self.inputs = [_tensor(each) for each in interpreter.get_input_details()]
        self.outputs = [_tensor(each) for each in interpreter.get_output_details()]
        self._details = {each["name"]: each for each in interpreter.get_tensor_details()}
        self._steps: list[dict[str, Any]] = interpreter._get_ops_details()
        made = {index for step in self._steps for index in step["outputs"]}
        self.inner: Sequence[str] = [name for name, each in self._details.items() if each["index"] in made]

    def channels_last(self, name: str) -> bool:
        """Return True: operators of TFLite have channels last."""
        return True

    def before_scores(self, output: str) -> str | None:
        """Return what enters the last linear layer that an output depends on, None if there is none."""
        names = {each["index"]: name for name, each in self._details.items()}
        needed = {self._details[output]["index"]}
        for step in reversed(self._steps):
            if needed.isdisjoint(step["outputs"]):
                continue
            if step["op_name"] in LINEAR:
                return str(names[step["inputs"][0]])
            needed.update(step["inputs"])
        return None

    def opened(self, names: Sequence[str], shape: tuple[int, ...]) -> Run:
        """Return what runs the network, with an interpreter for each thread that calls it."""
        inner = not {each.name for each in self.outputs}.issuperset(names)
        local = threading.local()

        def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
            if not hasattr(local, "interpreter"):
                local.interpreter = self._interpreter(inner=inner, shape=inputs.shape)
            interpreter: Any = local.interpreter
            given = interpreter.get_input_details()[0]
            interpreter.set_tensor(given["index"], _quantised(inputs, given))
            interpreter.invoke()
            details = [self._details[name] for name in names]
            return [_dequantised(interpreter.get_tensor(each["index"]), each) for each in details]

        return run

    def _interpreter(self, *, inner: bool, shape: tuple[int, ...] | None = None) -> Any:
        """Return an interpreter with one thread, which keeps inner tensors, for inputs of a shape."""
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if inner else OpResolverType.AUTO
        try:
            found: Any = Interpreter(
                model_content=self._content,
                num_threads=1,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=inner,
            )
            given = found.get_input_details()[0]
            if shape is not None and tuple(given["shape"]) != shape:
                found.resize_tensor_input(given["index"], shape)
            found.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise SightsoundError(f"{self._file}: LiteRT cannot load it ({reason}); is it complete?") from error
        return found


def _tensor(details: dict[str, Any]) -> Tensor:
    signature = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    shape = tuple(None if axis < 0 else int(axis) for axis in signature)
    return Tensor(details["name"], shape, "float32" if _scale(details) else np.dtype(details["dtype"]).name)


def _scale(details: dict[str, Any]) -> float:
    """Return the scale of a quantised tensor, 0 of another."""
    return float(details["quantization"][0])


def _quantised(array: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    scale, zero = details["quantization"]
    if not scale:
        return array
    limits = np.iinfo(details["dtype"])
    found: NDArray[Any] = (np.rint(array / scale) + zero).clip(limits.min, limits.max).astype(details["dtype"])
    return found


def _dequantised(array: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    scale, zero = details["quantization"]
    if not scale or array.dtype.kind == "f":
        return array
    found: NDArray[Any] = ((array.astype(np.float32) - zero) * scale).astype(np.float32)
    return found
