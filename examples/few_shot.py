"""Few examples of each class, an honest classifier: how good is it, how good could it be, and where are its mistakes?

    python examples/few_shot.py                 cuttings of three photographs of scikit-image
    python examples/few_shot.py FOLDER [FEW]    your own: a folder for each class, of which FEW files (8) are learnt

The rest is for the proof. Everything is kept in ./demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from demo import HERE, surfaces

import sightsound
from sightsound import Library, SightsoundError
from sightsound.learn import dataset
from sightsound.plot import reports


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else surfaces(HERE / "surfaces")
    few = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    print(f"1. Embed {folder}: the network that is the default for what is in it")
    sightsound.index(folder, HERE / f"few-{folder.name}", label_from="folder")
    with Library(HERE / f"few-{folder.name}") as library:
        (data,) = dataset.load_datasets(library)[:1]

    learnt, rest = divided(data, few)
    print(f"2. Learn {few} of each of {', '.join(data.classes)} with {data.origin.space.name}")
    probe = sightsound.fit_probe(data.only(learnt))
    report = probe.report_
    assert report is not None
    print(f"   cross-validated: {report.accuracy}; the commonest class {report.majority:.3f}")
    print("   by items a class: " + ", ".join(f"{size}: {mean:.3f}" for size, mean, _, _ in report.curve))

    print(f"3. The proof: {len(rest)} files that it never saw")
    proof = data.only(rest)
    found = probe.evaluate(proof.X, proof.y)
    print(f"   accuracy {found.accuracy}, calibration error {found.error:.3f}")
    for item, truth, said, sure in mistakes(probe, proof)[:5]:
        print(f"   {item} is {truth}, taken for {said} ({sure:.2f})")

    probe.save(HERE / "few.probe")
    reports.report(report, HERE / "few.png")
    print(f"4. Take it away: {HERE / 'few.probe'}; look at {HERE / 'few.png'}")
    print(f"   $ sightsound probe predict {HERE / 'few.probe'} PICTURE...")


def divided(data: dataset.Dataset, few: int) -> tuple[list[int], list[int]]:
    """The first `few` items of each class, and the others."""
    learnt = [i for name in data.classes for i in np.flatnonzero(data.y == name)[:few]]
    return sorted(learnt), sorted(set(range(len(data.items))) - set(learnt))


def mistakes(probe: sightsound.LinearProbe, data: dataset.Dataset) -> list[tuple[str, str, str, float]]:
    """(path, truth, prediction, its probability), the surest first."""
    said, sure = probe.predict(data.X), probe.predict_proba(data.X).max(axis=1)
    wrong = [i for i in np.argsort(-sure) if said[i] != data.y[i]]
    return [(data.items[i].path, data.y[i], said[i], sure[i]) for i in wrong]


if __name__ == "__main__":
    try:
        main()
    except SightsoundError as error:
        sys.exit(f"few_shot: {error}")
