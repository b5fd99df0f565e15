"""Decoders of sound: libsndfile, ffmpeg for what libsndfile does not know, and arrays that need no decoding."""

from __future__ import annotations

import functools
import io
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import MediaError, NotMedia
from sightsound.media.ffmpeg import FFmpeg, NoTrack, is_available
from sightsound.media.kinds import Kind
from sightsound.media.safe_open import error_line
from sightsound.media.samples import scale_integers, to_float32

FRAMES_PER_READ = 2**15
"""Frames in one call of libsndfile. It limits how exactly the position of an error is known."""

_UNKNOWN_TO_LIBSNDFILE = {1, 18, 29}
"""Error codes of libsndfile: unknown format, unknown encoding of a known format, and (Ogg) unknown codec."""

_NOTHING_AFTER_HEADER = 7
"""Error code of libsndfile for a file that ends after its header; the text of libsndfile is misleading."""

_DTYPES = ("uint8", "int16", "int32", "float16", "float32", "float64")
"""Of samples in memory: those that a WAV has. The scale of NumPy's default integers, 64 bits, is unknown."""

_MAX_CHANNELS = 1024  # an array with more is probably transposed


class Decoder(Protocol):
    """Decodes one sound.

    Attributes
    ----------
    name : str
        The decoder: "libsndfile", "ffmpeg" or "arrays".
    sample_rate : int
        In Hz.
    channels : int
        Their number.
    format, subtype : str
        The container and the encoding.
    expects_frames : bool
        Whether the header announces any frames.
    announced : int
        Their number as far as the decoder knows it, else 0. It is not reliable.
    decoded : int
        Frames decoded so far.
    """

    name: str
    sample_rate: int
    channels: int
    format: str
    subtype: str
    expects_frames: bool
    announced: int
    decoded: int

    def blocks(self, size: int) -> Iterator[Floats]:
        """Yield float32 (n, channels), n about `size`."""

    def close(self) -> None:
        """Close what the decoder opened."""


class Libsndfile:
    """Decodes an open file, or the WAV in a pipe, by libsndfile. Raises the errors of soundfile.

    Parameters
    ----------
    file : io.FileIO
        Stays open when the decoder is closed.
    """

    name = "libsndfile"

    def __init__(self, file: io.FileIO) -> None:
        if file.seekable():
            file.seek(0)
        source = file.fileno() if os.name == "posix" else file  # two C runtimes on Windows share no descriptors
        self._file = _forward_only()(source, closefd=False)
        self.format: str = self._file.format
        self.subtype: str = self._file.subtype
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.announced: int = self._file.frames
        self.expects_frames: bool = self.announced > 0
        self.decoded = 0
        # libsndfile copies samples of 16 bits as they are, but is slow at scaling them; FLAC decodes to 32 bits
        is_plain = self.subtype == "PCM_16" and self.format != "FLAC"
        self._integers = np.empty((0, self.channels), np.int16) if is_plain else None

    def blocks(self, size: int) -> Iterator[Floats]:
        """Yield float32 (size, channels), the last one shorter."""
        if self._integers is not None:
            self._integers = np.empty((min(size, FRAMES_PER_READ), self.channels), np.int16)
        while True:
            block, n = np.empty((size, self.channels), np.float32), 0
            while n < size and (read := self._read(block[n : n + FRAMES_PER_READ])):
                n += read
                self.decoded += read
            if n:
                yield block[:n]
            if n < size:
                return

    def _read(self, out: Floats) -> int:
        """Fill the first rows of `out`, and return their number."""
        if self._integers is None:
            return len(self._file.read(out=out))
        read = len(self._file.read(out=self._integers[: len(out)]))
        scale_integers(self._integers[:read], out[:read])
        return read

    def close(self) -> None:
        """Close libsndfile's handle."""
        self._file.close()


class Arrays:
    """Yields arrays of a program as a decoder does.

    Parameters
    ----------
    arrays : iterable of ndarray
        (n,) or (n, channels), any n: floating-point numbers nominally from -1 to 1, or integers of 8 to 32 bits.
    sample_rate : int
        In Hz.

    Raises
    ------
    MediaError
        If an array has another shape or dtype; also in `blocks`.
    """

    name, format, subtype, expects_frames, announced = "arrays", "array", "", False, 0

    def __init__(self, arrays: Iterable[NDArray[Any]], sample_rate: int) -> None:
        self._arrays = iter(arrays)
        self._first = [_frames(array) for array in itertools.islice(self._arrays, 1)]
        self.sample_rate = int(sample_rate)
        self.channels = self._first[0].shape[1] if self._first else 1
        self.decoded = 0

    def blocks(self, size: int) -> Iterator[Floats]:
        """Yield float32 (n, channels), n at most `size`."""
        for block in itertools.chain(self._first, map(_frames, self._arrays)):
            if block.shape[1] != self.channels:
                raise MediaError(f"stream: expected {self.channels} channels, got {block.shape[1]}; keep to one number")
            for a in range(0, len(block), size):
                self.decoded += len(block[a : a + size])
                yield block[a : a + size].copy()  # the program may fill the same array again

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def open_decoder(name: str, file: io.FileIO, kind: Kind) -> Decoder:
    """Open a decoder for a file: libsndfile, or ffmpeg if libsndfile fails and ffmpeg knows the kind.

    Parameters
    ----------
    name : str
        The file in error messages.
    file : io.FileIO
        The open file.
    kind : Kind
        Its kind by the first bytes.

    Returns
    -------
    Decoder
        It has read the header.

    Raises
    ------
    NotMedia
        If it is a film without a sound track.
    MediaError
        If no installed decoder can read it.
    """
    from soundfile import SoundFileError

    try:
        return Libsndfile(file)
    except SoundFileError as error:
        code, why = getattr(error, "code", 0), error_reason(error)
        cause: Exception = error
    if kind.demuxer and is_available():
        try:
            return FFmpeg(file, kind)
        except NoTrack as error:
            raise NotMedia(f"{name}: {kind.name} without a sound track; leave it out") from error
        except Exception as error:  # PyAV's own errors, and Python's for unusual metadata
            why, cause = why if code not in _UNKNOWN_TO_LIBSNDFILE else error_reason(error), error
    elif kind.demuxer and code in _UNKNOWN_TO_LIBSNDFILE:
        next_step = "install sightsound[av] or convert it to WAV"
        raise MediaError(f"{name}: cannot read audio ({kind.name}); {next_step}") from cause
    raise MediaError(f"{name}: cannot read audio ({kind.name}), {why}; copy it anew, or convert it to WAV") from cause


def can_decode(file: io.FileIO, kind: Kind) -> bool:
    """Return whether a decoder finds sound in the file."""
    try:
        open_decoder("", file, kind).close()
    except MediaError:
        return False
    return True


def error_reason(error: Exception) -> str:
    """Return the text of a decoder's error without the name of the file and the error code."""
    if getattr(error, "code", None) == _NOTHING_AFTER_HEADER:
        return "nothing behind the header"
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None)
    return error_line(Exception(text) if text else error).removeprefix("Error : ").rstrip(".")


def _frames(array: NDArray[Any]) -> Floats:
    """Return an array of samples as float32 (n, channels)."""
    array = np.asarray(array)
    if array.ndim not in (1, 2) or array.dtype not in _DTYPES:
        what = f"expected samples (n,) or (n, channels), floats or 8 to 32 bits, got {array.dtype} {array.shape}"
        raise MediaError(f"stream: {what}; convert it to float32 between -1 and 1")
    if array.ndim == 2 and array.shape[1] > _MAX_CHANNELS:
        raise MediaError(f"stream: expected (n, channels), got {array.shape[1]} channels; transpose it")
    return to_float32(array if array.ndim == 2 else array[:, np.newaxis])


@functools.cache
def _forward_only() -> type[Any]:
    """Return soundfile's class without seeking.

    soundfile seeks to the current position after every read, which resets the decoder of MP3 and corrupts what follows
    (as of soundfile 0.14).
    """
    import soundfile

    class ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return ForwardOnly
