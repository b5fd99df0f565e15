"""Registers one name twice."""

from sightsound.plugin import Card, hookimpl


@hookimpl
def register_embedders(register):
    for dim in (1, 2):
        card = Card(name="twice.broken", modality="image", dim=dim, input_shape=(1,))
        register(card, lambda device, weights: None)
