"""The numbers of CLAP: sounds, texts and logits are those of transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sightsound_clip.clap
from seeded_clap import NAME, audio_of, frameworks, seeded, text_of, train_tokenizer, write_files
from sightsound import Host, SightsoundError, UnknownModel, classify_sound
from sightsound.testing import check_model
from sightsound.testing.media import TEXTS

RATE = 48_000
CLASSES = ["a dog", "rain", "the sea"]


@pytest.fixture(scope="module")
def net() -> Any:
    return seeded()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer()


@pytest.fixture(scope="module")
def folder(net: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    write_files(net, folder, tokenizer)
    return folder


def host_of(*weights: str) -> Host:
    host = Host(installed=False, weights=weights)
    host.register(sightsound_clip.clap, "clap")
    return host


@pytest.fixture
def weights(folder: Path) -> list[str]:
    small = ("config.json", "preprocessor_config.json", "tokenizer.json")
    return [f"{NAME}.safetensors={folder / 'model.safetensors'}", *(f"{NAME}.{file}={folder / file}" for file in small)]


@pytest.fixture
def host(weights: list[str]) -> Host:
    return host_of(*weights)


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * seed) * t) + random.normal(0, 0.05, len(t))).astype(np.float32)


@pytest.mark.parametrize("seconds", [10, 2.5, 0.3, 9.99])
def test_the_row_of_a_recording_is_that_of_transformers(host: Host, net: Any, seconds: float) -> None:
    samples = sound(seconds)
    spans, rows, _ = host.load(NAME, device="cpu").rows(samples)
    assert spans is not None and spans.tolist() == [[0, pytest.approx(seconds)]]
    known = audio_of(net, [samples])
    assert np.abs(known).max() > 1e-2
    np.testing.assert_allclose(rows, known, atol=1e-5, rtol=1e-5)


def test_a_long_recording_has_a_row_for_every_ten_seconds(host: Host, net: Any) -> None:
    samples = sound(23, seed=1)
    spans, rows, _ = host.load("clap_htsat_unfused", device="cpu").rows(samples)
    assert spans is not None and spans.tolist() == [[0, 10], [10, 20], [20, pytest.approx(23)]]
    cut = [samples[start : start + 10 * RATE] for start in (0, 10 * RATE, 20 * RATE)]
    np.testing.assert_allclose(rows, audio_of(net, cut), atol=1e-5, rtol=1e-5)


def test_the_hop_is_an_option(host: Host) -> None:
    spans, _, _ = host.load(f"{NAME}[hop=5]", device="cpu").rows(sound(20))
    assert spans is not None and spans[:, 0].tolist() == [0, 5, 10]


def test_texts_and_logits_are_those_of_transformers(host: Host, net: Any, tokenizer: Any) -> None:
    model = host.load(NAME, device="cpu")
    texts = [*TEXTS, "", "狗", "a"]
    words = model.text(texts)
    known = np.concatenate([text_of(net, tokenizer, text) for text in texts])
    np.testing.assert_allclose(words, known, atol=1e-5, rtol=1e-5)

    samples = sound(10)
    inputs = model.preprocess(samples).inputs
    ids = [tokenizer.encode(text).ids for text in texts]
    longest = max(map(len, ids))
    tokens = torch.tensor([[*each, *[1] * (longest - len(each))] for each in ids])
    with torch.inference_mode():
        found = net(input_ids=tokens, attention_mask=(tokens != 1).long(), input_features=torch.from_numpy(inputs))
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (model.rows(samples)[1], words)]
    scale = model.embedder.logit_scale()  # type: ignore[attr-defined]
    assert scale == pytest.approx(7.5)
    np.testing.assert_allclose(scale * unit[0] @ unit[1].T, found.logits_per_audio.numpy(), atol=1e-5, rtol=0)


def test_a_text_longer_than_the_network_takes_is_cut(host: Host) -> None:
    model = host.load(NAME, device="cpu")
    assert np.isfinite(model.text(["word " * 900])).all()


def test_classes_in_words_name_a_sound(host: Host, net: Any, tokenizer: Any) -> None:
    samples = sound(4)
    found = classify_sound(samples, RATE, model=host.load(NAME, device="cpu"), classes=CLASSES, host=host)
    words = [text_of(net, tokenizer, f"This is a sound of {name}.")[0] for name in CLASSES]
    row = audio_of(net, [samples])[0].astype(np.float64)
    logits = np.array([7.5 * (row @ each) / np.linalg.norm(row) / np.linalg.norm(each) for each in words])
    known = np.exp(logits) / np.exp(logits).sum()
    assert {each.label: each.score for each in found.top} == pytest.approx(dict(zip(CLASSES, known)), abs=1e-4)


def test_each_part_is_built_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise AssertionError("built")

    with monkeypatch.context() as patch:
        patch.setattr(frameworks.modeling, "ClapTextModelWithProjection", refused)
        assert host.load(NAME, device="cpu").rows(sound(1))[1].shape == (1, 512)
    with monkeypatch.context() as patch:
        patch.setattr(frameworks.modeling, "ClapAudioModelWithProjection", refused)
        assert host.load(NAME, device="auto", only_words=True).text(["rain"]).shape == (1, 512)


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAME, f"{NAME}[hop=8]"])
def test_the_kit(host: Host, name: str) -> None:
    assert [(each.check, each.reason) for each in check_model(name, host=host) if not each.passed] == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", r"config\.json: expected a file of CLAP as transformers writes it, got JSONDecodeError"),
        ("config.json", b"[]", r"config\.json: expected settings of CLAP, got a list"),
        ("config.json", b'{"model_type": "clip"}', r"config\.json: expected a configuration of CLAP, got 'clip'"),
        ("config.json", b'{"projection_dim": 8}', r"expected embeddings of length 512, got 8"),
        ("config.json", b'{"audio_config": {"enable_fusion": true}}', r"expected a network without fusion"),
        ("config.json", b"{}", r"model\.safetensors: .*expected shape .*; give the files of one network"),
        ("model.safetensors", b"\x00" * 40, r"model\.safetensors: expected tensors"),
    ],
)
def test_wrong_files_are_refused_in_one_line(
    folder: Path, tmp_path: Path, file: str, content: bytes, message: str, weights: list[str]
) -> None:
    (tmp_path / file).write_bytes(content)
    given = [each.replace(str(folder / file), str(tmp_path / file)) for each in weights]
    with pytest.raises(SightsoundError, match=message) as caught:
        host_of(*given).load(NAME, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("preprocessor_config.json", {"feature_extractor_type": "Other"}, "expected settings of CLAP, got another"),
        ("preprocessor_config.json", {"max_length_s": 5}, "expected 480000 samples at 48000 Hz"),
        ("tokenizer.json", {"model": {}}, r"tokenizer\.json: expected a file of CLAP"),
    ],
)
def test_a_wrong_front_end_or_tokenizer_is_refused(
    folder: Path, tmp_path: Path, file: str, content: dict[str, Any], message: str, weights: list[str]
) -> None:
    (tmp_path / file).write_text(json.dumps(content))
    host = host_of(*[each.replace(str(folder / file), str(tmp_path / file)) for each in weights])
    model = host.load(NAME, device="cpu")
    with pytest.raises(SightsoundError, match=message) as caught:
        model.text(["rain"]) if file == "tokenizer.json" else model.rows(sound(1))
    assert "\n" not in str(caught.value)


def test_without_its_packages_a_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightsound_clip.clap, "PACKAGES", ("no_such_package",))
    host = host_of()
    assert not host.cards
    text = r'clap_htsat_unfused: needs the package no_such_package; install it: pip install "sightsound-clip\[clap\]"'
    with pytest.raises(UnknownModel, match=text):
        host.card("clap_htsat_unfused")
