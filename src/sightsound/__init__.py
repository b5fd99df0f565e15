"""Embeddings of images and sounds from pluggable networks.

The public names are listed in `__init__.pyi`. Each is imported when it is first used, so that `import sightsound` loads
nothing heavy. Plugins import from `sightsound.plugin`.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
