"""The network in OpenVINO's files: its tensors, and a compiled model that returns some of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sightsound.plugin import SETTINGS_KEY, Run, SightsoundError, Tensor
from sightsound_openvino.engine import openvino

SPATIAL = {"Convolution", "GroupConvolution", "MaxPool", "AvgPool", "BatchNormInference", "Interpolate"}
"""Operators whose results have channels before the axes of space or time."""

MIXING = {"MatMul", "MVN", "Reshape", "Transpose", "Gather", "Squeeze", "Unsqueeze", "Concat", "Einsum"}
"""Operators after which the place of the channels is not that of the input."""

_DTYPES = {"f32": "float32", "f16": "float16", "f64": "float64", "u8": "uint8", "i8": "int8", "i16": "int16"}
_DTYPES |= {"i32": "int32", "i64": "int64"}


class OpenVinoGraph:
    """The network in an .xml and a .bin file; a `sightsound.plugin.Graph`.

    Parameters
    ----------
    graph, numbers : pathlib.Path
        The two files.

    Raises
    ------
    SightsoundError
        If they are damaged or not of this format, or if the network keeps a state from one input to the next.
    """

    def __init__(self, graph: Path, numbers: Path) -> None:
        self._file = graph
        self._core = openvino.Core()
        try:
            self._model: Any = self._core.read_model(str(graph), str(numbers))
        except RuntimeError as error:
            reason = _reason(error)
            text = f"{graph}: expected a network of OpenVINO with {numbers.name}, got others or damaged ones ({reason})"
            raise SightsoundError(f"{text}; copy them anew") from error
        if self._model.get_sinks():
            raise SightsoundError(
                f"{graph}: expected rows of one input alone, got a network with a state; export another"
            )
        self.inputs = [_tensor(port) for port in self._model.inputs]
        self.outputs = [_tensor(port) for port in self._model.outputs]

    @cached_property
    def inner(self) -> Sequence[str]:
        """The names of the tensors inside."""
        return list(self._ports)

    @cached_property
    def _ports(self) -> dict[str, Any]:
        """Tensors by each of their names, or by that of their operation."""
        found = {}
        for step in self._model.get_ordered_ops():
            if step.get_type_name() in ("Constant", "Result", "Parameter"):
                continue
            for port in step.outputs():
                for name in port.get_names() or ({step.get_friendly_name()} if len(step.outputs()) == 1 else set()):
                    found[name] = port
        return found

    @property
    def stated(self) -> str:
        """The settings in the file, "" if there are none."""
        try:
            return str(self._model.get_rt_info([SETTINGS_KEY]).value)
        except RuntimeError:
            return ""

    @property
    def params(self) -> int:
        """The number of weights, those of constants of floating-point numbers."""
        constants = [step for step in self._model.get_ordered_ops() if step.get_type_name() == "Constant"]
        ports = [step.output(0) for step in constants if step.output(0).get_element_type().is_real()]
        return sum(math.prod(port.get_shape()) for port in ports)

    def channels_last(self, name: str) -> bool | None:
        """Return False for a tensor of convolutions or pools and what works on single numbers, None if unknown."""
        port = self._ports.get(name) or next(p for p in self._model.outputs if _name(p) == name)
        step = port.get_node()
        while step.get_type_name() not in MIXING and step.inputs():
            if step.get_type_name() in SPATIAL:
                return False
            step = step.input(0).get_source_output().get_node()
        return None

    def before_scores(self, output: str) -> str | None:
        """Return what enters the last matrix product that an output depends on, None if there is none."""
        steps = list(self._model.get_ordered_ops())
        needed = {next(p for p in self._model.outputs if _name(p) == output).get_node().get_friendly_name()}
        names = {id_of(port): name for name, port in reversed(self._ports.items())}
        for step in reversed(steps):
            if step.get_friendly_name() not in needed:
                continue
            sources = [port.get_source_output() for port in step.inputs()]
            moving = [port for port in sources if port.get_node().get_type_name() != "Constant"]
            if step.get_type_name() == "MatMul" and moving:
                return names.get(id_of(moving[0]))
            needed.update(port.get_node().get_friendly_name() for port in sources)
        return None

    def opened(self, names: Sequence[str], shape: tuple[int, ...]) -> Run:
        """Return what runs the network in float32 on one thread, with a request for each thread that calls it."""
        model = self._model.clone()
        there = {_name(port): index for index, port in enumerate(model.outputs)}
        places = []
        for name in names:
            if name not in there:
                port = self._ports[name]
                step = next(s for s in model.get_ops() if s.get_friendly_name() == port.get_node().get_friendly_name())
                there[name] = len(model.outputs)
                model.add_outputs(step.output(port.get_index()))
            places.append(there[name])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        try:
            compiled: Any = self._core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            text = f"{self._file}: OpenVINO {openvino.__version__} cannot compile it ({_reason(error)})"
            raise SightsoundError(text) from error
        local = threading.local()

        def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
            if not hasattr(local, "request"):
                local.request = compiled.create_infer_request()
            local.request.infer([inputs])
            return [local.request.get_output_tensor(place).data.copy() for place in places]

        return run


def id_of(port: Any) -> tuple[str, int]:
    """Return what identifies a tensor: the name of its operation, and its number there."""
    return port.get_node().get_friendly_name(), port.get_index()


def _name(port: Any) -> str:
    """Return the name of an input or output: its first, or that of its operation."""
    names = sorted(port.get_names())
    return names[0] if names else str(port.get_node().get_friendly_name())


def _tensor(port: Any) -> Tensor:
    shape = tuple(axis.get_length() if axis.is_static else None for axis in port.get_partial_shape())
    kind = port.get_element_type().get_type_name()
    return Tensor(_name(port), shape, _DTYPES.get(kind, kind))


def _reason(error: Exception) -> str:
    """Return the last line of what OpenVINO says, without places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
