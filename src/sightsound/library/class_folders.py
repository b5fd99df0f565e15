"""The files of class folders: what is in each, and which class its folder names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sightsound.contract.card import Modality
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item, Outcome
from sightsound.library.labels import folder_label
from sightsound.library.scan import FileScan, scan_files
from sightsound.media import files


@dataclass(frozen=True)
class ClassFolders:
    """The files of one modality in class folders: n files of different content.

    Parameters
    ----------
    items : tuple of Item, length n
        The files, by path.
    labels : tuple of str, length n
        The class of each: the name of the folder that holds it.
    contents : tuple of bytes, length n
        The SHA-256 of each.
    failures : tuple of Outcome
        Files and folders that cannot be read, and files that are neither images nor sounds.
    notes : tuple of str
        What was left out, and why.
    """

    items: tuple[Item, ...]
    labels: tuple[str, ...]
    contents: tuple[bytes, ...] = field(repr=False)
    failures: tuple[Outcome, ...] = ()
    notes: tuple[str, ...] = ()


def read_class_folders(folder: PathLike, modality: Modality) -> ClassFolders:
    """Find the files of a folder that has a folder for each class, at any depth; nothing is decoded.

    Files of equal content count once, and not at all if they are in folders of different names.

    Parameters
    ----------
    folder : path
        The folder.
    modality : {"image", "sound"}
        Files of the other modality are left out.

    Returns
    -------
    ClassFolders

    Raises
    ------
    SightsoundError
        If there is no file of this modality in a class folder.
    """
    found = list(files.find_items([folder]))
    failures = [each for each in found if isinstance(each, Outcome)]
    scans = list(scan_files([each for each in found if isinstance(each, Item)], lambda _: None))
    failures += [scan.failure() for scan in scans if scan.error is not None]
    good = [scan for scan in scans if scan.error is None]
    of_kind = [scan for scan in good if scan.modality == modality]
    inside = [scan for scan in of_kind if "/" in scan.item.path]
    by_content: dict[bytes | None, list[FileScan]] = {}
    for scan in inside:
        by_content.setdefault(scan.content, []).append(scan)
    agreeing = [same for same in by_content.values() if len({folder_label(scan.item) for scan in same}) == 1]
    kept, differing = [same[0] for same in agreeing], len(inside) - sum(map(len, agreeing))
    if not kept:
        _refuse(folder, modality, len(of_kind) - len(inside), len(good) - len(of_kind), len(failures))
    notes = [
        (len(good) - len(of_kind), f"{{}} that {{are}} no {modality} left out"),
        (len(of_kind) - len(inside), "{} outside of class folders left out"),
        (len(inside) - len(kept) - differing, "{} of equal content left out"),
        (differing, "{} of equal content in different classes left out"),
    ]
    texts = [text.format(_files(n), are="are" if n > 1 else "is") for n, text in notes if n]
    return ClassFolders(
        items=tuple(scan.item for scan in kept),
        labels=tuple(folder_label(scan.item) for scan in kept),
        contents=tuple(scan.content or b"" for scan in kept),
        failures=tuple(failures),
        notes=tuple(texts),
    )


def _refuse(folder: PathLike, modality: Modality, outside: int, others: int, failed: int) -> None:
    place = printable(Path(folder))
    expected = f"{place}: expected a folder of {modality}s for each class"
    if outside:
        above = f"the {modality}s themselves ({outside}); name the folder above, or sort them into folders"
        raise SightsoundError(f"{expected}, got {above}")
    parts = [f"{_files(others)} of another kind"] * (others > 0) + [f"{failed} that cannot be read"] * (failed > 0)
    raise SightsoundError(f"{expected}, got {' and '.join(parts) or 'no files'}; name another folder")


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
