"""Networks in a runtime: their compiled files, and whether the runtime keeps the numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
import logging
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sightsound.contract.arrays import Floats, row_lengths
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Output
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Compiled, Execution
from sightsound.contract.space import Space
from sightsound.host.compiled_files import note_use, trim
from sightsound.host.discovery import OfferedRuntime, one_line
from sightsound.host.missing import how_to_install

log = logging.getLogger(__name__)
T = TypeVar("T")

_FRACTION = 1e-3  # by which the lengths of rows may differ, and scores relative to the highest of their row
_REPEATS = 4  # of a batch, to measure its time; the first does not count
_WITHOUT = "run it without (--runtime none)"


class Different(PluginError):
    """A runtime that does not keep the numbers of a network."""


@dataclass(frozen=True)
class Difference:
    """How far the output of a runtime is from that of the network, at most over all rows.

    Parameters
    ----------
    rows : float
        1 - cosine. Infinite if the shapes differ, or a number is not finite.
    lengths : float
        The difference of the lengths of two rows, relative to the longer.
    scores : float
        The difference of two scores, relative to the highest score of its row; 0 without scores.
    """

    rows: float
    lengths: float = 0.0
    scores: float = 0.0

    def exceeds(self, tolerance: float) -> bool:
        """Return whether 1 - cosine exceeds the tolerance of a card, or another difference that of rounding."""
        within = self.rows <= tolerance and self.lengths <= _FRACTION and self.scores <= _FRACTION
        return not within  # also for NaN

    def __str__(self) -> str:
        parts = {"1 - cosine of rows": self.rows, "lengths": self.lengths, "scores": self.scores}
        return ", ".join(f"{name} {value:.2g}" for name, value in parts.items())


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
        if name == "_embedder":  # it is not set yet, as in a copy
            raise AttributeError(name)
        return getattr(self._embedder, name)


class Compiler:
    """Compiles a network for a runtime. When it is first compiled on a machine, its numbers are compared.

    In float32 they must be those of the network. At another precision it is noted how far they are from it.

    Parameters
    ----------
    offered : OfferedRuntime
        The runtime.
    space : Space
        The space of the network.
    device, precision : str
        As in `Runtime.compile`.
    folder : pathlib.Path
        The folder with the compiled files of all networks.

    Notes
    -----
    A file belongs to a space, the version of the runtime, the source file of its class, a device, a precision, and a
    kind of processor. So a runtime whose code has changed compiles and is compared anew.
    """

    def __init__(self, offered: OfferedRuntime, space: Space, device: str, precision: str, folder: Path) -> None:
        self._offered, self._space, self._device, self._precision = offered, space, device, precision
        runtime = offered.runtime
        parts = [runtime.name, runtime.version, _source_of(runtime), device, precision, processor()]
        name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part) for part in filter(None, parts))
        self._folder = folder
        self._cache = folder / space.fingerprint[:32] / name

    def compile(self, embedder: Embedder, weights: Mapping[str, Path]) -> Compiled:
        """Return the network of an embedder in the runtime.

        Parameters
        ----------
        embedder : Embedder
            The embedder; its network is not built if the runtime has compiled it before.
        weights : mapping of str to pathlib.Path
            The files of its weights.

        Returns
        -------
        Compiled
            With the name of the runtime in its execution.

        Raises
        ------
        Different
            If the runtime does not keep the numbers, now or when they were compared.
        PluginError
            If it fails.
        SightsoundError
            If there is no room for compiled files.
        """
        self._make_cache()
        with _locked(Path(f"{self._cache}.lock")):
            known = self.difference(embedder.card)
            if known is None:
                self._empty_cache()  # the files are of another network in this space, or of an attempt that failed
            else:
                self._check(known, embedder)
            compiled = self._compiled(embedder, weights)
            note_use(self._cache, self._space.name)
            if self.difference(embedder.card) is None:
                apart = self._difference(embedder, compiled)
                _write(self._stamp, {"network": _identity(embedder.card), **dataclasses.asdict(apart)})
                self._check(apart, embedder)
        if known is None:
            trim(self._folder, self._cache)
        return compiled

    @property
    def runtime(self) -> str:
        """The name of the runtime."""
        return self._offered.runtime.name

    def difference(self, card: Card) -> Difference | None:
        """Return how far the numbers were from those of the network when it was first compiled; None before that."""
        return _read(self._stamp, _identity(card))

    def speed(self, embedder: Embedder) -> float | None:
        """Return how many times as fast as the network by itself it is; 0 if it cannot be used, None if unknown.

        It is measured by `measure`, once on a machine.
        """
        found = _read_json(self._speed)
        if found is None or found.get("network") != _identity(embedder.card):
            return None
        return float(found["speed"])

    def measure(self, embedder: Embedder, compiled: Compiled | None) -> None:
        """Compare the time of a network in the runtime with that of the network by itself, and note it.

        It is the time of the processor for an input, so that other programs that run meanwhile do not count.

        Parameters
        ----------
        embedder : Embedder
            The embedder; its network is built.
        compiled : Compiled or None
            Its network in the runtime, None if it cannot be used.
        """
        speed = 0.0
        if compiled is not None:
            if hasattr(embedder, "prepare"):
                embedder.prepare()
            inputs = example_inputs(embedder)
            own = _seconds(embedder.embed, inputs, Execution.of(embedder).batch_size)
            speed = own / _seconds(compiled.embed, inputs, compiled.execution.batch_size)
        _write(self._speed, {"network": _identity(embedder.card), "speed": speed})

    @property
    def _speed(self) -> Path:
        return self._cache / "speed.json"

    @property
    def _stamp(self) -> Path:
        return self._cache / "compared.json"

    @property
    def _name(self) -> str:
        return f"{self._offered.runtime.name} (plugin {self._offered.plugin})"

    def _make_cache(self) -> None:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SightsoundError(
                f"{self._cache}: cannot be made ({error.strerror}); make room or make it writable, or {_WITHOUT}"
            ) from error

    def _empty_cache(self) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)
        self._make_cache()

    def _compiled(self, embedder: Embedder, weights: Mapping[str, Path]) -> Compiled:
        """Compile the network. If that fails with files of an earlier time, they are removed, and it is done again."""
        runtime, what = self._offered.runtime, f"compiling {self._space.name} for"
        how: dict[str, Any] = {"device": self._device, "precision": self._precision, "weights": weights}

        def compile_() -> Compiled:
            return runtime.compile(embedder, **how, cache=self._cache)

        had_files = any(self._cache.iterdir())
        log.info("%s %s: %s", what, self._name, "with the files of last time" if had_files else "for the first time")
        try:
            found = self._asked(what, compile_)
        except PluginError as error:
            if not had_files or isinstance(error.__cause__, ImportError):
                raise
            log.info("%s; compiling it again without the files of last time", error)
            self._empty_cache()
            found = self._asked(what, compile_)
        if not isinstance(found, Compiled) or not isinstance(found.execution, Execution):
            got = type(found).__name__
            raise PluginError(f"{what} the runtime {self._name}: expected Compiled, got {got}; or {_WITHOUT}")
        own = (
            found.execution.precision if self._precision == "float32" else self._precision
        )  # int8 of the network itself
        return replace(found, execution=replace(found.execution, runtime=runtime.name, precision=own))

    def _asked(self, what: str, ask: Callable[[], T]) -> T:
        """Return what the runtime returns; name it if it raises."""
        try:
            return ask()
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
                raise
            log.debug("%s the runtime %s failed", what, self._name, exc_info=True)
            text = f"{what} the runtime {self._name}: {one_line(error)}{how_to_install(error, self._offered.plugin)}"
            raise PluginError(f"{text}; or {_WITHOUT}") from error

    def _difference(self, embedder: Embedder, compiled: Compiled) -> Difference:
        """Return how far the outputs of the network and of the runtime are apart."""
        inputs, expected = example(embedder)
        got = self._asked(f"running {self._space.name} in", lambda: compiled.embed(np.array(inputs)))
        if not isinstance(got, Output):
            raise PluginError(f"runtime {self._name}: embed: expected Output, got {type(got).__name__}; {_WITHOUT}")
        shapes = [_shapes(each) for each in (expected, got)]
        if shapes[0] != shapes[1]:
            raise Different(
                f"runtime {self._name}: expected {shapes[0]} of {self._space.name}, got {shapes[1]}; {_WITHOUT}"
            )
        return difference(expected, got)

    def _check(self, apart: Difference, embedder: Embedder) -> None:
        if self._precision == "float32" and apart.exceeds(embedder.card.tolerance):
            limits = f"expected at most {embedder.card.tolerance:g}, {_FRACTION:g} and {_FRACTION:g}"
            text = f"runtime {self._name}: the numbers of {self._space.name} differ ({apart}; {limits})"
            raise Different(f"{text}; {_WITHOUT}, or remove {self._cache} to compare them again")


def example(embedder: Embedder) -> tuple[Floats, Output]:
    """Return a few inputs of a network and its output: its `examples`, or noise that is run through it once."""
    examples = getattr(embedder, "examples", None)
    if examples is not None:
        inputs, expected = examples()
        return inputs, expected
    if hasattr(embedder, "prepare"):
        embedder.prepare()
    inputs = example_inputs(embedder)
    expected = embedder.embed(inputs.copy())
    scores = None if expected.scores is None else np.array(expected.scores)
    return inputs, Output(np.array(expected.embeddings), scores)


def difference(expected: Output, got: Output) -> Difference:
    """Return how far an output is from the expected one; the rows of both are for the same inputs."""
    if _shapes(expected) != _shapes(got):
        return Difference(float("inf"))
    a, b = (np.asarray(each.embeddings, np.float64) for each in (expected, got))
    if not np.isfinite(b).all():
        return Difference(float("inf"))
    lengths = row_lengths(a), row_lengths(b)
    longer = np.maximum(np.maximum(*lengths), 1e-30)
    units = [rows / np.maximum(length, 1e-30)[:, None] for rows, length in zip((a, b), lengths)]
    apart = np.square(units[0] - units[1]).sum(axis=1) / 2  # 1 - cosine, without cancellation
    return Difference(
        float(apart.max(initial=0, where=longer > 1e-30)),
        float((np.abs(lengths[0] - lengths[1]) / longer).max(initial=0)),
        _score_difference(expected, got),
    )


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


def processor() -> str:
    """Return a short text for the kind of this processor: code that is compiled for another may not run here."""
    flags = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    text = f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"
    return f"{platform.machine() or 'cpu'}{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _score_difference(expected: Output, got: Output) -> float:
    if expected.scores is None or got.scores is None:
        return 0.0
    a, b = (np.asarray(each.scores, np.float64) for each in (expected, got))
    highest = np.maximum(a.max(axis=1, initial=0, keepdims=True), 1e-6)
    return float((np.abs(a - b) / highest).max(initial=0))


def _shapes(output: Output) -> str:
    shapes = f"embeddings {np.shape(output.embeddings)}"
    return shapes if output.scores is None else f"{shapes} and scores {np.shape(output.scores)}"


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one process and thread at a time compile a network: the others find its files then.

    Where no lock can be made, as on a medium that cannot be written, nobody waits.
    """
    from filelock import FileLock

    lock = FileLock(file)
    try:
        lock.acquire()
    except OSError as error:
        log.debug("%s: no lock (%s)", file, error)
    try:
        yield
    finally:
        lock.release()


def _source_of(runtime: object) -> str:
    """Return a hash of the file that defines a runtime, "" if it has none."""
    with contextlib.suppress(OSError, TypeError):
        return hashlib.sha256(Path(inspect.getfile(type(runtime))).read_bytes()).hexdigest()[:8]
    return ""


def _identity(card: Card) -> str:
    """Return what tells networks apart that have one space, since their cards do not say all."""
    return f"{card.name} {card.dim} {card.classes.fingerprint if card.classes else ''}"


def _seconds(embed: Callable[[Floats], Output], inputs: Floats, size: int) -> float:
    """Return the time of the processor for an input in a batch of a size: the least of a few."""
    batch = np.resize(inputs, (min(size, 16), *inputs.shape[1:]))
    times = []
    for _ in range(_REPEATS):
        before = time.process_time()
        embed(batch.copy())
        times.append(time.process_time() - before)
    return max(min(times[1:]) / len(batch), 1e-9)


def _read(stamp: Path, identity: str) -> Difference | None:
    """Return how far the numbers of a network were apart when they were compared, None if they were not."""
    found = _read_json(stamp)
    try:
        if found is None or found["network"] != identity:
            return None
        return Difference(*(float(found[name]) for name in ("rows", "lengths", "scores")))
    except (ValueError, KeyError, TypeError):
        return None


def _read_json(file: Path) -> dict[str, Any] | None:
    """Return the object in a file, None if there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(file: Path, values: Mapping[str, Any]) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        part.write_text(json.dumps(values), encoding="utf-8")
        os.replace(part, file)
    except OSError as error:
        log.warning("%s: cannot be written (%s); the runtime is compared again next time", file, error.strerror)
