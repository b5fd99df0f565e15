"""OpenVINO's files become models, and networks of torch are written as such files."""

from __future__ import annotations

import numpy as np
import pytest

openvino = pytest.importorskip("openvino", reason="needs OpenVINO (pip install openvino)")

from openvino import opset13 as ops  # noqa: E402

import sightsound_openvino  # noqa: E402
from sightsound import Host, MissingWeights, ModelSettings, SightsoundError, export_model, import_model  # noqa: E402
from sightsound.testing import check_model  # noqa: E402

CLASSES = ("a", "b", "c")


@pytest.fixture
def host(tmp_path, monkeypatch) -> Host:
    """A host with this plugin alone, and an empty folder of models."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    host = Host(installed=False)
    host.register(sightsound_openvino, "openvino")
    return host


def write_network(file, *, batch=-1, seed=0):
    """Write a classifier of images of 32 x 32 pixels, and return its two files."""
    random = np.random.default_rng(seed)
    given = ops.parameter([batch, 3, 32, 32], np.float32, "input")
    kernel = ops.constant(random.normal(size=(8, 3, 3, 3)).astype(np.float32) / 5)
    maps = ops.relu(ops.convolution(given, kernel, [2, 2], [1, 1], [1, 1], [1, 1]), name="maps")
    pooled = ops.reduce_mean(maps, ops.constant(np.array([2, 3])), False, name="pooled")
    head = ops.constant(random.normal(size=(8, 3)).astype(np.float32))
    scores = ops.softmax(ops.matmul(pooled, head, False, False), 1, name="scores")
    for step in (given, maps, pooled, scores):
        step.output(0).get_tensor().set_names({step.get_friendly_name()})
    openvino.save_model(openvino.Model([scores], [given], "network"), str(file), compress_to_fp16=False)
    return file, file.with_suffix(".bin")


def image(seed=1):
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def by_openvino(files, pixels):
    inputs = (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(*map(str, files)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([inputs])[0]


def settings(**more):
    return ModelSettings(name="net", **more)


@pytest.mark.parametrize("batch", [-1, 1, 3])
def test_a_classifier(tmp_path, host, batch):
    files = write_network(tmp_path / "net.xml", batch=1)
    expected = by_openvino(files, image())
    files = write_network(tmp_path / "net.xml", batch=batch)
    card = import_model(files, settings(labels=CLASSES), host=host)
    assert (card.dim, card.constants["embedding"], card.params) == (8, "pooled", 8 * 27 + 24)
    assert card.constants["batch"] == (None if batch == -1 else batch)
    _, rows, scores = host.load("net").rows(image())
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    import_model(files, settings(embedding="maps"), replace=True, host=host)
    np.testing.assert_allclose(host.load("net").rows(image())[1], rows, rtol=1e-4, atol=1e-6)


def test_an_imported_network_conforms(tmp_path, host):
    import_model(write_network(tmp_path / "net.xml"), settings(labels=CLASSES), host=host)
    assert [(each.check, each.reason) for each in check_model("net", host=host) if each.status == "failed"] == []


def test_both_files_are_needed(tmp_path, host):
    graph, numbers = write_network(tmp_path / "net.xml")
    with pytest.raises(
        SightsoundError, match=r"net.xml: expected its numbers too; name both files: .*net.xml .*net.bin"
    ):
        import_model(graph, settings(), host=host)
    with pytest.raises(SightsoundError, match=r"net.bin: expected a file of one of these formats: .*openvino \(.xml\)"):
        import_model(numbers, settings(), host=host)


@pytest.mark.parametrize("cut", ["xml", "bin", "text", "empty"])
def test_damaged_files(tmp_path, host, cut):
    graph, numbers = write_network(tmp_path / "net.xml")
    if cut == "xml":
        graph.write_bytes(graph.read_bytes()[:1500])
    elif cut == "bin":
        numbers.write_bytes(numbers.read_bytes()[:100])
    else:
        graph.write_text("<?xml version='1.0'?><a/>" if cut == "text" else "")
    with pytest.raises(SightsoundError) as caught:
        import_model([graph, numbers], settings(), host=host)
    assert "expected a network of OpenVINO with net.bin" in str(caught.value) and "\n" not in str(caught.value)


def test_a_network_with_a_state(tmp_path, host):
    given = ops.parameter([1, 3, 32, 32], np.float32, "input")
    before = ops.read_value(ops.constant(np.zeros((1, 3, 32, 32), np.float32)), "kept")
    total = ops.add(given, before)
    kept = ops.assign(total, "kept")
    model = openvino.Model(results=[ops.result(total)], sinks=[kept], parameters=[given])
    openvino.save_model(model, str(tmp_path / "net.xml"))
    with pytest.raises(SightsoundError, match="got a network with a state"):
        import_model([tmp_path / "net.xml", tmp_path / "net.bin"], settings(), host=host)


@pytest.mark.slow
def test_mobilenet_with_its_real_weights(tmp_path, host):
    timm = pytest.importorskip("sightsound_timm", reason="needs sightsound-timm, which has the network")
    host.register(timm, "timm")
    try:
        model = host.load("mobilenet_v2.tv_in1k", "cpu")
    except MissingWeights as error:
        pytest.skip(f"needs weights: {error}")
    files = export_model("mobilenet_v2.tv_in1k", tmp_path / "out.xml", host=host)
    assert [file.name for file in files] == ["out.xml", "out.bin"]
    card = import_model(files, settings(), host=host)
    assert (card.label_ids, card.constants["mean"]) == (model.card.label_ids, model.card.constants["mean"])
    for seed in range(2):
        (_, expected, scores), (_, rows, new_scores) = model.rows(image(seed)), host.load("net").rows(image(seed))
        assert (rows[0] @ expected[0]) / np.linalg.norm(rows) / np.linalg.norm(expected) >= 0.99999
        np.testing.assert_allclose(new_scores, scores, atol=1e-5)
