"""Sounds, by libsndfile, and by ffmpeg where that does not know the format: float32 mono at the rate that is asked for.

A recording passes through in pieces, so its length does not matter to the memory; the pieces joined are bit for bit
what decoding and resampling it in one go gives.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import MediaError, NotMedia
from sightsound.contract.paths import printable
from sightsound.media.channels import Floats, mono, resampled, scaled
from sightsound.media.ffmpeg import FFmpeg, NoTrack, available
from sightsound.media.kinds import HEAD, Kind, known
from sightsound.media.safe_open import error_line, open_file

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Sample rates in Hz that are believed: from the slowest loggers to eight times DVD audio."""

_BLOCK = 2**18
"""Samples in a piece, before and after resampling: six seconds of CD."""

_VALUES = 2**22
"""Samples in a block over all channels, for files with very many of them."""

_STEP = 2**14
"""Frames in one call of the decoder: how exactly we can say where it failed."""

_LOUDEST = 1e15
"""Samples from here on count as infinite: their squares, summed over a window, come near the end of float32."""

_NO_FORMAT = {1, 18, 29}
"""Errors of libsndfile that mean: not my format, my format with an unknown encoding, and (Ogg) an unknown codec."""

_NOTHING_BEHIND = 7
"""What libsndfile answers, in words that mislead, where a header is all there is."""


def open_sound(path: str | os.PathLike[str]) -> Sound:
    """A sound, header read, nothing decoded yet; a context manager.

    Raises `NotMedia` for what is no sound that we know or has no sound track, `MediaError` for what cannot be opened,
    what no installed decoder reads (the text says what to install) and sample rates that nobody records at.
    """
    file = open_file(path)
    try:
        kind = known(file.read(HEAD))
        if kind is None or kind.modality != "sound":
            what = f"{kind.name} is not a sound" if kind else "not a sound by its first bytes"
            raise NotMedia(f"{printable(path)}: {what}; convert it to WAV")
        return Sound(printable(path), lambda: _decoder(printable(path), file, kind), file.close)
    except BaseException:
        file.close()
        raise


def stream_sound(blocks: Iterable[NDArray[Any]], sample_rate: int) -> Sound:
    """A sound that comes as arrays, (n,) or (n, channels), any n: floating-point numbers nominally in [-1, 1], or
    integers of 8 to 32 bits, which are scaled to that as in a WAV. It passes once; each piece comes as soon as it can.

    Raises `MediaError` for another shape or dtype, and as `open_sound` and `Sound.pieces`.
    """
    decoder = Arrays(blocks, sample_rate)
    return Sound("stream", lambda: decoder, lambda: None)


def pipe_sound(descriptor: int) -> Sound:
    """The WAV that another program writes into a pipe. It passes once; nothing of it is kept. Raises as `open_sound`,
    and for other formats, which only a file can hold."""
    from soundfile import SoundFileError

    try:
        decoder = Libsndfile(io.FileIO(descriptor, "rb", closefd=False))
    except (SoundFileError, OSError) as error:
        what = f"cannot read audio from a pipe ({_reason(error)}), expected a WAV"
        raise MediaError(f"standard input: {what}; convert it to WAV, or name a file") from error
    return Sound("standard input", lambda: decoder, lambda: None)


def read_sound(path: str | os.PathLike[str], sample_rate: int) -> Floats:
    """The whole sound, mono float32 (samples,) at `sample_rate` Hz; (0,) where it is empty. Raises as `open_sound`."""
    with open_sound(path) as sound:
        pieces = list(sound.pieces(sample_rate))
    return np.concatenate(pieces) if pieces else np.empty(0, np.float32)


def opens(file: io.FileIO, kind: Kind) -> bool:
    """Whether a decoder finds sound in the file."""
    try:
        _decoder("", file, kind).close()
    except MediaError:
        return False
    return True


class Sound:
    """An open sound: `sample_rate` (Hz) and `channels` of the source, `format`, and `facts` (format, subtype,
    sample_rate, channels, decoder). For one thread at a time."""

    def __init__(self, name: str, decode: Callable[[], Decoder], close: Callable[[], None]) -> None:
        self._name, self._decode, self._close = name, decode, close
        self._decoder = decode()
        self.sample_rate: int = self._decoder.sample_rate
        self.channels: int = self._decoder.channels
        self.format: str = self._decoder.format
        if not (MIN_RATE <= self.sample_rate <= MAX_RATE and self.channels):
            what = f"sample rate {self.sample_rate} Hz, expected {MIN_RATE} to {MAX_RATE}"
            if not self.channels:
                what = "0 channels, expected at least 1"
            self._decoder.close()
            raise MediaError(f"{name}: {what}; correct its header, or leave it out")

    @property
    def facts(self) -> Mapping[str, Any]:
        """format, subtype, sample_rate (Hz), channels, decoder."""
        decoder = self._decoder
        return {
            "format": decoder.format,
            "subtype": decoder.subtype,
            "sample_rate": decoder.sample_rate,
            "channels": decoder.channels,
            "decoder": type(decoder).__name__.lower(),
        }

    @property
    def seconds(self) -> float:
        """How much was decoded so far; once `pieces` is exhausted, the duration, whatever the header says."""
        return self._decoder.decoded / self.sample_rate

    def pieces(
        self, sample_rate: int, *, start: float = 0.0, stop: float | None = None, channel: int | None = None
    ) -> Iterator[Floats]:
        """Mono float32 (n,) at `sample_rate` Hz, piece by piece; never empty ones, and none for an empty sound.

        The mean over channels or one `channel` (from 0), resampled by soxr HQ, not clipped. `start` and `stop` in
        seconds cut the resampled sound at samples `round(start * sample_rate)` and `round(stop * sample_rate)`, so a
        cut equals the slice of the whole; decoding ends once `stop` is reached. Each call begins anew. Raises
        `MediaError`, with the second, where the decoder fails or a sample is not finite (or beyond 1e15).
        """
        if not (0 <= start < math.inf and (stop is None or start <= stop)):
            raise MediaError(f"{self._name}: from {start} to {stop} s, expected 0 <= start <= stop; correct it")
        first = round(start * sample_rate)
        last = math.inf if stop is None or stop == math.inf else round(stop * sample_rate)
        position = 0
        if channel is not None and not 0 <= channel < self.channels:
            what = f"channel {channel}, expected one of {self.channels}, from 0"
            raise MediaError(f"{self._name}: {what}; name another channel")
        size = max(1, int(_BLOCK * min(1, self.sample_rate / sample_rate)))
        blocks = self._mono(size, channel) if last > first else iter(())
        for piece in resampled(blocks, self.sample_rate, sample_rate):
            begin, position = position, position + len(piece)
            cut = piece[max(0, first - begin) : int(min(last, position)) - begin]
            if len(cut):
                yield cut
            if position >= last:
                return

    def _mono(self, size: int, channel: int | None) -> Iterator[Floats]:
        """Blocks at the source's rate, of about `size` frames at most, every sample checked."""
        decoder = self._rewound()
        blocks = decoder.blocks(max(1, min(size, _VALUES // self.channels)))
        while (frames := self._next(blocks)) is not None:
            with np.errstate(all="ignore"):  # the mean of +inf and -inf; found by the check for finite samples
                block = mono(frames, channel)
            good = np.abs(block) < _LOUDEST  # False for what is not a number
            if not good.all():
                bad = int(np.argmin(good))
                second = (decoder.decoded - len(block) + bad) / self.sample_rate
                what = f"the sample at second {second:.3f} is {block[bad]:g}, expected numbers about -1 to 1"
                raise MediaError(f"{self._name}: {what}; repair it, or cut it there")
            yield block
        if decoder.promised and not decoder.decoded:
            what = f"no sample behind the header ({decoder.format})"
            raise MediaError(f"{self._name}: {what}, it is cut off; copy it anew, or leave it out")

    def frames(self, seconds: float) -> Iterator[Floats]:
        """Every channel as it is decoded, float32 (n, channels) at the source's rate, some `seconds` at a time."""
        decoder = self._rewound()
        blocks = decoder.blocks(max(1, min(int(seconds * self.sample_rate), _VALUES // self.channels)))
        while (block := self._next(blocks)) is not None:
            yield block

    def _next(self, blocks: Iterator[Floats]) -> Floats | None:
        try:
            return next(blocks, None)
        except MediaError:
            raise
        except Exception as error:  # libsndfile's, ffmpeg's, the file system's
            what = f"cannot decode beyond second {self.seconds:.2f}, {_reason(error)}"
            raise MediaError(f"{self._name}: {what}; copy it anew, or cut it there") from error

    def _rewound(self) -> Decoder:
        """A decoder at the beginning: opened anew, for not every format finds back there bit for bit."""
        if self._decoder.decoded:
            again = self._decode()
            if again is self._decoder:
                raise MediaError(f"{self._name}: passes only once; keep it in a file to read it again")
            self._decoder.close()
            self._decoder = again
        return self._decoder

    def close(self) -> None:
        """Closes the file; `seconds` and `facts` stay."""
        self._decoder.close()
        self._close()

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Decoder(Protocol):
    """`promised`: whether the header tells of any frames; how many is not to be believed. `decoded`: frames so far."""

    sample_rate: int
    channels: int
    format: str
    subtype: str
    promised: bool
    decoded: int

    def blocks(self, size: int) -> Iterator[Floats]:
        """float32 (n, channels), n about `size`."""

    def close(self) -> None: ...


class Libsndfile:
    """Decodes an open file, or the WAV in a pipe. Raises soundfile's errors."""

    def __init__(self, file: io.FileIO) -> None:
        if file.seekable():
            file.seek(0)
        source = file.fileno() if os.name == "posix" else file  # two C runtimes on Windows share no descriptors
        self._file = _forward_only()(source, closefd=False)
        self.format: str = self._file.format
        self.subtype: str = self._file.subtype
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.promised: bool = self._file.frames > 0
        self.decoded = 0

    def blocks(self, size: int) -> Iterator[Floats]:
        while True:
            block, n = np.empty((size, self.channels), np.float32), 0
            while n < size and (read := len(self._file.read(out=block[n : n + _STEP]))):
                n += read
                self.decoded += read
            if n:
                yield block[:n]
            if n < size:
                return

    def close(self) -> None:
        self._file.close()


_DTYPES = ("uint8", "int16", "int32", "float16", "float32", "float64")
"""Of samples in memory: those that a WAV has. Nobody knows the scale of NumPy's own integers, which have 64 bits."""

_CHANNELS = 1024  # more in an array are samples that lie the other way round


class Arrays:
    """Decodes nothing: arrays as a program has them."""

    format, subtype, promised = "array", "", False

    def __init__(self, blocks: Iterable[NDArray[Any]], sample_rate: int) -> None:
        self._blocks = iter(blocks)
        self._first = [self._frames(block) for block in itertools.islice(self._blocks, 1)]
        self.sample_rate = int(sample_rate)
        self.channels = self._first[0].shape[1] if self._first else 1
        self.decoded = 0

    def blocks(self, size: int) -> Iterator[Floats]:
        for block in itertools.chain(self._first, map(self._frames, self._blocks)):
            if block.shape[1] != self.channels:
                raise MediaError(f"stream: expected {self.channels} channels, got {block.shape[1]}; keep to one number")
            for a in range(0, len(block), size):
                self.decoded += len(block[a : a + size])
                yield block[a : a + size]

    def _frames(self, block: NDArray[Any]) -> Floats:
        block = np.asarray(block)
        if block.ndim not in (1, 2) or block.dtype not in _DTYPES:
            what = f"expected samples (n,) or (n, channels), floats or 8 to 32 bits, got {block.dtype} {block.shape}"
            raise MediaError(f"stream: {what}; convert it to float32 between -1 and 1")
        if block.ndim == 2 and block.shape[1] > _CHANNELS:
            raise MediaError(f"stream: expected (n, channels), got {block.shape[1]} channels; transpose it")
        return scaled(block if block.ndim == 2 else block[:, np.newaxis])

    def close(self) -> None:
        """There is nothing to close."""


@functools.cache
def _forward_only() -> type[Any]:
    """soundfile's class, made to read on without seeking: after every read it seeks to where it is, which resets the
    decoder of MP3 and corrupts what follows (as of soundfile 0.14)."""
    import soundfile

    class ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return ForwardOnly


def _decoder(name: str, file: io.FileIO, kind: Kind) -> Decoder:
    """libsndfile where it can, ffmpeg where that can. Raises `MediaError`."""
    from soundfile import SoundFileError

    try:
        return Libsndfile(file)
    except SoundFileError as error:
        code, why = getattr(error, "code", 0), _reason(error)
        cause: Exception = error
    if kind.demuxer and available():
        try:
            return FFmpeg(file, kind)
        except NoTrack as error:
            raise NotMedia(f"{name}: {kind.name} without a sound track; leave it out") from error
        except Exception as error:  # PyAV's own, and what Python makes of odd metadata
            why, cause = why if code not in _NO_FORMAT else _reason(error), error
    elif kind.demuxer and code in _NO_FORMAT:
        next_step = "install sightsound[av] or convert it to WAV"
        raise MediaError(f"{name}: cannot read audio ({kind.name}); {next_step}") from cause
    raise MediaError(f"{name}: cannot read audio ({kind.name}), {why}; copy it anew, or convert it to WAV") from cause


def _reason(error: Exception) -> str:
    """A decoder's words without the file's name and the number."""
    if getattr(error, "code", None) == _NOTHING_BEHIND:
        return "nothing behind the header"
    words = getattr(error, "error_string", None) or getattr(error, "strerror", None)
    return error_line(Exception(words) if words else error).removeprefix("Error : ").rstrip(".")
