"""How paths and labels stand in a table, so that other programs can read it and they come back as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sightsound.contract.paths import FORMULA

_SURROGATE = re.compile("[\udc80-\udcff]")
_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f])")
_GUARDED = re.compile(r"'+[=+\-@]")
_QUOTED = re.compile('[,"\r\n]')
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def path_cell(path: str) -> str:
    """Return a path as a CSV has it: `./=a` for `=a`, and with escapes for bytes that are not UTF-8."""
    shown = escapes_of_bytes(path)
    return f"./{shown}" if shown.startswith(FORMULA) else shown


def escapes_of_bytes(path: str) -> str:
    r"""Return a path with an escape such as `\xe9` for each byte that is not UTF-8."""
    return path if path.isascii() else _SURROGATE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", path)


def bytes_of_escapes(path: str) -> str:
    r"""Return a path with the bytes that its escapes such as `\xe9` stand for."""
    return _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), path)


def value_cell(value: str) -> str:
    """Return a label as a table has it: with an apostrophe before what a spreadsheet takes for a formula."""
    guarded = value.startswith(FORMULA) and not _NUMBER.fullmatch(value)
    return f"'{value}" if guarded or _GUARDED.match(value) else value


def value_of_cell(cell: str) -> str:
    """Return the label that `value_cell` wrote."""
    return cell[1:] if _GUARDED.match(cell) else cell


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of a CSV, each cell in quotes that has a comma, a quote or an end of a line."""
    return ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if _QUOTED.search(cell) else cell for cell in cells)
