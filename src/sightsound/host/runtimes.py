"""Which runtime runs a network."""

from __future__ import annotations

import functools
import importlib.util
import logging

from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError
from sightsound.contract.paths import nearest
from sightsound.contract.space import Stage
from sightsound.host.discovery import OfferedRuntime, Registration, Registry, one_line
from sightsound.host.missing import pip_install
from sightsound.host.torch_runtime import TorchRuntime

log = logging.getLogger(__name__)

NONE = "none"
"""The name of the setting that uses no runtime."""

BY_ITSELF = (NONE, TorchRuntime.name)
"""Settings with which networks run by themselves in float32."""

_DEVICES = ("auto", "cpu")
"""As in `Load`: a runtime that fits one of them can be used on this machine."""


def setting(text: str) -> str:
    """Return the runtime that the user names, "" for "auto"."""
    return "" if text == "auto" else text


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
        to itself: a setting for all networks must not exclude those that it cannot run. At another precision than
        float32 "none" is as "", and None says that nobody offers it.

    Raises
    ------
    PluginError
        If a runtime of the wanted name does not exist, lacks a package, or does not offer the precision.
    """
    if wanted in BY_ITSELF and precision == "float32":
        return None
    if wanted not in ("", NONE):
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
        if precision in offered_precisions(offered) and fits(offered, card, device) and not missing_packages(offered)
    ]


def reduced_runtime(registry: Registry, card: Card, precision: str, wanted: str = "") -> OfferedRuntime | None:
    """Return the runtime that runs a network at another precision than float32, or None if none does.

    It is part of the space, so it does not depend on the device that a command names: it is the first that fits what
    this machine uses by itself, or else its CPU. `wanted` and the errors are those of `runtime_for`.
    """
    found = (runtime_for(registry, card, device, wanted=wanted, precision=precision) for device in _DEVICES)
    return next(filter(None, found), None)


def precisions_for(registry: Registry, found: Registration, wanted: str = "") -> tuple[str, ...]:
    """Return float32, and the other precisions that runtimes offer for a network in float32, or the wanted one."""
    if getattr(found.load, "precision", "float32") != "float32":
        return ("float32",)
    named = () if wanted in ("", NONE) else (wanted,)
    usable = [each for name, each in sorted(registry.runtimes.owned.items()) if not named or name in named]
    offered = [
        precision
        for each in usable
        if not missing_packages(each) and any(fits(each, found.card, device) for device in _DEVICES)
        for precision in offered_precisions(each)
    ]
    return tuple(dict.fromkeys(["float32", *offered]))


def offered_precisions(offered: OfferedRuntime) -> tuple[str, ...]:
    """Return the precisions that a runtime offers on this machine."""
    return tuple(getattr(offered.runtime, "precisions", ("float32",)))


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
    if precision not in offered_precisions(offered):
        offers = ", ".join(offered_precisions(offered))
        if not offers:
            text = f"runtime {wanted!r}: precision={precision}: it needs a GPU, and this machine has none"
            raise PluginError(f"{text}; leave out the option, or --runtime")
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
