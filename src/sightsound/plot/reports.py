"""Pictures of how good a classifier is. Needs the extra `plot`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sightsound.learn.compare import Candidate
from sightsound.linear.metrics import Estimate, ProbeReport
from sightsound.plot.sounds import check, drawn

PathLike = str | os.PathLike[str]

BLUE = "#35618f"
_NAMED = 30  # classes whose names a confusion matrix has room for


def report(found: ProbeReport, out: PathLike) -> None:
    """The confusion matrix, the reliability table and the learning curve of a report, beside one another.

    `out` ends in .png, .svg or .pdf. Raises `SightsoundError` where matplotlib is missing, or the file cannot be
    written.
    """
    parts = [_confusion] if found.confusion else []
    parts += [_reliability, *([_curve] if found.curve else [])]
    with _figure(out, 5.2 * len(parts), 5) as figure:
        for axes, draw in zip(np.atleast_1d(figure.subplots(1, len(parts))), parts):
            draw(axes, found)


def advice(
    counts: Sequence[tuple[str, int]],
    networks: Sequence[tuple[str, Estimate, Estimate]],
    best: ProbeReport,
    out: PathLike,
) -> None:
    """Items of each class, accuracy of each network (probe, nearest neighbours) with its interval, the learning curve
    and the confusion matrix of the best. `out` and errors as in `report`."""
    shown = list(counts)[:_NAMED]
    with _figure(out, 11, 9) as figure:
        (left, right), (below, last) = figure.subplots(2, 2)
        left.barh(range(len(shown)), [count for _, count in shown], color=BLUE)
        left.set_yticks(range(len(shown)), [name for name, _ in shown], parse_math=False, fontsize=8)
        left.invert_yaxis()
        left.set_title("items of each class")
        _intervals(right, networks)
        _curve(below, best)
        _confusion(last, best)


def rivals(found: Sequence[Candidate], out: PathLike) -> None:
    """The accuracy of each way to classify with its interval, against the milliseconds that it takes an item where
    these are known. `out` and errors as in `report`."""
    with _figure(out, 9, 1.4 + 0.5 * len(found)) as figure:
        axes = figure.subplots()
        _bars(axes, [rival.name for rival in found], [rival.accuracy for rival in found], 0, BLUE, "accuracy")
        for row, rival in enumerate(found):
            if rival.milliseconds is not None:
                axes.text(1.01, row, f"{rival.milliseconds:.0f} ms", transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(found)), [rival.name for rival in found], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("accuracy on held-out items, 95 % interval")
        axes.grid(axis="x", alpha=0.3)


@contextlib.contextmanager
def _figure(out: PathLike, width: float, height: float) -> Iterator[Any]:
    """A figure of so many inches, saved when it is drawn."""
    check(out, None)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure
    with drawn(out) as part:
        figure.savefig(part, dpi=110)


def _bars(axes: Any, names: Sequence[str], found: Sequence[Estimate], shift: float, colour: str, label: str) -> None:
    values = np.array([each.value for each in found])
    reach = np.array([[each.value - each.low for each in found], [each.high - each.value for each in found]])
    rows = np.arange(len(names)) + shift
    axes.errorbar(values, rows, xerr=np.maximum(reach, 0), fmt="o", color=colour, capsize=3, label=label)


def _intervals(axes: Any, networks: Sequence[tuple[str, Estimate, Estimate]]) -> None:
    names = [name for name, _, _ in networks]
    _bars(axes, names, [probe for _, probe, _ in networks], -0.1, BLUE, "linear probe")
    _bars(axes, names, [near for _, _, near in networks], 0.1, "#b8860b", "5 nearest neighbours")
    axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title("accuracy of each network")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()


def _confusion(axes: Any, found: ProbeReport) -> None:
    if not found.confusion:
        axes.set_axis_off()
        return
    counts = np.array(found.confusion, float)
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    names = [score.label for score in found.classes]
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False, fontsize=8)
        axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=8)
        for row, column in np.argwhere(counts > 0):
            dark = counts[row, column] > 0.5 * counts[row].sum()
            text = f"{counts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"accuracy {found.accuracy}")


def _reliability(axes: Any, found: ProbeReport) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    sure = [each.confidence for each in found.reliability]
    right = [each.accuracy for each in found.reliability]
    most = max(each.count for each in found.reliability)
    sizes = [20 + 180 * each.count / most for each in found.reliability]
    axes.plot(sure, right, color=BLUE, linewidth=1)
    axes.scatter(sure, right, s=sizes, color=BLUE)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability of what is predicted", ylabel="part that is right")
    axes.set_title(f"calibration error {found.error:.3f}")
    axes.grid(alpha=0.3)


def _curve(axes: Any, found: ProbeReport) -> None:
    if not found.curve:
        axes.set_axis_off()
        return
    sizes, means, low, high = zip(*found.curve)
    axes.fill_between(sizes, low, high, alpha=0.2, color=BLUE)
    axes.plot(sizes, means, marker="o", color=BLUE)
    axes.axhline(found.majority, color="grey", linewidth=1, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="items a class", ylabel="accuracy", title="learning curve")
    axes.grid(alpha=0.3)
