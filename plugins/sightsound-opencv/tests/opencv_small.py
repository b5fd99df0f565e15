"""Small networks in the formats of Caffe and Darknet, of seeded numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_files import write_caffemodel
from darknet_files import write_weights

PROTOTXT = """name: "small" # a comment
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 23 dim: 23 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { eps: 0.0001 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2" convolution_param { num_output: 12 kernel_size: 3 group: 2 stride: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "relu2" relu_param { negative_slope: 0.2 } }
layer { name: "conv3" type: "Convolution" bottom: "relu2" top: "conv3" convolution_param { num_output: 12 kernel_size: 1 bias_term: false } }
layer { name: "sum" type: "Eltwise" bottom: "relu2" bottom: "conv3" top: "sum" }
layer { name: "both" type: "Concat" bottom: "sum" bottom: "relu2" top: "both" }
layer { name: "pool2" type: "Pooling" bottom: "both" top: "pool2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "drop2" type: "Dropout" bottom: "pool2" top: "pool2" dropout_param { dropout_ratio: 0.4 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""  # noqa: E501
TYPES = {
    "conv1": "Convolution",
    "bn1": "BatchNorm",
    "scale1": "Scale",
    "conv2": "Convolution",
    "conv3": "Convolution",
    "fc": "InnerProduct",
}
CAFFE_SHAPE = (3, 23, 23)


def caffe_tensors(seed: int = 0) -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return {
        "conv1": [normal(8, 3, 3, 3), normal(8)],
        "bn1": [normal(8), random.uniform(1, 3, 8).astype(np.float32), np.array([2], np.float32)],
        "scale1": [random.uniform(0.5, 1.5, 8).astype(np.float32), normal(8)],
        "conv2": [normal(12, 4, 3, 3), normal(12)],
        "conv3": [normal(12, 12, 1, 1)],
        "fc": [normal(5, 24 * 4), normal(5)],
    }


def write_caffe(folder: Path, tensors=None, *, text: str = PROTOTXT, write=write_caffemodel, types=TYPES) -> list[Path]:
    """The weights and the layers."""
    folder.mkdir(exist_ok=True)
    (folder / "small.prototxt").write_text(text)
    return [write(folder / "small.caffemodel", tensors or caffe_tensors(), types), folder / "small.prototxt"]


CFG = """# a comment
[net]
batch=1
width=22
height=22
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
batch_normalize=1
filters=12
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=12
size=1
stride=1
pad=1
activation=relu

[shortcut]
from=-2
activation=linear

[route]
layers=-1,-3

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=5
size=1
stride=1
pad=1
activation=linear

[avgpool]

[softmax]
groups=1
"""
DARKNET_SHAPE = (3, 22, 22)


def darknet_tensors(seed: int = 0) -> list[np.ndarray]:
    random, tensors = np.random.default_rng(seed), []
    for filters, width, size, norm in ((8, 3, 3, 1), (12, 8, 3, 1), (12, 12, 1, 0), (16, 24, 3, 1), (5, 16, 1, 0)):
        tensors.append(random.normal(size=filters))
        if norm:
            tensors += [random.uniform(0.5, 1.5, filters), random.normal(size=filters), random.uniform(0.5, 2, filters)]
        tensors.append(random.normal(size=(filters, width, size, size)) / np.sqrt(width) / size)
    return [np.asarray(each, np.float32) for each in tensors]


def write_darknet(folder: Path, tensors=None, *, text: str = CFG, version: str = "0.2") -> list[Path]:
    """The weights and the layers."""
    folder.mkdir(exist_ok=True)
    (folder / "small.cfg").write_text(text)
    return [write_weights(folder / "small.weights", tensors or darknet_tensors(), version), folder / "small.cfg"]
