"""Paths and names as users give them, and as messages show them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

PathLike = str | os.PathLike[str]

LIBRARY_FILE = "library.sqlite"
"""The name of the database of a library. The folder of a library is not searched for media."""

LIBRARY_FILES = ("library.", "writer.")
"""How the names of the files of a library begin."""

_NEARLY_EQUAL = 0.75  # similarity of a name with a letter or two wrong


def as_list(paths: PathLike | Sequence[PathLike]) -> list[PathLike]:
    """Return one path, or several, as a list."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def printable(text: object) -> str:
    r"""Return a path or other text on one line, with everything that cannot be printed escaped.

    A byte of a file name that is not UTF-8 is shown as `\xe9`, a control character as Python writes it.
    """
    shown = os.fspath(text) if isinstance(text, os.PathLike) else str(text)
    return shown if shown.isprintable() else "".join(_escaped(char) for char in shown)


def from_here(path: PathLike) -> str:
    """Return an absolute path as it is typed in the working folder: relative if it is below it."""
    below = os.path.relpath(path)
    return os.fspath(path) if below == os.pardir or below.startswith(os.path.join(os.pardir, "")) else below


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a surrogate escape, which stands for one byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar to `name` regardless of case, or None.

    A name that is nearly equal comes first, then the shortest that has `name` among its words, as "tabby" is one of
    "tabby, tabby cat".

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        Names that exist.
    cutoff : float
        Lowest similarity from 0 to 1, as in `difflib.get_close_matches`.

    Returns
    -------
    str or None
        The name as it is in `known`.
    """
    import difflib

    by_case = {each.casefold(): each for each in known}
    wanted = name.casefold()
    found = difflib.get_close_matches(wanted, by_case, n=1, cutoff=cutoff)
    if not found or difflib.SequenceMatcher(None, wanted, found[0]).ratio() < max(cutoff, _NEARLY_EQUAL):
        having = [each for each in by_case if wanted in re.findall(r"\w+", each)]
        found = sorted(having, key=len)[:1] or found
    return by_case[found[0]] if found else None
