"""How paths stand in a table, so that other programs can read it and they come back as they were."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sightsound.contract.csv_cells import guarded_path

_SURROGATE = re.compile("[\udc80-\udcff]")
_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f])")
_QUOTED = re.compile('[,"\r\n]')


def path_cell(path: str) -> str:
    """Return a path as a CSV has it: `./=a` for `=a`, and with escapes for bytes that are not UTF-8."""
    return guarded_path(escapes_of_bytes(path))


def escapes_of_bytes(path: str) -> str:
    r"""Return a path with an escape such as `\xe9` for each byte that is not UTF-8."""
    return path if path.isascii() else _SURROGATE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", path)


def bytes_of_escapes(path: str) -> str:
    r"""Return a path with the bytes that its escapes such as `\xe9` stand for."""
    return _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), path)


def csv_line(cells: Iterable[str]) -> str:
    """Return a line of a CSV, each cell in quotes that has a comma, a quote or an end of a line."""
    return ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if _QUOTED.search(cell) else cell for cell in cells)
