"""What an import of rows did."""

from __future__ import annotations

from dataclasses import dataclass, field

from sightsound.contract.space import Space

MOST_NAMED = 1000
"""How many rows that were left out are named; further ones are counted."""


@dataclass(frozen=True)
class LeftOut:
    """A row of a table, or all rows of a file, that was not imported. `str()` gives it in one line.

    Parameters
    ----------
    row : int
        Number of the (first) row in the table, from 0.
    path : str
        The path that the table has, "" if none.
    reason : str
        Why it was left out.
    """

    row: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.path or 'no path'}): {self.reason}"


@dataclass(frozen=True)
class Verification:
    """What became of imported rows that claim a space of a network.

    Parameters
    ----------
    space : Space
        The space of the imported rows.
    files : int
        How many files were embedded again.
    farthest : float
        The largest difference, 1 - cosine, between a row that was imported and one that was made anew.
    rows : int
        How many rows joined the space of the network.
    """

    space: Space
    files: int
    farthest: float
    rows: int


@dataclass
class ImportReport:
    """What an import of rows did.

    Parameters
    ----------
    spaces : list of Space
        The spaces that the rows are in; one for each layer of a file that has several.
    items : int
        Files whose rows were imported, or whose rows another file of the same content had.
    unchanged : int
        Files whose rows the library had already.
    rows : int
        Rows that were imported.
    scores : int
        How many of them have scores.
    absent : int
        Files that are not on this machine, among both.
    left_out : list of LeftOut
        The rows that were left out, the first thousand.
    left_out_count : int
        How many there are of these.
    verified : list of Verification
        The spaces whose rows joined that of a network.
    notes : list of str
        What became of the scores in the table, where a library does not have them as the table does, and columns of
        texts that are not taken.
    """

    spaces: list[Space] = field(default_factory=list)
    items: int = 0
    unchanged: int = 0
    rows: int = 0
    scores: int = 0
    absent: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0
    verified: list[Verification] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, row: int, path: str, reason: str) -> None:
        """Count a row that was left out, and name it if there are few.

        Parameters
        ----------
        row, path, reason : int, str, str
            As of `LeftOut`.
        """
        self.left_out_count += 1
        if len(self.left_out) < MOST_NAMED:
            self.left_out.append(LeftOut(row, path, reason))
