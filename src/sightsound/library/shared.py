"""A library and models that several threads use at once."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sightsound.contract.arrays import Floats
from sightsound.contract.embedder import Output
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.host.kept import Kept
from sightsound.host.model import Model
from sightsound.library.library import Library
from sightsound.library.store.writer import Writer, open_writer

T = TypeVar("T")
Read = TypeVar("Read", bound=Callable[..., Any])


class SharedModel(Model):
    """A loaded model for several threads: `embed` runs in as many of them as it has workers, `text` in one.

    Each run of the pipeline keeps to this number by itself. Several runs with one model do so together.

    Parameters
    ----------
    model : Model
        The model.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(
            model.embedder,
            space=model.space,
            plugin=model.plugin,
            stages=model.stages,
            others=model.others,
            execution=model.execution,
        )
        self._embedding = threading.BoundedSemaphore(self.workers)
        self._reading_text = threading.Lock()

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network, as `Model.embed` does."""
        with self._embedding:
            return super().embed(inputs)

    def text(self, texts: Sequence[str]) -> Floats:
        """Return a row for each text, as `Model.text` does."""
        with self._reading_text:
            return super().text(texts)


class SharedHost(Host):
    """A host whose models stay loaded, for several threads.

    Parameters
    ----------
    keep : int
        How many models stay loaded.
    **settings
        As for `Host`.
    """

    def __init__(self, *, keep: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._shared: Kept[SharedModel] = Kept(keep)

    def load(self, name: str, device: str = "auto", *, without: Iterable[str] = ()) -> Model:
        """Return a loaded model, the same for the same arguments; see `Host.load`."""
        left_out, load = frozenset(without), super().load
        key = (self.card(name).name, device, left_out)
        return self._shared.get(key, lambda: SharedModel(load(name, device, without=left_out)))

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is not installed; see `Host.register`. Models are loaded anew, since it may change them."""
        super().register(plugin, name)
        self._shared.clear()

    def release(self) -> None:
        """Keep no model loaded any longer, except those that are in use."""
        self._shared.clear()


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
        self._reader = ThreadPoolExecutor(1, "sightsound-library")
        self._thread = self._reader.submit(threading.get_ident).result()
        try:
            self._reader.submit(super().__init__, path, create=create).result()
        except BaseException:
            self._reader.shutdown()
            raise

    def close(self) -> None:
        """Close the library after the reads that are under way; every later read raises `LibraryError`."""
        with contextlib.suppress(LibraryError):  # it was closed before
            self._run(super().close)
        self._reader.shutdown()

    @contextlib.contextmanager
    def writing(self, *, max_bytes: int | None = None) -> Iterator[Writer]:
        """Yield the writer of this library, as `Library.writing` does; it belongs to the thread that asked for it."""
        with open_writer(self._file, max_bytes=max_bytes) as writer:
            self._run(self._database.reopen_after_migration)
            yield writer

    @property
    def roots(self) -> list[str]:
        """The folders that were indexed."""
        return self._run(lambda: super(SharedLibrary, self).roots)

    @property
    def spaces(self) -> dict[Space, int]:
        """Every space with the number of its searchable vectors."""
        return self._run(lambda: super(SharedLibrary, self).spaces)

    items = _in_reader(Library.items)
    item = _in_reader(Library.item)
    labels = _in_reader(Library.labels)
    all_labels = _in_reader(Library.all_labels)
    contents = _in_reader(Library.contents)
    outcomes = _in_reader(Library.outcomes)
    content = _in_reader(Library.content)
    vectors = _in_reader(Library.vectors)
    vector_index = _in_reader(Library.vector_index)
    tag_classes = _in_reader(Library.tag_classes)
    rows = _in_reader(Library.rows)
    require = _in_reader(Library.require)
    search = _in_reader(Library.search)
    search_tags = _in_reader(Library.search_tags)

    def _run(self, read: Callable[[], T]) -> T:
        """Return what `read` returns in the reading thread. One that reads more runs all of it there."""
        if threading.get_ident() == self._thread:
            return read()
        try:
            future = self._reader.submit(read)
        except RuntimeError as error:
            raise LibraryError(f"{self.path}: the library was closed") from error
        return future.result()
