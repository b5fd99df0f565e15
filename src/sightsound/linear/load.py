"""Load the file of a probe or a stack, with NumPy alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sightsound.contract.errors import SightsoundError
from sightsound.linear import file as probe_file
from sightsound.linear.model import LinearModel, model_from_state
from sightsound.linear.stack_model import StackModel, stack_from_state


def load_probe(file: str | os.PathLike[str]) -> LinearModel | StackModel:
    """Return the classifier in a file that `LinearProbe.save` or `Stack.save` wrote.

    Loading and predicting need NumPy alone, not scikit-learn.

    Parameters
    ----------
    file : path
        The file.

    Returns
    -------
    LinearModel or StackModel
        The classifier. It gives the same answers as the one that was saved.

    Raises
    ------
    SightsoundError
        For any other file, and one that is damaged.
    """
    arrays, metadata = probe_file.read(file)
    kinds: dict[str, Callable[..., Any]] = {"probe": model_from_state, "stack": stack_from_state}
    if str(metadata.get("kind")) not in kinds:
        raise SightsoundError(f"{os.fspath(file)}: expected a probe or a stack, got {metadata.get('kind')!r}")
    model: LinearModel | StackModel = kinds[metadata["kind"]](arrays, metadata, os.fspath(file))
    return model
