"""When a writer that takes in many items commits."""

from __future__ import annotations

import time

from sightsound.library.store.writer import Writer

_LEAST_ITEMS = 20_000
_SHARE = 2  # of the items of the library
_MOST_BYTES = 2**30  # of rows
_MOST_SECONDS = 60.0


class CommitPace:
    """Commits after so many items that the pages of indexes are not written again and again.

    A commit writes each page of the database that was changed since the last one, and items change pages that are all
    over some indexes: of hashes, paths and scores. So the items of a transaction grow with the library: all commits
    together write a few times what the indexes are at the end, however many items are taken in. Many bytes of rows, or
    much time, are reasons to commit, too: what they took is large beside the pages.

    Parameters
    ----------
    writer : Writer
        The writer.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._items = self._bytes = 0
        self._committed = time.monotonic()
        ((self._known,),) = writer.read("SELECT count(*) FROM items")

    def add(self, items: int, row_bytes: int) -> None:
        """Count what was taken in, and commit if it is due. Nothing may be under way."""
        self._items += items
        self._bytes += row_bytes
        many = self._items >= max(_LEAST_ITEMS, self._known // _SHARE) or self._bytes >= _MOST_BYTES
        if many or time.monotonic() - self._committed > _MOST_SECONDS:
            self._writer.commit()
            self._writer.items.clear_cache()
            self._known += self._items
            self._items = self._bytes = 0
            self._committed = time.monotonic()
