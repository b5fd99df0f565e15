"""Sound of files that libsndfile does not know, by PyAV (extra `av`): MPEG-4, Matroska, Windows Media and others."""

from __future__ import annotations

import errno
import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.media.kinds import Kind
from sightsound.media.samples import to_float32

_SEEKS = 100_000
"""The most positions that may be sought while a file is opened."""


def is_available() -> bool:
    """Return whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


class NoTrack(Exception):
    """The file has no sound track."""


class _Source:
    """A file whose `seek` returns a negative number on failure, as ffmpeg expects.

    PyAV prints an exception of `seek` with its traceback to standard error. Damaged files cause them by
    positions that no file can have. A file that takes more than `_SEEKS` to be opened seems to end: one of zeros, with
    the first bytes of a WAV file, has millions of empty chunks.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.name = file.name
        self.tell = file.tell
        self.seeks, self.is_opening = 0, True

    def read(self, size: int) -> bytes:
        return b"" if self._is_given_up() else self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.seeks += 1
        if self._is_given_up():
            return -errno.EIO
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def _is_given_up(self) -> bool:
        return self.is_opening and self.seeks > _SEEKS


class FFmpeg:
    """Decodes the first sound track of a file; a `decoders.Decoder`.

    Only the demuxer of the file's own kind is allowed, because others can open further files by name. Sample rate and
    channels are those of the first decoded frame, since the header of an AAC file may state half the rate.

    Parameters
    ----------
    file : io.FileIO
        The open file.
    kind : Kind
        Its kind.

    Raises
    ------
    NoTrack
        If it has no sound track.
    Exception
        What PyAV raises.
    """

    name = "ffmpeg"

    def __init__(self, file: io.FileIO, kind: Kind) -> None:
        import av

        file.seek(0)
        source = _Source(file)
        self._container: Any = av.open(source, format=kind.demuxer, metadata_errors="replace")
        source.is_opening = False
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
        self.expects_frames = bool(stream.duration or self._container.duration)
        only = len(self._container.streams) == 1  # the duration of a film is that of its longest track
        self.announced = int((self._container.duration or 0) / 1e6 * self.sample_rate) if only else 0
        self.decoded = 0

    def blocks(self, size: int) -> Iterator[Floats]:
        """Yield float32 (n, channels), n about `size`."""
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
        """Close the container."""
        self._container.close()


def _samples(frame: Any) -> Floats:
    """Return the samples of a frame of PyAV, (n, channels)."""
    values = frame.to_ndarray()
    return to_float32(values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels))
