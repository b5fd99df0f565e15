"""What a filter names is there: columns of labels, and facts. All that take a filter check it here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import nearest
from sightsound.library.fact_conditions import check_facts
from sightsound.library.filters import Filter
from sightsound.library.store.queries import has_label_column, read_label_columns

if TYPE_CHECKING:
    from sightsound.library.store.database import Database


def check_filter(database: Database, where: Filter) -> None:
    """Refuse a filter with a column of labels, or a fact, that a library does not have.

    Parameters
    ----------
    database : Database
        The library.
    where : Filter
        The filter.

    Raises
    ------
    SightsoundError
        With the nearest column, or fact, that there is.
    """
    check_facts(database, where.facts)
    if missing := [column for column in named_columns(where) if not has_label_column(database, column)]:
        require_columns(missing, read_label_columns(database))


def require_columns(columns: Sequence[str], known: Collection[str]) -> None:
    """Raise `SightsoundError` for a column of labels that is not among those that are known, with the nearest one."""
    for column in columns:
        if column not in known:
            similar = nearest(column, known)
            step = f"did you mean {similar!r}?" if similar else f"there are {', '.join(sorted(known)) or 'none'}"
            raise SightsoundError(f"column {column!r}: expected one of the library's; {step}")


def filters_of_each(where: Filter, columns: Sequence[Collection[str]]) -> list[Filter | None]:
    """Return what a filter asks of each of several libraries, one of which must have each column of labels.

    Parameters
    ----------
    where : Filter
        The filter.
    columns : sequence of collection of str
        The columns of labels of each library.

    Returns
    -------
    list of Filter or None
        None for a library of which no item can match, since it does not have a column.

    Raises
    ------
    SightsoundError
        If no library has a column, with the nearest one.
    """
    require_columns(named_columns(where), {column for each in columns for column in each})
    found: list[Filter | None] = []
    for each in columns:
        unlabelled = tuple(column for column in where.unlabelled if not column or column in each)
        own = replace(where, unlabelled=unlabelled)
        found.append(own if set(named_columns(own)) <= set(each) else None)
    return found


def named_columns(where: Filter) -> list[str]:
    """Return the columns of labels that a filter names."""
    of_labels = [text.partition("=")[0] for text in where.labels if "=" in text]
    return [*of_labels, *(column for column in (*where.labelled, *where.unlabelled) if column)]
