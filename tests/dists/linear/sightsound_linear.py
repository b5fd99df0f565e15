"""Linear networks of images in .npz files: `weights` (inputs, dim), `biases` (dim,), `head` (dim, classes) or none."""

import numpy as np

from sightsound.plugin import Inputs, Output, file_of, hookimpl

SIZE = 8


class Linear:
    """The format; what a file says not is the size of the image, which is 8 pixels."""

    name = "linear"
    suffixes = (".npz",)

    def read(self, files, settings):
        with np.load(files[0]) as found:
            dim = found["weights"].shape[1]
            scores = found["head"].shape[1] if "head" in found else None
        shape = settings.image_shape("nchw", settings.size or (SIZE, SIZE))
        return settings.card(dim=dim, input_shape=shape, score_count=scores, constants={"loader": 1})

    def load(self, card, device, weights):
        return Network(card, np.load(file_of(weights, ".npz")))


class Network:
    """A linear network."""

    def __init__(self, card, numbers):
        self.card, self._numbers, self.preprocess = card, numbers, Inputs(card)

    def embed(self, inputs):
        rows = inputs.reshape(len(inputs), -1) @ self._numbers["weights"] + self._numbers["biases"]
        if not self.card.classes:
            return Output(rows)
        logits = rows @ self._numbers["head"]
        if self.card.constants["logits"]:
            logits = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits /= logits.sum(axis=1, keepdims=True)
        return Output(rows, logits.astype(np.float32))

    def postprocess(self, output):
        return output.embeddings


@hookimpl
def register_importers(register):
    register(Linear())


def write_network(file, *, seed=0, classes=0):
    """Write a network with random numbers, and return the file."""
    random = np.random.default_rng(seed)
    numbers = {"weights": random.normal(size=(3 * SIZE * SIZE, 5)), "biases": random.normal(size=5)}
    if classes:
        numbers["head"] = random.normal(size=(5, classes))
    np.savez(file, **{name: value.astype(np.float32) for name, value in numbers.items()})
    return file
