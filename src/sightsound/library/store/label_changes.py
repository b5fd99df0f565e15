"""The writer's changes of labels, of many items at once: gathered in temporary tables, then applied together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
        for table in ("chosen", "file_names", "staged_labels", "staged_ranges"):
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

    def choose(self, ids: Iterable[int]) -> None:
        """Choose the items that `put`, `remove` and `clear` change."""
        self._transaction.execute_many("INSERT OR IGNORE INTO temp.chosen VALUES (?)", ((id_,) for id_ in ids))

    def put(self, column: str, values: Sequence[str], span: Seconds | None = None) -> None:
        """Add labels of a column to the chosen items, or to a time range of each."""
        for value in map(storable, values):
            if span is None:
                query = "INSERT OR IGNORE INTO labels SELECT item, ?, ? FROM temp.chosen ORDER BY item"
                self._transaction.execute(query, storable(column), value)
                continue
            place = (*span, storable(column), value)
            self._transaction.execute(
                f"INSERT INTO ranges ({_RANGE}) SELECT c.item, ?, ?, NULL, NULL, NULL, ?, ? FROM temp.chosen c"
                " WHERE NOT EXISTS (SELECT 1 FROM ranges g WHERE g.item = c.item AND g.start = ? AND g.stop = ?"
                ' AND g."column" = ? AND g.value = ?) ORDER BY c.item',
                *(*place, *place),
            )

    def remove(
        self, column: str, values: Sequence[str], *, ranges: bool = False, inside: Seconds | None = None
    ) -> None:
        """Remove labels of a column, from what `clear` does."""
        for value in map(storable, values):
            self._delete(column, " AND value = ?", [value], ranges, inside)

    def clear(
        self, column: str, *, ranges: bool = False, inside: Seconds | None = None, exactly: Seconds | None = None
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
        """
        if exactly is not None:
            self._delete(column, " AND start = ? AND stop = ?", [*exactly], ranges=True)
        else:
            self._delete(column, "", [], ranges, inside)

    def _delete(
        self, column: str, condition: str, values: list[str | float], ranges: bool, inside: Seconds | None = None
    ) -> None:
        if inside is not None:
            condition, values = f"{condition} AND start >= ? AND stop <= ?", [*values, *inside]
        table = "ranges" if ranges or inside is not None else "labels"
        self._transaction.execute(
            f'DELETE FROM {table} WHERE "column" = ?{condition} AND item IN (SELECT item FROM temp.chosen)',
            *(storable(column), *values),
        )

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
