"""Which runtime runs a network."""

from __future__ import annotations

import functools
import importlib.util
import logging

from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError
from sightsound.contract.paths import nearest
from sightsound.contract.space import Stage
from sightsound.host.discovery import OfferedRuntime, Registry, one_line
from sightsound.host.missing import pip_install

log = logging.getLogger(__name__)

NONE = "none"
"""The name of the setting that uses no runtime."""


def setting(text: str) -> str:
    """Return the runtime that the user names, "none" for "torch", and "" for "auto"."""
    return {"auto": "", "torch": NONE}.get(text, text)


def runtime_for(
    registry: Registry, card: Card, device: str, *, wanted: str = "", precision: str = "float32"
) -> OfferedRuntime | None:
    """Return the runtime that runs a network, or None if it runs by itself.

    Parameters
    ----------
    registry : Registry
        The plugins.
    card : Card
        The card of the network.
    device : str
        As in `Load`.
    wanted : str
        The name of a runtime, "none", or "" for the first of `candidates`.
    precision : str
        What it must offer.

    Returns
    -------
    OfferedRuntime or None
        It fits the card, and the packages that it requires are there. A wanted one that does not fit leaves the network
        to itself: a setting for all networks must not exclude those that it cannot run.

    Raises
    ------
    PluginError
        If a runtime of the wanted name does not exist, lacks a package, or does not offer the precision.
    """
    if wanted == NONE:
        return None
    if wanted:
        return _wanted(registry, card, device, wanted, precision)
    return next(iter(candidates(registry, card, device, precision)), None)


def candidates(registry: Registry, card: Card, device: str, precision: str = "float32") -> list[OfferedRuntime]:
    """Return the runtimes that may run a network, by name: they fit the card, and the packages they require are there.

    Parameters
    ----------
    registry : Registry
        The plugins.
    card : Card
        The card of the network.
    device : str
        As in `Load`.
    precision : str
        What they must offer.
    """
    return [
        offered
        for _, offered in sorted(registry.runtimes.owned.items())
        if precision in _precisions(offered) and fits(offered, card, device) and not missing_packages(offered)
    ]


def precisions_for(registry: Registry, card: Card) -> tuple[str, ...]:
    """Return float32, and the other precisions that runtimes offer for the network of a card."""
    usable = [each for _, each in sorted(registry.runtimes.owned.items()) if not missing_packages(each)]
    found = [name for each in usable if fits(each, card, "auto") for name in _precisions(each)]
    return tuple(dict.fromkeys(["float32", *found]))


def missing_packages(offered: OfferedRuntime) -> list[str]:
    """Return the packages that a runtime requires and that cannot be imported."""
    return [name for name in getattr(offered.runtime, "requires", ()) if not _is_there(name)]


def advice_for_missing(offered: OfferedRuntime) -> str:
    """Return which package a runtime lacks and how to install it, "" if it lacks none."""
    missing = missing_packages(offered)
    return f"{missing[0]} is not installed; {pip_install(missing, offered.plugin)}" if missing else ""


def fits(offered: OfferedRuntime, card: Card, device: str) -> bool:
    """Return whether a runtime can run the network of a card on a device. One that raises cannot, with a warning."""
    try:
        return bool(offered.runtime.fits(card, device))
    except Exception as error:
        _warn_once(f"runtime {offered.runtime.name} (plugin {offered.plugin}) left out: {one_line(error)}")
        return False


def stage_of(offered: OfferedRuntime, precision: str) -> Stage | None:
    """Return what a runtime adds to the space: nothing in float32, where it keeps the numbers."""
    if precision == "float32":
        return None
    return Stage(offered.runtime.name, offered.runtime.version, precision)


def _wanted(registry: Registry, card: Card, device: str, wanted: str, precision: str) -> OfferedRuntime | None:
    offered = registry.runtimes.get(wanted)
    if offered is None:
        known = list(registry.runtimes.owned)
        similar = nearest(wanted, known)
        advice = f"did you mean {similar!r}?" if similar else f"there are: {', '.join(known) or 'none'}"
        raise PluginError(f"no runtime {wanted!r}; {advice}; see `sightsound plugins`")
    if advice := advice_for_missing(offered):
        raise PluginError(f"runtime {wanted!r}: {advice}")
    if precision not in _precisions(offered):
        offers = ", ".join(_precisions(offered))
        raise PluginError(f"runtime {wanted!r}: precision: expected one of {offers}, got {precision}")
    return offered if fits(offered, card, device) else None


@functools.cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # the package that it is part of
        return False


def _precisions(offered: OfferedRuntime) -> tuple[str, ...]:
    return tuple(getattr(offered.runtime, "precisions", ("float32",)))
