"""The cards of the networks that have a name: Darknet-19, and GoogLeNet with the scenes of Places365."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, Layer, WeightFile

DISTRIBUTION, PACKAGE = "sightsound-opencv", "sightsound_opencv"


def _own(name: str, digest: str) -> WeightFile:
    """Return a file with layers that comes with this package."""
    return WeightFile(name=name, sha256=digest, sources=(f"package:{DISTRIBUTION}!{PACKAGE}/{name}",))


def _lines(name: str) -> list[str]:
    return files(PACKAGE).joinpath(name).read_text("utf-8").splitlines()


@cache
def ilsvrc2012() -> ClassList:
    """Return the 1,000 classes of ImageNet in the order of the challenge of 2012, which Darknet keeps: `kit fox` first.

    Their ids are those of WordNet, such as `n02119789`.
    """
    pairs = [line.partition("\t")[::2] for line in _lines("ilsvrc2012.tsv")]
    return ClassList("ilsvrc2012", tuple(words for _, words in pairs), tuple(id_ for id_, _ in pairs))


def layers(card: Card) -> list[Layer]:
    """Return the layers of one of the networks, without its weights."""
    rows = [line.split("\t") for line in _lines("layers.tsv")]
    model = card.name.partition("[")[0]
    return [Layer(name, kind, tuple(map(int, shape.split(",")))) for of, name, kind, shape in rows if of == model]


# Shorter side 256, centre, values from 0 to 1: as in `validate_classifier_single` of Darknet, which measures accuracy.
DARKNET19 = Card(
    name="darknet19.darknet_in1k",
    modality="image",
    dim=1024,
    input_shape=(3, 256, 256),
    classes=ilsvrc2012(),
    scores="softmax",
    weights=(
        _own("darknet19.cfg", "0bf80b7d6bffdcbba715737f98eaa039984669ab04696ad380cf15bbc014e9ce"),
        WeightFile(name="darknet19.weights", sources=("https://pjreddie.com/media/files/darknet19.weights",)),
    ),
    options=LAYER_OPTIONS,
    aliases=("darknet19",),
    constants={
        "resize": 256,
        "crop": 256,
        "crop_mode": "center",
        "interpolation": "bilinear",
        "antialias": True,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "layers": [{"name": "leaky_23", "dim": 1024, "axis": 0}],
        "pool": "avg",
        "output": "softmax_25",
        "logits": False,
    },
    params=20_842_376,
    depth=19,
    top1=72.9,
    top1_source="Darknet, pjreddie.com/darknet/imagenet",
    license="public domain",
    about="Darknet-19 (J. Redmon, A. Farhadi, CVPR 2017); accuracy from https://pjreddie.com/darknet/imagenet",
)

# Both sides 256 as in the data set of the authors, centre, BGR, values from 0 to 255 less the mean of each channel in
# their places365CNN_mean.binaryproto.
GOOGLENET = Card(
    name="googlenet.places365",
    modality="image",
    dim=1024,
    input_shape=(3, 224, 224),
    classes=ClassList("places365", tuple(_lines("places365.txt"))),
    scores="softmax",
    weights=(
        _own("googlenet_places365.prototxt", "046d67125279d475f2a0f6e2fb04c849ddbbf4df6cfb5cc7df5aa75da09809b1"),
        WeightFile(
            name="googlenet_places365.caffemodel",
            sources=("https://places2.csail.mit.edu/models_places365/googlenet_places365.caffemodel",),
        ),
    ),
    options=LAYER_OPTIONS,
    aliases=("googlenet_places365",),
    constants={
        "resize": 256,
        "resize_mode": "squash",
        "crop": 224,
        "crop_mode": "center",
        "interpolation": "bilinear",
        "antialias": True,
        "channels": "bgr",
        "scale": 1.0,
        "mean": [104.051, 112.514, 116.676],
        "std": [1.0, 1.0, 1.0],
        "layers": [{"name": "pool5/7x7_s1", "dim": 1024, "axis": 0}],
        "pool": "avg",
        "output": "prob",
        "logits": False,
    },
    params=6_347_677,
    depth=22,
    license="CC-BY",
    about="GoogLeNet trained on 365 kinds of scenes by MIT CSAIL (Zhou et al., TPAMI 2017)",
)
