"""A comparison of networks as bubbles: accuracy against relative time, the area is the size on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.learn.comparison.results import Accuracy, ComparedModel, ModelComparison, Time
from sightsound.plot.figure import BLUE, figure

_GOLD = "#b8860b"
_MOST_AREA, _LEAST_AREA = 1600.0, 12.0  # square points of the largest bubble, and of one without a file
_NAMES: dict[Accuracy, str] = {
    "probe": "accuracy of a linear probe on held-out items",
    "neighbours": "accuracy of the 5 nearest neighbours",
    "top1": "top-1 accuracy of the network's own classes",
    "top5": "top-5 accuracy of the network's own classes",
}
_TIMES: dict[Time, str] = {"network": "of the network alone", "total": "with decoding"}
_DISTANCES = (4, 12, 20, 30, 42, 56, 72, 90, 110, 135)
"""How far from its bubble a name may stand, in points."""
_ANGLES = (90, 270, 45, 315, 135, 225, 0, 180, 22, 338, 158, 202, 67, 293, 113, 247)
"""In which directions, in degrees from the right."""


def plot_comparison(
    found: ModelComparison, out: PathLike, *, accuracy: Accuracy = "probe", time: Time = "network"
) -> None:
    """Draw each network as a bubble: its accuracy with the 95 % interval against its relative time.

    The area of a bubble is the size on disk. A line marks the Pareto front: the networks that no other one beats.

    Parameters
    ----------
    found : ModelComparison
        The comparison. Networks without this accuracy are left out.
    out : path
        The file to write, which ends in .png, .svg or .pdf.
    accuracy : {"probe", "neighbours", "top1", "top5"}
        Which accuracy is drawn.
    time : {"network", "total"}
        Which time is drawn: of the network alone, or from file to row.

    Raises
    ------
    SightsoundError
        If no network has this accuracy, matplotlib is missing (extra `plot`), or `out` cannot be written.
    """
    drawn = [each for each in found.models if each.accuracy(accuracy) is not None and each.relative(time) is not None]
    if not drawn:
        raise SightsoundError(f"plot: expected a network with the accuracy {accuracy}, got none; choose another")
    front = found.front(accuracy, time)
    largest = max((each.size or 0 for each in drawn), default=0)
    with figure(out, 9, 6) as made:
        axes = made.subplots()
        _draw_front(axes, [each for each in drawn if each.name in front], accuracy, time)
        bubbles = [_draw_bubble(axes, each, accuracy, time, largest, each.name in front) for each in drawn]
        _set_axes(axes, found, drawn, accuracy, time)
        _draw_legend(axes, largest, len(front) > 1)
        _canvas(made).draw()  # so that places in pixels are known
        _draw_names(axes, [each.name for each in drawn], bubbles)


def _canvas(made: Any) -> Any:
    """Return a canvas of a figure that knows places in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return made.canvas if isinstance(made.canvas, FigureCanvasAgg) else FigureCanvasAgg(made)


def _draw_front(axes: Any, models: Sequence[ComparedModel], accuracy: Accuracy, time: Time) -> None:
    points = sorted(_point(model, accuracy, time) for model in models)
    if len(points) > 1:
        axes.plot(*zip(*points), color=_GOLD, linewidth=1.5, linestyle="--", zorder=1)


def _draw_bubble(
    axes: Any, model: ComparedModel, accuracy: Accuracy, time: Time, largest: int, front: bool
) -> tuple[float, float, float]:
    """Draw a network, and return its place and the radius of its bubble in points."""
    estimate = model.accuracy(accuracy)
    assert estimate is not None
    x, y = _point(model, accuracy, time)
    errors = [[max(0, y - 100 * estimate.low)], [max(0, 100 * estimate.high - y)]]
    axes.errorbar([x], [y], yerr=errors, color="grey", linewidth=1, capsize=3, zorder=2)
    area = _area(model.size or 0, largest)
    edge = {"edgecolors": _GOLD, "linewidths": 2.5} if front else {"edgecolors": "white", "linewidths": 0.8}
    axes.scatter([x], [y], s=area, color=BLUE, alpha=0.75, zorder=3 - area / _MOST_AREA / 2, **edge)
    return x, y, float(np.sqrt(area / np.pi))


def _point(model: ComparedModel, accuracy: Accuracy, time: Time) -> tuple[float, float]:
    estimate, relative = model.accuracy(accuracy), model.relative(time)
    assert estimate is not None and relative is not None
    return relative, 100 * estimate.value


def _area(size: int, largest: int) -> float:
    return max(_LEAST_AREA, _MOST_AREA * size / largest) if largest else 10 * _LEAST_AREA


def _set_axes(
    axes: Any, found: ModelComparison, drawn: Sequence[ComparedModel], accuracy: Accuracy, time: Time
) -> None:
    times = [each.relative(time) or 1.0 for each in drawn]
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 1.3, max(times) * 1.6)
    ticks = [tick for tick in _ticks(min(times), max(times)) if min(times) / 1.3 <= tick <= max(times) * 1.6]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    where = next((each.execution.device for each in drawn if each.execution is not None), "")
    axes.set_xlabel(f"time {_TIMES[time]}, relative to the fastest (log; {where or 'cpu'}, {found.machine})", wrap=True)
    axes.set_ylabel(f"{_NAMES[accuracy]}, %")
    axes.set_title(f"{found.items} {found.modality}s of {len(found.classes)} classes, 95 % intervals", fontsize=11)
    axes.grid(alpha=0.3)


def _ticks(low: float, high: float) -> list[float]:
    """Return numbers for a logarithmic axis: three a decade, more where it is short."""
    steps = (1, 2, 5) if high / low > 5 else (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 8)
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    return [step * 10.0**decade for decade in decades for step in steps]


def _draw_legend(axes: Any, largest: int, front: bool) -> None:
    """Explain areas by the sizes of up to three bubbles, and the line of the front."""
    if largest:
        for size in _round_sizes(largest):
            area = _area(size, largest)
            axes.scatter([], [], s=area, color=BLUE, alpha=0.75, edgecolors="white", label=f"{size / 1e6:g} MB")
    if front:
        axes.plot([], [], color=_GOLD, linewidth=1.5, linestyle="--", label="Pareto front")
    if largest or front:
        axes.legend(
            title="size on disk" if largest else None,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            labelspacing=1.6,
            borderpad=1,
            handletextpad=1.8,
            frameon=False,
        )


def _round_sizes(largest: int) -> list[int]:
    """Return the largest round number of bytes up to a size, and a quarter of it."""
    power = 10.0 ** np.floor(np.log10(largest))
    top = max(step * power for step in (1, 2, 4, 8) if step * power <= largest)
    return [round(top / 4), round(top)]


def _draw_names(axes: Any, names: Sequence[str], bubbles: Sequence[tuple[float, float, float]]) -> None:
    """Write each name beside its bubble, where it covers no bubble and no other name, as far as there is room."""
    renderer = _canvas(axes.figure).get_renderer()
    points = axes.figure.dpi / 72
    room = axes.get_window_extent(renderer)
    taken = [_box(axes, bubble, points) for bubble in bubbles]
    for name, bubble in zip(names, bubbles):
        x, y, radius = bubble
        best, least = (0.0, radius + 3), np.inf
        for place in _places(radius):
            label = _annotate(axes, name, (x, y), place)
            extent = label.get_window_extent(renderer).padded(2)
            label.remove()
            cost = sum(_overlap(extent, other) for other in taken) + _outside(extent, room)
            if cost < least:
                best, least = place, cost
            if not cost:
                break
        label = _annotate(axes, name, (x, y), best, line=np.hypot(*best) > radius + 24)
        taken.append(label.get_window_extent(renderer).padded(2))


def _places(radius: float) -> list[tuple[float, float]]:
    """Return offsets in points at which a name may stand, the best first: right, left, and then in widening rings."""
    places = [(radius + 4, 0.0), (-radius - 4, 0.0)]
    for distance in _DISTANCES:
        for angle in np.deg2rad(_ANGLES):
            across, up = (radius + distance) * np.cos(angle), (radius + distance) * np.sin(angle)
            places.append((round(float(across), 1), round(float(up), 1)))
    return places


def _annotate(axes: Any, name: str, at: tuple[float, float], place: tuple[float, float], line: bool = False) -> Any:
    horizontal = "left" if place[0] > 0 else "right" if place[0] < 0 else "center"
    vertical = "bottom" if place[1] > 0 else "top" if place[1] < 0 else "center"
    arrow = {"arrowstyle": "-", "color": "grey", "linewidth": 0.7} if line else None
    label = axes.annotate(
        name, at, place, textcoords="offset points", ha=horizontal, va=vertical, fontsize=9, arrowprops=arrow, zorder=4
    )
    label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5})
    label.set_parse_math(False)
    label.set_in_layout(False)
    return label


def _box(axes: Any, bubble: tuple[float, float, float], points: float) -> Any:
    from matplotlib.transforms import Bbox

    x, y, radius = bubble
    column, row = axes.transData.transform((x, y))
    return Bbox.from_extents(*(value + sign * radius * points for sign in (-1, 1) for value in (column, row)))


def _overlap(first: Any, second: Any) -> float:
    """Return the area that two boxes have in common."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return max(0.0, float(width)) * max(0.0, float(height))


def _outside(box: Any, room: Any) -> float:
    """Return the area of a box that is outside of another."""
    return float(box.width * box.height - _overlap(box, room))
