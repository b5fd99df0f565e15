"""A correct plugin that writes a file when it is imported."""

import os
from pathlib import Path

from sightsound.plugin import Card, hookimpl

if "SIGHTSOUND_WITNESS" in os.environ:
    Path(os.environ["SIGHTSOUND_WITNESS"]).write_text("imported")


@hookimpl
def register_embedders(register):
    register(Card(name="witness.good", modality="image", dim=1, input_shape=(1,)), lambda device, weights: None)
