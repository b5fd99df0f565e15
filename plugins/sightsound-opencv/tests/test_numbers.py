"""The numbers of Caffe and Darknet: every layer of a network agrees with torch."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("cv2", reason="runs networks")
pytest.importorskip("torch", reason="computes what OpenCV must compute")

import torch

import opencv_reference as reference
import opencv_small as small
from caffe_files import write_old_caffemodel
from opencv_resnet18 import as_caffe, as_darknet, resnet18
from sightsound_opencv.network import Network

TOLERANCE = 1 - 0.99999


def noise(*shape: int, scale: float = 1, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def opened(files, shape) -> tuple[Network, list[str]]:
    network = Network(files)
    return network, list(network.open(shape))


def test_every_layer_of_caffe_is_that_of_torch(tmp_path):
    """Groups, no bias, batch norm with its count of sums, poolings whose size is rounded up."""
    network, names = opened(small.write_caffe(tmp_path), small.CAFFE_SHAPE)
    inputs = noise(3, *small.CAFFE_SHAPE)
    expected = reference.caffe(small.PROTOTXT, small.caffe_tensors(), inputs)
    found = network.run(inputs, names)
    assert len(names) == 15
    for name in names:
        assert found[name].size == expected[f"layer:{name}"].size
        assert 1 - reference.cosine(found[name], expected[f"layer:{name}"]) < TOLERANCE, name
    np.testing.assert_allclose(found["prob"], expected["prob"], atol=1e-5)


@pytest.mark.parametrize("name", ["conv1", "bn1", "relu1", "pool1", "conv2", "fc"])
def test_a_layer_alone_has_the_same_numbers(tmp_path, name):
    """If OpenCV may join layers, it gives what was in memory for those that were joined."""
    network, _ = opened(small.write_caffe(tmp_path), small.CAFFE_SHAPE)
    inputs = noise(2, *small.CAFFE_SHAPE)
    expected = reference.caffe(small.PROTOTXT, small.caffe_tensors(), inputs)[f"layer:{name}"]
    assert 1 - reference.cosine(network.run(inputs, [name])[name], expected) < TOLERANCE


def test_an_output_of_caffe_is_meant_after_the_layers_that_change_it_in_place(tmp_path):
    network, _ = opened(small.write_caffe(tmp_path), small.CAFFE_SHAPE)
    assert [network.layer(name) for name in ("conv1", "scale1", "pool2", "prob")] == [
        "relu1",
        "scale1",
        "drop2",
        "prob",
    ]


def test_every_layer_of_darknet_is_that_of_torch(tmp_path):
    """Convolutions, leaky and plain ReLU, poolings at odd sizes, shortcuts and routes."""
    network, _ = opened(small.write_darknet(tmp_path), small.DARKNET_SHAPE)
    inputs = noise(3, *small.DARKNET_SHAPE)
    expected = reference.darknet(small.CFG, small.darknet_tensors(), inputs)
    names = ["leaky_1", "pool_1", "leaky_3", "pool_3", "relu_5", "shortcut_5", "concat_6", "leaky_8", "conv_8"]
    names += ["avgpool_9", "softmax_10"]
    found = network.run(inputs, names)
    for name, values in zip(names, expected, strict=True):
        assert found[name].shape == values.shape
        assert 1 - reference.cosine(found[name], values) < TOLERANCE, name


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_both_headers_of_darknet_are_read(tmp_path, version):
    network, _ = opened(small.write_darknet(tmp_path, version=version), small.DARKNET_SHAPE)
    inputs = noise(1, *small.DARKNET_SHAPE)
    expected = reference.darknet(small.CFG, small.darknet_tensors(), inputs)[-1]
    np.testing.assert_allclose(network.run(inputs, ["softmax_10"])["softmax_10"], expected, atol=1e-5)


def test_the_caffe_of_2013_is_read(tmp_path):
    """Layers in another field with numbered types, tensors with four axes in fields of their own."""
    old = [line for line in small.PROTOTXT.splitlines() if not any(kind in line for kind in ("BatchNorm", "Scale"))]
    tensors = {name: each for name, each in small.caffe_tensors().items() if name not in ("bn1", "scale1")}
    text = "\n".join(old)
    files = small.write_caffe(tmp_path, tensors, text=text, write=write_old_caffemodel)
    network, _ = opened(files, small.CAFFE_SHAPE)
    inputs = noise(2, *small.CAFFE_SHAPE)
    expected = reference.caffe(text, tensors, inputs)["prob"]
    np.testing.assert_allclose(network.run(inputs, ["prob"])["prob"], expected, atol=1e-5)


def test_connected_layers_of_darknet(tmp_path):
    text = "[net]\nwidth=4\nheight=3\nchannels=3\n\n[connected]\noutput=7\nactivation=leaky\n\n[softmax]\n"
    tensors = [noise(7), noise(7, 36, seed=2)]
    network, names = opened(small.write_darknet(tmp_path, tensors, text=text), (3, 3, 4))
    inputs = noise(2, 3, 3, 4)
    expected = reference.darknet(text, tensors, inputs)[-1]
    np.testing.assert_allclose(network.run(inputs, names[-1:])[names[-1]].reshape(2, 7), expected[..., 0, 0], atol=1e-5)


@pytest.mark.parametrize("write", [as_caffe, as_darknet])
def test_resnet18_in_these_formats_is_that_of_torch(tmp_path, write):
    made = resnet18()
    network, names = opened(write(tmp_path, made, 64), (3, 64, 64))
    inputs = noise(2, 3, 64, 64)
    if write is as_caffe:  # which pads its first pooling at the end alone
        made.maxpool = torch.nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    with torch.inference_mode():
        features = torch.nn.Sequential(*list(made.children())[:-1])(torch.tensor(inputs)).flatten(1).numpy()
        scores = made(torch.tensor(inputs)).softmax(1).numpy()
    found = network.run(inputs, [network.features, names[-1]])
    assert 1 - reference.cosine(found[network.features], features) < TOLERANCE
    np.testing.assert_allclose(found[names[-1]].reshape(2, -1), scores, atol=1e-5)


def test_threads_have_networks_of_their_own(tmp_path):
    network, _ = opened(small.write_caffe(tmp_path), small.CAFFE_SHAPE)
    batches = [noise(1 + seed % 3, *small.CAFFE_SHAPE, seed=seed) for seed in range(24)]
    expected = [network.run(batch, ["fc"])["fc"] for batch in batches]
    found: dict[int, np.ndarray] = {}
    start = threading.Barrier(4)

    def work(first: int) -> None:
        start.wait()
        for place in range(first, 24, 4):
            found[place] = network.run(batches[place], ["fc"])["fc"]

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, values in enumerate(expected):
        np.testing.assert_array_equal(found[place], values)


def test_what_was_returned_is_not_written_to_again(tmp_path):
    network, _ = opened(small.write_caffe(tmp_path), small.CAFFE_SHAPE)
    found = network.run(noise(2, *small.CAFFE_SHAPE), ["fc"])["fc"]
    kept = found.copy()
    network.run(noise(2, *small.CAFFE_SHAPE, seed=5), ["fc"])
    np.testing.assert_array_equal(found, kept)


def test_layers_that_the_small_network_has_not(tmp_path):
    """PReLU and a deconvolution of Caffe."""
    text = """name: "more"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "prelu" type: "PReLU" bottom: "data" top: "prelu" }
layer { name: "up" type: "Deconvolution" bottom: "prelu" top: "up" convolution_param { num_output: 5 kernel_size: 2 stride: 2 } }
"""  # noqa: E501
    slopes, kernels, biases = noise(3), noise(3, 5, 2, 2), noise(5)
    types = {"prelu": "PReLU", "up": "Deconvolution"}
    files = small.write_caffe(tmp_path, {"prelu": [slopes], "up": [kernels, biases]}, text=text, types=types)
    network, names = opened(files, (3, 9, 9))
    inputs = noise(2, 3, 9, 9)
    slopes, kernels, biases, x = map(torch.tensor, (slopes, kernels, biases, inputs))
    expected = torch.nn.functional.conv_transpose2d(
        torch.nn.functional.prelu(x, slopes), kernels, biases, stride=2
    ).numpy()
    found = network.run(inputs, names)["up"]
    assert found.shape == expected.shape and 1 - reference.cosine(found, expected) < TOLERANCE
