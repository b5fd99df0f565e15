"""Takes the mean off the vectors of pictures and divides by the spread; leaves sounds alone."""

from sightsound.plugin import hookimpl

MEAN, SPREAD = 0.5, 0.25


def stage_id(card):
    return f"mean={MEAN},spread={SPREAD}" if card.modality == "image" else None


@hookimpl(wrapper=True)
def postprocess(embedder, output):
    rows = yield
    return (rows - MEAN) / SPREAD
