"""What a library has of each fact, counted exactly in bounded memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_VALUES = 1000
"""How many texts of a fact a summary has at most."""

_MOST_BYTES = 2**24  # of counted texts in memory, before they go to a temporary file
_ENTRY_BYTES = 200  # of a count, besides its text
_TABLE = "CREATE TABLE counts (fact TEXT, value BLOB, count INTEGER, PRIMARY KEY (fact, value)) WITHOUT ROWID"
_ADD = "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT (fact, value) DO UPDATE SET count = count + excluded.count"
_FIRST = "SELECT value, count FROM counts WHERE fact = ? ORDER BY count DESC, value LIMIT ?"


@dataclass
class FactSummary:
    """What a library has of one fact.

    Parameters
    ----------
    items : int
        How many items have it.
    least, greatest : float, str or None
        The range of numbers, and of times; None for other texts.
    values : dict of str to int
        Text -> number of items, the most frequent first, for facts that are texts. It has at most 1,000 texts.
    distinct : int
        How many different texts there are, also those that `values` has no room for.
    """

    items: int = 0
    least: float | str | None = None
    greatest: float | str | None = None
    values: Counter[str] = field(default_factory=Counter)
    distinct: int = 0

    def extend(self, value: float | str) -> None:
        """Extend the range to a number or a time; where there are both, they are compared as texts."""
        if self.least is None or self.greatest is None:
            self.least = self.greatest = value
        elif type(value) is not str and not isinstance(self.least, str) and not isinstance(self.greatest, str):
            self.least, self.greatest = min(self.least, value), max(self.greatest, value)
        else:
            self.least, self.greatest = min(str(self.least), str(value)), max(str(self.greatest), str(value))


class FactCounts(contextlib.AbstractContextManager["FactCounts"]):
    """Counts the facts of items, one item after the other.

    Texts are counted in memory, and from 16 MiB on in a temporary file, which SQLite deletes at the end.
    """

    def __init__(self) -> None:
        self._found: dict[str, FactSummary] = {}
        self._texts: dict[str, Counter[str]] = {}
        self._bytes = 0
        self._file: sqlite3.Connection | None = None

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, name: str, value: object) -> None:
        """Count the value of an item.

        Parameters
        ----------
        name : str
            The fact.
        value : object
            Its value: a number, a text, or a list of texts, each of which counts once.
        """
        found = self._found.setdefault(name, FactSummary())
        found.items += 1
        if name == "recorded" or (isinstance(value, int | float) and not isinstance(value, bool)):
            found.extend(value if isinstance(value, int | float) else str(value))
            return
        texts = self._texts.setdefault(name, Counter())
        for each in dict.fromkeys(map(str, value if isinstance(value, list) else [value])):
            if each not in texts:
                self._bytes += _ENTRY_BYTES + len(each)
            texts[each] += 1
        if self._bytes > _MOST_BYTES:
            self._put_away()

    def summaries(self) -> dict[str, FactSummary]:
        """Return what was counted, sorted by the names of the facts."""
        if self._file is not None:
            self._put_away()
        for name, found in self._found.items():
            found.values, found.distinct = self._most_frequent(name)
        return dict(sorted(self._found.items()))

    def _most_frequent(self, name: str) -> tuple[Counter[str], int]:
        """Return the most frequent texts of a fact, in their order, and how many different ones there are."""
        if self._file is None:
            texts = self._texts.get(name, Counter())
            return Counter(dict(sorted(texts.items(), key=lambda each: (-each[1], each[0]))[:MOST_VALUES])), len(texts)
        ((distinct,),) = self._file.execute("SELECT count(*) FROM counts WHERE fact = ?", (name,))
        rows = self._file.execute(_FIRST, (name, MOST_VALUES))
        return Counter({value.decode("utf-8", "surrogatepass"): count for value, count in rows}), distinct

    def _put_away(self) -> None:
        """Add the counts in memory to those in the temporary file."""
        if self._file is None:
            self._file = sqlite3.connect("", isolation_level=None)  # its own file, which is deleted at the end
            self._file.execute(_TABLE)
        self._file.execute("BEGIN")
        self._file.executemany(_ADD, self._rows())
        self._file.execute("COMMIT")
        self._texts, self._bytes = {}, 0

    def _rows(self) -> Iterator[tuple[str, bytes, int]]:
        """Yield the counts in memory in the order of the table, in which they are added fastest."""
        for name, texts in sorted(self._texts.items()):
            for text, count in sorted(texts.items()):
                yield name, text.encode("utf-8", "surrogatepass"), count
