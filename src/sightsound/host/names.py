"""Names of models: their options, the plugin that knows a name, and the nearest name for an unknown one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sightsound._threads import has_gpu
from sightsound.contract import decoding
from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel
from sightsound.contract.options import Option, Value, parse_options, with_option
from sightsound.contract.paths import nearest
from sightsound.host.discovery import AddedOption, Plugin, Registration, Registry, one_line, short
from sightsound.host.runtimes import precisions_for

log = logging.getLogger(__name__)
_NAME = re.compile(r"(?P<base>[^\[\]]+)(\[(?P<options>[^\[\]]*)\])?")

PRECISION = Option("precision", str, default="float32", help="the precision of a runtime, such as bf16")
FULL = "full"
DECODE = Option(
    decoding.KEY,
    str,
    choices=(FULL, decoding.SCALED),
    default=FULL,
    help="how images are decoded; scaled: large JPEGs at 1/2, 1/4 or 1/8",
)
RESERVED = {option.name: option for option in (DECODE, PRECISION)}
"""Options that no plugin may declare: the host answers for them."""


def parse(name: str) -> tuple[str, dict[str, str | bool]]:
    """Split a name into `arch.tag` and its options.

    >>> parse("net.tag[pca,layer=fc2]")
    ('net.tag', {'pca': True, 'layer': 'fc2'})

    Raises `UnknownModel` if the text cannot be a name, or has an option twice.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UnknownModel(f"model {name!r}: expected arch.tag or arch.tag[option,...]")
    options = (option.strip() for option in (match["options"] or "").split(","))
    pairs = [option.partition("=") for option in options if option]
    found: dict[str, str | bool] = {key: value if sign else True for key, sign, value in pairs}
    if len(found) < len(pairs):
        raise UnknownModel(f"model {name!r}: expected each option once; leave one of them out")
    return match["base"], found


def find(registry: Registry, name: str) -> Registration:
    """Return the embedder that a name means.

    Parameters
    ----------
    registry : Registry
        The plugins.
    name : str
        A name or an alias, with or without options.

    Returns
    -------
    Registration
        Its card has the options in the order in which they are declared.

    Raises
    ------
    UnknownModel
        If no plugin knows the name, or an option is not declared or has a wrong value.
    PluginError
        If several plugins claim the name, or one answers wrongly.
    """
    base, given = parse(name)
    reserved = {key: given.pop(key) for key in RESERVED if key in given}
    found = registry.embedders.get(base) or registry.aliases.get(base) or _resolve(registry, base)
    if given:
        found = _with_options(registry, found, given)
    return _with_reserved(registry, found, reserved)


def declared_options(registry: Registry, found: Registration) -> list[tuple[Option, str]]:
    """Return the options of a network with the plugins that offer them: its own, and those that others add."""
    added = [(each.option, each.plugin) for each in _added(registry, found.card)]
    return [*((option, found.plugin) for option in found.card.options), *added]


# -- names without options ---------------------------------------------------------------------------------------------


def _resolve(registry: Registry, base: str) -> Registration:
    """Ask the plugins, the last registered first, for a name that nobody registered."""
    refusals: list[SightsoundError] = []
    failures: list[tuple[str, BaseException]] = []
    for plugin, implementation in reversed(registry.manager.list_name_plugin()):
        try:
            found = _answer(registry, implementation, plugin, base)
            if found is not None:
                return found
        except (Exception, SystemExit) as error:
            log.debug("resolving %r (plugin %s) failed", base, plugin, exc_info=True)
            if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
                refusals.append(error)
            else:
                failures.append((plugin, error))
    if refusals:
        raise refusals[0]
    raise _unknown(registry, base, failures)


def _answer(
    registry: Registry,
    implementation: object,
    plugin: str,
    base: str,
    options: Mapping[Option, Value] = MappingProxyType({}),
) -> Registration | None:
    """Return what a plugin resolves a name to. Raises `PluginError` for the card of another network or of others."""
    answer = registry.hook_of(implementation, "resolve_embedder")(
        name=base, options={option.name: value for option, value in options.items()}
    )
    if answer is None:
        return None
    try:
        card, load = answer
    except (TypeError, ValueError):
        raise PluginError(f"expected (card, load) or None, got {short(answer)}") from None
    if not isinstance(card, Card) or not callable(load):
        raise PluginError(f"expected (card, load) or None, got {short(answer)}")
    _check_name(card, base, options)
    return Registration(card, load, plugin)


def _check_name(card: Card, base: str, options: Mapping[Option, Value]) -> None:
    """Raise `PluginError` if the name of a card is not the one that was asked for, with the same options.

    A name without a tag may be completed. Another tag is right if the card has the name that was asked for as an alias.
    """
    name, written = parse(card.name)
    completed = "." not in base and name.partition(".")[0] == base
    if name != base and not completed and base not in card.aliases:
        raise PluginError(f"expected a card of {base!r} or None, got {card.name!r}")
    asked = {option.name: option.written(value).replace(" ", "") for option, value in options.items()}
    got = {key: key if value is True else f"{key}={value}".replace(" ", "") for key, value in written.items()}
    if asked != got:
        texts = [f"[{','.join(each.values())}]" if each else "no options" for each in (asked, got)]
        raise PluginError(f"expected a card of {base!r} with {texts[0]}, got {card.name!r} with {texts[1]}")


# -- options -----------------------------------------------------------------------------------------------------------


def _with_options(registry: Registry, found: Registration, given: Mapping[str, str | bool]) -> Registration:
    base, added = found.card.name, _added(registry, found.card)
    declared = declared_options(registry, found)
    _check_declared_once(base, declared)
    values = parse_options(base, [option for option, _ in declared], given)
    own = {option: values[option.name] for option in found.card.options if option.name in values}
    if own:
        found = _with_own_options(registry, found, own)
    for each in added:
        if each.option.name in values:
            found = _with_added_option(found, each, values[each.option.name])
    return found


def _with_own_options(registry: Registry, found: Registration, values: Mapping[Option, Value]) -> Registration:
    """Ask the plugin of a network for the network with options."""
    base, plugin = found.card.name, found.plugin
    name = f"{base}[{','.join(option.written(value) for option, value in values.items())}]"
    try:
        answer = _answer(registry, registry.manager.get_plugin(plugin), plugin, base, values)
    except (Exception, SystemExit) as error:
        if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
            raise
        raise _failure(f"resolving {name!r}", plugin, error) from error
    if answer is None:
        raise PluginError(f"resolving {name!r} (plugin {plugin}): expected (card, load), got None; report it")
    return answer


def _added(registry: Registry, card: Card) -> list[AddedOption]:
    """Return the options that other plugins add to a network; a plugin that fails to say so adds none."""
    found = []
    for each in registry.options:
        try:
            if each.fits(card):
                found.append(each)
        except Exception as error:
            log.warning("option %s of plugin %s left out: %s", each.option.name, each.plugin, one_line(error))
    return found


def _with_added_option(found: Registration, each: AddedOption, value: Value) -> Registration:
    expected = with_option(found.card.name, each.option, value)
    try:
        card, load = each.apply(found.card, found.load, value)
        if not isinstance(card, Card) or card.name != expected:
            raise PluginError(f"expected a card with the name {expected!r}, got {short(card)}")
    except (Exception, SystemExit) as error:
        if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
            raise
        raise _failure(f"resolving {expected!r}", each.plugin, error) from error
    return Registration(card, load, found.plugin)


def _check_declared_once(name: str, declared: Sequence[tuple[Option, str]]) -> None:
    plugins: dict[str, str] = {}
    for option, plugin in declared:
        if option.name in RESERVED:
            raise PluginError(f"option {option.name!r} of plugin {plugin!r}: the host answers for it; rename it")
        if option.name in plugins:
            names = f"{plugins[option.name]!r} and {plugin!r}"
            raise PluginError(f"option {option.name!r} of {name} is offered by the plugins {names}; --block one")
        plugins[option.name] = plugin


def decodings(card: Card) -> tuple[str, ...]:
    """Return what `[decode=...]` may be for the network of a card; none for sounds."""
    if card.modality != "image":
        return ()
    if decoding.shortest_side(card):
        return (decoding.SCALED,)
    return (FULL, decoding.SCALED) if decoding.scaled_constants(card) else (FULL,)


def _with_reserved(registry: Registry, found: Registration, given: Mapping[str, str | bool]) -> Registration:
    """Return the network with another way to decode images, and at another precision."""
    values = parse_options(found.card.name, RESERVED.values(), given)
    if DECODE.name in values:
        found = _decoded(found, values[DECODE.name])
    if PRECISION.name not in values:
        return found
    precision = str(values[PRECISION.name])
    offered = precisions_for(registry, found)
    if precision not in offered:
        gpu = "this machine" if has_gpu() else "this machine, which has no GPU"
        text = f"{found.card.name}: precision={precision}: no runtime offers it for this network on {gpu}"
        raise UnknownModel(f"{text}, only {', '.join(offered)}; see `sightsound plugins`, or leave the option out")
    card = replace(found.card, name=with_option(found.card.name, PRECISION, precision))
    return replace(found, card=card, load=_Renamed(found, card), precision=precision)


def _decoded(found: Registration, value: Value) -> Registration:
    """Return the network for images that are decoded otherwise; what it decodes stands in the constants of its card."""
    name = found.card.name
    if decoding.shortest_side(found.card):
        raise UnknownModel(f"{name}: decode={value}: it decodes so without the option; leave the option out")
    constants = decoding.scaled_constants(found.card)
    if constants is None:
        what = "expected a network for images whose card says what they are resized to"
        raise UnknownModel(f"{name}: decode={value}: {what}; leave the option out")
    card = replace(found.card, name=with_option(name, DECODE, value), constants=constants)
    return replace(found, card=card, load=_Renamed(found, card))


class _Renamed:
    """Loads an embedder, and gives it another card."""

    def __init__(self, found: Registration, card: Card) -> None:
        self._load, self._expected, self._card = found.load, found.card, card

    def __call__(self, device: str, weights: Mapping[str, Any]) -> Any:
        embedder: Any = self._load(device, weights)
        if isinstance(embedder, type) or getattr(embedder, "card", None) != self._expected:
            return embedder  # the host refuses it
        return WithCard(embedder, self._card)


class WithCard:
    """An embedder with another card. The embedder itself stays as it is: its plugin may return it for other names too.

    Parameters
    ----------
    embedder : Embedder
        The embedder.
    card : Card
        The other card.
    """

    def __init__(self, embedder: Any, card: Card) -> None:
        self._embedder, self.card = embedder, card

    def __getattr__(self, name: str) -> Any:
        if name == "_embedder":  # it is not set yet, as in a copy
            raise AttributeError(name)
        return getattr(self._embedder, name)


# -- errors ------------------------------------------------------------------------------------------------------------


def _failure(what: str, plugin: str, error: BaseException) -> PluginError:
    return PluginError(f"{what} (plugin {plugin}): {one_line(error)}; or block it (--block {plugin})")


def _unknown(registry: Registry, name: str, failures: Sequence[tuple[str, BaseException]]) -> UnknownModel:
    """Return the error for a name that no plugin knows: the nearest name, and plugins that fail or are not in use."""
    known = [*registry.embedders.owned, *registry.aliases.owned]
    unused = [plugin for plugin in registry.plugins.values() if not plugin.in_use]
    named = any(plugin.name in re.split(r"\W+", name) for plugin in unused)  # it would have it
    similar = None if named else _nearest(name, known)
    advice = f"did you mean {similar!r}?" if similar else "see `sightsound models`"
    notes = [f"plugin {plugin} failed to resolve it: {one_line(e)}; --block {plugin}" for plugin, e in failures]
    if unused:
        unused.sort(key=lambda plugin: plugin.name not in name)  # that of the model first
        others = [plugin.name for plugin in unused[2:]]
        notes.append("plugins not in use: " + ", ".join([*map(_why_unused, unused[:2]), *others]))
    error = UnknownModel(
        f"no embedder {name!r} among {len(registry.embedders.owned)}; {advice}"
        + (f" ({'; '.join(notes)})" if notes else "")
    )
    error.__cause__ = failures[0][1] if failures else None
    return error


def _why_unused(plugin: Plugin) -> str:
    reason = plugin.reason if len(plugin.reason) <= 200 else plugin.reason[:180] + "..."
    return f"{plugin.name} ({reason})"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the name of the nearest architecture whose tag is nearest; None if no architecture is similar."""
    by_arch: dict[str, list[str]] = {}
    for each in known:
        by_arch.setdefault(each.partition(".")[0], []).append(each)
    arch = name.partition(".")[0]
    begun = (each for each in by_arch if arch and each.lower().startswith(arch.lower()))
    similar = nearest(arch, by_arch) or next(begun, None)
    return nearest(name, by_arch[similar], cutoff=0) if similar else None
