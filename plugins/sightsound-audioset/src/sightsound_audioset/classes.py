"""The 521 AudioSet classes that YAMNet knows."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class SoundClass:
    """One output of YAMNet: its place in the scores, its id in the AudioSet ontology, its English name."""

    index: int
    mid: str
    name: str


@cache
def classes() -> tuple[SoundClass, ...]:
    """All of them, in the order of the scores."""
    table = files(__package__).joinpath("yamnet_classes.csv").read_text(encoding="utf-8")
    return tuple(SoundClass(int(row["index"]), row["mid"], row["name"]) for row in csv.DictReader(table.splitlines()))
