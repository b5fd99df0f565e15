"""Check, before any work, that the files which a command is to write may be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable

_KNOWN_ENDINGS = frozenset(
    (
        *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".xlsx", ".ods"),
        *(
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
        ),
        *(".probe", ".onnx", ".safetensors", ".pt", ".pth", ".tflite"),
        *(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".pdf"),
        *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".mp4"),
    )
)


def check_destinations(
    out: str | None = None,
    *,
    endings: Sequence[str] = (),
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
    for place in places:
        _check_apart(place, inputs, library)
    for i, place in enumerate(places):
        if any(os.path.abspath(place) == os.path.abspath(other) for other in places[:i]):
            raise SightsoundError(f"{place}: expected a file for each output, got one for two; name another place")
    if out:
        if endings:
            check_ending(out, endings)
        check_writable(out)
    if plot or wordcloud:
        from sightsound.plot.figure import check_figure, check_wordcloud

        if plot:
            check_figure(plot)
        if wordcloud:
            check_wordcloud(wordcloud)


def check_ending(out: str, endings: Sequence[str]) -> None:
    """Raise `SightsoundError` if the name of a file ends as files of another content do."""
    ending = Path(out).suffix.lower()
    if ending in _KNOWN_ENDINGS and ending not in endings:
        expected = " or ".join(endings)
        raise SightsoundError(f"{out}: expected a name that ends in {expected}, got {ending}; name another place")


def _check_apart(out: str, inputs: Sequence[PathLike], library: str | None) -> None:
    from sightsound._atomic import check_not_input

    check_not_input(out, [*inputs, *_files_of_library(library)])
    if os.path.isfile(out) and any(os.path.isdir(path) and _is_below(out, path) for path in inputs) and _is_media(out):
        folder = printable(os.path.dirname(out) or ".")
        raise SightsoundError(f"{out}: is one of the files to read, in {folder}; name another place")


def _files_of_library(library: str | None) -> Iterator[Path]:
    if library:
        for pattern in ("library.sqlite*", "writer.*"):
            yield from Path(library).glob(pattern)


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
