"""Errors of a loaded model: they name the network, its plugin, the stage, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError


class NamedModel(Protocol):
    """What errors say of a `Model`."""

    plugin: str
    others: Mapping[str, Sequence[str]]

    @property
    def card(self) -> Card:
        """The card."""

    @property
    def device(self) -> str:
        """The device on which it runs."""


def stage_error(model: NamedModel, stage: str, problem: str) -> PluginError:
    """Return the error for a stage that does something wrong.

    Parameters
    ----------
    model : Model
        The model; the plugins that take part in the stage are named too.
    stage : str
        The stage.
    problem : str
        What it does.

    Returns
    -------
    PluginError
    """
    others = model.others.get(stage, ())
    beside = f", with {', '.join(others)} in this stage" if others else ""
    return PluginError(
        f"{stage} of {model.card.name} (plugin {model.plugin}{beside}): {' '.join(problem.split())}; "
        f"run `sightsound check-model {model.card.name}`"
    )


def memory_error(model: NamedModel, error: Exception, when: str) -> SightsoundError:
    """Return the error for an item that does not fit in memory.

    Parameters
    ----------
    model : Model
        The model.
    error : Exception
        What was raised.
    when : str
        What was done, such as "with a single input".

    Returns
    -------
    SightsoundError
    """
    reason = f" ({' '.join(str(error).split())})" if str(error) else ""
    return SightsoundError(
        f"out of memory in {model.card.name} (plugin {model.plugin}) on {model.device} {when}{reason}; "
        "close other programs, name a smaller model (--model) or another device (--device)"
    )


def array_problem(what: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> str:
    """Return what is wrong with an array, "" if nothing is.

    Parameters
    ----------
    what : str
        Its name.
    array : object
        What a plugin returned.
    dtype : type
        The type that it must have.
    shape : tuple of int or None
        The shape that it must have; None stands for any size.

    Returns
    -------
    str
    """
    if not isinstance(array, np.ndarray):
        return f"{what}: expected an array, got {type(array).__name__}"
    fits = len(array.shape) == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape))
    if fits and array.dtype == dtype:
        return ""
    expected = f"{np.dtype(dtype)} ({', '.join('n' if size is None else str(size) for size in shape)})"
    return f"{what}: expected {expected}, got {array.dtype} {array.shape}"
