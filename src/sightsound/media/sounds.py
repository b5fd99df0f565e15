"""Sounds as float32 mono at any rate, in pieces, so that the length of a recording does not matter to the memory.

The pieces joined are bit for bit what decoding and resampling everything at once gives.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import MediaError, NotMedia
from sightsound.contract.paths import PathLike, printable
from sightsound.media.completeness import is_cut
from sightsound.media.decoders import Arrays, Decoder, Libsndfile, error_reason, open_decoder
from sightsound.media.kinds import HEAD_BYTES, kind_of
from sightsound.media.safe_open import open_file, read_head
from sightsound.media.samples import resample, to_mono

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Sample rates in Hz that are accepted: from the slowest loggers to eight times DVD audio."""

PIECE_SAMPLES = 2**16
"""Samples in a piece, before and after resampling: 1.5 s of CD audio, few enough to stay in a core's cache."""

BLOCK_VALUES = 2**22
"""Values in a block over all channels, for files with very many channels."""

LARGEST_SAMPLE = 1e15
"""Larger samples count as infinite: their squares, summed over a window, approach the range of float32."""


def open_sound(path: PathLike) -> Sound:
    """Open a sound and read its header; nothing is decoded yet.

    Parameters
    ----------
    path : path-like
        An ordinary file.

    Returns
    -------
    Sound
        A context manager.

    Raises
    ------
    NotMedia
        If the file is not a sound of a known kind, or has no sound track.
    MediaError
        If the file cannot be opened, no installed decoder can read it (the text says what to install), or its sample
        rate is not accepted.
    """
    name, file = printable(path), open_file(path)
    try:
        kind = kind_of(read_head(file, name, HEAD_BYTES))
        if kind is None or kind.modality != "sound":
            other = f"{kind.name} is not a sound; name a recording" if kind else ""
            raise NotMedia(f"{name}: {other or 'not a sound by its first bytes; convert it to WAV'}, or leave it out")
        return Sound(
            name, lambda: open_decoder(name, file, kind), file.close, lambda decoder: is_cut(file, kind.name, decoder)
        )
    except BaseException:
        file.close()
        raise


def stream_sound(blocks: Iterable[NDArray[Any]], sample_rate: int) -> Sound:
    """Return a sound that comes as arrays. It can be read once, and each piece comes as soon as possible.

    Parameters
    ----------
    blocks : iterable of ndarray
        (n,) or (n, channels), any n: floating-point numbers nominally from -1 to 1, or integers of 8 to 32 bits, which
        are scaled to that as in a WAV.
    sample_rate : int
        In Hz.

    Returns
    -------
    Sound
        The sound.

    Raises
    ------
    MediaError
        If an array has another shape or dtype (also while the sound is read), or the rate is not accepted.
    """
    decoder = Arrays(blocks, sample_rate)
    return Sound("stream", lambda: decoder, lambda: None)


def pipe_sound(descriptor: int) -> Sound:
    """Return the WAV that another program writes into a pipe. It can be read once; nothing of it is kept.

    Raises `MediaError` as `open_sound`, and for other formats, which only a file can have.
    """
    from soundfile import SoundFileError

    try:
        decoder = Libsndfile(io.FileIO(descriptor, "rb", closefd=False))
    except (SoundFileError, OSError) as error:
        what = f"cannot read audio from a pipe ({error_reason(error)}), expected a WAV"
        raise MediaError(f"standard input: {what}; convert it to WAV, or name a file") from error
    return Sound("standard input", lambda: decoder, lambda: None)


def read_sound(path: PathLike, sample_rate: int) -> Floats:
    """Return a whole sound as mono float32 (samples,).

    Parameters
    ----------
    path : path-like
        An ordinary file.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray
        float32 (samples,); (0,) if the sound is empty.

    Raises
    ------
    MediaError
        As `open_sound` and `Sound.pieces`.
    """
    with open_sound(path) as sound:
        pieces = list(sound.pieces(sample_rate))
    return np.concatenate(pieces) if pieces else np.empty(0, np.float32)


class Sound:
    """An open sound, for one thread at a time.

    Parameters
    ----------
    name : str
        The file in error messages.
    decode : callable
        Returns a decoder at the start of the sound.
    close : callable
        Closes the file.
    is_cut : callable
        Returns whether the file is longer by its header than what a decoder gave until its end.

    Attributes
    ----------
    sample_rate : int
        Of the source, in Hz.
    channels : int
        Of the source.
    format : str
        Of the source.

    Raises
    ------
    MediaError
        If the sample rate is not accepted or there are no channels.
    """

    def __init__(
        self,
        name: str,
        decode: Callable[[], Decoder],
        close: Callable[[], None],
        is_cut: Callable[[Decoder], bool] = lambda decoder: False,
    ) -> None:
        self._name, self._decode, self._close, self._is_cut = name, decode, close, is_cut
        self._ended = False
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
        """Metadata: `format`, `subtype`, `sample_rate` (Hz), `channels`, `decoder`."""
        decoder = self._decoder
        return {
            "format": decoder.format,
            "subtype": decoder.subtype,
            "sample_rate": decoder.sample_rate,
            "channels": decoder.channels,
            "decoder": decoder.name,
        }

    @property
    def seconds(self) -> float:
        """The seconds decoded so far. After `pieces` it is the duration, whatever the header says."""
        return self._decoder.decoded / self.sample_rate

    @property
    def truncated(self) -> bool:
        """Whether the file is longer by its header than what could be decoded; known when `pieces` has reached the end.

        So is a recording that was cut off, one with a hole, and all but the first of several Ogg files in one. False
        where the header does not know the length.
        """
        return self._ended and self._is_cut(self._decoder)  # not before: it moves the position in the file

    def pieces(
        self, sample_rate: int, *, start: float = 0.0, stop: float | None = None, channel: int | None = None
    ) -> Iterator[Floats]:
        """Yield the sound piece by piece, resampled by soxr HQ and not clipped. Each call starts again.

        Parameters
        ----------
        sample_rate : int
            In Hz.
        start, stop : float
            In seconds. They cut the resampled sound at samples `round(start * sample_rate)` and
            `round(stop * sample_rate)`, so that a cut equals the slice of the whole. Decoding ends at `stop`.
        channel : int, optional
            A channel, from 0. By default the mean over all channels.

        Yields
        ------
        ndarray
            Mono float32 (n,), n at least 1. An empty sound has none.

        Raises
        ------
        MediaError
            If an argument is invalid, the decoder fails, or a sample is not finite or above 1e15. The text names the
            second.
        """
        if not (0 <= start < math.inf and (stop is None or start <= stop)):
            raise MediaError(f"{self._name}: from {start} to {stop} s, expected 0 <= start <= stop; correct it")
        first = round(start * sample_rate)
        last = math.inf if stop is None or stop == math.inf else round(stop * sample_rate)
        position = 0
        if channel is not None and not 0 <= channel < self.channels:
            what = f"channel {channel}, expected one of {self.channels}, from 0"
            raise MediaError(f"{self._name}: {what}; name another channel")
        size = max(1, int(PIECE_SAMPLES * min(1, self.sample_rate / sample_rate)))
        blocks = self._mono_blocks(size, channel) if last > first else iter(())
        for piece in resample(blocks, self.sample_rate, sample_rate):
            begin, position = position, position + len(piece)
            cut = piece[max(0, first - begin) : int(min(last, position)) - begin]
            if len(cut):
                yield cut
            if position >= last:
                return

    def frames(self, seconds: float) -> Iterator[Floats]:
        """Yield all channels as they are decoded, float32 (n, channels) at the source's rate, about `seconds` each."""
        decoder = self._decoder_at_start()
        blocks = decoder.blocks(max(1, min(int(seconds * self.sample_rate), BLOCK_VALUES // self.channels)))
        while (block := self._next_block(blocks)) is not None:
            yield block

    def _mono_blocks(self, size: int, channel: int | None) -> Iterator[Floats]:
        """Yield checked blocks (n,) at the source's rate, n at most about `size`."""
        decoder, self._ended = self._decoder_at_start(), False
        blocks = decoder.blocks(max(1, min(size, BLOCK_VALUES // self.channels)))
        while (frames := self._next_block(blocks)) is not None:
            with np.errstate(all="ignore"):  # the mean of +inf and -inf; the check below finds it
                block = to_mono(frames, channel)
            self._check_finite(block, decoder.decoded - len(block))
            yield block
        self._ended = True
        if decoder.expects_frames and not decoder.decoded:
            what = f"no sample behind the header ({decoder.format})"
            raise MediaError(f"{self._name}: {what}, it is cut off; copy it anew, or leave it out")

    def _check_finite(self, block: Floats, start: int) -> None:
        if not (block.min() > -LARGEST_SAMPLE and block.max() < LARGEST_SAMPLE):  # False for NaN
            bad = int(np.argmin(np.abs(block) < LARGEST_SAMPLE))
            second = (start + bad) / self.sample_rate
            what = f"the sample at second {second:.3f} is {block[bad]:g}, expected numbers about -1 to 1"
            raise MediaError(f"{self._name}: {what}; repair it, or cut it there")

    def _next_block(self, blocks: Iterator[Floats]) -> Floats | None:
        try:
            return next(blocks, None)
        except MediaError:
            raise
        except Exception as error:  # of libsndfile, ffmpeg or the file system
            what = f"cannot decode beyond second {self.seconds:.2f}, {error_reason(error)}"
            raise MediaError(f"{self._name}: {what}; copy it anew, or cut it there") from error

    def _decoder_at_start(self) -> Decoder:
        """Return a decoder at the start. A used one is replaced, because not all formats seek back bit for bit."""
        if self._decoder.decoded:
            again = self._decode()
            if again is self._decoder:
                raise MediaError(f"{self._name}: passes only once; keep it in a file to read it again")
            self._decoder.close()
            self._decoder = again
        return self._decoder

    def close(self) -> None:
        """Close the file; `seconds` and `facts` remain."""
        self._decoder.close()
        self._close()

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
