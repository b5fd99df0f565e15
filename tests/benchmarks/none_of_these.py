"""How many items of none of the classes get a class, and how many of the classes, by the threshold of a probe.

    python tests/benchmarks/none_of_these.py --library LIBRARY [--column category] [--fold-column fold] [MODEL ...]

LIBRARY has ESC-10 (K. J. Piczak) in the spaces of the models, labelled by its table: `sightsound index ESC10 --library
LIBRARY --label-from ESC10/meta/esc10.csv`. In each of ten rounds a class is the background, the next one is another
background, and the probe learns the other eight classes without the clips of the first fold. The columns are the
proportions that get a class: of the clips in the first fold, of the half of the background that did not make the
threshold, and of the other background, which the threshold never saw. The rows are how the threshold was found: from
the correct held-out clips, or from the other half of the background. In the last row there is none, and that half is a
class of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from sightsound import Dataset, Labels, LinearProbe, fit_probe, load_dataset

WAYS = ("without threshold", "held-out clips", "half of the background", "half as a class of its own")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["yamnet.audioset_i8", "yamnet.audioset_f32"])
    parser.add_argument("--library", required=True)
    parser.add_argument("--column", default="category")
    parser.add_argument("--fold-column", default="fold")
    options = parser.parse_args()
    for model in options.models:
        data = load_dataset(options.library, model, Labels(column=options.column, fold_column=options.fold_column))
        print(f"\n{model:36} threshold  8 classes  background  another background")
        means = np.mean([one_round(data, i) for i in range(len(data.classes))], axis=0)
        for name, mean in zip(WAYS, means):
            print(f"{name:36} {mean[0]:9.3f}  {mean[1]:9.3f}  {mean[2]:10.3f}  {mean[3]:18.3f}", flush=True)


def one_round(data: Dataset, i: int):  # type: ignore[no-untyped-def]
    """Return the threshold and the three proportions for each way to find it, with one class as background."""
    background, another = data.classes[i], data.classes[(i + 1) % len(data.classes)]
    assert data.folds is not None
    learned, first = ~np.isin(data.y, [background, another]), data.folds == min(data.folds)
    classes = tuple(name for name in data.classes if name not in (background, another))
    train = replace(data.subset(np.flatnonzero(learned & ~first)), classes=classes, folds=None)
    of_background = np.flatnonzero(data.y == background)
    half, rest = of_background[::2], of_background[1::2]
    tests = (np.flatnonzero(learned & first), rest, np.flatnonzero(data.y == another))
    found = []
    for rows in ((), half):
        probe = fit_probe(replace(train, background=tuple(data.X[[row]] for row in rows)), curve=False)
        scores = [probe.predict_proba(data.X[test]).max(axis=1) for test in tests]
        thresholds = [probe.none_below_] if len(rows) else [0.0, probe.none_below_]
        found += [(least, *((each >= least).mean() for each in scores)) for least in thresholds]
    both = np.concatenate([np.flatnonzero(learned & ~first), half])
    probe = LinearProbe().fit(data.X[both], data.y[both])
    return [*found, (0.0, *((probe.predict(data.X[test]) != background).mean() for test in tests))]


if __name__ == "__main__":
    main()
