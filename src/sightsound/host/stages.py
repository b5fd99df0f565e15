"""The stages of an embedder: which plugins wrap or replace them, and what they mean for the space."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pluggy

from sightsound.contract import hookspecs
from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError
from sightsound.contract.space import Stage
from sightsound.host import default_stages
from sightsound.host.discovery import STAGES, Registry, one_line

log = logging.getLogger(__name__)


def plugins_in(registry: Registry, stage: str, card: Card) -> list[pluggy.HookImpl]:
    """Return the implementations of a stage by plugins that do not leave this card alone, in calling order.

    Parameters
    ----------
    registry : Registry
        The plugins.
    stage : {"preprocess", "embed", "postprocess"}
        The stage.
    card : Card
        The card of the embedder.

    Returns
    -------
    list of pluggy.HookImpl
        Without the implementation of the embedder itself.

    Raises
    ------
    PluginError
        If two plugins replace the stage, or if the `stage_id` of a plugin fails.
    """
    found = [
        each
        for each in reversed(registry.implementations(stage))
        if each.plugin is not default_stages and _stage_id(each, card) is not None
    ]
    replacing = [each.plugin_name for each in found if _replaces(each)]
    if len(replacing) > 1:
        raise PluginError(
            f"{stage} of {card.name}: plugins {' and '.join(map(repr, replacing))} both replace it; "
            f"block one (--block {replacing[-1]}), or let its stage_id(card) return None for this card"
        )
    return found


def changes(registry: Registry, card: Card) -> tuple[Stage, ...]:
    """Return the plugins that change the rows of a card, in calling order."""
    found: dict[Stage, None] = {}
    for stage in STAGES:
        for each in plugins_in(registry, stage, card):
            plugin = registry.in_use(each.plugin_name)
            assert plugin is not None, f"{each.plugin_name} has a stage, so it is registered"
            if not plugin.same_numbers:
                found[Stage(plugin.name, plugin.version, _stage_id(each, card) or "")] = None
    return tuple(found)


def calls(registry: Registry, card: Card, without: frozenset[str] = frozenset()) -> dict[str, Callable[..., Any]]:
    """Return the functions that run the stages of a card.

    Plugins that are registered later do not take part, since the loaded model has its space already.

    Parameters
    ----------
    registry : Registry
        The plugins.
    card : Card
        The card of the embedder.
    without : frozenset of str
        Plugins whose stages are left out.

    Returns
    -------
    dict of str to callable
        For each stage a function with the arguments of its hook.
    """
    present = {
        stage: [each for each in plugins_in(registry, stage, card) if each.plugin_name not in without]
        for stage in STAGES
    }
    names = {"stages", *(each.plugin_name for found in present.values() for each in found)}
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, implementation in registry.manager.list_name_plugin():
        if name in names:
            manager.register(implementation, name=name)
    callers: dict[str, Callable[..., Any]] = {}
    for stage, found in present.items():
        # If a replacement returns nothing by mistake, pluggy must not ask the embedder instead and hide the mistake.
        unused = [default_stages] if any(map(_replaces, found)) else []
        callers[stage] = manager.subset_hook_caller(stage, remove_plugins=unused)
    return callers


def _replaces(implementation: pluggy.HookImpl) -> bool:
    return not (implementation.wrapper or implementation.hookwrapper)


def _stage_id(implementation: pluggy.HookImpl, card: Card) -> str | None:
    """Return what the plugin says about its settings for a card: a text, or None if it leaves the card alone."""
    name = implementation.plugin_name
    ask = getattr(implementation.plugin, "stage_id", None)
    try:
        settings = "" if ask is None else ask(card)
        if settings is not None and not isinstance(settings, str):
            raise PluginError(f"expected a text or None, got {settings!r}")
        return settings
    except Exception as error:
        log.debug("stage_id of plugin %s failed", name, exc_info=True)
        raise PluginError(
            f"stage_id of plugin {name!r} for {card.name}: {one_line(error)}; block it (--block {name})"
        ) from error
