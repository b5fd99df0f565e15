"""The networks that have a name, with seeded numbers in the formats of their authors' files."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from caffe_files import write_caffemodel
from darknet_files import write_weights

OWN = files("sightsound_opencv")


def googlenet_tensors(seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Kernels and biases of each layer, of such a size that what goes through the network neither dies nor explodes."""
    random, channels, tensors = np.random.default_rng(seed), {"data": 3}, {}
    for line in OWN.joinpath("googlenet_places365.prototxt").read_text().splitlines():
        if not line.startswith("layer"):
            continue
        name, kind = re.search(r'name: "(.*?)" type: "(.*?)"', line).groups()
        before = re.findall(r'bottom: "(.*?)"', line)
        sizes = {key: int(value) for key, value in re.findall(r"(num_output|kernel_size): (\d+)", line)}
        width = sum(channels[each] for each in before)
        if "num_output" in sizes:
            side = sizes.get("kernel_size", 1)
            shape = (sizes["num_output"], width, side, side) if kind == "Convolution" else (sizes["num_output"], width)
            kernels = random.normal(size=shape) * np.sqrt(2 / (width * side * side))
            if name == "conv1/7x7_s2":
                kernels /= 50  # inputs are as large as pixels
            tensors[name] = [kernels, random.normal(size=shape[0]) * 0.1]
            width = shape[0]
        if before:
            channels[re.search(r'top: "(.*?)"', line)[1]] = width
    return tensors


def write_googlenet(folder: Path) -> Path:
    tensors = googlenet_tensors()
    types = {name: "Convolution" if each[0].ndim == 4 else "InnerProduct" for name, each in tensors.items()}
    return write_caffemodel(folder / "googlenet_places365.caffemodel", tensors, types)


def darknet19_tensors(seed: int = 0) -> list[np.ndarray]:
    """Biases, scales, means, variances and kernels of each convolution; of the last one biases and kernels."""
    random, width, tensors = np.random.default_rng(seed), 3, []
    for section in OWN.joinpath("darknet19.cfg").read_text().split("[")[1:]:
        kind, *lines = section.splitlines()
        settings = dict(line.split("=") for line in lines if "=" in line)
        if kind == "convolutional]":
            filters, size = int(settings["filters"]), int(settings["size"])
            tensors.append(random.normal(size=filters) * 0.1)
            if "batch_normalize" in settings:
                tensors.append(random.uniform(0.8, 1.2, filters))
                tensors.append(random.normal(size=filters) * 0.1)
                tensors.append(random.uniform(0.5, 1.5, filters))
            spread = np.sqrt(2 / (width * size * size))
            tensors.append((random.normal(size=(filters, width, size, size)) * spread).astype(np.float32))
            width = filters
    return tensors


def write_darknet19(folder: Path) -> Path:
    return write_weights(folder / "darknet19.weights", darknet19_tensors(), "0.1")


def layers_file(alias: str) -> AbstractContextManager[Path]:
    """The file with the layers of darknet19 or googlenet_places365."""
    name = {"darknet19": "darknet19.cfg", "googlenet_places365": "googlenet_places365.prototxt"}[alias]
    return as_file(OWN.joinpath(name))
