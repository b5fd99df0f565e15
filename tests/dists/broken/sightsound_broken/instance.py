"""A plugin that is an object without a hash, as a dataclass makes it."""

from dataclasses import dataclass

from sightsound.plugin import Card, hookimpl


@dataclass
class Instance:
    name: str

    @hookimpl
    def register_embedders(self, register):
        register(Card(name=self.name, modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)


plugin = Instance("instance.broken")
