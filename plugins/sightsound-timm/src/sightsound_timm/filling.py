"""Networks with the weights of a file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sightsound.plugin import Card, SightsoundError
from sightsound.torch import first_difference
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
    tensors = {key.removeprefix("module."): tensor for key, tensor in build.read(file).items()}  # DataParallel's prefix
    try:
        network = build.filled(name, tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        counts = ("num_batches_tracked",)  # absent in files from before torch 0.4
        wrong = first_difference(build.blank(name).state_dict(), tensors, may_lack=counts) or str(error).splitlines()[0]
        raise SightsoundError(f"{file}: {wrong}; give a file of {name}, or name the network it is of") from error
    return build.with_features(network, len(card.labels)) if with_features else network
