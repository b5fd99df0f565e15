"""The formats `caffe` and `darknet` of `sightsound import-model`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.plugin import Card, Embedder, ModelSettings, SightsoundError
from sightsound_opencv.plan import width


class OpenCVImporter:
    """Makes models of networks that OpenCV reads.

    Parameters
    ----------
    name : str
        The name of the format.
    suffixes : tuple of str
        The ends of the names of the weights and of the layers.
    """

    def __init__(self, name: str, suffixes: tuple[str, ...]) -> None:
        self.name, self.suffixes = name, suffixes

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of a network in two files.

        The embedding is the layer that the settings name, else the one in front of the last layer with weights. The
        mean over its positions is the row.

        Raises
        ------
        SightsoundError
            If the files are damaged, or do not fit one another or the settings.
        """
        from sightsound_opencv.network import Network
        from sightsound_opencv.trial import try_apart

        network = Network(files)
        shape = _input_shape(settings, network.shape)
        try_apart(files, shape)
        shapes = network.open(shape)
        embedding, output = settings.embedding or network.features, ""
        layer = network.layer(embedding)
        _require(layer in shapes, settings, "embedding", embedding, shapes)
        if settings.labels:
            output = settings.output or network.ends[0]
            _require(network.layer(output) in shapes, settings, "output", output, shapes)
            if not settings.output and len(network.ends) > 1:
                raise SightsoundError(f"{settings.name}: output: expected one of {', '.join(network.ends)}; name it")
        dim = width(shapes[layer], "avg")
        return settings.card(
            dim=dim,
            input_shape=shape,
            layout="nchw",
            score_count=width(shapes[network.layer(output)], "flat") if output else None,
            constants={
                "format": self.name,
                "layers": [{"name": embedding, "dim": dim, "axis": 0}],
                "pool": "avg",
                "output": output,
            },
        )

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder; it runs on the CPU whatever `device` is."""
        from sightsound_opencv.embedder import OpenCVEmbedder

        return OpenCVEmbedder(card, list(weights.values()))


def _input_shape(settings: ModelSettings, said: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Return the shape of the input, of the settings or as the file says."""
    if settings.kind != "image" or settings.layout == "nhwc":
        got = "sound" if settings.kind != "image" else "the layout nhwc"
        raise SightsoundError(f"{settings.name}: expected images in the layout nchw, got {got}; leave it out")
    size = settings.size or (said and said[1:])
    if not size:
        raise SightsoundError(f"{settings.name}: size: expected pixels, which the file does not say; give --size")
    shape = settings.image_shape("nchw", size)
    if said and said[0] != shape[0]:
        wanted = {1: "gray", 3: "rgb or bgr"}.get(said[0], f"{said[0]} channels, which images do not have")
        raise SightsoundError(f"{settings.name}: channels: expected {wanted}, got {settings.channels}; give --channels")
    return shape


def _require(holds: bool, settings: ModelSettings, field: str, name: str, shapes: Mapping[str, object]) -> None:
    if not holds:
        similar = difflib.get_close_matches(name, shapes, 3, 0.3) or list(shapes)[-3:]
        expected = f"a layer such as {', '.join(similar)}"
        raise SightsoundError(f"{settings.name}: {field}: expected {expected}, got {name!r}; give --{field}")
