"""The two parts of a network of OpenCLIP, each built by itself with its tensors of a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightsound.plugin import SightsoundError
from sightsound.torch import first_difference, state_dict
from sightsound_clip.frameworks import open_clip

_model: Any = importlib.import_module("open_clip.model")


class Tower(nn.Module):
    """A part of a network that returns embeddings alone, projected, and not scaled to length 1.

    Parameters
    ----------
    tower : torch.nn.Module
        The part; it returns embeddings (n, dim), or a tuple that begins with them.
    """

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower: Any = tower

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings (n, dim)."""
        found = self.tower(inputs)
        embeddings: Tensor = found[0] if isinstance(found, tuple) else found
        return embeddings


class TextTower(Tower):
    """The part for words. Its inputs are tokens (n, context_length), whole numbers as float32."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings (n, dim)."""
        tokens = inputs.long()
        return self._of_short_texts(tokens) if self._reads_forward() else super().forward(tokens)

    def _reads_forward(self) -> bool:
        """Return whether a token sees those before it alone, and the last one of a text is its embedding."""
        part = self.tower
        masks = part.attn_mask is not None and not part.use_pad_mask
        return masks and part.cls_emb is None and part.pool_type == "argmax"

    def _of_short_texts(self, tokens: Tensor) -> Tensor:
        """Return what `TextTransformer` does without the positions after the longest text, which nothing sees."""
        part, ends = self.tower, tokens.argmax(dim=1)
        count = int(ends.max()) + 1
        found = part.token_embedding(tokens[:, :count]) + part.positional_embedding[:count]
        found = part.transformer(found, attn_mask=part.attn_mask[:count, :count])
        embeddings: Tensor = part.ln_final(found)[torch.arange(len(tokens), device=tokens.device), ends]
        projection = part.text_projection
        if projection is not None:
            embeddings = projection(embeddings) if isinstance(projection, nn.Module) else embeddings @ projection
        return embeddings


def image_tower(name: str, config: Mapping[str, Any], file: Path) -> Tower:
    """Return the part for images.

    Parameters
    ----------
    name : str
        The network, for errors.
    config : mapping
        Its configuration of open_clip.
    file : pathlib.Path
        The file with the weights of both parts.

    Raises
    ------
    SightsoundError
        If the file is not one of this network.
    """
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}
    return Tower(_filled("visual", _model._build_vision_tower, vision, name, config, file))


def text_tower(name: str, config: Mapping[str, Any], file: Path) -> TextTower:
    """Return the part for words, whose inputs are tokens (n, context_length); see `image_tower`."""
    return TextTower(_filled("text", _model._build_text_tower, config["text_cfg"], name, config, file))


def tokenizer(context_length: int) -> Any:
    """Return open_clip's tokenizer: a function of a list of texts that gives int64 tokens (n, context_length)."""
    return open_clip.SimpleTokenizer(context_length=context_length)


def logit_scale(file: Path) -> float | None:
    """Return the number that the cosines are multiplied by, None if the file has none."""
    found = _tensors(file).get("logit_scale")
    return None if found is None else float(found.double().exp())


def _filled(part: str, build: Any, part_config: Any, name: str, config: Mapping[str, Any], file: Path) -> nn.Module:
    """Return a part of a network with its tensors."""
    try:
        tower: nn.Module = build(config["embed_dim"], part_config, config.get("quick_gelu", False))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SightsoundError(f"{name}: configuration: expected one that open_clip builds, got {text}") from error
    tensors = {key.removeprefix(f"{part}."): value for key, value in _tensors(file).items() if _is_of(part, key)}
    wrong = first_difference(tower.state_dict(), tensors, may_lack=("num_batches_tracked",))
    if wrong:
        raise SightsoundError(f"{file}: {part}: {wrong}; give a file of {name}, or name the network it is of")
    tower.load_state_dict(tensors, strict=False)
    return tower


def _tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file with the names of parts: `visual.*`, `text.*`, and `logit_scale`.

    Files of networks without a text part of their own kind have its tensors at the top: `token_embedding.weight`.
    """
    found = {key.removeprefix("module."): tensor for key, tensor in state_dict(file).items()}  # DataParallel's prefix
    renamed: dict[str, Tensor] = _model.convert_to_custom_text_state_dict(found)
    return renamed


def _is_of(part: str, key: str) -> bool:
    return key.startswith(f"{part}.") and not key.endswith("attn_mask")
