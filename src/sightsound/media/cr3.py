"""Canon's CR3: its pictures in JPEG, and its EXIF, which stands in several blocks.

The boxes are described by L. Clevy and P. Egerton, "Describing the Canon Raw v3 (CR3) file format",
https://github.com/lclevy/canon_cr3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sightsound.media.boxes import BinaryFile, Stretch, boxes
from sightsound.media.tiff import Tiff

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_PARTS = {0x8769: b"CMT2", 0x8825: b"CMT4"}  # EXIF and GPS
_MAX_EXIF = 2**20  # bytes of a block
_HEAD = 64  # bytes of a box before its JPEG, and more
_UNKNOWN = 8  # bytes before the box in that of the preview


def is_cr3(head: bytes) -> bool:
    """Return whether a file begins as CR3 does."""
    return head[4:12] == b"ftypcrx "


class Cr3:
    """A CR3 file, of which only what is asked for is read.

    Parameters
    ----------
    file : binary file
        Its position moves.

    Attributes
    ----------
    exif : Tiff or None
        The first directory, with the camera and the orientation.
    parts : mapping of int to Tiff
        The directories that stand in blocks of their own, by the tags that point to them in other files: 0x8769 (EXIF)
        and 0x8825 (GPS).
    """

    def __init__(self, file: BinaryFile) -> None:
        self._file = file
        self._moov, self._uuids = Stretch(0, 0), dict[bytes, Stretch]()
        for name, offset, size in boxes(file):
            if name == b"moov":
                self._moov = Stretch(offset, offset + size)
            elif name == b"uuid":
                self._uuids.setdefault(self._read(offset, 16), Stretch(offset + 16, offset + size))
        self._canon = {}
        for name, offset, size in boxes(file, self._moov):
            if name == b"uuid" and self._read(offset, 16) == _CANON:
                inner = boxes(file, Stretch(offset + 16, offset + size))
                self._canon = {kind: Stretch(at, at + length) for kind, at, length in inner}
        self.exif = self._tiff(b"CMT1")
        found = {tag: self._tiff(name) for tag, name in _PARTS.items()}
        self.parts: Mapping[int, Tiff] = {tag: tiff for tag, tiff in found.items() if tiff is not None}

    def xmp(self, most: int) -> bytes:
        """Return the XMP packet, empty without one or if it has more than so many bytes."""
        start, stop = self._uuids.get(_XMP, Stretch(0, 0))
        return self._read(start, stop - start) if stop - start <= most else b""

    def jpegs(self) -> Iterator[tuple[int, int]]:
        """Yield the offsets and sizes of what may be JPEGs: of the thumbnail, of the preview, and of tracks."""
        if b"THMB" in self._canon:
            yield from self._jpeg_in(self._canon[b"THMB"])
        preview = self._uuids.get(_PREVIEW, Stretch(0, 0))
        for name, offset, size in boxes(self._file, Stretch(preview.start + _UNKNOWN, preview.stop)):
            if name == b"PRVW":
                yield from self._jpeg_in(Stretch(offset, offset + size))
        for name, offset, size in boxes(self._file, self._moov):
            if name == b"trak":
                yield from self._sample(Stretch(offset, offset + size))

    def _jpeg_in(self, place: Stretch) -> Iterator[tuple[int, int]]:
        """Yield where the JPEG of a box is, whose head has a size of its own in each version of the format."""
        at = self._read(place.start, min(_HEAD, place.stop - place.start)).find(b"\xff\xd8\xff")
        if at >= 0:
            yield place.start + at, place.stop - place.start - at

    def _sample(self, track: Stretch) -> Iterator[tuple[int, int]]:
        """Yield where the only sample of a track is, by its tables of sizes and offsets."""
        place = track
        for wanted in (b"mdia", b"minf", b"stbl"):
            found = {name: Stretch(offset, offset + size) for name, offset, size in boxes(self._file, place)}
            if wanted not in found:
                return
            place = found[wanted]
        tables = {name: self._read(offset, min(size, 16)) for name, offset, size in boxes(self._file, place)}
        sizes, offsets = tables.get(b"stsz", b""), tables.get(b"co64", b"")
        same = int.from_bytes(sizes[4:8], "big")  # 0 where each sample has a size of its own
        if len(offsets) == 16:
            yield int.from_bytes(offsets[8:], "big"), same or int.from_bytes(sizes[12:16], "big")

    def _tiff(self, name: bytes) -> Tiff | None:
        """Return a block of EXIF; None without one, or if it is none."""
        place = self._canon.get(name)
        if place is None or place.stop - place.start > _MAX_EXIF:
            return None
        try:
            return Tiff(self._read(place.start, place.stop - place.start))
        except ValueError:
            return None

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(max(0, size)) or b""
