"""Networks of Caffe: the layers in a .prototxt file, their numbers in a .caffemodel file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sightsound_opencv.prototxt import Message, parse

_PARAMETERS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
}
"""Types of layers with weights and biases, and the field with their settings."""

_OLD_TYPES = ("CONVOLUTION", "DECONVOLUTION", "INNER_PRODUCT")
"""What they were called until 2014."""

_PER_CHANNEL = {"BatchNorm": 0, "Scale": 0, "PReLU": 1}
"""Types of layers with tensors of one number for each channel, and another size that they may have."""


class Caffe:
    """The layers of a network, as its .prototxt file says.

    Parameters
    ----------
    text : str
        The file.

    Raises
    ------
    ValueError
        If it is not in the format of Caffe.

    Attributes
    ----------
    shape : tuple of int or None
        Channels, height and width of the input; None if the file does not say them.
    features : str
        The layer whose output goes into the last layer with weights; "" if there is no such layer.
    """

    reader = "readNetFromCaffe"
    suffixes = (".caffemodel", ".prototxt")

    def __init__(self, text: str) -> None:
        self._network = parse(text)
        self._layers: list[Message] = [
            each
            for each in self._network.get("layer", []) + self._network.get("layers", [])
            if isinstance(each, dict) and "TRAIN" not in [phase for rule in _all(each, "include") for phase in rule]
        ]
        if not self._layers:
            raise ValueError("expected layers of Caffe, got none")
        for layer in self._layers:
            for settings in (each for values in layer.values() for each in values if isinstance(each, dict)):
                for name in ("num_output", "group"):
                    if name in settings and not _number(settings, name, 0):  # OpenCV divides by it
                        got = f"layer {_first(layer, 'name')}: {name}: expected 1 or more, got {_first(settings, name)}"
                        raise ValueError(got)
        self.shape = self._shape()
        weighted = [each for each in self._layers if _first(each, "type") in (*_PARAMETERS, *_OLD_TYPES)]
        self.features = self.layer(_first(weighted[-1], "bottom")) if weighted else ""

    def layer(self, name: str) -> str:
        """Return the layer whose output Caffe would call `name`: the last that writes it, or the layer of that name."""
        writers = [_first(each, "name") for each in self._layers if name in each.get("top", [])]
        return writers[-1] if writers else name

    def check_size(self, data: bytes) -> None:
        """Do nothing: OpenCV finds out whether a .caffemodel file is complete."""

    def check_layers(self, net: Any, inputs: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `ValueError` if a layer has other tensors than it needs.

        OpenCV accepts several such: it does without a bias, takes a convolution with fewer input channels than there
        are for one in groups, and reads behind the end of a batch norm with fewer channels.

        Parameters
        ----------
        net : cv2.dnn.Net
            The network as OpenCV has read it.
        inputs : mapping of str to tuple of int
            The shape of the input of each layer, with the batch axis. If it is empty, only the number of tensors is
            checked.
        """
        settings = {_first(each, "name"): each for each in self._layers}
        for name in net.getLayerNames():
            layer = net.getLayer(name)
            shapes = [tuple(tensor.shape) for tensor in layer.blobs]
            if layer.type in _PARAMETERS:
                own: Message = next(iter(_messages(settings.get(name, {}), _PARAMETERS[layer.type])), {})
                wanted = 1 + (_first(own, "bias_term") != "false")
                if len(shapes) != wanted:
                    raise ValueError(f"layer {name}: expected {wanted} tensors, got {len(shapes)}")
                if inputs:
                    _check_shapes(name, shapes, layer.type, own, inputs[name])
            elif shapes and layer.type not in _PER_CHANNEL:
                raise ValueError(f"layer {name}: expected a layer without weights, got {layer.type}")
            elif shapes and inputs:
                counts = [math.prod(shape) for shape in shapes[:2]]
                if any(count not in (inputs[name][1], _PER_CHANNEL[layer.type]) for count in counts):
                    raise ValueError(f"layer {name}: expected {inputs[name][1]} channels, got {counts}")

    def _shape(self) -> tuple[int, int, int] | None:
        """Return the shape of the input: of `input_dim`, of `input_shape`, or of an Input layer."""
        sources = [self._network.get("input_dim", [])]
        sources += [each.get("dim", []) for each in _messages(self._network, "input_shape")]
        for layer in self._layers:
            for settings in _messages(layer, "input_param"):
                sources += [each.get("dim", []) for each in _messages(settings, "shape")]
        for sides in sources:
            if sides:
                numbers = [int(side) if str(side).isdecimal() else 0 for side in sides]
                if len(numbers) != 4 or min(numbers[1:]) < 1:
                    raise ValueError(f"expected an input of 4 sides (images, channels, height, width), got {sides}")
                return numbers[1], numbers[2], numbers[3]
        return None


def _check_shapes(
    name: str, shapes: Sequence[tuple[int, ...]], kind: str, settings: Message, given: tuple[int, ...]
) -> None:
    """Raise `ValueError` if weights and biases do not fit the layer and its input."""
    outputs, groups = _number(settings, "num_output", 0), _number(settings, "group", 1)
    expected = (outputs, given[1] // groups)
    if kind == "InnerProduct":
        expected = (outputs, math.prod(given[_number(settings, "axis", 1) :]))
    elif kind == "Deconvolution":
        expected = (given[1], outputs // groups)
    if shapes[0][:2] != expected:
        raise ValueError(f"layer {name}: expected weights {expected}, got {shapes[0][:2]}")
    if any(math.prod(shape) != outputs for shape in shapes[1:]):
        raise ValueError(f"layer {name}: expected {outputs} biases, got {math.prod(shapes[1])}")


def _messages(message: Message, field: str) -> list[Message]:
    return [each for each in message.get(field, []) if isinstance(each, dict)]


def _all(message: Message, field: str) -> list[list[Any]]:
    """Return the values of `phase` in each message of a field."""
    return [each.get("phase", []) for each in _messages(message, field)]


def _first(message: Message, field: str) -> str:
    return str(message.get(field, [""])[0])


def _number(message: Message, field: str, default: int) -> int:
    text = _first(message, field)
    return int(text) if text.isdecimal() and int(text) > 0 else default
