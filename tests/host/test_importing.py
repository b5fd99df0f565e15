"""Importing a network: the file is copied, the model has a name everywhere, and what is wrong is said in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightsound import Host, ModelSettings, SightsoundError, classify_image, import_model, index, remove_model, search
from sightsound.plugin import Inputs, Output, file_of, hookimpl

SIZE = 8


class Linear:
    """A network in an .npz file: `weights` (3 * 8 * 8, dim) and `biases` (dim,), and `head` (dim, classes) or none."""

    name = "linear"
    suffixes = (".npz",)

    def read(self, files, settings):
        with np.load(files[0]) as found:
            dim = found["weights"].shape[1]
            scores = found["head"].shape[1] if "head" in found else None
        shape = settings.image_shape("nchw", settings.size or (SIZE, SIZE))
        return settings.card(dim=dim, input_shape=shape, score_count=scores, constants={"loader": 1})

    def load(self, card, device, weights):
        return Network(card, np.load(file_of(weights, ".npz")))


class Network:
    def __init__(self, card, numbers):
        self.card, self._numbers, self.preprocess = card, numbers, Inputs(card)

    def embed(self, inputs):
        rows = inputs.reshape(len(inputs), -1) @ self._numbers["weights"] + self._numbers["biases"]
        if not self.card.classes:
            return Output(rows)
        logits = rows @ self._numbers["head"]
        if self.card.constants["logits"]:
            logits = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits /= logits.sum(axis=1, keepdims=True)
        return Output(rows, logits.astype(np.float32))

    def postprocess(self, output):
        return output.embeddings


class Plugin:
    @hookimpl
    def register_importers(self, register):
        register(Linear())


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty folder of models."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def host(models):
    return new_host()


def new_host():
    host = Host(installed=False)
    host.register(Plugin(), "linear")
    host.reload_models()
    return host


def write_network(file, *, seed=0, classes=0, **more):
    random = np.random.default_rng(seed)
    numbers = {"weights": random.normal(size=(3 * SIZE * SIZE, 5)), "biases": random.normal(size=5)}
    if classes:
        numbers["head"] = random.normal(size=(5, classes))
    np.savez(file, **{name: value.astype(np.float32) for name, value in numbers.items()}, **more)
    return file


def test_an_imported_network_is_a_model_like_any_other(tmp_path, host, zoo):
    card = import_model(
        write_network(tmp_path / "net.npz", classes=3),
        ModelSettings(name="mine", labels=("a", "b", "c"), logits=True, mean=(0.5,), about="my own"),
        host=host,
    )
    assert (card.name, card.dim, card.input_shape, card.labels) == ("mine", 5, (3, SIZE, SIZE), ("a", "b", "c"))
    (tmp_path / "net.npz").unlink()
    again = new_host()
    assert again.cards["mine"] == card
    assert again.card("mine").about == "my own"
    index(zoo / "cats", tmp_path / "lib", models=["mine"], host=again)
    hits = search(zoo / "cats" / "0.png", tmp_path / "lib", copies=True, host=again)
    assert hits[0].item.path == "0.png"
    classified = classify_image(zoo / "cats" / "0.png", "mine", host=again)
    assert sorted(each.label for each in classified.top) == ["a", "b", "c"]


def test_its_rows_are_those_of_the_network(tmp_path, host):
    file = write_network(tmp_path / "net.npz")
    import_model(file, ModelSettings(name="mine", mean=(0.5, 0.4, 0.3), std=(2.0,), squash=True), host=host)
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    numbers = np.load(file)
    inputs = (image.transpose(2, 0, 1) / 255 - np.array([0.5, 0.4, 0.3])[:, None, None]) / 2
    expected = inputs.reshape(-1) @ numbers["weights"] + numbers["biases"]
    assert np.allclose(host.load("mine").rows(image)[1][0], expected, atol=1e-5)


def test_it_can_be_replaced_and_removed_and_leaves_no_file(tmp_path, host, models):
    settings = ModelSettings(name="mine")
    first = import_model(write_network(tmp_path / "net.npz"), settings, host=host)
    space, names = host.space("mine"), {path.name for path in models.iterdir()}
    assert names == {"mine.json", first.weights[0].name}
    other = write_network(tmp_path / "other.npz", seed=1)
    with pytest.raises(SightsoundError, match=r"^mine: there is an imported model of this name; give --replace"):
        import_model(other, settings, host=host)
    second = import_model(other, settings, replace=True, host=host)
    assert {path.name for path in models.iterdir()} == {"mine.json", second.weights[0].name} != names
    assert host.space("mine") != space
    remove_model("mine", host=host)
    assert list(models.iterdir()) == []
    assert "mine" not in host.cards
    with pytest.raises(SightsoundError, match=r"^mine: expected a model that was imported \(none\)"):
        remove_model("mine", host=host)


def test_a_file_that_was_changed_afterwards_is_not_loaded(tmp_path, host, models):
    card = import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="mine"), host=host)
    write_network(models / card.weights[0].name, seed=1)
    with pytest.raises(SightsoundError, match=f"expected SHA-256 {card.weights[0].sha256}, found none"):
        new_host().load("mine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ("a",)}, r"mine: labels: expected 3, one for each score, got 1"),
        ({"labels": ("a", "b", "c")}, r"mine: scores: expected probabilities .*; give --logits"),
        ({"size": (9, 9)}, r"running|embed"),
        ({"mean": (1.0, 2.0)}, r"mine: mean: expected 1 or 3 numbers"),
        ({"modality": "sound"}, r"mine: rate: expected Hz for sound; give --rate"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, host, models, settings, message):
    file = write_network(tmp_path / "net.npz", classes=3)
    with pytest.raises(SightsoundError, match=message):
        import_model(file, ModelSettings(name="mine", **settings), host=host)
    assert not models.exists() or list(models.iterdir()) == []
    assert "mine" not in new_host().cards


def test_a_damaged_file_or_another_is_refused_in_one_line(tmp_path, host):
    file = write_network(tmp_path / "net.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SightsoundError, match=r"net.npz: cannot be read in the format linear .*; is it complete"):
        import_model(file, ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"net.xyz: expected a file of one of these formats: linear \(.npz\)"):
        import_model(tmp_path / "net.xyz", ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"no.npz: no such file"):
        import_model(tmp_path / "no.npz", ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"^format 'onyx': expected one of those in use: linear"):
        import_model(file, ModelSettings(name="mine"), format="onyx", host=host)


def test_a_name_that_a_plugin_has_is_refused(tmp_path, tiny, models):
    tiny.register(Plugin(), "linear")
    with pytest.raises(SightsoundError, match=r"^colours.tiny: plugin tiny has a model of this name"):
        import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="colours.tiny"), host=tiny)


def test_a_format_of_programs_must_be_trusted(tmp_path, models, monkeypatch):
    host = Host(installed=False)
    monkeypatch.setattr(Linear, "runs_code", True, raising=False)
    host.register(Plugin(), "linear")
    file = write_network(tmp_path / "net.npz")
    with pytest.raises(SightsoundError, match=r"a file of the format linear is a program; give --trust"):
        import_model(file, ModelSettings(name="mine"), host=host)
    assert import_model(file, ModelSettings(name="mine"), trust=True, host=host).name == "mine"


def test_a_model_whose_plugin_is_gone_says_what_to_install(tmp_path, host, models):
    import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="mine"), host=host)
    record = json.loads((models / "mine.json").read_text())
    (models / "mine.json").write_text(json.dumps({**record, "distribution": "acme-linear"}))
    other = Host(installed=False)
    other.reload_models()
    assert other.cards["mine"].dim == 5
    with pytest.raises(SightsoundError, match=r"mine: was imported in the format 'linear', .*pip install acme-linear"):
        other.load("mine")


def test_a_record_that_cannot_be_read_is_left_out_with_a_warning(tmp_path, host, models, caplog):
    import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="mine"), host=host)
    (models / "bad.json").write_text("{")
    (models / "worse.json").write_text('{"format": 1, "importer": "linear", "distribution": "", "card": {"name": 3}}')
    again = new_host()
    assert list(again.cards) == ["mine"]
    assert [each.getMessage().partition(": ")[0] for each in caplog.records] == [
        str(models / "bad.json"),
        str(models / "worse.json"),
    ]


def test_a_file_in_json_is_not_taken_for_a_record(tmp_path, host, models, caplog):
    beside = tmp_path / "net.json"
    beside.write_text("{}")
    import_model([write_network(tmp_path / "net.npz"), beside], ModelSettings(name="mine"), host=host)
    assert list(new_host().cards) == ["mine"] and caplog.records == []
    remove_model("mine", host=host)
    assert list(models.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "settings: expected a JSON object, got a list"),
        ("{", "settings: expected a JSON object"),
        ('{"sizes": 3}', "settings: expected some of name, .*, got sizes"),
        ("{}", "settings: expected a name; give --name"),
        ('{"name": "mine", "size": 0}', r"mine: size: expected pixels, got \(0, 0\)"),
        ('{"name": "mine", "std": 0}', "mine: std: expected numbers over 0"),
        ('{"name": "mine", "layout": "chw"}', "mine: layout: expected nchw or nhwc, got 'chw'"),
    ],
)
def test_settings_that_are_not_valid_are_refused(text, message):
    with pytest.raises(SightsoundError, match=message):
        ModelSettings.from_json(text)


def test_settings_in_json_are_overruled_by_those_that_are_given():
    found = ModelSettings.from_json('{"name": "a", "size": 7, "mean": 0.5, "labels": ["x"]}', name="b", size=None)
    assert found == ModelSettings(name="b", size=(7, 7), mean=(0.5,), labels=("x",))


def test_bgr_gray_and_other_layouts(tmp_path, host):
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    card = ModelSettings(name="a", channels="bgr", scale=1.0).card(dim=1, input_shape=(3, SIZE, SIZE), constants={})
    assert (Inputs(card)(image, 0, True).inputs[0] == image[..., ::-1].transpose(2, 0, 1)).all()
    settings = ModelSettings(name="a", channels="gray", layout="nhwc", size=(4, 6))
    shape = settings.image_shape("nhwc", (4, 6))
    inputs = Inputs(settings.card(dim=1, input_shape=shape, constants={}))(image, 0, True).inputs
    assert inputs.shape == (1, 4, 6, 1)
    assert 0 <= inputs.min() < inputs.max() <= 1


def test_sound_is_cut_into_the_windows_of_the_network():
    settings = ModelSettings(name="a", rate=1000, window=0.5, hop=0.25)
    card = settings.card(dim=1, input_shape=(1, 500), constants={})
    assert (card.modality, card.sample_rate, card.window, card.hop) == ("sound", 1000, 500, 250)
    windows = Inputs(card)(np.arange(1000, dtype=np.float32), 0, True)
    assert windows.inputs.shape == (3, 1, 500)
    assert windows.spans.tolist()[1] == [0.25, 0.75]
    with pytest.raises(SightsoundError, match=r"a: window: expected 0.5 s \(500 samples\), got 1 s"):
        ModelSettings(name="a", rate=1000, window=1.0).card(dim=1, input_shape=(500,), constants={})
