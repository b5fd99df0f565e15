"""Inverted lists that are gathered in files, so that an IVF index of any size is built in bounded memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.library.approximate.kinds import load_faiss
from sightsound.library.store.files import new_file
from sightsound.library.store.segments import as_bytes

GATHERED_BYTES = 2**29
"""Of lists that are held in memory at once."""


class ListFiles:
    """The lists of a trained IVF index, which go to files when they are large.

    Parameters
    ----------
    index : faiss.IndexIVF
        The index, trained and empty.
    folder : pathlib.Path
        Where the files are made; they are removed at the end.
    """

    def __init__(self, index: Any, folder: Path) -> None:
        self._index, self._folder = index, folder
        self._row_bytes = index.code_size + 8
        self._parts: list[tuple[Path, NDArray[np.int64]]] = []
        self._files = contextlib.ExitStack()
        self._total = 0

    def __enter__(self) -> ListFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def add(self, rows: NDArray[np.float32], numbers: NDArray[np.int64]) -> None:
        """Add rows, float32 (n, dim), with their numbers, int64 (n,)."""
        self._index.add_with_ids(rows, numbers)
        self._total += len(rows)
        if self._index.ntotal * self._row_bytes >= GATHERED_BYTES:
            self._put_down()

    def _put_down(self) -> None:
        """Write the lists to a new file, one after the other, and empty them."""
        faiss, lists = load_faiss(), self._index.invlists
        sizes = np.array([lists.list_size(number) for number in range(self._index.nlist)], np.int64)
        path = self._files.enter_context(new_file(self._folder, "library.lists-"))
        with path.open("wb") as file:
            for number in np.flatnonzero(sizes).tolist():
                size = int(sizes[number])
                file.write(faiss.rev_swig_ptr(lists.get_codes(number), size * self._index.code_size))
                file.write(faiss.rev_swig_ptr(lists.get_ids(number), size))
        self._parts.append((path, sizes))
        self._index.reset()

    def write(self, file: IO[bytes]) -> None:
        """Write the index with all its lists, in the form in which FAISS writes one with lists in memory.

        It is the form of `write_InvertedLists` in FAISS's impl/index_write.cpp: "ilar", the number of lists, the bytes
        of a code, "full", the sizes, and the codes and the numbers of each list. The lists are the last part of a file.
        """
        if self._index.ntotal:
            self._put_down()
        index, faiss = self._index, load_faiss()
        index.ntotal = self._total
        head = faiss.serialize_index(index).tobytes()
        index.ntotal = 0
        sizes = np.sum([sizes for _, sizes in self._parts] or [np.zeros(index.nlist, np.int64)], axis=0)
        file.write(head[: head.rindex(b"ilar")])
        file.write(b"ilar" + np.array([index.nlist, index.code_size], "<u8").tobytes())
        file.write(b"full" + np.array([index.nlist], "<u8").tobytes() + sizes.astype("<u8").tobytes())
        maps = [np.memmap(path, np.uint8, "r") for path, _ in self._parts]
        begins = [np.cumsum(part * self._row_bytes) - part * self._row_bytes for _, part in self._parts]
        for number in np.flatnonzero(sizes).tolist():
            for codes in (True, False):
                for map_, begin, (_, part) in zip(maps, begins, self._parts):
                    first = int(begin[number])
                    middle = first + int(part[number]) * index.code_size
                    last = first + int(part[number]) * self._row_bytes
                    file.write(as_bytes(map_[first:middle] if codes else map_[middle:last]))
