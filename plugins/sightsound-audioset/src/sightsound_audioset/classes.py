"""The 521 classes of AudioSet that YAMNet was trained on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sightsound.plugin import ClassList


@dataclass(frozen=True)
class SoundClass:
    """One class of YAMNet.

    Attributes
    ----------
    index : int
        Its column in the scores.
    mid : str
        Its id in the AudioSet ontology.
    name : str
        Its English name.
    """

    index: int
    mid: str
    name: str


@cache
def classes() -> tuple[SoundClass, ...]:
    """Return the 521 classes in the order of the scores."""
    table = files(__package__).joinpath("yamnet_classes.csv").read_text(encoding="utf-8")
    return tuple(SoundClass(int(row["index"]), row["mid"], row["name"]) for row in csv.DictReader(table.splitlines()))


AUDIOSET = ClassList("audioset_yamnet", tuple(c.name for c in classes()), tuple(c.mid for c in classes()))
"""The classes of both YAMNets, with their ids in the AudioSet ontology."""
