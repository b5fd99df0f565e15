"""Runtimes: which one runs a network, its compiled files, and whether it keeps the numbers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats, row_lengths
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Output
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Compiled, Execution
from sightsound.contract.paths import nearest
from sightsound.contract.space import Space, Stage
from sightsound.host.discovery import OfferedRuntime, Registry, one_line
from sightsound.host.missing import how_to_install

log = logging.getLogger(__name__)

NONE = "none"
"""The name of the setting that uses no runtime."""

_SCORES_APART = 1e-3  # scores of a runtime may differ by this
_LENGTHS_APART = 1e-3  # and the lengths of rows by this fraction


class Different(PluginError):
    """A runtime that does not keep the numbers of a network."""


def runtime_for(
    registry: Registry, card: Card, device: str, *, wanted: str = "", precision: str = "float32"
) -> OfferedRuntime | None:
    """Return the runtime that runs a network, or None if it runs by itself.

    Parameters
    ----------
    registry : Registry
        The plugins.
    card : Card
        The card of the network.
    device : str
        As in `Load`.
    wanted : str
        The name of a runtime, "none", or "" for the first by name that fits.
    precision : str
        What it must offer.

    Returns
    -------
    OfferedRuntime or None
        It fits the card, and the packages that it requires are there.

    Raises
    ------
    PluginError
        If a runtime of the wanted name does not exist, lacks a package, or does not fit.
    """
    if wanted == NONE:
        return None
    if wanted:
        return _wanted(registry, card, device, wanted, precision)
    for _, offered in sorted(registry.runtimes.owned.items()):
        if precision in _precisions(offered) and _fits(offered, card, device) and not missing_packages(offered):
            return offered
    return None


def missing_packages(offered: OfferedRuntime) -> list[str]:
    """Return the packages that a runtime requires and that cannot be imported."""
    return [name for name in getattr(offered.runtime, "requires", ()) if importlib.util.find_spec(name) is None]


def stage_of(offered: OfferedRuntime, precision: str) -> Stage | None:
    """Return what a runtime adds to the space: nothing in float32, where it keeps the numbers."""
    if precision == "float32":
        return None
    return Stage(offered.runtime.name, offered.runtime.version, precision)


class Running:
    """An embedder whose network a runtime runs. Everything else is the embedder's own.

    Parameters
    ----------
    embedder : Embedder
        The embedder.
    compiled : Compiled
        Its network in the runtime.
    """

    def __init__(self, embedder: Embedder, compiled: Compiled) -> None:
        self._embedder = embedder
        self.embed = compiled.embed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)


def compile_network(
    offered: OfferedRuntime,
    embedder: Embedder,
    space: Space,
    *,
    device: str,
    precision: str,
    weights: Mapping[str, Path],
    folder: Path,
) -> Compiled:
    """Return the network of an embedder in a runtime.

    When a network is first compiled on a machine, its numbers are compared with those of the network itself.

    Parameters
    ----------
    offered : OfferedRuntime
        The runtime.
    embedder : Embedder
        The embedder; its network is not built if the runtime has compiled it before.
    space : Space
        Its space.
    device, precision : str
        As in `Runtime.compile`.
    weights : mapping of str to pathlib.Path
        The files of its weights.
    folder : pathlib.Path
        Where compiled files of all networks are kept.

    Returns
    -------
    Compiled
        With the name of the runtime in its execution.

    Raises
    ------
    Different
        If the runtime does not keep the numbers.
    PluginError
        If it fails.
    """
    runtime, name = offered.runtime, f"{offered.runtime.name} (plugin {offered.plugin})"
    cache = _cache_folder(offered, space, device, precision, folder)
    try:
        compiled = runtime.compile(embedder, device=device, precision=precision, weights=weights, cache=cache)
    except (SightsoundError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        log.debug("compiling %s failed", space.name, exc_info=True)
        text = (
            f"compiling {space.name} for the runtime {name}: {one_line(error)}{how_to_install(error, offered.plugin)}"
        )
        raise PluginError(f"{text}; or run it without (--runtime none)") from error
    if not isinstance(compiled, Compiled) or not isinstance(compiled.execution, Execution):
        raise PluginError(f"compiling {space.name} for the runtime {name}: expected Compiled, got {type(compiled)}")
    compiled = replace(compiled, execution=replace(compiled.execution, runtime=runtime.name, precision=precision))
    stamp = cache / "compared.json"
    if precision == "float32" and not stamp.exists():
        apart = distance(embedder, compiled)
        if apart > embedder.card.tolerance:
            tolerance = f"expected at most {embedder.card.tolerance:g}"
            text = f"runtime {name}: the rows of {space.name} differ by {apart:.2g} (1 - cosine), {tolerance}"
            raise Different(f"{text}; run it without (--runtime none)")
        _write(stamp, json.dumps({"1 - cosine": apart}))
    return compiled


def distance(embedder: Embedder, compiled: Compiled) -> float:
    """Return the largest 1 - cosine of rows of a network and of a runtime; infinity if lengths or scores differ.

    The inputs are the embedder's `examples`, or made from noise; then its network is run once.
    """
    examples = getattr(embedder, "examples", None)
    if examples is not None:
        inputs, expected = examples()
    else:
        if hasattr(embedder, "prepare"):
            embedder.prepare()
        inputs = example_inputs(embedder)
        expected = embedder.embed(inputs.copy())
        expected = Output(np.array(expected.embeddings), None if expected.scores is None else expected.scores.copy())
    return output_distance(expected, compiled.embed(np.array(inputs)))


def output_distance(expected: Output, got: Output) -> float:
    """Return the largest 1 - cosine of rows at the same position; infinity if shapes, lengths or scores differ."""
    a, b = (np.asarray(each.embeddings, np.float64) for each in (expected, got))
    if a.shape != b.shape or (expected.scores is None) != (got.scores is None):
        return float("inf")
    if expected.scores is not None and got.scores is not None:
        same = expected.scores.shape == got.scores.shape
        if not same or np.abs(expected.scores - got.scores).max(initial=0) > _SCORES_APART:
            return float("inf")
    lengths = row_lengths(a), row_lengths(b)
    longer = np.maximum(*lengths)
    if (np.abs(lengths[0] - lengths[1]) > _LENGTHS_APART * longer).any():
        return float("inf")
    units = [rows / np.maximum(length, 1e-30)[:, None] for rows, length in zip((a, b), lengths)]
    apart = np.where(
        longer > 0, np.square(units[0] - units[1]).sum(axis=1) / 2, 0.0
    )  # 1 - cosine, without cancellation
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0))


def example_inputs(embedder: Embedder) -> Floats:
    """Return a few inputs of a network, made from seeded noise of several colours."""
    card, random = embedder.card, np.random.default_rng(0)
    if card.modality == "image":
        coarse = random.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
        images = [each.repeat(32, axis=0).repeat(32, axis=1) for each in coarse]
        return np.concatenate([embedder.preprocess(image, 0, True).inputs for image in images])
    assert card.sample_rate is not None
    length = (card.window or card.sample_rate) + 3 * (card.hop or 0)
    noise = random.normal(0, 0.1, length).astype(np.float32)
    return np.array(embedder.preprocess(np.convolve(noise, [1, 0.9, 0.5], "same"), 0, True).inputs[:4])


def _wanted(registry: Registry, card: Card, device: str, wanted: str, precision: str) -> OfferedRuntime:
    offered = registry.runtimes.get(wanted)
    if offered is None:
        known = list(registry.runtimes.owned)
        similar = nearest(wanted, known)
        advice = f"did you mean {similar!r}?" if similar else f"there are: {', '.join(known) or 'none'}"
        raise PluginError(f"no runtime {wanted!r}; {advice}; see `sightsound plugins`")
    if missing := missing_packages(offered):
        raise PluginError(f"runtime {wanted!r}: {missing[0]} is not installed; pip install {' '.join(missing)}")
    if precision not in _precisions(offered):
        offers = ", ".join(_precisions(offered))
        raise PluginError(f"runtime {wanted!r}: precision: expected one of {offers}, got {precision}")
    if not _fits(offered, card, device):
        raise PluginError(f"runtime {wanted!r} cannot run {card.name} on {device!r}; leave --runtime out")
    return offered


def _fits(offered: OfferedRuntime, card: Card, device: str) -> bool:
    try:
        return bool(offered.runtime.fits(card, device))
    except Exception as error:
        log.warning("runtime %s (plugin %s) left out: %s", offered.runtime.name, offered.plugin, one_line(error))
        return False


def _precisions(offered: OfferedRuntime) -> tuple[str, ...]:
    return tuple(getattr(offered.runtime, "precisions", ("float32",)))


def _cache_folder(offered: OfferedRuntime, space: Space, device: str, precision: str, folder: Path) -> Path:
    """Return the folder for the compiled files of a space, runtime, version, device, precision and processor."""
    parts = [offered.runtime.name, offered.runtime.version, device, precision, processor()]
    name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part) for part in parts)
    found = folder / space.fingerprint[:32] / name
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SightsoundError(
            f"{found}: cannot be made ({error.strerror}); make room or make it writable, or use --runtime none"
        ) from error
    return found


def processor() -> str:
    """Return a short text for the kind of this processor: code that is compiled for another may not run here."""
    flags = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    text = f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"
    return f"{platform.machine() or 'cpu'}{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _write(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        log.warning("%s: cannot be written (%s); the runtime is compared again next time", file, error.strerror)
