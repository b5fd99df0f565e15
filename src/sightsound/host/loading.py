"""Loading a network: its weight files, its space, the runtime that runs it, and the stages around it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder
from sightsound.contract.errors import CannotRun, PluginError, SightsoundError
from sightsound.contract.execution import Compiled, Execution, require_device
from sightsound.contract.space import Space
from sightsound.host import stages
from sightsound.host.compiler import Compiler, Difference, Different, Running
from sightsound.host.discovery import STAGES, OfferedRuntime, Registration, Registry, one_line, short
from sightsound.host.missing import how_to_install
from sightsound.host.model import Model, execution_of
from sightsound.host.runtimes import BY_ITSELF, candidates, fits, reduced_runtime, runtime_for, stage_of
from sightsound.weights.store import LocalFile, Store

log = logging.getLogger(__name__)
T = TypeVar("T")

_AS_FAST = 0.95  # of the speed of a network by itself; a runtime that is slower than that is not used


class Loader:
    """Loads networks.

    Parameters
    ----------
    registry : Registry
        The plugins.
    weights : Store
        Where weight files are found.
    runtime : str
        The runtime that runs networks, "none", or "" for the fastest that fits and keeps the numbers.
    asked : mapping of str to Registration
        The models that were asked for by name; the user's weight files may be theirs.
    """

    def __init__(
        self, registry: Registry, weights: Store, runtime: str, asked: Mapping[str, Registration] = MappingProxyType({})
    ) -> None:
        self.weights = weights
        self._registry, self._runtime, self._asked_for = registry, runtime, asked
        self._warned: set[str] = set()

    def offered(self, found: Registration, device: str) -> OfferedRuntime | None:
        """Return the runtime that would run a network on a device, or None in float32, if it runs by itself.

        At another precision the runtime does not depend on the device, see `reduced_runtime`.
        """
        if found.precision == "float32":
            return runtime_for(self._registry, found.card, device, wanted=self._runtime)
        offered = reduced_runtime(self._registry, found.card, found.precision, self._runtime)
        if offered is None:
            raise PluginError(f"runtime {self._runtime!r} does not fit {found.card.name}; name another (--runtime)")
        return offered

    def runtimes(self, found: Registration, device: str) -> list[OfferedRuntime]:
        """Return the runtimes of which the fastest is to run a network on a device."""
        if found.precision == "float32" and not self._runtime:
            return candidates(self._registry, found.card, device)
        offered = self.offered(found, device)
        return [offered] if offered else []

    def difference(self, found: Registration) -> Difference | None:
        """Return how far a network at another precision is from float32, if that was measured on this machine."""
        if found.precision == "float32" or any(self.weights.state(file) != "present" for file in found.card.weights):
            return None
        space, folder = self.space(found), self.weights.compiled_folder
        offered = self.offered(found, "auto")
        assert offered is not None, "only in float32"
        stamps = (Compiler(offered, space, each, found.precision, folder) for each in ("auto", "cpu", "cuda"))
        return next(filter(None, (each.difference(found.card) for each in stamps)), None)

    def space(self, found: Registration) -> Space:
        """Return the space of a network; its weight files are found or fetched, and hashed."""
        return self._space(found, self._files(found))

    def load(self, found: Registration, device: str, without: frozenset[str] = frozenset()) -> Model:
        """Return a network with its stages; it is built by `Model.prepare`. See `Host.load`."""
        require_device(device)
        files = self._files(found)
        self._warn_of_unused_weights(found.card)
        space, paths = self._space(found, files), {key: file.path for key, file in files.items()}
        with self.weights.loading():
            embedder = self._embedder(found, device, paths)
        return Model(
            embedder,
            space=space,
            plugin=found.plugin,
            stages=stages.calls(self._registry, found.card, without),
            others={stage: self._plugins_in(stage, found.card) for stage in STAGES},
            build=lambda: self._built(found, embedder, space, device, paths),
        )

    def _built(
        self, found: Registration, embedder: Embedder, space: Space, device: str, paths: Mapping[str, Path]
    ) -> tuple[Embedder, Execution]:
        """Return the embedder with a network that is ready to run, and how it runs; log that."""
        with self.weights.loading():
            embedder, execution = self._running(found, embedder, space, device, paths)
        self._warn_of_another_device(found, device, execution.device)
        log.info("%s (plugin %s): %s", found.card.name, found.plugin, execution)
        return embedder, execution

    def _embedder(self, found: Registration, device: str, paths: Mapping[str, Path]) -> Embedder:
        """Return the embedder without its network."""
        embedder = _asked(found, lambda: found.load(device, paths))
        if isinstance(embedder, type):
            name = embedder.__name__
            raise PluginError(f"{_loading(found)}: expected an embedder, got the class {name}; return an instance")
        got = getattr(embedder, "card", None)
        if got != found.card:
            other = _other(found.card, got)
            raise PluginError(f"{_loading(found)}: expected an embedder with the registered card, got {other}")
        return embedder

    def _running(
        self, found: Registration, embedder: Embedder, space: Space, device: str, paths: Mapping[str, Path]
    ) -> tuple[Embedder, Execution]:
        """Return the embedder with a network that is ready to run, and how it runs."""
        offered = self.offered(found, device)
        if found.precision == "float32" and not self._runtime:
            compiled = self._fastest(found, embedder, space, device, paths)
            if compiled is not None:
                return Running(embedder, compiled), compiled.execution
        elif offered is not None:
            name = offered.runtime.name
            if found.precision != "float32" and not fits(offered, found.card, device):
                raise PluginError(
                    f"runtime {name!r} cannot run {space.name} on {device!r}; name another (--device, --runtime)"
                )
            if found.precision != "float32" and (own := getattr(embedder, "precision", "float32")) != "float32":
                raise PluginError(f"{space.name}: the network is in {own}; leave [precision={found.precision}] out")
            try:
                compiler = Compiler(offered, space, device, found.precision, self.weights.compiled_folder)
                compiled = _asked(found, lambda: compiler.compile(embedder, paths))
                return Running(embedder, compiled), compiled.execution
            except CannotRun as error:
                if found.precision != "float32":
                    raise CannotRun(f"runtime {name!r} cannot run {space.name}: {error}") from error
                log.warning("runtime %s cannot run %s, so it runs by itself: %s", name, space.name, error)
        elif self._runtime not in ("", *BY_ITSELF):
            about, name = f"runtime {found.card.name}", f"{found.card.name} (plugin {found.plugin})"
            self._warn_once(about, f"{name}: the runtime {self._runtime!r} cannot run it, so it runs by itself")
        if hasattr(embedder, "prepare"):
            _asked(found, embedder.prepare)
        return embedder, execution_of(embedder, found.card, found.plugin)

    def _fastest(
        self, found: Registration, embedder: Embedder, space: Space, device: str, paths: Mapping[str, Path]
    ) -> Compiled | None:
        """Return the network in the fastest runtime that keeps its numbers; None if it is to run by itself.

        Where several runtimes fit, those that were not tried on this machine are tried now, and their time is compared.
        """
        folder, speeds, tried = self.weights.compiled_folder, list[tuple[float, int]](), dict[int, Compiled]()
        offers = self.runtimes(found, device)
        compilers = [Compiler(each, space, device, "float32", folder) for each in offers]
        if len(compilers) == 1:
            return self._tried(found, compilers[0], embedder, paths)
        for number, compiler in enumerate(compilers):
            speed = compiler.speed(embedder)
            if speed is None:
                compiled = self._tried(found, compiler, embedder, paths)
                if compiled is not None:
                    tried[number] = compiled
                compiler.measure(embedder, compiled)
                speed = compiler.speed(embedder) or float(compiled is not None)
            if speed > _AS_FAST:
                speeds.append((speed, number))
        for _, number in sorted(speeds, reverse=True):
            compiled = tried.get(number) or self._tried(found, compilers[number], embedder, paths)
            if compiled is not None:
                return compiled
        return None

    def _tried(
        self, found: Registration, compiler: Compiler, embedder: Embedder, paths: Mapping[str, Path]
    ) -> Compiled | None:
        """Return the network in a runtime, None if that cannot run it or fails, which is logged."""
        name = compiler.runtime
        try:
            return _asked(found, lambda: compiler.compile(embedder, paths))
        except CannotRun as error:
            log.info("runtime %s cannot run %s, so it runs by itself: %s", name, found.card.name, error)
        except (SightsoundError, MemoryError) as error:
            kind = "is not used" if isinstance(error, Different) else "failed"
            log.warning("runtime %s %s, so %s runs by itself: %s", name, kind, found.card.name, error)
        return None

    def _files(self, found: Registration) -> dict[str, LocalFile]:
        names = {"model": found.card.name, "plugin": found.plugin}
        return {file.name: self.weights.get(file, **names) for file in found.card.weights}

    def _warn_of_unused_weights(self, card: Card) -> None:
        """Warn of weight files that the user named and that no model, registered or asked for, has."""
        known = [*self._registry.embedders.owned.values(), *self._asked_for.values()]
        names = {file.name for each in known for file in each.card.weights}
        for name in sorted(set(self.weights.named) - names):
            own = ", ".join(file.name for file in card.weights) or "none"
            self._warn_once(name, f"--weights {name}: not used; weight files of {card.name}: {own} (give NAME=FILE)")

    def _warn_of_another_device(self, found: Registration, device: str, got: str) -> None:
        if device not in ("auto", got, got.partition(":")[0]):
            name = f"{found.card.name} (plugin {found.plugin})"
            self._warn_once(f"{device} {found.card.name}", f"{name}: runs on {got}, not on {device!r} (--device)")

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning("%s", text)

    def _space(self, found: Registration, files: Mapping[str, LocalFile]) -> Space:
        sums = {name: file.sha256 for name, file in files.items()}
        changes = stages.changes(self._registry, found.card)
        if found.precision != "float32":
            offered = self.offered(found, "auto")
            runtime = offered and stage_of(offered, found.precision)
            changes = (*changes, runtime) if runtime else changes
        return Space.of(found.card, sums, changes)

    def _plugins_in(self, stage: str, card: Card) -> list[str]:
        return [each.plugin_name for each in stages.plugins_in(self._registry, stage, card)]


def _loading(found: Registration) -> str:
    return f"loading {found.card.name} (plugin {found.plugin})"


def _asked(found: Registration, ask: Callable[[], T]) -> T:
    """Return what a plugin returns while a network is loaded; name the plugin if it raises."""
    try:
        return ask()
    except (SightsoundError, KeyboardInterrupt):
        raise
    except MemoryError as error:
        if not getattr(error, "__notes__", None):
            error.add_note(f"{_loading(found)}: out of memory; close other programs, or name a smaller model (--model)")
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        log.debug("%s failed", _loading(found), exc_info=True)
        advice = how_to_install(error, found.plugin)
        raise PluginError(f"{_loading(found)}: {one_line(error)}{advice}") from error


def _other(expected: Card, got: object) -> str:
    """Return what an embedder has instead of the registered card."""
    if not isinstance(got, Card):
        return short(got) if got is not None else "none"
    wrong = [each.name for each in dataclasses.fields(Card) if getattr(got, each.name) != getattr(expected, each.name)]
    return f"another {', '.join(wrong)}" if got.name == expected.name else short(got)
