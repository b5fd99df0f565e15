"""Tables of labels in JSON and Parquet: their columns and rows, of cells that are texts."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.formats.parquet import open_parquet, reading_errors
from sightsound.media.safe_open import error_line

RECORD_FORMS = {".json": "json", ".parquet": "parquet"}
"""The ending of a name -> the form of the table."""

_CHARACTERS = 2**16  # of JSON that are read at once
_MOST_CHARACTERS = 2**24  # of a row
_ROWS = 2**12  # of Parquet that are read at once
_SKIPPED = re.compile(r"[\s,]*")


class LabelRecords:
    """The rows of a table in JSON (a list of objects) or Parquet.

    Parameters
    ----------
    file : path-like
        The file.
    form : {"json", "parquet"}
        Its form.

    Attributes
    ----------
    names : list of str
        The names of its columns.

    Raises
    ------
    SightsoundError
        If it cannot be read, or pyarrow is missing for Parquet.
    """

    def __init__(self, file: PathLike, form: str) -> None:
        self._file, self._form = file, form
        with self._errors():
            if form == "parquet":
                with open_parquet(file) as table:
                    self.names = [str(name) for name in table.schema_arrow.names]
            else:
                self.names = list(dict.fromkeys(name for record in _json_records(file) for name in record))

    def rows(self, names: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield the rows with a text in each cell, "" for none. A row with lists of texts becomes one for each text.

        Parameters
        ----------
        names : sequence of str
            The columns to read; no others of a Parquet file are decoded.
        """
        with self._errors():
            records = _parquet_records(self._file, names) if self._form == "parquet" else _json_records(self._file)
            for number, record in enumerate(records, 1):
                lists = {name: _texts(value, number, name) for name, value in record.items() if name in names}
                single = {name: texts[0] for name, texts in lists.items() if not isinstance(record[name], list)}
                several = {name: texts for name, texts in lists.items() if name not in single}
                for cells in list(zip_longest(*several.values(), fillvalue="")) or [("",) * len(several)]:
                    yield {**single, **dict(zip(several, cells))}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        errors = reading_errors() if self._form == "parquet" else (OSError, ValueError, RecursionError)
        try:
            yield
        except errors as error:
            kind = {"json": "a list of objects in JSON", "parquet": "a Parquet file"}[self._form]
            raise SightsoundError(f"{self._file!s}: expected {kind} ({error_line(error)}); make it anew") from error


def _texts(value: Any, number: int, name: str) -> list[str]:
    """Return the texts in a cell: of a list each, else one."""
    if isinstance(value, list):
        return [text for each in value for text in _texts(each, number, name)]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return [""]
    if isinstance(value, dict | bytes):
        raise ValueError(f"row {number}: {name}: expected a text, a number or a list")
    return [json.dumps(value) if isinstance(value, bool | int | float) else str(value)]  # a time of Parquet, too


def _parquet_records(file: PathLike, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with open_parquet(file) as table:
        for batch in table.iter_batches(_ROWS, columns=list(names), use_threads=False):
            yield from batch.to_pylist()


def _json_records(file: PathLike) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list one by one, so that the list is never in memory as a whole."""
    decoder = json.JSONDecoder()
    with open(file, encoding="utf-8-sig") as opened:
        text = opened.read(_CHARACTERS)
        start = _SKIPPED.match(text)
        at = start.end() if start else 0
        if text[at : at + 1] != "[":
            raise ValueError("it does not begin with [")
        at, number, ended = at + 1, 0, False
        while True:
            at = _SKIPPED.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] == "]":
                if text[at + 1 :].strip() or opened.read().strip():
                    raise ValueError("there is more after its ]")
                return
            try:
                record, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                if ended or len(text) - at > _MOST_CHARACTERS:
                    raise
                more = opened.read(max(_CHARACTERS, len(text) - at))
                text, at, ended = text[at:] + more, 0, not more
                continue
            number += 1
            if not isinstance(record, dict):
                raise ValueError(f"row {number}: expected an object")
            yield record
