"""Names of OpenCLIP's networks: their cards are what open_clip's tables say, and no hub is asked."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sightsound_clip
from seeded_clip import open_clip, saved
from sightsound import Host, MissingWeights, UnknownModel
from sightsound_clip import cards, zoo


@pytest.mark.parametrize("card", cards.REGISTERED, ids=lambda card: card.name)
def test_a_registered_card_is_what_open_clip_says(card: cards.Card) -> None:
    found = zoo.find_card(card.name)
    assert found is not None
    assert dataclasses.replace(found, params=card.params, license=card.license) == card
    with torch.device("meta"):
        net = open_clip.CLIP(**zoo.config_of(card.name))
    assert sum(parameter.numel() for parameter in net.parameters()) == card.params


def test_every_network_with_weights_has_a_card() -> None:
    pairs = open_clip.list_pretrained()
    names = [f"{arch}.{tag}".lower().replace("-", "_") for arch, tag in pairs]
    found = {name: zoo.find_card(name) for name in names if zoo.is_mentioned(name)}
    assert len(names) > 100 and found.keys() == set(names)
    for name, (arch, tag) in zip(names, pairs):
        card = found[name]
        assert card is not None
        assert name in (card.name, *card.aliases)
        stated = open_clip.get_pretrained_cfg(arch, tag)
        assert card.constants["mean"] == tuple(stated["mean"]) and card.constants["std"] == tuple(stated["std"])
        assert card.constants["resize_mode"] == stated["resize_mode"]
        assert stated["hf_hub"].strip("/").startswith(card.weights[0].sources[0][3:].partition("!")[0])
    with_words = {name for name, card in found.items() if card is not None and card.text}
    assert {"vit_b_32.openai", "coca_vit_l_14.laion2b_s13b_b90k", "mobileclip_s1.datacompdr"} <= with_words
    assert not with_words & {"vit_b_16_siglip.webli", "xlm_roberta_base_vit_b_32.laion5b_s13b_b90k"}


def test_the_activation_is_that_of_the_weights() -> None:
    assert zoo.config_of("vit_b_32.openai")["quick_gelu"] is True
    assert zoo.config_of("vit_b_32.laion2b_s34b_b79k")["quick_gelu"] is False
    card = zoo.find_card("vit_b_32_quickgelu.openai")
    assert card is not None
    assert (card.name, card.aliases) == ("vit_b_32.openai", ("vit_b_32_quickgelu.openai",))


@pytest.mark.parametrize("name", ["vit_b_32", "vit_b_32.nope", "vit_b_32.", "yamnet.audioset_f32", "ViT-B-32.openai"])
def test_another_name_is_left_to_others(name: str) -> None:
    assert sightsound_clip.resolve_embedder(name, {}) is None


def test_names_and_cards_of_others_import_no_framework() -> None:
    code = """
import importlib.util, sys
from sightsound import Host
import sightsound_clip, sightsound_clip.clap
host = Host(installed=False)
host.register(sightsound_clip, "clip")
host.register(sightsound_clip.clap, "clap")
assert host.card("vit_l_14.openai").dim == 768
if all(map(importlib.util.find_spec, ("tokenizers", "transformers"))):
    assert host.card("clap_htsat_unfused").dim == 512
for name in ("convnext_base.fb_in22k", "resnet50.a1_in1k"):
    try:
        host.card(name)
    except Exception as error:
        assert "no embedder" in str(error), error
print([name for name in ("torch", "open_clip", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_without_open_clip_the_plugin_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from sightsound.contract import requirements

    found = requirements.importlib.util.find_spec
    monkeypatch.setattr(
        requirements.importlib.util,
        "find_spec",
        lambda name, *args: None if name == "open_clip" else found(name, *args),
    )
    with pytest.raises(ModuleNotFoundError, match="open_clip"):
        sightsound_clip.register_embedders(lambda card, load: None)
    assert sightsound_clip.resolve_embedder("vit_b_32.openai", {}) is None


def test_missing_weights_are_named_with_their_source(host: Host) -> None:
    with pytest.raises(MissingWeights, match=r"vit_b_32\.openai\.safetensors.*") as caught:
        host.load("vit_b_32.openai", device="cpu")
    assert "sightsound weights get vit_b_32.openai" in str(caught.value)


def test_an_unknown_name_ends_in_a_suggestion(host: Host) -> None:
    with pytest.raises(UnknownModel, match=r"did you mean 'vit_b_32\.openai'"):
        host.card("vit_b_32.openia")


@pytest.mark.slow
def test_a_network_by_name_loads_from_the_users_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = zoo.config_of("vit_b_32.openai")
    net = open_clip.CLIP(**config).eval()
    file = saved(net, tmp_path / "own.safetensors")
    own = Host(installed=False, weights=[f"vit_b_32.openai.safetensors={file}"])
    own.register(sightsound_clip, "clip")
    model = own.load("vit_b_32.openai", device="cpu")
    inputs = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        known = net.encode_image(inputs).numpy()
        words = net.encode_text(open_clip.tokenize(["a dog", "rain"])).numpy()
    assert abs(model.embed(inputs.numpy()).embeddings - known).max() < 1e-5
    assert abs(model.text(["a dog", "rain"]) - words).max() < 1e-5
