"""Weight-free embedders: the mean colours of a 4 x 4 grid, and the loudness of 16 parts of a second."""

import os
import time

import numpy as np

from sightsound.plugin import Card, ClassList, Output, Windows, frames, hookimpl

COLOURS = Card(
    name="colours.tiny",
    modality="image",
    dim=48,
    input_shape=(16, 16, 3),
    constants={"grid": 4, "size": 16},
    about="mean colours of a 4 x 4 grid",
)
LOUDNESS = Card(
    name="loudness.tiny",
    modality="sound",
    dim=17,
    input_shape=(1600,),
    sample_rate=1600,
    window=1600,
    hop=800,
    classes=ClassList("loudness", ("quiet", "loud")),
    scores="softmax",
    constants={"stretches": 16},
    about="root mean square of 16 stretches of a second",
)


class Colours:
    card = COLOURS
    batch_size = 4
    workers = 2

    def preprocess(self, media, start, last):
        rows = np.linspace(0, len(media) - 1, 16).round().astype(int)
        columns = np.linspace(0, media.shape[1] - 1, 16).round().astype(int)
        return Windows((media[np.ix_(rows, columns)] / np.float32(255)).astype(np.float32)[None])

    def embed(self, inputs):
        time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
        grid = inputs.reshape(len(inputs), 4, 4, 4, 4, 3)
        return Output(grid.mean(axis=(2, 4)).reshape(len(inputs), 48).astype(np.float32))

    def postprocess(self, output):
        return output.embeddings


class Loudness:
    card = LOUDNESS
    batch_size = 8
    workers = 2

    def preprocess(self, media, start, last):
        windows, spans, padded = frames(self.card, media, start, last)
        return Windows(np.ascontiguousarray(windows), spans, padded)

    def embed(self, inputs):
        time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
        loud = np.sqrt((inputs.reshape(len(inputs), 16, 100).astype(np.float64) ** 2).mean(axis=2))
        level = loud.mean(axis=1, keepdims=True)
        rows = np.concatenate([loud, level + 0.01], axis=1).astype(np.float32)
        return Output(rows, np.concatenate([1 - level, level], axis=1).clip(0, 1).astype(np.float32))

    def postprocess(self, output):
        return output.embeddings


@hookimpl
def register_embedders(register):
    register(COLOURS, lambda device, weights: Colours())
    register(LOUDNESS, lambda device, weights: Loudness())
