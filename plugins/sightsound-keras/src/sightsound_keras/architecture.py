"""Architectures in JSON: only layers of Keras are let in, and those of Keras 1 and 2 are brought up to date.

What a file names is looked up in `allowed.py` before Keras sees it. So no code is run: no lambda, no class or
function of another package, no layer that reads files. Initialisers, regularisers and constraints are left out, since
the numbers come from a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sightsound.plugin import SightsoundError
from sightsound_keras.allowed import ACTIVATIONS, LAYERS, OPERATIONS

MODULES = {
    "Functional": "keras.src.models.functional",
    "Sequential": "keras",
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}
"""Where classes that are not in `keras.layers` are."""

OPERATION_MODULES = ("keras.src.ops.core", "keras.src.ops.nn", "keras.src.ops.numpy")
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__")
"""What stands for a value in JSON."""

POLICIES = ("DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1")
NEEDLESS = ("_initializer", "_regularizer", "_constraint")
"""How the names of settings end that matter for training alone."""

DROPPED: Mapping[str, tuple[Any, ...]] = {
    "fused": (True, False, None),
    "time_major": (False,),
    "implementation": (0, 1, 2),
    "input_length": (None,),
    "renorm": (False,),
    "virtual_batch_size": (None,),
}
"""Settings of older versions that Keras 3 does not have, with the values for which they mean nothing."""


def up_to_date(text: str, file: object) -> dict[str, Any]:
    """Return the configuration of a network for `keras.saving.deserialize_keras_object`.

    Parameters
    ----------
    text : str
        The architecture in JSON, as `model.to_json()` of any version writes it.
    file : object
        The name of the file, for the error.

    Returns
    -------
    dict
        It names classes of Keras alone.

    Raises
    ------
    SightsoundError
        If it is no architecture, or has a layer that is not of Keras or could run code.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("class_name") not in ("Functional", "Model", "Sequential"):
            got = found.get("class_name") if isinstance(found, dict) else type(found).__name__
            raise SightsoundError(f"{file}: expected a functional or sequential network of Keras, got {got!r}")
        config: dict[str, Any] = _object(found)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SightsoundError(
            f"{file}: expected the architecture of a Keras network in JSON ({error!r:.100})"
        ) from error
    except _Refused as error:
        raise SightsoundError(f"{file}: {error}") from None
    return config


def with_input(config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Set the shape of the input of a configuration of `up_to_date`, for networks that take several; return it."""
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_shape"] = [None, *shape]
    return config


def input_shapes(config: dict[str, Any]) -> list[tuple[int | None, ...]]:
    """Return the shapes of the inputs of a configuration of `up_to_date`, without the batch; None for free sizes."""
    layers = config["config"]["layers"]
    return [tuple(each["config"]["batch_shape"][1:]) for each in layers if each["class_name"] == "InputLayer"]


class _Refused(Exception):
    """Something that is not let in; the text says what, without the file."""


def _value(found: Any) -> Any:
    """Return a value within a configuration, with every object in it up to date."""
    if isinstance(found, list):
        return [_value(each) for each in found]
    if isinstance(found, dict):
        return _object(found) if "class_name" in found else {key: _value(each) for key, each in found.items()}
    return found


def _object(found: dict[str, Any]) -> Any:
    """Return an object of a configuration up to date: a network, a layer, an operation, or a value."""
    kind, config = found["class_name"], found.get("config", {})
    if kind in VALUES:
        return [_value(each) for each in found["items"]] if kind == "__tuple__" else {**found, "config": _value(config)}
    if kind in POLICIES:
        return config["name"]
    if kind == "function":
        return _activation(config)
    kind = "Functional" if kind == "Model" else kind
    module = found.get("module")
    if module in OPERATION_MODULES and kind in OPERATIONS:
        settings = _value(config)
    elif kind in LAYERS or kind in MODULES:
        module = MODULES.get(kind, "keras.layers")
        settings = _network(kind, found) if kind in ("Functional", "Sequential") else _layer(kind, config)
    else:
        name = config.get("name") if isinstance(config, dict) else None
        of = f"layer {name or found.get('name') or 'without a name'}: "
        raise _Refused(f"{of}expected a layer of Keras that runs no code and reads no file, got {kind}")
    rest = {key: _value(found[key]) for key in ("name", "inbound_nodes") if key in found}
    return {"class_name": kind, "config": settings, "module": module, "registered_name": None, **rest}


def _activation(config: Any) -> Any:
    name = config.get("name") if isinstance(config, dict) else config
    if name not in ACTIVATIONS:
        raise _Refused(f"expected an activation of Keras, got the function {name!r}")
    return name


def _layer(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: _value(value) for key, value in config.items() if not key.endswith(NEEDLESS)}
    for key, harmless in DROPPED.items():
        if key in settings and settings[key] in harmless:
            del settings[key]
    shape = settings.pop("batch_input_shape", None)
    if kind == "InputLayer" and shape is not None:
        settings["batch_shape"] = shape
    if kind.startswith(("Depthwise", "Separable")) and settings.get("groups") == 1:
        del settings["groups"]
    if kind == "BatchNormalization" and isinstance(settings.get("axis"), list):
        (settings["axis"],) = settings["axis"]
    if kind == "LeakyReLU" and "alpha" in settings:
        settings["negative_slope"] = settings.pop("alpha")
    return settings


def _network(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a network; a sequential one begins with its input."""
    config = found["config"]
    if isinstance(config, list):  # a sequential network of Keras 1
        config = {"name": "sequential", "layers": config}
    settings = {key: _value(value) for key, value in config.items() if key != "build_input_shape"}
    layers = settings["layers"]
    if kind == "Sequential" and layers and layers[0]["class_name"] != "InputLayer":
        first = config["layers"][0].get("config", {})
        build = found.get("build_config") or {}
        shape = first.get("batch_input_shape") or config.get("build_input_shape") or build.get("input_shape")
        if shape is None and layers[0]["class_name"] not in ("Functional", "Sequential"):
            raise _Refused(f"network {config.get('name')}: expected the shape of its input, got none; add keras.Input")
        if shape is not None:
            given = {"class_name": "InputLayer", "config": {"batch_shape": shape}, "module": "keras.layers"}
            layers.insert(0, {**given, "registered_name": None})
    names = {each["config"].get("name", "") for each in layers}
    other = {name for name in names if plain_name(name) != name}
    return _renamed(settings, other) if other else settings


def plain_name(name: str) -> str:
    """Return the name of a layer as Keras 3 on torch accepts it: `fire2_concat` for `fire2/concat`."""
    return name.replace("/", "_").replace(".", "_")


def _renamed(found: Any, names: set[str]) -> Any:
    """Return layers and what refers to them with plain names in place of some names."""
    if isinstance(found, dict):
        return {key: _renamed(value, names) for key, value in found.items()}
    if isinstance(found, list):
        return [_renamed(each, names) for each in found]
    return plain_name(found) if isinstance(found, str) and found in names else found
