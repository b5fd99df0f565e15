"""Rows in a Parquet file, of `export` or of another program, read batch by batch."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract import row_names
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.formats.parquet import open_parquet, reading_errors
from sightsound.formats.texts import ESCAPED_BYTES, NOTE
from sightsound.library.incoming.row_scores import StatedScores, read_scores, stated_scores
from sightsound.library.incoming.row_source import (
    CLASSES,
    CONTENTS,
    MEANT_PREFIXES,
    PATHS,
    ROOTS,
    SECONDS,
    STARTS,
    STOPS,
    VECTORS,
    Stated,
    TableBlock,
    label_columns,
    label_values,
    named,
    not_taken,
    note_not_finite,
    rows_at_once,
)
from sightsound.library.label_cells import bytes_of_escapes
from sightsound.media.safe_open import error_line

_FIRST = 256  # rows whose lengths say how long a row is
_PLACES = 2**16  # rows whose paths are read at once


class ParquetRows:
    """The rows of a Parquet file.

    Parameters
    ----------
    file : str
        The file.
    labels : sequence of str
        Columns of labels.

    Raises
    ------
    SightsoundError
        If pyarrow is not installed, or the file cannot be read or lacks a column.
    """

    def __init__(self, file: str, labels: Sequence[str]) -> None:
        self.file = file
        with self._opened() as table:
            schema = table.schema_arrow
            columns = list(schema.names)
            if len(set(columns)) < len(columns):
                raise ValueError("two columns have the same name")
            self._vectors = named(file, columns, VECTORS, "the rows")
            self._paths = named(file, columns, PATHS, "the path of each row")
            self._roots, self._contents = named(file, columns, ROOTS), named(file, columns, CONTENTS)
            self._times = [named(file, columns, names) for names in (SECONDS, STARTS, STOPS)]
            self.count = int(table.metadata.num_rows)
            said = _metadata(schema)
            space, fingerprint = (row_names.stated(said, name) for name in (row_names.SPACE, row_names.FINGERPRINT))
            scores = stated_scores(said, columns)
            known = [name for name in _text_lists(schema) if name not in labels] if fingerprint else []
            self._labels = label_columns(file, columns, [*known, *labels])
            left = [name for name in not_taken(columns, self._labels.values()) if _is_text(schema.field(name).type)]
            facts = tuple(columns), self._dim(table), self._is_timed(table), space, fingerprint, scores, tuple(left)
            self.stated = Stated(*facts)
            self._note = NOTE.name if fingerprint and NOTE.name in columns else ""

    def places(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the paths and the roots of all rows, block by block."""
        with self._opened() as table:
            for batch in table.iter_batches(
                _PLACES, columns=self._present(self._paths, self._roots, self._note), use_threads=False
            ):
                yield self._names(batch, self._paths), self._names(batch, self._roots)

    def blocks(self) -> Iterator[TableBlock]:
        """Yield all rows, block by block."""
        names = self._present(self._vectors, self._paths, self._roots, self._contents, *self._times, self._note)
        names += [name for name in self._labels.values() if name not in names]
        first, scored, wide = 0, self.stated.scores, self.stated.dim
        if isinstance(scored, StatedScores):
            names += [name for name in (scored.column, row_names.TOP_SCORES) if name not in names]
            wide += len(scored.classes)
        with self._opened() as table:
            for batch in table.iter_batches(rows_at_once(wide), columns=names, use_threads=False):
                problems: dict[int, str] = {}
                vectors = self._rows(batch.column(self._vectors), problems)
                note_not_finite(vectors, problems)
                labels = {
                    name: [label_values(value) for value in batch.column(at).to_pylist()]
                    for name, at in self._labels.items()
                }
                paths, roots = self._names(batch, self._paths), self._names(batch, self._roots)
                contents = _hashes(batch.column(self._contents)) if self._contents else [""] * len(paths)
                scores = read_scores(batch, scored) if isinstance(scored, StatedScores) else None
                yield TableBlock(first, paths, roots, vectors, problems, self._spans(batch), contents, labels, scores)
                first += len(paths)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        errors = reading_errors()
        try:
            with open_parquet(self.file) as table:
                yield table
        except errors as error:
            raise SightsoundError(
                f"{self.file}: expected a Parquet file of rows with their paths ({error_line(error)}); make it anew"
            ) from error

    def _present(self, *names: str) -> list[str]:
        return list(dict.fromkeys(name for name in names if name))

    def _dim(self, table: Any) -> int:
        """Return the length of a row: that of the type, or the most frequent one of the first rows."""
        import pyarrow

        kind = table.schema_arrow.field(self._vectors).type
        if pyarrow.types.is_fixed_size_list(kind):
            dim = int(kind.list_size)
        elif pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
            first = next(table.iter_batches(_FIRST, columns=[self._vectors], use_threads=False), None)
            lengths = [] if first is None else first.column(0).value_lengths().to_pylist()
            counts = Counter(length for length in lengths if length)
            dim = counts.most_common(1)[0][0] if counts else 0
            if not dim and self.count:
                raise ValueError(f"{self._vectors}: the first rows are empty")
        else:
            raise ValueError(f"{self._vectors}: expected lists of numbers, got {kind}")
        values = kind.value_type
        if not (pyarrow.types.is_floating(values) or pyarrow.types.is_integer(values)):
            raise ValueError(f"{self._vectors}: expected lists of numbers, got {kind}")
        return max(1, dim)

    def _is_timed(self, table: Any) -> bool:
        """Return whether any row has seconds. A file of images may have columns without any."""
        seconds, start, stop = self._times
        names = [seconds] if seconds else [start, stop] if start and stop else []
        if not names:
            return False
        for batch in table.iter_batches(_PLACES, columns=names[:1], use_threads=False):
            found = batch.column(0).flatten() if seconds else batch.column(0)
            if np.isfinite(found.to_numpy(zero_copy_only=False).astype(np.float64)).any():
                return True
        return False

    def _rows(self, column: Any, problems: dict[int, str]) -> Floats:
        """Return the vectors of a column, float32 (n, dim), and note rows that are empty or of another length."""
        dim = self.stated.dim
        found = np.full((len(column), dim), np.nan, np.float32)
        lengths = column.value_lengths().to_numpy(zero_copy_only=False) if len(column) else np.empty(0)
        if hasattr(column.type, "list_size"):
            lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), dim, np.nan)
        good = lengths == dim
        for number in np.flatnonzero(~good).tolist():
            length = lengths[number]
            got = "nothing" if length is None or length != length else f"{int(length)}"
            problems[number] = f"expected {dim} numbers, got {got}"
        values = column.filter(_mask(good)).flatten().to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore", invalid="ignore"):
            found[good] = values.astype(np.float32).reshape(-1, dim)
        return found

    def _spans(self, batch: Any) -> NDArray[np.float64] | None:
        if not self.stated.timed:
            return None
        seconds, start, stop = self._times
        if seconds:
            pairs = [
                each if each is not None and len(each) == 2 else (None, None)
                for each in batch.column(seconds).to_pylist()
            ]
            return np.array(pairs, np.float64).reshape(-1, 2)
        columns = [batch.column(name).to_pylist() for name in (start, stop)]
        return np.array(columns, np.float64).reshape(2, -1).T

    def _names(self, batch: Any, name: str) -> list[str]:
        """Return the names of files in a column, "" for none; a note of `export` tells which of them have escapes."""
        if not name:
            return [""] * len(batch)
        names = _texts(batch.column(name))
        if not self._note:
            return names
        escaped = f"{name}: {ESCAPED_BYTES}"
        noted = [escaped in note.split("; ") for note in _texts(batch.column(self._note))]
        return [bytes_of_escapes(each) if there else each for each, there in zip(names, noted)]


def _mask(good: NDArray[np.bool_]) -> Any:
    import pyarrow

    return pyarrow.array(good)


def _metadata(schema: Any) -> dict[str, str]:
    """Return the metadata of a schema as texts."""
    said: dict[bytes, bytes] = schema.metadata or {}
    return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, value in said.items()}


def _text_lists(schema: Any) -> list[str]:
    """Return the columns of lists of texts that are labels of files in a file of `export`.

    The best classes and the labels of windows are none.
    """
    import pyarrow

    lists = [each.name for each in schema if pyarrow.types.is_list(each.type) and _is_text(each.type.value_type)]
    return [name for name in lists if name not in CLASSES and not name.startswith(MEANT_PREFIXES)]


def _is_text(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _hashes(column: Any) -> list[str]:
    """Return the hexadecimal digits of hashes, which may be stored as bytes."""
    values = column.to_pylist()
    return ["" if each is None else each.hex() if isinstance(each, bytes) else str(each) for each in values]


def _texts(column: Any) -> list[str]:
    """Return the texts of a column, "" for none. Bytes are those of names in the file system."""
    values = column.to_pylist()
    if not all(isinstance(each, str | bytes | None) for each in values):
        raise ValueError(f"expected texts, got {column.type}")
    return [
        "" if each is None else each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else each
        for each in values
    ]
