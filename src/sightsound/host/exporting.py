"""Exporting: a network, with a probe as its head if one is given, is written to a file of another format."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sightsound._atomic import atomic_path, check_not_input, check_writable
from sightsound.contract.arrays import Floats, unit_rows
from sightsound.contract.card import WeightFile
from sightsound.contract.classlist import ClassList
from sightsound.contract.decoding import shortest_side
from sightsound.contract.errors import SightsoundError
from sightsound.contract.exporter import ExportedNetwork
from sightsound.contract.linear_head import HasHead, LinearHead
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.paths import PathLike, nearest
from sightsound.contract.stated_settings import settings_of_card
from sightsound.host.discovery import OfferedExporter, one_line
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.host.trial import noise, trial_model
from sightsound.weights.hashes import sha256

log = logging.getLogger(__name__)

SAME_ROWS = 0.99999
"""The least cosine of rows of the file with those of the model."""

SAME_SCORES = 1e-5
"""The largest difference of their scores."""


def export_model(
    name: str,
    out: PathLike,
    *,
    to: str = "",
    probe: HasHead | None = None,
    host: Host | None = None,
) -> list[Path]:
    """Write a model to a file that other programs read, and that `import_model` reads again.

    The file is imported once before it takes its place: its rows and scores are those of the model.

    Parameters
    ----------
    name : str
        The model.
    out : path-like
        The file. Some formats have others beside it, with the same name and another suffix.
    to : str
        The name of the format; by default that of the suffix of the file.
    probe : LinearModel or None
        A probe that was fitted to rows of this model, whose classes replace those of the network. The file gives its
        probabilities for each window or image.
    host : Host or None
        The host; a new one by default.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SightsoundError
        If no plugin writes this format, if the network cannot be written in it, if the probe is for other rows, or if
        a file cannot be written or is one of the model.
    """
    host, out = host or Host(), Path(out)
    offered = _offered(host, out, to)
    own = (host.weights.find(file) for file in host.card(name).weights)
    check_not_input(out, [each.path for each in own if each is not None])
    check_writable(out)
    model = host.load(name, "cpu")
    head = probe.head_for(model.space) if probe is not None else None
    if model.card.text:
        log.warning("%s: what it makes of words is not written, only of %ss", name, model.card.modality)
    network = ExportedNetwork(
        embedder=model.embedder, settings=_settings(model, head), head=head, fingerprint=model.space.fingerprint
    )
    with tempfile.TemporaryDirectory() as folder:
        files = _written(offered, network, Path(folder) / f"network{offered.exporter.suffix}")
        _compare(host, offered, model, network, files)
        return [_put(file, out.with_name(f"{out.stem}{file.suffix}")) for file in files]


def _offered(host: Host, out: Path, to: str) -> OfferedExporter:
    known = ", ".join(f"{name} ({each.exporter.suffix})" for name, each in host.exporters.items()) or "none"
    install = "others come with plugins: sightsound-onnx, sightsound-openvino, sightsound-timm"
    if not to:
        found = [each for each in host.exporters.values() if out.name.lower().endswith(each.exporter.suffix)]
        if len(found) != 1:
            raise SightsoundError(f"{out}: expected a file of one of these formats: {known}; {install}")
        return found[0]
    if to not in host.exporters:
        similar = nearest(to, host.exporters)
        mean = f"did you mean {similar!r}? " if similar else ""
        raise SightsoundError(f"format {to!r}: expected one of those in use: {known}; {mean}{install}")
    offered = host.exporters[to]
    if not out.name.lower().endswith(offered.exporter.suffix):
        raise SightsoundError(f"{out}: expected a name that ends with {offered.exporter.suffix}; rename the output")
    return offered


def _settings(model: Model, head: LinearHead | None) -> ModelSettings | None:
    card = model.card
    if head is not None:
        card = replace(card, classes=ClassList("probe", head.labels), scores=head.kind)
    return settings_of_card(card)


def _written(offered: OfferedExporter, network: ExportedNetwork, file: Path) -> list[Path]:
    try:
        return offered.exporter.write(network, file)
    except (SightsoundError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        log.debug("%s cannot be exported", network.name, exc_info=True)
        format = offered.exporter.name
        raise SightsoundError(
            f"{network.name}: cannot be written in the format {format} ({one_line(error)})"
        ) from error


def _compare(
    host: Host, exporter: OfferedExporter, model: Model, network: ExportedNetwork, files: Sequence[Path]
) -> None:
    """Import the files, and raise `SightsoundError` if they give other rows or scores than the model."""
    name = model.card.name
    offered = host.importers.get(exporter.exporter.name)
    if offered is None:
        raise SightsoundError(f"{name}: expected an importer {exporter.exporter.name} to check the file; see `plugins`")
    card = offered.importer.read(files, ModelSettings(name="exported"))
    if model.shortest_side != shortest_side(card):
        log.warning("%s: the file does not say how images are decoded; name the model as NAME[decode=scaled]", name)
    weights = tuple(WeightFile(name=file.name, sha256=sha256(file), size=file.stat().st_size) for file in files)
    imported = trial_model(offered, replace(card, weights=(*card.weights, *weights)), files[0].parent, host.weights)
    media: Any = noise(model.card)
    (_, expected, scores), (_, rows, new_scores) = model.rows(media), imported.rows(media)
    if network.head is not None:
        scores = network.head(expected)
    same = rows.shape == expected.shape and _least_cosine(expected, rows) >= SAME_ROWS
    if not same:
        cosine = (
            f"cosine {_least_cosine(expected, rows):.6f}" if rows.shape == expected.shape else f"shape {rows.shape}"
        )
        text = f"{name}: expected the rows of the model from the file, got others ({cosine})"
        raise SightsoundError(f"{text}; leave stage plugins out (--block), or name another model")
    if (scores is None) != (new_scores is None) or (
        scores is not None and new_scores is not None and np.abs(scores - new_scores).max() > SAME_SCORES
    ):
        raise SightsoundError(f"{name}: expected the scores of the model from the file, got others; name another model")


def _least_cosine(one: Floats, other: Floats) -> float:
    return float((unit_rows(one).astype(np.float64) * unit_rows(other)).sum(axis=1).min())


def _put(file: Path, place: Path) -> Path:
    """Copy a file to its place, where it is whole or not at all."""
    try:
        with atomic_path(place) as part:
            shutil.copyfile(file, part)
    except OSError as error:
        raise SightsoundError(f"{place}: cannot be written ({error.strerror or error}); name another file") from error
    return place
