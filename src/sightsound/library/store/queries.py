"""What a library holds, read and decoded: spaces, items, labels, outcomes, segments and tag classes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError, PluginError
from sightsound.contract.results import Item, Outcome, Status, TimeRange
from sightsound.contract.space import Space
from sightsound.library.store.database import Database
from sightsound.library.store.index_files import StoredIndex
from sightsound.library.store.segments import SEGMENT_COLUMNS, SegmentFacts
from sightsound.library.store.validation import (
    decode_item,
    decode_outcome,
    decode_range,
    decode_root,
    decode_space,
    digest,
    json_object,
    number,
    text,
)
from sightsound.media.facts.times import LOCAL, TimeRules

_LARGEST_ID = 2**63 - 1  # of SQLite
_SEGMENTS = 2**16  # of a space; full ones have 64 TiB
_IDS = 500  # that are asked for at once


def read_roots(database: Database) -> list[str]:
    """Return the folders that were indexed."""
    rows = database.rows("SELECT path FROM roots ORDER BY path")
    with database.decoding():
        return [decode_root(path) for (path,) in rows]


def read_store(database: Database) -> str:
    """Return in what precision vectors are kept."""
    rows = database.rows("SELECT value FROM settings WHERE name = 'store'")
    with database.decoding():
        return text(rows[0][0]) if rows else "f32"


def read_time_rules(database: Database) -> TimeRules:
    """Return how the times of files are read, see `Writer.set_time_rules`."""
    rows = database.rows("SELECT value FROM settings WHERE name = 'time_rules'")
    with database.decoding():
        stored = json_object(rows[0][0]) if rows else {}
        zone, patterns = text(stored.get("zone", LOCAL)), tuple(text(each) for each in stored.get("patterns", ()))
    return TimeRules(zone, patterns)


def read_setting(database: Database, name: str) -> object:
    """Return a setting as it is stored, None if there is none. The value has not been looked at."""
    return next((value for (value,) in database.rows("SELECT value FROM settings WHERE name = ?", name)), None)


def read_spaces(database: Database) -> dict[int, Space]:
    """Return number -> space."""
    rows = database.rows("SELECT id, name, facts, fingerprint FROM spaces ORDER BY id")
    found = {}
    with database.decoding():
        for id_, name, facts, fingerprint in rows:
            found[id_] = decode_space(name, facts, fingerprint)
    return found


def count_vectors(database: Database) -> dict[int, int]:
    """Return number of a space -> count of its vectors; a space without vectors is absent."""
    return dict(database.rows("SELECT space, sum(count) FROM runs GROUP BY space"))


def read_segments(database: Database, space_id: int, dim: int) -> list[SegmentFacts]:
    """Return the segments of a space that have rows, in the order of their numbers."""
    query = f"SELECT {SEGMENT_COLUMNS} FROM segments s WHERE space = ? AND rows != 0 ORDER BY id LIMIT ?"
    rows = database.rows(query, space_id, _SEGMENTS + 1)
    with database.decoding():
        if len(rows) > _SEGMENTS:
            raise ValueError(f"space {space_id}: expected at most {_SEGMENTS} segments")
        found = [SegmentFacts.of(dim, row) for row in rows]
        if len({facts.name for facts in found}) < len(found) or len({facts.id for facts in found}) < len(found):
            raise ValueError(f"space {space_id}: expected segments of different names and numbers")
    return found


def read_index(database: Database, space_id: int) -> StoredIndex | None:
    """Return what is stored of the index of a space, None if it has none. None of the values has been looked at."""
    query = "SELECT space, name, kind, stamp, report, signature FROM indexes WHERE space = ?"
    return next((StoredIndex(*row) for row in database.rows(query, space_id)), None)


def count_items(database: Database) -> int:
    """Return the number of items."""
    ((count,),) = database.rows("SELECT count(*) FROM items")
    return int(count)


def read_items(database: Database) -> Iterator[Item]:
    """Yield all items in the order of their ids."""
    query = "SELECT r.path, i.path, i.id FROM items i JOIN roots r ON r.id = i.root ORDER BY i.id"
    for row in database.iterate(query):
        with database.decoding():
            item = decode_item(*row)
        yield item


def read_item(database: Database, id_: int) -> Item:
    """Return the item of an id; raise `LibraryError` if there is none."""
    query = "SELECT r.path, i.path, i.id FROM items i JOIN roots r ON r.id = i.root WHERE i.id = ?"
    rows = database.rows(query, id_) if abs(id_) <= _LARGEST_ID else []
    if not rows:
        name = database.file.parent.name
        raise LibraryError(f"no item {id_} in {name}; `sightsound stats` and `search` show ids")
    with database.decoding():
        return decode_item(*rows[0])


def read_content_hash(database: Database, id_: int) -> bytes:
    """Return the SHA-256 of an item's content when it was last read; raise `LibraryError` if there is none."""
    item = read_item(database, id_)
    rows = database.rows("SELECT c.hash FROM items i JOIN contents c ON c.id = i.content WHERE i.id = ?", id_)
    if not rows:
        raise LibraryError(f"item {item} was never read; index it again")
    with database.decoding():
        return digest(rows[0][0])


def read_labels(database: Database, id_: int) -> dict[str, tuple[str, ...]]:
    """Return the labels of an item: column -> values."""
    if abs(id_) > _LARGEST_ID:
        return {}
    rows = database.rows('SELECT "column", value FROM labels WHERE item = ? ORDER BY 1, 2', id_)
    found: dict[str, tuple[str, ...]] = {}
    with database.decoding():
        for column, value in rows:
            found[text(column)] = (*found.get(column, ()), text(value))
    return found


def read_labels_of(database: Database, ids: Collection[int]) -> dict[int, dict[str, tuple[str, ...]]]:
    """Return the labels of some items: id -> column -> values."""
    found: dict[int, dict[str, tuple[str, ...]]] = {}
    for part in _parts(ids):
        marks = ", ".join("?" * len(part))
        rows = database.rows(
            f'SELECT item, "column", value FROM labels WHERE item IN ({marks}) ORDER BY 1, 2, 3', *part
        )
        with database.decoding():
            for item, column, value in rows:
                columns = found.setdefault(item, {})
                columns[text(column)] = (*columns.get(column, ()), text(value))
    return found


def read_facts_of(database: Database, ids: Collection[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and the facts of some items that have an outcome, in the order of their ids."""
    for part in _parts(ids):
        yield from _read_facts(database, f"WHERE item IN ({', '.join('?' * len(part))})", *part)


def read_all_facts(database: Database) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the id and the facts of every item that has an outcome, in the order of their ids."""
    yield from _read_facts(database, "")


def _read_facts(database: Database, condition: str, *values: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    # SQLite takes the other columns from the row with the least space
    query = f"SELECT item, min(space), seconds, facts FROM outcomes {condition} GROUP BY item ORDER BY item"
    for item, _, seconds, facts in database.iterate(query, *values):
        with database.decoding():
            found = {**({} if seconds is None else {"seconds": float(seconds)}), **json_object(facts)}
        yield item, found


def read_all_labels(database: Database) -> Iterator[tuple[int, str, str]]:
    """Yield every label as (id of the item, column, value), sorted."""
    for item, column, value in database.iterate('SELECT item, "column", value FROM labels ORDER BY 1, 2, 3'):
        with database.decoding():
            found = item, text(column), text(value)
        yield found


RANGE_COLUMNS = 'start, stop, "column", value, low_hz, high_hz, channel'
"""The columns of `ranges` in the order of the fields of `TimeRange`."""


def read_ranges(database: Database, id_: int) -> list[TimeRange]:
    """Return the labels of the time ranges of an item, by their beginning."""
    if abs(id_) > _LARGEST_ID:
        return []
    rows = database.rows(f"SELECT {RANGE_COLUMNS} FROM ranges WHERE item = ? ORDER BY 1, 2, 3, 4, 5, 6, 7", id_)
    with database.decoding():
        return [decode_range(*row) for row in rows]


def read_ranges_of(database: Database, ids: Collection[int]) -> dict[int, list[TimeRange]]:
    """Return the labels of the time ranges of some items that have any: id -> labels, by their beginning."""
    found: dict[int, list[TimeRange]] = {}
    query = (
        f"SELECT item, {RANGE_COLUMNS} FROM ranges WHERE item IN (SELECT value FROM json_each(?))"
        " ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
    )
    rows = database.rows(query, json.dumps(sorted(ids)))
    with database.decoding():
        for item, *values in rows:
            found.setdefault(item, []).append(decode_range(*values))
    return found


def read_label_columns(database: Database, *, ranges: bool | None = None) -> list[str]:
    """Return the names of the label columns, sorted: of time ranges, of whole items, or of both for None."""
    tables = {None: ("labels", "ranges"), True: ("ranges",), False: ("labels",)}[ranges]
    rows = database.rows(" UNION ".join(f'SELECT DISTINCT "column" FROM {table}' for table in tables) + " ORDER BY 1")
    with database.decoding():
        return [text(column) for (column,) in rows]


def read_content_hashes(database: Database, ids: Collection[int]) -> dict[int, bytes]:
    """Return the id of each of some items -> the SHA-256 of its content, of those that were ever read."""
    found: dict[int, bytes] = {}
    for part in _parts(ids):
        rows = database.rows(
            "SELECT i.id, c.hash FROM items i LEFT JOIN contents c ON c.id = i.content"
            f" WHERE i.content IS NOT NULL AND i.id IN ({', '.join('?' * len(part))})",
            *part,
        )
        with database.decoding():
            found |= {item: digest(hash_) for item, hash_ in rows}
    return found


def _parts(ids: Collection[int]) -> Iterator[list[int]]:
    """Yield as many ids as are asked for at once, in their order."""
    chosen = sorted(ids)
    for first in range(0, len(chosen), _IDS):
        yield chosen[first : first + _IDS]


def read_outcomes(database: Database, status: Status | None = None) -> list[tuple[Outcome, str]]:
    """Return every outcome, or those of a status, with the name of its space, '' where no model was run."""
    rows = database.rows(
        "SELECT r.path, i.path, i.id, o.status, o.reason, o.flags, o.seconds, o.facts, coalesce(s.name, '')"
        " FROM outcomes o JOIN items i ON i.id = o.item JOIN roots r ON r.id = i.root"
        " LEFT JOIN spaces s ON s.id = o.space WHERE ? IS NULL OR o.status = ? ORDER BY i.id, o.space",
        *(status, status),
    )
    with database.decoding():
        return [
            (decode_outcome(decode_item(root, path, id_), *outcome), text(space))
            for root, path, id_, *outcome, space in rows
        ]


def read_class_lists(database: Database, space_id: int) -> dict[int, ClassList]:
    """Return the lists of classes that rows of a space have scores for, by number."""
    lists = database.rows(
        "SELECT id, name FROM class_lists WHERE id IN (SELECT classes FROM segments WHERE space = ?)", space_id
    )
    found = {}
    for id_, name in lists:
        rows = database.rows("SELECT label, key FROM classes WHERE list = ? ORDER BY position", id_)
        with database.decoding():
            labels, keys = tuple(text(label) for label, _ in rows), tuple(text(key) for _, key in rows)
            found[number(id_)] = _class_list(text(name), labels, keys if all(keys) else ())
    return found


def read_score_kinds(database: Database, space_id: int) -> dict[int, str]:
    """Return for each list of classes that rows of a space have scores for, by number, what the scores are."""
    query = "SELECT DISTINCT classes, scores FROM segments WHERE space = ? AND classes IS NOT NULL AND rows != 0"
    rows = database.rows(query, space_id)
    with database.decoding():
        return {number(classes): text(kind) for classes, kind in rows}


def _class_list(name: str, labels: tuple[str, ...], ids: tuple[str, ...]) -> ClassList:
    try:
        return ClassList(name, labels, ids)
    except PluginError as error:
        raise ValueError(str(error)) from error


def read_tag_classes(database: Database, *, known: bool = False) -> list[tuple[str, str]]:
    """Return the classes of all tags, as label and id; the id is '' for classes without ids.

    `known` returns the classes that no content has, too.
    """
    of_scores = "" if known else " WHERE EXISTS (SELECT 1 FROM highest h WHERE h.class = classes.id)"
    rows = database.rows(f"SELECT label, class FROM tags UNION SELECT label, key FROM classes{of_scores} ORDER BY 1, 2")
    with database.decoding():
        return [(text(label), text(id_)) for label, id_ in rows]
