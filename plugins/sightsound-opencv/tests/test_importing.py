"""Importing files of Caffe and Darknet: by command, by the interface, and what is wrong with files in one line."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

pytest.importorskip("cv2", reason="runs networks")
pytest.importorskip("torch", reason="computes what OpenCV must compute")

from PIL import Image

import opencv_reference as reference
import opencv_small as small
import sightsound_opencv
from caffe_files import LAYER, field, varint
from sightsound import Host, ModelSettings, SightsoundError, classify_image, import_model
from sightsound.cli import main
from sightsound.testing import check_model
from sightsound_opencv.caffe import Caffe
from sightsound_opencv.darknet import Darknet
from sightsound_opencv.network import Network

LABELS = ("one", "two", "three", "four", "five")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """An empty folder of models."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def new_host() -> Host:
    host = Host(installed=False)
    host.register(sightsound_opencv, "opencv")
    host.reload_models()
    return host


@pytest.fixture
def host() -> Host:
    return new_host()


def image(size: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size + 7, 3), dtype=np.uint8)


def test_a_network_of_caffe_gives_its_rows_and_scores(tmp_path, host):
    settings = ModelSettings(name="mine", channels="bgr", scale=1.0, mean=(104, 117, 123), labels=LABELS)
    card = import_model(small.write_caffe(tmp_path / "files"), settings, host=host)
    assert (card.dim, card.input_shape, len(card.weights)) == (24, (3, 23, 23), 2)
    model = new_host().load("mine")
    inputs = model.embedder.preprocess(image(), 0, True).inputs
    expected = reference.caffe(small.PROTOTXT, small.caffe_tensors(), inputs)
    _, rows, scores = model.rows(image())
    assert 1 - reference.cosine(rows, expected["pool2"].mean((2, 3))) < 1e-5
    np.testing.assert_allclose(scores, expected["prob"], atol=1e-5)
    assert classify_image(image(), "mine", host=host).top[0].label == LABELS[int(expected["prob"].argmax())]


def test_a_network_of_darknet_gives_its_rows_and_scores(tmp_path, host):
    settings = ModelSettings(name="mine", labels=LABELS)
    card = import_model(small.write_darknet(tmp_path / "files"), settings, host=host)
    assert (card.dim, card.input_shape) == (16, (3, 22, 22))
    model = host.load("mine")
    inputs = model.embedder.preprocess(image(), 0, True).inputs
    expected = reference.darknet(small.CFG, small.darknet_tensors(), inputs)
    _, rows, scores = model.rows(image())
    assert 1 - reference.cosine(rows, expected[7].mean((2, 3))) < 1e-5
    np.testing.assert_allclose(scores, expected[-1][..., 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("embedding", "blob", "dim"), [("conv1", "conv1", 8), ("bn1", "layer:bn1", 8), ("fc", "fc", 5)]
)
def test_any_layer_may_be_the_embedding(tmp_path, host, embedding, blob, dim):
    """The name of an output means the output as the last layer leaves it that writes it; other names mean layers."""
    import_model(small.write_caffe(tmp_path / "files"), ModelSettings(name="mine", embedding=embedding), host=host)
    model = host.load("mine")
    inputs = model.embedder.preprocess(image(), 0, True).inputs
    values = reference.caffe(small.PROTOTXT, small.caffe_tensors(), inputs)[blob]
    assert model.card.dim == dim
    assert 1 - reference.cosine(model.rows(image())[1], values.reshape(1, dim, -1).mean(2)) < 1e-5


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_logits_become_probabilities(tmp_path, host, kind):
    settings = ModelSettings(name="mine", labels=LABELS, output="fc", logits=True, scores=kind)
    import_model(small.write_caffe(tmp_path / "files"), settings, host=host)
    model = host.load("mine")
    logits = reference.caffe(small.PROTOTXT, small.caffe_tensors(), model.embedder.preprocess(image(), 0, True).inputs)[
        "fc"
    ]
    powers = np.exp(logits)
    expected = powers / powers.sum() if kind == "softmax" else powers / (1 + powers)
    np.testing.assert_allclose(model.rows(image())[2], expected, atol=1e-5)


def test_another_size_than_that_of_the_file(tmp_path, host):
    files = small.write_darknet(tmp_path / "files")
    card = import_model(files, ModelSettings(name="mine", size=(32, 48)), host=host)
    assert card.input_shape == (3, 32, 48)
    assert host.load("mine").rows(image())[1].shape == (1, 16)


def test_the_command_line(tmp_path, capsys):
    weights, layers = small.write_caffe(tmp_path / "files")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    Image.fromarray(image()).save(tmp_path / "a.png")

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        assert left.value.code == 0
        return capsys.readouterr().out

    chosen = ("--channels", "bgr", "--scale", "1", "--mean", "104,117,123", "--labels", tmp_path / "labels.txt")
    said = run("import-model", weights, layers, "--name", "mine", *chosen)
    assert said.startswith("mine: image, input 3x23x23, 24 numbers a vector, 5 classes")
    assert any(label in run("tag", tmp_path / "a.png", "--model", "mine") for label in LABELS)
    run("index", tmp_path, "--library", tmp_path / "zoo", "--model", "mine")
    assert "a.png" in run("search", tmp_path / "a.png", "--library", tmp_path / "zoo", "--copies")


@pytest.mark.parametrize("write", [small.write_caffe, small.write_darknet])
def test_it_keeps_to_the_contract(tmp_path, host, write):
    import_model(write(tmp_path / "files"), ModelSettings(name="mine", labels=LABELS), host=host)
    assert [(each.check, each.reason) for each in check_model("mine", host=host) if not each.passed] == []


def refused(files, message: str, host: Host, models, capfd, **settings) -> None:
    """Check that files are refused in one line, which OpenCV adds nothing to, and that nothing is left of them."""
    with pytest.raises(SightsoundError, match=message) as found:
        import_model(files, ModelSettings(name="mine", **settings), host=host)
    assert "\n" not in str(found.value)
    assert not models.exists() or list(models.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def damaged(files, message: str, capfd) -> None:
    """Check that the files of a network are refused in one line, which OpenCV adds nothing to."""

    def read() -> None:
        network = Network(files)
        network.open(network.shape)

    with pytest.raises(SightsoundError, match=message) as found:
        read()
    assert "\n" not in str(found.value)
    assert capfd.readouterr() == ("", "")


def changed(name: str, *tensors: np.ndarray | None) -> dict[str, list[np.ndarray]]:
    """The tensors of the small network of Caffe, others in one of its layers."""
    found = small.caffe_tensors()
    found[name] = [np.asarray(each, np.float32) for each in tensors]
    return {layer: each for layer, each in found.items() if each}


ZEROS = np.zeros


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (changed("conv2"), r"layer conv2: expected 2 tensors, got 0"),
        (changed("conv3"), r"layer conv3: expected 1 tensors, got 0"),
        (changed("bn1"), r"small.caffemodel: expected the weights of small.prototxt \(.*\); give two complete files"),
        (changed("scale1"), r"expected the weights of small.prototxt"),
        (changed("fc"), r"layer fc: expected 2 tensors, got 0"),
        (changed("conv2", ZEROS((12, 2, 3, 3)), ZEROS(12)), r"layer conv2: expected weights \(12, 4\), got \(12, 2\)"),
        (changed("conv2", ZEROS((12, 4, 3, 3))), r"layer conv2: expected 2 tensors, got 1"),
        (changed("conv2", ZEROS((10, 4, 3, 3)), ZEROS(10)), r"expected the weights of"),
        (changed("conv2", ZEROS((12, 5, 3, 3)), ZEROS(12)), r"expected the weights of"),
        (changed("conv2", ZEROS((12, 4, 1, 1)), ZEROS(12)), r"expected the weights of"),
        (changed("conv2", ZEROS((12, 4, 3, 3)), ZEROS(3)), r"expected the weights of"),
        (changed("bn1", ZEROS(8)), r"expected the weights of"),
        (changed("bn1", ZEROS(3), ZEROS(3), ZEROS(1)), r"layer bn1: expected 8 channels, got \[3, 3\]"),
        (changed("scale1", ZEROS(3), ZEROS(3)), r"layer scale1: expected 8 channels, got \[3, 3\]"),
        (changed("fc", ZEROS((5, 90)), ZEROS(5)), r"layer fc: expected weights \(5, 96\), got \(5, 90\)"),
    ],
    ids=range(15),
)
def test_weights_of_another_network_of_caffe_are_refused(tmp_path, capfd, tensors, message):
    types = {name: kind for name, kind in small.TYPES.items() if name in tensors}
    damaged(small.write_caffe(tmp_path / "files", tensors, types=types), message, capfd)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_caffemodel_is_refused(tmp_path, host, models, capfd, part):
    weights, layers = small.write_caffe(tmp_path / "files")
    weights.write_bytes(weights.read_bytes()[: int(part * weights.stat().st_size)])
    refused([weights, layers], r"^small.caffemodel: expected the weights of small.prototxt", host, models, capfd)


def test_a_tensor_that_says_that_it_is_huge_is_refused(tmp_path, capfd):
    weights, layers = small.write_caffe(tmp_path / "files")
    shape = field(7, field(1, b"".join(map(varint, (10**5, 10**5, 30, 30)))))
    layer = field(1, b"conv1") + field(2, b"Convolution") + field(7, shape + field(5, bytes(40)))
    weights.write_bytes(field(LAYER, layer) + weights.read_bytes())
    damaged([weights, layers], r"^small.caffemodel: expected the weights of small.prototxt", capfd)


@pytest.mark.parametrize("data", [b"hello world" * 9, bytes(1000), b"\xff" * 1000], ids=["text", "zeros", "ones"])
def test_a_file_that_is_no_caffemodel_is_refused(tmp_path, capfd, data):
    weights, layers = small.write_caffe(tmp_path / "files")
    weights.write_bytes(data)
    damaged([weights, layers], r"^small.caffemodel: expected the weights of small.prototxt", capfd)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^small.prototxt: cannot be read as layers of Caffe \(expected layers of Caffe, got none\)"),
        ("hello", r"cannot be read as layers of Caffe \(line 1: expected more, got the end of the file\)"),
        (small.PROTOTXT[:-3], r"expected more, got the end of the file\); is it complete\?"),
        (small.PROTOTXT[:700], r"small.prototxt: cannot be read as layers of Caffe \(line "),
        ("layer { name: }", r"line 1: expected a field and its value, got '}'"),
        ("\0\1\2", r"line 1: expected a field"),
        (small.PROTOTXT.replace('"ReLU"', '"Python"'), r"expected the weights of .*Can't create layer"),
        (small.PROTOTXT.replace('bottom: "pool2"', 'bottom: "pool9"'), r"expected the weights of .*pool9"),
        (small.PROTOTXT.replace("num_output: 12 k", "num_output: 999999999 k"), r"expected the weights of"),
        (small.PROTOTXT.replace("pad: 1", "pad: 100000"), r"expected"),
        (small.PROTOTXT.replace("pad: 1", "pad: 3000"), r"layer conv1: expected at most 268435456 numbers"),
        (small.PROTOTXT.replace("dim: 23", "dim: 230000"), r"expected an input of at most 268435456 numbers"),
        (small.PROTOTXT.replace("dim: 23 dim: 23", "dim: 23"), r"expected an input of 4 sides"),
        (small.PROTOTXT.replace("stride: 2", "stride: 0"), r"expected the weights of"),
    ],
)
def test_layers_of_caffe_that_are_damaged_are_refused(tmp_path, capfd, text, message):
    damaged(small.write_caffe(tmp_path / "files", text=text), message, capfd)


@pytest.mark.parametrize(("kind", "text"), [(Caffe, small.PROTOTXT), (Darknet, small.CFG)])
def test_every_truncation_of_the_layers_is_read_or_refused_in_one_line(kind, text):
    for end in range(0, len(text), 3):
        with contextlib.suppress(ValueError):
            kind(text[:end])
    with pytest.raises(ValueError, match=r"^expected [^\n]*$"):
        kind("")


@pytest.mark.parametrize("change", [-40, -4, -1, 1, 4])
def test_a_weights_file_of_another_length_is_refused(tmp_path, host, models, capfd, change):
    """OpenCV takes it: what is missing is what happened to be in memory."""
    weights, layers = small.write_darknet(tmp_path / "files")
    data = weights.read_bytes()
    weights.write_bytes(data[:change] if change < 0 else data + bytes(change))
    message = rf"^small.weights: .*expected {len(data)} bytes for .* numbers of the layers, got {len(data) + change}"
    refused([weights, layers], message, host, models, capfd)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "expected a header of Darknet, got 0 bytes"), (b"hello" * 999, "weights that are not transposed")],
)
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, capfd, data, message):
    weights, layers = small.write_darknet(tmp_path / "files")
    weights.write_bytes(data)
    damaged([weights, layers], message, capfd)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^small.cfg: cannot be read as layers of Darknet \(expected sections of Darknet, got none\)"),
        ("hello", r"line 1: expected \[layer\] or setting=value, got 'hello'"),
        ("[convolutional]\nsize=3", r"expected a section \[net\] first, got \[convolutional\]"),
        ("[net]\nwidth=3\nheight=3", r"expected width and height over 0, and layers"),
        (small.CFG.replace("width=22", "width=x"), r"width: expected a whole number, got 'x'"),
        (small.CFG.replace("width=22", "width=-22"), r"expected width and height over 0"),
        (small.CFG.replace("[avgpool]", "[gru]"), r"layer 9: expected a kind that OpenCV has, got \[gru\]"),
        (small.CFG.replace("layers=-1,-3", "layers=-9"), r"layer 6 \[route\]: expected earlier layers, got -9"),
        (small.CFG.replace("filters=12", "filters=-1"), r"filters -1, size 3, groups 1: expected to fit 8 channels"),
        (small.CFG.replace("filters=12", "filters=9999999"), r"expected \d+ bytes for \d+ numbers of the layers"),
        (small.CFG.replace("=22", "=999999"), r"expected an input of at most 268435456 numbers"),
        (small.CFG.replace("from=-2", "from=-9"), r"expected the weights of|expected earlier layers"),
        (small.CFG.replace("from=-2", "from=-3"), r"expected"),
        (small.CFG.replace("activation=relu", "activation=foo"), r"expected the weights of"),
    ],
)
def test_layers_of_darknet_that_are_damaged_are_refused(tmp_path, capfd, text, message):
    damaged(small.write_darknet(tmp_path / "files", text=text), message, capfd)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "conv4"}, r"mine: embedding: expected a layer such as conv\d.*, got 'conv4'; give --embedding"),
        ({"labels": ("a", "b")}, r"mine: labels: expected 5, one for each score, got 2"),
        ({"labels": LABELS, "output": "pool9"}, r"mine: output: expected a layer such as pool"),
        ({"labels": LABELS, "output": "fc"}, r"mine: scores: expected probabilities .*; give --logits"),
        ({"channels": "gray"}, r"mine: channels: expected rgb or bgr, got gray; give --channels"),
        ({"layout": "nhwc"}, r"mine: expected images in the layout nchw, got the layout nhwc"),
        ({"rate": 16000}, r"mine: expected images in the layout nchw, got sound"),
        ({"size": (5, 5)}, r"expected the weights of small.prototxt|expected"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, host, models, capfd, settings, message):
    refused(small.write_caffe(tmp_path / "files"), message, host, models, capfd, **settings)


def test_a_file_on_which_opencv_crashes_is_refused(tmp_path, host, models, capfd, monkeypatch):
    (tmp_path / "cv2.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)  # for the process that tries it; here OpenCV has been imported
    message = r"^small.caffemodel and small.prototxt: expected a network, but OpenCV crashes on it \(code -?\d+\)"
    refused(small.write_caffe(tmp_path / "files"), message, host, models, capfd)


def test_one_file_is_not_enough(tmp_path, host, models, capfd):
    weights = small.write_caffe(tmp_path / "files")[0]
    message = r"Caffe: expected two files, .caffemodel and .prototxt, got small.caffemodel"
    refused([weights], message, host, models, capfd)
    message = r"Darknet: expected two files, .weights and .cfg, got small.weights"
    refused([small.write_darknet(tmp_path / "files")[0]], message, host, models, capfd)


def test_layers_without_a_size_need_one(tmp_path, host, models, capfd):
    lines = [line for line in small.PROTOTXT.splitlines() if '"Input"' not in line]
    text = "\n".join(['input: "data"', *lines])
    files = small.write_caffe(tmp_path / "files", text=text)
    refused(files, r"mine: size: expected pixels, which the file does not say; give --size", host, models, capfd)
    assert import_model(files, ModelSettings(name="mine", size=(23, 23)), host=host).input_shape == (3, 23, 23)
