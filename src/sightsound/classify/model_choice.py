"""Which model classifies an image or a sound: the one that was named, or the default one."""

from __future__ import annotations

from collections.abc import Sequence

from sightsound.classify.segments import plain_float
from sightsound.classify.text_classes import with_text_classes
from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import SightsoundError, UnknownModel
from sightsound.host.host import Host
from sightsound.host.model import Model


def load_for(
    host: Host,
    model: str | Model | None,
    modality: Modality,
    *,
    hop: float | None = None,
    device: str = "auto",
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
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
    classes : sequence of str
        Classes that are given as words, in place of the model's own; it must take words then.
    templates : sequence of str
        Texts for the classes, see `text_probe`.

    Returns
    -------
    Model

    Raises
    ------
    SightsoundError
        If the model is for another modality, takes no words, or a hop is given for a loaded model.
    UnknownModel
        If no plugin has a model of this name, or no model or several could be meant.
    """
    if isinstance(model, Model):
        if hop is not None:
            raise SightsoundError("hop: load the model with it, as in host.load('yamnet.audioset_i8[hop=0.1]')")
        card, loaded = model.card, model
    else:
        if classes and model is None:
            model = the_one_for_words(host, modality)
        name = name_with_hop(host, model, modality, hop)
        card, loaded = host.card(name), None
    _require(card, modality)
    if classes:
        require_text(host, card)
    loaded = loaded or host.load(name, device)
    return with_text_classes(loaded, classes, templates) if classes else loaded


def models_for_words(host: Host, modality: Modality) -> list[str]:
    """Return the models for a modality that take words, or only the default one if it does."""
    try:
        default = host.default(modality)
        if host.card(default).text:
            return [default]
    except SightsoundError:  # there need be no default one
        pass
    return [name for name, card in host.cards.items() if card.modality == modality and card.text]


def the_one_for_words(host: Host, modality: Modality) -> str:
    """Return the model for a modality that takes words.

    Raises
    ------
    UnknownModel
        If there is none, or several and none of them is the default one; the text names them.
    """
    found = models_for_words(host, modality)
    if not found:
        raise no_model_for_words(f"model for {modality}s")
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise UnknownModel(f"several models for {modality}s take words: {names}; name one (--model)")
    return found[0]


def no_model_for_words(what: str = "model") -> UnknownModel:
    """Return the error for classes that are given as words where no model takes words."""
    return UnknownModel(f"classes: no {what} in use takes words; install one that does, see `sightsound models`")


def require_text(host: Host, card: Card) -> None:
    """Raise `SightsoundError` if a model takes no words; the text names those of its modality that do."""
    if not card.text:
        known = [name for name, each in host.cards.items() if each.text and each.modality == card.modality]
        advice = f"name a model that does: {', '.join(sorted(known))}" if known else "no installed model does"
        raise SightsoundError(f"{card.name}: takes no words; {advice}")


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
        If a hop is given for a name that has one, or for a network without the option.
    """
    name = model or host.default(modality)
    if hop is None:
        return name
    if not any(option.name == "hop" for option, _ in host.options(name)):
        raise SightsoundError(f"hop: {name} has no option `hop`, its windows are fixed; leave hop out")
    base, _, options = name.removesuffix("]").partition("[")
    if any(option.strip().startswith("hop=") for option in options.split(",")):
        raise SightsoundError(f"hop: expected once, got {hop} and {name}; leave one out")
    moved = f"hop={plain_float('hop', hop)!r}"
    return f"{base}[{options},{moved}]" if options else f"{base}[{moved}]"


def _require(card: Card, modality: Modality) -> None:
    if card.modality != modality:
        raise SightsoundError(f"{card.name}: expected a model for {modality}s, got one for {card.modality}s")
