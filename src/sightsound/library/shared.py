"""A library that several threads use at once."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.library.content_rows import ContentRows
from sightsound.library.filters import Filter
from sightsound.library.library import Library
from sightsound.library.row_blocks import RowBlock
from sightsound.library.space_reader import KeptScores
from sightsound.library.store.writer import Writer, open_writer
from sightsound.media.facts.times import TimeRules

T = TypeVar("T")
Read = TypeVar("Read", bound=Callable[..., Any])


def _in_reader(read: Read) -> Read:
    """Return a method of `Library` as one that runs in the reading thread."""

    @functools.wraps(read)
    def method(self: SharedLibrary, *values: Any, **named: Any) -> Any:
        return self._run(functools.partial(read, self, *values, **named))

    return cast(Read, method)


class SharedLibrary(Library):
    """A library, open for reading in several threads.

    A connection of SQLite belongs to one thread. All reads run in a thread of the library's own, one after the other,
    so that the vectors are in memory once.

    Parameters
    ----------
    path : path-like
        The folder of the library.
    create : bool, default=False
        Make an empty library if the folder does not exist or is empty.
    """

    def __init__(self, path: PathLike, *, create: bool = False) -> None:
        self._pool = ThreadPoolExecutor(1, "sightsound-library")
        self._thread = self._pool.submit(threading.get_ident).result()
        try:
            self._pool.submit(super().__init__, path, create=create).result()
        except BaseException:
            self._pool.shutdown()
            raise

    def close(self) -> None:
        """Close the library after the reads that are under way; every later read raises `LibraryError`."""
        with contextlib.suppress(LibraryError):  # it was closed before
            self._run(super().close)
        self._pool.shutdown()

    @contextlib.contextmanager
    def writing(self, *, max_bytes: int | None = None) -> Iterator[Writer]:
        """Yield the writer of this library, as `Library.writing` does; it belongs to the thread that asked for it."""
        with open_writer(self._file, max_bytes=max_bytes) as writer:
            self._run(self._reopen_after_migration)
            yield writer

    def __len__(self) -> int:
        return self._run(lambda: super(SharedLibrary, self).__len__())

    @property
    def roots(self) -> list[str]:
        """The folders that were indexed."""
        return self._run(lambda: super(SharedLibrary, self).roots)

    @property
    def store(self) -> str:
        """In what precision vectors are kept: "f32" or "f16"."""
        return self._run(lambda: super(SharedLibrary, self).store)

    @property
    def spaces(self) -> dict[Space, int]:
        """Every space with the number of its searchable vectors."""
        return self._run(lambda: super(SharedLibrary, self).spaces)

    @property
    def approximated(self) -> dict[Space, str]:
        """The spaces in which the last search used an approximate index, each with a line about its recall."""
        return self._run(lambda: super(SharedLibrary, self).approximated)

    def contents_in(self, space: Space, where: Filter | None = None) -> Iterator[tuple[list[Item], Floats, Seconds]]:
        """Yield every content that has rows in a space."""
        yield from self._steps(lambda: super(SharedLibrary, self).contents_in(space, where))

    def stored_contents(self, space: Space, where: Filter | None = None) -> Iterator[ContentRows]:
        """Yield every content that has rows in a space, before they are read."""
        yield from self._steps(lambda: super(SharedLibrary, self).stored_contents(space, where))

    def stored_items(self, space: Space, where: Filter | None = None) -> Iterator[ContentRows]:
        """Yield every item that has rows in a space, before they are read."""
        yield from self._steps(lambda: super(SharedLibrary, self).stored_items(space, where))

    def each_item(self) -> Iterator[Item]:
        """Yield all items in the order of their ids."""
        yield from self._steps(super().each_item)

    def scores_in(self, space: Space, where: Filter | None = None) -> Iterator[KeptScores]:
        """Yield the scores of every content that has some in a space."""
        yield from self._steps(lambda: super(SharedLibrary, self).scores_in(space, where))

    def row_blocks(self, space: Space, where: Filter | None = None, *, best: int = 0) -> Iterator[RowBlock]:
        """Yield the rows of a space with their items, block by block."""
        yield from self._steps(lambda: super(SharedLibrary, self).row_blocks(space, where, best=best))

    def vectors_in(self, space: Space, where: Filter | None = None) -> Iterator[tuple[list[Outcome], Floats, Seconds]]:
        """Yield the rows of every content that has some in a space."""
        yield from self._steps(lambda: super(SharedLibrary, self).vectors_in(space, where))

    def iterate(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of an SQL query one by one."""
        yield from self._steps(lambda: super(SharedLibrary, self).iterate(query, *values))

    def all_labels(self) -> Iterator[tuple[int, str, str]]:
        """Yield every label as (id of the item, column, value), sorted."""
        yield from self._steps(super().all_labels)

    def facts_of(self, ids: Collection[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the facts of some items that have an outcome, in the order of their ids."""
        yield from self._steps(lambda: super(SharedLibrary, self).facts_of(ids))

    def all_facts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the facts of every item that has an outcome, in the order of their ids."""
        yield from self._steps(lambda: super(SharedLibrary, self).all_facts())

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make all reads in the block see the same state, also those of other threads."""
        context = self._run(super().snapshot)
        self._run(context.__enter__)
        try:
            yield
        finally:
            self._run(lambda: context.__exit__(None, None, None))

    @contextlib.contextmanager
    def decoding(self) -> Iterator[None]:
        """Report values that cannot be decoded as damage of the library; nothing is read for that."""
        with super().decoding():
            yield

    @property
    def time_rules(self) -> TimeRules:
        """How the times of files are read: the zone of local times, and patterns of their names."""
        return self._run(lambda: super(SharedLibrary, self).time_rules)

    items = _in_reader(Library.items)
    item = _in_reader(Library.item)
    labels = _in_reader(Library.labels)
    label_columns = _in_reader(Library.label_columns)
    contents = _in_reader(Library.contents)
    outcomes = _in_reader(Library.outcomes)
    content = _in_reader(Library.content)
    vectors = _in_reader(Library.vectors)
    sample_rows = _in_reader(Library.sample_rows)
    class_lists = _in_reader(Library.class_lists)
    scored_classes = _in_reader(Library.scored_classes)
    scores_of = _in_reader(Library.scores_of)
    to_arrow = _in_reader(Library.to_arrow)
    to_pandas = _in_reader(Library.to_pandas)
    chosen_space = _in_reader(Library.chosen_space)
    mapped_rows = _in_reader(Library.mapped_rows)
    indexes = _in_reader(Library.indexes)
    ranges = _in_reader(Library.ranges)
    facts = _in_reader(Library.facts)
    fact_columns = _in_reader(Library.fact_columns)
    fact_names = _in_reader(Library.fact_names)
    require_facts = _in_reader(Library.require_facts)
    setting = _in_reader(Library.setting)
    chosen_items = _in_reader(Library.chosen_items)
    merge = _in_reader(Library.merge)
    decoded = _in_reader(Library.decoded)
    tag_classes = _in_reader(Library.tag_classes)
    rows = _in_reader(Library.rows)
    require = _in_reader(Library.require)
    search = _in_reader(Library.search)
    search_many = _in_reader(Library.search_many)
    search_spaces = _in_reader(Library.search_spaces)
    search_tags = _in_reader(Library.search_tags)

    def _steps(self, begin: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Yield what an iterator gives, each step of which runs in the reading thread."""
        steps, end = self._run(begin), object()
        while (found := self._run(lambda: next(steps, end))) is not end:
            yield cast(T, found)

    def _run(self, read: Callable[[], T]) -> T:
        """Return what `read` returns in the reading thread. One that reads more runs all of it there."""
        if threading.get_ident() == self._thread:
            return read()
        try:
            future = self._pool.submit(read)
        except RuntimeError as error:
            raise LibraryError(f"{self.path}: the library was closed") from error
        return future.result()
