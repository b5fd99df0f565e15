"""A small network of OpenCLIP with seeded numbers, in the files that open_clip writes for the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

open_clip: Any = pytest.importorskip("sightsound_clip.frameworks", reason="needs open_clip_torch").open_clip

SMALL: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""A vision transformer and a text transformer."""


def seeded(config: dict[str, Any] = SMALL, *, kind: str = "CLIP", seed: int = 0, logit_scale: float = 14.5) -> Any:
    """Return open_clip's own network, of the class `CLIP` or `CustomTextCLIP`."""
    torch.manual_seed(seed)
    net = getattr(open_clip, kind)(**config).eval()
    with torch.no_grad():
        net.logit_scale.fill_(float(np.log(logit_scale)))
        for name, parameter in net.named_parameters():  # some begin as zeros or very small numbers
            if "bias" in name or "ln_" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return net


def saved(net: Any, path: Path) -> Path:
    """Write the tensors of a network, as safetensors or with torch."""
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def write_config(path: Path, config: dict[str, Any] = SMALL, **preprocess: Any) -> Path:
    """Write a configuration as open_clip does."""
    path.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return path


def texts_of(net: Any, texts: list[str]) -> NDArray[np.float32]:
    """Return what open_clip makes of texts."""
    tokens = open_clip.SimpleTokenizer(context_length=net.context_length)(texts)
    with torch.inference_mode():
        found: NDArray[np.float32] = net.encode_text(tokens).numpy()
    return found


def logits_of(net: Any, inputs: NDArray[np.float32], texts: list[str]) -> NDArray[np.float32]:
    """Return open_clip's logits of images and texts."""
    tokens = open_clip.SimpleTokenizer(context_length=net.context_length)(texts)
    with torch.inference_mode():
        found: NDArray[np.float32] = net.get_logits(torch.from_numpy(inputs), tokens)[0].numpy()
    return found
