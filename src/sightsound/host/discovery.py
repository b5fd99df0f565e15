"""Discovery: which plugins there are, which of them work, and what they register."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import pluggy

from sightsound.contract import hookspecs
from sightsound.contract.card import Card
from sightsound.contract.embedder import Apply, Load
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Runtime
from sightsound.contract.exporter import Exporter
from sightsound.contract.importer import Importer
from sightsound.contract.options import Option
from sightsound.contract.paths import nearest
from sightsound.host import default_stages
from sightsound.host.claims import Claims, Owner
from sightsound.host.missing import how_to_install

STAGES = ("preprocess", "embed", "postprocess")
"""The hooks that run an embedder, in calling order."""

HOOKS = (
    "register_embedders",
    "resolve_embedder",
    "register_options",
    "register_runtimes",
    "register_importers",
    "register_exporters",
    *STAGES,
)
"""All hooks."""

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
    status : {"ok", "contested", "blocked", "broken"}
        Whether it is in use. "contested": it is, but without the names that another plugin claims too.
    reason : str
        Why it is not in use, or not with all its names.
    embedders : tuple of str
        The names of the embedders that it registered and owns.
    stages : tuple of str
        The stages that it wraps or replaces.
    same_numbers : bool
        Whether it declares that its stages leave all rows unchanged.
    runtimes : tuple of str
        The names of the runtimes that it registered and owns.
    options : tuple of str
        The options that it adds to networks of other plugins.
    importers : tuple of str
        The formats of files that it imports.
    exporters : tuple of str
        The formats of files that it exports.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "contested", "blocked", "broken"] = "ok"
    reason: str = ""
    embedders: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    same_numbers: bool = False
    runtimes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    importers: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()

    @property
    def in_use(self) -> bool:
        """Whether its hooks are called."""
        return self.status in ("ok", "contested")

    @property
    def owner(self) -> Owner:
        """How it is named in messages."""
        return Owner(self.name, self.distribution)


OWN = EntryPoint("torch", "sightsound.host.torch_runtime", hookspecs.PROJECT)
"""The plugin that comes with the host."""


@dataclass(frozen=True)
class Registration:
    """An embedder that is not loaded: its card, the function that loads it, the name of its plugin, its precision."""

    card: Card
    load: Load
    plugin: str
    precision: str = "float32"


@dataclass(frozen=True)
class AddedOption:
    """An option that a plugin adds to networks of others; see `register_options`."""

    option: Option
    fits: Callable[[Card], bool]
    apply: Apply
    plugin: str


@dataclass(frozen=True)
class OfferedRuntime:
    """A runtime, and the name of its plugin."""

    runtime: Runtime
    plugin: str


@dataclass(frozen=True)
class OfferedImporter:
    """An importer, and the name of its plugin."""

    importer: Importer
    plugin: str


@dataclass(frozen=True)
class OfferedExporter:
    """An exporter, and the name of its plugin."""

    exporter: Exporter
    plugin: str


@dataclass
class _Registered:
    """What one plugin registered."""

    embedders: dict[str, Registration]
    options: list[AddedOption]
    runtimes: dict[str, OfferedRuntime]
    importers: dict[str, OfferedImporter]
    exporters: dict[str, OfferedExporter]


class Registry:
    """The plugins of one host. A plugin that fails is registered not at all, and the others are not affected.

    Parameters
    ----------
    prefer : sequence of str
        Plugins that get the names that several claim.

    Attributes
    ----------
    plugins : dict
        One entry for each plugin by name and distribution.
    embedders, aliases, runtimes, importers, exporters : Claims
        What the plugins registered, by name.
    options : list of AddedOption
        The options that plugins add to networks of others.
    """

    def __init__(self, prefer: Sequence[str] = ()) -> None:
        self.prefer = tuple(prefer)
        self.embedders: Claims[Registration] = Claims("embedder", self.prefer)
        self.aliases: Claims[Registration] = Claims("name", self.prefer)
        self.runtimes: Claims[OfferedRuntime] = Claims("runtime", self.prefer)
        self.importers: Claims[OfferedImporter] = Claims("format", self.prefer)
        self.exporters: Claims[OfferedExporter] = Claims("format to export", self.prefer)
        self.options: list[AddedOption] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.manager.register(default_stages, name="stages")
        self._plugins: dict[tuple[str, str], Plugin] = {}

    @property
    def plugins(self) -> dict[tuple[str, str], Plugin]:
        """The plugins, with the names that several claim taken out and said."""
        return {key: self._with_disputes(plugin) for key, plugin in self._plugins.items()}

    @property
    def _claims(self) -> tuple[Claims[Any], ...]:
        return self.embedders, self.aliases, self.runtimes, self.importers, self.exporters

    def discover(self, blocked: Iterable[str]) -> None:
        """Register every installed plugin; those that are blocked are not even imported."""
        points = [OWN, *entry_points(group=hookspecs.PROJECT)]
        found = [(point, Plugin(point.name, *_distribution(point))) for point in points]
        blocked = list(blocked)
        free = [plugin for _, plugin in found if not any(map(plugin.owner.is_named, blocked))]
        for point, plugin in sorted(found, key=lambda pair: (pair[1].name, pair[1].distribution, pair[1].version)):
            if plugin not in free:
                plugin = replace(plugin, status="blocked", reason="blocked by the user")
            elif reason := self._name_dispute(plugin, free):
                plugin = replace(plugin, status="broken", reason=reason)
            else:
                plugin = self._discovered(point, plugin)
            self._plugins[plugin.name, plugin.distribution] = plugin
        for claims in self._claims:
            for name in claims.unresolved:
                log.warning("%s", claims.dispute(name))

    def add(self, implementation: object, name: str) -> None:
        """Register a plugin that is not installed. Raises `PluginError` if it cannot be used."""
        plugin = Plugin(name, version=str(getattr(implementation, "__version__", "")))
        try:
            self._plugins[name, ""] = self._register(implementation, plugin, alone=True)
        except Exception as error:
            log.debug("plugin %s cannot be used", name, exc_info=True)
            raise PluginError(f"plugin {name!r}: {one_line(error)}") from error

    def in_use(self, name: str) -> Plugin | None:
        """Return the plugin of this name that is registered."""
        return next((each for each in self._plugins.values() if each.name == name and each.in_use), None)

    def hook_of(self, implementation: object, hook: str) -> Any:
        """Return a function that calls a hook of one plugin alone."""
        others = [other for other in self.manager.get_plugins() if other is not implementation]
        return self.manager.subset_hook_caller(hook, remove_plugins=others)

    def implementations(self, stage: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a stage, in the order of their registration."""
        found: list[pluggy.HookImpl] = getattr(self.manager.hook, stage).get_hookimpls()
        return found

    def _discovered(self, point: EntryPoint, plugin: Plugin) -> Plugin:
        """Import and register an installed plugin; one that fails is broken."""
        try:
            with _printing_to_log(plugin.name):
                return self._register(point.load(), plugin)
        except (Exception, SystemExit) as error:
            log.debug("plugin %s is not in use", point.name, exc_info=True)
            return replace(plugin, status="broken", reason=f"{one_line(error)}{how_to_install(error, plugin.name)}")

    def _name_dispute(self, plugin: Plugin, among: Sequence[Plugin]) -> str:
        """Return why a plugin cannot have its name: another distribution has a plugin of the same name."""
        same = [other for other in among if other.name == plugin.name]
        preferred = next((each for text in self.prefer for each in same if each.owner.is_named(text)), None)
        if len(same) == 1 or preferred == plugin:
            return ""
        claims: Claims[Plugin] = Claims("plugin name")
        for other in sorted(same, key=lambda each: each != plugin):
            claims.add(plugin.name, other.owner, other)
        return claims.dispute(plugin.name)

    def _with_disputes(self, plugin: Plugin) -> Plugin:
        kinds = self._claims
        disputes = [claims.dispute(name) for claims in kinds for name in claims.contested(plugin.owner)]
        if not plugin.in_use or not disputes:
            return plugin
        lost = {name for claims in kinds for name in claims.contested(plugin.owner)}
        return replace(
            plugin,
            status="contested",
            reason="; ".join(disputes),
            embedders=tuple(name for name in plugin.embedders if name not in lost),
            runtimes=tuple(name for name in plugin.runtimes if name not in lost),
            importers=tuple(name for name in plugin.importers if name not in lost),
            exporters=tuple(name for name in plugin.exporters if name not in lost),
        )

    def _register(self, implementation: object, plugin: Plugin, *, alone: bool = False) -> Plugin:
        """Register a plugin. With `alone`, it may claim no name that another plugin has."""
        self._check(implementation, plugin.name)
        try:
            _check_marked(implementation)
            with _explained():
                self.manager.register(implementation, name=plugin.name)
            _check_hooks(self.manager)
            if not self.manager.get_hookcallers(implementation):
                raise PluginError("no hook found; mark its functions with @sightsound.hookimpl")
            found = self._registered_by(implementation, plugin.name)
            if alone:
                self._check_free(found)
        except BaseException:  # pluggy leaves a plugin whose registration fails half registered
            if self.manager.is_registered(implementation):
                self.manager.unregister(implementation)
            raise
        self._claim(found, plugin.owner)
        return replace(
            plugin,
            embedders=tuple(found.embedders),
            stages=tuple(s for s in STAGES if any(i.plugin is implementation for i in self.implementations(s))),
            same_numbers=bool(getattr(implementation, "same_numbers", False)),
            runtimes=tuple(found.runtimes),
            options=tuple(added.option.name for added in found.options),
            importers=tuple(found.importers),
            exporters=tuple(found.exporters),
        )

    def _check(self, implementation: object, name: str) -> None:
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
            raise PluginError(f"plugin name {name!r} is taken by {owner.distribution or owner.name}; rename one")
        version = getattr(implementation, "sightsound_api", hookspecs.API)
        if version != hookspecs.API:
            newer = isinstance(version, int) and version > hookspecs.API
            step = "upgrade sightsound" if newer else "upgrade the plugin"
            raise PluginError(f"written for version {version!r} of the contract, this is {hookspecs.API}; {step}")

    def _registered_by(self, implementation: object, plugin: str) -> _Registered:
        """Return what a plugin registers, without adding it."""
        found = _Registered({}, [], {}, {}, {})

        def embedder(card: Card, load: Load) -> None:
            if not isinstance(card, Card) or not callable(load):
                raise PluginError(f"register: expected a Card and a function, got {short(card)} and {short(load)}")
            if card.name in found.embedders:
                raise PluginError(f"embedder {card.name!r}: registered twice by the same plugin; leave one out")
            found.embedders[card.name] = Registration(card, load, plugin)

        def option(option: Option, fits: Callable[[Card], bool], apply: Apply) -> None:
            if not isinstance(option, Option) or not callable(fits) or not callable(apply):
                raise PluginError(f"register: expected an Option and two functions, got {short(option)} and others")
            found.options.append(AddedOption(option, fits, apply, plugin))

        def runtime(runtime: Runtime) -> None:
            texts = [getattr(runtime, name, None) for name in ("name", "version")]
            methods = [getattr(runtime, name, None) for name in ("fits", "compile")]
            if not all(isinstance(text, str) and text for text in texts) or not all(map(callable, methods)):
                raise PluginError(f"register: expected a runtime (name, version, fits, compile), got {short(runtime)}")
            found.runtimes[runtime.name] = OfferedRuntime(runtime, plugin)

        def importer(importer: Importer) -> None:
            methods = [getattr(importer, name, None) for name in ("read", "load")]
            named = isinstance(getattr(importer, "name", None), str) and hasattr(importer, "suffixes")
            if not named or not all(map(callable, methods)):
                raise PluginError(f"register: expected an importer (name, suffixes, read, load), got {short(importer)}")
            found.importers[importer.name] = OfferedImporter(importer, plugin)

        def exporter(exporter: Exporter) -> None:
            texts = [getattr(exporter, name, None) for name in ("name", "suffix")]
            if not all(isinstance(text, str) and text for text in texts) or not callable(getattr(exporter, "write", 0)):
                raise PluginError(f"register: expected an exporter (name, suffix, write), got {short(exporter)}")
            found.exporters[exporter.name] = OfferedExporter(exporter, plugin)

        hooks = {
            "register_embedders": embedder,
            "register_options": option,
            "register_runtimes": runtime,
            "register_importers": importer,
            "register_exporters": exporter,
        }
        for hook, register in hooks.items():
            self.hook_of(implementation, hook)(register=register)
        return found

    def _check_free(self, found: _Registered) -> None:
        """Raise `PluginError` if one of the names belongs to a plugin."""
        kinds: tuple[tuple[Claims[Any], Iterable[str]], ...] = (
            (self.embedders, found.embedders),
            (self.runtimes, found.runtimes),
            (self.importers, found.importers),
            (self.exporters, found.exporters),
        )
        for claims, names in kinds:
            for name in names:
                if taken := claims.get(name):
                    text = f"{claims.kind} {name!r} is taken by plugin {taken.plugin!r}"
                    raise PluginError(f"{text}; rename one or block one")

    def _claim(self, found: _Registered, owner: Owner) -> None:
        for name, each in found.embedders.items():
            self.embedders.add(name, owner, each)
            for alias in each.card.aliases:
                self.aliases.add(alias, owner, each)
        for name, offered in found.runtimes.items():
            self.runtimes.add(name, owner, offered)
        for name, importer in found.importers.items():
            self.importers.add(name, owner, importer)
        for name, exporter in found.exporters.items():
            self.exporters.add(name, owner, exporter)
        self.options += found.options


def short(thing: object) -> str:
    """Return what a thing is, on part of a line."""
    if isinstance(thing, Card):
        return f"the card of {thing.name!r}"
    text = repr(thing)
    return text if len(text) <= 80 else f"{text[:60]}... ({type(thing).__name__})"


def one_line(error: BaseException) -> str:
    """Return an error as one line: its text, after its class if the error is not one of this package."""
    text = str(error) if isinstance(error, SightsoundError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _check_marked(implementation: object) -> None:
    """Raise `PluginError` for a function with the name of a hook that is not marked as one."""
    for name in HOOKS[: -len(STAGES)]:  # functions of other purposes may be called as a stage
        function = getattr(implementation, name, None)
        if callable(function) and not hasattr(function, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(f"{name} is not marked as a hook; put @hookimpl above it")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn pluggy's error for wrong arguments of a hook into one line that says which there are."""
    try:
        yield
    except pluggy.PluginValidationError as error:
        hook = str(error).partition("for hook '")[2].partition("'")[0]
        wrong = str(error).partition("Argument(s) {")[2].partition("}")[0]
        if not hook or not wrong:
            raise
        known = ", ".join(getattr(hookspecs, hook).__code__.co_varnames)
        raise PluginError(f"hook {hook}: expected some of the arguments {known}, got {wrong} too") from error


def _check_hooks(manager: pluggy.PluginManager) -> None:
    """Raise `PluginError` for a hook that does not exist."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = str(error).partition("unknown hook '")[2].partition("'")[0]
        if not name:
            raise
        similar = nearest(name, HOOKS)
        advice = f"did you mean {similar!r}?" if similar else f"the hooks are {', '.join(HOOKS)}"
        raise PluginError(f"unknown hook {name!r}; {advice}") from error


@contextlib.contextmanager
def _printing_to_log(plugin: str) -> Iterator[None]:
    """Let what a plugin prints while it is imported go to the log, so that it does not mix with the output."""

    class Log:
        def write(self, text: str) -> int:
            if text.strip():
                log.warning("plugin %s prints while it is imported: %s", plugin, " ".join(text.split()))
            return len(text)

        def flush(self) -> None:
            """Do nothing: every line is logged at once."""

    stream: Any = Log()
    with contextlib.redirect_stdout(stream):
        yield


def _distribution(point: EntryPoint) -> tuple[str, str]:
    if point is OWN:
        return hookspecs.PROJECT, ""
    return (point.dist.name, point.dist.version) if point.dist else ("", "")
