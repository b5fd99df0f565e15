"""Pictures of what was heard: a recording with its segments below it, and a cloud of words. Needs the extra `plot`."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound._atomic import atomic_path, check_writable
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Segment

RATE = 16000
"""Hz at which a recording is drawn, as YAMNet hears it."""
COLUMNS = 1200
"""Columns of the spectrogram and points of the waveform at most: more than a page can show."""
CLASSES = 18
"""Classes that are drawn at most: those of the most seconds times score."""

_FRAME = 512
_FLOOR_DB = -80.0
PathLike = str | os.PathLike[str]


def check(plot: PathLike | None, words: PathLike | None) -> None:
    """Raises `SightsoundError` where `sound` or `wordcloud` could not draw these files, before there is anything to."""
    if plot:
        _needs("matplotlib")
        from matplotlib.backend_bases import FigureCanvasBase

        _ready(plot, FigureCanvasBase.get_supported_filetypes())
    if words:
        _needs("wordcloud")
        from PIL import Image

        Image.init()
        _ready(words, [suffix[1:] for suffix, kind in Image.EXTENSION.items() if kind in Image.SAVE])


def _ready(file: PathLike, kinds: Collection[str]) -> None:
    kind = os.fspath(file).rpartition(".")[2]
    if kind.lower() not in kinds:
        raise SightsoundError(f"{os.fspath(file)}: Format {kind!r} is not supported; name a .png")
    check_writable(file)


def sound(file: PathLike, segments: Sequence[Segment], seconds: float, out: PathLike) -> None:
    """Waveform, spectrogram and, under them on one time axis, the segments of a recording of `seconds` seconds.

    `out` ends in .png, .svg or .pdf. Raises `SightsoundError` where matplotlib is missing or the file cannot be
    written. Memory does not grow with the recording.
    """
    check(out, None)
    from matplotlib.figure import Figure

    low, high, levels = _levels(file, seconds)
    shown = [label for label, _ in weights(segments).most_common(CLASSES)]
    shown.sort(key=lambda label: min(s.start for s in segments if s.label == label))
    rows = max(1, len(shown))
    figure = Figure(figsize=(10, 3.6 + 0.24 * rows), layout="constrained")
    wave, spectrum, below = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.6, 0.24 * rows])
    times = np.linspace(0, seconds, len(low))
    wave.fill_between(times, low, high, step="mid", linewidth=0.3, color="#35618f")
    wave.set_ylabel("amplitude")
    wave.set_title(media.printable(os.path.basename(os.fspath(file))), parse_math=False, loc="left", fontsize=10)
    extent = (0.0, seconds, 0.0, RATE / 2000)
    spectrum.imshow(levels.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=_FLOOR_DB, vmax=0)
    spectrum.set_ylabel("kHz")
    bars = _bars(below, segments, shown)
    below.set_xlabel("seconds")
    below.set_xlim(0, max(seconds, 1e-3))
    if bars is not None:
        figure.colorbar(bars, ax=below, label="mean score", fraction=0.03, pad=0.01)
    with drawn(out) as part:
        figure.savefig(part, dpi=110)


def wordcloud(segments: Iterable[Segment], out: PathLike) -> None:
    """The classes as words, each as large as its seconds times mean score, in a .png.

    Raises `SightsoundError` where the package wordcloud is missing, there are no segments, or the file cannot be
    written.
    """
    check(None, out)
    from wordcloud import WordCloud

    sizes = weights(segments)
    if not sizes:
        raise SightsoundError(f"{os.fspath(out)}: nothing to draw, no sound was heard; lower --threshold")
    look = {"background_color": "white", "colormap": "viridis", "prefer_horizontal": 1.0}
    cloud = WordCloud(width=1000, height=600, random_state=0, **look)
    image: Any = cloud.generate_from_frequencies(dict(sizes)).to_image()
    with drawn(out) as part:
        image.save(part)


def weights(segments: Iterable[Segment]) -> Counter[str]:
    """Seconds times mean score of each class."""
    found: Counter[str] = Counter()
    for segment in segments:
        found[segment.label] += (segment.stop - segment.start) * segment.mean  # type: ignore[assignment]
    return found


def _bars(axes: Any, segments: Sequence[Segment], shown: Sequence[str]) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(0, 1), "viridis")
    for row, label in enumerate(shown):
        found = [s for s in segments if s.label == label]
        spans = [(s.start, s.stop - s.start) for s in found]
        axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours.to_rgba(np.array([s.mean for s in found])))
    axes.set_yticks(range(len(shown)), shown, parse_math=False, fontsize=8)
    axes.set_ylim(max(1, len(shown)) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    if not shown:
        axes.text(0.5, 0.5, "no segments", transform=axes.transAxes, ha="center", va="center")
    return colours if shown else None


def _levels(file: PathLike, seconds: float) -> tuple[Floats, Floats, Floats]:
    """Least and greatest sample of each column (c,), and the loudest frame of each in dB below the maximum (c, 257)."""
    step = max(_FRAME // 2, -(-round(seconds * RATE) // COLUMNS))
    low, high, loud = [], [], []
    for block in _columns(file, step):
        low.append(block.min())
        high.append(block.max())
        padded = np.pad(block, (0, max(0, _FRAME - len(block))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[:: _FRAME // 2] * np.hanning(_FRAME)
        loud.append(np.abs(np.fft.rfft(frames)).max(axis=0))
    power: NDArray[Any] = np.array(loud) if loud else np.zeros((1, _FRAME // 2 + 1))
    decibels = 20 * np.log10(np.maximum(power / max(power.max(), 1e-9), 10 ** (_FLOOR_DB / 20)))
    return np.array(low or [0], np.float32), np.array(high or [0], np.float32), decibels.astype(np.float32)


def _columns(file: PathLike, step: int) -> Iterator[Floats]:
    held = np.empty(0, np.float32)
    with media.open_sound(file) as opened:
        for piece in opened.pieces(RATE):
            held = np.concatenate([held, piece])
            for a in range(0, len(held) - step + 1, step):
                yield held[a : a + step]
            held = held[len(held) // step * step :]
    if len(held):
        yield held


def _needs(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise SightsoundError(f"{package} is not installed; run `pip install sightsound[plot]`")


@contextlib.contextmanager
def drawn(out: PathLike) -> Iterator[str]:
    """A name to save a picture under."""
    with warnings.catch_warnings(), atomic_path(out) as part:
        warnings.simplefilter("ignore")  # letters that the font lacks
        yield os.fspath(part)
