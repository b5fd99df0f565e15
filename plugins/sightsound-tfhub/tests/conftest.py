"""Small SavedModels, written by TensorFlow with seeded random weights."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

import sightsound_tfhub
from sightsound import Host, ModelSettings, import_model

WINDOW, YAMNET_HOP, VGGISH_HOP = 15_600, 7_680, 15_360


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty folders of models and of fetched and unpacked files."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "own-models"))
    monkeypatch.setenv("SIGHTSOUND_CACHE", str(tmp_path / "own-cache"))


@pytest.fixture(scope="session")
def tf():
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    pytest.importorskip("tensorflow_hub", reason="needs tensorflow-hub")
    from sightsound_tfhub.framework import import_tensorflow

    return import_tensorflow()


@pytest.fixture
def host():
    host = Host(installed=False)
    host.register(sightsound_tfhub, "tfhub")
    host.reload_models()
    return host


@pytest.fixture
def imported(host):
    """`imported(source, rate=1000, ...)` imports a network that is trusted, and returns the loaded model."""

    def run(source, **settings):
        settings = {"name": "mine", **settings}
        import_model(source, ModelSettings(**settings), trust=True, replace=True, host=host)
        return host.load(settings["name"], "cpu")

    return run


@pytest.fixture(scope="session")
def saved(tf, tmp_path_factory):
    """`saved("waves")` -> a folder with this SavedModel, whose `numbers` are those of `matrices`."""
    folders = {}

    def save(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("saved") / kind
            module, signatures = make(tf, kind, folders[kind].parent)
            tf.saved_model.save(module, str(folders[kind]), signatures=signatures)
        return folders[kind]

    return save


@pytest.fixture(scope="session")
def load(tf):
    """The framework's own loader."""
    return lambda folder: tf.saved_model.load(str(folder))


def matrix(*shape, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def make(tf, kind, place):
    """Return a module of TensorFlow, and its signatures or None."""
    module = tf.Module()
    weights = module.weights = tf.Variable(matrix(*SHAPES[kind]))

    def function(*shape, dtype=tf.float32):
        return tf.function(input_signature=[tf.TensorSpec(shape, dtype)])

    if kind == "waves":  # (n, 800) -> a dictionary
        module.head = tf.Variable(matrix(6, 3, seed=1))

        @function(None, 800)
        def call(waves):
            embedding = tf.tanh(waves @ weights)
            return {"embedding": embedding, "logits": 3 * embedding @ module.head, "length": tf.shape(waves)[1]}

        module.__call__ = call
    elif kind == "frames":  # (n, ?) -> (n, frames, 6): a row for every 100 samples
        module.__call__ = function(None, None)(lambda waves: tf.signal.frame(waves, 100, 100) @ weights)
    elif kind == "vggish":  # (samples,) -> (n, 128)
        module.__call__ = function(None)(lambda wave: patches(tf, wave, VGGISH_HOP) @ weights)
    elif kind == "yamnet":  # (samples,) -> scores, embeddings, log-mel; the end is padded with zeros
        module.head = tf.Variable(matrix(1024, 4, seed=1))
        (place / "classes.csv").write_text('index,mid,display_name\n0,/m/a,A\n1,/m/b,"B, b"\n2,/m/c,C\n3,/m/d,D\n')
        table = module.table = tf.saved_model.Asset(str(place / "classes.csv"))

        @function(None)
        def frames_of(wave):
            beyond = tf.maximum(tf.size(wave) - WINDOW, 0)
            length = WINDOW + -(-beyond // YAMNET_HOP) * YAMNET_HOP
            wave = tf.pad(wave, [[0, length - tf.size(wave)]])
            embeddings = tf.nn.relu(patches(tf, wave, YAMNET_HOP) @ weights)
            return tf.sigmoid(embeddings @ module.head), embeddings, tf.signal.frame(wave, 64, 160)

        module.__call__ = frames_of
        module.class_map_path = tf.function(lambda: table.asset_path, input_signature=[])
    elif kind == "pictures":  # (n, 12, 12, 3) -> (n, 5), traced for two values of `training`, which has no default

        @tf.function
        def picture(images, training):
            rows = tf.reshape(images, (-1, 432)) @ weights
            return rows + 1 if training else rows

        for training in (True, False):
            picture.get_concrete_function(tf.TensorSpec((None, 12, 12, 3)), training)
        module.__call__ = picture
    elif kind == "maps":  # images of any size -> a feature map; two signatures and no call
        rows = function(None, None, None, 3)(lambda images: {"features": images @ weights})
        other = function(None, None, None, 3)(lambda images: {"features": -images @ weights})
        module.rows, module.other = rows, other
        return module, {"serving_default": rows, "negative": other}
    elif kind == "texts":
        module.__call__ = function(None, dtype=tf.string)(lambda texts: tf.strings.length(texts))
    return module, None


SHAPES = {
    "waves": (800, 6),
    "frames": (100, 6),
    "vggish": (64, 128),
    "yamnet": (64, 1024),
    "pictures": (432, 5),
    "maps": (3, 4),
    "texts": (1,),
}


def patches(tf, wave, hop):
    """Return 64 numbers of each window, the logarithms of the power in its parts."""
    power = tf.square(tf.signal.frame(wave, WINDOW, hop)[:, : 64 * 243])
    return tf.math.log(tf.reduce_sum(tf.reshape(power, (-1, 64, 243)), axis=2) + 0.01)


def write_archive(folder, file):
    """Write a .tar.gz of a SavedModel as TF-Hub sends it: names begin with `./`."""
    with tarfile.open(file, "w:gz") as tar:
        tar.add(folder, "./")
    return file


@pytest.fixture(scope="session")
def archive_of():
    return write_archive
