"""Darknet-19 and GoogLeNet-Places365, on files of seeded numbers in the formats of their authors."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="runs networks")
pytest.importorskip("torch", reason="computes what OpenCV must compute")

import opencv_named as named
import opencv_reference as reference
import sightsound_opencv
from sightsound import Host, MissingWeights, SightsoundError, UnknownModel, classify_image
from sightsound.testing import check_model
from sightsound.weights.store import Store
from sightsound_opencv.cards import DARKNET19, GOOGLENET, ilsvrc2012, layers

CARDS = {"darknet19": DARKNET19, "googlenet_places365": GOOGLENET}
BOTH = pytest.mark.parametrize("alias", list(CARDS))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return [named.write_darknet19(folder), named.write_googlenet(folder)]


@pytest.fixture(scope="module")
def host(files) -> Host:
    return host_with(*files)


def host_with(*files) -> Host:
    host = Host(installed=False, weights=files)
    host.register(sightsound_opencv, "opencv")
    return host


def photo(height: int = 300, width: int = 420) -> np.ndarray:
    """A gradient with noise."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / 20), np.cos(columns / 30), np.sin((rows + columns) / 50)], axis=2)
    return (127 + 90 * waves + random.normal(size=(height, width, 3)) * 10).clip(0, 255).astype(np.uint8)


def expected_outputs(alias: str, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features and the scores, as torch computes them."""
    if alias == "darknet19":
        text = named.OWN.joinpath("darknet19.cfg").read_text().partition("[net]")[2]
        outputs = reference.darknet(f"[net]{text}", named.darknet19_tensors(), inputs)
        return outputs[-4].mean((2, 3)), outputs[-1][..., 0, 0]
    text = named.OWN.joinpath("googlenet_places365.prototxt").read_text()
    blobs = reference.caffe(text, named.googlenet_tensors(), inputs)
    return blobs["pool5/7x7_s1"][..., 0, 0], blobs["prob"]


@BOTH
def test_rows_and_scores_are_those_of_torch(host, alias):
    model = host.load(alias)
    inputs = model.embedder.preprocess(photo(), 0, True).inputs
    features, expected = expected_outputs(alias, inputs)
    _, rows, scores = model.rows(photo())
    assert rows.shape == (1, 1024) and features.std() > 0.1
    assert 1 - reference.cosine(rows, features) < 1e-5
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert classify_image(photo(), alias, host=host).top[0].label == CARDS[alias].labels[int(expected.argmax())]


def test_preprocessing_of_darknet19(host):
    """The shorter side becomes 256, the centre is cut out, values are from 0 to 1."""
    from PIL import Image

    picture = Image.fromarray(photo()).resize((358, 256), Image.Resampling.BILINEAR).crop((51, 0, 307, 256))
    inputs = host.load("darknet19").embedder.preprocess(photo(), 0, True).inputs
    np.testing.assert_allclose(inputs[0], np.asarray(picture).transpose(2, 0, 1) / 255, atol=1e-6)


def test_preprocessing_of_googlenet_places365(host):
    """Both sides become 256, the centre of 224 is cut out, BGR less the means of the authors' file."""
    from PIL import Image

    picture = Image.fromarray(photo()).resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    inputs = host.load("googlenet_places365").embedder.preprocess(photo(), 0, True).inputs
    expected = np.asarray(picture, np.float32)[..., ::-1] - np.array([104.051, 112.514, 116.676])
    np.testing.assert_allclose(inputs[0], expected.transpose(2, 0, 1), atol=1e-4)


@BOTH
def test_the_card_tells_the_networks_size(alias):
    card = CARDS[alias]
    if alias == "darknet19":
        tensors = named.darknet19_tensors()
        statistics = sum(each.size for first in range(0, 90, 5) for each in tensors[first + 2 : first + 4])
        assert card.params == sum(each.size for each in tensors) - statistics
        assert card.depth == sum(each.ndim == 4 for each in tensors)
    else:
        tensors = named.googlenet_tensors()
        assert card.params == sum(each.size for pair in tensors.values() for each in pair)
        modules = {name.partition("/")[0] for name in tensors if name.startswith("inception")}
        assert card.depth == 3 + 2 * len(modules) + 1  # stem, two convolutions in each module, classifier


def test_classes():
    assert len(set(ilsvrc2012().ids)) == len(ilsvrc2012()) == 1000
    assert ilsvrc2012().labels[0] == "kit fox, Vulpes macrotis"
    scenes = GOOGLENET.labels
    assert len(set(scenes)) == 365 and scenes[0] == "airfield" and scenes[-1] == "zen garden"


@BOTH
def test_the_table_of_layers_is_that_of_opencv(host, alias, files):
    """It comes with the package, so that `models layers` needs no weights."""
    from sightsound_opencv.network import Network

    card, file = CARDS[alias], files[list(CARDS).index(alias)]
    with named.layers_file(alias) as text:
        found = Network([text, file]).open(card.input_shape)
    assert [(each.name, each.shape) for each in layers(card)] == list(found.items())


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("darknet19[layer=leaky_17]", 512),
        ("darknet19[layer=pool_1+leaky_23,pool=avg+std]", 2 * (32 + 1024)),
        ("googlenet_places365[layer=inception_4a/output]", 512),
        ("googlenet_places365[layer=loss3/classifier]", 365),
        ("googlenet_places365[layer=inception_5b/pool_proj,pool=flat]", 128 * 7 * 7),
    ],
)
def test_rows_of_layers(host, name, dim):
    model = host.load(name)
    _, rows, scores = model.rows(photo())
    assert rows.shape == (1, dim) == (1, model.card.dim) and scores is None
    assert np.isfinite(rows).all() and rows.std() > 0


def test_a_layer_of_googlenet_is_that_of_torch(host):
    name = "inception_3a/output"
    model = host.load(f"googlenet_places365[layer={name},pool=max]")
    inputs = model.embedder.preprocess(photo(), 0, True).inputs
    text = named.OWN.joinpath("googlenet_places365.prototxt").read_text()
    expected = reference.caffe(text, named.googlenet_tensors(), inputs)[name].max((2, 3))
    assert 1 - reference.cosine(model.rows(photo())[1], expected) < 1e-5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("darknet19[layer=leaky_99]", r"layer 'leaky_99' of darknet19.*did you mean 'leaky_\d+'\?"),
        ("darknet19[layer=leaky_1+leaky_1]", r"expected a layer, each once"),
        ("darknet19[pool=max]", r"layer '' of darknet19.*: expected a layer"),
        ("darknet19[layer=leaky_1,pool=sum]", r"pool of darknet19.*: expected flat, or some of avg, max, std"),
    ],
)
def test_layers_that_there_are_not(host, name, message):
    with pytest.raises(UnknownModel, match=message):
        host.load(name)


@BOTH
def test_layers_are_listed_without_weights(alias):
    names = [each.name for each in host_with().layers(CARDS[alias].name)]
    assert CARDS[alias].constants["layers"][0]["name"] in names and CARDS[alias].constants["output"] in names


@BOTH
def test_without_the_file_the_error_says_where_it_is(monkeypatch, tmp_path, alias):
    def unreachable(*args, **kwargs):
        raise socket.gaierror("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    host = host_with()
    host.weights = Store(folders=(), cache=tmp_path, offline=False)
    with pytest.raises(MissingWeights, match=r"https://(pjreddie\.com|places2\.csail).*give --weights"):
        host.load(CARDS[alias].name)


def test_a_file_of_another_network_is_refused(tmp_path, files):
    for file in files:
        (tmp_path / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    host = host_with(*(tmp_path / file.name for file in files))
    for alias, message in (("darknet19", r"83427120 bytes for 20856776 numbers"), ("googlenet_places365", r"weights")):
        with pytest.raises(SightsoundError, match=message):
            host.load(alias)


def test_import_and_registration_import_no_opencv():
    code = (
        "import sys, sightsound_opencv; from sightsound import Host; host = Host(installed=False);"
        "host.register(sightsound_opencv, 'opencv'); assert 'darknet19.darknet_in1k' in host.cards;"
        "assert set(host.importers) >= {'caffe', 'darknet'}; assert 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_opencv_the_plugin_says_what_to_install(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "cv2" else find(name, *more))
    (plugin,) = [each for each in Host().plugins if each.name == "opencv"]
    assert (plugin.in_use, plugin.status) == (False, "broken")
    assert plugin.reason.endswith("install it: pip install opencv-python-headless")


@pytest.mark.slow
@BOTH
def test_it_keeps_to_the_contract(host, alias):
    failed = [(each.check, each.reason) for each in check_model(CARDS[alias].name, host=host) if not each.passed]
    assert failed == []


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    readme = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
