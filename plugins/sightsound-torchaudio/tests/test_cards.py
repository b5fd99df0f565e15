"""What the cards say, against torchaudio's bundles; nothing is fetched."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

import sightsound_torchaudio
from sightsound import Card, Host, UnknownModel

torchaudio = pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed").torchaudio
from sightsound_torchaudio import bundles, cards  # noqa: E402

EVERY = sorted(
    name.lower()
    for name in torchaudio.pipelines.__all__
    if isinstance(getattr(torchaudio.pipelines, name), torchaudio.pipelines.Wav2Vec2Bundle)
)


def card(name: str) -> Card:
    found = sightsound_torchaudio.resolve_embedder(name, {})
    assert found is not None, name
    return found[0]


def test_registering_imports_no_framework() -> None:
    program = (
        "import sys, sightsound_torchaudio as plugin\n"
        "found = []\n"
        "plugin.register_embedders(lambda card, load: found.append(load('cpu', {card.weights[0].name: 'x'})))\n"
        "assert len(found) == 10 and len(found[0].layers()) == 12\n"
        "assert plugin.resolve_embedder('yamnett', {}) is None\n"
        "assert plugin.resolve_embedder('hubert_base', {'layer': 9})[0].constants['layer'] == 9\n"
        "print([name for name in ('torch', 'torchaudio') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("registered", cards.REGISTERED, ids=lambda card: card.name)
def test_a_registered_card_is_what_torchaudio_says_of_the_bundle(registered: Card) -> None:
    told = bundles.find_card(registered.name.partition(".")[0])
    assert told is not None
    assert dataclasses.replace(told, about="") == dataclasses.replace(registered, about="")


@pytest.mark.parametrize("arch", EVERY)
def test_every_bundle_has_a_name_and_the_address_of_its_file(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetched(url: str, **settings: Any) -> Any:
        asked.append(url)
        raise InterruptedError

    monkeypatch.setattr("torchaudio.pipelines._wav2vec2.utils.load_state_dict_from_url", fetched)
    with torch.device("meta"), pytest.raises(InterruptedError):
        getattr(torchaudio.pipelines, arch.upper()).get_model()
    found = card(arch)
    assert found.name == f"{arch}.torchaudio"
    assert [*found.weights[0].sources] == asked
    assert getattr(torchaudio.pipelines, arch.upper()).sample_rate == found.sample_rate == 16_000


def test_the_files_of_the_bundles_have_different_names() -> None:
    assert len({card(arch).weights[0].name for arch in EVERY}) == len(EVERY) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("arch", EVERY)
def test_the_sizes_on_the_card_are_those_of_the_network(arch: str) -> None:
    found, network = card(arch), bundles.blank(arch)
    network.eval()
    with torch.device("meta"), torch.inference_mode():
        features, _ = network.extract_features(torch.zeros(1, *found.input_shape))  # type: ignore[operator]
    listed = cards.layers(found)
    assert [tuple(each.shape[1:]) for each in features] == [layer.shape for layer in listed]
    assert features[0].shape[2] == found.dim
    assert found.params == sum(parameter.numel() for parameter in network.parameters())
    counted = sum(isinstance(module, nn.Conv1d | nn.Linear) for module in network.modules())
    if not arch.startswith("wavlm"):  # its gate lies beside the projection of queries, keys and values, which is one
        counted -= 2 * len(listed)  # these three lie side by side
    assert found.depth == counted


@pytest.mark.parametrize(
    "name", ["hubert_huge", "hubert_base.other", "HUBERT_BASE", "wav2vec2_", "yamnet", "conformer_wav2vec2"]
)
def test_a_name_that_torchaudio_does_not_know_is_left_to_others(name: str) -> None:
    assert sightsound_torchaudio.resolve_embedder(name, {}) is None


@pytest.mark.parametrize(
    ("asked", "full"),
    [
        ("hubert_base", "hubert_base.torchaudio"),
        ("hubert_base[layer=6]", "hubert_base.torchaudio"),
        ("hubert_xlarge", "hubert_xlarge.torchaudio"),
        ("hubert_xlarge.torchaudio[hop=1,layer=7]", "hubert_xlarge.torchaudio[layer=7,hop=1]"),
        ("wavlm_base[window=2.00,hop=1]", "wavlm_base.torchaudio[window=2,hop=1]"),
    ],
)
def test_a_network_has_one_full_name(asked: str, full: str, host: Host) -> None:
    assert host.card(asked).name == host.card(full).name
    assert host.card(asked).name.replace(".0", "") == full


@pytest.mark.parametrize("option", ["layer=13", "layer=0", "layer=2.5", "window=0.05", "hop=0.005", "pool=max"])
def test_options_out_of_range_are_refused(option: str, host: Host) -> None:
    with pytest.raises(UnknownModel, match=r"hubert_base\.torchaudio") as caught:
        host.card(f"hubert_base[{option}]")
    assert "\n" not in str(caught.value)


def test_options_change_the_space() -> None:
    found = sightsound_torchaudio.resolve_embedder("hubert_base", {"layer": 9, "window": 2.4, "hop": 1.13})
    assert found is not None
    made = found[0]
    assert (made.constants["layer"], made.window, made.hop, made.input_shape) == (9, 38_400, 18_080, (38_400,))


def test_a_bundle_for_research_alone_says_so() -> None:
    assert card("mms_fa").license == card("voxpopuli_asr_base_10k_de").license == "CC-BY-NC-4.0"
    assert "CC-BY-NC" in torchaudio.pipelines.MMS_FA.__doc__
    assert "CC BY-NC" in torchaudio.pipelines.VOXPOPULI_ASR_BASE_10K_DE.__doc__
    others = [arch for arch in EVERY if card(arch).license == "MIT"]
    assert all("MIT License" in getattr(torchaudio.pipelines, arch.upper()).__doc__ for arch in others)
