"""What every command takes from the command line, and the host that follows from it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sightsound.host.host import Host

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass
class Settings:
    """The options before the command."""

    block: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    verbose: bool = False


def host(context: click.Context) -> Host:
    """A host with the blocked plugins and the user's weights of this call; logging is set up on the way.

    A program that runs these commands itself may hand over its own host as click's `obj`.
    """
    from sightsound.host.host import Host

    if given := context.find_object(Host):
        return given
    settings = context.find_object(Settings) or Settings()
    _log(settings.verbose)
    return Host(settings.block, weights=settings.weights)


def _log(verbose: bool) -> None:
    warnings.filterwarnings("ignore", module="PIL")  # remarks on metadata; what matters is in the outcomes
    log = logging.getLogger("sightsound")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("sightsound: %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)


def library_option() -> Decorator:
    return click.option(
        "-l",
        "--library",
        required=True,
        envvar="SIGHTSOUND_LIBRARY",
        metavar="FOLDER",
        help="The library's folder (or SIGHTSOUND_LIBRARY).",
    )


def device_option() -> Decorator:
    return click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|mps", help="Where networks run."
    )


def json_option() -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help="JSON for programs instead of a table.")
