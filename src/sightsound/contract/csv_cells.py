"""Texts in the cells of CSV: none is a formula to a spreadsheet, several may share a cell, and they come back."""

from __future__ import annotations

import re
from collections.abc import Sequence

BETWEEN = "; "
"""What stands between several texts in one cell."""

_FORMULA = ("=", "+", "-", "@")  # what begins with one of these is a formula in a spreadsheet
_GUARDED = re.compile(r"'+[=+\-@]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_PART = re.compile(rf'(?:"((?:[^"]|"")*)"|(.*?))({BETWEEN}|\Z)', re.DOTALL)


def guarded(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet took it for a formula, or if it looks guarded.

    A number, and a minus sign alone, stay as they are.
    """
    formula = text.startswith(_FORMULA) and text != "-" and not _NUMBER.fullmatch(text)
    return f"'{text}" if formula or _GUARDED.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def guarded_path(path: str) -> str:
    """Return a path that names the same file, and that no spreadsheet takes for a formula: `./=a` for `=a`."""
    return f"./{path}" if path.startswith(_FORMULA) and path != "-" else path


def joined(texts: Sequence[str]) -> str:
    """Return several texts as one, with `BETWEEN` between them.

    A text that has `BETWEEN` in it, or begins with a quote, stands in quotes, and each quote in it twice.
    """
    return BETWEEN.join(
        '"' + text.replace('"', '""') + '"' if BETWEEN in text or text.startswith('"') else text for text in texts
    )


def parted(cell: str) -> list[str]:
    """Return the texts that `joined` was given; a quote that nothing closes is a part of its text."""
    found, at, more = list[str](), 0, True
    while more:
        part = _PART.match(cell, at)
        assert part is not None  # it matches any text
        quoted, plain, between = part.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"'))
        at, more = part.end(), bool(between)
    return found
