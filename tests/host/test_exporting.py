"""Exporting a network: the file is imported again and compared, and what is wrong is said in one line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import Host, ModelSettings, SightsoundError, export_model, import_model
from sightsound.plugin import Card, ClassList, Inputs, LinearHead, Output, file_of, hookimpl, settings_json

SIZE = 8
CONSTANTS = {"resize": 10, "crop": SIZE, "crop_mode": "center", "interpolation": "bilinear", "antialias": True}
CONSTANTS |= {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
CARD = Card(
    name="linear.tiny",
    modality="image",
    dim=5,
    input_shape=(3, SIZE, SIZE),
    classes=ClassList("three", ("a", "b", "c"), ("1", "2", "3")),
    scores="softmax",
    constants=CONSTANTS,
    license="MIT",
)
RANDOM = np.random.default_rng(0)
NUMBERS = {"weight": RANDOM.normal(size=(3 * SIZE * SIZE, 5)), "head": RANDOM.normal(size=(5, 3)), "bias": np.zeros(3)}


class Linear:
    def __init__(self, card, numbers):
        self.card, self.numbers, self.preprocess = card, numbers, Inputs(card)

    def embed(self, inputs):
        rows = (inputs.reshape(len(inputs), -1) @ self.numbers["weight"]).astype(np.float32)
        head = LinearHead(
            weight=self.numbers["head"].T, bias=self.numbers["bias"], kind=self.card.scores or "softmax", labels=()
        )
        return Output(rows, head(rows) if self.card.classes else None)

    def postprocess(self, output):
        return output.embeddings


class Format:
    """Reads and writes `Linear` as .npz with its settings."""

    name, suffix, suffixes = "linear", ".npz", (".npz",)
    scale, score_scale = 1.0, 1.0

    def write(self, network, file):
        numbers = {**network.embedder.numbers}
        if network.head is not None:
            numbers |= {"head": network.head.weight.T, "bias": network.head.bias}
        numbers["weight"] = numbers["weight"] * self.scale + (self.scale - 1)
        numbers["head"] = numbers["head"] * self.score_scale
        np.savez(file, stated=settings_json(network.settings), **numbers)
        return [file]

    def read(self, files, settings):
        from sightsound.plugin import filled_settings

        with np.load(files[0]) as found:
            settings = filled_settings(settings, str(found["stated"]))
            return settings.card(dim=5, input_shape=(3, *settings.size), constants={})

    def load(self, card, device, weights):
        with np.load(file_of(weights, ".npz")) as found:
            return Linear(card, dict(found))


class Plugin:
    def __init__(self, format):
        self.format = format

    @hookimpl
    def register_embedders(self, register):
        register(CARD, lambda device, weights: Linear(CARD, NUMBERS))
        own = dataclasses.replace(CARD, name="own.tiny", constants={**CONSTANTS, "crop_mode": "corner"})
        register(own, lambda device, weights: Linear(own, NUMBERS))

    @hookimpl
    def register_importers(self, register):
        register(self.format)

    @hookimpl
    def register_exporters(self, register):
        register(self.format)


@pytest.fixture
def format():
    return Format()


@pytest.fixture
def host(tmp_path, monkeypatch, format):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    host = Host(installed=False)
    host.register(Plugin(format), "linear")
    return host


def image():
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_a_file_that_does_not_say_how_images_are_decoded_is_reported(host, tmp_path, caplog):
    export_model("linear.tiny", tmp_path / "a.npz", host=host)
    assert caplog.text == ""
    export_model("linear.tiny[decode=scaled]", tmp_path / "b.npz", host=host)
    assert "the file does not say how images are decoded; name the model as NAME[decode=scaled]" in caplog.text
    import_model(tmp_path / "b.npz", ModelSettings(name="b"), host=host)
    assert host.card("b[decode=scaled]").constants["decode"]["shortest"] == 20


def test_what_is_exported_can_be_imported_and_is_the_same(tmp_path, host):
    assert export_model("linear.tiny", tmp_path / "a.npz", host=host) == [tmp_path / "a.npz"]
    card = import_model(tmp_path / "a.npz", ModelSettings(name="mine"), host=host)
    assert (card.labels, card.label_ids, card.license) == (CARD.labels, CARD.label_ids, "MIT")
    _, rows, scores = host.load("mine").rows(image())
    _, expected, expected_scores = host.load("linear.tiny").rows(image())
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def test_a_head_replaces_the_classes(tmp_path, host):
    class Probe:
        def head_for(self, space):
            assert space == host.space("linear.tiny")
            weight, bias = RANDOM.normal(size=(2, 5)), RANDOM.normal(size=2)
            return LinearHead(weight=weight, bias=bias, kind="sigmoid", labels=("x", "y"))

    export_model("linear.tiny", tmp_path / "a.npz", to="linear", probe=Probe(), host=host)
    card = import_model(tmp_path / "a.npz", ModelSettings(name="mine"), host=host)
    assert (card.labels, card.label_ids, card.scores) == (("x", "y"), (), "sigmoid")


@pytest.mark.parametrize(
    ("out", "to", "message"),
    [
        (
            "a.xyz",
            "",
            r"a.xyz: expected a file .*: safetensors .*, linear \(.npz\); others come with plugins",
        ),
        (
            "a.npz",
            "liner",
            r"format 'liner': expected one of those .*, linear \(.npz\); did you mean .linear.",
        ),
        ("a.xyz", "linear", r"a.xyz: expected a name that ends with .npz"),
        ("no/a.npz", "", r"a.npz: cannot be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, host, out, to, message):
    with pytest.raises(SightsoundError, match=message):
        export_model("linear.tiny", tmp_path / out, to=to, host=host)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_model_is_not_replaced_by_its_export(tmp_path, host):
    export_model("linear.tiny", tmp_path / "a.npz", host=host)
    import_model(tmp_path / "a.npz", ModelSettings(name="mine"), host=host)
    (own,) = (host.weights.find(file).path for file in host.card("mine").weights)
    before = own.read_bytes()
    for out in (own, tmp_path / "link.npz"):
        if out != own:
            out.hardlink_to(own)
        with pytest.raises(SightsoundError, match="is also read, and would be overwritten"):
            export_model("mine", out, host=host)
    assert own.read_bytes() == before


def test_a_file_with_other_rows_or_scores_is_not_kept(tmp_path, host, format):
    format.scale = 1.5
    with pytest.raises(
        SightsoundError, match=r"^linear.tiny: expected the rows of the model from the file, got others"
    ):
        export_model("linear.tiny", tmp_path / "a.npz", host=host)
    format.scale, format.score_scale = 1.0, 0.5
    with pytest.raises(SightsoundError, match=r"^linear.tiny: expected the scores of the model from the file"):
        export_model("linear.tiny", tmp_path / "a.npz", host=host)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_changes_the_rows_is_not_in_the_file(tmp_path, host):
    class Unit:
        def stage_id(self, card):
            return "first column"

        @hookimpl(wrapper=True)
        def postprocess(self, embedder, output):
            rows = yield
            rows = rows.copy()
            rows[:, 0] += 100
            return rows

    host.register(Unit(), "unit")
    with pytest.raises(SightsoundError, match=r"got others \(cosine .*leave stage plugins out \(--block\)"):
        export_model("linear.tiny", tmp_path / "a.npz", host=host)


def test_an_error_of_the_exporter_names_the_format(tmp_path, host, format, monkeypatch):
    monkeypatch.setattr(Format, "write", lambda *arguments: 1 / 0)
    with pytest.raises(SightsoundError, match=r"linear.tiny: cannot be written in the format linear \(ZeroDivisionEr"):
        export_model("linear.tiny", tmp_path / "a.npz", host=host)


def test_preprocessing_of_its_own_has_no_settings(tmp_path, host, monkeypatch):
    found = []
    monkeypatch.setattr(Format, "write", lambda self, network, file: found.append(network.settings) or 1 / 0)
    for name in ("linear.tiny", "own.tiny"):
        with pytest.raises(SightsoundError):
            export_model(name, tmp_path / "a.npz", host=host)
    assert found[0].mean == (0.5, 0.4, 0.3) and found[1] is None


def test_what_is_no_exporter_is_refused():
    class Wrong:
        @hookimpl
        def register_exporters(self, register):
            register(Linear)

    with pytest.raises(SightsoundError, match=r"register: expected an exporter \(name, suffix, write\)"):
        Host(installed=False).register(Wrong(), "wrong")


def test_the_exporters_of_a_plugin_are_listed(host):
    (plugin,) = host.plugins
    assert (plugin.exporters, plugin.importers) == (("linear",), ("linear",))
