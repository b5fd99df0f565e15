"""The probe against plain recipes of scikit-learn, with 1 to 16 examples of each class.

    python tests/benchmarks/few_examples.py --sounds ESC10 --images IMAGENETTE [--weights yamnet.h5] [--rows rows.npz]
        [--draws 20] [MODEL ...]

ESC10 is the folder of K. J. Piczak's ESC-10 with `meta/esc10.csv`, IMAGENETTE that of fast.ai's Imagenette. The rows
are embedded once, and kept in the file of `--rows`. For sounds, folds 2 to 5 give the examples and fold 1 the test; for
images `train` and `val`. Examples are drawn at random; every method sees the same draws.

One table for each network and task: `all` tells the classes apart (accuracy), `one` finds one class among the rest with
that many examples of the class and as many of the rest (average precision, the mean over classes). The columns are the
default probe, the mean of the recipes, the best recipe, and the probe minus the best with its paired 95 % interval over
draws. The best recipe is the one with the highest score over all sizes of that network and task. Target: nowhere more
than 1.5 points below the best recipe (within the interval), and everywhere above the mean of the recipes.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import LinearSVC

from sightsound import Host, LinearProbe, embed
from sightsound.contract.pooling import default_pool

SOUNDS = ("yamnet.audioset_i8", "yamnet.audioset_f32", "mfcc.librosa")
IMAGES = ("tf_efficientnet_lite0.in1k", "mobilenet_v2.tv_in1k")
SIZES = (1, 2, 4, 8, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[*SOUNDS, *IMAGES])
    parser.add_argument("--sounds", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--rows", type=Path, help="where embedded rows are kept")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = dict(np.load(options.rows)) if options.rows and options.rows.exists() else {}
    for model in options.models:
        if f"{model}/mean" not in rows:
            rows |= embedded(model, options)
            if options.rows:
                np.savez(options.rows, **rows)
    for model in options.models:
        compare({key.split("/", 1)[1]: rows[key] for key in rows if key.startswith(f"{model}/")}, model, options)


# -- data ----------------------------------------------------------------------------------------------------------


def listed(model, options):  # type: ignore[no-untyped-def]
    """Return the files for a network, their classes, and which of them are for the test."""
    if model in IMAGES:
        files = sorted(options.images.glob("*/*/*.*"))
        return files, [f.parent.name for f in files], [f.parent.parent.name == "val" for f in files]
    with open(options.sounds / "meta" / "esc10.csv") as table:
        found = sorted(csv.DictReader(table), key=lambda row: row["path"])
    files = [options.sounds / row["path"] for row in found]
    return files, [row["category"] for row in found], [row["fold"] == "1" for row in found]


def embedded(model, options):  # type: ignore[no-untyped-def]
    files, y, test = listed(model, options)
    windows = [found.embeddings for found in embed(files, model, host=Host(weights=options.weights)).items()]
    pools = {"mean": np.stack([w.mean(axis=0) for w in windows]), "max": np.stack([w.max(axis=0) for w in windows])}
    found = {**pools, "y": np.array(y), "test": np.array(test)}
    return {f"{model}/{key}": value for key, value in found.items()}


# -- methods -------------------------------------------------------------------------------------------------------


class Span(TransformerMixin, BaseEstimator):
    """Rows in axes of the space that training rows span: linear classifiers are the same, and faster to fit."""

    def fit(self, X, y=None):  # type: ignore[no-untyped-def]
        self.axes_ = np.linalg.qr(np.asarray(X, np.float64).T)[0]
        return self

    def transform(self, X):  # type: ignore[no-untyped-def]
        return X @ self.axes_


def recipes():  # type: ignore[no-untyped-def]
    """Return the plain recipes by name: a scaling and a classifier."""
    scalings = {"raw": FunctionTransformer, "z": StandardScaler, "unit": Normalizer}
    classifiers = {
        "LR C=1": lambda: make_pipeline(Span(), LogisticRegression(C=1, max_iter=2000)),
        "LR C=100": lambda: make_pipeline(Span(), LogisticRegression(C=100, max_iter=2000)),
        "SVM": lambda: make_pipeline(Span(), LinearSVC(max_iter=2000)),
        "centroid": NearestCentroid,
        "1-NN": lambda: KNeighborsClassifier(1),
    }
    return {
        f"{scaling} {name}": lambda scale=scale, make=make: make_pipeline(scale(), make())
        for scaling, scale in scalings.items()
        for name, make in classifiers.items()
    }


def ranking(method, X):  # type: ignore[no-untyped-def]
    """Return a score by which rows are ranked as members of the class True."""
    if hasattr(method, "steps") and isinstance(method[-1], KNeighborsClassifier):
        return -np.diff(nearest(method[:-1].transform(X), method[-1]._fit_X, method[-1]._y), axis=1)[:, 0]
    if hasattr(method, "steps") and isinstance(method[-1], NearestCentroid):
        return -np.diff(nearest(method[:-1].transform(X), method[-1].centroids_, [0, 1]), axis=1)[:, 0]
    return method.decision_function(X)


def nearest(X, known, y):  # type: ignore[no-untyped-def]
    """Return the distances (n, 2) from rows to the nearest known row of the classes 0 and 1."""
    distances = np.linalg.norm(X[:, None] - known, axis=2)
    return np.stack([distances[:, np.asarray(y) == kind].min(axis=1) for kind in (0, 1)], axis=1)


def usual_rows(rows):  # type: ignore[no-untyped-def]
    """Return the rows as `probe fit` pools them by default."""
    if np.array_equal(rows["mean"], rows["max"]):
        return rows["mean"]
    pool = default_pool(rows["max"])
    return np.hstack([rows[part] for part in pool.split("+")])


def compare(rows, model, options):  # type: ignore[no-untyped-def]
    """Print the tables of a network."""
    for task, measure in (("all", accuracies), ("one", precisions)):
        scores = {size: [measure(rows, size, draw) for draw in range(options.draws)] for size in options.sizes}
        names = [name for name in scores[options.sizes[0]][0] if name != "probe"]
        best = max(names, key=lambda name: np.mean([each[name] for found in scores.values() for each in found]))
        print(f"\n{model}, {task}: best recipe {best}\nexamples  probe   mean   best   probe - best (95 %)", flush=True)
        for size, found in scores.items():
            probe = np.array([each["probe"] for each in found])
            others = {name: np.array([each[name] for each in found]) for name in names}
            gain = 100 * (probe - others[best])
            half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
            mean = np.mean([each.mean() for each in others.values()])
            missed = [
                text
                for holds, text in (
                    (gain.mean() + half >= -1.5, "below the best"),
                    (probe.mean() > mean, "below the mean"),
                )
                if not holds
            ]
            print(
                f"{size:8}  {probe.mean():.3f}  {mean:.3f}  {others[best].mean():.3f}  {gain.mean():+5.1f} "
                f"({gain.mean() - half:+.1f} to {gain.mean() + half:+.1f})  {', '.join(missed)}",
                flush=True,
            )


def accuracies(rows, size, draw):  # type: ignore[no-untyped-def]
    """Return the accuracy of each method that learns all classes from examples of each."""
    y, test = rows["y"], rows["test"]
    random = np.random.default_rng(draw)
    train = np.concatenate([random.choice(np.flatnonzero((y == c) & ~test), size, False) for c in np.unique(y)])
    found = {
        name: make().fit(rows["mean"][train], y[train]).score(rows["mean"][test], y[test])
        for name, make in recipes().items()
    }
    X = usual_rows(rows)
    return {**found, "probe": LinearProbe().fit(X[train], y[train]).score(X[test], y[test])}


def precisions(rows, size, draw):  # type: ignore[no-untyped-def]
    """Return the average precision of each method that learns one class, as a mean over three classes."""
    test, X = rows["test"], usual_rows(rows)
    random = np.random.default_rng(draw)
    found = []
    for name in random.choice(np.unique(rows["y"]), 3, replace=False):
        y = rows["y"] == name
        train = np.concatenate([random.choice(np.flatnonzero((y == c) & ~test), size, False) for c in (True, False)])
        methods = {name: (make(), rows["mean"]) for name, make in recipes().items()} | {"probe": (LinearProbe(), X)}
        found.append(
            {
                name: average_precision_score(y[test], ranking(method.fit(X[train], y[train]), X[test]))
                for name, (method, X) in methods.items()
            }
        )
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


if __name__ == "__main__":
    main()
