"""The writer's changes of labels, of many items at once: gathered in temporary tables, then applied together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from sightsound.library.store.transaction import Transaction, storable

StagedRange = tuple[
    int, float | None, float | None, float | None, float | None, int | None, str, str | None, str | None
]
"""Item, start, stop, low and high Hz, channel, column, value, and what tells the views of one selection apart from
other selections. Without a start the item has no range in the column; without a value it is of no use."""

Seconds = tuple[float, float]
"""Start and stop of a time range."""

_RANGE = 'item, start, stop, low_hz, high_hz, channel, "column", value'
_STAGING = (
    "CREATE TEMP TABLE IF NOT EXISTS chosen (item INTEGER PRIMARY KEY)",
    "CREATE TEMP TABLE IF NOT EXISTS changed (item INTEGER PRIMARY KEY)",
    "CREATE TEMP TABLE IF NOT EXISTS file_names (name BLOB, item INTEGER)",
    'CREATE TEMP TABLE IF NOT EXISTS staged_labels (item INTEGER, "column" TEXT, value TEXT)',
    "CREATE TEMP TABLE IF NOT EXISTS staged_ranges (item INTEGER, start REAL, stop REAL, low_hz REAL, high_hz REAL,"
    ' channel INTEGER, "column" TEXT, value TEXT, selection TEXT)',
)


class LabelChanges:
    """Changes of labels, in memory that does not grow with their number.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._has_names = False

    def begin(self) -> None:
        """Empty the temporary tables."""
        self._has_names = False
        for statement in _STAGING:
            self._transaction.execute(statement)
        for table in ("chosen", "changed", "file_names", "staged_labels", "staged_ranges"):
            self._transaction.execute(f"DELETE FROM temp.{table}")

    def items_named(self, name: bytes) -> list[tuple[int, bytes]]:
        """Return the ids and absolute paths of the items with this name, whatever their folder."""
        if not self._has_names:
            items = self._transaction.execute("SELECT path, id FROM items WHERE typeof(path) = 'blob'")
            names = ((path.rpartition(b"/")[2], id_) for path, id_ in items)
            self._transaction.execute_many("INSERT INTO temp.file_names VALUES (?, ?)", names)
            self._transaction.execute("CREATE INDEX IF NOT EXISTS temp.by_name ON file_names (name)")
            self._has_names = True
        query = (
            "SELECT i.id, r.path, i.path FROM temp.file_names n JOIN items i ON i.id = n.item"
            " JOIN roots r ON r.id = i.root WHERE n.name = ?"
        )
        return [(id_, b"/".join((root, path))) for id_, root, path in self._transaction.read(query, name)]

    def recordings(self) -> Iterator[tuple[int, bytes]]:
        """Yield the id and the absolute path of each item that is no image."""
        query = (
            "SELECT i.id, r.path, i.path FROM items i JOIN roots r ON r.id = i.root LEFT JOIN contents c"
            " ON c.id = i.content WHERE typeof(i.path) = 'blob' AND typeof(r.path) = 'blob'"
            " AND c.modality IS NOT 'image' ORDER BY i.id"
        )
        for id_, root, path in self._transaction.execute(query):
            yield id_, b"/".join((root, path))

    def choose(self, ids: Iterable[int]) -> None:
        """Choose the items that `put`, `remove` and `clear` change."""
        self._transaction.execute_many("INSERT OR IGNORE INTO temp.chosen VALUES (?)", ((id_,) for id_ in ids))

    def put(self, column: str, values: Sequence[str], span: Seconds | None = None) -> None:
        """Add labels of a column to the chosen items, or to a time range of each, that do not have them."""
        for value in map(storable, values):
            place: tuple[str | float, ...] = (storable(column), value)
            target, row, there = "labels", "?, ?", 'g."column" = ? AND g.value = ?'
            if span is not None:
                target, row, place = f"ranges ({_RANGE})", "?, ?, NULL, NULL, NULL, ?, ?", (*span, *place)
                there = f"g.start = ? AND g.stop = ? AND {there}"
            table = "labels" if span is None else "ranges"
            lacking = f"FROM temp.chosen c WHERE NOT EXISTS (SELECT 1 FROM {table} g WHERE g.item = c.item AND {there})"
            self._transaction.execute(f"INSERT OR IGNORE INTO temp.changed SELECT item {lacking}", *place)
            self._transaction.execute(
                f"INSERT INTO {target} SELECT item, {row} {lacking} ORDER BY item", *place, *place
            )

    def remove(
        self,
        column: str,
        values: Sequence[str],
        *,
        ranges: bool = False,
        inside: Seconds | None = None,
        but: Sequence[str] = (),
    ) -> None:
        """Remove labels of a column, from what `clear` does."""
        for value in map(storable, values):
            self._delete(column, " AND value = ?", [value], ranges, inside, but)

    def clear(
        self,
        column: str,
        *,
        ranges: bool = False,
        inside: Seconds | None = None,
        exactly: Seconds | None = None,
        but: Sequence[str] = (),
    ) -> None:
        """Remove all labels of a column from the chosen items, or from time ranges of theirs.

        Parameters
        ----------
        column : str
            The column.
        ranges : bool
            Whether from all time ranges.
        inside, exactly : tuple of float or None
            Start and stop in seconds: only from the time ranges that lie there, or that are this one.
        but : sequence of str
            Labels that `put` would add again, to the items or to the time range, which stay as they are.
        """
        if exactly is not None:
            self._delete(column, " AND start = ? AND stop = ?", [*exactly], True, exactly, but)
        else:
            self._delete(column, "", [], ranges, inside, but)

    def _delete(
        self,
        column: str,
        condition: str,
        values: list[str | float],
        ranges: bool,
        inside: Seconds | None,
        but: Sequence[str],
    ) -> None:
        if inside is not None:
            condition, values = f"{condition} AND start >= ? AND stop <= ?", [*values, *inside]
        if but:
            same = f"value IN ({', '.join('?' * len(but))})"
            values = [*values, *map(storable, but)]
            if inside is not None:
                same += " AND start = ? AND stop = ? AND low_hz IS NULL AND high_hz IS NULL AND channel IS NULL"
                values = [*values, *inside]
            condition = f"{condition} AND NOT ({same})"
        table = "ranges" if ranges or inside is not None else "labels"
        which = f'FROM {table} WHERE "column" = ?{condition} AND item IN (SELECT item FROM temp.chosen)'
        self._transaction.execute(f"INSERT OR IGNORE INTO temp.changed SELECT item {which}", storable(column), *values)
        self._transaction.execute(f"DELETE {which}", storable(column), *values)

    def count_changed(self) -> int:
        """Return how many of the chosen items have other labels than before."""
        return int(self._transaction.read("SELECT count(*) FROM temp.changed")[0][0])

    @contextlib.contextmanager
    def tentative(self) -> Iterator[None]:
        """Take back what is gathered in the block if it raises an error."""
        self._transaction.execute("SAVEPOINT gathered")
        try:
            yield
        except BaseException:
            self._transaction.execute("ROLLBACK TO gathered")
            self._has_names = False
            raise
        finally:
            self._transaction.execute("RELEASE gathered")

    def stage_labels(self, rows: Iterable[tuple[int, str, str | None]]) -> None:
        """Gather labels: item, column, value. None is an item without a value in the column."""
        self._transaction.execute_many("INSERT INTO temp.staged_labels VALUES (?, ?, ?)", rows)

    def stage_ranges(self, rows: Iterable[StagedRange]) -> None:
        """Gather labels of time ranges."""
        marks = ", ".join("?" * 9)
        self._transaction.execute_many(f"INSERT INTO temp.staged_ranges VALUES ({marks})", rows)

    def apply(self) -> tuple[int, int, int]:
        """Put what was gathered in the place of what its items had in its columns.

        Returns
        -------
        items, labels, ranges : int
            How many items were named, and how many labels of items and of time ranges they have now.
        """
        of_items, of_ranges = (
            f'DELETE FROM {table} WHERE (item, "column") IN (SELECT item, "column" FROM temp.staged_{table})'
            for table in ("labels", "ranges")
        )
        self._transaction.execute(of_items)
        labels = self._transaction.execute(
            'INSERT OR IGNORE INTO labels SELECT item, "column", value FROM temp.staged_labels WHERE value IS NOT NULL'
            " ORDER BY 1, 2, 3"
        ).rowcount
        self._transaction.execute(of_ranges)
        # The views of a selection are rows of equal seconds; one of them may lack the band.
        ranges = self._transaction.execute(
            f"INSERT INTO ranges ({_RANGE}) SELECT DISTINCT * FROM ("
            f"SELECT {_RANGE} FROM temp.staged_ranges WHERE selection IS NULL AND start IS NOT NULL AND value IS NOT"
            ' NULL UNION ALL SELECT item, start, stop, max(low_hz), max(high_hz), channel, "column", value'
            " FROM temp.staged_ranges WHERE selection IS NOT NULL AND start IS NOT NULL AND value IS NOT NULL"
            ' GROUP BY item, start, stop, channel, "column", value, selection) ORDER BY 1, 2, 3, 7, 8'
        ).rowcount
        named = "SELECT count(*) FROM (SELECT item FROM temp.staged_labels UNION SELECT item FROM temp.staged_ranges)"
        return int(self._transaction.execute(named).fetchone()[0]), labels, ranges
