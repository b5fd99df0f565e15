"""Networks of Keras as modules of torch: what becomes an embedding, and what the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightsound.plugin import SightsoundError
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
            outputs = [model.get_layer(layer.name).output for layer in plan.layers]
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
            found: Sequence[Tensor] = self._model[0](inputs, training=self.training)
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


def output_of(model: Any, name: str) -> Any:
    """Return the output of a layer, or the only output of the network for no name.

    Raises `SightsoundError` if there is no such layer, or not one output.
    """
    if not name:
        if len(model.outputs) != 1:
            last, count = ", ".join(layer.name for layer in model.layers[-5:]), len(model.outputs)
            raise SightsoundError(f"network {model.name}: expected one output, got {count}; name a layer ({last})")
        return model.outputs[0]
    names = [layer.name for layer in model.layers]
    if name not in names:
        last = ", ".join(names[-5:])
        raise SightsoundError(f"network {model.name}: expected the name of a layer, got {name!r}; the last are {last}")
    found = model.get_layer(name).output
    if not hasattr(found, "shape") or len(found.shape) < 2:
        raise SightsoundError(f"layer {name}: expected one output (n, ...), got {found}; name another layer")
    return found


def embedding_of(model: Any, constants: Mapping[str, Any]) -> Any:
    """Return what becomes the embedding: the output of a layer, or the input of the classifier."""
    return classifier(model).input if constants["of"] == "input" else output_of(model, constants["embedding"])


def classifier(model: Any) -> Any:
    """Return the last dense or convolutional layer, which makes scores of features.

    Raises `SightsoundError` if there is none with features before it.
    """
    last: Any = next((layer for layer in reversed(model.layers) if layer.weights), None)
    if last is None or not hasattr(last, "kernel") or any(last.input is given for given in model.inputs):
        what = "none" if last is None else f"{last.name} ({type(last).__name__})"
        raise SightsoundError(
            f"network {model.name}: expected a dense or convolutional layer after others at its end, got {what}; "
            "name the layer of the embedding (--embedding)"
        )
    return last
