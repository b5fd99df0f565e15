"""Where the labels of a data set come from, and their table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import groupby
from operator import itemgetter

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import nearest
from sightsound.contract.results import Item
from sightsound.library import labels as library_labels
from sightsound.library.item_finder import ItemFinder
from sightsound.library.label_files import LabelFile
from sightsound.library.library import Library

UNLABELLED = "unlabelled"
"""The background of the items without a label."""

Values = Mapping[int, Mapping[str, Sequence[str]]]
"""The values of items: id of the item -> column -> values."""


@dataclass(frozen=True)
class Labels:
    """Where the labels, folds and groups of items come from.

    Parameters
    ----------
    source : str, optional
        None for the labels that the library stores, `folder` for the name of the folder of each file, otherwise a CSV
        with a column `path`. Its paths are relative to an indexed folder or to the folder of the CSV.
    column : str, optional
        The column with the classes. By default `label`, or the only column that is left. Where the library stores the
        labels, this column and the next two may also be facts of the files, such as `camera` or `keywords`.
    fold_column : str, optional
        The column with official folds.
    group_column : str, optional
        The column with groups. Items of one group, such as a speaker or a place, are never on both sides of a split.
    multi_label : bool
        Whether an item may have several classes.
    background : str, optional
        A value of the column whose items have none of the classes, or `unlabelled` for the items without a value. From
        these `fit_probe` takes the threshold under which an item gets no class.
    ranges : bool
        Whether the classes are those of time ranges in the library: a row is a window, with the labels of the ranges
        that it overlaps. Windows of a recording without ranges have its own label in the column, if it has one.
    min_overlap : float
        The least part of a range or of a window, whichever is shorter, that must overlap; over 0 and up to 1.
    others : str, optional
        The class of the windows without a range, of recordings that have some. Without it they are left out.
    """

    source: str | None = None
    column: str | None = None
    fold_column: str | None = None
    group_column: str | None = None
    multi_label: bool = False
    background: str | None = None
    ranges: bool = False
    min_overlap: float = 0.5
    others: str | None = None


@dataclass(frozen=True)
class LabelTable:
    """The values of items in all columns of a source of labels.

    Parameters
    ----------
    values : mapping of int to mapping of str to sequence of str
        The id of an item -> column -> values.
    unmatched : tuple of str
        Paths of the source that are not in the library.
    range_columns : tuple of str
        The columns of time ranges in the library.
    facts : tuple of str
        The columns that are facts of files. They are classes only where they are named.
    others : tuple of str
        Facts that could have been named.
    """

    values: Values
    unmatched: tuple[str, ...] = ()
    range_columns: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def get(self, item: Item, column: str) -> tuple[str, ...]:
        """Return the different values of an item in a column, sorted."""
        return tuple(sorted(set(self.values.get(item.id or 0, {}).get(column, ()))))

    def get_one(self, item: Item, column: str | None, *, required: bool) -> str:
        """Return the only value of an item in a column.

        Parameters
        ----------
        item : Item
            An item of the library.
        column : str, optional
            The name of the column. Without it the value is "".
        required : bool
            Whether the item must have a value. It is "" otherwise.

        Raises
        ------
        SightsoundError
            If there are several values, or none where one is required.
        """
        values = self.get(item, column) if column else ()
        if column and (len(values) > 1 or (required and not values)):
            raise SightsoundError(f"{item}: expected one value of {column!r}, got {len(values)}; correct its row")
        return values[0] if values else ""

    def class_column(self, labels: Labels) -> str:
        """Return the column with the classes: the one that is named, `label`, or the only one that is left."""
        ranges = self.range_columns if labels.ranges else ()
        known = sorted({*(column for row in self.values.values() for column in row), *ranges})
        for named in (labels.column, labels.fold_column, labels.group_column):
            if named is not None and named not in known:
                expected = known or "none: nothing is labelled"
                near = nearest(named, known) or next(iter(get_close_matches(named, self.others, 1, 0.75)), None)
                advice = f"did you mean {near!r}?" if near else "see --label-from"
                if named in self.range_columns:
                    advice = "it has labels of time ranges: use --windows"
                raise SightsoundError(f"column {named!r}: expected one of {expected}; {advice}")
        if labels.ranges and not self.range_columns:
            raise SightsoundError(
                "labels: expected time ranges in the library, found none; sightsound label --from FILE"
            )
        if labels.column is not None:
            return labels.column
        left = [
            column for column in ranges or known if column not in (labels.fold_column, labels.group_column, *self.facts)
        ]
        if library_labels.COLUMN in left:
            return library_labels.COLUMN
        if not left:
            raise SightsoundError("labels: expected some in the library, found none; give --label-from folder or a CSV")
        if len(left) > 1:
            raise SightsoundError(f"columns {left}: expected one to have the classes; name it with --label-column")
        return left[0]


def read_label_table(library: Library, labels: Labels) -> LabelTable:
    """Read the labels of the items of a library.

    Parameters
    ----------
    library : Library
        An open library.
    labels : Labels
        Where the labels come from.

    Returns
    -------
    LabelTable

    Raises
    ------
    SightsoundError
        If a CSV cannot be read, or none of its paths is in the library.
    """
    table = _read(library, labels)
    return replace(table, range_columns=tuple(library.label_columns(ranges=True)))


def _read(library: Library, labels: Labels) -> LabelTable:
    source = labels.source
    if source is None:
        return _with_facts(library, _stored(library), (labels.column, labels.fold_column, labels.group_column))
    if source == library_labels.FOLDER:
        items = library.items()
        return LabelTable({i.id or 0: {library_labels.COLUMN: [library_labels.folder_label(i)]} for i in items})
    return _from_csv(library, source)


def _with_facts(library: Library, values: _Stored, columns: Sequence[str | None]) -> LabelTable:
    """Return the table with the columns that no label has, but that are facts of files."""
    labelled = {column for row in values.values() for column in row}
    wanted = {column for column in columns if column is not None and column not in labelled}
    found = set[str]()
    for item, facts in library.all_facts() if wanted else ():
        for column in wanted & facts.keys():
            fact = facts[column]
            texts = [str(each) for each in (fact if isinstance(fact, list) else [fact])]
            values[item] = {**values.get(item, {}), column: texts}
            found.add(column)
    others = tuple(library.fact_names()) if wanted - found else ()
    return LabelTable(values, facts=tuple(sorted(found)), others=others)


_Stored = dict[int, dict[str, list[str]]]


def _stored(library: Library) -> _Stored:
    """Return the labels that a library stores; items whose labels are the same share them, which saves memory."""
    values: _Stored = {}
    known: dict[tuple[tuple[str, str], ...], dict[str, list[str]]] = {}
    for item, labels in groupby(library.all_labels(), key=itemgetter(0)):
        pairs = tuple((column, value) for _, column, value in labels)
        if pairs not in known:
            known[pairs] = {}
            for column, value in pairs:
                known[pairs].setdefault(column, []).append(value)
        values[item] = known[pairs]
    return values


def _from_csv(library: Library, source: str) -> LabelTable:
    file = LabelFile(source)
    if file.ranges:
        raise SightsoundError(
            f"{source}: expected labels of whole files, got those of time ranges; store them: "
            f"sightsound label --from {source} --library {library.path.name}, and use --windows"
        )
    folders = [*library.roots, os.path.dirname(os.path.abspath(source))]
    finder = ItemFinder(library.rows, library.roots, folders, first=True)
    values: dict[int, dict[str, list[str]]] = {}
    unmatched = []
    for row in file.rows():
        found = finder.find(row)
        if isinstance(found, str):
            unmatched.append(found)
            continue
        for column, value in row.values.items():
            if value:
                values.setdefault(found.id, {}).setdefault(column, []).append(value)
    if not values:
        first = f"none of {len(unmatched)} is (the first: {unmatched[0]})" if unmatched else "it has no rows"
        raise SightsoundError(f"{source}: expected paths of the library's items, {first}; see `sightsound stats`")
    return LabelTable(values, tuple(unmatched))
