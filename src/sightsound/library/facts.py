"""The facts of files in a library: reading them again, and what there is of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sightsound._progress import bar
from sightsound._threads import cores
from sightsound.contract.errors import MediaError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.library.fact_counts import FactCounts, FactSummary
from sightsound.library.library import Library, open_library
from sightsound.library.store.validation import decode_item
from sightsound.library.store.writer import Writer
from sightsound.media.facts.read import read_file_facts
from sightsound.media.facts.times import TimeRules, changed_rules
from sightsound.media.safe_open import open_file

_PAGE = 1000  # items that are read and committed at a time


@dataclass
class FactsReport:
    """What `read_facts` did, and what the library has now.

    Parameters
    ----------
    read : int
        Files that were read.
    changed : int
        Those whose facts are others than before.
    missing : int
        Files that cannot be opened; what the library has of them stays.
    rules : TimeRules
        How times were read.
    facts : dict of str to FactSummary
        Every fact that an item has.
    """

    read: int = 0
    changed: int = 0
    missing: int = 0
    rules: TimeRules = field(default_factory=TimeRules)
    facts: dict[str, FactSummary] = field(default_factory=dict)


def read_facts(
    library: PathLike | Library,
    *,
    time_zone: str | None = None,
    time_patterns: Sequence[str] | None = None,
    progress: bool | None = None,
) -> FactsReport:
    """Read what the files of a library say of themselves again, without embedding anything.

    Parameters
    ----------
    library : path-like or Library
        The library.
    time_zone : str or None
        The zone of times that files state without one, such as "Europe/Berlin"; times in UTC are converted to it.
        "local" leaves both as they are. None stands for what the library was told last.
    time_patterns : sequence of str or None
        Patterns of `strptime` for times in the names of files, as of `index`. None stands for those of the library.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    FactsReport

    Raises
    ------
    LibraryError
        If the library is damaged, or another process writes to it.
    SightsoundError
        If there is no such time zone or directive of a pattern.

    Examples
    --------
    >>> report = sightsound.read_facts("zoo", time_zone="Europe/Berlin")
    """
    changed_rules(TimeRules(), time_zone, time_patterns)  # raises SightsoundError before the library is touched
    with open_library(library) as opened:
        rules = changed_rules(opened.time_rules, time_zone, time_patterns)
        with opened.writing() as writer:
            writer.set_time_rules(rules)
            report = read_all_files(opened, writer, rules, progress)
        report.facts = summarise_facts(opened)
    return report


def read_all_files(library: Library, writer: Writer, rules: TimeRules, progress: bool | None = None) -> FactsReport:
    """Read what all files of a library say of themselves, and commit it.

    Parameters
    ----------
    library : Library
        The library.
    writer : Writer
        Its writer.
    rules : TimeRules
        How times are read.
    progress : bool or None
        As of `read_facts`.

    Returns
    -------
    FactsReport
        Without the facts.
    """
    report = FactsReport(rules=rules)
    ((count,),) = library.rows(f"SELECT count(*) {_MEDIA}")
    with bar(count, "facts", progress) as shown, ThreadPoolExecutor(cores(), "sightsound-facts") as pool:
        for items in _pages(library):
            for item, facts in zip(items, pool.map(lambda each: _of_file(each, rules), items)):
                if facts is None:
                    report.missing += 1
                else:
                    report.read += 1
                    report.changed += writer.outcomes.set_file_facts(item.id or 0, facts)
            writer.commit()
            shown.update(len(items))
    return report


_MEDIA = "FROM items i JOIN roots r ON r.id = i.root JOIN contents c ON c.id = i.content WHERE c.modality IS NOT NULL"


def _pages(library: Library) -> Iterator[list[Item]]:
    """Yield the items that are images or sounds, some at a time."""
    last = 0
    query = f"SELECT r.path, i.path, i.id {_MEDIA} AND i.id > ? ORDER BY i.id LIMIT {_PAGE}"
    while items := library.decoded(query, decode_item, last):
        yield items
        last = items[-1].id or 0


def _of_file(item: Item, rules: TimeRules) -> dict[str, Any] | None:
    """Return the facts of a file, None if it cannot be opened."""
    try:
        open_file(item.file).close()
    except MediaError:
        return None
    return read_file_facts(item, rules)


def summarise_facts(library: PathLike | Library) -> dict[str, FactSummary]:
    """Return every fact that items of a library have, with how many have it and in what range; no file is read.

    Parameters
    ----------
    library : path-like or Library
        The library.

    Returns
    -------
    dict of str to FactSummary
        Sorted by the names of the facts. All texts are counted; a summary has the 1,000 most frequent ones, and the
        number of all.
    """
    with open_library(library) as opened, FactCounts() as counts:
        for _, facts in opened.all_facts():
            for name, value in facts.items():
                if value is not None:
                    counts.add(name, value)
        return counts.summaries()
