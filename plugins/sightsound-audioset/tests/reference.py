"""An independent, slow reference in NumPy float64, and the goldens that it made: `python tests/reference.py`.

It shares no code with the package: the transform is a product with a matrix of sines, a convolution is a sum over
kernel positions, batch norm is not folded, and the numbers come from legacy generators, whose streams never change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "goldens"


def log_mel(samples, offset):
    """The log-mel (frames, 64) of samples (n,) at 16 kHz."""
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(400) / 400))
    frames = np.stack([samples[i : i + 400] * window for i in range(0, len(samples) - 399, 160)])
    angles = 2 * np.pi * np.outer(np.arange(400), np.arange(257)) / 512
    magnitudes = np.hypot(frames @ np.cos(angles), frames @ np.sin(angles))
    return np.log(magnitudes @ triangles() + offset)


def triangles():
    """The mel weights (257, 64), computed one by one."""

    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    found = np.zeros((257, 64))
    width = (mel(7500) - mel(125)) / 65
    for band in range(64):
        centre = mel(125) + (band + 1) * width
        for k in range(1, 257):
            found[k, band] = max(0, 1 - abs(mel(k * 31.25) - centre) / width)
    return found


def signal():
    """A rising tone with clicks and noise, 1.5 seconds: float32 (24000,)."""
    rng = np.random.RandomState(7)
    time = np.arange(24000) / 16000
    sound = 0.4 * np.sin(2 * np.pi * (200 + 1500 * time) * time) + 0.01 * rng.standard_normal(24000)
    sound[::4000] += 0.5
    return sound.astype(np.float32)


def patches(count):
    """Random log-mel patches, float32 (count, 96, 64)."""
    return (np.random.RandomState(8).standard_normal((count, 96, 64)) * 1.5 - 2).astype(np.float32)


def same_conv(x, kernel, stride):
    """TensorFlow's SAME: x (n, h, w, in), kernel (3, 3, in, out) or, depthwise, (3, 3, in, 1)."""
    height, width = x.shape[1] // stride, x.shape[2] // stride
    before = 1 if stride == 1 else 0  # an odd pixel of padding goes below and to the right
    x = np.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0)))
    depthwise = kernel.shape[3] == 1 and kernel.shape[2] > 1
    found = 0
    for i in range(3):
        for j in range(3):
            part = x[:, i : i + stride * height : stride, j : j + stride * width : stride]
            found = found + (part * kernel[i, j, :, 0] if depthwise else part @ kernel[i, j])
    return found


YAMNET = [
    ("layer1/conv", (3, 3, 1, 32), 2),
    *(
        entry
        for number, (into, out, stride) in enumerate(
            [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
            + [(512, 512, 1)] * 5
            + [(512, 1024, 2), (1024, 1024, 1)],
            start=2,
        )
        for entry in (
            (f"layer{number}/depthwise_conv", (3, 3, into, 1), stride),
            (f"layer{number}/pointwise_conv", (1, 1, into, out), 1),
        )
    ),
]


def yamnet_weights():
    """Seeded tensors under Keras' names, float32."""
    rng = np.random.RandomState(9)
    found = {}
    for name, shape, _ in YAMNET:
        depthwise = name.endswith("depthwise_conv")
        channels = shape[2] if depthwise else shape[3]
        fan = 9 if depthwise else shape[0] * shape[1] * shape[2]
        found[f"{name}/{name}/{'depthwise_kernel' if depthwise else 'kernel'}:0"] = rng.standard_normal(
            shape
        ) * np.sqrt(2 / fan)
        found[f"{name}/bn/{name}/bn/beta:0"] = rng.standard_normal(channels) * 0.1
        found[f"{name}/bn/{name}/bn/moving_mean:0"] = rng.standard_normal(channels) * 0.1
        found[f"{name}/bn/{name}/bn/moving_variance:0"] = rng.uniform(0.5, 2, channels)
    found["dense/dense/kernel:0"] = rng.standard_normal((1024, 521)) * 0.03
    found["dense/dense/bias:0"] = rng.standard_normal(521) * 0.1
    return {name: value.astype(np.float32) for name, value in found.items()}


def yamnet(weights, x):
    """Embeddings (n, 1024) and scores (n, 521) for patches (n, 96, 64)."""
    x = x[..., np.newaxis].astype(np.float64)
    for name, shape, stride in YAMNET:
        depthwise = name.endswith("depthwise_conv")
        kernel = weights[f"{name}/{name}/{'depthwise_kernel' if depthwise else 'kernel'}:0"].astype(np.float64)
        x = x @ kernel[0, 0] if shape[:2] == (1, 1) else same_conv(x, kernel, stride)
        beta, mean, variance = (
            weights[f"{name}/bn/{name}/bn/{part}:0"].astype(np.float64)
            for part in ("beta", "moving_mean", "moving_variance")
        )
        x = np.maximum(0, (x - mean) / np.sqrt(variance + 1e-4) + beta)
    embeddings = x.mean(axis=(1, 2))
    logits = embeddings @ weights["dense/dense/kernel:0"] + weights["dense/dense/bias:0"]
    return embeddings, 1 / (1 + np.exp(-logits))


VGGISH = [("features.0", True), ("features.3", True), ("features.6", False), ("features.8", True)]
VGGISH += [("features.11", False), ("features.13", True)]


def vggish_weights(widths=(4, 6, 8, 8, 10, 10), hidden=20, dim=7):
    """Seeded tensors under torchvggish's names, of a network much narrower than VGGish; float32."""
    rng = np.random.RandomState(10)
    found, into = {}, 1
    for (name, _), out in zip(VGGISH, widths):
        found[f"{name}.weight"] = rng.standard_normal((out, into, 3, 3)) * np.sqrt(2 / (9 * into))
        found[f"{name}.bias"] = rng.standard_normal(out) * 0.1
        into = out
    into *= 24
    for name, out in (("embeddings.0", hidden), ("embeddings.2", hidden), ("embeddings.4", dim)):
        found[f"{name}.weight"] = rng.standard_normal((out, into)) * np.sqrt(2 / into)
        found[f"{name}.bias"] = rng.standard_normal(out) * 0.1
        into = out
    return {name: value.astype(np.float32) for name, value in found.items()}


def vggish(weights, x):
    """Embeddings for patches (n, 96, 64), without a ReLU at the end."""
    x = x[..., np.newaxis].astype(np.float64)
    for name, pooled in VGGISH:
        kernel = weights[f"{name}.weight"].astype(np.float64).transpose(2, 3, 1, 0)
        x = np.maximum(0, same_conv(x, kernel, 1) + weights[f"{name}.bias"])
        if pooled:
            x = np.maximum.reduce([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    x = x.reshape(len(x), -1)  # height, width, channel
    for name in ("embeddings.0", "embeddings.2", "embeddings.4"):
        x = x @ weights[f"{name}.weight"].astype(np.float64).T + weights[f"{name}.bias"]
        x = x if name == "embeddings.4" else np.maximum(0, x)
    return x


def main():
    """Write the goldens. The inputs are seeded, so only the outputs are stored."""
    GOLDENS.mkdir(exist_ok=True)
    samples = signal().astype(np.float64)
    mels = {f"offset_{offset}": log_mel(samples, offset).astype(np.float32) for offset in (0.01, 0.001)}
    np.savez_compressed(GOLDENS / "log_mel.npz", **mels)
    embeddings, scores = yamnet(yamnet_weights(), patches(2))
    np.savez_compressed(
        GOLDENS / "yamnet_seeded.npz", embeddings=embeddings.astype(np.float32), scores=scores.astype(np.float32)
    )
    np.savez_compressed(GOLDENS / "vggish_narrow.npz", embeddings=vggish(vggish_weights(), patches(2)))


if __name__ == "__main__":
    main()
