"""Its card is invalid."""

from sightsound.plugin import Card, hookimpl


@hookimpl
def register_embedders(register):
    register(Card(name="card.broken", modality="image", dim=0, input_shape=(1,)), lambda device, weights: None)
