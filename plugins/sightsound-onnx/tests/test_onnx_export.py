"""Networks of torch written as ONNX: imported again they give the same rows and scores, with a probe as head too."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch, whose networks are exported")

from sightsound import (  # noqa: E402
    Card,
    ClassList,
    FeatureSpec,
    LinearProbe,
    MissingWeights,
    ModelSettings,
    SightsoundError,
    export_model,
    import_model,
)
from sightsound.plugin import Inputs, frames, hookimpl  # noqa: E402
from sightsound.torch import TorchEmbedder  # noqa: E402

CROP = {"resize": 40, "crop": 32, "crop_mode": "center", "interpolation": "bicubic", "antialias": True}
IMAGE = Card(
    name="seeded.image",
    modality="image",
    dim=12,
    input_shape=(3, 32, 32),
    classes=ClassList("four", ("a", "b", "c", "d")),
    scores="softmax",
    constants={**CROP, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3]},
)
SOUND = Card(
    name="seeded.sound",
    modality="sound",
    dim=12,
    input_shape=(400,),
    sample_rate=1000,
    window=400,
    hop=200,
    tail="drop",
)
OWN = Card(name="own.sound", modality="sound", dim=12, input_shape=(20, 20), sample_rate=1000, window=400, hop=200)


class Small(torch.nn.Module):
    def __init__(self, sound):
        super().__init__()
        torch.manual_seed(0)
        self.sound = sound
        self.body = torch.nn.Conv1d(1, 12, 16, stride=8) if sound else torch.nn.Conv2d(3, 12, 3, stride=2)
        self.norm = torch.nn.BatchNorm1d(12) if sound else torch.nn.BatchNorm2d(12)
        self.head = torch.nn.Linear(12, 4)

    def forward(self, inputs):
        x = inputs.reshape(len(inputs), 1, 400) if self.sound else inputs
        rows = torch.relu(self.norm(self.body(x))).flatten(2).mean(2)
        return rows, self.head(rows).softmax(1)


class Embedder(TorchEmbedder):
    def __init__(self, card):
        super().__init__(card, "cpu", cpu_batch_size=4)
        self._inputs = Inputs(card) if card is not OWN else None

    def build(self):
        return Small(self.card.modality == "sound")

    def preprocess(self, media, start, last):
        if self._inputs is not None:
            return self._inputs(media, start, last)
        from sightsound.plugin import Windows

        samples, spans, padded = frames(self.card, media, start, last)
        return Windows(samples.reshape(-1, 20, 20), spans, padded)

    def postprocess(self, output):
        return output.embeddings


class Plugin:
    @hookimpl
    def register_embedders(self, register):
        for card in (IMAGE, SOUND, OWN):
            register(card, lambda device, weights, card=card: Embedder(card))


@pytest.fixture
def seeded(host):
    host.register(Plugin(), "seeded")
    return host


def media(card, seed=3):
    random = np.random.default_rng(seed)
    if card.modality == "image":
        return random.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    return random.normal(size=1100).astype(np.float32)


def probe(host, card, scaling):
    random = np.random.default_rng(0)
    rows = np.concatenate([host.load(card.name).rows(media(card, seed))[1] for seed in range(40)])
    rows = rows + 0.1 * random.normal(size=rows.shape).astype(np.float32)
    fitted = LinearProbe(C=10.0, scaling=scaling).fit(rows, np.where(rows[:, 0] > np.median(rows[:, 0]), "yes", "no"))
    fitted.feature_spec_ = FeatureSpec(host.space(card.name), pool="mean+max" if scaling == "none" else "mean")
    if scaling == "none":
        doubled = LinearProbe(C=10.0, scaling=scaling).fit(np.tile(rows, 2), fitted.predict(rows))
        doubled.feature_spec_ = fitted.feature_spec_
        return doubled, lambda rows: doubled.predict_proba(np.tile(rows, 2))
    return fitted, fitted.predict_proba


@pytest.mark.parametrize("card", [IMAGE, SOUND], ids=["image", "sound"])
def test_what_is_exported_is_imported_as_the_same(tmp_path, seeded, card):
    export_model(card.name, tmp_path / "net.onnx", host=seeded)
    imported = import_model(tmp_path / "net.onnx", ModelSettings(name="net"), host=seeded)
    assert (imported.labels, imported.scores, imported.tail) == (card.labels, card.scores, card.tail)
    assert (imported.sample_rate, imported.window, imported.hop) == (card.sample_rate, card.window, card.hop)
    spans, expected, scores = seeded.load(card.name).rows(media(card))
    again, rows, new_scores = seeded.load("net").rows(media(card))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-6)
    if card.scores:
        np.testing.assert_allclose(new_scores, scores, atol=1e-5)
    assert np.array_equal(spans, again) if card.modality == "sound" else again is None


@pytest.mark.parametrize("scaling", ["none", "unit", "centred", "standard"])
@pytest.mark.parametrize("card", [IMAGE, SOUND], ids=["image", "sound"])
def test_a_probe_is_the_head(tmp_path, seeded, card, scaling):
    fitted, predict = probe(seeded, card, scaling)
    export_model(card.name, tmp_path / "net.onnx", probe=fitted, host=seeded)
    imported = import_model(tmp_path / "net.onnx", ModelSettings(name="net"), host=seeded)
    assert (imported.labels, imported.scores) == (("no", "yes"), "softmax")
    _, rows, scores = seeded.load("net").rows(media(card))
    np.testing.assert_allclose(rows, seeded.load(card.name).rows(media(card))[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores, predict(rows), atol=1e-5)


def test_a_head_that_the_network_got_is_written_too(tmp_path, seeded):
    from sightsound.plugin import ExportedNetwork
    from sightsound.torch import onnx_program

    random = np.random.default_rng(0)
    head = random.normal(size=(2, 12)).astype(np.float32), random.normal(size=2).astype(np.float32)
    card = dataclasses.replace(IMAGE, classes=ClassList("two", ("x", "y")), scores="sigmoid")
    derived = Embedder(IMAGE).derive(card, None, head)
    program = onnx_program(ExportedNetwork(embedder=derived, settings=None))
    inputs = random.normal(size=(3, 3, 32, 32)).astype(np.float32)
    found = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"]).run(None, {"input": inputs})
    np.testing.assert_allclose(found[1], derived.embed(inputs).scores, atol=1e-5)


def test_other_programs_find_what_the_input_is(tmp_path, seeded):
    export_model("seeded.image", tmp_path / "net.onnx", host=seeded)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    stated = json.loads(session.get_modelmeta().custom_metadata_map["sightsound"])
    assert (stated["size"], stated["mean"], stated["labels"]) == ([32, 32], [0.5, 0.4, 0.3], ["a", "b", "c", "d"])
    assert [each.name for each in session.get_outputs()] == ["embedding", "scores"]
    assert onnx.load(tmp_path / "net.onnx").producer_name == "sightsound"


def test_what_cannot_be_exported_is_refused(tmp_path, seeded, image_network):
    with pytest.raises(SightsoundError, match=r"^own.sound: expected an image that is resized and cropped, or sam"):
        export_model("own.sound", tmp_path / "net.onnx", host=seeded)
    import_model(image_network(tmp_path / "made.onnx"), ModelSettings(name="made"), host=seeded)
    with pytest.raises(SightsoundError, match=r"^made: expected a network of torch .a plugin with module"):
        export_model("made", tmp_path / "net.onnx", host=seeded)
    fitted, _ = probe(seeded, IMAGE, "unit")
    with pytest.raises(SightsoundError, match=r"^probe: another space"):
        export_model("seeded.sound", tmp_path / "net.onnx", probe=fitted, host=seeded)
    assert not (tmp_path / "net.onnx").exists()


def test_the_same_network_is_written_twice_as_the_same_file(tmp_path, seeded):
    for name in ("one.onnx", "two.onnx"):
        export_model("seeded.image", tmp_path / name, host=seeded)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_mobilenet_with_its_real_weights(tmp_path, host):
    timm = pytest.importorskip("sightsound_timm", reason="needs sightsound-timm, which has the network")
    host.register(timm, "timm")
    try:
        expected, scores = host.load("mobilenet_v2.tv_in1k", "cpu").rows(media(IMAGE))[1:]
    except MissingWeights as error:
        pytest.skip(f"needs weights: {error}")
    export_model("mobilenet_v2.tv_in1k", tmp_path / "net.onnx", host=host)
    card = import_model(tmp_path / "net.onnx", ModelSettings(name="net"), host=host)
    assert card.label_ids == host.cards["mobilenet_v2.tv_in1k"].label_ids
    for seed in range(3):
        _, expected, scores = host.load("mobilenet_v2.tv_in1k", "cpu").rows(media(IMAGE, seed))
        _, rows, new_scores = host.load("net").rows(media(IMAGE, seed))
        cosine = (rows[0] @ expected[0]) / np.linalg.norm(rows) / np.linalg.norm(expected)
        assert cosine >= 0.99999
        np.testing.assert_allclose(new_scores, scores, atol=1e-5)


def test_from_the_command_line(tmp_path, command, models):
    done = command("export-model", "mobilenet_v2.tv_in1k", "--to", "onx", "-o", tmp_path / "a.onnx", plugins=())
    assert done.returncode == 2
    assert "format 'onx': expected one of those in use" in done.stderr and "did you mean 'onnx'?" in done.stderr
    done = command("export-model", "mobilenet_v2.tv_in1k", "-o", tmp_path / "a.onnx", plugins=())
    if "none of" in done.stderr or "expected SHA-256" in done.stderr:
        pytest.skip(f"needs weights: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert f"mobilenet_v2.tv_in1k is in {tmp_path / 'a.onnx'}" in done.stdout
    assert command("import-model", tmp_path / "a.onnx", "--name", "mine", plugins=()).returncode == 0
    assert "mine" in command("models", plugins=()).stdout


@pytest.mark.slow
def test_a_probe_of_a_library_from_the_command_line(tmp_path, command, models):
    """A library, a probe, the network with the probe as its head, and the same classes of the same probabilities."""
    from PIL import Image

    random = np.random.default_rng(0)
    for name, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(colour, 40, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    network, library, probe = "mobilenet_v2.tv_in1k", tmp_path / "zoo", tmp_path / "colours.probe"

    def run(*words):
        done = command(*words, plugins=())
        if "found none" in done.stderr:
            pytest.skip(f"needs weights: {done.stderr}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("index", tmp_path / "pictures", "--library", library, "--model", network, "--label-from", "folder")
    run("probe", "fit", "--library", library, "--model", network, "--out", probe, "--no-curve", "--folds", "3")
    run("export-model", network, "-o", tmp_path / "net.onnx", "--probe", probe)
    assert "2 classes" in run("import-model", tmp_path / "net.onnx", "--name", "colours")
    image = tmp_path / "pictures" / "red" / "0.png"
    (by_probe,) = json.loads(run("probe", "predict", probe, image, "--json"))
    (tagged,) = json.loads(run("tag", image, "--model", "colours", "--json"))
    expected = {each["label"]: each["score"] for each in by_probe["classes"]}
    found = {each["label"]: each["score"] for each in tagged["top"]}
    assert found == pytest.approx(expected, abs=1e-3)
