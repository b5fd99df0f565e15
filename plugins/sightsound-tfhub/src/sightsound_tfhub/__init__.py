"""The plugin `tfhub`: TensorFlow SavedModels from folders, archives and TF-Hub handles, for `import-model`.

Neither importing this package nor `load` imports TensorFlow.
"""

from __future__ import annotations

from sightsound.plugin import RegisterImporter, hookimpl, require_packages
from sightsound_tfhub.importer import SavedModel


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the format `savedmodel`."""
    require_packages("tensorflow", "tensorflow_hub")
    register(SavedModel())
