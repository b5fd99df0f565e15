"""Registers an embedder of its own, and one under the name of another's."""

from sightsound.plugin import Card, hookimpl


@hookimpl
def register_embedders(register):
    register(Card(name="usurper.broken", modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)
    register(Card(name="colours.tiny", modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)
