"""Plugins for tests of the host, without any network."""

from __future__ import annotations

from sightsound import Card, Host, hookimpl
from sightsound.host.discovery import Plugin


def card(name: str, dim: int = 1) -> Card:
    return Card(name=name, modality="image", dim=dim, input_shape=(1,))


class OneEmbedder:
    """A plugin with one embedder, loaded by `load`."""

    def __init__(self, name, load=lambda device, weights: None, dim=1):
        self.name, self.load, self.dim = name, load, dim

    @hookimpl
    def register_embedders(self, register):
        register(card(self.name, self.dim), self.load)


class Resolver:
    """A plugin that resolves every name with `answer(name, options)` and records the questions."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    @hookimpl
    def resolve_embedder(self, name, options):
        self.asked.append((name, options))
        return self.answer(name, options)


def listed(host: Host, name: str, distribution: str = "") -> Plugin:
    """The one plugin of this name."""
    (found,) = [each for each in host.plugins if each.name == name and distribution in ("", each.distribution)]
    return found
