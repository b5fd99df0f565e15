"""The cards of the networks that were trained on Places365, and the names of its classes.

B. Zhou, A. Lapedriza, A. Khosla, A. Oliva, A. Torralba: Places: A 10 million image database for scene recognition,
TPAMI 2017. No package index carries the files: they come from the project page of MIT CSAIL, or from the user.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, WeightFile
from sightsound_timm.cards import IMAGENET, constants

ABOUT = "trained on 365 kinds of scenes by MIT CSAIL (Zhou et al., TPAMI 2017)"
FILES = "https://places2.csail.mit.edu/models_places365"
"""The authors' list names it with http, which the host does not accept, and gives no hashes."""


@cache
def scenes() -> tuple[str, ...]:
    """Return the 365 classes in the order of the scores: `airfield`, ..., `apartment building, outdoor`."""
    return tuple(files("sightsound_timm").joinpath("places365.txt").read_text("utf-8").splitlines())


def _card(arch: str, dim: int, params: int, depth: int) -> Card:
    file = f"{arch}_places365.pth.tar"
    return Card(
        name=f"{arch}.places365",
        modality="image",
        dim=dim,
        input_shape=(3, 224, 224),
        classes=ClassList("places365", scenes()),
        scores="softmax",
        weights=(WeightFile(name=file, sources=(f"{FILES}/{file}",)),),
        options=LAYER_OPTIONS,
        aliases=("places365",) if arch == "resnet18" else (),
        # as in the authors' demo: both sides become 256, whatever the shape of the image
        constants={
            **constants(256, 224, "bilinear", *IMAGENET),
            "resize_mode": "squash",
        },
        params=params,
        depth=depth,
        license="CC-BY",
        about=f"{arch} {ABOUT}",
    )


PLACES365 = (
    (_card("resnet18", 512, 11_363_757, 18), "places365"),
    (_card("resnet50", 2048, 24_255_917, 50), "places365"),
)
"""Each card, and the name of its builder in `builders.py`."""
