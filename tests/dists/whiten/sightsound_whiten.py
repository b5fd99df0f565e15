"""Standardises the vectors of images with a fixed mean and deviation; leaves sounds alone."""

from sightsound.plugin import hookimpl

MEAN, DEVIATION = 0.5, 0.25


def stage_id(card):
    return f"mean={MEAN},spread={DEVIATION}" if card.modality == "image" else None


@hookimpl(wrapper=True)
def postprocess(embedder, output):
    rows = yield
    return (rows - MEAN) / DEVIATION
