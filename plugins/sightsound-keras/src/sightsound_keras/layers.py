"""The layers of Keras applications by Keras's names; no weights are needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sightsound.plugin import Layer
from sightsound.torch.layers import Plan, Survey, choose, usable
from sightsound_keras.applications import TAG, Application
from sightsound_keras.backend import built


def plan_layers(application: Application, options: Mapping[str, Any]) -> Plan:
    """Return the plan for the options `layer` and `pool`.

    Raises `UnknownModel` if the network does not have such layers or there is no such pool.
    """
    return choose(f"{application.name}.{TAG}", options, _survey(application))


def list_layers(application: Application) -> list[Layer]:
    """Return every layer that `plan_layers` accepts."""
    return usable(_survey(application))


@cache
def _survey(application: Application) -> Survey:
    def look() -> dict[str, Layer | str]:
        _, *layers = application.build().layers  # without the input
        return {layer.name: _layer(layer) for layer in layers}

    return built(look, device="meta")


def _layer(layer: Any) -> Layer:
    """Return a layer with the shape of its output; channels are the last axis in Keras applications."""
    shape = tuple(layer.output.shape[1:])
    return Layer(layer.name, type(layer).__name__, shape, len(shape) - 1)
