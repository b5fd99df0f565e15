"""Take in items that the library that is written has nothing of, many at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightsound.contract.results import Item
from sightsound.library.merging.source import STRETCH_BYTES, MergeSource, SourceItem, StoredOutcome, StoredRun
from sightsound.library.store.lookup import FoundItem, are_nested
from sightsound.library.store.new_items import NewItem
from sightsound.library.store.validation import decode_item
from sightsound.library.store.writer import Writer
from sightsound.media.files import item_of


@dataclass(frozen=True)
class Taken:
    """What was taken in at once.

    Parameters
    ----------
    left : list of tuple
        The items that were not.
    items, rows, row_bytes : int
        How many items and rows were, and the bytes of the rows.
    """

    left: list[SourceItem]
    items: int
    rows: int
    row_bytes: int


class Roots:
    """Finds the item that a file is in the library that is written, where other folders may be its roots.

    Parameters
    ----------
    writer : Writer
        Its writer.
    """

    def __init__(self, writer: Writer) -> None:
        self._roots = [root for (root,) in writer.read("SELECT path FROM roots WHERE typeof(path) = 'blob'")]
        self._names = [os.fsdecode(root) for root in self._roots]
        self._near: dict[bytes, bool] = {}  # root of the source -> whether another root is above or below it

    def place(self, found: FoundItem) -> Item:
        """Return the item."""
        item = decode_item(found.root, found.path, found.id)
        if found.root not in self._near:
            others = [root for root in self._roots if root != found.root]
            self._near[found.root] = any(are_nested(found.root, root) for root in others)
        if self._near[found.root]:
            placed = item_of(item.file, self._names)
            if placed.root in self._names:
                return placed
        return Item(item.root, item.path)


class BulkMerge:
    """Takes in items whose files and contents the library that is written does not have.

    Parameters
    ----------
    source : MergeSource
        The library that is read.
    writer : Writer
        The writer of the other one.
    roots : Roots
        Finds the places of its items.
    space : callable
        Returns the number of a space of the source in the library that is written.
    """

    def __init__(self, source: MergeSource, writer: Writer, roots: Roots, space: Callable[[int], int]) -> None:
        self._source, self._intake, self._roots, self._space = source, writer.intake, roots, space
        self._keep_scores = writer.keep_scores

    def take(self, block: Sequence[SourceItem]) -> Taken:
        """Take in those of some items that can be taken in at once."""
        known = self._intake.lookup.known([found for found, *_ in block])
        unknown = [each for each, there in zip(block, known) if not there]
        outcomes = self._source.outcomes([found for found, *_ in unknown])
        wanted = {
            (each.content, each.space): each.hash
            for stored in outcomes.values()
            for each in stored
            if each.outcome.status == "ok" and each.content is not None and each.hash is not None
        }
        contents = {content for content, _ in wanted}
        runs = [run for run in self._source.runs(contents) if (run.content, run.space) in wanted]
        unfit = self._source.tagged(contents) | self._unfit(runs)
        chosen, files = list[tuple[SourceItem, Item]](), set[bytes]()
        for each in unknown:
            found, item = each[0], self._roots.place(each[0])
            file = os.path.join(found.root, found.path)
            simple = file == os.path.join(os.fsencode(item.root), os.fsencode(item.path)) and file not in files
            if simple and self._is_plain(found, outcomes[found.id], unfit):
                chosen.append((each, item))
                files.add(file)
        taken = {each[0].id for each, _ in chosen}
        rows, row_bytes = self._add(chosen, outcomes, wanted, runs) if chosen else (0, 0)
        return Taken([each for each in block if each[0].id not in taken], len(taken), rows, row_bytes)

    def _unfit(self, runs: Sequence[StoredRun]) -> set[int]:
        """Return the contents whose rows are not all in one run, or too many to be copied with those of others."""
        seen, unfit = set[tuple[int, int]](), set[int]()
        room = {space: self._intake.stretches.room(self._space(space)) for space in {run.space for run in runs}}
        for run in runs:
            large = run.count > room[run.space] or self._source.run_bytes(run) > STRETCH_BYTES
            if large or (run.content, run.space) in seen:
                unfit.add(run.content)
            seen.add((run.content, run.space))
        return unfit

    def _is_plain(self, found: FoundItem, stored: Sequence[StoredOutcome], unfit: set[int]) -> bool:
        """Return whether the outcomes of an item are of its present content, and of one modality, as is the rule."""
        spaces = self._source.spaces
        modalities = {spaces[each.space].modality if each.space in spaces else each.space for each in stored}
        return len(modalities) < 2 and all(
            each.hash in (None, found.hash) and each.content not in unfit and (not each.space or each.space in spaces)
            for each in stored
        )

    def _add(
        self,
        chosen: Sequence[tuple[SourceItem, Item]],
        outcomes: Mapping[int, Sequence[StoredOutcome]],
        hashes: Mapping[tuple[int, int], bytes | None],
        runs: Sequence[StoredRun],
    ) -> tuple[int, int]:
        """Add items with their rows; return how many rows, and their bytes."""
        items = [found for (found, *_), _ in chosen]
        labels, ranges = self._source.labels(items), self._source.ranges(items)
        contents = self._intake.add_new(
            [
                NewItem(
                    *(item, stat, found.hash, modality, labels.get(found.id, ()), ranges.get(found.id, ())),
                    [(self._space(each.space), each.outcome) for each in outcomes[found.id]],
                )
                for (found, stat, modality), item in chosen
            ]
        )
        rows = row_bytes = 0
        for stretch in self._source.stretches([r for r in runs if hashes[r.content, r.space] in contents]):
            space = self._space(stretch.facts.space)
            self._keep_scores(space, stretch.facts.layout.scores, self._source.class_list(stretch.facts))
            own = [contents[hashes[content, stretch.facts.space] or b""] for content in stretch.contents.tolist()]
            self._intake.stretches.add_stored(space, stretch, np.array(own))
            rows += len(stretch.parts[0])
            row_bytes += sum(part.nbytes for part in stretch.parts)
        return rows, row_bytes
