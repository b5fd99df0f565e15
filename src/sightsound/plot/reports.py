"""Figures of evaluations: a report, advice, and a comparison of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightsound.contract.paths import PathLike
from sightsound.learn.advise import Advice
from sightsound.learn.compare import Candidate
from sightsound.learn.finetune import FineTuned
from sightsound.learn.suggestions import NetworkScore
from sightsound.linear.report import Estimate, ProbeReport
from sightsound.plot.figure import BLUE, figure

_MAX_CLASSES = 30
"""The most classes whose names fit beside a confusion matrix or a bar chart."""


def plot_report(report: ProbeReport, out: PathLike) -> None:
    """Draw the confusion matrix, the reliability diagram and the learning curve of a report, side by side.

    Parameters
    ----------
    report : ProbeReport
        The report of a probe or a stack. What it does not have is left out.
    out : path
        The file to write, which ends in .png, .svg or .pdf.

    Raises
    ------
    SightsoundError
        If matplotlib is missing (extra `plot`), or `out` cannot be written.
    """
    parts = [_draw_confusion] if report.confusion else []
    parts += [_draw_reliability, *([_draw_curve] if report.curve else [])]
    with figure(out, 5.2 * len(parts), 5) as made:
        for axes, draw in zip(np.atleast_1d(made.subplots(1, len(parts))), parts):
            draw(axes, report)


def plot_advice(advice: Advice, out: PathLike) -> None:
    """Draw the class counts, the accuracy of each network, and the learning curve and confusion matrix of the best one.

    Parameters
    ----------
    advice : Advice
        The result of `advise`. At most 30 classes are drawn.
    out : path
        The file to write, which ends in .png, .svg or .pdf.

    Raises
    ------
    SightsoundError
        If matplotlib is missing (extra `plot`), or `out` cannot be written.
    """
    with figure(out, 11, 9) as made:
        (counts, accuracies), (curve, confusion) = made.subplots(2, 2)
        _draw_counts(counts, advice.counts)
        _draw_networks(accuracies, advice.networks)
        _draw_curve(curve, advice.networks[0].report)
        _draw_confusion(confusion, advice.networks[0].report)


def plot_candidates(candidates: Sequence[Candidate], out: PathLike) -> None:
    """Draw the accuracy of each candidate with its interval, and its milliseconds for an item if they are known.

    Parameters
    ----------
    candidates : sequence of Candidate
        Those of `compare`.
    out : path
        The file to write, which ends in .png, .svg or .pdf.

    Raises
    ------
    SightsoundError
        If matplotlib is missing (extra `plot`), or `out` cannot be written.
    """
    with figure(out, 9, 1.4 + 0.5 * len(candidates)) as made:
        axes = made.subplots()
        _draw_intervals(axes, [each.accuracy for each in candidates], 0, BLUE, "accuracy")
        for row, each in enumerate(candidates):
            if each.milliseconds is not None:
                axes.text(1.01, row, f"{each.milliseconds:.0f} ms", transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(candidates)), [each.name for each in candidates], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("accuracy on held-out items, 95 % interval")
        axes.grid(axis="x", alpha=0.3)


def plot_training(tuned: FineTuned, out: PathLike) -> None:
    """Draw loss and held-out accuracy of each epoch of a fine-tuning.

    Parameters
    ----------
    tuned : FineTuned
        The result of `finetune`.
    out : path
        The file to write, which ends in .png, .svg or .pdf.

    Raises
    ------
    SightsoundError
        If matplotlib is missing (extra `plot`), or `out` cannot be written.
    """
    numbers = [each.number for each in tuned.epochs]
    with figure(out, 10.4, 4.5) as made:
        losses, accuracies = made.subplots(1, 2)
        losses.plot(numbers[1:], [each.loss for each in tuned.epochs[1:]], marker="o", color="grey", label="training")
        losses.plot(numbers, [each.held_out_loss for each in tuned.epochs], marker="o", color=BLUE, label="held out")
        losses.set(xlabel="epoch (0 is the linear probe)", ylabel="loss", title=tuned.card.name)
        losses.legend()
        accuracies.plot(numbers, [each.held_out_accuracy for each in tuned.epochs], marker="o", color=BLUE)
        accuracies.axvline(numbers[tuned.best], color="grey", linewidth=1, linestyle="--")
        accuracies.set(xlabel="epoch (the line is the one that is kept)", ylabel="accuracy", title="held-out items")
        for axes in (losses, accuracies):
            axes.grid(alpha=0.3)


def _draw_counts(axes: Any, counts: Sequence[tuple[str, int]]) -> None:
    rest = len(counts) - _MAX_CLASSES
    counts = counts[:_MAX_CLASSES]
    axes.barh(range(len(counts)), [count for _, count in counts], color=BLUE)
    axes.set_yticks(range(len(counts)), [name for name, _ in counts], parse_math=False, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("items of each class" + (f" ({rest} more classes are not drawn)" if rest > 0 else ""))


def _draw_intervals(axes: Any, estimates: Sequence[Estimate], shift: float, colour: str, label: str) -> None:
    """Draw a point with its interval in each row, `shift` rows lower."""
    values = np.array([each.value for each in estimates])
    errors = np.array([[each.value - each.low for each in estimates], [each.high - each.value for each in estimates]])
    rows = np.arange(len(estimates)) + shift
    axes.errorbar(values, rows, xerr=np.maximum(errors, 0), fmt="o", color=colour, capsize=3, label=label)


def _draw_networks(axes: Any, networks: Sequence[NetworkScore]) -> None:
    _draw_intervals(axes, [each.probe for each in networks], -0.1, BLUE, "linear probe")
    _draw_intervals(axes, [each.neighbours for each in networks], 0.1, "#b8860b", "5 nearest neighbours")
    axes.set_yticks(range(len(networks)), [each.model for each in networks], parse_math=False, fontsize=8)
    axes.set_ylim(len(networks) - 0.5, -0.5)
    axes.set_title("accuracy of each network")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()


def _draw_confusion(axes: Any, report: ProbeReport) -> None:
    if not report.confusion:
        axes.set_axis_off()
        return
    counts = np.array(report.confusion, float)
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    names = [score.label for score in report.classes]
    if len(names) <= _MAX_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False, fontsize=8)
        axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=8)
        for row, column in np.argwhere(counts > 0):
            dark = counts[row, column] > 0.5 * counts[row].sum()
            text = f"{counts[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    unit = "" if len(names) <= _MAX_CLASSES else " (number of the class in sorted order, from 0)"
    axes.set(xlabel=f"predicted{unit}", ylabel=f"true{unit}", title=f"accuracy {report.accuracy}")


def _draw_reliability(axes: Any, report: ProbeReport) -> None:
    """Draw the proportion of correct predictions against their probability; the size of a point grows with its rows."""
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    confidence = [each.confidence for each in report.reliability]
    accuracy = [each.accuracy for each in report.reliability]
    most = max(each.count for each in report.reliability)
    sizes = [20 + 180 * each.count / most for each in report.reliability]
    axes.plot(confidence, accuracy, color=BLUE, linewidth=1)
    axes.scatter(confidence, accuracy, s=sizes, color=BLUE)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability of the prediction", ylabel="proportion correct")
    axes.set_title(f"calibration error {report.error:.3f}")
    axes.grid(alpha=0.3)


def _draw_curve(axes: Any, report: ProbeReport) -> None:
    if not report.curve:
        axes.set_axis_off()
        return
    sizes, means, low, high = zip(*report.curve)
    axes.fill_between(sizes, low, high, alpha=0.2, color=BLUE)
    axes.plot(sizes, means, marker="o", color=BLUE)
    axes.axhline(report.majority, color="grey", linewidth=1, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="items of each class", ylabel="accuracy", title="learning curve")
    axes.grid(alpha=0.3)
