"""The kinds of files that are decoded, by their first bytes. Other files are never given to a decoder.

Left out on purpose: EPS, PDF and similar formats (they start programs), playlists (they open other files), TGA and raw
samples (they cannot be recognised), MATLAB files (numbers, rarely sound).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 512
"""How many bytes `kind_of` needs."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    name : str
        As it is shown; for images also the name of Pillow's plugin.
    modality : {"image", "sound"} or None
        None for a kind that is recognised but not read.
    sure : bool
        Whether the first bytes alone prove the kind.
    demuxer : str
        ffmpeg's name of the format, the only one that it may use for such a file; "" if only libsndfile reads it.
    film : bool
        Whether the file may be without sound.
    """

    name: str
    modality: Literal["image", "sound"] | None
    sure: bool = True
    demuxer: str = ""
    film: bool = False


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of a file that begins with `head`, or None."""
    return next((kind for kind, pattern in _KINDS if re.match(pattern, head, re.DOTALL)), None)


def _image(name: str, pattern: bytes, *, sure: bool = True) -> tuple[Kind, bytes]:
    return Kind(name, "image", sure), pattern


def _sound(name: str, pattern: bytes, demuxer: str = "", *, sure: bool = True) -> tuple[Kind, bytes]:
    return Kind(name, "sound", sure, demuxer), pattern


def _film(name: str, pattern: bytes, demuxer: str) -> tuple[Kind, bytes]:
    return Kind(name, "sound", False, demuxer, film=True), pattern


_KINDS = (
    _image("JPEG", rb"\xff\xd8\xff"),
    _image("PNG", rb"\x89PNG\r\n\x1a\n"),
    _image("GIF", rb"GIF8[79]a"),
    _image("WEBP", rb"RIFF....WEBP"),
    _image("TIFF", rb"II[*+]\x00|MM\x00[*+]"),
    _image("JPEG2000", rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  \r\n\x87\n"),
    _image("AVIF", rb"....ftyp(avi[fs]|(mif1|msf1).{4,60}avi[fs])"),
    _image("QOI", rb"qoif"),
    _image("BMP", rb"BM", sure=False),
    _image("ICO", rb"\x00\x00\x01\x00", sure=False),
    _image("PPM", rb"P[1-6fF][\s#]", sure=False),
    _image("HEIC", rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)"),
    _image("raw", rb"FUJIFILMCCD-RAW |II(RO|RS|U\x00)|MMOR|....ftypcrx "),  # RAF, ORF, RW2, CR3; others are TIFF
    _sound("WAV", rb"(RIF[FX]|RF64|BW64)....WAVE", "wav"),
    _sound("Wave64", rb"riff\x2e\x91\xcf\x11", "w64"),
    _sound("FLAC", rb"fLaC", "flac"),
    _sound("AIFF", rb"FORM....AIF[FC]", "aiff"),
    _sound("IFF", rb"FORM....(8SVX|16SV)", "iff"),
    _sound("AU", rb"\.snd|dns\.", "au"),
    _sound("CAF", rb"caff\x00\x01", "caf"),
    _sound("VOC", rb"Creative Voice File\x1a", "voc"),
    _sound("NIST", rb"NIST_1A\n", "nistsphere"),
    _sound("IRCAM", rb"\x64\xa3[\x01-\x04]\x00|\x00[\x01-\x04]\xa3\x64", "ircam"),
    _sound("AVR", rb"2BIT", "avr"),
    _sound("PVF", rb"PVF1\n", "pvf"),
    _sound("PAF", rb" paf|fap "),
    _sound("MP3", rb"ID3[\x02-\x04]", "mp3"),
    _sound("MP3", rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]", "mp3", sure=False),
    _sound("AAC", rb"\xff[\xf0\xf1\xf8\xf9]|ADIF", "aac", sure=False),
    _sound("AC-3", rb"\x0b\x77", "ac3", sure=False),
    _sound("AMR", rb"#!AMR", "amr"),
    _sound("WavPack", rb"wvpk", "wv"),
    _sound("Monkey's Audio", rb"MAC [\x00-\xff]", "ape"),
    _sound("Musepack", rb"MP\+", "mpc"),
    _sound("Musepack", rb"MPCK", "mpc8"),
    _sound("True Audio", rb"TTA[12]", "tta"),
    _sound("DSF", rb"DSD \x1c\x00", "dsf"),
    _sound("DSDIFF", rb"FRM8.{8}DSD ", "iff"),
    _sound("Ogg", rb"OggS\x00.{23,60}(\x01vorbis|OpusHead|\x7fFLAC|Speex   )", "ogg"),
    _film("Ogg", rb"OggS\x00", "ogg"),
    _sound("MPEG-4", rb"\x00...ftypM4[AB] ", "mov"),
    _film("MPEG-4", rb"\x00...(ftyp|moov|free|skip|wide|pnot)|....mdat", "mov"),
    _film("Matroska/WebM", rb"\x1aE\xdf\xa3", "matroska"),
    _film("Windows Media", rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\x00\xaa\x00b\xcel", "asf"),
    _film("AVI", rb"RIFF....AVI", "avi"),
    _film("Flash video", rb"FLV\x01", "flv"),
    _film("RealMedia", rb"\.RMF", "rm"),
    _film("MPEG", rb"\x00\x00\x01\xba", "mpeg"),
    _film("MPEG transport stream", rb"G.{187}G.{187}G", "mpegts"),
)
