"""Discovery: which plugins there are, which of them work, and which embedders they register."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy

from sightsound.contract import hookspecs
from sightsound.contract.card import Card
from sightsound.contract.embedder import Load
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.host import default_stages

OFFICIAL = frozenset({"sightsound", "sightsound-timm", "sightsound-audioset", "sightsound-librosa"})
"""Distributions whose plugins are registered first, so that no other plugin takes their names."""

STAGES = ("preprocess", "embed", "postprocess")
"""The hooks that run an embedder, in calling order."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found, one line of `sightsound plugins`.

    Parameters
    ----------
    name : str
        The name of its entry point.
    distribution, version : str
        The package that has this entry point; empty for a plugin that was registered by hand.
    status : {"ok", "blocked", "broken"}
        Whether it is in use.
    reason : str
        Why it is not in use.
    embedders : tuple of str
        The names of the embedders that it registered.
    stages : tuple of str
        The stages that it wraps or replaces.
    same_numbers : bool
        Whether it declares that its stages leave all rows unchanged.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "blocked", "broken"] = "ok"
    reason: str = ""
    embedders: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    same_numbers: bool = False


class NameTaken(PluginError):
    """Two plugins register one name; the one that was registered first keeps it."""


@dataclass(frozen=True)
class Registration:
    """An embedder that is not loaded: its card, the function that loads it, and the name of its plugin."""

    card: Card
    load: Load
    plugin: str


class Registry:
    """The plugins of one host. A plugin that fails is registered not at all, and the others are not affected.

    `plugins` has one entry for each plugin by name and distribution, `embedders` one for each registered name.
    """

    def __init__(self) -> None:
        self.plugins: dict[tuple[str, str], Plugin] = {}
        self.embedders: dict[str, Registration] = {}
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.manager.register(default_stages, name="stages")

    def discover(self, blocked: Iterable[str]) -> None:
        """Register every installed plugin; those that are blocked are not even imported."""
        points = entry_points(group=hookspecs.PROJECT)
        for point in sorted(points, key=_rank):
            plugin = Plugin(point.name, *_distribution(point))
            if point.name in blocked:
                plugin = replace(plugin, status="blocked", reason="blocked by the user")
            else:
                try:
                    plugin = self._register(point.load(), plugin)
                except (Exception, SystemExit) as error:
                    log.debug("plugin %s is not in use", point.name, exc_info=True)
                    if isinstance(error, NameTaken):
                        log.warning("plugin %s is not in use: %s", point.name, one_line(error))
                    plugin = replace(plugin, status="broken", reason=one_line(error))
            self.plugins[plugin.name, plugin.distribution] = plugin

    def add(self, implementation: object, name: str) -> None:
        """Register a plugin that is not installed. Raises `PluginError` if it cannot be used."""
        plugin = Plugin(name, version=str(getattr(implementation, "__version__", "")))
        try:
            self.plugins[name, ""] = self._register(implementation, plugin)
        except Exception as error:
            log.debug("plugin %s cannot be used", name, exc_info=True)
            raise PluginError(f"plugin {name!r}: {one_line(error)}") from error

    def in_use(self, name: str) -> Plugin | None:
        """Return the plugin of this name that is registered."""
        return next((each for each in self.plugins.values() if each.name == name and each.status == "ok"), None)

    def hook_of(self, implementation: object, hook: str) -> Any:
        """Return a function that calls a hook of one plugin alone."""
        others = [other for other in self.manager.get_plugins() if other is not implementation]
        return self.manager.subset_hook_caller(hook, remove_plugins=others)

    def implementations(self, stage: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a stage, in the order of their registration."""
        found: list[pluggy.HookImpl] = getattr(self.manager.hook, stage).get_hookimpls()
        return found

    def _register(self, implementation: object, plugin: Plugin) -> Plugin:
        self._check_free(implementation, plugin.name)
        try:
            self.manager.register(implementation, name=plugin.name)
            self.manager.check_pending()
            if not self.manager.get_hookcallers(implementation):
                raise PluginError("no hook found; mark its functions with @sightsound.hookimpl")
            embedders = self._registered_by(implementation, plugin.name)
        except BaseException:  # pluggy leaves a plugin whose registration fails half registered
            if self.manager.is_registered(implementation):
                self.manager.unregister(implementation)
            raise
        self.embedders |= embedders
        return replace(
            plugin,
            embedders=tuple(embedders),
            stages=tuple(s for s in STAGES if any(i.plugin is implementation for i in self.implementations(s))),
            same_numbers=bool(getattr(implementation, "same_numbers", False)),
        )

    def _check_free(self, implementation: object, name: str) -> None:
        try:
            hash(implementation)
        except TypeError as error:
            kind = type(implementation).__name__
            raise PluginError(f"expected a module or a hashable object, got a {kind}") from error
        if self.manager.is_registered(implementation):
            first = self.manager.get_name(implementation)
            raise PluginError(f"the same plugin is there as {first!r}; leave one of them out")
        if self.manager.has_plugin(name):
            owner = self.in_use(name) or Plugin("stages", "sightsound")
            raise NameTaken(f"plugin name {name!r} is taken by {owner.distribution or owner.name}; rename one")

    def _registered_by(self, implementation: object, plugin: str) -> dict[str, Registration]:
        """Return the embedders of a plugin, without adding them."""
        new: dict[str, Registration] = {}

        def register(card: Card, load: Load) -> None:
            if not isinstance(card, Card) or not callable(load):
                raise PluginError(f"register: expected a Card and a function, got {card!r} and {load!r}")
            taken = new.get(card.name) or self.embedders.get(card.name)
            if taken:
                raise NameTaken(f"embedder {card.name!r} is taken by plugin {taken.plugin!r}; rename one or block one")
            new[card.name] = Registration(card, load, plugin)

        self.hook_of(implementation, "register_embedders")(register=register)
        return new


def one_line(error: BaseException) -> str:
    """Return an error as one line: its text, after its class if the error is not one of this package."""
    text = str(error) if isinstance(error, SightsoundError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _rank(point: EntryPoint) -> tuple[bool, str, str, str]:
    """Return the key by which plugins are sorted, so that their order is the same on every machine."""
    distribution, version = _distribution(point)
    return distribution not in OFFICIAL, point.name, distribution, version


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("", "")
