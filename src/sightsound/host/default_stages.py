"""The built-in plugin that is called last: it runs each stage of the embedder itself."""

from typing import Any

from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.embedder import Embedder, Output, Windows
from sightsound.contract.hookspecs import hookimpl

same_numbers = True


@hookimpl(trylast=True)
def preprocess(embedder: Embedder, media: NDArray[Any], start: int, last: bool) -> Windows:
    """Run `Embedder.preprocess`."""
    return embedder.preprocess(media, start, last)


@hookimpl(trylast=True)
def embed(embedder: Embedder, inputs: Floats) -> Output:
    """Run `Embedder.embed`."""
    return embedder.embed(inputs)


@hookimpl(trylast=True)
def postprocess(embedder: Embedder, output: Output) -> Floats:
    """Run `Embedder.postprocess`."""
    return embedder.postprocess(output)
