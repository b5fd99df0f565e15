"""The published table of networks, and why a network of that name here has other numbers."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """What the table says: depth, megabytes on disk, millions of parameters, side of the input in pixels."""

    depth: int | None
    size: float
    params: float
    side: int


TABLE = {
    "squeezenet": Published(18, 5.2, 1.24, 227),
    "googlenet": Published(22, 27, 7.0, 224),
    "inceptionv3": Published(48, 89, 23.9, 299),
    "densenet201": Published(201, 77, 20.0, 224),
    "mobilenetv2": Published(53, 13, 3.5, 224),
    "resnet18": Published(18, 44, 11.7, 224),
    "resnet50": Published(50, 96, 25.6, 224),
    "resnet101": Published(101, 167, 44.6, 224),
    "xception": Published(71, 85, 22.9, 299),
    "inceptionresnetv2": Published(164, 209, 55.9, 299),
    "shufflenet": Published(50, 5.4, 1.4, 224),
    "nasnetlarge": Published(None, 332, 88.9, 331),
    "darknet53": Published(53, 155, 41.6, 256),
    "efficientnetb0": Published(82, 20, 5.3, 224),
    "alexnet": Published(8, 227, 61.0, 227),
    "vgg16": Published(16, 515, 138, 224),
    "vgg19": Published(19, 535, 144, 224),
}
"""The pretrained networks for images in the documentation of MATLAB's Deep Learning Toolbox. Its nasnetmobile and
darknet19 are networks of other plugins."""

DIFFERENT = {
    ("googlenet", "params"): "torchvision's has batch norms, and 3 x 3 kernels where the publication has 5 x 5",
    ("googlenet", "size"): "follows from the parameters",
    (
        "inceptionresnetv2",
        "depth",
    ): "the longest path of the published architecture has 5 + 3 + 10 * 4 + 3 + 20 * 4 + 3 + "
    "10 * 4 + 1 + 1 = 176 layers (stem, mixed 5b, blocks of 35, reduction, blocks of 17, reduction, blocks of 8, "
    "last convolution, classifier); no count along a path gives 164",
    ("shufflenet", "depth"): "torchvision has version 2, with one more convolution before the classifier",
    ("shufflenet", "params"): "version 2 at full width, while the table's is version 1",
    ("shufflenet", "size"): "follows from the parameters",
    (
        "squeezenet",
        "size",
    ): "4 bytes for each of 1.24 million parameters are 4.7 MiB; the table's file has more than them",
    ("alexnet", "side"): "torchvision pads the first convolution by two pixels, and so takes crops of 224 pixels",
}
"""Each number that differs, with the reason. Sizes may differ by a twentieth, in units of 2**20 bytes; parameters are
equal when rounded as in the table, or differ by at most 0.5 per cent: Keras counts the statistics of batch norms."""
