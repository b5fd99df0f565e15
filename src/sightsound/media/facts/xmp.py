"""Keywords in XMP packets: the bag `dc:subject` (ISO 16684-1).

The XML is read by expat without a document type: entities cannot be declared, so that none is expanded.
"""

from __future__ import annotations

from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"

MAX_DEPTH = 100
"""How deep the elements of a packet may be nested."""

_SUBJECT, _LIST_ITEM = f"{DC} subject", f"{RDF} li"


class XmpError(ValueError):
    """A packet that is not read."""


def keywords(packet: bytes) -> list[str]:
    """Return the keywords of an XMP packet.

    Parameters
    ----------
    packet : bytes
        The XML, in UTF-8 or UTF-16, with or without its wrapper.

    Returns
    -------
    list of str
        Without blanks around them, each once.

    Raises
    ------
    XmpError
        If it is not well-formed, has a document type, or is nested too deeply.
    """
    reader = _Keywords()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(unpadded(packet), True)
    except expat.ExpatError as error:
        raise XmpError(f"XMP is not well-formed ({error})") from error
    except XmpError:
        raise
    except (ValueError, LookupError) as error:  # an encoding that Python does not know
        raise XmpError(f"XMP cannot be read ({error})") from error
    return list(dict.fromkeys(text for text in map(str.strip, reader.found) if text))


def unpadded(packet: bytes) -> bytes:
    """Return a packet without the null characters that may fill up its end; in UTF-16 they are halves of others."""
    return packet if packet.startswith((b"\xff\xfe", b"\xfe\xff")) else packet.rstrip(b"\0")


def _refuse_doctype(*_: object) -> None:
    raise XmpError("XMP has a document type, which is not read")


class _Keywords:
    """Collects the texts of the list items below `dc:subject`."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._path: list[str] = []
        self._inside = False

    def start(self, name: str, _: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise XmpError(f"XMP is nested more than {MAX_DEPTH} deep")
        self._path.append(name)
        if name == _LIST_ITEM and _SUBJECT in self._path:
            self._inside = True
            self.found.append("")

    def end(self, name: str) -> None:
        self._path.pop()
        if name == _LIST_ITEM:
            self._inside = False

    def text(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data
