"""Check, before any work, that the files which a command is to write may be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable

_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".xlsx", ".ods")
_ARRAYS = (
    ".npy",
    ".npz",
    ".parquet",
    ".feather",
    ".arrow",
    ".h5",
    ".hdf5",
    ".mat",
    ".pkl",
    ".pickle",
    ".zip",
    ".sqlite",
)
_NETWORKS = (".probe", ".onnx", ".safetensors", ".pt", ".pth", ".tflite")
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".pdf", ".ppm", ".heic", ".avif")
_RAW_IMAGES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".xmp")
_SOUNDS = (
    ".wav",
    ".bwf",
    ".w64",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".au",
    ".caf",
    ".m4a",
    ".mp4",
)
_KNOWN_ENDINGS = frozenset((*_TABLES, *_ARRAYS, *_NETWORKS, *_IMAGES, *_RAW_IMAGES, *_SOUNDS))


def check_destinations(
    out: str | None = None,
    *,
    endings: Sequence[str] = (),
    strict: bool = False,
    plot: str | None = None,
    wordcloud: str | None = None,
    inputs: Sequence[PathLike] = (),
    library: str | None = None,
) -> None:
    """Refuse what cannot be written, or would overwrite what the command reads.

    Parameters
    ----------
    out, plot, wordcloud : str, optional
        The files that are to be written.
    endings : sequence of str
        The endings that are right for the content of `out`. Another ending is refused if it is known to stand for
        another kind of content.
    strict : bool
        Whether any other ending is refused.
    inputs : sequence of path
        The files and folders that the command reads.
    library : str, optional
        The library that the command reads.

    Raises
    ------
    SightsoundError
        If a file cannot be written.
    """
    from sightsound._atomic import check_writable

    places = [place for place in (out, plot, wordcloud) if place]
    if "-" in places:  # a command that writes to standard output does not ask
        raise SightsoundError("-: expected a file, got standard output; name a file (./- for one that is called so)")
    for place in places:
        _check_apart(place, inputs, library)
    for i, place in enumerate(places):
        if any(os.path.abspath(place) == os.path.abspath(other) for other in places[:i]):
            raise SightsoundError(f"{place}: expected a file for each output, got one for two; name another place")
    if out:
        if endings:
            check_ending(out, endings, strict=strict)
        check_writable(out)
    if plot or wordcloud:
        from sightsound.plot.figure import check_figure, check_wordcloud

        if plot:
            check_figure(plot)
        if wordcloud:
            check_wordcloud(wordcloud)


def check_ending(out: str, endings: Sequence[str], *, strict: bool = False) -> None:
    """Raise `SightsoundError` if the name of a file ends as files of another content do.

    Parameters
    ----------
    out : str
        The file. A name without an ending is right for any content.
    endings : sequence of str
        The endings that are right.
    strict : bool
        Whether any other ending is refused; else only those that are known to stand for another kind of content.
    """
    ending = Path(out).suffix.lower()
    if ending and ending not in endings and (strict or ending in _KNOWN_ENDINGS):
        expected = " or ".join(endings)
        raise SightsoundError(f"{out}: expected a name that ends in {expected}, got {ending}; name another place")


def _check_apart(out: str, inputs: Sequence[PathLike], library: str | None) -> None:
    from sightsound._atomic import check_not_input

    check_not_input(out, inputs)
    if not os.path.isfile(out):
        return
    if any(os.path.isdir(path) and _is_below(out, path) for path in inputs) and _is_media(out):
        folder = printable(os.path.dirname(out) or ".")
        raise SightsoundError(f"{out}: is one of the files to read, in {folder}; name another place")
    if library:
        _check_no_item(out, library)


def _check_no_item(out: str, library: str) -> None:
    """Refuse an item of a library. One that cannot be opened is for the command itself to report."""
    from sightsound.library.export.places import require_no_item
    from sightsound.library.library import Library

    try:
        opened = Library(library)
    except SightsoundError:
        return
    with opened:
        require_no_item(out, opened)


def _is_below(file: PathLike, folder: PathLike) -> bool:
    above = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(file), above]) == above


def _is_media(file: str) -> bool:
    from sightsound import media
    from sightsound.contract.errors import MediaError

    try:
        media.identify(file)
    except MediaError:
        return False
    return True
