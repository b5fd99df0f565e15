"""The two parts of CLAP, its front end and its tokenizer, each made by itself of the files of a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sightsound.plugin import Floats, SightsoundError
from sightsound.torch import first_difference, state_dict
from sightsound_clip.clap_frameworks import configuration, features, modeling, tokenizers

_BUFFERS = ("position_ids", "token_type_ids", "relative_position_index", "num_batches_tracked")
"""Ends of the names of tensors that are computed, and are in some files only."""


@dataclass(frozen=True)
class Files:
    """The files of a network, as they are on the Hugging Face Hub."""

    tensors: Path
    config: Path
    preprocessor: Path
    tokenizer: Path


class AudioTower(nn.Module):
    """The part for sounds.

    Parameters
    ----------
    tower : torch.nn.Module
        A `ClapAudioModelWithProjection`.
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings (n, dim) for log-mel spectrograms (n, 1, frames, bands)."""
        embeddings: Tensor = self.tower(input_features=inputs.contiguous()).audio_embeds
        return embeddings


class TextTower(nn.Module):
    """The part for words.

    Parameters
    ----------
    tower : torch.nn.Module
        A `ClapTextModelWithProjection`.
    pad : int
        The token that fills short texts.
    """

    def __init__(self, tower: nn.Module, pad: int) -> None:
        super().__init__()
        self.tower, self.pad = tower, pad

    def forward(self, tokens: Tensor) -> Tensor:
        """Return embeddings (n, dim) for tokens (n, length), whole numbers of any type."""
        tokens = tokens.long()
        embeddings: Tensor = self.tower(input_ids=tokens, attention_mask=(tokens != self.pad).long()).text_embeds
        return embeddings


@dataclass(frozen=True)
class FrontEnd:
    """Samples of one window to its log-mel spectrogram, by the feature extractor of transformers.

    Several threads may call it at once.
    """

    extractor: Any

    @property
    def sample_rate(self) -> int:
        """The sample rate in Hz."""
        return int(self.extractor.sampling_rate)

    @property
    def samples(self) -> int:
        """The length of a window."""
        return int(self.extractor.nb_max_samples)

    def __call__(self, samples: Floats) -> Floats:
        """Return float32 (1, frames, bands) for float32 (n,), of at most the length of a window."""
        found = self.extractor(samples, sampling_rate=self.sample_rate)
        return np.asarray(found["input_features"][0][:1], np.float32)


def audio_tower(files: Files, dim: int) -> AudioTower:
    """Return the part for sounds, whose embeddings have length `dim`.

    Raises `SightsoundError` if the files are not of such a network.
    """
    config = _config(files, dim)
    if config.audio_config.enable_fusion:
        raise SightsoundError(
            f"{files.config}: expected a network without fusion, whose rows do not vary; got one with"
        )
    return AudioTower(_filled(files, modeling.ClapAudioModelWithProjection, config.audio_config, "audio_"))


def text_tower(files: Files, dim: int) -> TextTower:
    """Return the part for words, as `audio_tower`."""
    config = _config(files, dim)
    tower = _filled(files, modeling.ClapTextModelWithProjection, config.text_config, "text_")
    return TextTower(tower, config.text_config.pad_token_id)


def logit_scale(files: Files) -> float | None:
    """Return the number that cosines with sounds are multiplied by, None if the file has none."""
    found = state_dict(files.tensors).get("logit_scale_a")
    return None if found is None else float(found.double().exp())


def front_end(files: Files) -> FrontEnd:
    """Return the front end. Raises `SightsoundError` if its file is not of CLAP."""
    settings = _json(files.preprocessor)
    if settings.get("feature_extractor_type", "ClapFeatureExtractor") != "ClapFeatureExtractor":
        raise SightsoundError(f"{files.preprocessor}: expected settings of CLAP, got another feature extractor")
    return FrontEnd(_made(files.preprocessor, lambda: features.ClapFeatureExtractor(**settings)))


def tokenizer(files: Files) -> Callable[[Sequence[str]], Floats]:
    """Return a function of texts that gives tokens (n, length), as float32, padded to the longest.

    Raises `SightsoundError` if the file is not of a tokenizer.
    """
    text = _config(files, None).text_config
    made = _made(files.tokenizer, lambda: tokenizers.Tokenizer.from_str(files.tokenizer.read_text("utf-8")))
    made.enable_truncation(text.max_position_embeddings - text.pad_token_id - 1)  # as RoBERTa counts positions
    made.enable_padding(pad_id=text.pad_token_id)
    return lambda texts: np.array([each.ids for each in made.encode_batch(list(texts))], np.float32)


def _config(files: Files, dim: int | None) -> Any:
    settings = _json(files.config)
    if settings.get("model_type", "clap") != "clap":
        raise SightsoundError(f"{files.config}: expected a configuration of CLAP, got {settings['model_type']!r}")
    known = ("audio_config", "text_config", "projection_dim", "projection_hidden_act")
    given = {key: settings[key] for key in known if key in settings}
    config = _made(files.config, lambda: configuration.ClapConfig(**given))
    if dim not in (None, config.projection_dim):
        raise SightsoundError(f"{files.config}: expected embeddings of length {dim}, got {config.projection_dim}")
    return config


def _filled(files: Files, kind: Any, config: Any, prefix: str) -> nn.Module:
    """Return a part of a network with its tensors."""
    tower: nn.Module = _made(files.config, lambda: kind(config))
    tensors = {key: value for key, value in state_dict(files.tensors).items() if key.startswith(prefix)}
    wrong = first_difference(tower.state_dict(), tensors, may_lack=_BUFFERS, may_have=_BUFFERS)
    if wrong:
        raise SightsoundError(f"{files.tensors}: {wrong}; give the files of one network")
    tower.load_state_dict(tensors, strict=False)
    return tower


def _json(file: Path) -> dict[str, Any]:
    found = _made(file, lambda: json.loads(file.read_text("utf-8")))
    if not isinstance(found, dict):
        raise SightsoundError(f"{file}: expected settings of CLAP, got a {type(found).__name__}")
    return found


def _made(file: Path, make: Callable[[], Any]) -> Any:
    """Return what is made of a file; say in one line why it cannot be made."""
    try:
        return make()
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SightsoundError(f"{file}: expected a file of CLAP as transformers writes it, got {text}") from error
