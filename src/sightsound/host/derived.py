"""Models that are derived from others: the same network with other numbers and a head of its own, in safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Embedder, Output, Windows
from sightsound.contract.errors import SightsoundError
from sightsound.contract.exporter import ExportedNetwork
from sightsound.contract.importer import file_of
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.model_settings import ModelSettings
from sightsound.host import names
from sightsound.host.discovery import Registration, Registry

FORMAT = 1
SUFFIX = ".safetensors"
_MOST_HEADER = 2**26  # bytes, for networks with a hundred thousand tensors


class DerivedFormat:
    """Writes networks of plugins to safetensors files, and reads them again: an importer and an exporter.

    Parameters
    ----------
    registry : Registry
        The plugins.
    """

    name = "safetensors"
    suffixes: tuple[str, ...] = (SUFFIX,)
    suffix = SUFFIX

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def write(self, network: ExportedNetwork, file: Path) -> list[Path]:
        """Write the numbers of a network that has `module()` and `derive()`, with its head."""
        embedder: Any = network.embedder
        missing = [f"{name}()" for name in ("module", "derive") if not hasattr(embedder, name)]
        if missing:
            raise SightsoundError(f"{network.name}: cannot be written, since it has no {' and no '.join(missing)}")
        from sightsound.torch.state_files import write_state

        card, head = embedder.card, network.head or getattr(embedder, "linear_head", None)
        facts = described(
            str(card.constants.get("parent", card.name)),
            network.fingerprint,
            ClassList("head", network.head.labels) if network.head else card.classes,
            network.head.kind if network.head else card.scores,
            license=card.license,
            about=card.about,
        )
        write_state(file, embedder.module().state_dict(), head, facts)
        return [file]

    def knows(self, file: Path) -> bool:
        """Return whether a file names the network that it is derived from."""
        try:
            return bool(_metadata(file))
        except SightsoundError:
            return False

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of a derived network: that of its parent with other classes and more weights."""
        found = _metadata(files[0])
        parent = self._parent(str(found["parent"])).card
        classes = found.get("classes")
        labels = settings.labels or (classes or {}).get("labels", ())
        ids = settings.ids or ((classes or {}).get("ids", ()) if not settings.labels else ())
        class_list = ClassList(settings.name, tuple(labels), tuple(ids)) if labels else None
        if class_list and parent.classes and class_list.fingerprint == parent.classes.fingerprint:
            class_list = parent.classes
        return replace(
            parent,
            name=settings.name,
            classes=class_list,
            scores=(settings.scores or found.get("scores") or "softmax") if class_list else None,
            options=(),
            aliases=(),
            default_for=None,
            text=False,
            top1=None,
            constants={**parent.constants, "parent": parent.name, "parent_fingerprint": found.get("fingerprint", "")},
            license=settings.license or str(found.get("license") or parent.license),
            about=settings.about or str(found.get("about") or f"derived from {parent.name}"),
        )

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of a derived network, which is not built yet."""
        parent = self._parent(str(card.constants["parent"]))
        files = {file.name: weights[file.name] for file in parent.card.weights}
        own = {
            name: path for name, path in weights.items() if name not in files
        }  # the parent's may be .safetensors too
        return Derived(card, parent.load(device, files), file_of(own, SUFFIX))

    def _parent(self, name: str) -> Registration:
        return names.find(self._registry, name)


class Derived:
    """An embedder with the stages of another and the network of a file.

    Parameters
    ----------
    card : Card
        Its card.
    parent : Embedder
        What it is derived from; it has `derive`.
    file : pathlib.Path
        What `sightsound.torch.state_files.write_state` wrote.
    """

    def __init__(self, card: Card, parent: Embedder, file: Path) -> None:
        if not hasattr(parent, "derive"):
            raise SightsoundError(f"{card.name}: {parent.card.name} has no derive(); import another network")
        self.card, self._parent, self._file = card, parent, file

    @cached_property
    def _network(self) -> Any:
        from sightsound.torch.state_files import read_state

        parent: Any = self._parent
        return parent.derive(self.card, *read_state(self._file))

    def prepare(self) -> None:
        """Build the network."""
        if hasattr(self._network, "prepare"):
            self._network.prepare()

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the windows, as the parent does."""
        return self._parent.preprocess(media, start, last)

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network."""
        found: Output = self._network.embed(inputs)
        return found

    def postprocess(self, output: Output) -> Floats:
        """Return rows, as the parent does."""
        return self._parent.postprocess(output)

    @property
    def linear_head(self) -> LinearHead | None:
        """Its head, None if the network has a classifier of its own."""
        found: LinearHead | None = getattr(self._network, "linear_head", None)
        return found

    def module(self) -> Any:
        """Return a new copy of the network, without the head."""
        return self._network.module()

    def derive(self, card: Card, state: Mapping[str, Any], head: Any = None) -> Any:
        """Return the same network with other numbers."""
        return self._network.derive(card, state, head)

    def __getattr__(self, name: str) -> Any:
        if name not in ("batch_size", "workers", "threads", "device", "precision", "network_at", "openvino_model"):
            raise AttributeError(name)
        return getattr(self._network, name)


def described(
    parent: str, fingerprint: str, classes: ClassList | None, scores: str | None, *, license: str, about: str
) -> dict[str, Any]:
    """Return the metadata of a file with a derived network.

    Parameters
    ----------
    parent : str
        The name of the network that it is derived from.
    fingerprint : str
        Of the space of that network.
    classes : ClassList or None
        The classes of its scores.
    scores : {"softmax", "sigmoid"} or None
        What its scores are.
    license, about : str
        As on a card.

    Returns
    -------
    dict
    """
    named = classes and {"labels": list(classes.labels), "ids": list(classes.ids)}
    facts = {"format": FORMAT, "parent": parent, "fingerprint": fingerprint, "classes": named, "scores": scores}
    return {**facts, "license": license, "about": about}


def _metadata(file: Path) -> dict[str, Any]:
    """Return what a safetensors file says of itself, without reading its tensors."""
    try:
        with file.open("rb") as opened:
            (size,) = struct.unpack("<Q", opened.read(8))
            if size > _MOST_HEADER:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(opened.read(size))
        text = header.get("__metadata__", {}).get("sightsound")
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise SightsoundError(f"{file}: expected a safetensors file ({error}); is it complete?") from error
    if text is None:
        raise SightsoundError(f"{file}: does not say which network it is of; give it as weights: --weights NAME={file}")
    found: dict[str, Any] = json.loads(text)
    if found.get("format") != FORMAT:
        raise SightsoundError(f"{file}: expected format {FORMAT}, got {found.get('format')!r}; upgrade sightsound")
    return found
