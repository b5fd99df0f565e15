"""Transfer learning in five steps: features of a network, a classifier on them, and the network itself trained further.

    python examples/transfer_learning.py                  textures that are drawn here
    python examples/transfer_learning.py FOLDER [MODEL]   your images or sounds: a folder for each class

A third of the files is held out, and neither the linear probe nor the fine-tuned network sees it before they are
compared on it. The textures are far from the photographs that the network (mobilenet_v2.tv_in1k) was trained on.
Everything is kept in ./demo, the new model too: your own folder of models stays as it is.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

import numpy as np
from demo import HERE, write
from PIL import Image
from scipy.stats import binomtest

import sightsound
from sightsound import Dataset, FineTuned, Host, Labels, SightsoundError
from sightsound.linear.metrics import estimate
from sightsound.torch import Augmentation, TrainingSettings
from sightsound.torch.examples import NONE

MODEL, NEW = "mobilenet_v2.tv_in1k", "transfer"
MODELS = HERE / "models"
ROUGHNESS = {"very rough": 0.8, "rough": 0.95, "medium": 1.1, "smooth": 1.25, "very smooth": 1.4}


def main() -> None:
    own = len(sys.argv) > 1
    folder = Path(sys.argv[1]) if own else textures(HERE / "textures")
    model = sys.argv[2] if len(sys.argv) > 2 else MODEL
    library = HERE / f"transfer-{folder.name}"
    os.environ["SIGHTSOUND_MODELS"] = str(MODELS)
    host = Host()
    print(f"1. Features: embed {folder} with {model} as it is")
    sightsound.index(folder, library, models=[model], host=host, label_from="folder")
    data = those_in(folder, sightsound.load_dataset(library, model, features="embedding"))
    learn, test = split(data)
    if not test:
        raise SightsoundError(f"{folder}: expected three files or more of a class, to hold one out; add some")
    print(f"   {data.X.shape[1]} numbers for each of {len(data.items)} files; {len(test)} files are held out")

    print(f"2. Linear probe: a classifier of {len(data.classes)} classes, on the features of the other {len(learn)}")
    start = time.perf_counter()
    probe = sightsound.fit_probe(data.subset(learn), curve=False)
    probe_seconds = time.perf_counter() - start
    assert probe.report_ is not None
    print(f"   cross-validated accuracy {probe.report_.accuracy}, in {probe_seconds:.1f} s")

    print("3. Fine-tuning: a probe is the first head of the network, whose last half is trained with it")
    start = time.perf_counter()
    # A texture that is turned is a smoother one, so the drawn ones are not changed at random.
    tuned = fine_tuned(library, data.subset(learn), host, Augmentation() if own else NONE)
    tuned_seconds = time.perf_counter() - start
    print_epochs(tuned)
    print(f"   {tuned.items} files to learn from, {tuned.held_out} to choose the epoch, in {tuned_seconds:.0f} s")

    print(f"4. Compare them on the {len(test)} files that neither has seen")
    rest = data.subset(test)
    by_probe, by_network = probe.predict(rest.X) == rest.y, named(rest, host) == rest.y
    print(f"   linear probe  accuracy {estimate(by_probe, rest.groups)}")
    print(f"   fine-tuned    accuracy {estimate(by_network, rest.groups)}")

    probe.save(HERE / "transfer.probe")
    sightsound.plot_training(tuned, HERE / "transfer.png")
    print(f"5. Which one? {verdict(by_probe, by_network)}")
    print(f"   the probe took {probe_seconds:.1f} s and shares the vectors with search and other probes;")
    print(f"   fine-tuning took {tuned_seconds:.0f} s, and its network embeds all files again")
    print_next_steps()


def those_in(folder: Path, dataset: Dataset) -> Dataset:
    """Return the items that are in the folder now: the library knows those of earlier runs too.

    Names that do not stand on one line are left out of the table of labels, and so of all.
    """
    at = [
        i
        for i, item in enumerate(dataset.items)
        if item.path.isprintable() and item.file.is_relative_to(folder.absolute()) and item.file.exists()
    ]
    return dataset.subset(at)


def split(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Return the positions of two thirds of the files of each class, and of the others; copies stay together."""
    random, test = np.random.default_rng(0), set[int]()
    for name in dataset.classes:
        groups = random.permutation(np.unique(dataset.groups[dataset.y == name]))
        test.update(np.flatnonzero(np.isin(dataset.groups, groups[: len(groups) // 3])).tolist())
    return sorted(set(range(len(dataset.items))) - test), sorted(test)


def fine_tuned(library: Path, learn: Dataset, host: Host, augmentation: Augmentation) -> FineTuned:
    """Return the network after its last half was trained; only the items of `learn` are labelled for it."""
    table = HERE / "transfer.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *((i.path, y) for i, y in zip(learn.items, learn.y))])
    tuned = sightsound.finetune(
        library,
        learn.model,
        NEW,
        labels=Labels(str(table)),
        freeze_until=0.5,
        settings=TrainingSettings(epochs=8),
        augmentation=augmentation,
        replace=True,
        host=host,
    )
    assert tuned is not None
    return tuned


def print_epochs(tuned: FineTuned) -> None:
    print("   epoch   loss   held-out loss   held-out accuracy")
    for at, epoch in enumerate(tuned.epochs):
        loss = f"{epoch.loss:.3f}" if epoch.number else ""
        kept = "   is kept" if at == tuned.best else ""
        number = epoch.number or "probe"
        print(f"   {number:>5} {loss:>6} {epoch.held_out_loss:15.3f} {epoch.held_out_accuracy:19.3f}{kept}")


def named(dataset: Dataset, host: Host) -> np.ndarray:
    """Return the class that the fine-tuned network gives each item."""
    files = [item.file for item in dataset.items]
    found = {tags.item.file: tags.label for tags in sightsound.tag(files, models=NEW, k=1, host=host)}
    return np.array([found.get(file) or "" for file in files])


def verdict(by_probe: np.ndarray, by_network: np.ndarray) -> str:
    """Say which of two classifiers to use, by a sign test on the items that one of them alone has right."""
    gained, lost = int((by_network & ~by_probe).sum()), int((by_probe & ~by_network).sum())
    chance = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    counts = f"{gained} files are right by it alone, {lost} by the probe alone (sign test: p = {chance:.2g})"
    if chance >= 0.05:
        return f"The linear probe: fine-tuning is not clearly better. {counts}"
    return f"The fine-tuned network: {counts}" if gained > lost else f"The linear probe: fine-tuning is worse. {counts}"


def print_next_steps() -> None:
    print(f"   see {HERE / 'transfer.png'} for loss and accuracy by epoch")
    print(f"   $ sightsound probe predict {HERE / 'transfer.probe'} FILE...")
    print(f"   $ SIGHTSOUND_MODELS={MODELS} sightsound tag FILE... --model {NEW}")
    print(f"   $ SIGHTSOUND_MODELS={MODELS} sightsound remove-model {NEW}")


def textures(folder: Path, count: int = 90, side: int = 128) -> Path:
    """Draw noise whose amplitude falls as a power of the spatial frequency; the classes differ in the exponent."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = 1
    for name, exponent in ROUGHNESS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(side, side))) / frequency**exponent).real
            contrast, brightness = random.uniform(25, 50), random.uniform(100, 150)
            grey = (noise - noise.mean()) / noise.std() * contrast + brightness
            write(folder / name / f"{i:02}.png", Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save)
    return folder


if __name__ == "__main__":
    try:
        main()
    except SightsoundError as error:
        sys.exit(f"transfer_learning: {error}")
