"""What Caffe and Darknet compute, in torch's words: the reference of the tests.

Layers of Caffe stand in one line each, as this package and these tests write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest cosine of the rows of two arrays (n, ...)."""
    a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (a, b))
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def caffe(text: str, tensors: Mapping[str, Sequence[np.ndarray]], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Every blob, as it is after the last layer that writes it, and every layer's own output as `layer:NAME`."""
    blobs, outputs = {"data": torch.tensor(inputs)}, {}
    for line in text.splitlines():
        kind = re.search(r'type: "(\w+)"', line)
        if not line.startswith("layer") or kind[1] == "Input":
            continue
        name, top = re.search(r'name: "(.*?)"', line)[1], re.search(r'top: "(.*?)"', line)[1]
        settings = dict(re.findall(r"(\w+): ([\w.]+)", line))
        own = [torch.tensor(np.asarray(each, np.float32)) for each in tensors.get(name, ())]
        values = [blobs[each] for each in re.findall(r'bottom: "(.*?)"', line)]
        blobs[top] = outputs[f"layer:{name}"] = _caffe_layer(kind[1], settings, own, values)
    return {name: value.numpy() for name, value in {**outputs, **blobs}.items()}


def _caffe_layer(kind, settings, own, values):
    x = values[0]
    size, stride, pad = (int(settings.get(key, 1 - (key == "pad"))) for key in ("kernel_size", "stride", "pad"))
    if kind == "Convolution":
        bias = own[1] if len(own) > 1 else None
        return F.conv2d(x, own[0], bias, stride, pad, groups=int(settings.get("group", 1)))
    if kind == "BatchNorm":  # the sums of means and variances, and how many of them there are
        return F.batch_norm(x, own[0] / own[2], own[1] / own[2], eps=float(settings.get("eps", 1e-5)))
    if kind == "Scale":
        return x * own[0][:, None, None] + own[1][:, None, None]
    if kind == "ReLU":
        return F.leaky_relu(x, float(settings.get("negative_slope", 0)))
    if kind == "Pooling" and settings.get("global_pooling"):
        return x.mean((2, 3), keepdim=True)
    if kind == "Pooling":  # the number of positions is rounded up
        pool = F.max_pool2d if settings["pool"] == "MAX" else F.avg_pool2d
        return pool(x, size, stride, pad, ceil_mode=True)
    if kind == "LRN":
        return F.local_response_norm(x, int(settings["local_size"]), float(settings["alpha"]), float(settings["beta"]))
    if kind == "Concat":
        return torch.cat(values, 1)
    if kind == "Eltwise":
        return sum(values)
    if kind == "InnerProduct":
        return x.flatten(1) @ own[0].T + own[1]
    return {"Dropout": lambda x: x, "Softmax": lambda x: x.softmax(1)}[kind](x)


def darknet(text: str, tensors: Sequence[np.ndarray], inputs: np.ndarray) -> list[np.ndarray]:
    """The output of each section behind [net]; `tensors` are in the order of the .weights file."""
    left, x, outputs = [torch.tensor(np.asarray(each, np.float32)) for each in tensors], torch.tensor(inputs), []
    for section in text.split("[")[2:]:
        kind, *lines = section.splitlines()
        settings = dict(line.split("=") for line in lines if "=" in line)
        number = {key: int(value) for key, value in settings.items() if value.lstrip("-").isdigit()}
        if kind == "convolutional]":
            bias, norm = left.pop(0), [left.pop(0) for _ in range(3)] if "batch_normalize" in settings else None
            kernels = left.pop(0)
            x = F.conv2d(x, kernels, None, number["stride"], kernels.shape[-1] // 2 * number["pad"])
            if norm:  # Darknet adds its epsilon to the deviation, not to the variance
                scale, mean, variance = (each[:, None, None] for each in norm)
                x = (x - mean) / (variance.sqrt() + 1e-6) * scale
            x = _activated(x + bias[:, None, None], settings["activation"])
        elif kind == "connected]":
            bias, kernels = left.pop(0), left.pop(0)
            x = _activated((x.flatten(1) @ kernels.T + bias)[..., None, None], settings["activation"])
        elif kind == "maxpool]":
            size, stride = number["size"], number["stride"]
            before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
            x = F.max_pool2d(F.pad(x, (before, after, before, after), value=-torch.inf), size, stride)
        elif kind == "route]":
            chosen = [int(each) for each in settings["layers"].split(",")]
            x = torch.cat([outputs[each] for each in chosen], 1)
        elif kind == "shortcut]":
            x = _activated(x + outputs[number["from"]], settings["activation"])
        elif kind == "avgpool]":
            x = x.mean((2, 3), keepdim=True)
        else:
            x = {"softmax]": lambda x: x.softmax(1)}[kind](x)
        outputs.append(x)
    assert not left
    return [each.numpy() for each in outputs]


def _activated(x, name):
    return {"leaky": lambda x: F.leaky_relu(x, 0.1), "relu": F.relu, "linear": lambda x: x}[name](x)
