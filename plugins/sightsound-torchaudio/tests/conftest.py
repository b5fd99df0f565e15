"""Small bundles in torchaudio's own list, with seeded weights, and what torchaudio itself makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sightsound import Host

RATE = 16_000
TINY = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 32,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 4,
    "encoder_num_heads": 4,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 64,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.05,
    "aux_num_out": None,
}
"""The configuration of the base networks, with fewer and narrower layers."""

LARGE = {**TINY, "extractor_mode": "layer_norm", "extractor_conv_bias": True, "encoder_layer_norm_first": True}
"""The same of the large networks, which take normalised waveforms."""

WAVLM = {"encoder_num_buckets": 32, "encoder_max_distance": 80}
KINDS: dict[str, tuple[dict[str, Any], bool, str]] = {
    "wav2vec2_tiny": (TINY, False, "Wav2Vec2"),
    "wav2vec2_tiny_lv60k": (LARGE, True, "Wav2Vec2"),
    "hubert_tiny": (TINY, False, "Wav2Vec2"),
    "hubert_tiny_large": ({**LARGE, "extractor_conv_bias": False}, True, "Wav2Vec2"),
    "wavlm_tiny": ({**TINY, **WAVLM}, False, "WavLM"),
    "wavlm_tiny_large": ({**LARGE, **WAVLM, "extractor_conv_bias": False}, True, "WavLM"),
    "wav2vec2_asr_tiny": ({**LARGE, "aux_num_out": 29}, True, "Wav2Vec2"),
}
"""The parameters of each small bundle, whether it takes normalised waveforms, and its type."""


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the files of the small bundles, which torchaudio takes for those that it downloaded."""
    from sightsound_torchaudio.framework import torchaudio

    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        for seed, (arch, (params, normalize, kind)) in enumerate(KINDS.items()):
            facts = f"{arch}.pth", params, RATE, normalize, kind
            if params["aux_num_out"]:
                bundle = torchaudio.pipelines.Wav2Vec2ASRBundle(*facts, _labels=tuple(map(str, range(28))))
            else:
                bundle = torchaudio.pipelines.Wav2Vec2Bundle(*facts)
            patch.setattr(torchaudio.pipelines, arch.upper(), bundle, raising=False)
            torch.save(seeded(params, kind, seed), folder / f"{arch}.pth")
        yield folder


def seeded(params: dict[str, Any], kind: str, seed: int) -> dict[str, torch.Tensor]:
    """Random tensors in the form that torchaudio publishes; the head of a fine-tuned network has three more outputs."""
    from sightsound_torchaudio.framework import torchaudio

    torch.manual_seed(seed)
    build = {"Wav2Vec2": torchaudio.models.wav2vec2_model, "WavLM": torchaudio.models.wavlm_model}[kind]
    outputs = params["aux_num_out"] and params["aux_num_out"] + 3
    state = build(**{**params, "aux_num_out": outputs}).state_dict()
    noise = torch.Generator().manual_seed(seed)
    return {name: value + 0.05 * torch.randn(value.shape, generator=noise) for name, value in state.items()}


@pytest.fixture(scope="session")
def host(bundles: Path) -> Host:
    """A host with this plugin alone, and the weights of the small bundles."""
    return host_with([f"{file.name}={file}" for file in bundles.iterdir()])


def host_with(weights: list[str]) -> Host:
    import sightsound_torchaudio

    host = Host(installed=False, weights=weights)
    host.register(sightsound_torchaudio, "torchaudio")
    return host


@pytest.fixture(scope="session")
def host_for() -> Callable[[str, Path], Host]:
    """`host_for(name, path)`: a host with this plugin alone and a file of the user for a weight file."""
    return lambda name, path: host_with([f"{name}={path}"])


@pytest.fixture(scope="session")
def sound() -> NDArray[np.float32]:
    """3.3 s at 16 kHz: a rising tone over noise, from faint to loud, not around zero."""
    t = np.arange(int(3.3 * RATE)) / RATE
    tone = np.sin(2 * np.pi * (200 * t + 300 * t**2)) + np.random.default_rng(0).normal(0, 0.3, len(t))
    return (0.02 + 0.01 * 5**t * tone).astype(np.float32)


@pytest.fixture(scope="session")
def by_torchaudio(bundles: Path) -> Callable[..., NDArray[np.float32]]:
    """`by_torchaudio(arch, windows, layer)`: means of the layer by torchaudio's own network, window by window."""
    from sightsound_torchaudio.framework import torchaudio

    def rows(arch: str, windows: NDArray[np.float32], layer: int) -> NDArray[np.float32]:
        network = getattr(torchaudio.pipelines, arch.upper()).get_model()
        with torch.inference_mode():
            found = [network.extract_features(torch.tensor(window[None]))[0][layer - 1] for window in windows]
        return torch.cat(found).mean(1).numpy()

    return rows
