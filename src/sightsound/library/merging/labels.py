"""Labels of two libraries: where they conflict, and which of them an item gets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import printable
from sightsound.contract.results import Item
from sightsound.library.store.lookup import FoundItem, Lookup

Prefer = Literal["a", "b", "both"]
"""Whose labels an item gets where two libraries differ."""
MOST_NAMED = 1000
"""How many conflicts are named; further ones are counted."""


@dataclass(frozen=True)
class Conflict:
    """Something that two libraries say differently of a file.

    Parameters
    ----------
    root, path : str
        The file, as in the second library: its folder and its path in it.
    column : str
        The column of labels; "" where the contents of the file differ.
    a, b : tuple of str
        The values in the first and in the second library; SHA-256 of contents.
    """

    root: str
    path: str
    column: str
    a: tuple[str, ...]
    b: tuple[str, ...]

    @property
    def item(self) -> Item:
        """The file."""
        return Item(self.root, self.path)

    def __str__(self) -> str:
        what = self.column or "content"
        ours, theirs = ", ".join(self.a), ", ".join(self.b)
        return f"{printable(self.item.shown)}: {what} is {ours} in the first, {theirs} in the second"


class MergeConflict(LibraryError):
    """Two libraries say different things of the same files.

    Parameters
    ----------
    text : str
        The message.
    conflicts : list of Conflict
        The first thousand of them.
    count : int
        How many there are.
    """

    def __init__(self, text: str, conflicts: list[Conflict], count: int) -> None:
        super().__init__(text)
        self.conflicts, self.count = conflicts, count


@dataclass
class Decided:
    """What an item of the second library does to labels of the first.

    Parameters
    ----------
    labels : dict of str to set of str
        Column -> values that the item gets.
    others : list of tuple
        Other items of the first library that get other values: item, column, values.
    conflicts : list of Conflict
        What differs.
    """

    labels: dict[str, frozenset[str]] = field(default_factory=dict)
    others: list[tuple[FoundItem, str, frozenset[str]]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


def decide(item: FoundItem, same: FoundItem | None, a: Lookup, b: Lookup, prefer: Prefer) -> Decided:
    """Return what becomes of the labels of an item, and of those of equal files.

    Labels conflict if a file of the same path, or another one of the same content that the second library does not
    have, has other values in the same column.

    Parameters
    ----------
    item : FoundItem
        An item of the second library.
    same : FoundItem or None
        The item of its path in the first library.
    a, b : Lookup
        Both libraries.
    prefer : {"a", "b", "both"}
        Whose values count where they conflict.
    """
    decided, theirs = Decided(), b.labels(item.id)
    if not theirs:
        return decided
    others = [each for each in a.items_of(item.hash) if same is None or each.id != same.id]
    others = [each for each in others if b.item(each.root, each.path) is None]
    known = [(each, a.labels(each.id)) for each in ([] if same is None else [same]) + others]
    for column, values in theirs.items():
        ours = [(each, labels[column]) for each, labels in known if column in labels]
        differing = [(each, found) for each, found in ours if found != values]
        decided.conflicts += [
            Conflict(*_place(item), column, tuple(sorted(found)), tuple(sorted(values))) for _, found in differing
        ]
        if not differing:
            decided.labels[column] = values
        elif prefer == "a":
            decided.labels[column] = ours[0][1]
        else:
            if prefer == "both":
                mates = (b.labels(each.id).get(column, frozenset()) for each in b.items_of(item.hash))
                values = values.union(*mates, *(found for _, found in ours))
            decided.labels[column] = values
            decided.others += [(each, column, values) for each, _ in differing if each is not same]
    return decided


def find_conflicts(blocks: Iterable[Sequence[FoundItem]], a: Lookup, b: Lookup) -> Iterator[Conflict]:
    """Yield what two libraries say differently.

    Parameters
    ----------
    blocks : iterable of sequence of FoundItem
        The items of the second library, some at a time.
    a, b : Lookup
        Both libraries.
    """
    items = (item for block in blocks for item, known in zip(block, a.known(block)) if known)
    for item in items:
        same = a.item(item.root, item.path)
        if same is not None and None not in (same.hash, item.hash) and same.hash != item.hash:
            hashes = [(each.hash or b"").hex() for each in (same, item)]
            yield Conflict(*_place(item), "", (hashes[0],), (hashes[1],))
        yield from decide(item, same, a, b, "a").conflicts


def _place(item: FoundItem) -> tuple[str, str]:
    return os.fsdecode(item.root), os.fsdecode(item.path)


def require_no_conflicts(found: Iterator[Conflict], names: tuple[str, str]) -> None:
    """Raise `MergeConflict` if there is any.

    Parameters
    ----------
    found : iterator of Conflict
        What differs.
    names : tuple of str
        The names of both libraries.
    """
    named, count = list[Conflict](), 0
    for conflict in found:
        count += 1
        if len(named) < MOST_NAMED:
            named.append(conflict)
    if count:
        text = (
            f"{names[0]} and {names[1]} differ in {count} labels or contents, such as {named[0]}; "
            "say which count (--prefer a, b or both)"
        )
        raise MergeConflict(text, named, count)
