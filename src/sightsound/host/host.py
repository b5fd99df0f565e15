"""The host: it knows the installed plugins and loads their embedders by name. It imports no framework."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sightsound.contract.card import Card, Modality
from sightsound.contract.embedder import Embedder, Layer
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel
from sightsound.contract.execution import Execution
from sightsound.contract.options import Option
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.host import names, stages
from sightsound.host.discovery import STAGES, OfferedRuntime, Plugin, Registration, Registry, one_line, short
from sightsound.host.kept import Kept
from sightsound.host.missing import how_to_install
from sightsound.host.model import Model, execution_of, layers_of
from sightsound.host.runtimes import Different, Running, compile_network, runtime_for, stage_of
from sightsound.weights.store import LocalFile, Store

DEFAULT_SETTINGS: Mapping[Modality, str] = MappingProxyType(
    {"image": "SIGHTSOUND_IMAGE_MODEL", "sound": "SIGHTSOUND_SOUND_MODEL"}
)
"""The environment variables with the user's default models."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Host:
    """The plugins of one process and their embedders.

    Parameters
    ----------
    block : str or iterable of str
        Plugins that are not imported, in addition to those in SIGHTSOUND_BLOCK: `PLUGIN`, `DISTRIBUTION`, or
        `DISTRIBUTION:PLUGIN`. A text may contain several with commas between them.
    installed : bool
        Whether to use the installed plugins. Without them the host knows what `register` adds.
    weights : iterable of path-like
        The user's own weight files and folders; see `Store`.
    prefer : str or iterable of str
        Plugins that get the names that several claim, before those in SIGHTSOUND_PREFER; written as in `block`.
    runtime : str
        The runtime that runs networks; "none" for none. "" stands for SIGHTSOUND_RUNTIME, and else for the first by
        name that fits.
    keep : int
        How many models stay loaded: `load` returns the same model for the same name and device then.
    """

    def __init__(
        self,
        block: Iterable[str] = (),
        installed: bool = True,
        *,
        weights: Iterable[PathLike] = (),
        prefer: Iterable[str] = (),
        runtime: str = "",
        keep: int = 0,
    ) -> None:
        self.weights = Store([os.fspath(path) for path in weights])
        self.runtime = runtime or os.environ.get("SIGHTSOUND_RUNTIME", "")
        self._registry = Registry(_names(prefer, os.environ.get("SIGHTSOUND_PREFER", "")))
        self._resolved: dict[str, Registration] = {}
        self._kept: Kept[Model] = Kept(keep)
        self._warned: set[str] = set()
        if installed:
            blocked = _names(block, os.environ.get("SIGHTSOUND_BLOCK", ""))
            self._registry.discover(blocked)
            for name in sorted(blocked):
                if not any(plugin.owner.is_named(name) for plugin in self.plugins):
                    log.warning("--block %s: there is no such plugin; see `sightsound plugins`", name)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin that was found or registered; broken and blocked ones with the reason."""
        return tuple(self._registry.plugins.values())

    @property
    def cards(self) -> Mapping[str, Card]:
        """The registered cards by name, without the names that several plugins claim."""
        return {name: each.card for name, each in self._registry.embedders.owned.items()}

    @property
    def aliases(self) -> Mapping[str, str]:
        """The shorter names of models, and the name that each stands for."""
        owned = self._registry.aliases.owned
        return {alias: each.card.name for alias, each in owned.items() if alias not in self.cards}

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin that is not installed.

        Parameters
        ----------
        plugin : module or object
            Its functions or methods with `@hookimpl` are the hooks.
        name : str
            The name of the plugin in messages and in `block`.

        Raises
        ------
        PluginError
            If the plugin cannot be used; the host is unchanged then.
        """
        self._registry.add(plugin, name)
        self._resolved.clear()
        self._kept.clear()

    def card(self, name: str) -> Card:
        """Return the card of a model, registered or resolved by a plugin.

        Raises
        ------
        UnknownModel
            If no plugin knows the name; the text suggests the nearest.
        PluginError
            If no plugin knows the name and one fails to resolve it.
        """
        return self._find(name).card

    def default(self, modality: Modality) -> str:
        """Return the name of the model for images or sounds if the user names none.

        It is the one in SIGHTSOUND_IMAGE_MODEL or SIGHTSOUND_SOUND_MODEL, or else the one whose card says
        `default_for`.

        Raises
        ------
        UnknownModel
            If no card says so, or several do; the text names them.
        """
        setting = DEFAULT_SETTINGS[modality]
        if chosen := os.environ.get(setting):
            card = self.card(chosen)
            if card.modality != modality:
                raise UnknownModel(f"{setting}: expected a model for {modality}s, got {chosen!r}; set another")
            return chosen
        found = [name for name, card in self.cards.items() if card.default_for == modality]
        if len(found) == 1:
            return found[0]
        if found:
            names_ = ", ".join(sorted(found))
            raise UnknownModel(
                f"several models want to be the default for {modality}s: {names_}; name one (--model), or set {setting}"
            )
        unused = ", ".join(plugin.name for plugin in self.plugins if not plugin.in_use)
        raise UnknownModel(
            f"no plugin in use has a default model for {modality}s"
            + (f" (not in use: {unused})" if unused else "")
            + "; install one, see `sightsound plugins` and the README, or name a model (--model)"
        )

    def options(self, name: str) -> list[tuple[Option, str]]:
        """Return the options that the name of a model may have, each with the plugin that offers it."""
        return names.declared_options(self._registry, self._find(name))

    def runtime_of(self, name: str, device: str = "cpu") -> str:
        """Return the name of the runtime that would run a model, "" if it runs by itself."""
        found = self._find(name)
        offered = self._offered(found, device)
        return offered.runtime.name if offered else ""

    def space(self, name: str) -> Space:
        """Return the space of a model's rows without loading it; its weight files are found or fetched, and hashed.

        Raises
        ------
        UnknownModel
            If no plugin knows the name.
        MissingWeights
            If a weight file is neither found nor fetched.
        """
        found = self._find(name)
        return self._space(found, self._files(found.card))

    def layers(self, name: str) -> list[Layer]:
        """Return the layers that `name[layer=...]` may name, in the order of the network.

        The model is loaded only if its plugin cannot list them without the weights.

        Raises
        ------
        SightsoundError
            If the model lists no layers.
        """
        found = self._find(name)
        if hasattr(found.load, "layers"):
            with self.weights.loading():
                return layers_of(found.load, name, found.plugin)
        return self.load(name, "cpu").layers()

    def load(self, name: str, device: str = "auto", *, without: Iterable[str] = ()) -> Model:
        """Load a model.

        Parameters
        ----------
        name : str
            A name, with or without options in brackets.
        device : str
            "auto" (the best that is available), "cpu", "cuda", "cuda:1" (a GPU by number) or "mps".
        without : iterable of str
            Plugins whose stages are left out. The space remains that with their stages.

        Returns
        -------
        Model
            The loaded embedder with its stages.

        Raises
        ------
        UnknownModel
            If no plugin knows the name.
        MissingWeights
            If a weight file is neither found nor fetched.
        PluginError
            If the plugin fails, or returns an embedder with another card.
        """
        left_out = frozenset(without)
        found = self._find(name)
        return self._kept.get((found.card.name, device, left_out), lambda: self._load(found, device, left_out))

    def _load(self, found: Registration, device: str, without: frozenset[str]) -> Model:
        files = self._files(found.card)
        self._warn_of_unused_weights(found.card)
        space, paths = self._space(found, files), {key: file.path for key, file in files.items()}
        with self.weights.loading():
            embedder = self._embedder(found, device, paths)
            embedder, execution = self._running(found, embedder, space, device, paths)
        return Model(
            embedder,
            space=space,
            plugin=found.plugin,
            stages=stages.calls(self._registry, found.card, without),
            others={stage: self._plugins_in(stage, found.card) for stage in STAGES},
            execution=execution,
        )

    def _embedder(self, found: Registration, device: str, paths: Mapping[str, Path]) -> Embedder:
        """Return the embedder without its network."""
        embedder = self._asked(found, lambda: found.load(device, paths))
        failed = f"loading {found.card.name} (plugin {found.plugin})"
        if isinstance(embedder, type):
            raise PluginError(f"{failed}: expected an embedder, got the class {embedder.__name__}; return an instance")
        got = getattr(embedder, "card", None)
        if got != found.card:
            raise PluginError(f"{failed}: expected an embedder with the registered card, got {_other(found.card, got)}")
        return embedder

    def _running(
        self, found: Registration, embedder: Embedder, space: Space, device: str, paths: Mapping[str, Path]
    ) -> tuple[Embedder, Execution]:
        """Return the embedder with a network that is ready to run, and how it runs."""
        offered = self._offered(found, device)
        if offered is not None:
            try:
                folder = self.weights.cache.folder.parent / "compiled"
                how: dict[str, Any] = {
                    "device": device,
                    "precision": found.precision,
                    "weights": paths,
                    "folder": folder,
                }
                compiled = self._asked(found, lambda: compile_network(offered, embedder, space, **how))
                return Running(embedder, compiled), compiled.execution
            except PluginError as error:
                if self.runtime or found.precision != "float32":
                    raise
                kind = "is not used" if isinstance(error, Different) else "failed"
                log.warning("runtime %s %s: %s", offered.runtime.name, kind, error)
        if hasattr(embedder, "prepare"):
            self._asked(found, embedder.prepare)
        return embedder, execution_of(embedder, found.card, found.plugin)

    def _asked(self, found: Registration, ask: Callable[[], T]) -> T:
        """Return what a plugin returns while a network is loaded; name the plugin if it raises."""
        try:
            return ask()
        except (SightsoundError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            failed = f"loading {found.card.name} (plugin {found.plugin})"
            log.debug("%s", failed, exc_info=True)
            raise PluginError(f"{failed}: {one_line(error)}{how_to_install(error, found.plugin)}") from error

    def _offered(self, found: Registration, device: str) -> OfferedRuntime | None:
        wanted = self.runtime if found.precision == "float32" or self.runtime != "none" else ""
        return runtime_for(self._registry, found.card, device, wanted=wanted, precision=found.precision)

    def _find(self, name: str) -> Registration:
        found = self._resolved.get(name)
        if found is None:
            found = names.find(self._registry, name)
            self._resolved |= {name: found, found.card.name: found}
        return found

    def _files(self, card: Card) -> dict[str, LocalFile]:
        return {file.name: self.weights.get(file, model=card.name) for file in card.weights}

    def _warn_of_unused_weights(self, card: Card) -> None:
        """Warn of weight files that the user named and that no model, registered or asked for, has."""
        known = [*self._registry.embedders.owned.values(), *self._resolved.values()]
        names = {file.name for each in known for file in each.card.weights}
        for name in sorted(set(self.weights.named) - names - self._warned):
            self._warned.add(name)
            own = ", ".join(file.name for file in card.weights) or "none"
            log.warning("--weights %s: not used; weight files of %s: %s (give NAME=FILE)", name, card.name, own)

    def _space(self, found: Registration, files: Mapping[str, LocalFile]) -> Space:
        sums = {name: file.sha256 for name, file in files.items()}
        changes = stages.changes(self._registry, found.card)
        if found.precision != "float32":
            offered = self._offered(found, "cpu")
            runtime = offered and stage_of(offered, found.precision)
            changes = (*changes, runtime) if runtime else changes
        return Space.of(found.card, sums, changes)

    def _plugins_in(self, stage: str, card: Card) -> list[str]:
        return [each.plugin_name for each in stages.plugins_in(self._registry, stage, card)]


def _names(*lists: Iterable[str] | str) -> list[str]:
    """Return the names in texts that separate them by commas, each once."""
    texts = [text for each in lists for text in ([each] if isinstance(each, str) else each)]
    return list(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def _other(expected: Card, got: object) -> str:
    """Return what an embedder has instead of the registered card."""
    if not isinstance(got, Card):
        return short(got) if got is not None else "none"
    wrong = [each.name for each in dataclasses.fields(Card) if getattr(got, each.name) != getattr(expected, each.name)]
    return f"another {', '.join(wrong)}" if got.name == expected.name else short(got)
