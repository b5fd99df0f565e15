"""The host: it knows the installed plugins and loads their embedders by name. It imports no framework."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sightsound.contract.card import Card, Modality
from sightsound.contract.embedder import Layer
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.host import names, stages
from sightsound.host.discovery import STAGES, Plugin, Registration, Registry, one_line
from sightsound.host.model import Model, layers_of
from sightsound.weights.store import LocalFile, Store

DEFAULTS: Mapping[Modality, str] = MappingProxyType(
    {"image": "tf_efficientnet_lite0.in1k", "sound": "yamnet.audioset_i8"}
)
"""The model to use if the user names none; the package index has the weights of both."""

log = logging.getLogger(__name__)


class Host:
    """The plugins of one process and their embedders.

    Parameters
    ----------
    block : str or iterable of str
        Plugins that are not imported, in addition to those in SIGHTSOUND_BLOCK. A text may contain several names with
        commas between them.
    installed : bool
        Whether to use the installed plugins. Without them the host knows what `register` adds.
    weights : iterable of path-like
        The user's own weight files and folders; see `Store`.
    """

    def __init__(self, block: Iterable[str] = (), installed: bool = True, *, weights: Iterable[PathLike] = ()) -> None:
        self.weights = Store([os.fspath(path) for path in weights])
        self._registry = Registry()
        self._resolved: dict[str, Registration] = {}
        self._warned: set[str] = set()
        if installed:
            blocked = _names(block, os.environ.get("SIGHTSOUND_BLOCK", ""))
            self._registry.discover(blocked)
            for name in sorted(blocked - {plugin.name for plugin in self.plugins}):
                log.warning("--block %s: there is no such plugin; see `sightsound plugins`", name)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin that was found or registered; broken and blocked ones with the reason."""
        return tuple(self._registry.plugins.values())

    @property
    def cards(self) -> Mapping[str, Card]:
        """The registered cards by name."""
        return {name: each.card for name, each in self._registry.embedders.items()}

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

        Raises
        ------
        UnknownModel
            If the plugin that registers it is not installed.
        """
        name = DEFAULTS[modality]
        if name not in self._registry.embedders:
            package = "sightsound-timm" if modality == "image" else "sightsound-audioset"
            raise UnknownModel(
                f"default {modality} model {name!r} is not there; "
                f"install {package}, see `sightsound plugins`, or name a model"
            )
        return name

    def space(self, name: str) -> Space:
        """Return the space of a model's rows without loading it; its weight files are found or fetched, and hashed.

        Raises
        ------
        UnknownModel
            If no plugin knows the name.
        MissingWeights
            If a weight file is neither found nor fetched.
        """
        card = self.card(name)
        return self._space(card, self._files(card))

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
        found = self._find(name)
        files = self._files(found.card)
        self._warn_of_unused_weights(found.card)
        space = self._space(found.card, files)
        failed = f"loading {name} (plugin {found.plugin})"
        try:
            with self.weights.loading():
                embedder = found.load(device, {key: file.path for key, file in files.items()})
        except (SightsoundError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            log.debug("%s", failed, exc_info=True)
            raise PluginError(f"{failed}: {one_line(error)}") from error
        if getattr(embedder, "card", None) != found.card:
            raise PluginError(f"{failed}: expected an embedder with the registered card")
        return Model(
            embedder,
            space=space,
            plugin=found.plugin,
            stages=stages.calls(self._registry, found.card, frozenset(without)),
            others={stage: self._plugins_in(stage, found.card) for stage in STAGES},
        )

    def _find(self, name: str) -> Registration:
        found = self._registry.embedders.get(name) or self._resolved.get(name)
        if found is None:
            found = names.resolve(self._registry, name)
            if found is None:
                raise names.unknown(self._registry, name)
            self._resolved |= {name: found, found.card.name: found}
        return found

    def _files(self, card: Card) -> dict[str, LocalFile]:
        return {file.name: self.weights.get(file, model=card.name) for file in card.weights}

    def _warn_of_unused_weights(self, card: Card) -> None:
        """Warn of weight files that the user named and that no model, registered or asked for, has."""
        known = [*self._registry.embedders.values(), *self._resolved.values()]
        names = {file.name for each in known for file in each.card.weights}
        for name in sorted(set(self.weights.named) - names - self._warned):
            self._warned.add(name)
            own = ", ".join(file.name for file in card.weights) or "none"
            log.warning("--weights %s: not used; weight files of %s: %s (give NAME=FILE)", name, card.name, own)

    def _space(self, card: Card, files: Mapping[str, LocalFile]) -> Space:
        sums = {name: file.sha256 for name, file in files.items()}
        return Space.of(card, sums, stages.changes(self._registry, card))

    def _plugins_in(self, stage: str, card: Card) -> list[str]:
        return [each.plugin_name for each in stages.plugins_in(self._registry, stage, card)]


def _names(*lists: Iterable[str] | str) -> set[str]:
    """Return the names in texts that separate them by commas."""
    texts = [text for each in lists for text in ([each] if isinstance(each, str) else each)]
    return {name.strip() for text in texts for name in text.split(",") if name.strip()}
