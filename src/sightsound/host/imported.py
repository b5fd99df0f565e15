"""Imported models as the host has them: registered like those of plugins, loaded by the importer of their format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sightsound.contract.embedder import Embedder
from sightsound.contract.errors import SightsoundError
from sightsound.host.claims import Owner
from sightsound.host.discovery import Registration, Registry
from sightsound.host.model_folder import ImportedModel, ModelFolder

OWNER = Owner("imported")
"""Who owns the names of imported models."""


def register_imported(registry: Registry, folder: ModelFolder) -> None:
    """Register the models of a folder, in place of those that were registered before."""
    registry.embedders.remove(OWNER)
    for model in folder.models():
        offered = registry.importers.owned.get(model.importer)
        plugin = offered.plugin if offered else OWNER.plugin
        registry.embedders.add(model.card.name, OWNER, Registration(model.card, _ImportedLoad(registry, model), plugin))


class _ImportedLoad:
    """Loads a model with the importer of its format, if that is installed."""

    def __init__(self, registry: Registry, model: ImportedModel) -> None:
        self._registry, self._model = registry, model

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        model = self._model
        offered = self._registry.importers.get(model.importer)
        if offered is None:
            install = f"pip install {model.distribution}" if model.distribution else "install its plugin"
            raise SightsoundError(
                f"{model.card.name}: was imported in the format {model.importer!r}, which no plugin in use has; "
                f"{install}, or see `sightsound plugins`"
            )
        return offered.importer.load(model.card, device, weights)
