"""What one run of `index` did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sightsound.contract.execution import Execution
from sightsound.contract.html import html_table
from sightsound.contract.results import Outcome
from sightsound.library.facts import FactsReport
from sightsound.library.gone import Gone
from sightsound.library.label_staging import LabelReport
from sightsound.pipeline.timing import Timing

_FAILED = 20  # that a notebook shows


@dataclass
class IndexReport:
    """What one run of `index` did.

    Parameters
    ----------
    counts : Counter of str
        By item and model: "ok", "failed", "not-media", "no-windows", and of this run alone "unchanged", "tagged" (had
        its vectors, and got tags) and "no-model" (no model was named for its modality).
    failed : list of Outcome
        The items that failed, in this run or an earlier one.
    flags : Counter of str
        How often each flag of `Outcome.flags` was set, by item and model.
    labels : LabelReport or None
        What a table of labels gave to the items, and what of it was left out; None without one.
    facts : FactsReport or None
        Of how many files of the library the facts were read again, since the time zone or the patterns are others than
        before; None where they are not.
    gone : Gone
        How many items below the paths have no file any more, and which indexed folders are not there.
    windows : int
        How many vectors were computed.
    elapsed : float
        Seconds.
    execution : dict of str to Execution
        How each model ran that embedded something in this run.
    timing : Timing or None
        What the time of the processor went to.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    labels: LabelReport | None = None
    facts: FactsReport | None = None
    gone: Gone = field(default_factory=Gone)
    windows: int = 0
    elapsed: float = 0.0
    execution: dict[str, Execution] = field(default_factory=dict)
    timing: Timing | None = None

    @property
    def unmatched(self) -> list[str]:
        """The first 1,000 rows of a table of labels that mean no item."""
        return [] if self.labels is None else list(self.labels.unmatched)

    def _repr_html_(self) -> str:
        counts = html_table(
            ["outcome", "items"], sorted(self.counts.items()), f"{self.windows} new vectors in {self.elapsed:.1f} s"
        )
        if not self.failed:
            return counts
        rows = [(outcome.item, outcome.reason) for outcome in self.failed[:_FAILED]]
        more = len(self.failed) - len(rows)
        return counts + html_table(["failed", "reason"], [*rows, *([("", f"and {more} more")] if more else [])])
