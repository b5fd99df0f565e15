"""Importing a network: the file is copied, the model has a name everywhere, and what is wrong is said in one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from distributions import DISTS
from sightsound import Host, ModelSettings, SightsoundError, classify_image, import_model, index, remove_model, search
from sightsound.plugin import Inputs, Output, hookimpl

sys.path.insert(0, str(DISTS / "linear"))
import sightsound_linear
from sightsound_linear import SIZE, write_network


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
    host.register(sightsound_linear, "linear")
    host.reload_models()
    return host


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
    assert names == {"mine.model.json", first.weights[0].name}
    other = write_network(tmp_path / "other.npz", seed=1)
    with pytest.raises(SightsoundError, match=r"^mine: there is an imported model of this name; give --replace"):
        import_model(other, settings, host=host)
    second = import_model(other, settings, replace=True, host=host)
    assert {path.name for path in models.iterdir()} == {"mine.model.json", second.weights[0].name} != names
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


def test_scores_that_do_not_add_up_to_1_are_no_softmax(tmp_path, host, models, monkeypatch):
    monkeypatch.setattr(
        sightsound_linear.Network,
        "embed",
        lambda self, x: Output(np.ones((len(x), 5), np.float32), np.full((len(x), 3), 0.5, np.float32)),
    )
    file = write_network(tmp_path / "net.npz", classes=3)
    with pytest.raises(SightsoundError, match=r"^mine: scores: expected a sum of 1, got 1.5; give --scores sigmoid"):
        import_model(file, ModelSettings(name="mine", labels=("a", "b", "c")), host=host)
    assert import_model(file, ModelSettings(name="mine", labels=("a", "b", "c"), scores="sigmoid"), host=host)


def test_a_damaged_file_or_another_is_refused_in_one_line(tmp_path, host):
    file = write_network(tmp_path / "net.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SightsoundError, match=r"net.npz: cannot be read in the format linear .*; is it complete"):
        import_model(file, ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"net.xyz: expected a file of one .*, linear \(.npz\)"):
        import_model(tmp_path / "net.xyz", ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"no.npz: no such file"):
        import_model(tmp_path / "no.npz", ModelSettings(name="mine"), host=host)
    with pytest.raises(SightsoundError, match=r"^format 'onyx': expected one of those in use: safetensors .*, linear"):
        import_model(file, ModelSettings(name="mine"), format="onyx", host=host)


def test_a_name_that_a_plugin_has_is_refused(tmp_path, tiny, models):
    tiny.register(sightsound_linear, "linear")
    with pytest.raises(SightsoundError, match=r"^colours.tiny: plugin tiny has a model of this name"):
        import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="colours.tiny"), host=tiny)


def test_a_format_of_programs_must_be_trusted(tmp_path, models, monkeypatch):
    host = Host(installed=False)
    monkeypatch.setattr(sightsound_linear.Linear, "runs_code", True, raising=False)
    host.register(sightsound_linear, "linear")
    file = write_network(tmp_path / "net.npz")
    with pytest.raises(SightsoundError, match=r"a file of the format linear is a program; give --trust"):
        import_model(file, ModelSettings(name="mine"), host=host)
    assert import_model(file, ModelSettings(name="mine"), trust=True, host=host).name == "mine"


def test_a_model_whose_plugin_is_gone_says_what_to_install(tmp_path, host, models):
    import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="mine"), host=host)
    record = json.loads((models / "mine.model.json").read_text())
    (models / "mine.model.json").write_text(json.dumps({**record, "distribution": "acme-linear"}))
    other = Host(installed=False)
    other.reload_models()
    assert other.cards["mine"].dim == 5
    with pytest.raises(SightsoundError, match=r"mine: was imported in the format 'linear', .*pip install acme-linear"):
        other.load("mine")


def test_a_json_file_of_a_network_is_no_record(tmp_path, models, caplog):
    class WithSettings(sightsound_linear.Linear):
        suffixes = (".npz", ".json")

    class PluginWithSettings:
        @hookimpl
        def register_importers(self, register):
            register(WithSettings())

    host = Host(installed=False)
    host.register(PluginWithSettings(), "linear")
    (tmp_path / "net.json").write_text('{"layers": 1}')
    files = [write_network(tmp_path / "net.npz"), tmp_path / "net.json"]
    import_model(files, ModelSettings(name="my_net"), host=host)
    names = [Host(installed=False).models.models()[0].card.name for _ in range(2)]
    assert names == ["my_net"] * 2 and not caplog.records
    assert len(list(models.glob("*.json"))) == 2


def test_a_record_that_cannot_be_read_is_left_out_with_a_warning(tmp_path, host, models, caplog):
    import_model(write_network(tmp_path / "net.npz"), ModelSettings(name="mine"), host=host)
    (models / "bad.model.json").write_text("{")
    (models / "worse.model.json").write_text(
        '{"format": 1, "importer": "linear", "distribution": "", "card": {"name": 3}}'
    )
    again = new_host()
    assert list(again.cards) == ["mine"]
    assert [each.getMessage().partition(": ")[0] for each in caplog.records] == [
        str(models / "bad.model.json"),
        str(models / "worse.model.json"),
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


class Packed(sightsound_linear.Linear):
    """The same networks with the suffix `.packed`, in a folder or alone; `gather` copies them."""

    name = "packed"
    suffixes = (".packed",)
    runs_code = True

    def takes(self, source):
        return source.endswith(".packed") or (Path(source) / "net.packed").is_file()

    def pinned(self, source):
        return source.startswith("known")

    def gather(self, source, folder):
        file = Path(source) / "net.packed" if Path(source).is_dir() else Path(source)
        return [shutil.copy(file, folder / "net.npz")]


@pytest.fixture
def packed(models, tmp_path, monkeypatch):
    """A host with the format `packed`. The current folder has a folder `sub` with a network."""
    host = Host(installed=False)

    class Both:
        @hookimpl
        def register_importers(self, register):
            register(Packed())

    host.register(Both(), "packed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    write_network(tmp_path / "net.npz").rename(tmp_path / "sub" / "net.packed")
    return host


def test_a_folder_and_a_file_of_a_format_that_gathers_are_the_same_network(tmp_path, packed):
    cards = [
        import_model(tmp_path / source, ModelSettings(name=name), trust=True, host=packed)
        for name, source in (("a", "sub"), ("b", "sub/net.packed"))
    ]
    assert cards[0].weights[0].sha256 == cards[1].weights[0].sha256


def test_what_is_known_by_its_hash_need_not_be_trusted(tmp_path, packed):
    (tmp_path / "sub").rename(tmp_path / "known")
    assert import_model("known", ModelSettings(name="mine"), host=packed).name == "mine"
    (tmp_path / "known").rename(tmp_path / "other")
    with pytest.raises(SightsoundError, match=r"^other: a file of the format packed is a program; give --trust"):
        import_model("other", ModelSettings(name="mine"), replace=True, host=packed)


def test_a_format_that_gathers_takes_one_source(tmp_path, packed):
    (tmp_path / "other.txt").touch()
    with pytest.raises(SightsoundError, match=r"^other.txt: expected one source in the format packed, got 2; give one"):
        import_model(["sub", "other.txt"], ModelSettings(name="mine"), trust=True, host=packed)


def test_the_current_folder_is_a_source(command, tmp_path, models, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("import-model", ".", "--name", "mine", plugins=())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sightsound: .: expected a file of one of these formats: ")
