"""Raises when it is asked for its embedders."""

from sightsound.plugin import hookimpl


@hookimpl
def register_embedders(register):
    raise KeyError("no such\nsetting")
