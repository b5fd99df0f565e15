"""Files that are not those of the network end in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sightsound import Host, SightsoundError

pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed")

Make = Callable[[dict[str, torch.Tensor]], object]


def without(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if part not in name}


WRONG: dict[str, tuple[Make, str]] = {
    "lacks a layer": (
        lambda tensors: without(tensors, "layers.3.attention"),
        r"expected a tensor encoder\.transformer\.layers\.3\.attention\.\S+, got feature_extractor\S+ and others",
    ),
    "has one too many": (lambda tensors: {**tensors, "more": torch.zeros(1)}, "expected no tensor more"),
    "another width": (
        lambda tensors: {**tensors, "encoder.feature_projection.projection.bias": torch.zeros(33)},
        r"encoder\.feature_projection\.projection\.bias: expected shape \(32,\), got \(33,\)",
    ),
    "nothing in it": (lambda tensors: {}, "expected a tensor .*, got none and others"),
    "an object": (lambda tensors: {"model": Path("x")}, "expected tensors"),
    "a list": (lambda tensors: [*tensors.values()], "expected a dictionary of tensors, got list"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_of_something_else_is_refused(
    kind: str, bundles: Path, tmp_path: Path, host_for: Callable[[str, Path], Host]
) -> None:
    make, message = WRONG[kind]
    torch.save(make(torch.load(bundles / "hubert_tiny.pth", weights_only=True)), tmp_path / "own.pth")
    refused(host_for("hubert_tiny.pth", tmp_path / "own.pth"), message)


@pytest.mark.parametrize("data", [b"", b"RIFF not at all", None], ids=["empty", "foreign", "truncated"])
def test_a_file_that_cannot_be_read_is_refused(
    data: bytes | None, bundles: Path, tmp_path: Path, host_for: Callable[[str, Path], Host]
) -> None:
    whole = (bundles / "hubert_tiny.pth").read_bytes()
    (tmp_path / "own.pth").write_bytes(whole[: len(whole) // 2] if data is None else data)
    refused(host_for("hubert_tiny.pth", tmp_path / "own.pth"), r"own\.pth: expected tensors")


def test_the_file_of_a_network_of_another_family_is_refused(
    bundles: Path, host_for: Callable[[str, Path], Host]
) -> None:
    message = r"wavlm_tiny\.pth: expected .*; give the file of torchaudio's HUBERT_TINY"
    refused(host_for("hubert_tiny.pth", bundles / "wavlm_tiny.pth"), message)


def refused(host: Host, message: str) -> None:
    with pytest.raises(SightsoundError, match=message) as caught:
        host.load("hubert_tiny", device="cpu")
    assert "\n" not in str(caught.value)
