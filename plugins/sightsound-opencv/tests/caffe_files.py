"""Writes .caffemodel files: protobuf's wire format, in the two forms that Caffe has had for a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

LAYER, LAYER_OF_V1 = 100, 2
"""The fields of a network for a layer, today and until 2014."""


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, *, old: bool = False) -> bytes:
    """A tensor; before 2014 it had four axes in fields of their own."""
    data = field(5, np.ascontiguousarray(values, "<f4").tobytes())
    if old:
        shape = (1,) * (4 - values.ndim) + values.shape
        return b"".join(varint(number << 3) + varint(side) for number, side in enumerate(shape, 1)) + data
    return field(7, field(1, b"".join(map(varint, values.shape)))) + data


def write_caffemodel(file: Path, layers: Mapping[str, Sequence[np.ndarray]], types: Mapping[str, str]) -> Path:
    """Write the tensors of layers; `types` has the type of each, such as Convolution."""
    network = field(1, b"test")
    for name, tensors in layers.items():
        blobs = b"".join(field(7, blob(np.asarray(each))) for each in tensors)
        network += field(LAYER, field(1, name.encode()) + field(2, types[name].encode()) + blobs)
    file.write_bytes(network)
    return file


TYPES_OF_V1 = {"Convolution": 4, "InnerProduct": 14}


def write_old_caffemodel(file: Path, layers: Mapping[str, Sequence[np.ndarray]], types: Mapping[str, str]) -> Path:
    """The same in the format of 2013."""
    network = field(1, b"test")
    for name, tensors in layers.items():
        blobs = b"".join(field(6, blob(np.asarray(each), old=True)) for each in tensors)
        kind = varint(5 << 3) + varint(TYPES_OF_V1[types[name]])
        network += field(LAYER_OF_V1, field(4, name.encode()) + kind + blobs)
    file.write_bytes(network)
    return file
