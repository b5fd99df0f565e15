"""Every hook, on one screen. A plugin implements those it needs, marked with `sightsound.hookimpl`.

Registration brings embedders; the three stages are hooks too, so that a plugin can wrap one (pluggy's `wrapper=True`)
or replace it for all networks. A plugin with a stage says how it enters the space: `same_numbers = True` (the rows
stay as they are), or a function `stage_id(card)` that returns a short text of its settings, or None for cards that it
leaves alone; a plugin that says neither counts as changing the numbers of every card.
"""

import pluggy

PROJECT = "sightsound"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_embedders(register):  # type: ignore[no-untyped-def]
    """Call `register(card, load)` once for each embedder; import no framework here. `load(device, weights)` runs
    later, may be slow, and gets the verified path of every file in `card.weights` by name."""


@hookspec(firstresult=True)
def resolve_embedder(name, options):  # type: ignore[no-untyped-def]
    """-> `(card, load)` for a name that nobody registered, or None. For `net.tag[pca,layer=fc2]` name is `net.tag` and
    options `{"pca": True, "layer": "fc2"}`; `card.name` carries them, in your order."""


@hookspec(firstresult=True)
def preprocess(embedder, media, start, last):  # type: ignore[no-untyped-def]
    """-> `Windows`. Image: uint8 RGB (h, w, 3). Sound: float32 mono (samples,) at the card's rate, from sample `start`
    of the item, cut on hop boundaries so that every window is whole; only the `last` block may be padded."""


@hookspec(firstresult=True)
def embed(embedder, inputs):  # type: ignore[no-untyped-def]
    """float32 (n, *card.input_shape) -> `Output`; row i depends on row i alone, for a batch mixes items."""


@hookspec(firstresult=True)
def postprocess(embedder, output):  # type: ignore[no-untyped-def]
    """`Output` -> float32 (n, card.dim): the network's own published last step, row by row."""
