"""Networks of Keras as modules of torch: what becomes an embedding, and what the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightsound.plugin import SightsoundError
from sightsound_keras.architecture import plain_name
from sightsound_keras.backend import import_keras

if TYPE_CHECKING:
    from sightsound.torch.layers import Plan


class KerasNetwork(nn.Module):
    """A network of Keras that returns embeddings, or embeddings and scores.

    Its parameters are those of Keras, under Keras's paths; so what changes them here changes the network.

    Parameters
    ----------
    model : keras.Model
        A functional or sequential network.
    constants : mapping
        The constants of its card: `embedding`, `of`, `output`, `logits`, `layout`.
    scores : {"softmax", "sigmoid"} or None
        What the scores are; None for none.
    plan : Plan, optional
        Layers to take rows from, instead of the embedding.
    """

    def __init__(self, model: Any, constants: Mapping[str, Any], scores: str | None, plan: Plan | None = None) -> None:
        super().__init__()
        model.trainable = True
        if plan:
            outputs = [output_of(model, layer.name) for layer in plan.layers]
        else:
            outputs = [embedding_of(model, constants)]
            outputs += [output_of(model, constants["output"])] if scores else []
        self._model = (import_keras().Model(model.inputs, outputs),)  # in a tuple, so that it is no submodule
        self._plan, self._scores, self._logits = plan, scores, constants["logits"]
        self._first = constants.get("layout") == "nchw"
        for variable in model.weights:
            name, number = variable.path.replace(".", "_"), 1
            while name in self._parameters:
                number += 1
                name = f"{variable.path.replace('.', '_')}_{number}"
            self.register_parameter(name, variable.value)

    def forward(self, inputs: Tensor) -> Any:
        """Return embeddings (n, dim), or embeddings and scores (n, classes), for inputs (n, *input_shape)."""
        with import_keras().device(str(inputs.device)):
            found: Any = self._model[0](inputs, training=self.training)
        found = found if isinstance(found, list | tuple) else [found]
        if self._plan:
            return torch.cat([self._plan.rows(layer, row) for layer, row in zip(self._plan.layers, found)], dim=1)
        rows = pooled(found[0], self._first)
        if not self._scores:
            return rows
        scores = found[1].flatten(1).float()
        if self._logits:
            scores = scores.softmax(1) if self._scores == "softmax" else scores.sigmoid()
        return rows, scores


def pooled(values: Tensor, channels_first: bool) -> Tensor:
    """Return float (n, channels): the mean over the positions of (n, positions..., channels), or channels first."""
    values = values.float()
    if values.ndim == 2:
        return values
    return values.flatten(2).mean(2) if channels_first else values.flatten(1, -2).mean(1)


def dim_of(shape: Sequence[int | None], channels_first: bool) -> int | None:
    """Return the length of the embedding for the shape of an output (n, ...), None if unknown."""
    return shape[1 if channels_first or len(shape) == 2 else -1]


def nodes_of(model: Any) -> dict[str, Any]:
    """Return the last call of each layer by the layer's name, in the order of computation.

    Parameters
    ----------
    model : keras.Model
        A functional or sequential network. Networks in it count as one layer.

    Returns
    -------
    dict of str to node
        A node of Keras has an `operation`, `input_tensors` and `output_tensors`.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting = [(_node(tensor), False) for tensor in reversed(model.outputs)]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            found.pop(node.operation.name, None)
            found[node.operation.name] = node
        elif id(node) not in seen:
            seen.add(id(node))
            waiting.append((node, True))
            waiting += [(_node(tensor), False) for tensor in reversed(node.input_tensors)]
    return found


def output_of(model: Any, name: str) -> Any:
    """Return the output of a layer, or the only output of the network for no name.

    Raises `SightsoundError` if there is no such layer, or not one output.
    """
    nodes, name = nodes_of(model), plain_name(name)
    last = ", ".join([*nodes][-5:])
    if not name and len(model.outputs) == 1:
        return model.outputs[0]
    if name not in nodes:
        got = repr(name) if name else f"{len(model.outputs)} outputs"
        raise SightsoundError(f"network {model.name}: expected the name of a layer, got {got}; the last are {last}")
    outputs = nodes[name].output_tensors
    if len(outputs) != 1 or len(outputs[0].shape) < 2:
        shapes = ", ".join(str(tensor.shape) for tensor in outputs)
        raise SightsoundError(f"layer {name}: expected one output (n, ...), got {shapes}; name one of {last}")
    return outputs[0]


def embedding_of(model: Any, constants: Mapping[str, Any]) -> Any:
    """Return what becomes the embedding: the output of a layer, or the input of the classifier.

    The classifier is the last layer with weights. Raises `SightsoundError` if that is no dense or convolutional layer
    after others, or as `output_of` does.
    """
    if constants["of"] == "output":
        return output_of(model, constants["embedding"])
    nodes = nodes_of(model)
    last = next((node for node in reversed(nodes.values()) if getattr(node.operation, "weights", ())), None)
    if last is None or not hasattr(last.operation, "kernel") or _node(last.input_tensors[0]).is_input:
        got = "none" if last is None else f"{last.operation.name} ({type(last.operation).__name__})"
        raise SightsoundError(
            f"network {model.name}: expected a dense or convolutional layer after others at its end, got {got}; "
            f"name the layer of the embedding (--embedding), such as one of {', '.join([*nodes][-5:])}"
        )
    return last.input_tensors[0]


def _node(tensor: Any) -> Any:
    """Return the call that gave a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]
