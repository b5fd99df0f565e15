"""Its entry point has the name of the host's own plugin."""

from sightsound.plugin import hookimpl


@hookimpl
def register_embedders(register):
    pass
