"""Which model classifies an image or a sound: the one that was named, or the default one."""

from __future__ import annotations

from sightsound.classify.segments import plain_float
from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import SightsoundError
from sightsound.host.host import Host
from sightsound.host.model import Model


def load_for(
    host: Host, model: str | Model | None, modality: Modality, *, hop: float | None = None, device: str = "auto"
) -> Model:
    """Return a loaded model for a modality.

    Parameters
    ----------
    host : Host
        Where models are looked up.
    model : str, Model or None
        The name of a model, a model that is loaded already, or None for the default one.
    modality : {"image", "sound"}
        What it must be for.
    hop : float or None
        Seconds between windows, see `name_with_hop`.
    device : str
        Where it runs, see `Host.load`.

    Returns
    -------
    Model

    Raises
    ------
    SightsoundError
        If the model is for another modality, or a hop is given for a loaded model.
    UnknownModel
        If no plugin has a model of this name.
    """
    if isinstance(model, Model):
        if hop is not None:
            raise SightsoundError("hop: load the model with it, as in host.load('yamnet.audioset_i8[hop=0.1]')")
        _require(model.card, modality)
        return model
    name = name_with_hop(host, model, modality, hop)
    _require(host.card(name), modality)
    return host.load(name, device)


def name_with_hop(host: Host, model: str | None, modality: Modality, hop: float | None = None) -> str:
    """Return the full name of a model.

    Parameters
    ----------
    host : Host
        Where the default model is looked up.
    model : str or None
        The name of a model, or None for the default one of the modality.
    modality : {"image", "sound"}
        What the default one must be for.
    hop : float or None
        Seconds between windows, written as the option `hop`. None leaves the name as it is.

    Returns
    -------
    str

    Raises
    ------
    SightsoundError
        If a hop is given for a name that has options.
    """
    name = model or host.default(modality)
    if hop is None:
        return name
    if "[" in name:
        raise SightsoundError(f"hop: expected once, got {hop} and {name}; leave one out")
    return f"{name}[hop={plain_float('hop', hop)!r}]"


def _require(card: Card, modality: Modality) -> None:
    if card.modality != modality:
        raise SightsoundError(f"{card.name}: expected a model for {modality}s, got one for {card.modality}s")
