"""`logspec.acme`: the mean and deviation of a log-spectrogram of each second of sound. NumPy only, no weights."""

import numpy as np

from sightsound.plugin import Card, Floats, Output, Register, Windows, frames, hookimpl

RATE, FRAME, BANDS, FLOOR = 16_000, 512, 64, 1e-4
FRAMES = RATE // FRAME
CARD = Card(
    name="logspec.acme",
    modality="sound",
    dim=2 * BANDS,
    input_shape=(FRAMES, BANDS),
    sample_rate=RATE,
    window=RATE,
    hop=RATE // 2,
    constants={"frame": FRAME, "bands": BANDS, "floor": FLOOR, "taper": "hann"},
    license="Apache-2.0",
    about="mean and deviation of a log-spectrogram in 64 bands",
)


class LogSpec:
    card = CARD

    def preprocess(self, media: Floats, start: int, last: bool) -> Windows:
        samples, spans, padded = frames(CARD, media, start, last)
        pieces = samples[:, : FRAMES * FRAME].reshape(len(samples), FRAMES, FRAME)
        power = np.abs(np.fft.rfft(pieces * np.hanning(FRAME))[..., 1:]) ** 2
        bands = power.reshape(len(samples), FRAMES, BANDS, FRAME // 2 // BANDS).mean(axis=3)
        return Windows(np.log(bands + FLOOR).astype(np.float32), spans, padded)

    def embed(self, inputs: Floats) -> Output:
        return Output(np.concatenate([inputs.mean(axis=1), inputs.std(axis=1)], axis=1))

    def postprocess(self, output: Output) -> Floats:
        loudness: Floats = output.embeddings.mean(axis=1, keepdims=True)
        return output.embeddings - loudness


@hookimpl
def register_embedders(register: Register) -> None:
    register(CARD, lambda device, weights: LogSpec())
