"""The directories of a TIFF file, which EXIF blocks and most raw pictures are too (TIFF 6.0, section 2)."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value of each type."""

_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
"""Types of plain numbers, as `struct` names them."""

_BYTES, _ASCII, _RATIONAL, _UNDEFINED, _SIGNED_RATIONAL = 1, 2, 5, 7, 10

_MAX_ENTRIES = 1000  # of a directory; cameras write about 60
_MAX_DIRECTORIES = 50
_MAX_BYTES = 2**16  # of a value that is read, unless more is asked for

MAGIC = (42, 0x4F52, 0x5352, 0x55)
"""The numbers after the byte order: of TIFF, of two kinds of Olympus' ORF, and of Panasonic's RW2."""

SUB_DIRECTORIES = 330
"""The tag with the offsets of further images."""


@dataclass(frozen=True)
class Entry:
    """A field of a directory.

    Attributes
    ----------
    type : int
        The type of its values.
    count : int
        Their number.
    offset : int
        Where they stand in the file.
    """

    type: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """The bytes of all values; 0 for a type that is not known."""
        return _SIZES.get(self.type, 0) * self.count


Directory = Mapping[int, Entry]
"""The fields of an image by their tags."""


class Tiff:
    """A TIFF file, of which only what is asked for is read.

    Parameters
    ----------
    source : bytes or binary file
        Offsets count from the start of the bytes, or from 0 in the file, whose position moves.

    Raises
    ------
    ValueError
        If it does not begin as a TIFF file. BigTIFF is not read.
    """

    def __init__(self, source: bytes | BinaryIO | io.FileIO) -> None:
        self._file = io.BytesIO(source) if isinstance(source, bytes) else source
        head = self.read(0, 8)
        self._order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self._order or len(head) < 8 or self._unpacked("H", head[2:4])[0] not in MAGIC:
            raise ValueError("expected a TIFF header")
        (self._first,) = self._unpacked("I", head[4:8])

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes at an offset, fewer where the file ends."""
        self._file.seek(offset)
        return self._file.read(size) or b""

    def first(self) -> Directory:
        """Return the fields of the first directory."""
        return self.directory(self._first)[0]

    def directory(self, offset: int) -> tuple[Directory, int]:
        """Return the fields of the directory at an offset, and the offset of the next one, 0 for none.

        Fields that lie beyond the end of the file are left out.
        """
        head = self.read(offset, 2) if offset >= 8 else b""
        if len(head) < 2:
            return {}, 0
        count = min(self._unpacked("H", head)[0], _MAX_ENTRIES)
        table = self.read(offset + 2, 12 * count + 4)
        found = {}
        for at in range(0, min(12 * count, len(table) - 11), 12):
            tag, type_, number, value = self._unpacked("HHII", table[at : at + 12])
            entry = Entry(type_, number, value)
            found[tag] = entry if entry.size > 4 else Entry(type_, number, offset + 2 + at + 8)
        rest = table[12 * count : 12 * count + 4]
        return found, self._unpacked("I", rest)[0] if len(rest) == 4 else 0

    def images(self) -> Iterator[Directory]:
        """Yield the directories of all images: the first, those that follow it, and those below them."""
        waiting, seen = [self._first], set[int]()
        while waiting and len(seen) < _MAX_DIRECTORIES:
            offset = waiting.pop(0)
            if offset in seen:
                continue
            seen.add(offset)
            directory, following = self.directory(offset)
            yield directory
            waiting += self.offsets(directory, SUB_DIRECTORIES)
            waiting += [following] if following else []

    def numbers(self, directory: Directory, tag: int) -> tuple[float, ...]:
        """Return the numbers of a field; a rational with the denominator 0 is NaN. Empty for other types."""
        entry = directory.get(tag)
        if entry is None or not 0 < entry.size <= _MAX_BYTES:
            return ()
        data = self.read(entry.offset, entry.size)
        if len(data) < entry.size:
            return ()
        if entry.type in (_RATIONAL, _SIGNED_RATIONAL):
            parts = self._unpacked(f"{2 * entry.count}{'I' if entry.type == _RATIONAL else 'i'}", data)
            return tuple(a / b if b else math.nan for a, b in zip(parts[::2], parts[1::2]))
        code = _CODES.get(entry.type)
        return self._unpacked(f"{entry.count}{code}", data) if code else ()

    def offsets(self, directory: Directory, tag: int) -> list[int]:
        """Return the numbers of a field that may be offsets in the file."""
        return [int(number) for number in self.numbers(directory, tag) if 0 <= number < 2**32]  # False for NaN

    def text(self, directory: Directory, tag: int) -> str:
        """Return the text of a field up to its first null character, without blanks around; "" without the field."""
        data = self.data(directory, tag).split(b"\0", 1)[0]
        try:
            return data.decode("utf-8").strip()
        except UnicodeDecodeError:
            return data.decode("latin-1").strip()

    def data(self, directory: Directory, tag: int, most: int = _MAX_BYTES) -> bytes:
        """Return the bytes of a field; none if there are more than `most`, or it is cut off."""
        entry = directory.get(tag)
        if entry is None or entry.type not in (_BYTES, _ASCII, _UNDEFINED) or entry.size > most:
            return b""
        found = self.read(entry.offset, entry.size)
        return found if len(found) == entry.size else b""

    def _unpacked(self, code: str, data: bytes) -> tuple[int, ...]:
        return struct.unpack(self._order + code, data)
