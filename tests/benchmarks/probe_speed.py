"""How long the choice of C takes: `LinearProbe` and scikit-learn's LogisticRegressionCV, same rows, folds and grid, in
one run.

    python tests/benchmarks/probe_speed.py --sounds ESC10 [--weights yamnet.h5] [--model yamnet.audioset_f32]

ESC10 is the folder of K. J. Piczak's ESC-10, whose recordings are embedded first. Two problems: its 400 recordings, 10
classes, the 5 official folds and 45 strengths from 1e-6 to 1e5; and a hard one, 2,000 noisy copies in 50 classes (class
times official fold), 5 random folds of copies, and 9 strengths over the same range. Accuracy is that of the best
strength, cross-validated. Wanted: 20 times as fast, accuracy within 0.3 points. At its default tolerance the peer stops
far from the minimum where C is large, which on noisy rows can be worth half a point; `--converged` also fits it at a
tolerance of 1e-6 for the strength that we chose.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit

from sightsound import Host, LinearProbe, embed
from sightsound.linear.probe import STRENGTHS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--model", default="yamnet.audioset_f32")
    parser.add_argument("--converged", action="store_true")
    options = parser.parse_args()
    with (options.sounds / "meta" / "esc10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    host = Host(weights=options.weights)
    X = embed([options.sounds / row["path"] for row in rows], options.model, host=host).matrix()
    y = np.unique([row["category"] for row in rows], return_inverse=True)[1]
    folds = np.array([int(row["fold"]) for row in rows])
    LinearProbe(Cs=[1.0]).fit(X[:50], np.arange(50) % 2)  # what is imported, is
    raced("400 x 1024, 10 classes, 45 strengths", X, y, folds, STRENGTHS, options.converged)
    raced("2000 x 1024, 50 classes, 9 strengths", *hard(X, y, folds), np.logspace(-6, 5, 9), options.converged)


def hard(X: Any, y: Any, folds: Any) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(0)
    spread = np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    Z = (X - X.mean(axis=0)) / spread
    copies = np.concatenate([Z + random.normal(0, 1.0, Z.shape) for _ in range(5)])
    return copies, np.tile(5 * y + folds - 1, 5), random.permutation(np.arange(2000) % 5)


def raced(title: str, X: Any, y: Any, folds: Any, Cs: Any, converged: bool) -> None:
    S = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    ours, probe = timed(lambda: LinearProbe(Cs=Cs).fit(S, y, folds=folds))
    split = PredefinedSplit(np.unique(folds, return_inverse=True)[1])
    peer = LogisticRegressionCV(Cs=Cs, cv=split, l1_ratios=(0,), use_legacy_attributes=False, scoring="accuracy")
    theirs, peer = timed(lambda: peer.fit(S, y))
    best = float(np.max(peer.scores_.mean(axis=0)))
    print(f"{title}: LinearProbe {ours:.2f} s, LogisticRegressionCV {theirs:.1f} s, {theirs / ours:.0f} times as fast;")
    print(f"   accuracy {100 * probe.scores_.max():.2f} (C = {probe.C_:.3g}) and {100 * best:.2f} per cent", flush=True)
    if converged:
        exact = LogisticRegression(C=probe.C_, tol=1e-6, max_iter=10_000)
        scores = [exact.fit(S[rest], y[rest]).score(S[out], y[out]) for rest, out in split.split()]
        print(
            f"   the peer at a tolerance of 1e-6 and C = {probe.C_:.3g}: {100 * np.mean(scores):.2f} per cent",
            flush=True,
        )


def timed(run: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's remarks that it has not converged
        found = run()
    return time.perf_counter() - start, found


if __name__ == "__main__":
    main()
