"""Misspells `register_embedders`."""

from sightsound.plugin import Card, hookimpl


@hookimpl
def register_embeders(register):
    register(Card(name="misspelt.broken", modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)
