"""Rows against `extract_features` of torchaudio's own bundles, on small networks with seeded weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sightsound import Host

torchaudio = pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed").torchaudio

ARCHS = (
    "wav2vec2_tiny",
    "wav2vec2_tiny_lv60k",
    "hubert_tiny",
    "hubert_tiny_large",
    "wavlm_tiny",
    "wavlm_tiny_large",
    "wav2vec2_asr_tiny",
)
Floats = NDArray[np.float32]
Rows = Callable[..., Floats]


def cosine(a: Floats, b: Floats) -> Floats:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)  # type: ignore[no-any-return]


def cut(sound: Floats, window: float, hop: float) -> Floats:
    """Windows of so many seconds, the last padded with zeros, with slices alone."""
    n, step = int(window * 16_000), int(hop * 16_000)
    starts = range(0, max(1, len(sound) - n + step), step)
    return np.stack([np.pad(sound[at : at + n], (0, n))[:n] for at in starts])


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("layer", [1, 2, 4])
def test_the_rows_are_the_means_of_the_layer(
    arch: str, layer: int, host: Host, sound: Floats, by_torchaudio: Rows
) -> None:
    name = f"{arch}.torchaudio" + ("" if layer == 2 else f"[layer={layer}]")  # 2 of 4 is the default
    spans, rows, scores = host.load(name, device="cpu").rows(sound)
    expected = by_torchaudio(arch, cut(sound, 1, 0.5), layer)
    assert rows.shape == expected.shape == (6, 32)
    assert cosine(rows, expected).min() > 1 - 1e-6
    np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert scores is None and spans is not None and spans[1].tolist() == [0.5, 1.5]
    other = by_torchaudio(arch, cut(sound, 1, 0.5), 5 - layer)
    assert cosine(rows, other).max() < 1 - 1e-4, "another layer has other rows, so that the comparison can fail"


@pytest.mark.parametrize("arch", ["hubert_tiny", "wavlm_tiny_large"])
def test_windows_of_another_length(arch: str, host: Host, sound: Floats, by_torchaudio: Rows) -> None:
    spans, rows, _ = host.load(f"{arch}.torchaudio[window=1.52,hop=0.76]", device="cpu").rows(sound)
    expected = by_torchaudio(arch, cut(sound, 1.52, 0.76), 2)
    assert spans is not None and spans[:, 0].tolist() == [0, 0.76, 1.52, 2.28]
    assert cosine(rows, expected).min() > 1 - 1e-6


def test_a_faint_window_is_normalised_by_itself(host: Host, sound: Floats, by_torchaudio: Rows) -> None:
    windows = cut(sound, 1, 0.5)
    batch = np.concatenate([windows, 0.5 + 20 * windows])
    rows = host.load("hubert_tiny_large.torchaudio", device="cpu").embed(batch).embeddings
    assert cosine(rows, by_torchaudio("hubert_tiny_large", batch, 2)).min() > 1 - 1e-6
    assert cosine(rows[:6], rows[6:]).min() > 1 - 1e-4, "neither loudness nor an offset matters"
    network = torchaudio.pipelines.HUBERT_TINY_LARGE.get_model()
    with torch.inference_mode():  # one mean and one variance for the whole batch
        together = network.extract_features(torch.tensor(batch))[0][1].mean(1).numpy()
    assert cosine(rows, together).min() < 1 - 1e-4


def test_the_frames_of_a_layer_are_counted_as_torchaudio_does(host: Host, sound: Floats) -> None:
    network = torchaudio.pipelines.WAV2VEC2_TINY.get_model()
    for name, samples in (("wav2vec2_tiny", 16_000), ("wav2vec2_tiny[window=0.13]", 2080)):
        listed = host.layers(name)
        features = network.extract_features(torch.zeros(1, samples))[0]
        assert [layer.name for layer in listed] == ["1", "2", "3", "4"]
        assert [layer.shape for layer in listed] == [tuple(each.shape[1:]) for each in features]


# -- files in other forms ----------------------------------------------------------------------------------------


def renamed(tensors: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def test_files_with_the_older_names_of_a_weight_norm(
    bundles: Path, tmp_path: Path, host: Host, host_for: Callable[[str, Path], Host], sound: Floats
) -> None:
    tensors = torch.load(bundles / "wavlm_tiny.pth", weights_only=True)
    older = renamed(tensors, "parametrizations.weight.original0", "weight_g")
    older = renamed(older, "parametrizations.weight.original1", "weight_v")
    assert older.keys() != tensors.keys()
    torch.save(older, tmp_path / "older.pth")
    rows = host_for("wavlm_tiny.pth", tmp_path / "older.pth").load("wavlm_tiny", device="cpu").rows(sound)[1]
    assert np.array_equal(rows, host.load("wavlm_tiny", device="cpu").rows(sound)[1])


def test_a_file_saved_from_the_network_that_a_bundle_gives(
    tmp_path: Path, host: Host, host_for: Callable[[str, Path], Host], sound: Floats
) -> None:
    state = torchaudio.pipelines.WAV2VEC2_ASR_TINY.get_model().state_dict()
    assert all(name.startswith("model.") for name in state)
    torch.save(state, tmp_path / "saved.pth")
    rows = host_for("wav2vec2_asr_tiny.pth", tmp_path / "saved.pth").load("wav2vec2_asr_tiny", device="cpu")
    assert np.array_equal(rows.rows(sound)[1], host.load("wav2vec2_asr_tiny", device="cpu").rows(sound)[1])


def test_a_file_in_half_precision_gives_a_network_in_float32(
    bundles: Path, tmp_path: Path, host_for: Callable[[str, Path], Host], sound: Floats, by_torchaudio: Rows
) -> None:
    tensors = torch.load(bundles / "hubert_tiny.pth", weights_only=True)
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "half.pth")
    rows = host_for("hubert_tiny.pth", tmp_path / "half.pth").load("hubert_tiny", device="cpu").rows(sound)[1]
    assert cosine(rows, by_torchaudio("hubert_tiny", cut(sound, 1, 0.5), 2)).min() > 0.999
