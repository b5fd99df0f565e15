"""The registered networks: those whose weights are at hand, those of Places365, and the usual ones of ImageNet.

`networks.tsv` has the cards of the last, as `zoo.py` makes them. They are data, so that no framework is needed to list
them; `tools/write_tables.py` writes the file, and a test makes the cards again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from importlib.resources import files

from sightsound.plugin import LAYER_OPTIONS, Card, WeightFile
from sightsound_timm.cards import AT_HAND, constants, imagenet1k
from sightsound_timm.places365 import PLACES365

COLUMNS = (
    *("name", "aliases", "builder", "dim", "side", "resize", "interpolation", "mean", "std", "params", "depth"),
    *("top1", "top1_source", "file", "sources", "license", "about"),
)
"""The columns of `networks.tsv`. Spaces are between aliases, sources, and the numbers of `mean` and `std`."""


def _usual() -> Iterator[tuple[Card, str]]:
    lines = files("sightsound_timm").joinpath("networks.tsv").read_text("utf-8").splitlines()
    for row in csv.DictReader(lines, delimiter="\t"):
        yield _card(row), row["builder"]


def _card(row: Mapping[str, str]) -> Card:
    side = int(row["side"])
    mean, std = (tuple(map(float, row[name].split())) for name in ("mean", "std"))
    return Card(
        name=row["name"],
        modality="image",
        dim=int(row["dim"]),
        input_shape=(3, side, side),
        classes=imagenet1k(),
        scores="softmax",
        weights=(WeightFile(name=row["file"], sources=tuple(row["sources"].split())),),
        options=LAYER_OPTIONS,
        aliases=tuple(row["aliases"].split()),
        constants=constants(int(row["resize"]), side, row["interpolation"], mean, std),
        params=int(row["params"]),
        depth=int(row["depth"]),
        top1=float(row["top1"]) if row["top1"] else None,
        top1_source=row["top1_source"],
        license=row["license"],
        about=row["about"],
    )


REGISTERED = (*AT_HAND, *PLACES365, *_usual())
"""Each card, and the name of its builder in `builders.py`."""
