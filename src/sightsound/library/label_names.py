"""The names that columns of labels have in tables which use some names otherwise, and back."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_LABEL = "label."


def label_column_names(columns: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Return the names that columns of labels have in a table, where other columns have taken some names.

    A name is that of the column of labels. One that is taken becomes `label.NAME`, with more of `label.` if need be.
    """
    used, found = {*taken, *columns}, {}
    for column in columns:
        name = column
        while name in taken or (name != column and name in used):
            name = f"{_LABEL}{name}"
        used.add(name)
        found[column] = name
    return found


def named_label_column(name: str, columns: Collection[str]) -> tuple[str, str]:
    """Return the names of a column of labels in the library and in a table, by either of them.

    Parameters
    ----------
    name : str
        What the user, or the table, says. `score` and `label.score` mean the same where the table has the latter, and
        another `score` of its own.
    columns : collection of str
        The columns of the table.
    """
    if f"{_LABEL}{name}" in columns:
        return name, f"{_LABEL}{name}"
    own = name.removeprefix(_LABEL)
    return (own if own in columns else name), name
