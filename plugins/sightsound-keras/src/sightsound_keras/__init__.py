"""Networks of Keras 3 on torch: its applications by name, and those in files. Importing this imports neither.

TensorFlow is not used. Keras has one backend in a process: if a program has imported it with another one, the networks
of this plugin are refused in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound.plugin import Card, Embedder, Layer, Load, Register, RegisterImporter, hookimpl, require_packages
from sightsound_keras.applications import NASNET_MOBILE, TAG, Application, applications

if TYPE_CHECKING:
    from sightsound.torch.layers import Plan


@hookimpl
def register_embedders(register: Register) -> None:
    """Register NASNetMobile, which no other plugin has; `resolve_embedder` finds the other applications by name."""
    require_packages("keras", "torch", "h5py")
    application = applications()[NASNET_MOBILE]
    register(application.card(), _Load(application))


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the format `keras`."""
    require_packages("keras", "torch", "h5py")
    from sightsound_keras.importer import KerasImporter

    register(KerasImporter())


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and loader of an application of Keras by its full name, or None.

    Parameters
    ----------
    name : str
        Such as `vgg16.keras_in1k`; `applications.tsv` has all names.
    options : mapping
        Nothing, or some of `sightsound.plugin.LAYER_OPTIONS`.

    Returns
    -------
    tuple of Card and Load, or None
        None for other names.

    Raises
    ------
    UnknownModel
        If the network does not have these layers.
    """
    arch, _, tag = name.partition(".")
    if tag != TAG or arch not in applications():
        return None
    application = applications()[arch]
    if not options:
        return application.card(), _Load(application)

    from sightsound_keras.layers import plan_layers

    plan = plan_layers(application, options)
    return plan.card(application.card()), _Load(application, plan)


@dataclass(frozen=True)
class _Load:
    """Loads an application, with a plan for its layers."""

    application: Application
    plan: Plan | None = None

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_keras.embedder import KerasEmbedder

        (file,) = weights.values()
        card = self.application.card()
        load = self.application.loader(file)
        return KerasEmbedder(self.plan.card(card) if self.plan else card, load, device, self.plan)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name; no weights are needed."""
        from sightsound_keras.layers import list_layers

        return list_layers(self.application)
