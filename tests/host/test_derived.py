"""Models that are derived from a network of torch: a file with numbers and a head becomes a model like any other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sightsound import (
    ClassList,
    Host,
    ModelSettings,
    SightsoundError,
    classify_image,
    export_model,
    import_model,
    remove_model,
)
from sightsound.contract.errors import UnknownModel
from sightsound.host.derived import described
from sightsound.plugin import Card, Inputs, LinearHead, hookimpl
from sightsound.testing import check_model
from sightsound.torch import TorchEmbedder, read_state, write_state

SETTINGS = ModelSettings(name="small.acme", mean=(0.5,), std=(0.2,), license="MIT")
CARD: Card = SETTINGS.card(dim=5, input_shape=(3, 4, 4), constants={"layers": 1})
PETS = ClassList("pets", ("cat", "dog"), ("p1", "p2"))


class Small(TorchEmbedder):
    def __init__(self, device):
        super().__init__(CARD, device, cpu_batch_size=4)
        self.preprocess = Inputs(CARD)

    def build(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 5))

    def postprocess(self, output):
        return output.embeddings


class Plugin:
    @hookimpl
    def register_embedders(self, register):
        register(CARD, lambda device, weights: Small(device))


def new_host():
    host = Host(installed=False)
    host.register(Plugin(), "acme")
    host.reload_models()
    return host


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    return new_host()


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def write(host, file, classes=PETS, scale=2.0):
    """Write the network with doubled numbers, and a head if there are classes."""
    state = {name: scale * each for name, each in host.load("small.acme").embedder.module().state_dict().items()}
    random = np.random.default_rng(1)
    head = (random.normal(size=(len(classes), 5)), random.normal(size=len(classes))) if classes else None
    head = head and tuple(each.astype(np.float32) for each in head)
    fingerprint, kind = host.space("small.acme").fingerprint, "softmax" if classes else None
    facts = described("small.acme", fingerprint, classes, kind, license="MIT", about="pets at home")
    linear = head and LinearHead(weight=head[0], bias=head[1], kind="softmax", labels=classes.labels)
    write_state(file, state, linear, facts)
    return state, head


def test_a_derived_network_has_its_own_numbers_and_classes(host, tmp_path, image):
    state, head = write(host, tmp_path / "pets.safetensors")
    card = import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host)
    assert (card.labels, card.label_ids, card.license, card.about) == (PETS.labels, PETS.ids, "MIT", "pets at home")
    assert card.constants["parent_fingerprint"] == host.space("small.acme").fingerprint
    assert host.space("pets") != host.space("small.acme")
    network = host.load("small.acme").embedder.module()
    network.load_state_dict(state)
    inputs = Inputs(CARD)(image, 0, True).inputs
    expected = network(torch.tensor(inputs)).detach().numpy()
    _, rows, scores = new_host().load("pets").rows(image)
    assert np.allclose(rows, expected, atol=1e-5)
    logits = expected @ head[0].T + head[1]
    assert np.allclose(scores, np.exp(logits) / np.exp(logits).sum(), atol=1e-5)
    top = classify_image(image, "pets", host=host).top
    assert {each.label for each in top} == {"cat", "dog"}


def test_a_derived_network_decodes_images_as_its_parent(host, tmp_path, caplog):
    export_model("small.acme[decode=scaled]", tmp_path / "pets.safetensors", host=host)
    assert caplog.text == ""
    card = import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host)
    assert card.constants["parent"] == "small.acme[decode=scaled]"
    assert card.constants["decode"] == {"jpeg": "scaled", "shortest": 8}
    assert host.load("pets").shortest_side == 8
    with pytest.raises(UnknownModel, match=r"pets: decode=scaled: it decodes so without the option; leave the option"):
        host.card("pets[decode=scaled]")


def test_it_passes_the_kit_and_can_be_derived_from(host, tmp_path):
    write(host, tmp_path / "pets.safetensors")
    import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host)
    results = check_model("pets", host=host)
    assert [each for each in results if not each.passed] == []
    assert "derive_gives_the_same_network" in [each.check for each in results if each.status == "passed"]


def test_it_offers_a_graph_of_openvino_if_the_network_does(host, tmp_path, monkeypatch):
    write(host, tmp_path / "pets.safetensors")
    import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host)
    assert not hasattr(new_host().load("pets").embedder, "openvino_model")
    monkeypatch.setattr(Small, "openvino_model", lambda self: (self.card.name, self.linear_head.labels), raising=False)
    assert new_host().load("pets").embedder.openvino_model() == ("pets", PETS.labels)


def test_it_can_be_without_classes_and_be_given_others(host, tmp_path):
    write(host, tmp_path / "bare.safetensors", None)
    assert import_model(tmp_path / "bare.safetensors", ModelSettings(name="bare"), host=host).classes is None
    write(host, tmp_path / "pets.safetensors")
    other = ModelSettings(name="other", labels=("x", "y"))
    assert import_model(tmp_path / "pets.safetensors", other, host=host).labels == ("x", "y")


def test_what_is_wrong_is_one_line(host, tmp_path):
    file = tmp_path / "pets.safetensors"
    write(host, file)
    whole = file.read_bytes()

    def refused(message):
        with pytest.raises(SightsoundError, match=message) as raised:
            import_model(file, ModelSettings(name="pets"), host=host)
        assert "\n" not in str(raised.value)
        assert "pets" not in host.cards

    for length in (0, 5, 100, len(whole) - 7):
        file.write_bytes(whole[:length])
        refused("pets.*safetensors")
    save_file({"network.1.weight": torch.zeros(3)}, file)
    refused("does not say which network it is of")
    tensors = {"network.1.weight": torch.zeros(3)}
    save_file(tensors, file, metadata={"sightsound": json.dumps({"format": 1, "parent": "small.acme"})})
    refused("small|pets")
    save_file(tensors, file, metadata={"sightsound": json.dumps({"format": 1, "parent": "none.acme"})})
    refused("no embedder 'none.acme'")
    save_file(tensors, file, metadata={"sightsound": json.dumps({"format": 9})})
    refused("expected format 1, got 9")
    file.write_bytes(whole)
    assert import_model(file, ModelSettings(name="pets"), host=host).name == "pets"


def test_a_state_comes_back_as_it_was(tmp_path):
    shared = torch.arange(6.0)
    state = {"a": shared[:3], "b.c": shared[:3], "d": torch.tensor(4)}
    write_state(tmp_path / "a.safetensors", state, None, {})
    found, head = read_state(tmp_path / "a.safetensors")
    assert head is None
    assert found.keys() == state.keys() and all(torch.equal(found[name], each) for name, each in state.items())
    assert set(load_file(tmp_path / "a.safetensors")) == {"network.a", "network.b.c", "network.d"}


def test_a_parent_is_not_removed_before_its_children(host, tmp_path):
    write(host, tmp_path / "pets.safetensors")
    import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host)
    record = tmp_path / "models" / "pets.model.json"
    child = json.loads(record.read_text())
    child["card"] |= {"name": "child", "constants": {**child["card"]["constants"], "parent": "pets"}}
    (tmp_path / "models" / "child.model.json").write_text(json.dumps(child))
    with pytest.raises(SightsoundError, match="^pets: child needs it, which is derived from it; remove that first"):
        remove_model("pets", host=host)
    remove_model("child", host=host)
    remove_model("pets", host=host)
    assert "pets" not in host.cards


class AnyTensors:
    """Another format with the same suffix, as that of OpenCLIP."""

    name, suffixes = "any", (".safetensors",)

    def read(self, files, settings):
        raise SightsoundError("read by the other format")

    def load(self, card, device, weights):
        raise AssertionError


def test_a_format_with_the_same_suffix_gets_the_other_files(host, tmp_path):
    class Another:
        @hookimpl
        def register_importers(self, register):
            register(AnyTensors())

    host.register(Another(), "another")
    write(host, tmp_path / "pets.safetensors")
    assert import_model(tmp_path / "pets.safetensors", ModelSettings(name="pets"), host=host).name == "pets"
    save_file({"a": torch.zeros(3)}, tmp_path / "plain.safetensors")
    with pytest.raises(SightsoundError, match="read by the other format"):
        import_model(tmp_path / "plain.safetensors", ModelSettings(name="plain"), host=host)
