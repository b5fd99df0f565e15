"""The options of a model's name for rows from layers. Importing this module does not import torch."""

from sightsound.contract.options import Option

LAYER_OPTIONS = (
    Option("layer", str, help="rows from layers, joined by +; see `sightsound models layers NAME`"),
    Option("pool", str, default="avg", help="how positions become one number: avg, max, std, joined by +, or flat"),
)
"""For `Card.options` of a network whose plugin uses `sightsound.torch.layers`."""
