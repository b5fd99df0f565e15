"""What torch plugins share: an embedder around a network, its layers, a device, safe loading, and a forward pass.

Part of the extra `sightsound[torch]`. The host imports this package for models that are derived from networks of torch
alone, when one is built. Importing it does not import torch: its
functions do. `TorchEmbedder` imports torch when its network is built.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
