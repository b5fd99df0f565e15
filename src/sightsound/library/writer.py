"""The one writer of a library: sees items, adds their vectors, settles their outcomes, forgets and relocates them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sightsound.contract.card import Modality
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item, Outcome, Prediction, Rows, Segment, Status
from sightsound.contract.space import Space
from sightsound.library import schema


@dataclass(frozen=True)
class Seen:
    """What the library knows of an item: its id, the (size, mtime_ns) of the file when it was last hashed, and that
    content (SHA-256, None where it could not be read) with its modality."""

    id: int
    stat: tuple[int, int]
    content: bytes | None
    modality: Modality | None


@contextlib.contextmanager
def writing(file: Path, *, max_bytes: int | None = None) -> Iterator[Writer]:
    """Takes the lock, opens the database, and commits at the end; see `Library.writing`."""
    with locked(file), schema.errors(file), contextlib.closing(schema.open_writing(file)) as db:
        if max_bytes is not None:
            (page,) = db.execute("PRAGMA page_size").fetchone()
            db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
        writer = Writer(db)
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.rollback()
            raise


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time; the next one is told who. The lock goes with the process, however that ends."""
    lock, who = FileLock(file.with_name("writer.lock")), file.with_name("writer.json")
    try:
        lock.acquire(timeout=0)
        who.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
    except Timeout as error:
        raise LibraryError(
            f"{file.parent}: {_other(who)} is writing to it; wait until it is done, or stop it"
        ) from error
    except OSError as error:
        lock.release()
        raise LibraryError(f"{file.parent}: cannot be written ({error.strerror}); it can still be searched") from error
    try:
        yield
    finally:
        who.unlink(missing_ok=True)
        lock.release()


def _other(who: Path) -> str:
    try:
        other = json.loads(who.read_text())
        since = time.strftime("%H:%M:%S", time.localtime(other["since"]))
        return f"process {other['pid']} on {other['host']} (since {since})"
    except (OSError, ValueError, KeyError):
        return "another process"


class Writer:
    """What changes a library. Changes gather in one transaction until `commit`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._ids: dict[Item, int] = {}
        self._roots: dict[str, int] = {}
        self._modalities: dict[int, str] = {}
        self._sums: dict[tuple[int | None, int], tuple[int, int]] = {}  # of what is pending
        self._drop_pending()

    # -- transactions --------------------------------------------------------------------------------------------

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        for known in (self._ids, self._roots, self._modalities, self._sums):
            known.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _do(self, query: str, *values: Any) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(query, values)

    def _drop_pending(self) -> None:
        """Removes what a crash left of contents that were not complete."""
        for content, space in self._db.execute("SELECT content, space FROM pending").fetchall():
            self._do("DELETE FROM vectors WHERE content = ? AND space = ?", content, space)
            self._do("DELETE FROM pending WHERE content = ? AND space = ?", content, space)
        self.commit()

    # -- items ---------------------------------------------------------------------------------------------------

    def space(self, space: Space) -> int:
        """The id of a space, which is added where it is new."""
        self._modalities.clear()
        values = (space.name, space.fingerprint, space.facts)
        self._do("INSERT OR IGNORE INTO spaces (name, fingerprint, facts) VALUES (?, ?, ?)", *values)
        query = "SELECT id FROM spaces WHERE name = ? AND fingerprint = ?"
        return int(self._do(query, space.name, space.fingerprint).fetchone()[0])

    def seen(self, item: Item) -> Seen | None:
        """What is known of an item, or None."""
        query = (
            "SELECT i.id, i.size, i.mtime_ns, c.hash, c.modality FROM items i JOIN roots r ON r.id = i.root"
            " LEFT JOIN contents c ON c.id = i.content WHERE r.path = ? AND i.path = ?"
        )
        row = self._db.execute(query, (os.fsencode(item.root), os.fsencode(item.path))).fetchone()
        if row is None:
            return None
        id_, size, mtime_ns, content, modality = row
        self._ids[item] = id_
        return Seen(id_, (size, mtime_ns), content, modality)

    def status(self, item: Item, space: int) -> Status | None:
        """The outcome that an item's present content has in a space, None where it has none yet."""
        query = (
            "SELECT o.status FROM outcomes o JOIN items i ON i.id = o.item"
            " WHERE o.item = ? AND o.space = ? AND o.content IS i.content"
        )
        row = self._db.execute(query, (self.id(item), space)).fetchone()
        return None if row is None else row[0]

    def settled(self, item: Item) -> bool:
        """Whether an item has any outcome at all."""
        return self._db.execute("SELECT 1 FROM outcomes WHERE item = ?", (self.id(item),)).fetchone() is not None

    def see(self, item: Item, stat: tuple[int, int], content: bytes | None, modality: Modality | None) -> int:
        """Notes that a file has this content now; its vectors stay until those of the new content are complete.

        A new path whose content belongs to an item that is no longer on disk is that item, renamed.
        """
        root = self._root(item.root)
        content_id = None if content is None else self._content(content, modality)
        path = os.fsencode(item.path)
        known = self._do("SELECT id, content FROM items WHERE root = ? AND path = ?", root, path).fetchone()
        id_: int | None = known[0] if known else self._renamed(content_id)
        if id_ is None:
            new = self._do("INSERT INTO items (root, path) VALUES (?, ?) RETURNING id", root, path)
            ((id_,),) = new.fetchall()
        assert id_ is not None
        self._do(
            "UPDATE items SET root = ?, path = ?, size = ?, mtime_ns = ?, content = ? WHERE id = ?",
            *(root, path, *stat, content_id, id_),
        )
        if known and known[1] not in (None, content_id):
            self._drop_unused(known[1], 0)
        self._ids[item] = id_
        return id_

    def _root(self, path: str) -> int:
        if path not in self._roots:
            self._do("INSERT OR IGNORE INTO roots (path) VALUES (?)", os.fsencode(path))
            found = self._do("SELECT id FROM roots WHERE path = ?", os.fsencode(path))
            self._roots[path] = int(found.fetchone()[0])
        return self._roots[path]

    def _content(self, content: bytes, modality: Modality | None) -> int:
        self._do("INSERT OR IGNORE INTO contents (hash, modality) VALUES (?, ?)", content, modality)
        return int(self._do("SELECT id FROM contents WHERE hash = ?", content).fetchone()[0])

    def _renamed(self, content: int | None) -> int | None:
        """An item of this content whose file has gone, or None."""
        query = (
            "SELECT i.id, r.path, i.path FROM items i JOIN roots r ON r.id = i.root WHERE i.content = ? ORDER BY i.id"
        )
        for id_, root, path in self._do(query, content).fetchall():
            if os.path.isdir(os.fsdecode(root)) and not os.path.lexists(os.path.join(root, path)):
                return int(id_)
        return None

    def id(self, item: Item) -> int:
        """The id of an item that `seen` or `see` found."""
        return self._ids[item]

    # -- vectors and outcomes ------------------------------------------------------------------------------------

    def add(self, rows: Rows, space: int) -> None:
        """Stores some rows of an item's present content; they are pending until `settle` says that it is complete."""
        content = self._content_of(self.id(rows.item))
        self._do("INSERT OR IGNORE INTO pending (content, space) VALUES (?, ?)", content, space)
        spans = [(None, None)] * len(rows.embeddings) if rows.spans is None else rows.spans.tolist()
        count, crc = self._sums.get((content, space), (0, 0))
        values = []
        for (start, stop), row in zip(spans, np.ascontiguousarray(rows.embeddings, "<f4")):
            values.append((content, space, start, stop, row.tobytes()))
            crc = schema.checksum(crc, *values[-1][2:])
        self._db.executemany(
            "INSERT INTO vectors (content, space, start, stop, embedding) VALUES (?, ?, ?, ?, ?)", values
        )
        self._sums[content, space] = count + len(values), crc

    def settle(self, outcome: Outcome, space: int) -> None:
        """The end of an item: its outcome stands, its rows are searchable, and what they replace goes.

        A failed item keeps no rows of its present content. `space` is 0 for an item that got to no model.
        """
        item = self.id(outcome.item)
        content = self._content_of(item)
        self._do("DELETE FROM pending WHERE content IS ? AND space = ?", content, space)
        sums = self._sums.pop((content, space), (0, 0))
        windows, crc = sums if outcome.status == "ok" else (0, 0)
        shared = self._shared(item, content, space)
        if shared and outcome.status == "ok":
            windows, crc = shared
        elif not shared and outcome.status != "ok":
            self._drop_rows(content, space)
        self._drop_outcomes(item, self._foreign(space))
        before = self._do("SELECT content FROM outcomes WHERE item = ? AND space = ?", item, space).fetchone()
        self._do(
            "INSERT OR REPLACE INTO outcomes"
            " (item, space, content, status, reason, flags, seconds, facts, windows, checksum)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(item, space, content, outcome.status, _text(outcome.reason)),
            *(" ".join(outcome.flags), outcome.seconds, json.dumps(dict(outcome.facts), default=str), windows, crc),
        )
        if before and before[0] != content:
            self._drop_unused(before[0], space)
        self._changed(space)

    def untagged(self, content: bytes, space: int, rules: str) -> bool:
        """Whether a content has its vectors in a space, but no tags that came by these rules."""
        query = (
            "SELECT 1 FROM contents c JOIN outcomes o ON o.content = c.id AND o.space = ? AND o.status = 'ok'"
            " LEFT JOIN tagged t ON t.content = c.id AND t.space = o.space WHERE c.hash = ? AND t.rules IS NOT ?"
        )
        return self._db.execute(query, (space, content, rules)).fetchone() is not None

    def tag(self, item: Item, space: int, rules: str, found: Iterable[Segment | Prediction]) -> None:
        """Gives the present content of a settled item these tags, in place of those it had."""
        content = self._content_of(self.id(item))
        self._do("DELETE FROM tags WHERE content = ? AND space = ?", content, space)
        self._do("INSERT OR REPLACE INTO tagged VALUES (?, ?, ?)", content, space, rules)
        rows = [
            (content, space, _text(tag.label), tag.id, tag.start, tag.stop, tag.mean, tag.peak)
            if isinstance(tag, Segment)
            else (content, space, _text(tag.label), tag.id, None, None, tag.score, tag.score)
            for tag in found
        ]
        self._db.executemany(
            "INSERT INTO tags (content, space, label, class, start, stop, mean, peak) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def settle_copy(self, item: Item, content: bytes, space: int) -> Outcome | None:
        """Settles an item whose content has an outcome in this space already; None where it has none that is not
        failed, for a failure may be that of the other file."""
        query = (
            "SELECT o.status, o.reason, o.flags, o.seconds, o.facts FROM outcomes o JOIN contents c ON c.id = o.content"
            " WHERE c.hash = ? AND o.space = ? AND o.status != 'failed' LIMIT 1"
        )
        row = self._do(query, content, space).fetchone()
        if row is None:
            return None
        status, reason, flags, seconds, facts = row
        outcome = Outcome(item, status, reason, tuple(flags.split()), seconds, json.loads(facts))
        self.settle(outcome, space)
        return outcome

    def _content_of(self, item: int) -> int | None:
        found: int | None = self._do("SELECT content FROM items WHERE id = ?", item).fetchone()[0]
        return found

    def _shared(self, item: int, content: int | None, space: int) -> tuple[int, int] | None:
        """The windows and checksum of this content in this space where an item, another one or this, has them."""
        query = (
            "SELECT windows, checksum FROM outcomes WHERE content = ? AND space = ? AND status = 'ok'"
            " ORDER BY item = ? LIMIT 1"
        )
        found: tuple[int, int] | None = self._do(query, content, space, item).fetchone()
        return found

    def _foreign(self, space: int) -> set[int]:
        """The spaces that an item cannot be in while it is in this one: those of another modality, and 0."""
        if space not in self._modalities:
            rows = self._do("SELECT id, json_extract(facts, '$.modality') FROM spaces").fetchall()
            self._modalities = {0: "", **dict(rows)}
        mine = self._modalities[space]
        return {id_ for id_, modality in self._modalities.items() if modality != mine}

    def _drop_outcomes(self, item: int, spaces: set[int] | None = None) -> None:
        """Takes an item out of these spaces, or of every one."""
        for content, space in self._do("SELECT content, space FROM outcomes WHERE item = ?", item).fetchall():
            if spaces is not None and space not in spaces:
                continue
            self._do("DELETE FROM outcomes WHERE item = ? AND space = ?", item, space)
            self._drop_unused(content, space)
            self._changed(space)

    def _drop_unused(self, content: int | None, space: int) -> None:
        """Vectors go with the last item that has them, and a content with the last of its items."""
        used = "SELECT 1 FROM outcomes WHERE content = ? AND space = ?"
        if self._do(used, content, space).fetchone() is None:
            self._drop_rows(content, space)
        self._do(
            "DELETE FROM contents WHERE id = ? AND NOT EXISTS (SELECT 1 FROM items WHERE content = contents.id)"
            " AND NOT EXISTS (SELECT 1 FROM outcomes WHERE content = contents.id)"
            " AND NOT EXISTS (SELECT 1 FROM vectors WHERE content = contents.id)",
            content,
        )

    def _drop_rows(self, content: int | None, space: int) -> None:
        for table in ("vectors", "tags", "tagged"):
            self._do(f"DELETE FROM {table} WHERE content IS ? AND space = ?", content, space)

    def _changed(self, space: int) -> None:
        self._do("UPDATE spaces SET generation = generation + 1 WHERE id = ?", space)

    # -- labels, forgetting, moving ------------------------------------------------------------------------------

    def label(self, item: int, column: str, values: Iterable[str]) -> None:
        """Gives an item these values in a column, in place of those it had there."""
        self._do('DELETE FROM labels WHERE item = ? AND "column" = ?', item, _text(column))
        for value in values:
            self._do("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", item, _text(column), _text(value))

    def forget(self, items: Iterable[int]) -> int:
        """Removes items, their labels, outcomes and what no other item shares; returns how many."""
        count = 0
        for item in items:
            if self._do("SELECT 1 FROM items WHERE id = ?", item).fetchone() is None:
                continue  # another process was faster
            content = self._content_of(item)
            self._drop_outcomes(item)
            count += self._do("DELETE FROM items WHERE id = ?", item).rowcount
            self._drop_unused(content, 0)
        self._roots.clear()
        self._do("DELETE FROM roots WHERE NOT EXISTS (SELECT 1 FROM items WHERE root = roots.id)")
        self._do("DELETE FROM spaces WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE space = spaces.id)")
        return count

    def forget_space(self, space: Space) -> int:
        """Removes a space with its vectors and outcomes; the items stay. Returns how many vectors went."""
        (id_,) = self._do(
            "SELECT id FROM spaces WHERE name = ? AND fingerprint = ?", space.name, space.fingerprint
        ).fetchone()
        for table in ("outcomes", "tags", "tagged"):
            self._do(f"DELETE FROM {table} WHERE space = ?", id_)
        count = self._do("DELETE FROM vectors WHERE space = ?", id_).rowcount
        self._do("DELETE FROM spaces WHERE id = ?", id_)
        return count

    def relocate(self, old: str, new: str) -> int:
        """Every root at or below the folder `old` is at `new` from now on; returns how many items moved.

        Raises `LibraryError` where no root is there, or where the new place already has items.
        """
        moved = 0
        self._roots.clear()
        for id_, path in self._do("SELECT id, path FROM roots").fetchall():
            root = Path(os.fsdecode(path))
            if not root.is_relative_to(old):
                continue
            target = os.fsencode(Path(new, root.relative_to(old)))
            if self._do("SELECT 1 FROM roots WHERE path = ?", target).fetchone():
                raise LibraryError(f"{os.fsdecode(target)}: is in the library already; forget one of the two first")
            self._do("UPDATE roots SET path = ? WHERE id = ?", target, id_)
            moved += self._do("SELECT count(*) FROM items WHERE root = ?", id_).fetchone()[0]
        if not moved:
            roots = [os.fsdecode(path) for (path,) in self._do("SELECT path FROM roots").fetchall()]
            raise LibraryError(
                f"{old}: expected an indexed folder or one above it; there are {', '.join(roots) or 'none'}"
            )
        return moved


def _text(text: str) -> str:
    """Text that SQLite takes: bytes of a name that are not UTF-8 are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
