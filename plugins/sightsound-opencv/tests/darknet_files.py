"""Writes .weights files of Darknet: a header, and the float32 of each layer in the order of the .cfg file."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HEADERS = {
    "0.1": struct.pack("<4i", 0, 1, 0, 32),  # images seen as int32
    "0.2": struct.pack("<3iq", 0, 2, 0, 32),  # as int64
}


def write_weights(file: Path, tensors: Sequence[np.ndarray], version: str = "0.2") -> Path:
    """Of a convolution: biases, with batch norm scales, means and variances, and the kernels."""
    numbers = [np.ascontiguousarray(each, "<f4").tobytes() for each in tensors]
    file.write_bytes(HEADERS[version] + b"".join(numbers))
    return file
