"""Networks in safetensors files: the numbers of a network, with its name, its classes and its head in the metadata.

Importing this module imports neither torch nor timm.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound.plugin import (
    SETTINGS_KEY,
    Card,
    ClassList,
    Embedder,
    ExportedNetwork,
    LinearHead,
    ModelSettings,
    SightsoundError,
    file_of,
    filled_settings,
)
from sightsound_timm.embedder import ImageEmbedder

if TYPE_CHECKING:
    from torch import nn

NETWORK_KEY = "network"
"""The metadata that name the network."""

HEAD_KEY = "head"
"""The metadata with the kind and the preparation of a head, as JSON; its arrays are tensors with this prefix."""

_ARRAYS = ("weight", "bias", "centre")


class SafetensorsFormat:
    """Writes networks of this plugin to safetensors files, and reads them again; an importer and an exporter."""

    name = "safetensors"
    suffixes: tuple[str, ...] = (".safetensors",)
    suffix = ".safetensors"

    def write(self, network: ExportedNetwork, file: Path) -> list[Path]:
        """Write the state dict of a network of this plugin.

        Raises
        ------
        SightsoundError
            If it is of another plugin, or has rows of inner layers.
        """
        embedder = network.embedder
        if not isinstance(embedder, ImageEmbedder) or embedder.has_plan:
            text = f"{network.name}: expected a network of timm or torchvision without layer="
            raise SightsoundError(f"{text}, got another; write it with --to onnx")
        from safetensors.torch import save_file

        card, head = embedder.card, network.head
        stated = {"license": card.license, "about": card.about}
        if head is not None:
            stated |= {"labels": list(head.labels), "scores": head.kind}  # type: ignore[dict-item]
        elif card.classes:
            stated |= {"labels": card.labels, "ids": card.label_ids, "scores": card.scores}  # type: ignore[dict-item]
        metadata = {NETWORK_KEY: embedder.network_name, SETTINGS_KEY: json.dumps(stated)}
        tensors = {name: tensor.contiguous().clone() for name, tensor in embedder.module().state_dict().items()}
        if own := embedder.linear_head if head is None else head:
            metadata[HEAD_KEY] = json.dumps({name: getattr(own, name) for name in ("kind", "copies", "sqrt", "unit")})
            tensors |= _head_tensors(own)
        save_file(tensors, file, metadata)
        return [file]

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in a file: that of the network it names, with the classes of the file.

        Raises
        ------
        SightsoundError
            If the file is damaged, or was not written by `export-model`.
        """
        from sightsound_timm import zoo

        file = files[0]
        metadata = _metadata(file)
        found = zoo.find_card(metadata[NETWORK_KEY]) if zoo.is_mentioned(metadata[NETWORK_KEY]) else None
        if found is None:
            got = metadata[NETWORK_KEY]
            raise SightsoundError(f"{file}: expected a network of timm or torchvision, got {got!r}; upgrade timm")
        base, _ = found
        said = filled_settings(settings, metadata.get(SETTINGS_KEY, ""))
        head = _head(file, metadata, said.labels)
        count = len(head.weight) if head else len(base.labels)
        if said.labels and len(said.labels) != count:
            raise SightsoundError(f"{settings.name}: labels: expected {count}, got {len(said.labels)}")
        classes = ClassList(settings.name, said.labels, said.ids) if said.labels else None
        if classes and base.classes and classes.fingerprint == base.classes.fingerprint:
            classes = base.classes
        return dataclasses.replace(
            base,
            name=settings.name,
            classes=classes,
            scores=(said.scores or "softmax") if classes else None,
            weights=(),
            options=(),
            aliases=(),
            default_for=None,
            constants={**base.constants, NETWORK_KEY: base.name},
            top1=None,
            license=said.license,
            about=said.about,
        )

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of a network whose numbers are in a file; torch is imported by its `prepare`."""
        file = file_of(weights, *self.suffixes)
        embedder: Any = StateEmbedder(card, file, device)
        head = _head(file, _metadata(file), card.labels)
        found: Embedder = embedder.derive(card, None, head)
        return found


class StateEmbedder(ImageEmbedder):
    """A network with the state dict in a file.

    Parameters
    ----------
    card : Card
        What `SafetensorsFormat.read` returned.
    file : pathlib.Path
        The file.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    """

    @property
    def network_name(self) -> str:
        """The name of the network whose structure it has."""
        return str(self.card.constants[NETWORK_KEY])

    def __init__(self, card: Card, file: Path, device: str) -> None:
        super().__init__(card, "", file, device)

    def build(self) -> nn.Module:
        """Return the network with the numbers of the file. Raises `SightsoundError` if they do not fit it."""
        from sightsound.torch import state_dict
        from sightsound_timm import zoo
        from sightsound_timm.filling import empty_network

        found = zoo.find_card(self.network_name)
        assert found is not None, self.network_name
        network = empty_network(*found)
        tensors = state_dict(self._file)
        numbers = {name: each for name, each in tensors.items() if not name.startswith(f"{HEAD_KEY}.")}
        try:
            network.load_state_dict(numbers)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise SightsoundError(f"{self._file}: {reason}; export the network again") from error
        return network


def _head_tensors(head: LinearHead) -> dict[str, Any]:
    import torch

    arrays = {name: getattr(head, name) for name in _ARRAYS}
    return {
        f"{HEAD_KEY}.{name}": torch.tensor(array).contiguous() for name, array in arrays.items() if array is not None
    }


def _metadata(file: Path) -> dict[str, str]:
    import safetensors

    try:
        with safetensors.safe_open(file, framework="np") as opened:
            metadata: dict[str, str] = opened.metadata() or {}
    except Exception as error:
        reason = " ".join(str(error).split())
        raise SightsoundError(
            f"{file}: expected a safetensors file, got another or a damaged one ({reason})"
        ) from error
    if NETWORK_KEY not in metadata:
        text = f"{file}: expected a file of `sightsound export-model`, got one that does not name its network"
        raise SightsoundError(f"{text}; weights of a known network are given with --weights NAME=FILE")
    return metadata


def _head(file: Path, metadata: Mapping[str, str], labels: tuple[str, ...]) -> LinearHead | None:
    if HEAD_KEY not in metadata:
        return None
    import safetensors

    try:
        with safetensors.safe_open(file, framework="np") as opened:
            there = set(opened.keys())
            arrays = {n: opened.get_tensor(f"{HEAD_KEY}.{n}") for n in _ARRAYS if f"{HEAD_KEY}.{n}" in there}
        return LinearHead(labels=labels, **arrays, **json.loads(metadata[HEAD_KEY]))
    except (ValueError, TypeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise SightsoundError(f"{file}: expected a head with weights and biases ({reason}); export it again") from error
