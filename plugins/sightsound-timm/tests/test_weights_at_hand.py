"""Weights in formats of other programs: SqueezeNet in a file of Keras, ResNet-18 in a plain pickle."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sightsound_timm
from seeded_networks import seeded
from sightsound import Host, Model, SightsoundError
from sightsound_timm import cards
from sightsound_timm.frameworks import timm, torchvision
from sightsound_timm.keras_squeezenet import FIRES, read_keras

SQUEEZENET, RESNET = cards.SQUEEZENET.name, cards.RESNET18.name
SIDE = 63
"""Pixels for which no pooling has a rest: Keras leaves an incomplete last window out, torchvision and Caffe do not."""


def host_with(card: cards.Card, path: Path) -> Host:
    host = Host(installed=False, weights=[f"{card.weights[0].name}={path}"])
    host.register(sightsound_timm, "timm")
    return host


def keras_file(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """A file with the groups and names of the published one."""
    layers = {"features.0": "conv1", "classifier.1": "conv10"}
    for number, index in FIRES.items():
        for ours, theirs in (("squeeze", "squeeze1x1"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            layers[f"features.{index}.{ours}"] = f"fire{number}/{theirs}"
    with h5py.File(path, "w") as file:
        for ours, theirs in layers.items():
            file[f"{theirs}/{theirs}_W:0"] = tensors[f"{ours}.weight"].permute(2, 3, 1, 0).numpy()
            file[f"{theirs}/{theirs}_b:0"] = tensors[f"{ours}.bias"].numpy()
    return path


# -- SqueezeNet of Keras -------------------------------------------------------------------------------------------


def test_kernels_of_keras_become_those_of_torch(tmp_path: Path) -> None:
    net = seeded(lambda: torchvision.models.squeezenet1_1(weights=None))
    found = read_keras(keras_file(tmp_path / "net.h5", net.state_dict()))
    assert list(found) == list(net.state_dict())
    assert all(torch.equal(found[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.slow
def test_the_network_gives_the_scores_of_keras(
    model: Callable[[str], Model], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="compares with Keras")
    layers = keras.layers
    model(SQUEEZENET)  # skips where there are no weights

    def fire(x: Any, squeeze: int, expand: int) -> Any:
        x = layers.Conv2D(squeeze, 1, activation="relu")(x)
        one = layers.Conv2D(expand, 1, activation="relu")(x)
        return layers.Concatenate()([one, layers.Conv2D(expand, 3, padding="same", activation="relu")(x)])

    inputs = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(64, 3, strides=2, activation="relu")(inputs)
    for after_pooling in (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256))):
        x = layers.MaxPooling2D(3, 2)(x)
        for squeeze, expand in after_pooling:
            x = fire(x, squeeze, expand)
    logits = layers.GlobalAveragePooling2D()(layers.Conv2D(1000, 1, activation="relu")(x))
    reference = keras.Model(inputs, [layers.GlobalAveragePooling2D()(x), layers.Softmax()(logits)])
    with h5py.File(host.weights.get(cards.SQUEEZENET.weights[0]).path) as file:
        groups = [file[name.decode()] for name in file.attrs["layer_names"]]
        arrays = [np.asarray(group[name.decode()]) for group in groups for name in group.attrs["weight_names"]]
    reference.set_weights(arrays)

    noise = 60 * np.random.default_rng(0).standard_normal((3, 3, SIDE, SIDE)).astype(np.float32)
    features, scores = (np.asarray(each) for each in reference.predict(noise.transpose(0, 2, 3, 1), verbose=0))
    module: Any = host.load(SQUEEZENET, "cpu").embedder
    with torch.inference_mode():
        found, found_scores = module.module()(torch.from_numpy(noise))
    assert np.abs(found.numpy() - features).max() < 1e-5 * np.abs(features).max()
    np.testing.assert_allclose(found_scores.numpy(), scores, atol=1e-5)
    assert scores.max() > 0.01


@pytest.mark.parametrize("damage", ["truncated", "text", "other", "shape", "group", "empty"])
def test_another_file_of_keras_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    net = torchvision.models.squeezenet1_1(weights=None)
    path = keras_file(tmp_path / "net.h5", net.state_dict())
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif damage in ("text", "empty"):
        path.write_bytes(b"no weights" if damage == "text" else b"")
    else:
        with h5py.File(path, "a") as file:
            name = "fire2/squeeze1x1/fire2/squeeze1x1_W:0"
            del file[name]
            if damage == "shape":
                file[name] = np.zeros((1, 1, 64, 17), np.float32)
            elif damage == "group":
                file.create_group(name)
    with pytest.raises(
        SightsoundError, match=r"net\.h5: .*expected .*got.*; give a file of|expected the weights of ker"
    ) as e:
        host_with(cards.SQUEEZENET, path).load(SQUEEZENET, "cpu")
    assert "\n" not in str(e.value)


# -- ResNet-18 in a pickle -----------------------------------------------------------------------------------------


def rows(model: Model, inputs: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
    output = model.embed(inputs)
    assert output.scores is not None
    return output.embeddings, output.scores


def test_a_pickle_of_tensors_gives_the_rows_of_the_network(tmp_path: Path) -> None:
    net: Any = seeded(lambda: timm.create_model("resnet18"))
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(net.state_dict()))
    noise = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    found, found_scores = rows(host_with(cards.RESNET18, tmp_path / "net.pkl").load(RESNET, "cpu"), noise)
    with torch.inference_mode():
        batch = torch.from_numpy(noise)
        features = net.forward_head(net.forward_features(batch), pre_logits=True).numpy()
        scores = net(batch).softmax(1).numpy()
    assert np.abs(found - features).max() < 1e-5 * np.abs(features).max()
    np.testing.assert_allclose(found_scores, scores, atol=1e-5)


class Program:
    """What a pickle must not run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_names_a_program_is_refused_in_one_line_and_nothing_runs(tmp_path: Path, command: Any) -> None:
    made = tmp_path / "made"
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"conv1.weight": Program(made)}))
    with pytest.raises(SightsoundError, match=r"evil\.pkl: expected tensors .*, got: \w+\.system, which is not needed"):
        host_with(cards.RESNET18, tmp_path / "evil.pkl").load(RESNET, "cpu")
    weights = f"{cards.RESNET18.weights[0].name}={tmp_path / 'evil.pkl'}"
    ran = command("--weights", weights, "check-model", RESNET, plugins=())
    assert ran.returncode != 0 and "Traceback" not in ran.stderr + ran.stdout
    assert not made.exists()
