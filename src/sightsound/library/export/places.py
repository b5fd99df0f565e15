"""Where exports are written: apart from the library, with a description beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound._atomic import atomic_path, check_not_input
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.formats.columns import Column, dictionary
from sightsound.library.library import Library


def require_apart(place: PathLike, library: Library) -> None:
    """Raise `SightsoundError` if a file or folder is in the folder of a library, or is one of its files."""
    target, folder = os.path.realpath(place), os.path.realpath(library.path)
    if target == folder or os.path.dirname(target) == folder:
        raise SightsoundError(f"{os.fspath(place)}: is in the library, whose folder is its own; name another place")
    check_not_input(place, library.path.glob("library.*"))


def dictionary_of(file: PathLike) -> Path:
    """Return the file that describes the columns of another: `rows.columns.json` for `rows.parquet`."""
    return Path(file).with_suffix(".columns.json")


def write_dictionary(file: PathLike, columns: Sequence[Column], metadata: Mapping[str, str]) -> None:
    """Write the description of the columns of a file beside it; nothing for a pipe or a device."""
    if Path(file).is_file():
        with atomic_path(dictionary_of(file)) as path:
            path.write_text(dictionary(columns, metadata), encoding="utf-8")
