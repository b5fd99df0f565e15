"""What a table of labels gave, as `label --from` and `index --label-from` print it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from sightsound.cli import output
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.label_staging import LabelReport

_SHOWN = 20  # rows and files that are named


def print_left_out(report: LabelReport) -> None:
    """Print which rows mean no item, which files were not taken, and what else was left out, to standard error."""
    rows = Counter(report.unmatched)
    for text, count in islice(rows.items(), _SHOWN):
        output.echo(f"no item for {printable(text)}{f' ({count} rows)' if count > 1 else ''}", err=True)
    if more := report.unmatched_count - sum(islice(rows.values(), _SHOWN)):
        output.echo(f"... and {output.count_of(more, 'more row')}", err=True)
    for text in report.refused[:_SHOWN]:
        output.echo(f"left out: {printable(text)}", err=True)
    if more := report.refused_count - len(report.refused[:_SHOWN]):
        output.echo(f"... and {output.count_of(more, 'more file')}", err=True)
    for note in report.notes:
        output.echo(note, err=True)


def print_labels(report: LabelReport) -> None:
    """Print how many labels items got."""
    items = output.count_of(report.items, "item")
    if report.ranges:
        output.echo(f"{output.count_of(report.ranges, 'label')} of time ranges of {items}")
    else:
        output.echo(f"{output.count_of(report.labels, 'label')} of {items}")
