"""Applications of Keras by name: their cards are right, and their rows are those of Keras."""

from __future__ import annotations

import importlib
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

import sightsound_keras
from sightsound import Host, SightsoundError, UnknownModel
from sightsound.plugin import Inputs
from sightsound.testing import CHECKS, Check, NotApplicable, Subject
from sightsound.weights.store import Store
from sightsound_keras.applications import PREPROCESSING, Application, applications
from sightsound_keras.backend import built

ALL = sorted(applications())
QUICK = ("mobilenet_v3_small", "efficientnet_b0")
"""One whose classifier is a convolution, and one with a layer for the published weights alone."""


def slow_but(names: tuple[str, ...], *quick: str) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def write_old_layout(network: Any, file: Path) -> None:
    """Write weights as those of the applications are published."""
    layout = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(file, "w") as opened:
        layout.save_weights_to_hdf5_group(opened, network)


def named(file: Path) -> Store:
    """A store in which a file is used whatever its hash is."""
    return Store([f"{file.name}={file}"], offline=True)


def reference(keras: Any, application: Application, fetched: Path, patch: pytest.MonkeyPatch) -> Any:
    """The network as Keras itself makes it for its published weights, which are those of a file here."""
    utils = importlib.import_module("keras.src.utils.file_utils")
    patch.setattr(utils, "get_file", lambda *args, **more: str(fetched))
    if application.name == "nasnetmobile":
        nasnet = importlib.import_module("keras.src.applications.nasnet")
        patch.setattr(nasnet.backend, "backend", lambda: "tensorflow")
    return getattr(keras.applications, application.function)()


@pytest.fixture(scope="module")
def weights(
    keras: Any, seeded: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Application], Path]:
    """`weights(application)`: a file of seeded weights under its published name."""
    folder = tmp_path_factory.mktemp("weights")

    def write(application: Application) -> Path:
        file = folder / application.source.rpartition("/")[2]
        if not file.exists():
            built(lambda: write_old_layout(seeded(application.build()), file))
        return file

    return write


@pytest.fixture
def loaded(weights: Callable[[Application], Path]) -> Callable[[str], Any]:
    """`loaded("vgg16.keras_in1k[...]")`: a model with seeded weights."""

    def load(name: str) -> Any:
        host = Host(installed=False)
        host.weights = named(weights(applications()[name.partition(".")[0]]))
        host.register(sightsound_keras, "keras")
        return host.load(name, "cpu")

    return load


def test_the_registered_network_is_the_one_of_the_table(host: Host) -> None:
    card = host.card("nasnetmobile")
    assert card.name == "nasnetmobile.keras_in1k" and list(host.cards) == [card.name]
    assert (card.dim, card.params, card.input_shape, card.depth) == (1056, 5326716, (224, 224, 3), 98)
    assert len(card.labels) == 1000 and card.label_ids[0] == "n01440764"


@pytest.mark.parametrize("name", ALL)
def test_every_application_resolves_by_its_full_name(name: str, host: Host) -> None:
    card = host.card(f"{name}.keras_in1k")
    assert card.params and card.depth and card.top1 and card.license and card.constants["layout"] == "nhwc"
    (file,) = card.weights
    assert file.name.endswith(".h5") and file.sources[0].startswith("https://storage.googleapis.com/")


@pytest.mark.parametrize("name", ["vgg16.keras_in21k", "vgg17.keras_in1k", "keras_in1k", "vgg16.keras_in1k.x"])
def test_other_names_are_unknown(name: str, host: Host) -> None:
    with pytest.raises(UnknownModel):
        host.card(name)


def test_cards_need_no_framework() -> None:
    code = (
        "import sys, sightsound_keras\nfrom sightsound import Host\nhost = Host(installed=False)\n"
        "host.register(sightsound_keras, 'keras')\nhost.card('vgg16.keras_in1k')\n"
        "print(*({'keras', 'torch', 'h5py', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("name", slow_but(tuple(ALL), "nasnetmobile", "mobilenet_v2"))
def test_the_table_is_that_of_the_networks_that_keras_builds(name: str, keras: Any, monkeypatch: Any) -> None:
    application, fetched = applications()[name], []

    def get_file(name: str, origin: str, file_hash: str | None = None, **more: Any) -> None:
        fetched.append((origin, file_hash if file_hash and len(file_hash) == 64 else ""))
        raise LookupError

    def facts() -> tuple[Any, ...]:
        network = application.build()
        with pytest.raises(LookupError):
            reference(keras, application, Path(), Patched(monkeypatch, get_file))
        return network.name, network.input_shape, network.count_params(), depth(network)

    size = application.size
    found = built(facts, device="meta")
    assert found == (application.title, (None, size, size, 3), application.params, application.depth)
    assert fetched == [(application.source, application.sha256)]


class Patched:
    """Patches all but what is fetched."""

    def __init__(self, patch: pytest.MonkeyPatch, get_file: Callable[..., None]) -> None:
        self._patch, self._get_file = patch, get_file

    def setattr(self, module: Any, name: str, value: Any) -> None:
        self._patch.setattr(module, name, self._get_file if name == "get_file" else value)


def depth(network: Any) -> int:
    """The longest path of convolutional and linear layers; a separable convolution counts as two."""
    from sightsound_keras.network import nodes_of

    longest: dict[int, int] = {}
    for node in nodes_of(network).values():
        kind, layer = type(node.operation).__name__, node.operation
        own = 2 if kind.startswith("SeparableConv") else int("Conv" in kind or kind == "Dense")
        own = depth(layer) if hasattr(layer, "layers") else own
        before = max((longest[id(tensor)] for tensor in node.input_tensors), default=0)
        longest.update({id(tensor): before + own for tensor in node.output_tensors})
    return max(longest[id(tensor)] for tensor in network.outputs)


PREPROCESSES = {"caffe": "vgg16", "tf": "mobilenet_v2", "torch": "densenet", "none": "efficientnet"}


@pytest.mark.parametrize("mode", PREPROCESSING)
def test_preprocessing_is_that_of_the_application(mode: str, keras: Any) -> None:
    application = next(each for each in applications().values() if (each.preprocessing, each.size) == (mode, 224))
    image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    found = Inputs(application.card())(image, 0, True).inputs[0]
    own = getattr(keras.applications, PREPROCESSES[mode]).preprocess_input(image[16:240, 38:262].astype(np.float32))
    np.testing.assert_allclose(found, own, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_the_mode_of_preprocessing_is_that_of_the_application(name: str, keras: Any) -> None:
    application, values = applications()[name], np.array([[[10.0, 100.0, 200.0]]], np.float32)
    function = getattr(keras.applications, application.function)
    own = sys.modules[function.__module__].preprocess_input(values.copy())
    module = getattr(keras.applications, PREPROCESSES[application.preprocessing])
    assert np.array_equal(own, module.preprocess_input(values.copy()))


@pytest.mark.parametrize(
    "name",
    slow_but((*QUICK, "nasnetmobile", "densenet121", "resnet50", "convnext_tiny", "xception"), *QUICK),
)
def test_rows_and_scores_are_those_of_keras(
    name: str, keras: Any, weights: Callable[[Application], Path], loaded: Any, images: Any, monkeypatch: Any
) -> None:
    application = applications()[name]
    file = weights(application)
    model = loaded(f"{name}.keras_in1k")
    pixels = [model.embedder.preprocess(image, 0, True).inputs for image in images]
    raw = ModeFree(application)
    inputs = np.concatenate([raw(image) for image in images])
    with monkeypatch.context() as patch:
        network = reference(keras, application, file, patch)
    own_preprocessing = sys.modules[getattr(keras.applications, application.function).__module__].preprocess_input
    prepared = own_preprocessing(inputs)
    last = next(layer for layer in reversed(network.layers) if layer.weights)
    features = keras.Model(network.inputs, [last.input, network.output])
    rows, scores = features.predict(prepared, verbose=0)
    found = model.embedder.embed(np.concatenate(pixels))
    assert cosines(found.embeddings, rows.reshape(len(rows), -1)).min() > 1 - 1e-6
    np.testing.assert_allclose(found.scores, scores, rtol=1e-3, atol=1e-6)
    assert np.ptp(rows, axis=0).max() > 1e-3


class ModeFree(Inputs):
    """Makes the pixels from 0 to 255 that an application gets."""

    def __init__(self, application: Application) -> None:
        card = application.card()
        plain = {"channels": "rgb", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
        super().__init__(type(card)(**{**fields(card), "constants": {**card.constants, **plain}}))

    def __call__(self, media: Any) -> NDArray[np.float32]:  # type: ignore[override]
        return super().__call__(media, 0, True).inputs


def fields(card: Any) -> dict[str, Any]:
    return {name: getattr(card, name) for name in ("name", "modality", "dim", "input_shape")}


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))  # type: ignore[no-any-return]


def test_layers_are_those_of_keras(keras: Any, weights: Any, loaded: Any, images: Any, monkeypatch: Any) -> None:
    application = applications()["mobilenet_v3_small"]
    names = ("expanded_conv_add", "activation_3", "global_average_pooling2d")
    found = [name for name in names if name in {layer.name for layer in sightsound_keras._Load(application).layers()}]
    model = loaded(f"mobilenet_v3_small.keras_in1k[layer={'+'.join(found)},pool=max]")
    file = weights(application)
    network = built(application.loader(file))
    features = keras.Model(network.inputs, [network.get_layer(name).output for name in found])
    inputs = np.concatenate([model.embedder.preprocess(image, 0, True).inputs for image in images])
    own = np.concatenate([value.max(axis=(1, 2)) for value in features.predict(inputs, verbose=0)], axis=1)
    assert len(found) >= 2 and model.card.dim == own.shape[1]
    assert cosines(model.embedder.embed(inputs).embeddings, own).min() > 1 - 1e-6


def test_a_layer_that_is_not_there_is_refused_with_the_nearest(keras: Any, host: Host) -> None:
    with pytest.raises(UnknownModel, match=r"layer 'fc3' of vgg16.keras_in1k: .* did you mean 'fc[12]'"):
        host.card("vgg16.keras_in1k[layer=fc3]")


def test_names_of_layers_do_not_depend_on_what_was_built_before(keras: Any) -> None:
    before = keras.config.floatx(), keras.config.image_data_format()
    keras.layers.Conv2D(3, 3)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    try:
        names, policy = built(
            lambda: next(
                ([layer.name for layer in network.layers], network.layers[-1].compute_dtype)
                for network in [applications()["inception_v3"].build()]
            ),
            device="meta",
        )
        assert (keras.config.floatx(), keras.config.image_data_format()) == ("float16", "channels_first")
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_image_data_format(before[1])
    assert names[:3] == ["input_layer", "conv2d", "batch_normalization"] and policy == "float32"


def test_weights_of_another_network_are_refused_in_one_line(keras: Any, tiny: Any, tmp_path: Path) -> None:
    application = applications()["mobilenet_v3_small"]
    write_old_layout(tiny, tmp_path / application.source.rpartition("/")[2])
    host = Host(installed=False)
    host.weights = Store([tmp_path], offline=True)
    host.register(sightsound_keras, "keras")
    message = r"_float.h5: expected 2,554,968 numbers for mobilenet_v3_small.keras_in1k, got \d+$"
    with pytest.raises(SightsoundError, match=message):
        host.load("mobilenet_v3_small.keras_in1k", "cpu").rows(np.zeros((30, 30, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_an_application_conforms(check: Check, application_subject: Subject) -> None:
    try:
        check(application_subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def application_subject(keras: Any, weights: Callable[[Application], Path]) -> Subject:
    application = applications()["mobilenet_v2"]
    host = Host(installed=False)
    host.weights = named(weights(application))
    host.register(sightsound_keras, "keras")
    return Subject("mobilenet_v2.keras_in1k", host=host)


@pytest.mark.slow
def test_nasnet_on_torch_is_nasnet_on_tensorflow(
    keras: Any, weights: Callable[[Application], Path], loaded: Any, images: Any, tmp_path: Path
) -> None:
    """Keras's own function refuses torch, so its numbers are compared with those on TensorFlow."""
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    application = applications()["nasnetmobile"]
    file = weights(application)
    model = loaded("nasnetmobile")
    inputs = np.concatenate([model.embedder.preprocess(image, 0, True).inputs for image in images])
    np.save(tmp_path / "inputs.npy", inputs)
    code = (
        "import sys, keras, numpy\nnetwork = keras.applications.NASNetMobile(weights=None)\n"
        "network.load_weights(sys.argv[1])\n"
        "both = keras.Model(network.inputs, [network.layers[-2].output, network.output])\n"
        "rows, scores = both.predict(numpy.load(sys.argv[2] + '/inputs.npy'), verbose=0)\n"
        "numpy.savez(sys.argv[2] + '/own.npz', rows=rows, scores=scores)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", code, str(file), str(tmp_path)], env=environment, check=True)
    own, found = np.load(tmp_path / "own.npz"), model.embedder.embed(inputs)
    assert cosines(found.embeddings, own["rows"]).min() > 1 - 1e-6
    np.testing.assert_allclose(found.scores, own["scores"], rtol=1e-3, atol=1e-6)
