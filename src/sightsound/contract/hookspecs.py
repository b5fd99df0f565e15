"""Every hook, on one screen. A plugin implements those that it needs, marked with `sightsound.hookimpl`.

`register_embedders` and `resolve_embedder` provide embedders. The other three are the stages of an embedder: a plugin
can wrap a stage (pluggy's `wrapper=True`) or replace it, for all embedders or for some.

A plugin with a stage states its effect on the rows. With the attribute `same_numbers = True` they stay the same. With a
function `stage_id(card) -> str | None` they change: the text, which holds the settings, becomes part of the space;
None means that the plugin leaves this card alone. A plugin with neither changes the rows of every card.
"""

import pluggy

PROJECT = "sightsound"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_embedders(register):  # type: ignore[no-untyped-def]
    """Call `register(card, load)` once for each embedder; see `Card` and `Load`. Import no framework here."""


@hookspec(firstresult=True)
def resolve_embedder(name, options):  # type: ignore[no-untyped-def]
    """Return `(card, load)` for a name that no plugin registered, or None if the name is unknown.

    For `net.tag[pca,layer=fc2]`, `name` is "net.tag" and `options` is {"pca": True, "layer": "fc2"}. The name of the
    card contains the options in an order of your choice.
    """


@hookspec(firstresult=True)
def preprocess(embedder, media, start, last):  # type: ignore[no-untyped-def]
    """Turn an image or a block of sound into `Windows`; see `Embedder.preprocess`."""


@hookspec(firstresult=True)
def embed(embedder, inputs):  # type: ignore[no-untyped-def]
    """Run the network on float32 (n, *card.input_shape) and return `Output`; see `Embedder.embed`."""


@hookspec(firstresult=True)
def postprocess(embedder, output):  # type: ignore[no-untyped-def]
    """Turn `Output` into rows float32 (n, card.dim); see `Embedder.postprocess`."""
