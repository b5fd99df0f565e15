"""The host: it knows the installed plugins and loads their embedders by name. It imports no framework."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from sightsound.contract.card import Card, Modality
from sightsound.contract.embedder import Layer
from sightsound.contract.options import Option, with_option
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.host import names
from sightsound.host.compiler import Difference
from sightsound.host.defaults import default_model
from sightsound.host.derived import DerivedFormat
from sightsound.host.discovery import OfferedExporter, OfferedImporter, Plugin, Registration, Registry
from sightsound.host.imported import OWNER, register_imported
from sightsound.host.kept import Kept
from sightsound.host.loading import Loader
from sightsound.host.model import Model, layers_of
from sightsound.host.model_folder import ModelFolder
from sightsound.host.runtimes import advice_for_missing, offered_precisions, precisions_for, setting
from sightsound.weights.store import Store

log = logging.getLogger(__name__)


class Host:
    """The plugins of one process and their embedders.

    Parameters
    ----------
    block : str or iterable of str
        Plugins that are not imported, in addition to those in SIGHTSOUND_BLOCK: `PLUGIN`, `DISTRIBUTION`, or
        `DISTRIBUTION:PLUGIN`. A text may contain several with commas between them.
    installed : bool
        Whether to use the installed plugins and imported models. Without them the host knows what `register` adds.
    weights : iterable of path-like
        The user's own weight files and folders; see `Store`.
    prefer : str or iterable of str
        Plugins that get the names that several claim, before those in SIGHTSOUND_PREFER; written as in `block`.
    runtime : str
        The runtime that runs networks, those that it can; "none" for none. "" stands for SIGHTSOUND_RUNTIME, or else
        the fastest that keeps the numbers.
    keep : int
        How many models stay loaded: `load` returns the same model for the same name and device then.

    Attributes
    ----------
    models : ModelFolder
        The user's folder of imported models.
    settings : mapping or None
        The arguments with which another process makes a host of the same models. None if `register` added some.
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
        given, block, prefer = [os.fspath(path) for path in weights], _names(block), _names(prefer)
        asked = {"block": block, "weights": given, "prefer": prefer, "runtime": runtime}
        self.settings: Mapping[str, Any] | None = asked if installed else None
        self.runtime = setting(runtime or os.environ.get("SIGHTSOUND_RUNTIME", ""))
        self.models = ModelFolder()
        self._registry = _registry(_names(prefer, os.environ.get("SIGHTSOUND_PREFER", "")))
        self._resolved: dict[str, Registration] = {}
        self._kept: Kept[Model] = Kept(keep)
        self._loader = Loader(self._registry, Store(given), self.runtime, self._resolved)
        if installed:
            _discover(self._registry, _names(block, os.environ.get("SIGHTSOUND_BLOCK", "")))
            self.reload_models()

    @property
    def weights(self) -> Store:
        """Where weight files are found."""
        return self._loader.weights

    @weights.setter
    def weights(self, store: Store) -> None:
        self._loader.weights = store

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

    @property
    def importers(self) -> Mapping[str, OfferedImporter]:
        """The formats of files that can be imported, each with its plugin."""
        return self._registry.importers.owned

    @property
    def exporters(self) -> Mapping[str, OfferedExporter]:
        """The formats of files that networks can be written in, each with its plugin."""
        return self._registry.exporters.owned

    def reload_models(self) -> None:
        """Register the imported models, as they are now."""
        self.weights.also = (self.models.path,)
        register_imported(self._registry, self.models)
        self._forget_models()

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
        self.settings = None
        self._forget_models()

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

        It is that in SIGHTSOUND_IMAGE_MODEL or SIGHTSOUND_SOUND_MODEL, or else that whose card says `default_for`.

        Raises
        ------
        NoDefaultModel, UnknownModel
            If no card says so; if several cards do, which the text names.
        PluginError
            If several plugins claim the name of the one that does.
        """
        return default_model(self._registry, modality, self.card)

    def plugin_of(self, name: str) -> str:
        """Return the name of the plugin that a model belongs to."""
        return self._find(name).plugin

    def options(self, name: str) -> list[tuple[Option, str]]:
        """Return the options that the name of a model may have, each with the plugin that offers it."""
        return names.declared_options(self._registry, self._find(name))

    def precisions(self, name: str) -> dict[str, Difference | None]:
        """Return what `NAME[precision=...]` may be, and how far that is from float32 where it ran on this machine."""
        found = self._find(name)
        if found.precision != "float32":
            return {found.precision: self._loader.difference(found)}
        offered = precisions_for(self._registry, found, self.runtime)
        at = {each: self._find(with_option(found.card.name, names.PRECISION, each)) for each in offered[1:]}
        return {"float32": None, **{each: self._loader.difference(other) for each, other in at.items()}}

    def runtimes(self, name: str, device: str = "auto") -> list[str]:
        """Return the runtimes of which the fastest runs a model, if any can.

        Parameters
        ----------
        name, device : str
            As in `load`.

        Returns
        -------
        list of str
        """
        return [each.runtime.name for each in self._loader.runtimes(self._find(name), device)]

    def offered_runtimes(self) -> dict[str, tuple[tuple[str, ...], str]]:
        """Return by the names of the runtimes: their precisions here, and what to do if a package is missing, or ""."""
        owned = self._registry.runtimes.owned.items()
        return {name: (offered_precisions(each), advice_for_missing(each)) for name, each in owned}

    def space(self, name: str) -> Space:
        """Return the space of a model's rows without loading it; its weight files are found or fetched, and hashed.

        Raises
        ------
        UnknownModel
            If no plugin knows the name.
        MissingWeights
            If a weight file is neither found nor fetched.
        """
        return self._loader.space(self._find(name))

    def layers(self, name: str) -> list[Layer]:
        """Return the layers that `name[layer=...]` may name, in the order of the network.

        The model is loaded only if its plugin cannot list them without the weights.

        Raises
        ------
        SightsoundError
            If the model lists no layers.
        """
        if hasattr((found := self._find(name)).load, "layers"):
            with self.weights.loading():
                return layers_of(found.load, name, found.plugin)
        return self.load(name, "cpu").layers()

    def load(self, name: str, device: str = "auto", *, without: Iterable[str] = (), only_words: bool = False) -> Model:
        """Load a model, which several threads may use at once.

        Parameters
        ----------
        name : str
            A name, with or without options in brackets.
        device : str
            "auto" (the best that is available), "cpu", "cuda", "cuda:1" (a GPU by number) or "mps".
        without : iterable of str
            Plugins whose stages are left out. The space remains that with their stages.
        only_words : bool
            Whether only `Model.text` will be called, so that the network for images or sounds is not built.

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
        found = self._find(name)
        key = (found.card.name, device, frozenset(without))
        model = self._kept.get(key, lambda: self._loader.load(found, *key[1:]))
        if not only_words:
            model.prepare()
        return model

    def release(self) -> None:
        """Keep no model loaded any longer, except those that are in use."""
        self._kept.clear()

    def _forget_models(self) -> None:
        self._resolved.clear()
        self._kept.clear()

    def _find(self, name: str) -> Registration:
        found = self._resolved.get(name)
        if found is None:
            found = names.find(self._registry, name)
            self._resolved |= {name: found, found.card.name: found}
        return found


def using_runtime(host: Host, runtime: str) -> Host:
    """Return a host of the same plugins with another runtime; "none" for none."""
    other = copy.copy(host)
    other.runtime, other._resolved, other._kept = runtime, {}, Kept(host._kept.most)
    other._loader = Loader(host._registry, host.weights, runtime, other._resolved)
    return other


def _registry(prefer: list[str]) -> Registry:
    """Return a registry with the format that the host has itself."""
    registry = Registry(prefer)
    format = DerivedFormat(registry)
    registry.importers.add(format.name, OWNER, OfferedImporter(format, OWNER.plugin))
    registry.exporters.add(format.name, OWNER, OfferedExporter(format, OWNER.plugin))
    return registry


def _discover(registry: Registry, blocked: list[str]) -> None:
    """Find the installed plugins, and warn of names that block none."""
    registry.discover(blocked)
    for name in sorted(blocked):
        if not any(plugin.owner.is_named(name) for plugin in registry.plugins.values()):
            log.warning("--block %s: there is no such plugin; see `sightsound plugins`", name)


def _names(*lists: Iterable[str] | str) -> list[str]:
    """Return the names in texts that separate them by commas, each once."""
    texts = [text for each in lists for text in ([each] if isinstance(each, str) else each)]
    return list(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))
