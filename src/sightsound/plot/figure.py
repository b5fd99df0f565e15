"""Figures: check that they can be drawn, make them, and write them to files."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from sightsound._atomic import atomic_path, check_writable
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike

BLUE = "#35618f"


def check_figure(out: PathLike) -> None:
    """Raise `SightsoundError` if a figure could not be written to this file.

    Call it before a long computation. It needs matplotlib, a format that matplotlib writes, and a writable folder.
    """
    _check_installed("matplotlib")
    from matplotlib.backend_bases import FigureCanvasBase

    _check_format(out, FigureCanvasBase.get_supported_filetypes())


def check_wordcloud(out: PathLike) -> None:
    """Raise `SightsoundError` if a word cloud could not be written to this file.

    Call it before a long computation. It needs the package wordcloud, a format that Pillow writes, and a writable
    folder.
    """
    _check_installed("wordcloud")
    from PIL import Image

    Image.init()
    _check_format(out, [suffix[1:] for suffix, kind in Image.EXTENSION.items() if kind in Image.SAVE])


@contextlib.contextmanager
def figure(out: PathLike, width: float, height: float) -> Iterator[Any]:
    """Make a figure, and write it to a file when the block ends.

    Parameters
    ----------
    out : path
        The file, which ends in .png, .svg or .pdf.
    width, height : float
        Inches.

    Yields
    ------
    matplotlib.figure.Figure

    Raises
    ------
    SightsoundError
        If matplotlib is missing, or the file cannot be written.
    """
    check_figure(out)
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    yield made
    with image_file(out) as path:
        made.savefig(path, dpi=110)


@contextlib.contextmanager
def image_file(out: PathLike) -> Iterator[str]:
    """Yield a path to write an image to; it becomes `out` when the block ends without an error."""
    with warnings.catch_warnings(), atomic_path(out) as path:
        warnings.simplefilter("ignore")  # about letters that the font lacks
        yield os.fspath(path)


def _check_installed(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise SightsoundError(f"{package} is not installed; run `pip install sightsound[plot]`")


def _check_format(file: PathLike, formats: Collection[str]) -> None:
    name = os.fspath(file).rpartition(".")[2]
    if name.lower() not in formats:
        raise SightsoundError(f"{os.fspath(file)}: Format {name!r} is not supported; name a .png")
    check_writable(file)
