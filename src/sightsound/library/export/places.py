"""Where exports are written: apart from the library, with a description beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound._atomic import atomic_path, check_not_input
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.row_names import FINGERPRINT, SPACE
from sightsound.formats.columns import Column, dictionary
from sightsound.library.library import Library
from sightsound.library.store.validation import decode_root

_KEYS = {"name", "type", "unit", "meaning"}  # of a column in a description
_MOST_BYTES = 2**24  # of a description


def require_apart(place: PathLike, library: Library) -> None:
    """Raise `SightsoundError` if a file or folder is in the folder of a library, or is one of its files or items."""
    target, folder = os.path.realpath(place), os.path.realpath(library.path)
    if target == folder or os.path.dirname(target) == folder:
        raise SightsoundError(f"{os.fspath(place)}: is in the library, whose folder is its own; name another place")
    check_not_input(place, library.path.glob("library.*"))
    require_no_item(place, library)


def require_no_item(place: PathLike, library: Library) -> None:
    """Raise `SightsoundError` if a file exists and is one of the items of a library.

    One that is neither an image nor a sound, such as an earlier table in an indexed folder, may be replaced.
    """
    if os.path.isfile(place) and _is_item(place, library):
        name = printable(library.path.name)
        raise SightsoundError(f"{os.fspath(place)}: is an item of {name}, and would be overwritten; name another place")


def _is_item(file: PathLike, library: Library) -> bool:
    """Return whether a file is an item with media, also if the root of the item or the file is named through a link."""
    with library.decoding():
        roots = [(id_, decode_root(path)) for id_, path in library.rows("SELECT id, path FROM roots")]
    names = {os.path.abspath(file), os.path.realpath(file)}
    for id_, root in roots:
        for above in {root, os.path.realpath(root)}:
            below = (os.path.relpath(name, above).replace(os.sep, "/") for name in names)
            if any(library.rows(_WITH_MEDIA, id_, os.fsencode(path)) for path in below):
                return True
    return False


_WITH_MEDIA = (
    "SELECT 1 FROM items i WHERE root = ? AND path = ?"
    " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.item = i.id AND o.status = 'not-media')"
)


def dictionary_of(file: PathLike) -> Path:
    """Return the file that describes the columns of another: `rows.columns.json` for `rows.parquet`."""
    return Path(file).with_suffix(".columns.json")


def require_room_for_dictionary(file: PathLike, library: Library) -> None:
    """Raise `SightsoundError` if the description of the columns of a file would replace another kind of file."""
    place = dictionary_of(file)
    require_apart(place, library)
    if place.is_dir() or (place.is_file() and not _is_dictionary(place)):
        what = "expected a description of columns that `export` wrote, or no file, since the new one is written there"
        raise SightsoundError(f"{place}: {what}, got another one; rename it, or name another place")


def _is_dictionary(place: Path) -> bool:
    """Return whether a file has the form of what `write_dictionary` writes."""
    try:
        if place.stat().st_size > _MOST_BYTES:
            return False
        found = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    columns = found.get("columns") if isinstance(found, dict) else None
    named = isinstance(columns, list) and all(isinstance(each, dict) and set(each) == _KEYS for each in columns)
    return named and {SPACE, FINGERPRINT} <= set(found)


def write_dictionary(file: PathLike, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
    """Write the description of the columns of a file beside it; nothing for a pipe or a device."""
    if Path(file).is_file():
        with atomic_path(dictionary_of(file)) as path:
            path.write_text(dictionary(columns, metadata), encoding="utf-8")
