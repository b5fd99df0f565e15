"""Calls the argument of a hook by another name."""

from sightsound.plugin import hookimpl


@hookimpl(wrapper=True)
def embed(embedder, batch):
    return (yield)
