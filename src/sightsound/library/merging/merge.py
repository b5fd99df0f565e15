"""Take the items of one library into another: rows are copied, not computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound.contract.card import Modality
from sightsound.contract.results import Item
from sightsound.library.merging.bulk_merge import BulkMerge, Roots
from sightsound.library.merging.labels import Prefer, decide
from sightsound.library.merging.source import MergeSource, StoredOutcome
from sightsound.library.store.commit_pace import CommitPace
from sightsound.library.store.lookup import FoundItem
from sightsound.library.store.validation import decode_item
from sightsound.library.store.writer import Writer


@dataclass
class MergeReport:
    """What a merge did.

    Parameters
    ----------
    items : int
        Items that are new.
    known : int
        Items that were there already.
    rows : int
        Rows that were copied.
    conflicts : int
        Labels and contents that differed, and were settled by `prefer`.
    copied : int
        Items of the first library, where a new one was made: these are not counted above.
    """

    items: int = 0
    known: int = 0
    rows: int = 0
    conflicts: int = 0
    copied: int = 0


class Merge:
    """Takes one library into another.

    Parameters
    ----------
    source : MergeSource
        The library that is read.
    writer : Writer
        The writer of the other one.
    prefer : {"a", "b", "both"}
        Whose labels count where they differ: "a" is the library that is written, "b" the one that is read.
    report : MergeReport
        Where it is counted.
    """

    def __init__(self, source: MergeSource, writer: Writer, prefer: Prefer, report: MergeReport) -> None:
        self._source, self._writer, self._prefer, self._report = source, writer, prefer, report
        self._spaces: dict[int, int] = {0: 0}
        self._roots = Roots(writer)
        self._bulk = BulkMerge(source, writer, self._roots, self._space)
        self._pace, self._row_bytes = CommitPace(writer), 0

    def run(self, progress: bool | None) -> None:
        """Take in all items. What was committed stays if it breaks off; another run goes on from there."""
        with bar(len(self._source), "merge", progress, unit="item") as shown:
            for block in self._source.blocks():
                taken = self._bulk.take(block)
                self._report.items += taken.items
                self._report.rows += taken.rows
                self._pace.add(taken.items, taken.row_bytes)
                shown.update(taken.items)
                for item, stat, modality in taken.left:
                    self._take(item, stat, modality)
                    shown.update()
        self._writer.commit()

    def _take(self, found: FoundItem, stat: tuple[int, int], modality: Modality | None) -> None:
        known = self._writer.intake.lookup
        same = known.item(found.root, found.path)
        item = self._place(found, same)
        decided = decide(found, same, known, self._source.lookup, self._prefer)
        self._report.conflicts += len(decided.conflicts)
        if self._record(item, found, same, stat, modality):
            for stored in self._source.outcomes([found])[found.id]:
                self._take_outcome(item, stored)
        id_ = self._writer.items.id(item)
        self._writer.intake.add_ranges(id_, self._source.ranges([found]).get(found.id, ()))
        for column, values in decided.labels.items():
            self._writer.items.label(id_, column, sorted(values))
        for other, column, values in decided.others:
            self._writer.items.label(other.id, column, sorted(values))
        self._pace.add(1, self._row_bytes)
        self._row_bytes = 0

    def _place(self, found: FoundItem, same: FoundItem | None) -> Item:
        """Return the item that a file is in the library that is written, where other folders may be its roots."""
        if same is not None:
            return replace(decode_item(same.root, same.path, same.id), id=None)
        return self._roots.place(found)

    def _record(
        self,
        item: Item,
        found: FoundItem,
        same: FoundItem | None,
        stat: tuple[int, int],
        modality: Modality | None,
    ) -> bool:
        """Record an item, and return whether its content is that of the source."""
        items = self._writer.items
        if same is None:
            items.record(item, stat, found.hash, modality, renamed=False)
            self._report.items += 1
            return True
        self._report.known += 1
        items.find(item)
        if same.hash == found.hash:
            return True
        if found.hash is None:
            return False
        if same.hash is not None:
            self._report.conflicts += 1
            if self._prefer != "b":
                return False
        items.record(item, stat, found.hash, modality, renamed=False)
        return True

    def _take_outcome(self, item: Item, stored: StoredOutcome) -> None:
        """Take in an outcome, unless there is a better one, and the rows that it has."""
        intake, outcome = self._writer.intake, replace(stored.outcome, item=item)
        space = self._space(stored.space)
        there = intake.outcome(item, space)
        if stored.space == 0 and there is None and self._writer.outcomes.exist(item):
            return
        content = None if stored.hash is None else intake.content(stored.hash, stored.modality)
        if outcome.status == "ok" and stored.content is not None and content is not None:
            better = there is None or there[0] != "ok" or not there[1]
            self._copy_rows(stored.content, stored.space, content, space, needed=better)
        else:
            better = there is None
        if better:
            self._writer.outcomes.record(outcome, space, content)

    def _copy_rows(self, theirs: int, their_space: int, content: int, space: int, *, needed: bool) -> None:
        """Copy the rows of a content, or those with scores in place of those without."""
        facts, intake = self._source.layout(theirs, their_space), self._writer.intake
        if facts is None:
            return
        classes = self._source.class_list(facts)
        if intake.lacks_rows(content, space, scores=classes is not None) and (needed or classes is not None):
            self._writer.keep_scores(space, facts.layout.scores, classes)
            intake.add_rows(content, space, self._counted(theirs, their_space))
        if classes is None and (tags := self._source.tags(theirs, their_space)) is not None:
            intake.add_tags(content, space, *tags)

    def _counted(self, content: int, space: int) -> Iterator[list[NDArray[Any]]]:
        for parts in self._source.rows(content, space):
            self._report.rows += len(parts[0])
            self._row_bytes += sum(part.nbytes for part in parts)
            yield parts

    def _space(self, number: int) -> int:
        """Return the number of a space of the source in the library that is written."""
        if number not in self._spaces:
            self._spaces[number] = self._writer.space_id(self._source.spaces[number])
        return self._spaces[number]
