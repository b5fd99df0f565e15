"""OpenCLIP's own files: weights with `open_clip_config.json`, as repositories of networks have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightsound.plugin import Card, Embedder, ModelSettings, SightsoundError, file_of
from sightsound_clip.cards import card_of

WEIGHTS: tuple[str, ...] = (".safetensors", ".pt", ".pth", ".bin")


class OpenClipFiles:
    """Imports a file of weights (safetensors, or tensors of torch) and its configuration.

    The configuration is a JSON file with `model_cfg` and `preprocess_cfg`, as open_clip writes it to the Hugging Face
    Hub. No network is asked, and nothing in the files is executed.
    """

    name = "open_clip"
    suffixes = WEIGHTS

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card; of the settings the name, `license` and `about` are used. See `Importer.read`."""
        by_suffix = {file.suffix.lower(): file for file in files}
        if ".json" not in by_suffix:
            text = "expected open_clip_config.json beside the weights"
            raise SightsoundError(f"{files[0]}: {text}, got no JSON file; name it too")
        config, preprocess = _read(by_suffix[".json"])
        about = settings.about or "CLIP, images and words, from files"
        return card_of(settings.name, config, preprocess, license=settings.license, about=about)

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder; see `Importer.load`."""
        from sightsound_clip.embedder import embedder_of

        config, _ = _read(file_of(weights, ".json"))
        return embedder_of(card, file_of(weights, *WEIGHTS), device, config)


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two configurations in a file."""
    try:
        found = json.loads(file.read_text("utf-8"))
        config, preprocess = found["model_cfg"], found.get("preprocess_cfg", {})
        remote = ":" in str(config["vision_cfg"].get("timm_model_name", ""))  # timm would ask a hub for it
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        text = "expected JSON with model_cfg and preprocess_cfg of open_clip"
        raise SightsoundError(f"{file}: {text}, got {type(error).__name__}: {error}") from error
    if remote or not isinstance(preprocess, dict):
        raise SightsoundError(f"{file}: expected a network that timm has, and preprocess_cfg; is it of open_clip?")
    return config, preprocess
