"""Add keywords to an XMP packet. All else of it stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from xml.parsers import expat
from xml.sax.saxutils import escape

from sightsound.media.facts.xmp import DC, RDF, XmpError, keywords, unpadded

_CONTAINERS = (f"{RDF} Bag", f"{RDF} Seq", f"{RDF} Alt")
_ROOT, _DESCRIPTION, _SUBJECT = f"{RDF} RDF", f"{RDF} Description", f"{DC} subject"

_NEW = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n  <rdf:Description rdf:about="">\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n'
    '<?xpacket end="w"?>\n'
)


def with_keywords(packet: bytes | None, words: Sequence[str]) -> bytes | None:
    """Return an XMP packet with some keywords besides those that it has.

    Parameters
    ----------
    packet : bytes or None
        The packet in UTF-8; None for a new one.
    words : sequence of str
        The keywords, without control characters.

    Returns
    -------
    bytes or None
        None if it has them all.

    Raises
    ------
    XmpError
        If the packet cannot be read, is in another encoding, or describes nothing.
    """
    data = _NEW.encode() if packet is None else packet
    before = keywords(data)
    added = [word for word in dict.fromkeys(words) if word not in before]
    if not added:
        return None
    places = _Places(data)
    items = "".join(f"<rdf:li{places.rdf}>{escape(word)}</rdf:li>" for word in added)
    bag = f'<dc:subject xmlns:dc="{DC}"><rdf:Bag{places.rdf}>{items}</rdf:Bag></dc:subject>'
    if places.container is not None:
        found = _inserted(data, places.container, items)
    elif places.subject:
        raise XmpError("XMP has keywords that are no list, which cannot be added to")
    elif places.description is not None:
        found = _inserted(data, places.description, bag)
    else:
        raise XmpError("XMP describes nothing, so that keywords cannot be added")
    if keywords(found) != [*before, *added]:
        raise XmpError("XMP is written in a way that keywords cannot be added to")
    return found


def _inserted(data: bytes, at: int, text: str) -> bytes:
    """Return the data with a text before the end tag at an offset, or within the empty element there."""
    if data[at : at + 2] == b"</":
        return data[:at] + text.encode() + data[at:]
    end = _end_of_tag(data, at)
    name = data[at + 1 : end].split(maxsplit=1)[0].rstrip(b"/")
    return data[: end - 1] + b">" + text.encode() + b"</" + name + b">" + data[end + 1 :]


def _end_of_tag(data: bytes, at: int) -> int:
    """Return the offset of the `>` that ends the tag at an offset; values in quotes may have some."""
    quote = 0
    for offset in range(at, len(data)):
        byte = data[offset]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == ord(">"):
            return offset
    raise XmpError("XMP is not well-formed (a tag without an end)")


class _Places:
    """Where keywords can be added.

    Attributes
    ----------
    container : int or None
        The offset of the end tag of the list of keywords, or of the list if it is an empty element.
    description : int or None
        The same of the first description.
    subject : bool
        Whether there are keywords, in a list or not.
    rdf : str
        What declares the prefix `rdf` in an element; empty where the packet does.
    """

    def __init__(self, data: bytes) -> None:
        self.container: int | None = None
        self.description: int | None = None
        self.subject, self._bound = False, set[str | None]()
        self._path: list[str] = []
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.XmlDeclHandler = _require_utf8
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartNamespaceDeclHandler = self._declare
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise XmpError("XMP is in UTF-16, expected UTF-8 to add keywords")
        parser.Parse(unpadded(data), True)
        self.rdf = "" if self._bound == {RDF} else f' xmlns:rdf="{RDF}"'

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if prefix == "rdf":
            self._bound.add(uri)

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._path.append(name)
        self.subject |= name == _SUBJECT

    def _end(self, name: str) -> None:
        self._path.pop()
        above = self._path[-1] if self._path else ""
        if name in _CONTAINERS and above == _SUBJECT and self.container is None:
            self.container = self._parser.CurrentByteIndex
        elif name == _DESCRIPTION and above == _ROOT and self.description is None:
            self.description = self._parser.CurrentByteIndex


def _require_utf8(_: str, encoding: str | None, __: int) -> None:
    if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
        raise XmpError(f"XMP is in {encoding}, expected UTF-8 to add keywords")
