"""Every hook, on one screen. A plugin implements those that it needs, marked with `sightsound.hookimpl`.

`register_embedders` and `resolve_embedder` provide embedders, `register_options` adds options to those of other
plugins, `register_runtimes` provides other ways to run them, `register_importers` makes models of files, and
`register_exporters` writes networks to files. The last three are the stages of an embedder: a plugin can wrap a stage
(pluggy's `wrapper=True`) or replace it, for all embedders or for some.

A plugin may say for which version of this contract it was written: `sightsound_api = 2` in its module. A host with
another version does not use it.

A plugin with a stage states its effect on the rows. With the attribute `same_numbers = True` they stay the same. With a
function `stage_id(card) -> str | None` they change: the text, which holds the settings, becomes part of the space;
None means that the plugin leaves this card alone. A plugin with neither changes the rows of every card.
"""

import pluggy

API = 2
"""The version of the contract between host and plugins. It changes when old plugins would not work."""

PROJECT = "sightsound"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_embedders(register):  # type: ignore[no-untyped-def]
    """Call `register(card, load)` once for each embedder; see `Card` and `Load`. Import no framework here."""


@hookspec(firstresult=True)
def resolve_embedder(name, options):  # type: ignore[no-untyped-def]
    """Return `(card, load)` for a name that no plugin registered, or for options; None if the name is unknown.

    For `net.tag[pca,hop=0.5]`, `name` is "net.tag" and `options` is {"pca": True, "hop": 0.5}: the values have the
    types that `card.options` of the network without options declares, in that order. Options that no card declares are
    refused before. The name of the returned card has the same options; a name without a tag may be completed.
    """


@hookspec
def register_options(register):  # type: ignore[no-untyped-def]
    """Call `register(option, fits, apply)` for each option that is added to networks of other plugins.

    `fits(card)` says which networks have it, `apply(card, load, value)` returns `(card, load)` with it. The name of
    that card is the old one with the option added, see `sightsound.plugin.with_option`.
    """


@hookspec
def register_runtimes(register):  # type: ignore[no-untyped-def]
    """Call `register(runtime)` for each way to run networks; see `Runtime`. Import no framework here."""


@hookspec
def register_importers(register):  # type: ignore[no-untyped-def]
    """Call `register(importer)` for each format of files to import; see `Importer`. Import no framework here."""


@hookspec
def register_exporters(register):  # type: ignore[no-untyped-def]
    """Call `register(exporter)` for each format of files to export; see `Exporter`. Import no framework here."""


@hookspec(firstresult=True)
def preprocess(embedder, media, start, last):  # type: ignore[no-untyped-def]
    """Turn an image or a block of sound into `Windows`; see `Embedder.preprocess`."""


@hookspec(firstresult=True)
def embed(embedder, inputs):  # type: ignore[no-untyped-def]
    """Run the network on float32 (n, *card.input_shape) and return `Output`; see `Embedder.embed`."""


@hookspec(firstresult=True)
def postprocess(embedder, output):  # type: ignore[no-untyped-def]
    """Turn `Output` into rows float32 (n, card.dim); see `Embedder.postprocess`."""
