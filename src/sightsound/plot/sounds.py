"""Figures of segments: a recording with its segments, and a word cloud of classes."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound._atomic import check_not_input
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Segment
from sightsound.plot.figure import BLUE, check_wordcloud, figure, image_file

MAX_COLUMNS = 1200
"""The most columns of the spectrogram and points of the waveform, about one for each pixel."""
MAX_CLASSES = 18
"""The most classes that are drawn: those with the highest weight, see `segment_weights`."""

_FRAME_SECONDS = 0.032  # of a frame of the short-time Fourier transform; frames overlap by half
_FLOOR_DB = -80.0  # level of the darkest colour, relative to the maximum


def plot_sound(file: PathLike, segments: Sequence[Segment], seconds: float, out: PathLike) -> None:
    """Draw the waveform, the spectrogram and the segments of a recording on one time axis.

    The memory does not grow with the length of the recording.

    Parameters
    ----------
    file : path
        The recording.
    segments : sequence of Segment
        What was found in it, see `classify_sound`. At most 18 classes are drawn.
    seconds : float
        The duration of the recording.
    out : path
        The file to write, which ends in .png, .svg or .pdf.

    Raises
    ------
    SightsoundError
        If matplotlib is missing (extra `plot`), the recording cannot be read, or `out` cannot be written or is
        the recording.
    """
    check_not_input(out, [file])
    weights = segment_weights(segments)
    labels = [label for label, _ in weights.most_common(MAX_CLASSES)]
    rest = len(weights) - len(labels)
    labels.sort(key=lambda label: min(s.start for s in segments if s.label == label))
    rows = max(1, len(labels))
    with figure(out, 10, 3.6 + 0.24 * rows) as made:
        low, high, levels, sample_rate = _levels(file, seconds)
        waveform, spectrum, below = made.subplots(3, 1, sharex=True, height_ratios=[1, 1.6, 0.24 * rows])
        times = np.linspace(0, seconds, len(low))
        waveform.fill_between(times, low, high, step="mid", linewidth=0.3, color=BLUE)
        waveform.set_ylabel("amplitude")
        waveform.set_title(printable(os.path.basename(os.fspath(file))), parse_math=False, loc="left", fontsize=10)
        extent = (0.0, seconds, 0.0, sample_rate / 2000)
        spectrum.imshow(levels.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=_FLOOR_DB, vmax=0)
        spectrum.set_ylabel("kHz")
        below.set(xlim=(0, max(seconds, 1e-3)))
        below.set_xlabel(_label_of_time(below, seconds) + (f"; {rest} more classes are not drawn" if rest else ""))
        colours = _draw_segments(below, segments, labels)
        if colours is not None:
            made.colorbar(colours, ax=below, label="mean score", fraction=0.03, pad=0.01)


def plot_wordcloud(segments: Iterable[Segment], out: PathLike) -> None:
    """Draw the classes of segments as words whose size grows with their weight.

    Parameters
    ----------
    segments : iterable of Segment
        The segments of any number of recordings. The weight of a class is the sum of seconds times mean score.
    out : path
        The file to write, usually a .png.

    Raises
    ------
    SightsoundError
        If the package wordcloud is missing (extra `plot`), there are no segments, or `out` cannot be written.
    """
    check_wordcloud(out)
    from wordcloud import WordCloud

    weights = segment_weights(segments)
    if not weights:
        raise SightsoundError(f"{os.fspath(out)}: nothing to draw, there are no segments; lower the threshold")
    style = {"background_color": "white", "colormap": "viridis", "prefer_horizontal": 1.0}
    cloud = WordCloud(width=1000, height=600, random_state=0, **style)
    image: Any = cloud.generate_from_frequencies(dict(weights)).to_image()
    with image_file(out) as path:
        image.save(path)


def segment_weights(segments: Iterable[Segment]) -> Counter[str]:
    """Return the sum of seconds times mean score of each class."""
    weights: Counter[str] = Counter()
    for segment in segments:
        weights[segment.label] += (segment.stop - segment.start) * segment.mean  # type: ignore[assignment]
    return weights


def _label_of_time(axes: Any, seconds: float) -> str:
    """Set ticks at round times, and return the unit."""
    if seconds < 120:
        return "seconds"
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    steps = (15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    axes.xaxis.set_major_locator(MultipleLocator(next((s for s in steps if seconds / s <= 12), seconds / 12)))
    if seconds < 3600:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 60:.0f}:{at % 60:02.0f}"))
        return "minutes:seconds"
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 3600:.0f}:{at % 3600 // 60:02.0f}"))
    return "hours:minutes"


def _draw_segments(axes: Any, segments: Sequence[Segment], labels: Sequence[str]) -> Any:
    """Draw a row of bars for each class; return the colours of mean scores, or None if there are no classes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(0, 1), "viridis")
    for row, label in enumerate(labels):
        same = [s for s in segments if s.label == label]
        spans = [(s.start, s.stop - s.start) for s in same]
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours.to_rgba(np.array([s.mean for s in same])))
    axes.set_yticks(range(len(labels)), labels, parse_math=False, fontsize=8)
    axes.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    if not labels:
        axes.text(0.5, 0.5, "no segments", transform=axes.transAxes, ha="center", va="center")
    return colours if labels else None


def _levels(file: PathLike, seconds: float) -> tuple[Floats, Floats, Floats, int]:
    """Return the waveform and the spectrogram in c columns, and the sample rate in Hz, which is that of the recording.

    The waveform is the lowest (c,) and the highest (c,) sample of each column. The spectrogram (c, f) is the maximum
    of the magnitudes over the frames of each column, in dB relative to the overall maximum.
    """
    low, high, magnitudes = [], [], []
    with media.open_sound(file) as sound:
        rate = sound.sample_rate
        width = 2 ** round(math.log2(_FRAME_SECONDS * rate))  # 512 samples at 16 kHz
        for block in _blocks(sound, max(width // 2, -(-round(seconds * rate) // MAX_COLUMNS))):
            low.append(block.min())
            high.append(block.max())
            padded = np.pad(block, (0, max(0, width - len(block))))
            frames = np.lib.stride_tricks.sliding_window_view(padded, width)[:: width // 2] * np.hanning(width)
            magnitudes.append(np.abs(np.fft.rfft(frames)).max(axis=0))
    spectrum: NDArray[Any] = np.array(magnitudes) if magnitudes else np.zeros((1, width // 2 + 1))
    decibels = 20 * np.log10(np.maximum(spectrum / max(spectrum.max(), 1e-9), 10 ** (_FLOOR_DB / 20)))
    return np.array(low or [0], np.float32), np.array(high or [0], np.float32), decibels.astype(np.float32), rate


def _blocks(sound: media.Sound, size: int) -> Iterator[Floats]:
    """Yield the samples of a recording in blocks of `size`; the last one can be shorter."""
    rest = np.empty(0, np.float32)
    for piece in sound.pieces(sound.sample_rate):
        rest = np.concatenate([rest, piece])
        for start in range(0, len(rest) - size + 1, size):
            yield rest[start : start + size]
        rest = rest[len(rest) // size * size :]
    if len(rest):
        yield rest
