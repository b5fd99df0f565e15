"""torchvision's ResNet-18 in the formats of Caffe and Darknet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import opencv_small
from sightsound.torch import import_torchvision


def resnet18() -> torch.nn.Module:
    """The network with 10 classes, of seeded numbers."""
    torch.manual_seed(0)
    made = import_torchvision().models.resnet18(weights=None, num_classes=10).eval()
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.1, 0.1)
    return made


def blocks(made: torch.nn.Module):
    for stage in (made.layer1, made.layer2, made.layer3, made.layer4):
        yield from stage


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def as_caffe(folder: Path, made: torch.nn.Module, size: int) -> list[Path]:
    lines = ['layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 %s } } }']
    lines[0] %= f"dim: {size} dim: {size}"
    tensors, types = {}, {}

    def add(name: str, kind: str, bottoms: list[str], top: str, settings: str = "", values=()) -> str:
        inputs = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        lines.append(f'layer {{ name: "{name}" type: "{kind}" {inputs} top: "{top}" {settings} }}')
        if values:
            tensors[name], types[name] = [numbers(each) for each in values], kind
        return top

    def convolution(name: str, bottom: str, conv: torch.nn.Conv2d, norm: torch.nn.BatchNorm2d) -> str:
        shape = f"num_output: {conv.out_channels} kernel_size: {conv.kernel_size[0]} stride: {conv.stride[0]}"
        settings = f"convolution_param {{ {shape} pad: {conv.padding[0]} bias_term: false }}"
        add(name, "Convolution", [bottom], name, settings, [conv.weight])
        sums = [norm.running_mean, norm.running_var, torch.ones(1)]
        add(f"{name}_bn", "BatchNorm", [name], name, f"batch_norm_param {{ eps: {norm.eps} }}", sums)
        return add(f"{name}_scale", "Scale", [name], name, "scale_param { bias_term: true }", [norm.weight, norm.bias])

    x = convolution("conv1", "data", made.conv1, made.bn1)
    add("conv1_relu", "ReLU", [x], x)
    x = add("pool1", "Pooling", [x], "pool1", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    for number, block in enumerate(blocks(made)):
        name, before = f"block{number}", x
        x = convolution(f"{name}_a", before, block.conv1, block.bn1)
        add(f"{name}_a_relu", "ReLU", [x], x)
        x = convolution(f"{name}_b", x, block.conv2, block.bn2)
        if block.downsample is not None:
            before = convolution(f"{name}_c", before, *block.downsample)
        x = add(name, "Eltwise", [before, x], name, "eltwise_param { operation: SUM }")
        add(f"{name}_relu", "ReLU", [x], x)
    x = add("pool5", "Pooling", [x], "pool5", "pooling_param { pool: AVE global_pooling: true }")
    x = add("fc", "InnerProduct", [x], "fc", "inner_product_param { num_output: 10 }", [made.fc.weight, made.fc.bias])
    add("prob", "Softmax", [x], "prob")
    return opencv_small.write_caffe(folder, tensors, text="\n".join(lines), types=types)


def as_darknet(folder: Path, made: torch.nn.Module, size: int) -> list[Path]:
    """Its classifier is a convolution in front of the mean, which gives the same numbers."""
    sections, tensors = [f"[net]\nwidth={size}\nheight={size}\nchannels=3"], []

    def convolution(conv: torch.nn.Conv2d, norm: torch.nn.BatchNorm2d, activation: str) -> None:
        shape = f"filters={conv.out_channels}\nsize={conv.kernel_size[0]}\nstride={conv.stride[0]}\npad=1"
        sections.append(f"[convolutional]\nbatch_normalize=1\n{shape}\nactivation={activation}")
        variance = (norm.running_var + norm.eps).sqrt().square()
        tensors.extend(map(numbers, (norm.bias, norm.weight, norm.running_mean, variance, conv.weight)))

    convolution(made.conv1, made.bn1, "relu")
    sections.append("[maxpool]\nsize=3\nstride=2")
    for block in blocks(made):
        start = len(sections)
        convolution(block.conv1, block.bn1, "relu")
        convolution(block.conv2, block.bn2, "linear")
        if block.downsample is not None:
            sections.append(f"[route]\nlayers={start - len(sections) - 1}")
            convolution(*block.downsample, "linear")
            sections.append("[shortcut]\nfrom=-3\nactivation=relu")
        else:
            sections.append("[shortcut]\nfrom=-3\nactivation=relu")
    sections.append("[avgpool]")
    sections.append(f"[convolutional]\nfilters={made.fc.out_features}\nsize=1\nstride=1\npad=1\nactivation=linear")
    tensors += [numbers(made.fc.bias), numbers(made.fc.weight)[..., None, None]]
    sections.append("[softmax]")
    return opencv_small.write_darknet(folder, tensors, text="\n\n".join(sections) + "\n")
