"""Train a classifier on a few examples of each class, and test it on the rest.

    python examples/few_shot.py                 crops of three photographs of scikit-image
    python examples/few_shot.py FOLDER [FEW]    your files: a folder for each class, of which FEW files (8) are used

Everything is kept in ./demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from demo import HERE, surfaces

import sightsound
from sightsound import Dataset, SightsoundError


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else surfaces(HERE / "surfaces")
    few = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    library = HERE / f"few-{folder.name}"
    print(f"1. Embed {folder} with the default network for its files")
    sightsound.index(folder, library, label_from="folder")
    dataset = sightsound.load_datasets(library)[0]

    train, test = split(dataset, few)
    print(f"2. Fit a probe to {few} items of each of {', '.join(dataset.classes)}, embedded by {dataset.model}")
    probe = sightsound.fit_probe(dataset.subset(train))
    report = probe.report_
    assert report is not None
    print(f"   cross-validated accuracy {report.accuracy}; the commonest class has {report.majority:.3f}")
    print("   by items of each class: " + ", ".join(f"{size}: {mean:.3f}" for size, mean, _, _ in report.curve))

    print(f"3. Test it on the other {len(test)} files")
    rest = dataset.subset(test)
    tested = probe.evaluate(rest.X, rest.y)
    print(f"   accuracy {tested.accuracy}, calibration error {tested.error:.3f}")
    for path, true, predicted, probability in errors(probe, rest)[:5]:
        print(f"   {path} is {true}, predicted {predicted} ({probability:.2f})")

    probe.save(HERE / "few.probe")
    sightsound.plot_report(report, HERE / "few.png")
    print(f"4. Use it: {HERE / 'few.probe'}; see {HERE / 'few.png'}")
    print(f"   $ sightsound probe predict {HERE / 'few.probe'} IMAGE...")


def split(dataset: Dataset, few: int) -> tuple[list[int], list[int]]:
    """Return the positions of the first `few` items of each class, and of the others."""
    train = [i for name in dataset.classes for i in np.flatnonzero(dataset.y == name)[:few].tolist()]
    return sorted(train), sorted(set(range(len(dataset.items))) - set(train))


def errors(probe: sightsound.LinearProbe, dataset: Dataset) -> list[tuple[str, str, str, float]]:
    """Return (path, true class, predicted class, probability) of each error, the most confident first."""
    predicted, probability = probe.predict(dataset.X), probe.predict_proba(dataset.X).max(axis=1)
    wrong = [i for i in np.argsort(-probability) if predicted[i] != dataset.y[i]]
    return [(dataset.items[i].path, dataset.y[i], predicted[i], probability[i]) for i in wrong]


if __name__ == "__main__":
    try:
        main()
    except SightsoundError as error:
        sys.exit(f"few_shot: {error}")
