"""A folder of items for the `datasets` of Hugging Face: files, and a table of what the library knows of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightsound._atomic import atomic_folder
from sightsound._progress import bar
from sightsound.contract.card import Modality
from sightsound.contract.csv_cells import joined
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.formats.columns import Batch, Column, batches_of
from sightsound.formats.writing import write_table
from sightsound.library.export.places import require_apart
from sightsound.library.fact_columns import fact_cells
from sightsound.library.filters import Filter
from sightsound.library.label_names import label_column_names
from sightsound.library.library import Library, open_library
from sightsound.library.listing import ListedItem, list_items

_ENDINGS = {
    "image": [".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"],
    "sound": [".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"],
}
"""The endings of the files that both `datasets` and sightsound read."""


@dataclass(frozen=True)
class FolderExport:
    """What `export_huggingface` wrote.

    Parameters
    ----------
    items : int
        How many items are in the folder.
    left_out : int
        How many are not: their files are gone, or have names that `datasets` does not take for images or sounds.
    """

    items: int
    left_out: int


def export_huggingface(
    library: PathLike | Library,
    folder: PathLike,
    *,
    where: Filter | None = None,
    files: Literal["link", "copy"] = "link",
    table: Literal["csv", "parquet"] = "csv",
    progress: bool | None = None,
) -> FolderExport:
    """Write items to a folder that `datasets.load_dataset` reads as `imagefolder` or `audiofolder`.

    The files are in `train`, named by the ids of the items; `train/metadata.csv` has a row for each: `file_name`, where
    it comes from, and its labels.

    Parameters
    ----------
    library : path-like or Library
        The library.
    folder : path-like
        A new or empty folder. It appears whole or not at all; what a killed run left beside it the next one removes.
    where : Filter or None
        Which items. They must be of one modality.
    files : {"link", "copy"}
        Whether the files are links to those that were indexed, or copies.
    table : {"csv", "parquet"}
        The form of the metadata. In CSV several labels of a column are one text, with "; " between them.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    FolderExport

    Raises
    ------
    SightsoundError
        If the folder has files or cannot be written, or there are both images and sounds, or neither.
    """
    if files not in ("link", "copy") or table not in ("csv", "parquet"):
        raise SightsoundError(f"files: expected link or copy, and a table csv or parquet, got {files!r} and {table!r}")
    where = where or Filter()
    with open_library(library) as opened:
        require_apart(folder, opened)
        modality = _modality(opened, where)
        with atomic_folder(folder) as draft:
            (draft / "train").mkdir()
            export = _Export(opened, where, draft / "train", modality, files)
            with bar(len(opened), "export", progress) as shown:
                write_table(draft / "train" / f"metadata.{table}", export.columns, export.batches(shown))
            return FolderExport(export.items, export.left_out)


def _modality(library: Library, where: Filter) -> Modality:
    """Return the modality of the items that a filter keeps; raise `SightsoundError` unless all have the same."""
    found = {each.modality for each in list_items(library, where=where) if each.modality is not None}
    if len(found) != 1:
        what = "both" if found else "neither"
        raise SightsoundError(f"{library.path.name}: expected images or sounds, got {what}; filter by modality")
    return found.pop()


class _Export:
    """The files of items in a folder, and the rows of the table about them."""

    def __init__(self, library: Library, where: Filter, folder: Path, modality: Modality, files: str) -> None:
        self._library, self._where, self._folder, self._files = library, where, folder, files
        self._endings = _ENDINGS[modality]
        self._labels, self._facts = library.label_columns(ranges=False), library.fact_columns(modality)
        self.items = self.left_out = 0
        fixed = [
            Column("file_name", "text", "the file, relative to the table"),
            Column("item", "integer", "id of the item in the library"),
            Column("path", "path", "path of the file below `root`, with slashes"),
            Column("root", "path", "absolute path of the folder that was indexed"),
            Column("content", "text", "SHA-256 of the file in hexadecimal digits"),
            Column("seconds", "number", "duration that was decoded; empty for images", "s"),
            *self._facts,
        ]
        names = label_column_names(self._labels, [*(column.name for column in fixed), "note", "image", "audio"])
        labels = [Column(names[each], "text", f"labels in the column {each}") for each in self._labels]
        self.columns = [*fixed, *labels]

    def batches(self, shown: Any) -> Iterator[Batch]:
        return batches_of(self.columns, self._rows(shown))

    def _rows(self, shown: Any) -> Iterator[list[Any]]:
        for found in list_items(self._library, where=self._where):
            shown.update(1)
            name = f"{found.item.id:08}{found.item.file.suffix.lower()}"
            if found.modality is None or not self._placed(found, name):
                self.left_out += 1
                continue
            self.items += 1
            item = found.item
            labels = [joined(found.labels.get(column, ())) or None for column in self._labels]
            place = [name, item.id, item.path, item.root]
            yield [*place, found.content, found.seconds, *fact_cells(self._facts, found.facts), *labels]

    def _placed(self, found: ListedItem, name: str) -> bool:
        """Put the file of an item into the folder; return False if it cannot be there."""
        file = found.item.file
        if file.suffix.lower() not in self._endings or not file.is_file() or "ok" not in found.status.values():
            return False
        target = self._folder / name
        if self._files == "link":
            target.symlink_to(file)
            return True
        try:
            shutil.copyfile(file, target)
        except OSError as error:
            raise SightsoundError(f"{printable(file)}: cannot be copied ({error.strerror}); link the files") from error
        return True
