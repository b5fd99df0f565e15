"""Networks with the weights of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from sightsound.plugin import Card, SightsoundError
from sightsound.torch import state_dict
from sightsound_timm.builders import BUILDERS


def filled_network(card: Card, builder: str, file: Path, *, with_features: bool = True) -> nn.Module:
    """Return the network of a card with the weights of a file.

    Parameters
    ----------
    card : Card
        The card.
    builder : str
        The name of its builder.
    file : pathlib.Path
        The file.
    with_features : bool
        Whether the network gives its features beside its scores, rather than what its framework says.

    Returns
    -------
    torch.nn.Module
        The network on the CPU.

    Raises
    ------
    SightsoundError
        If the file is not one of this network. A head of another size does not fit either, since the card and its
        classes are known before the file is read.
    """
    build, name = BUILDERS[builder], card.name.partition("[")[0]
    tensors = {key.removeprefix("module."): tensor for key, tensor in state_dict(file).items()}  # DataParallel's prefix
    try:
        network = build.filled(name, tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        wrong = _first_difference(build.blank(name).state_dict(), tensors) or str(error).splitlines()[0]
        raise SightsoundError(f"{file}: {wrong}; give a file of {name}, or name the network it is of") from error
    return build.with_features(network, len(card.labels)) if with_features else network


def empty_network(card: Card, builder: str) -> nn.Module:
    """Return the network of a card as `filled_network` does, for numbers that are still to be loaded.

    It has the parts of one that was filled: some builders leave out what only training needs.
    """
    build, name = BUILDERS[builder], card.name.partition("[")[0]
    return build.with_features(build.filled(name, build.blank(name).state_dict()), len(card.labels))


def _first_difference(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Describe the first tensor of another shape, else the first that is missing, else the first that is extra."""
    for name in own.keys() & tensors.keys():
        if own[name].shape != tensors[name].shape:
            return f"{name}: expected shape {tuple(own[name].shape)}, got {tuple(tensors[name].shape)}"
    for name in own:
        if name not in tensors and not name.endswith("num_batches_tracked"):  # absent in files from before torch 0.4
            return f"expected a tensor {name}, got {next(iter(tensors), 'none')} and others"
    extra = next((name for name in tensors if name not in own), None)
    return f"expected no tensor {extra}" if extra else ""
