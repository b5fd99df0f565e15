"""Lists of objects as JSON, one object after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sightsound.formats.columns import Batch, Column, cells_of


def json_text_of(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one JSON array of objects, in pieces.

    It is ASCII: a byte of a file name that is not UTF-8 is kept as a surrogate escape, which Python's `json` reads as
    the same name. Numbers that are not finite are null.

    Parameters
    ----------
    objects : iterable of mapping
        The objects.
    """
    before = "["
    for each in objects:
        yield f"{before}\n {json.dumps(finite(each), default=_plain, allow_nan=False)}"
        before = ","
    yield f"{before}]\n" if before == "[" else "\n]\n"


def objects_of(columns: Sequence[Column], batches: Iterable[Batch]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as objects: name of a column -> cell."""
    names = [column.name for column in columns]
    for batch in batches:
        for row in zip(*(cells_of(batch, column) for column in columns)):
            yield dict(zip(names, row))


def finite(value: Any) -> Any:
    """Return a value whose numbers are finite, with None in place of the others."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    return finite(value.tolist()) if hasattr(value, "tolist") else str(value)
