"""Networks of Darknet: the layers in a .cfg file, their numbers in a .weights file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

Shape = tuple[int, int, int]
"""Channels, height and width."""

_SAME = ("softmax", "dropout", "shortcut", "scale_channels", "sam", "yolo", "region", "cost")
"""Layers whose output has the shape of their input."""

_LARGEST = 2**24
"""The largest setting that is taken for one: OpenCV computes with 32 bits."""


class Darknet:
    """The layers of a network, as its .cfg file says.

    Parameters
    ----------
    text : str
        The file.

    Raises
    ------
    ValueError
        If it is not in the format of Darknet, or if OpenCV does not have one of its layers.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of the input.
    features : str
        "", for the layer in front of the last one with weights.
    floats : int
        How many numbers the layers have.
    """

    reader = "readNetFromDarknet"
    suffixes = (".weights", ".cfg")
    features = ""

    def __init__(self, text: str) -> None:
        (kind, settings), *layers = _sections(text)
        if kind not in ("net", "network"):
            raise ValueError(f"expected a section [net] first, got [{kind}]")
        self.shape: Shape = (_int(settings, "channels", 3), _int(settings, "height", 0), _int(settings, "width", 0))
        if min(self.shape) < 1 or not layers:
            raise ValueError("expected width and height over 0, and layers")
        self.floats = 0
        shapes: list[Shape] = []
        for kind, settings in layers:
            shape, floats = _layer(kind, settings, shapes[-1] if shapes else self.shape, shapes)
            if min(shape) < 1:
                raise ValueError(f"layer {len(shapes)} [{kind}]: expected an output, got {shape}")
            self.floats += floats
            shapes.append(shape)

    def layer(self, name: str) -> str:
        """Return `name`: layers are called as OpenCV calls them, by kind and number: `conv_0`, `pool_1`."""
        return name

    def check_size(self, data: bytes) -> None:
        """Raise `ValueError` if a .weights file has not as many numbers as the layers have.

        OpenCV does not look: it leaves the numbers that are missing as they were in memory. In front of the numbers
        there is a header: three int32 for the version, and how many images were seen, int64 from version 0.2 on.
        """
        if len(data) < 16:
            raise ValueError(f"expected a header of Darknet, got {len(data)} bytes")
        major, minor = struct.unpack("<2i", data[:8])
        if not (0 <= major <= 1000 and 0 <= minor <= 1000):
            raise ValueError("expected a header of Darknet with weights that are not transposed")
        expected = (20 if major * 10 + minor >= 2 else 16) + 4 * self.floats
        if len(data) != expected:
            raise ValueError(f"expected {expected} bytes for {self.floats} numbers of the layers, got {len(data)}")

    def check_layers(self, net: Any, inputs: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `ValueError` if OpenCV has read another number of numbers than the file has."""
        read = sum(tensor.size for name in net.getLayerNames() for tensor in net.getLayer(name).blobs)
        if read != self.floats:
            raise ValueError(f"expected layers with {self.floats} numbers, got {read} in OpenCV")


def _sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the name and the settings of each section in order."""
    found: list[tuple[str, dict[str, str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].partition(";")[0].strip()
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            found.append((line[1:-1].strip(), {}))
        elif line and not (equals and found):
            raise ValueError(f"line {number}: expected [layer] or setting=value, got {line[:40]!r}")
        elif line:
            found[-1][1][key.strip()] = value.strip()
    if not found:
        raise ValueError("expected sections of Darknet, got none")
    return found


def _int(settings: Mapping[str, str], name: str, default: int) -> int:
    try:
        number = int(settings.get(name, default))
    except ValueError:
        raise ValueError(f"{name}: expected a whole number, got {settings[name]!r}") from None
    if abs(number) > _LARGEST:
        raise ValueError(f"{name}: expected a number up to {_LARGEST}, got {number}")
    return number


def _layer(kind: str, settings: Mapping[str, str], before: Shape, shapes: Sequence[Shape]) -> tuple[Shape, int]:
    """Return the shape of the output of a layer, and how many numbers it has in the file."""
    channels, height, width = before
    stride = max(1, _int(settings, "stride", 1))
    if kind == "convolutional":
        return _convolution(settings, before, stride)
    if kind == "connected":
        outputs, inputs = _int(settings, "output", 1), channels * height * width
        return (outputs, 1, 1), outputs * (inputs + 1 + 3 * bool(_int(settings, "batch_normalize", 0)))
    if kind == "maxpool":
        size = _int(settings, "size", stride)
        padding = _int(settings, "padding", size - 1)
        if not 1 <= size <= 2 * max(height, width) or padding < 0:
            raise ValueError(f"layer {len(shapes)} [maxpool]: expected windows inside {height} x {width}, got {size}")
        return (channels, (height + padding - size) // stride + 1, (width + padding - size) // stride + 1), 0
    if kind == "avgpool":
        return (channels, 1, 1), 0
    if kind == "upsample":
        stride = _int(settings, "stride", 2)
        return (channels, height * stride, width * stride), 0
    if kind == "reorg":
        return (channels * stride * stride, height // stride, width // stride), 0
    if kind == "route":
        return _route(settings, shapes), 0
    if kind in _SAME:
        return before, 0
    raise ValueError(f"layer {len(shapes)}: expected a kind that OpenCV has, got [{kind}]")


def _convolution(settings: Mapping[str, str], before: Shape, stride: int) -> tuple[Shape, int]:
    channels, height, width = before
    filters, size = _int(settings, "filters", 1), _int(settings, "size", 1)
    groups = _int(settings, "groups", 1)
    if min(filters, size, groups) < 1 or channels % groups or filters % groups:
        raise ValueError(f"filters {filters}, size {size}, groups {groups}: expected to fit {channels} channels")
    padding = size // 2 if _int(settings, "pad", 0) else _int(settings, "padding", 0)
    sides = [(side + 2 * padding - size) // stride + 1 for side in (height, width)]
    biases = filters * (4 if _int(settings, "batch_normalize", 0) else 1)
    return (filters, sides[0], sides[1]), biases + filters * channels // groups * size * size


def _route(settings: Mapping[str, str], shapes: Sequence[Shape]) -> Shape:
    """Return the shape of several outputs, one behind another, or of a part of their channels."""
    try:
        numbers = [int(part) for part in settings.get("layers", "").split(",")]
        places = [number + len(shapes) if number < 0 else number for number in numbers]
        parts = [shapes[place] if place >= 0 else shapes[len(shapes)] for place in places]
    except (ValueError, IndexError):
        raise ValueError(
            f"layer {len(shapes)} [route]: expected earlier layers, got {settings.get('layers')}"
        ) from None
    return sum(part[0] for part in parts) // max(1, _int(settings, "groups", 1)), parts[0][1], parts[0][2]
