"""Write `networks.tsv` and `timm_top1.tsv` of sightsound_timm from the installed timm and torchvision.

    python tools/write_tables.py results-imagenet.csv

The argument is the file of that name in the folder `results` of timm's repository. If it is a newer one, change
`TIMM_TOP1` in cards.py. Fingerprints of registered networks must stay as they are: see `git diff` afterwards.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import sightsound_timm
from sightsound.plugin import Card
from sightsound_timm import zoo
from sightsound_timm.frameworks import timm
from sightsound_timm.networks import COLUMNS

FOLDER = Path(sightsound_timm.__file__).parent
NETWORKS = {
    "alexnet.tv_in1k": "alexnet",
    "darknet53.c2ns_in1k": "darknet53",
    "densenet201.tv_in1k": "densenet201",
    "efficientnet_b0.ra_in1k": "efficientnet_b0 efficientnetb0",
    "googlenet.tv_in1k": "googlenet",
    "inception_resnet_v2.tf_in1k": "inception_resnet_v2 inceptionresnetv2",
    "inception_v3.tv_in1k": "inception_v3 inceptionv3",
    "legacy_xception.tf_in1k": "legacy_xception xception",
    "nasnetalarge.tf_in1k": "nasnetalarge nasnetlarge",
    "resnet50.a1_in1k": "resnet50",
    "resnet101.a1h_in1k": "resnet101",
    "resnet152.a1h_in1k": "resnet152",
    "shufflenet_v2_x1_0.tv_in1k": "shufflenet_v2_x1_0 shufflenet",
    "squeezenet1_1.tv_in1k": "squeezenet1_1",
    "vgg16.tv_in1k": "vgg16",
    "vgg19.tv_in1k": "vgg19",
    "wide_resnet50_2.racm_in1k": "wide_resnet50_2",
}
"""The networks by their full names, and the shorter names of each."""


def main() -> None:
    """Write both tables."""
    with open(sys.argv[1], newline="", encoding="utf-8") as file:
        lines = [f"{name}\t{top1}\n" for name, top1 in sorted(accuracies(csv.DictReader(file)).items())]
    (FOLDER / "timm_top1.tsv").write_text("".join(lines), encoding="utf-8")
    zoo.timm_top1.cache_clear()
    rows = [row(name, aliases) for name, aliases in NETWORKS.items()]
    with open(FOLDER / "networks.tsv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(lines)} accuracies and {len(rows)} networks written to {FOLDER}")


def accuracies(rows: csv.DictReader[str]) -> dict[str, str]:
    """Return the top-1 of each network of timm, measured at the size and crop that its configuration states."""
    found = {}
    for row in rows:
        config = timm.get_pretrained_cfg(row["model"]) if timm.is_model(row["model"]) else None
        if config is None or f"{row['model']}.".split(".")[1] != config.tag:
            continue
        same_size = int(row["img_size"]) == config.input_size[-1]
        if same_size and abs(float(row["crop_pct"]) - config.crop_pct) < 0.002:
            found[row["model"]] = row["top1"]
    return found


def row(name: str, aliases: str) -> dict[str, object]:
    """Return the line of `networks.tsv` for a network."""
    card, builder = made(name)
    (file,) = card.weights
    numbers = card.constants
    return {
        **{field: getattr(card, field) for field in ("name", "dim", "params", "depth", "license", "about")},
        "aliases": aliases,
        "builder": builder,
        "side": numbers["crop"],
        "resize": numbers["resize"],
        "interpolation": numbers["interpolation"],
        "mean": " ".join(map(str, numbers["mean"])),
        "std": " ".join(map(str, numbers["std"])),
        "top1": "" if card.top1 is None else card.top1,
        "top1_source": card.top1_source,
        "file": file.name,
        "sources": " ".join(file.sources),
    }


def made(name: str) -> tuple[Card, str]:
    """Return the card and the builder of a network as they would be if it were not registered."""
    from sightsound_timm import timm_networks, torchvision_networks

    if timm_networks.full_name(name) == name:
        return zoo.timm_card(name), "timm"
    found = torchvision_networks.find_weights(name)
    assert found is not None, name
    return zoo.torchvision_card(name, *found), "torchvision"


if __name__ == "__main__":
    main()
