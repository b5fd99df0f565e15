"""Tables of rows: what is read of each, block by block, whatever the format of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable
from sightsound.contract.row_names import ABOUT, FACT, TOP_IDS, TOP_LABELS, TOP_SCORES, WINDOW
from sightsound.formats.texts import NOTE
from sightsound.library.incoming.row_scores import StatedScores
from sightsound.library.label_names import named_label_column

BLOCK_BYTES = 2**25
"""Bytes of vectors, as float32, that are read at once."""
_MOST_ROWS = 2**14
VECTORS = ("embedding", "vector", "embeddings", "vectors")
PATHS = ("path", "paths")
ROOTS = ("root", "roots")
CONTENTS = ("content", "contents", "sha256", "hash")
STARTS, STOPS, SECONDS = ("start",), ("stop", "end"), ("seconds",)
"""The names that a column may have. The first that a file has is taken."""
LABELS = "labels."
"""Columns whose names begin with this are taken for labels."""
CLASSES = (TOP_LABELS, TOP_IDS)
"""Columns of lists of texts that are no labels: the best classes of a network."""
_TABLE = (*VECTORS, *PATHS, *ROOTS, *CONTENTS, *STARTS, *STOPS, *SECONDS, *CLASSES, TOP_SCORES, NOTE.name)
MEANT = (*_TABLE, *ABOUT)
MEANT_PREFIXES = (LABELS, FACT, WINDOW)
"""Names, and beginnings of names, that mean something in a file of rows, and so are none of columns of labels."""


@dataclass(frozen=True)
class TableBlock:
    """Some rows of a table.

    Parameters
    ----------
    first : int
        Number of the first of them in the table, from 0.
    paths, roots : list of str
        The files, "" where the table has none.
    vectors : ndarray of float32 (n, dim)
        The rows. Those with a problem have any numbers.
    problems : dict of int to str
        Number of a row in the block -> why it cannot be taken.
    spans : ndarray of float64 (n, 2) or None
        Start and stop in seconds, NaN where there are none.
    contents : list of str
        SHA-256 of the files as the table states them, "" where it does not.
    labels : dict of str to list of tuple of str
        The values of each column of labels, for each row.
    scores : ndarray of float32 (n, classes) or None
        The scores of all classes that `Stated.scores` has.
    """

    first: int
    paths: list[str]
    roots: list[str]
    vectors: Floats
    problems: dict[int, str]
    spans: Seconds | None
    contents: list[str]
    labels: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    scores: Floats | None = None


@dataclass(frozen=True)
class Stated:
    """What a file says of all its rows.

    Parameters
    ----------
    columns : tuple of str
        The names of its columns.
    dim : int
        Length of a row.
    timed : bool
        Whether it has seconds.
    space, fingerprint : str
        The space of sightsound that it claims, "" if none.
    scores : StatedScores or str
        What scores it has. A text says why they cannot be taken; it is empty where there are none.
    left : tuple of str
        Columns of texts that are not taken, though they may be labels.
    """

    columns: tuple[str, ...]
    dim: int
    timed: bool
    space: str = ""
    fingerprint: str = ""
    scores: StatedScores | str = ""
    left: tuple[str, ...] = ()


class RowSource(Protocol):
    """A file with rows, open for reading from the beginning as often as needed.

    Attributes
    ----------
    file : str
        Its path.
    count : int
        Number of rows.
    stated : Stated
        What it says of all rows.
    """

    file: str
    count: int
    stated: Stated

    def places(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the paths and the roots of all rows, block by block."""

    def blocks(self) -> Iterator[TableBlock]:
        """Yield all rows, block by block."""


def rows_at_once(dim: int) -> int:
    """Return how many rows of a length are read at once."""
    return max(1, min(_MOST_ROWS, BLOCK_BYTES // (4 * max(1, dim))))


def named(file: str, columns: Sequence[str], names: Sequence[str], what: str = "") -> str:
    """Return the first of some names that a file has as a column.

    Parameters
    ----------
    file : str
        The file, for the error.
    columns : sequence of str
        What it has.
    names : sequence of str
        What the column may be called.
    what : str
        What the column holds. "" returns "" for a column that is not there.

    Raises
    ------
    SightsoundError
        If a column that is needed is not there.
    """
    found = next((name for name in names if name in columns), "")
    if what and not found:
        have = printable(", ".join(columns)) or "none"
        raise SightsoundError(f"{file}: expected a column {names[0]!r} with {what}, got {have}; rename the column")
    return found


def label_columns(file: str, columns: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return the columns of labels of a file: name of the column in the library -> in the file.

    Parameters
    ----------
    file : str
        The file, for the error.
    columns : sequence of str
        What it has.
    wanted : sequence of str
        The columns that the user named; those that begin with `labels.` are taken without being named. `label.NAME`, as
        `export` has it for a column of labels where the table has another NAME, is NAME.

    Raises
    ------
    SightsoundError
        If the file has no column of a name.
    """
    found = {name.removeprefix(LABELS): name for name in columns if name.startswith(LABELS) and name != LABELS}
    for name in wanted:
        if name in found:
            continue
        own = name.removeprefix("label.")
        taken = [*columns, *MEANT, *([own] if own.startswith(MEANT_PREFIXES) else [])]
        column, source = named_label_column(name, taken)
        if source not in columns:
            have = printable(", ".join(columns))
            raise SightsoundError(f"{file}: expected a column {name!r} with labels, got {have}; see --labels")
        found[column] = source
    return found


def not_taken(columns: Sequence[str], labels: Iterable[str]) -> list[str]:
    """Return the columns of a file that have no meaning here and are not taken as labels.

    Parameters
    ----------
    columns : sequence of str
        What the file has.
    labels : iterable of str
        Those that are taken as labels.
    """
    known = {*_TABLE, *labels}
    return [name for name in columns if name not in known and not name.startswith(FACT)]


def label_values(value: Any) -> tuple[str, ...]:
    """Return the labels in a cell: a text or a number, or several of them. An empty cell has none."""
    many = value if isinstance(value, list | tuple | np.ndarray) else [value]
    return tuple(str(each) for each in many if each is not None and each == each and str(each) != "")


def note_not_finite(vectors: Floats, problems: dict[int, str]) -> None:
    """Add a problem for each row that has a number which is not finite.

    Parameters
    ----------
    vectors : ndarray of float32 (n, dim)
        The rows.
    problems : dict of int to str
        Number of a row -> why it cannot be taken.
    """
    finite = np.isfinite(vectors).all(axis=1)
    for number in np.flatnonzero(~finite).tolist():
        problems.setdefault(number, "a number is NaN, infinite or too large for float32")
