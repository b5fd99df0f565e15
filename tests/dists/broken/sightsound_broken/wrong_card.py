"""Registers a dictionary instead of a card."""

from sightsound.plugin import hookimpl


@hookimpl
def register_embedders(register):
    register({"name": "wrong_card.broken"}, lambda device, weights: None)
