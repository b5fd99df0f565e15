"""Registers one good embedder and a stage, then raises."""

from sightsound.plugin import Card, hookimpl


@hookimpl
def register_embedders(register):
    register(Card(name="half.broken", modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)
    raise RuntimeError("half way through")


@hookimpl(wrapper=True)
def embed(embedder, inputs):
    yield
    raise RuntimeError("a plugin that is not there was called")
