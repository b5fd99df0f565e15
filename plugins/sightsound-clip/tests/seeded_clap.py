"""A small CLAP with seeded numbers, its files, and a tokenizer that was trained on a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

frameworks: Any = pytest.importorskip("sightsound_clip.clap_frameworks", reason="needs transformers and tokenizers")

NAME = "clap_htsat_unfused.laion"
AUDIO = {
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 4, 8],
    "hidden_size": 64,
    "patch_embeds_hidden_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 400,
    "max_position_embeddings": 50,
}
PREPROCESSOR = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "frequency_min": 50,
    "frequency_max": 14000,
    "truncation": "rand_trunc",
    "padding": "repeatpad",
}


def seeded(seed: int = 0) -> Any:
    """Return transformers' own network."""
    config = frameworks.configuration.ClapConfig(audio_config=dict(AUDIO), text_config=dict(TEXT))
    torch.manual_seed(seed)
    net = frameworks.modeling.ClapModel(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # biases begin as zeros, and others as very small numbers
            if parameter.ndim:
                parameter += 0.05 * torch.randn_like(parameter)
        net.logit_scale_a.fill_(float(np.log(7.5)))
    return net


def train_tokenizer() -> Any:
    """Return a byte-level tokenizer with RoBERTa's special tokens."""
    tokenizers = frameworks.tokenizers
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=TEXT["vocab_size"],
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["This is a sound of a dog that barks", "rain on a roof", "the sea at night"], trainer)
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def write_files(net: Any, folder: Path, tokenizer: Any, **changes: Any) -> list[str]:
    """Write the files of a network, and return them as `--weights` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "clap", "audio_config": dict(AUDIO), "text_config": dict(TEXT), **changes}
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    tokenizer.save(str(folder / "tokenizer.json"))
    small = ("config.json", "preprocessor_config.json", "tokenizer.json")
    return [
        f"{NAME}.safetensors={folder / 'model.safetensors'}",
        *(f"{NAME}.{file}={folder / file}" for file in small),
    ]


def audio_of(net: Any, sounds: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what transformers makes of sounds, not scaled to length 1."""
    inputs = frameworks.features.ClapFeatureExtractor(**PREPROCESSOR)(sounds, sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        found = net.audio_model(input_features=inputs["input_features"].float()).pooler_output
        rows: NDArray[np.float32] = net.audio_projection(found).numpy()
    return rows


def text_of(net: Any, tokenizer: Any, text: str) -> NDArray[np.float32]:
    """Return what transformers makes of a text, float32 (1, dim), not scaled to length 1."""
    tokens = torch.tensor([tokenizer.encode(text).ids])
    with torch.inference_mode():
        rows: NDArray[np.float32] = net.text_projection(net.text_model(input_ids=tokens).pooler_output).numpy()
    return rows
