"""The sound of files that libsndfile does not know, by PyAV (extra `av`): MPEG-4, Matroska, Windows Media and such."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound.media.channels import Floats, scaled
from sightsound.media.kinds import Kind


def available() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


class FFmpeg:
    """Decodes the first sound track of an open file; same attributes as `sounds.Libsndfile`.

    Only the demuxer of the file's own kind may run: none that opens other files by name. Rate and channels are those
    of the first decoded frame, since an AAC header may tell half the rate. Raises `NoTrack`, or what PyAV raises.
    """

    def __init__(self, file: io.FileIO, kind: Kind) -> None:
        import av

        file.seek(0)
        self._container: Any = av.open(file, format=kind.demuxer, metadata_errors="replace")
        try:
            self._start(kind)
        except BaseException:
            self._container.close()
            raise

    def _start(self, kind: Kind) -> None:
        if not self._container.streams.audio:
            raise NoTrack("no sound track in it")
        stream = self._container.streams.audio[0]
        self._frames: Iterator[Any] = self._container.decode(stream)
        first = next(self._frames, None)
        if first is not None:
            self._frames = itertools.chain([first], self._frames)
        self.format = kind.name
        self.subtype = str(stream.codec_context.name)
        self.sample_rate = int((first or stream.codec_context).sample_rate)
        self.channels = int((first or stream.codec_context).layout.nb_channels)
        self.promised = bool(stream.duration or self._container.duration)
        self.decoded = 0

    def blocks(self, size: int) -> Iterator[Floats]:
        held: list[Floats] = []
        for frame in self._frames:
            if frame.sample_rate != self.sample_rate:
                raise ValueError(f"the sample rate changes from {self.sample_rate} to {frame.sample_rate} Hz")
            held.append(_samples(frame))
            self.decoded += len(held[-1])
            if sum(map(len, held)) >= size:
                yield np.concatenate(held)
                held = []
        if held:
            yield np.concatenate(held)

    def close(self) -> None:
        self._container.close()


class NoTrack(Exception):
    """A film without sound."""


def _samples(frame: Any) -> Floats:
    """(n, channels)"""
    values = frame.to_ndarray()
    return scaled(values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels))
