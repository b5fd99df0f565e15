"""What fine-tuning gains over a linear probe: on tasks near to a network's own and far from it, with many or few items.

    python tests/benchmarks/finetune.py near-pictures far-pictures --images IMAGENETTE
    python tests/benchmarks/finetune.py near-sounds far-sounds --sounds ESC10 [--weights yamnet.h5=FILE]

IMAGENETTE has the folders train and val with a folder for each class; ESC10 (K. J. Piczak) its meta/esc10.csv. The test
items of a split (val, or one official fold) are seen by nothing but the last column. The probe is fitted to all other
items; fine-tuning starts from a probe of four fifths of them, and the last fifth says which epoch is kept. Far tasks
are the JPEG quality of the same pictures (four classes), and the same recordings below 400 Hz.

Each row has the accuracy on test items, its difference to the probe on the same items (both with 95 % intervals, from a
bootstrap over items), the proportion of splits in which a trained epoch was kept, and the seconds of a training.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from scipy import signal

from sightsound import Host, LinearProbe, fit_probe
from sightsound.learn.training_set import TrainingSet, training_set
from sightsound.linear import folds, metrics
from sightsound.media import read_sound
from sightsound.torch.examples import NONE, Augmentation
from sightsound.torch.training import TrainingSettings

PICTURES = ("mobilenet_v2.tv_in1k", "tf_efficientnet_lite0.in1k")
DEPTHS = {
    "mobilenet_v2.tv_in1k": {"last block": "network.features.17", "half": 0.5, "all layers": 0.0},
    "tf_efficientnet_lite0.in1k": {"last block": "network.blocks.6", "half": 0.5, "all layers": 0.0},
    "yamnet.audioset_f32": {"last block": "body.50", "half": 0.5, "all layers": 0.0},
}
RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", choices=["near-pictures", "near-sounds", "far-pictures", "far-sounds"])
    parser.add_argument("--images")
    parser.add_argument("--sounds")
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--models", nargs="*", default=PICTURES)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--few", type=int, nargs="*", default=[0, 4], help="items a class; 0 for all")
    options = parser.parse_args()
    host = Host(weights=options.weights)
    print(
        f"{'task, network, items a class':52} {'trained':11} accuracy               points over the probe     kept    s"
    )
    with tempfile.TemporaryDirectory() as folder:
        for task in options.tasks:
            place = Path(folder, task)
            made = {
                "near-pictures": lambda place: photographs(Path(options.images), place),
                "near-sounds": lambda place: sounds(Path(options.sounds), place, lambda samples: samples),
                "far-sounds": lambda place: sounds(Path(options.sounds), place, low),
                "far-pictures": lambda place: compressed(Path(options.images), place),
            }[task](place)
            for model in options.models if task.endswith("pictures") else ["yamnet.audioset_f32"]:
                measure(task, place, model, made, host, options)


def measure(task: str, place: Path, model: str, tests: dict[str, int], host: Host, options: Any) -> None:
    """Print the rows of a task for a network."""
    with tempfile.TemporaryDirectory() as folder:
        given = training_set(
            place, host.load(model), None, balanced=True, seed=0, host=host, folder=Path(folder), progress=False
        )
        part = np.array([tests[f"{item.file.parent.name}/{item.file.stem}"] for item in given.data.items])
        splits = [number for number in np.unique(part) if number >= 0][: options.splits]
        # Blocks of 8 x 8 pixels do not survive that a picture is turned.
        change = NONE if task == "far-pictures" else Augmentation()
        for few in options.few:
            name = f"{task}, {model}, {few or 'all'}"
            right: dict[str, list[Any]] = {}
            kept: dict[str, list[float]] = {}
            for split in splits:
                test, train = np.flatnonzero(part == split), chosen(given, np.flatnonzero(part != split), few, split)
                started = time.perf_counter()
                probe = fit_probe(given.data.subset(train), LinearProbe(), curve=False)
                right.setdefault("probe", []).append(probe.predict(given.data.X[test]) == given.data.y[test])
                kept.setdefault("probe", []).append((1.0, time.perf_counter() - started))
                for depth, until in DEPTHS[model].items():
                    started = time.perf_counter()
                    fit = half_way(given, train, split).fit(
                        0, until, TrainingSettings(epochs=options.epochs), change, patience=options.epochs
                    )
                    fit.run(lambda epoch: None, lambda: False)
                    seconds = time.perf_counter() - started
                    head = given.head(fit)
                    scores = [head(rows).mean(axis=0) for rows in fit.embeddings(test.tolist())]
                    right.setdefault(depth, []).append(np.argmax(scores, axis=1) == given.targets[test])
                    kept.setdefault(depth, []).append((float(fit.best > 0), seconds))
            groups = np.arange(sum(map(len, right["probe"])))
            for depth, found in right.items():
                correct = np.concatenate(found)
                gain = metrics.estimate(correct.astype(float) - np.concatenate(right["probe"]), groups)
                share, seconds = np.mean(kept[depth], axis=0)
                difference = f"{100 * gain.value:+5.1f} ({100 * gain.low:+5.1f} to {100 * gain.high:+5.1f})"
                accuracy = metrics.estimate(correct, groups)
                print(f"{name:52} {depth:11} {accuracy}  {difference:26} {share:4.0%} {seconds:5.0f}", flush=True)


def chosen(given: TrainingSet, train: Any, few: int, seed: int) -> Any:
    """Return the items to learn from: all, or so many of each class."""
    if not few:
        return train
    random = np.random.default_rng(seed)
    parts = [random.permutation(train[given.targets[train] == each])[:few] for each in range(len(given.data.classes))]
    return np.sort(np.concatenate(parts))


def half_way(given: TrainingSet, train: Any, seed: int) -> TrainingSet:
    """Return the training set without the test items, whose first fold is a fifth of the others."""
    usable, numbers = np.zeros_like(given.kept.usable), np.full(len(given.targets), -1)
    usable[train] = given.kept.usable[train]
    data = given.data
    count = min(5, int(data.truth[train].sum(axis=0).min()))
    found = folds.split(data.truth[train], data.classes, data.groups[train], count, seed=int(seed), strict=False)
    numbers[train] = found
    return replace(given, kept=replace(given.kept, usable=usable), folds=numbers)


def photographs(images: Path, place: Path) -> dict[str, int]:
    """Link pictures to a folder for each class, and return the split of each: 0 for tests, -1 for others."""
    found = {}
    for number, part in ((-1, "train"), (0, "val")):
        for file in sorted((images / part).glob("*/*")):
            name = f"{file.parent.name}/{part}-{file.stem}"
            (place / file.parent.name).mkdir(parents=True, exist_ok=True)
            (place / f"{name}{file.suffix}").symlink_to(file.resolve())
            found[name] = number
    return found


def sounds(esc10: Path, place: Path, change: Any) -> dict[str, int]:
    """Write recordings to a folder for each class, and return the fold of each."""
    found = {}
    for name, fold, samples in recordings(esc10):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        changed = change(samples)
        soundfile.write(place / f"{name}.wav", changed / max(np.abs(changed).max() * 2, 1e-6), RATE)
        found[name] = fold
    return found


def compressed(images: Path, place: Path) -> dict[str, int]:
    """Write pictures that were saved as JPEG of one of four qualities, which is their class."""
    random, found = np.random.default_rng(0), dict[str, int]()
    for number, part in ((-1, "train"), (0, "val")):
        for file in sorted((images / part).glob("*/*")):
            quality, saved = int(random.choice([12, 25, 50, 90])), io.BytesIO()
            Image.open(file).convert("RGB").save(saved, "JPEG", quality=quality)
            name = f"q{quality}/{part}-{file.stem}"
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            Image.open(saved).save(place / f"{name}.png")
            found[name] = number
    return found


def recordings(esc10: Path) -> Any:
    """Yield class and name, fold and samples of each recording."""
    with (esc10 / "meta" / "esc10.csv").open() as file:
        for row in csv.DictReader(file):
            yield (
                f"{row['category']}/{Path(row['path']).stem}",
                int(row["fold"]),
                read_sound(esc10 / row["path"], RATE),
            )


def low(samples: Any) -> Any:
    """Return what is below 400 Hz: a microphone under water, or in the ground."""
    return signal.sosfilt(signal.butter(8, 400, output="sos", fs=RATE), samples)


if __name__ == "__main__":
    main()
