"""Discovers plugins, knows their cards, isolates what is broken, loads embedders by name. Imports no framework."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Literal

import pluggy

from sightsound.contract import hookspecs
from sightsound.contract.card import Card, Modality
from sightsound.contract.embedder import Layer, Load
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel
from sightsound.contract.space import Space, Stage
from sightsound.host import default_stages
from sightsound.host.model import Model, layers
from sightsound.weights.store import Found, Store

DEFAULTS: Mapping[Modality, str] = MappingProxyType(
    {"image": "tf_efficientnet_lite0.in1k", "sound": "yamnet.audioset_i8"}
)
"""The model that is used where none is named; both have weights in the package index."""

log = logging.getLogger(__name__)
_STAGES = ("preprocess", "embed", "postprocess")
_NAME = re.compile(r"(?P<base>[^\[\]]+)(\[(?P<options>[^\[\]]*)\])?")


@dataclass(frozen=True)
class Plugin:
    """A row of `sightsound plugins`: what was found, and why it does not work where it does not.

    `stages` are those that the plugin wraps or replaces, `same_numbers` is its promise that rows stay as they are.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "blocked", "broken"] = "ok"
    reason: str = ""
    embedders: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    same_numbers: bool = False


@dataclass(frozen=True)
class _Entry:
    card: Card
    load: Load
    plugin: str


class Host:
    """The plugins of one process and their embedders.

    `block` names plugins that are not even imported (beside those in SIGHTSOUND_BLOCK), `installed=False` leaves the
    installed ones out, and `weights` are the user's own files and folders (see `weights.Store`).
    """

    def __init__(
        self, block: Iterable[str] = (), installed: bool = True, *, weights: Iterable[str | os.PathLike[str]] = ()
    ) -> None:
        self.weights = Store([os.fspath(path) for path in weights])
        named = [block] if isinstance(block, str) else [*block]
        named.append(os.environ.get("SIGHTSOUND_BLOCK", ""))
        self._blocked = {name.strip() for text in named for name in text.split(",") if name.strip()}
        self._rows: dict[tuple[str, str], Plugin] = {}
        self._cards: dict[str, _Entry] = {}
        self._resolved: dict[str, _Entry] = {}
        self._pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._pluggy.register(default_stages, name="stages")
        if installed:
            for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (p.name, _origin(p)[0])):
                self._discover(point)
            for name in sorted(self._blocked - {row.name for row in self._rows.values()}):
                log.warning("--block %s: there is no such plugin; see `sightsound plugins`", name)

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """Every plugin that was found or registered, broken and blocked ones with their reason."""
        return tuple(self._rows.values())

    @property
    def cards(self) -> Mapping[str, Card]:
        """The registered cards by name."""
        return {name: entry.card for name, entry in self._cards.items()}

    def register(self, plugin: object, name: str) -> None:
        """Adds a plugin that is not installed. Raises `PluginError` where it cannot be used; nothing of it stays."""
        row = Plugin(name, version=str(getattr(plugin, "__version__", "")))
        try:
            self._rows[name, ""] = self._add(plugin, row)
        except Exception as error:
            raise PluginError(f"plugin {name!r}: {_reason(error)}") from error

    def card(self, name: str) -> Card:
        """The card of a registered or resolvable name. Raises `UnknownModel` and suggests the nearest."""
        return self._entry(name).card

    def default(self, modality: Modality) -> str:
        """The name of the model for pictures or sounds where the user names none."""
        if DEFAULTS[modality] not in self._cards:
            package = "sightsound-timm" if modality == "image" else "sightsound-audioset"
            raise UnknownModel(
                f"default {modality} model {DEFAULTS[modality]!r} is not there; "
                f"install {package}, see `sightsound plugins`, or name a model"
            )
        return DEFAULTS[modality]

    def space(self, name: str) -> Space:
        """Where this model's vectors live, without loading it; its weight files are found or fetched, and hashed."""
        entry = self._entry(name)
        return self._space(entry.card, self._files(entry.card))

    def layers(self, name: str) -> list[Layer]:
        """The layers that `name[layer=...]` may name, in the network's order; without its weights where its plugin can.

        Raises `SightsoundError` where there are none to name.
        """
        entry = self._entry(name)
        if hasattr(entry.load, "layers"):
            return layers(entry.load, name, entry.plugin)
        return self.load(name, "cpu").layers()

    def load(self, name: str, device: str = "auto", *, without: Iterable[str] = ()) -> Model:
        """Loads an embedder on a device, its stages `without` those of some plugins (the space stays).

        Raises `MissingWeights`, or `PluginError` where its plugin fails.
        """
        entry = self._entry(name)
        files = self._files(entry.card)
        space = self._space(entry.card, files)
        try:
            embedder = entry.load(device, {key: found.path for key, found in files.items()})
        except (SightsoundError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"loading {name} (plugin {entry.plugin}): {_reason(error)}") from error
        if getattr(embedder, "card", None) != entry.card:
            raise PluginError(f"loading {name} (plugin {entry.plugin}): expected an embedder with the registered card")
        return Model(
            embedder,
            space=space,
            plugin=entry.plugin,
            stages=self._callers(entry.card, frozenset(without)),
            others={s: [p for p, _ in self._implementers(s, entry.card)] for s in _STAGES},
        )

    def _callers(self, card: Card, without: frozenset[str]) -> dict[str, Any]:
        """The stages as they stand now: what is registered later belongs to another space. Where a plugin replaces a
        stage the embedder is not asked, so that a replacement that returns nothing does not pass for one that works."""
        passed = self._passed(card)
        frozen = pluggy.PluginManager(hookspecs.PROJECT)
        frozen.add_hookspecs(hookspecs)
        for name, plugin in self._pluggy.list_name_plugin():
            if plugin not in passed and name not in without:
                frozen.register(plugin, name=name)
        callers = {}
        for stage in _STAGES:
            standing = [i for n, i in self._implementers(stage, card) if n not in without]
            replaced = any(not (i.wrapper or i.hookwrapper) for i in standing)
            callers[stage] = frozen.subset_hook_caller(stage, remove_plugins=[default_stages] if replaced else [])
        return callers

    # -- discovery -----------------------------------------------------------------------------------------------

    def _discover(self, point: EntryPoint) -> None:
        distribution, version = _origin(point)
        row = Plugin(point.name, distribution, version)
        if point.name in self._blocked:
            self._rows[point.name, distribution] = replace(row, status="blocked", reason="blocked by the user")
            return
        try:
            row = self._add(point.load(), row)
        except (Exception, SystemExit) as error:
            row = replace(row, status="broken", reason=_reason(error))
        self._rows[point.name, distribution] = row

    def _add(self, plugin: object, row: Plugin) -> Plugin:
        """Registers one plugin wholly or not at all; a failing `register` of pluggy leaves half of it behind."""
        try:
            hash(plugin)
        except TypeError as error:
            raise PluginError(f"expected a module or a hashable object, got a {type(plugin).__name__}") from error
        if self._pluggy.is_registered(plugin):
            raise PluginError(f"the same plugin is there as {self._pluggy.get_name(plugin)!r}; leave one of them out")
        if self._pluggy.has_plugin(row.name):
            same = (r for r in self._rows.values() if r.name == row.name and r.status == "ok")
            taken = next(same, Plugin("stages", "sightsound"))
            raise PluginError(f"plugin name {row.name!r} is taken by {taken.distribution or taken.name}; rename one")
        try:
            self._pluggy.register(plugin, name=row.name)
            self._pluggy.check_pending()
            if not self._pluggy.get_hookcallers(plugin):
                raise PluginError("no hook found; mark its functions with @sightsound.hookimpl")
            new = self._cards_of(plugin, row.name)
        except BaseException:
            if self._pluggy.is_registered(plugin):
                self._pluggy.unregister(plugin)
            raise
        self._cards |= new
        self._resolved.clear()
        standing = tuple(s for s in _STAGES if any(i.plugin is plugin for i in self._implementations(s)))
        return replace(
            row, embedders=tuple(new), stages=standing, same_numbers=bool(getattr(plugin, "same_numbers", False))
        )

    def _cards_of(self, plugin: object, name: str) -> dict[str, _Entry]:
        new: dict[str, _Entry] = {}

        def register(card: Card, load: Load) -> None:
            if not isinstance(card, Card) or not callable(load):
                raise PluginError(f"register: expected a Card and a function, got {card!r} and {load!r}")
            taken = new.get(card.name) or self._cards.get(card.name)
            if taken:
                raise PluginError(
                    f"embedder {card.name!r} is taken by plugin {taken.plugin!r}; rename one or block one"
                )
            new[card.name] = _Entry(card, load, name)

        others = [other for other in self._pluggy.get_plugins() if other is not plugin]
        self._pluggy.subset_hook_caller("register_embedders", remove_plugins=others)(register=register)
        return new

    # -- names ---------------------------------------------------------------------------------------------------

    def _entry(self, name: str) -> _Entry:
        found = self._cards.get(name) or self._resolved.get(name) or self._resolve(name)
        if found is None:
            raise UnknownModel(self._unknown(name))
        return found

    def _resolve(self, name: str) -> _Entry | None:
        match = _NAME.fullmatch(name)
        if match is None:
            raise UnknownModel(f"model {name!r}: expected arch.tag or arch.tag[option,...]")
        options = _options(match["options"])
        broken: PluginError | None = None
        for owner, plugin in reversed(self._pluggy.list_name_plugin()):  # the last registered first, as in pluggy
            others = [other for other in self._pluggy.get_plugins() if other is not plugin]
            ask = self._pluggy.subset_hook_caller("resolve_embedder", remove_plugins=others)
            try:
                found = ask(name=match["base"], options=dict(options))
                if found is not None:
                    card, load = found
                    entry = _Entry(card, load, owner)
                    self._resolved |= {name: entry, card.name: entry}
                    return entry
            except Exception as error:
                if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
                    raise
                broken = broken or PluginError(f"resolving {name!r} (plugin {owner}): {_reason(error)}")
        if broken:
            raise broken
        return None

    def _unknown(self, name: str) -> str:
        base = name.partition("[")[0]
        if base in self._cards:
            return f"model {base!r} has no options {name[len(base) :]}; see `sightsound models`"
        near = self._near(name.lower())
        dead = [row.name for row in self._rows.values() if row.status != "ok"]
        advice = f"did you mean {near[0]!r}?" if near else "see `sightsound models`"
        return f"no embedder {name!r} among {len(self._cards)}; {advice}" + (
            f" (plugins not in use: {', '.join(dead)})" if dead else ""
        )

    def _near(self, name: str) -> list[str]:
        """The registered name nearest to one in lower case: by its whole, its beginning, its part before the tag."""
        whole = {known.lower(): known for known in self._cards}
        before_tag = {known.partition(".")[0]: known for known in reversed(whole)}
        near = difflib.get_close_matches(name, whole, n=1, cutoff=0.5)
        near = near or [known for known in whole if known.startswith(name)][:1]
        near = near or [before_tag[k] for k in difflib.get_close_matches(name.partition(".")[0], before_tag, n=1)]
        return [whole[known] for known in near]

    # -- weights and spaces --------------------------------------------------------------------------------------

    def _files(self, card: Card) -> dict[str, Found]:
        return {file.name: self.weights.get(file, model=card.name) for file in card.weights}

    def _space(self, card: Card, files: Mapping[str, Found]) -> Space:
        seen: list[Stage] = []
        for stage in _STAGES:
            for plugin, _ in self._implementers(stage, card):
                row = next(row for row in self._rows.values() if row.name == plugin and row.status == "ok")
                entry = Stage(plugin, row.version, self._stage_id(plugin, card) or "")
                if not row.same_numbers and entry not in seen:
                    seen.append(entry)
        return Space.of(card, {key: found.sha256 for key, found in files.items()}, tuple(seen))

    def _implementers(self, stage: str, card: Card) -> list[tuple[str, pluggy.HookImpl]]:
        """The plugins that stand in this stage for this card, in calling order. Two replacements are an error."""
        found = [
            (impl.plugin_name, impl)
            for impl in reversed(self._implementations(stage))
            if impl.plugin is not default_stages and self._stage_id(impl.plugin_name, card) is not None
        ]
        replacing = [plugin for plugin, impl in found if not (impl.wrapper or impl.hookwrapper)]
        if len(replacing) > 1:
            raise PluginError(
                f"{stage} of {card.name}: plugins {' and '.join(map(repr, replacing))} both replace it; "
                f"block one (--block {replacing[-1]}), or let its stage_id(card) return None for this card"
            )
        return found

    def _implementations(self, stage: str) -> list[pluggy.HookImpl]:
        found: list[pluggy.HookImpl] = getattr(self._pluggy.hook, stage).get_hookimpls()
        return found

    def _passed(self, card: Card) -> list[Any]:
        """The stage plugins that leave this card alone."""
        impls = {impl.plugin_name: impl.plugin for stage in _STAGES for impl in self._implementations(stage)}
        impls.pop("stages")
        return [plugin for name, plugin in impls.items() if self._stage_id(name, card) is None]

    def _stage_id(self, plugin: str, card: Card) -> str | None:
        ask = getattr(self._pluggy.get_plugin(plugin), "stage_id", None)
        try:
            found = "" if ask is None else ask(card)
            if found is not None and not isinstance(found, str):
                raise PluginError(f"expected a text or None, got {found!r}")
            return found
        except Exception as error:
            raise PluginError(
                f"stage_id of plugin {plugin!r} for {card.name}: {_reason(error)}; block it (--block {plugin})"
            ) from error


def _origin(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("", "")


def _reason(error: BaseException) -> str:
    text = str(error) if isinstance(error, SightsoundError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _options(text: str | None) -> dict[str, str | bool]:
    """`pca,layer=fc2` -> {"pca": True, "layer": "fc2"}"""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    return {key: value if sign else True for key, sign, value in (part.partition("=") for part in parts)}
