"""Replaces `embed` of `colours.tiny` with zeros."""

import numpy as np

from sightsound.plugin import Output, hookimpl


def stage_id(card):
    return "zeros" if card.name == "colours.tiny" else None


@hookimpl
def embed(embedder, inputs):
    return Output(np.zeros((len(inputs), 48), np.float32))
