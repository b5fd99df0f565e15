"""Importing: a network in a file of the user's becomes a model like any other."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.importer import Importer
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.paths import PathLike
from sightsound.host.discovery import OfferedImporter, one_line
from sightsound.host.host import Host
from sightsound.host.missing import how_to_install
from sightsound.host.model_folder import ImportedModel
from sightsound.host.trial import noise, trial_model

log = logging.getLogger(__name__)
_TAKEN = ("layers",)
"""Words that stand where `sightsound models` takes a name."""


def import_model(
    source: PathLike | Sequence[PathLike],
    settings: ModelSettings,
    *,
    format: str = "",
    trust: bool = False,
    replace: bool = False,
    host: Host | None = None,
) -> Card:
    """Make a model of a network in a file, which has a name in every command from then on.

    Its files are copied to the user's folder of models, and it is run once.

    Parameters
    ----------
    source : path-like or sequence of path-like
        The file; several files with different suffixes, such as weights and architecture; or a folder or an address,
        for formats that have such.
    settings : ModelSettings
        Its name, its input and its output.
    format : str
        The name of the format; by default that of the first file's suffix.
    trust : bool
        Whether to import a format whose files are programs, which can do anything once they are loaded. Files whose
        hash is known beforehand need not be trusted.
    replace : bool
        Whether to replace a model of this name that was imported before.
    host : Host or None
        The host; a new one by default.

    Returns
    -------
    Card

    Raises
    ------
    SightsoundError
        If no plugin imports such files, if they are damaged, or if the settings do not fit them.
    """
    host = host or Host()
    host.reload_models()
    sources = [os.fspath(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]
    check_name(host, settings.name, replace)
    offered = _offered(host, sources, format)
    importer = offered.importer
    if getattr(importer, "runs_code", False) and not trust and not _pinned(importer, sources):
        text = f"{sources[0]}: a file of the format {importer.name} is a program"
        raise SightsoundError(f"{text}; give --trust if you know where it is from")
    with tempfile.TemporaryDirectory() as folder:
        files = _files(importer, sources, Path(folder))
        card = _read(offered, files, settings)
        weights = host.models.copy(settings.name, files)
    card = dataclasses.replace(card, weights=(*card.weights, *weights))
    try:
        _run_once(host, offered, card)
        package = next((each.distribution for each in host.plugins if each.name == offered.plugin and each.in_use), "")
        check_name(host, settings.name, replace)  # another process may have been faster
        host.models.add(ImportedModel(card, importer.name, package))
    finally:
        host.models.discard(settings.name)
    host.reload_models()
    return card


def remove_model(name: str, *, host: Host | None = None) -> None:
    """Remove a model that was imported, with its files; vectors in libraries stay.

    Parameters
    ----------
    name : str
        The name of the model.
    host : Host or None
        The host; a new one by default.

    Raises
    ------
    SightsoundError
        If no model of this name was imported.
    """
    host = host or Host()
    children = [each.card.name for each in host.models.models() if each.card.constants.get("parent") == name]
    if children:
        raise SightsoundError(f"{name}: {', '.join(children)} needs it, which is derived from it; remove that first")
    host.models.remove(name)
    host.reload_models()


def check_name(host: Host, name: str, replace: bool) -> None:
    """Raise `SightsoundError` if a model of this name cannot be imported."""
    imported = {each.card.name for each in host.models.models()}
    if name in imported and not replace:
        raise SightsoundError(f"{name}: there is an imported model of this name; give --replace, or another --name")
    if name not in imported and (name in host.cards or name in host.aliases):
        raise SightsoundError(f"{name}: plugin {host.plugin_of(name)} has a model of this name; give another --name")
    if not re.match(r"[A-Za-z0-9_]", name) or "/" in name or name in _TAKEN:
        raise SightsoundError(f"{name}: expected a name such as my_net; give another --name")


def _offered(host: Host, sources: Sequence[str], format: str) -> OfferedImporter:
    """Return the importer of a format, or that for the suffix of the first file."""
    if not sources:
        raise SightsoundError("expected a file to import")
    known = ", ".join(f"{name} ({', '.join(each.importer.suffixes)})" for name, each in host.importers.items())
    if format:
        if format not in host.importers:
            raise SightsoundError(f"format {format!r}: expected one of those in use: {known or 'none'}{_INSTALL}")
        return host.importers[format]
    fitting = [each for each in host.importers.values() if _takes(each.importer, sources[0])]
    if len(fitting) > 1:
        sure = [each for each in fitting if _knows(each.importer, sources[0])]
        fitting = sure or [each for each in fitting if not hasattr(each.importer, "knows")]
    if len(fitting) > 1:
        names = ", ".join(each.importer.name for each in fitting)
        raise SightsoundError(f"{sources[0]}: several formats have such files: {names}; choose one (--format)")
    if not fitting:
        raise SightsoundError(f"{sources[0]}: expected a file of one of these formats: {known or 'none'}{_INSTALL}")
    return fitting[0]


_PLUGINS = ("onnx", "openvino", "keras", "opencv", "tfhub")
_INSTALL = f"; others come with plugins: {', '.join(f'sightsound-{name}' for name in _PLUGINS)}"


def _knows(importer: Importer, source: str) -> bool:
    return hasattr(importer, "knows") and bool(importer.knows(Path(source)))


def _pinned(importer: Importer, sources: Sequence[str]) -> bool:
    return hasattr(importer, "pinned") and all(map(importer.pinned, sources))


def _gathers(importer: Importer, source: str) -> bool:
    return hasattr(importer, "takes") and bool(importer.takes(source))


def _takes(importer: Importer, source: str) -> bool:
    if _gathers(importer, source):
        return True
    return source.lower().endswith(tuple(importer.suffixes)) and not os.path.isdir(source)


def _files(importer: Importer, sources: Sequence[str], folder: Path) -> list[Path]:
    """Return the files of a network, those of a folder or an address in `folder`."""
    plain = all(os.path.isfile(source) and not _gathers(importer, source) for source in sources)
    if hasattr(importer, "gather") and not plain:
        if len(sources) > 1:
            text = f"{sources[1]}: expected one source in the format {importer.name}, got {len(sources)}"
            raise SightsoundError(f"{text}; give one of them")
        files: list[Path] = importer.gather(sources[0], folder)
    else:
        files = [Path(source) for source in sources]
    for file in files:
        if not file.is_file():
            raise SightsoundError(f"{file}: no such file; expected one of the format {importer.name}")
    if len({file.suffix.lower() for file in files}) < len(files):
        raise SightsoundError(f"{files[0]}: expected files with different suffixes, got {len(files)} files")
    return files


def _read(offered: OfferedImporter, files: Sequence[Path], settings: ModelSettings) -> Card:
    try:
        card = offered.importer.read(files, settings)
    except (SightsoundError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        log.debug("%s cannot be imported", files[0], exc_info=True)
        advice = how_to_install(error, offered.plugin) or "; is it complete, and of this format?"
        name = offered.importer.name
        raise SightsoundError(f"{files[0]}: cannot be read in the format {name} ({one_line(error)}){advice}") from error
    if not isinstance(card, Card) or card.name != settings.name:
        raise PluginError(
            f"format {offered.importer.name} (plugin {offered.plugin}): expected a card of {settings.name}"
        )
    return card


_WHOLE = 0.05
"""How far from 1 the sum of a softmax may be, which networks round that compute in whole numbers."""


def _run_once(host: Host, offered: OfferedImporter, card: Card) -> None:
    """Load a network from the files that were copied, and embed noise."""
    _, rows, scores = trial_model(offered, card, host.models.path, host.weights).rows(noise(card))
    if not np.isfinite(rows).all():
        raise SightsoundError(f"{card.name}: expected finite embeddings, got NaN or infinity; is --embedding right?")
    if scores is not None and not (scores.min() >= -1e-6 and scores.max() <= 1 + 1e-6):
        got = f"from {scores.min():.3g} to {scores.max():.3g}"
        raise SightsoundError(f"{card.name}: scores: expected probabilities from 0 to 1, got {got}; give --logits")
    if scores is not None and card.scores == "softmax" and np.abs(scores.sum(axis=1) - 1).max() > _WHOLE:
        text = f"{card.name}: scores: expected a sum of 1, got {scores[0].sum():.3g}"
        raise SightsoundError(f"{text}; give --scores sigmoid, or --logits")
