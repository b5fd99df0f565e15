"""The models of users who name none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import NoDefaultModel, UnknownModel
from sightsound.host.discovery import Registry

DEFAULT_SETTINGS: Mapping[Modality, str] = MappingProxyType(
    {"image": "SIGHTSOUND_IMAGE_MODEL", "sound": "SIGHTSOUND_SOUND_MODEL"}
)
"""The environment variables with the user's default models."""


def default_model(registry: Registry, modality: Modality, card_of: Callable[[str], Card]) -> str:
    """Return the name of the model for images or sounds if the user names none; see `Host.default`."""
    setting = DEFAULT_SETTINGS[modality]
    if chosen := os.environ.get(setting):
        if card_of(chosen).modality != modality:
            raise UnknownModel(f"{setting}: expected a model for {modality}s, got {chosen!r}; set another")
        return chosen
    claims = registry.embedders
    found = [name for name in claims if claims.may_be(name, lambda each: each.card.default_for == modality)]
    if len(found) == 1:
        card_of(found[0])  # raises if several plugins claim it
        return found[0]
    if found:
        names = ", ".join(sorted(found))
        raise UnknownModel(
            f"several models want to be the default for {modality}s: {names}; name one (--model), or set {setting}"
        )
    unused = ", ".join(plugin.name for plugin in registry.plugins.values() if not plugin.in_use)
    raise NoDefaultModel(
        f"no plugin in use has a default model for {modality}s"
        + (f" (not in use: {unused})" if unused else "")
        + "; install one, see `sightsound plugins` and the README, or name a model (--model)"
    )
