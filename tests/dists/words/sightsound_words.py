"""Networks that take words: the mean colour of an image, and the loudness of a second of sound.

A word that is known has the colour or the loudness of its name, any other one some numbers from its letters.
"""

import zlib
from collections import Counter
from threading import Lock

import numpy as np

from sightsound.plugin import Card, Output, Windows, frames, hookimpl

built = Counter()
"""How often the part of a network for words was built, by name."""

texts_seen = Counter()
"""How often a network got each text, by (name, text)."""

CENTRE, CONSTANT = 0.5, 0.25
CONSTANTS = {"centre": CENTRE, "constant": CONSTANT}

COLOURS = Card(
    name="colourwords.words",
    modality="image",
    dim=4,
    input_shape=(8, 8, 3),
    text=True,
    constants={**CONSTANTS, "text": {"templates": ["{}", "a photo of a {}."], "logit_scale": 20.0}},
    about="mean colours, and the colours of words",
)
LOUDNESS = Card(
    name="soundwords.words",
    modality="sound",
    dim=3,
    input_shape=(1600,),
    sample_rate=1600,
    window=1600,
    hop=800,
    text=True,
    constants=CONSTANTS,
    about="how loud and how quiet a second is, and such words",
)
WORDS = {
    COLOURS.name: {
        "red": (1, 0, 0),
        "green": (0, 1, 0),
        "blue": (0, 0, 1),
        "white": (1, 1, 1),
        "black": (0, 0, 0),
    },
    LOUDNESS.name: {"loud": (1, 0), "quiet": (0, 1)},
}


class TextTower:
    """The mean of the vectors of the known words in a text; of all its words if none is known."""

    def __init__(self, name, length):
        built[name] += 1
        self.words, self.length = WORDS[name], length

    def vector(self, text):
        words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
        known = [self.words[word] for word in words if word in self.words]
        return np.mean(known or [self.other(word) for word in words or [""]], axis=0)

    def other(self, word):
        return [zlib.crc32(f"{i}{word}".encode()) / 2**32 for i in range(self.length)]


class WithWords:
    workers = 2

    def __init__(self):
        self._tower, self._lock = None, Lock()

    def text(self, texts):
        with self._lock:
            self._tower = self._tower or TextTower(self.card.name, self.card.dim - 1)
        texts_seen.update((self.card.name, text) for text in texts)
        rows = [self._tower.vector(text) for text in texts]
        return np.array(rows, np.float32).reshape(len(rows), self.card.dim - 1)

    def postprocess(self, output):
        """Subtract a fixed mean, add a constant so that no row is zero, and scale to length 1."""
        rows = np.insert(output.embeddings - np.float32(CENTRE), 0, np.float32(CONSTANT), axis=1)
        return (rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))).astype(np.float32)


class ColourWords(WithWords):
    card = COLOURS

    def preprocess(self, media, start, last):
        rows = np.linspace(0, len(media) - 1, 8).round().astype(int)
        columns = np.linspace(0, media.shape[1] - 1, 8).round().astype(int)
        return Windows((media[np.ix_(rows, columns)] / np.float32(255)).astype(np.float32)[None])

    def embed(self, inputs):
        return Output(inputs.mean(axis=(1, 2)))


class SoundWords(WithWords):
    card = LOUDNESS

    def preprocess(self, media, start, last):
        windows, spans, padded = frames(self.card, media, start, last)
        return Windows(np.ascontiguousarray(windows), spans, padded)

    def embed(self, inputs):
        level = np.sqrt(np.square(inputs).mean(axis=1)).clip(0, 1)
        return Output(np.stack([level, 1 - level], axis=1).astype(np.float32))


@hookimpl
def register_embedders(register):
    register(COLOURS, lambda device, weights: ColourWords())
    register(LOUDNESS, lambda device, weights: SoundWords())
