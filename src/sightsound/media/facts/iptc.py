"""Keywords in the records of IPTC-IIM 4.2, which older programs write."""

from __future__ import annotations

_UTF8 = b"\x1b%G"  # ISO 2022: the data are in UTF-8
_CHARACTER_SET, _KEYWORDS = (1, 90), (2, 25)


def keywords(data: bytes) -> list[str]:
    """Return the keywords of IPTC records, as far as they can be read.

    Parameters
    ----------
    data : bytes
        The records: 0x1C, the number of the record, that of the data set, and a size of 2 bytes before each text.

    Returns
    -------
    list of str
        In UTF-8 if the records say so or it can be decoded as such, else in Latin-1.
    """
    found, offset, utf8 = [], 0, False
    while data[offset : offset + 1] == b"\x1c" and len(data) >= offset + 5:
        key, size = (data[offset + 1], data[offset + 2]), int.from_bytes(data[offset + 3 : offset + 5], "big")
        if size & 0x8000:  # an extended data set, longer than keywords are
            break
        value = data[offset + 5 : offset + 5 + size]
        if key == _CHARACTER_SET:
            utf8 = value == _UTF8
        elif key == _KEYWORDS:
            found.append(value)
        offset += 5 + size
    return [_text(value, utf8) for value in found]


def _text(value: bytes, utf8: bool) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8", "replace") if utf8 else value.decode("latin-1")
