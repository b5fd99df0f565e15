"""A comparison of networks as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sightsound.contract.csv_cells import guarded
from sightsound.contract.paths import printable
from sightsound.learn.comparison.results import ComparedModel, ModelComparison
from sightsound.linear.report import Estimate

ACCURACIES = ("probe", "neighbours", "top1", "top5")
CSV_COLUMNS = (
    "network",
    *(column for name in ACCURACIES for column in (name, f"{name}_low", f"{name}_high")),
    *("published_top1_percent", "relative_network", "relative_total", "network_ms", "total_ms"),
    *("size_bytes", "params", "dim", "memory_bytes", "runs", "matched_classes", "front", "space", "reason"),
)
_WHOLE = ("size_bytes", "params", "dim", "memory_bytes", "matched_classes", "front")
MARKDOWN_COLUMNS = (
    *("network", "linear probe, %", "5 nearest neighbours, %", "top-1, %", "top-5, %", "published top-1, %"),
    *("time", "network, ms", "with decoding, ms", "on disk, MB", "parameters, M", "memory, MB", "front"),
)


def comparison_csv(found: ModelComparison) -> str:
    """Return a comparison as CSV with a row for each network.

    Parameters
    ----------
    found : ModelComparison
        The comparison.

    Returns
    -------
    str
        The columns are `CSV_COLUMNS`. Accuracies are proportions with the bounds of their 95 % intervals; `front` is 1
        for the Pareto front of probe and network alone. What was not measured is empty. A spreadsheet takes no text
        for a formula: such texts begin with an apostrophe.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for row in comparison_objects(found):
        table.writerow([_csv_cell(name, value) for name, value in row.items()])
    return text.getvalue()


def comparison_objects(found: ModelComparison) -> list[dict[str, object]]:
    """Return a comparison as a table of numbers and texts: for each network the columns of `CSV_COLUMNS`.

    Parameters
    ----------
    found : ModelComparison
        The comparison.

    Returns
    -------
    list of dict
        What was not measured is None.
    """
    front, rows = found.front(), list[dict[str, object]]()
    for model in found.models:
        numbers = [bound for each in ACCURACIES for bound in _bounds(getattr(model, each))]
        times = (model.relative_network, model.relative_total, model.network_ms, model.total_ms)
        sizes = (model.size, model.params, model.dim, model.memory)
        how = (str(model.execution or ""), None if model.reason else model.matched, int(model.name in front))
        cells = (model.name, *numbers, model.published, *times, *sizes, *how, model.space, model.reason)
        rows.append(dict(zip(CSV_COLUMNS, cells)))
    return rows


def comparison_markdown(found: ModelComparison) -> str:
    """Return a comparison as a table in Markdown, with a line below on the data and the machine.

    Parameters
    ----------
    found : ModelComparison
        The comparison.

    Returns
    -------
    str
        Accuracies are in per cent with their 95 % intervals. A network that could not be measured has the reason in
        place of the numbers.
    """
    rows = [MARKDOWN_COLUMNS, ("---",) * len(MARKDOWN_COLUMNS), *comparison_rows(found)]
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    failed = [f"{model.name}: {model.reason}" for model in found.models if model.reason]
    return "\n".join([*lines, "", *(_escaped(text) + "  " for text in [*failed, *summary(found)])]) + "\n"


def comparison_rows(found: ModelComparison) -> list[tuple[object, ...]]:
    """Return the cells of a comparison for people to read, a row for each network.

    Parameters
    ----------
    found : ModelComparison
        The comparison.

    Returns
    -------
    list of tuple
        With the columns of `MARKDOWN_COLUMNS`. None is an empty cell.
    """
    front = found.front()
    return [_row(model, model.name in front) for model in found.models]


def summary(found: ModelComparison) -> list[str]:
    """Return what a comparison was made on, and how each network ran, in lines.

    Parameters
    ----------
    found : ModelComparison
        The comparison.

    Returns
    -------
    list of str
    """
    kinds = f"{found.items} {found.modality}s" if found.items != 1 else f"1 {found.modality}"
    classes = f"{len(found.classes)} class{'es' * (len(found.classes) != 1)}"
    lines = [
        f"{kinds} of {classes} in {printable(found.data)}; commonest class {100 * found.majority:.1f} %; "
        "intervals of 95 % over items"
    ]
    if found.items:
        times = f"median of {found.repeats}" if found.repeats > 1 else "measured once"
        lines.append(f"time of the network for an item, relative to the fastest; {times}; {found.machine}")
    by_execution: dict[str, list[str]] = {}
    for model in found.models:
        if model.execution is not None:
            by_execution.setdefault(str(model.execution), []).append(model.name)
    return lines + [f"{', '.join(names)}: {how}" for how, names in by_execution.items()]


def percent(estimate: Estimate | None) -> str | None:
    """Return a proportion with its interval in per cent."""
    if estimate is None:
        return None
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _row(model: ComparedModel, front: bool) -> tuple[object, ...]:
    if model.reason:
        return (model.name, "failed", *[None] * (len(MARKDOWN_COLUMNS) - 2))
    accuracies = map(percent, (model.probe, model.neighbours, model.top1, model.top5))
    return (
        *(model.name, *accuracies, None if model.published is None else round(model.published, 1)),
        *(_fixed(model.relative_network, 2), _fixed(model.network_ms, 2), _fixed(model.total_ms, 2)),
        *(_fixed(_millions(model.size), 1), _fixed(_millions(model.params), 2), _fixed(_millions(model.memory), 0)),
        "yes" if front else "",
    )


def _bounds(estimate: Estimate | None) -> tuple[float | None, ...]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)


def _csv_cell(name: str, value: object) -> object:
    if isinstance(value, str):
        return guarded(printable(value))
    if value is None or name in ("published_top1_percent", *_WHOLE):
        return "" if value is None else value
    return f"{value:.6f}" if name.startswith(ACCURACIES) else f"{value:.4f}"


def _millions(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _fixed(value: float | None, decimals: int) -> str | None:
    return None if value is None else f"{value:.{decimals}f}"


def _cell(value: object) -> str:
    return "" if value is None else _escaped(str(value))


def _escaped(text: str) -> str:
    """Return text on one line that ends no cell of a table, and is neither HTML nor emphasis."""
    shown = printable(text)
    for sign in "\\|<>`*_[]":
        shown = shown.replace(sign, f"\\{sign}")
    return shown


def columns(rows: Sequence[Sequence[object]]) -> list[int]:
    """Return the numbers of the columns that have a value in some row."""
    return [i for i in range(len(MARKDOWN_COLUMNS)) if any(row[i] not in (None, "") for row in rows)]
