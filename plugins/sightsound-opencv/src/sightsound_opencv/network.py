"""A network that OpenCV runs, with the checks that OpenCV leaves out. Importing this module does not import OpenCV."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.plugin import Floats, SightsoundError
from sightsound_opencv.caffe import Caffe
from sightsound_opencv.darknet import Darknet

LARGEST = 2**28
"""Numbers that a layer may give for one image, 1 GiB: more is taken for a damaged file."""


class Network:
    """A network in two files. Several threads may run it at once.

    Parameters
    ----------
    files : sequence of pathlib.Path
        The layers and the weights: .prototxt and .caffemodel, or .cfg and .weights.

    Raises
    ------
    SightsoundError
        If a file is missing, or if the layers cannot be read.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        suffixes = {file.suffix.lower(): file for file in files}
        kind = Darknet if set(suffixes) & set(Darknet.suffixes) else Caffe
        if set(suffixes) != set(kind.suffixes):
            got = ", ".join(file.name for file in files)
            raise SightsoundError(f"{kind.__name__}: expected two files, {' and '.join(kind.suffixes)}, got {got}")
        self._weights, self._definition = (suffixes[suffix] for suffix in kind.suffixes)
        try:
            self._layers: Caffe | Darknet = kind(self._definition.read_bytes().decode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            text = f"{self._definition.name}: cannot be read as layers of {kind.__name__} ({error})"
            raise SightsoundError(f"{text}; is it complete?") from None
        self._free: list[Any] = []
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of the input; None if the file does not say them."""
        return self._layers.shape

    def open(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Read the weights, run the network once, and return the shape of the output of each layer for one image.

        Parameters
        ----------
        shape : sequence of int
            Channels, height and width of the input.

        Raises
        ------
        SightsoundError
            If the files are damaged, or do not fit one another or the input.

        Returns
        -------
        dict of str to tuple of int
            Without the batch axis, in the order of the network.
        """
        with self._errors(damaged=True):
            if math.prod(shape) > LARGEST:
                raise ValueError(f"expected an input of at most {LARGEST} numbers, got {tuple(shape)}")
            net = self._new()
            self._layers.check_layers(net, {})
            names = net.getLayerNames()
            _, inputs, outputs = net.getLayersShapes((1, *shape))
            found = {name: tuple(map(int, of[0])) for name, of in zip(names, outputs[1:])}
            for name, sides in found.items():
                if math.prod(sides) > LARGEST:
                    raise ValueError(f"layer {name}: expected at most {LARGEST} numbers, got {sides}")
            self._layers.check_layers(net, {name: tuple(map(int, of[0])) for name, of in zip(names, inputs[1:])})
        self._free.append(net)
        self.run(np.zeros((1, *shape), np.float32), [names[-1]])
        return {name: sides[1:] for name, sides in found.items()}

    def layer(self, name: str) -> str:
        """Return what OpenCV calls a layer, or the output of a layer, of this name."""
        return self._layers.layer(name)

    @cached_property
    def features(self) -> str:
        """The layer whose output goes into the last layer with weights. `open` must have been called."""
        names, types = self._free[-1].getLayerNames(), ("Convolution", "InnerProduct")
        weighted = [place for place, name in enumerate(names) if self._free[-1].getLayer(name).type in types]
        before = names[weighted[-1] - 1] if weighted and weighted[-1] else names[-1]
        return self._layers.features or str(before)

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The layers whose output no other layer takes. `open` must have been called."""
        return tuple(self._free[-1].getUnconnectedOutLayersNames())

    def run(self, inputs: Floats, names: Sequence[str]) -> Mapping[str, Floats]:
        """Return the output of some layers for inputs (n, channels, height, width).

        Raises `MemoryError` if they do not fit into memory, and `SightsoundError` if the network cannot take them.
        """
        wanted = list(dict.fromkeys(names))
        with self._lock:
            net = self._free.pop() if self._free else None
        with self._errors():
            net = self._new() if net is None else net
            net.setInput(np.ascontiguousarray(inputs))
            outputs = net.forward(wanted)
        with self._lock:  # a network of which a pass failed is not used again
            self._free.append(net)
        return {name: np.array(output, np.float32) for name, output in zip(wanted, outputs)}

    def _new(self) -> Any:
        """Return the network as OpenCV reads it, with every layer by itself.

        OpenCV joins layers otherwise, and then gives for one that was joined what happened to be in memory.
        """
        data = self._weights.read_bytes()
        self._layers.check_size(data)
        read = getattr(opencv().dnn, self._layers.reader)
        net = read(np.frombuffer(self._definition.read_bytes(), np.uint8), np.frombuffer(data, np.uint8))
        net.enableFusion(False)
        return net

    @contextlib.contextmanager
    def _errors(self, *, damaged: bool = False) -> Iterator[None]:
        """Turn what is wrong with the files into one line. If they may be, too little memory is a sign of it."""
        try:
            yield
        except (opencv().error, OSError, ValueError) as error:
            if not damaged and getattr(error, "code", None) == opencv().Error.StsNoMem:
                raise MemoryError(" ".join(str(error).split())) from None
            reason = " ".join(str(getattr(error, "err", None) or error).replace("\n> ", " ").lstrip("> ").split())
            text = f"{self._weights.name}: expected the weights of {self._definition.name} ({reason})"
            raise SightsoundError(f"{text}; give two complete files of one network") from error


def opencv() -> Any:
    """Import OpenCV, which computes in the thread that calls it, and prints nothing."""
    import cv2

    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
