"""The network in an ONNX file: its tensors, and a session of ONNX Runtime that returns some of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from sightsound.plugin import Run, SightsoundError, Tensor

STANDARD = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Domains of the operators that ONNX Runtime has itself. Those of others are in libraries, which are not loaded."""

READS_FILES = {"EPContext"}
"""Operators that name a file."""

LINEAR = {"Gemm", "MatMul"}
"""Operators of linear layers."""

SPATIAL = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "QLinearConv"}
SPATIAL |= {"BatchNormalization", "InstanceNormalization", "LpPool", "Resize", "ConvInteger"}
"""Operators whose results have channels before the axes of space or time."""

MIXING = {*LINEAR, "LayerNormalization", "Reshape", "Gather", "Unsqueeze", "Squeeze", "Einsum", "Concat"}
"""Operators after which the place of the channels is not that of the input."""

_DTYPES = {"float": "float32", "double": "float64"}


class OnnxGraph:
    """The network in an ONNX file; a `sightsound.plugin.Graph`.

    Parameters
    ----------
    file : pathlib.Path
        The file.

    Raises
    ------
    SightsoundError
        If it is no ONNX file, needs other files or operators of other libraries, or is one that this version of ONNX
        Runtime cannot run.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = file.read_bytes()
        try:
            self._model: Any = onnx.load_model_from_string(self._content)
        except Exception:  # a class of the protobuf library, of which there are several
            raise SightsoundError(
                f"{file}: expected an ONNX file, got another or a damaged one; copy it anew"
            ) from None
        if not self._model.graph.node:
            raise SightsoundError(f"{file}: expected an ONNX file with a network, got an empty one; copy it anew")
        _check_self_contained(file, self._model)
        opened = session(self._content, file)
        self.inputs, self.outputs = _tensors(opened.get_inputs()), _tensors(opened.get_outputs())
        self.metadata: dict[str, str] = opened.get_modelmeta().custom_metadata_map

    @cached_property
    def inner(self) -> Sequence[str]:
        """The names of the tensors that nodes of the graph give."""
        return [name for node in self._model.graph.node for name in node.output if name]

    @property
    def params(self) -> int:
        """The number of weights, those of tensors of floating-point numbers."""
        tensors = self._model.graph.initializer
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        return sum(math.prod(tensor.dims) for tensor in tensors if tensor.data_type in floats)

    def channels_last(self, name: str) -> bool | None:
        """Return whether a tensor has its channels last, by the operators that made it; None if they do not say it."""
        makers = {output: node for node in self._model.graph.node for output in node.output}
        last = False
        while name in makers:
            node = makers[name]
            if node.op_type in SPATIAL:
                return last
            if node.op_type in MIXING:
                return None
            if node.op_type == "Transpose":
                order = [list(each.ints) for each in node.attribute if each.name == "perm"]
                if order not in ([[0, 2, 1]], [[0, 2, 3, 1]]):
                    return None
                last = True
            name = next((each for each in node.input if each in makers), "")
        return None

    def before_scores(self, output: str) -> str | None:
        """Return what enters the last Gemm or MatMul that an output depends on, None if there is none."""
        weights = {tensor.name for tensor in self._model.graph.initializer}
        needed = {output}
        for node in reversed(self._model.graph.node):  # they are in the order of computation
            if not needed.intersection(node.output):
                continue
            entering = [name for name in node.input if name and name not in weights]
            if node.op_type in LINEAR and entering:
                return str(entering[0])
            needed.update(entering)
        return None

    def opened(self, names: Sequence[str], shape: tuple[int, ...]) -> Run:
        """Return what runs the network in a session with one thread; several threads may call it."""
        content, there = self._content, {each.name for each in self.outputs}
        if added := [name for name in names if name not in there]:
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
            content = model.SerializeToString()
        opened, given, wanted = session(content, self._file), self.inputs[0].name, list(names)

        def run(inputs: NDArray[Any]) -> list[NDArray[Any]]:
            found: list[NDArray[Any]] = opened.run(wanted, {given: inputs})
            return found

        return run


def session(content: bytes, file: Path) -> Any:
    """Return a session with one thread for a program of ONNX; `file` is named if ONNX Runtime refuses it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised too
    try:
        # without the fallback, which prints what went wrong and tries the same again
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # classes of the compiled module
        version = onnxruntime.__version__
        raise SightsoundError(f"{file}: ONNX Runtime {version} cannot load it ({_reason(error)})") from error


def _tensors(found: Sequence[Any]) -> list[Tensor]:
    tensors = []
    for each in found:
        kind = each.type.removeprefix("tensor(").removesuffix(")") if each.type.startswith("tensor(") else ""
        if kind:  # the others are sequences and maps
            shape = tuple(axis if isinstance(axis, int) else None for axis in each.shape)
            tensors.append(Tensor(each.name, shape, _DTYPES.get(kind, kind)))
    return tensors


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without the number and the name of the error and the place in its source."""
    text = " ".join(str(error).split())
    return text.rpartition("[ONNXRuntimeError] : ")[2].partition(" : ")[2].partition(" : ")[2] or text


# -- what a file may need ----------------------------------------------------------------------------------------------


def _check_self_contained(file: Path, model: Any) -> None:
    """Raise `SightsoundError` for a network whose numbers or operators are elsewhere."""
    for tensor in _all_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            text = f"{file}: expected all numbers in the file, got tensor {tensor.name!r} in another"
            raise SightsoundError(f"{text}; write it as one, with onnx.save_model(onnx.load(FILE), NEW_FILE)")
    own = {function.domain for function in model.functions}
    for node in _all_nodes(model):
        if node.domain not in STANDARD | own or node.op_type in READS_FILES:
            name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            text = f"{file}: expected operators of ONNX, got {name}, which is in another library or reads files"
            raise SightsoundError(f"{text}; export the network with operators of ONNX alone")


def _graphs(model: Any) -> Iterator[Any]:
    """Yield the graph and the functions of a model, and the graphs inside of nodes."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _all_nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from graph.node


def _all_tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())  # a function has none
        sparse = list(getattr(graph, "sparse_initializer", ()))
        for node in graph.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)
