"""Load the file of a probe or a stack, with NumPy alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import SightsoundError
from sightsound.linear import file as probe_file
from sightsound.linear.features import FeatureSpec
from sightsound.linear.model import SAVED_PARAMETERS, LinearModel
from sightsound.linear.report import ProbeReport
from sightsound.linear.scaling import SCALINGS
from sightsound.linear.stack_model import StackModel

_MAX_CHARACTERS = 2**22
"""Limit of the number of classes times the length of the longest, which is what an array of texts takes."""


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
    kinds: dict[str, Callable[..., Any]] = {"probe": _model, "stack": _stack}
    if str(metadata.get("kind")) not in kinds:
        raise SightsoundError(f"{os.fspath(file)}: expected a probe or a stack, got {metadata.get('kind')!r}")
    model: LinearModel | StackModel = kinds[metadata["kind"]](arrays, metadata, os.fspath(file))
    return model


def _model(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], name: str) -> LinearModel:
    """Return the model that `LinearModel.state` described, from the file of a name."""
    try:
        model = LinearModel(
            arrays["coef"],
            arrays["intercept"],
            _classes(metadata["classes"], arrays["coef"].shape[0]),
            temperature=float(metadata["temperature"]),
            single=metadata["single"] is True,
            C=float(metadata["C"]),
            **{key: metadata["params"][key] for key in SAVED_PARAMETERS},
            **_preparation(metadata),
            centre=arrays.get("centre"),
        )
        spec, report = metadata["origin"], metadata["report"]
        model.feature_spec_ = None if spec is None else FeatureSpec.from_json(spec)
        model.report_ = None if report is None else ProbeReport.from_json(report)
        model.seen_, model.fold_sizes_ = arrays["seen"], metadata["folds"]
        none_below = metadata.get("none_below")  # earlier files have none
        model.none_below_ = None if none_below is None else float(none_below)
        _check_state(model)
    except (KeyError, TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise SightsoundError(f"{name}: damaged ({error}); make it anew: sightsound probe fit") from error
    return model


def _preparation(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scaling and the square root. Files of format 1 say `standardize` instead."""
    if "scaling" not in metadata:
        return {"scaling": "standard" if metadata["params"]["standardize"] else "none", "sqrt": False}
    return {"scaling": metadata["scaling"], "sqrt": metadata["sqrt"]}


def _classes(values: Any, rows: int) -> NDArray[Any]:
    """Return the classes of so many rows of coefficients as an array, which may be far larger than their JSON."""
    if not isinstance(values, list) or len(values) not in (rows, rows + (rows == 1)):
        raise ValueError("classes")
    if not all(isinstance(value, str | int | float) for value in values):
        raise ValueError("classes")
    if len(values) * max(len(str(value)) for value in values) > _MAX_CHARACTERS:
        raise ValueError("classes of extreme length")
    return np.array(values)


def _check_state(model: LinearModel) -> None:
    """Raise `ValueError` where what was read does not fit together."""
    coef, intercept, classes, seen = model.coef_, model.intercept_, model.classes_, model.seen_
    columns = 1 if (model.single and len(classes) == 2) else len(classes)
    features = coef.shape[1] if model.feature_spec_ is None else model.feature_spec_.features
    rules = [
        (model.kind in ("logistic", "svm", "ridge"), f"kind {model.kind!r}"),
        (model.scoring in ("accuracy", "f1_macro"), f"scoring {model.scoring!r}"),
        (model.scaling_ in SCALINGS and isinstance(model.sqrt_, bool), f"scaling {model.scaling_!r}, {model.sqrt_!r}"),
        (classes.ndim == 1 and len(set(classes.tolist())) == len(classes) > 1, "classes"),
        (coef.shape == (columns, features) and intercept.shape == (columns,), "shapes of coefficients"),
        (np.isfinite(coef).all() and np.isfinite(intercept).all(), "coefficients that are no numbers"),
        (_is_centre(model.centre_, features, model.scaling_), "centre"),
        (1e-100 < model.temperature_ < 1e100 and 0 < model.C_ < np.inf, "temperature or C"),
        (model.none_below_ is None or 0 <= model.none_below_ < 2, "threshold"),
        (seen.ndim == 1 and seen.dtype == np.uint64, "content ids"),
    ]
    for holds, text in rules:
        if not holds:
            raise ValueError(text)


def _is_centre(centre: NDArray[Any] | None, features: int, scaling: str) -> bool:
    """Return whether a model of this scaling has this centre, of rows of length 1."""
    if scaling != "centred" or centre is None:
        return scaling != "centred" and centre is None
    return centre.dtype == np.float64 and centre.shape == (features,) and bool(np.linalg.norm(centre) < 1.001)


def _stack(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], name: str) -> StackModel:
    """Return the stack that `StackModel.save` described, from the file of a name."""
    try:
        parts = {part: _model(_part(arrays, part), metadata["parts"][part], name) for part in metadata["parts"]}
        top_model = parts.pop("top", None)
        probes = [parts[str(i)] for i in range(len(parts))]
        if not probes or len(probes) != len(metadata["origins"]):
            raise ValueError("parts are missing")
        stack = StackModel(probes, top_model, **metadata["params"])
        stack.seen_ = arrays["seen"]
        stack.feature_specs_ = [FeatureSpec.from_json(spec) for spec in metadata["origins"]]
        stack.report_ = None if metadata["report"] is None else ProbeReport.from_json(metadata["report"])
        if (stack.top_ is None) != (stack.top is None):
            raise ValueError("parts are missing")
        if any(probe.classes_.tolist() != metadata["classes"] for probe in probes):
            raise ValueError("parts of other classes")
    except (KeyError, TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise SightsoundError(f"{name}: damaged ({error}); make it anew: sightsound stack") from error
    return stack


def _part(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{part}."): array for key, array in arrays.items() if key.startswith(f"{part}.")}
