"""Read the facts of a file."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from sightsound.contract.errors import MediaError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item
from sightsound.media.facts import exif, iptc, recorders, sidecars, xmp
from sightsound.media.facts.blocks import Blocks, find_blocks
from sightsound.media.facts.times import TimeRules
from sightsound.media.kinds import HEAD_BYTES, kind_of
from sightsound.media.safe_open import error_line, open_file

log = logging.getLogger(__name__)

FILE_FACTS: Mapping[str, str] = {
    "recorded": "when it was made, ISO 8601, with the offset from UTC where that is known",
    "time_zone": "the zone of `recorded`: a name, an offset, or local where it is not known",
    "time_source": "where `recorded` was read",
    "latitude": "in degrees, positive to the north",
    "longitude": "in degrees, positive to the east",
    "altitude": "in m",
    "camera": "maker and model",
    "recorder": "maker, model and serial number of a recorder of sound",
    "gain": "of the recorder",
    "battery": "in V",
    "temperature": "in degrees Celsius",
    "keywords": "of IPTC, XMP and sidecar files",
    "fact_notes": "what could not be read, and times that are in doubt",
}
"""The facts that are read beside those of the decoder, with what they mean."""

DECODER_FACTS = (
    *("seconds", "format", "subtype", "sample_rate", "channels", "decoder"),
    *("width", "height", "mode", "frames"),
)
"""The facts of the decoder, and the seconds of a recording."""

_DAMAGE = (ValueError, struct.error, OSError, LookupError, OverflowError)
_MAX_KEYWORDS = 1000


def read_file_facts(item: Item, rules: TimeRules | None = None) -> dict[str, Any]:
    """Return what a file says of itself beside its pixels or samples.

    Nothing of it is needed to embed the file: what is damaged is left out, and named in `fact_notes`.

    Parameters
    ----------
    item : Item
        The file. Its name, its content and its sidecar files are read.
    rules : TimeRules or None
        How times are read. None stands for times of an unknown zone, and no patterns.

    Returns
    -------
    dict
        Some of `FILE_FACTS`. A file that cannot be read has those of its name alone.
    """
    rules, notes = rules or TimeRules(), list[str]()
    modality, wav, blocks, found = None, None, Blocks(), dict[str, Any]()
    try:
        with open_file(item.file) as file:
            kind = kind_of(file.read(HEAD_BYTES) or b"")
            modality = kind.modality if kind else None
            if kind and kind.name == "WAV":
                wav = _attempt(lambda: recorders.WavTexts(file), notes, "WAV", None)
            elif kind and modality == "image":
                blocks = _attempt(lambda: find_blocks(file, kind.name), notes, "metadata", blocks)
                found = _attempt(lambda: _of_exif(blocks, rules, notes), notes, "EXIF", {})  # while the file is open
    except (MediaError, OSError) as error:
        log.debug("%s: facts cannot be read (%s)", item, error)
    if modality != "image":
        found = _of_sound(wav, item, rules, notes) if modality else {}
    if (when := rules.in_name(item.path)) is not None:
        found |= rules.facts(when, "pattern", notes)
    words = [*iptc.keywords(blocks.iptc)]
    words += _attempt(lambda: xmp.keywords(blocks.xmp) if blocks.xmp else [], notes, "XMP", [])
    words += _of_sidecars(item.file, notes)
    words = [text for text in dict.fromkeys(map(clean_word, words)) if text]
    found |= {"keywords": words[:_MAX_KEYWORDS]} if words else {}
    return {**found, "fact_notes": [*dict.fromkeys(notes)]} if notes else found


def with_file_facts(facts: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of an outcome with those of `read_file_facts` in place of the ones that it had.

    Parameters
    ----------
    facts : mapping of str to object
        The facts of an outcome.
    own : mapping of str to object
        What was read of the file.
    """
    return {**{key: value for key, value in facts.items() if key not in FILE_FACTS}, **own}


def _of_sound(wav: recorders.WavTexts | None, item: Item, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the facts of a recording. Its time is that of the header, the name, or else the broadcast extension."""
    found: dict[str, Any] = {}
    if wav is not None:
        found = recorders.audiomoth_facts(wav.comment, rules, notes) | recorders.guano_facts(wav.guano, rules, notes)
    if "recorded" not in found:
        found |= recorders.name_facts(PurePosixPath(item.path).name, rules, notes)
    if "recorded" not in found and wav is not None:
        found |= recorders.bext_facts(wav.bext, rules, notes)
    return found


def _of_exif(blocks: Blocks, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    return exif.exif_facts(blocks.exif, rules, notes, blocks.apart) if blocks.exif else {}


def _of_sidecars(file: PathLike, notes: list[str]) -> Iterable[str]:
    for sidecar in sidecars.existing(file):
        yield from _attempt(lambda path=sidecar: sidecars.keywords(path), notes, printable(sidecar.name), [])  # type: ignore[misc]


def _attempt(read: Callable[[], Any], notes: list[str], what: str, otherwise: Any) -> Any:
    """Return what a function reads, or something else where that is damaged; this is noted."""
    try:
        return read()
    except xmp.XmpError as error:
        notes.append(f"{what}: {error}" if what != "XMP" else str(error))
    except MediaError as error:
        notes.append(str(error))
    except _DAMAGE as error:
        notes.append(f"{what} is damaged ({error_line(error)})")
    return otherwise


def clean_word(text: str) -> str:
    """Return a keyword on one line, without what cannot be printed."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
