"""Time of the choice of C against scikit-learn's LogisticRegressionCV, and of the solver against L-BFGS.

    python tests/benchmarks/probe_speed.py --sounds ESC10 [--weights yamnet.h5] [--hard] [--converged]
    python tests/benchmarks/probe_speed.py --solver 50000 1280 100 [--Cs 1e-4 1e-2 1]
    python tests/benchmarks/probe_speed.py --large 20000 1280 100 [--scaling unit] [--spread 0.48]

Peers are measured in the same run, on the same rows. Times are CPU times of the process, which other processes disturb
less than wall-clock times. Set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1, since waiting threads count too; but not
for --large, which prints both times of all cores.

With --sounds, ESC10 is the folder of K. J. Piczak's ESC-10, whose recordings are embedded first: 400 rows, 10 classes,
the 5 official folds and 45 values of C from 1e-6 to 1e5. `--hard` takes 2,000 noisy copies in 50 classes (class times
official fold), 5 random folds of copies, and 9 values of C over the same range instead. Accuracy is that of the best C,
cross-validated. At its default tolerance the peer stops far from the minimum for large C, which on noisy rows can be
worth half a point; `--converged` also fits it at a tolerance of 1e-6 for the C that `LinearProbe` chose.

With --solver, rows are those of a random network: ROWS x FEATURES, in CLASSES that overlap. The solver and L-BFGS fit a
path of C, each from the last solution, without folds. L-BFGS gets the same rotation to principal axes, in float64,
since in float32 its line search stops early. It is scikit-learn's LogisticRegression, at the loosest tolerance of a
ladder that reaches the objective of the solver within --tol (only that fit counts); and SciPy's L-BFGS on axes that are
scaled by the same preconditioner, stopped at the first point that reaches it.

With --large, `LinearProbe` chooses C for such rows, with classes whose means are --spread apart. The peer fits the
chosen C: scikit-learn's LogisticRegression at its default tolerance, on the same float32 rows in their principal axes
(their rotation is not counted), without those of the first fold. The accuracies at the end are those in this fold.
Memory is the peak of the process while fitting, beyond that of the imports, as a multiple of the rows, which are part
of it; the peer has the rotated rows instead.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit

from sightsound import Host, LinearProbe, embed
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.cross_validation import DEFAULT_CS
from sightsound.linear.losses import Softmax
from sightsound.linear.newton import path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path)
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--model", default="yamnet.audioset_f32")
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--converged", action="store_true")
    parser.add_argument("--solver", type=int, nargs=3, metavar=("ROWS", "FEATURES", "CLASSES"))
    parser.add_argument("--Cs", type=float, nargs="+", default=[1e-4, 1e-2, 1.0])
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument("--no-scikit-learn", action="store_true", help="Leave out the slower peer of --solver.")
    parser.add_argument("--large", type=int, nargs=3, metavar=("ROWS", "FEATURES", "CLASSES"))
    parser.add_argument("--scaling", default="auto")
    parser.add_argument("--spread", type=float, default=0.48)
    parser.add_argument("--no-peer", action="store_true", help="Leave out the peer of --large.")
    options = parser.parse_args()
    if options.large:
        race_on_many(*options.large, options.spread, options.scaling, not options.no_peer)
    elif options.solver:
        race_solvers(*options.solver, options.Cs, options.tol, not options.no_scikit_learn)
    elif options.sounds:
        race_on_sounds(options)
    else:
        parser.error("expected --sounds, --solver or --large")


# -- the choice of C ---------------------------------------------------------------------------------------------


def race_on_sounds(options: argparse.Namespace) -> None:
    with (options.sounds / "meta" / "esc10.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    host = Host(weights=options.weights)
    X = embed([options.sounds / row["path"] for row in rows], options.model, host=host).matrix()
    y = np.unique([row["category"] for row in rows], return_inverse=True)[1]
    folds = np.array([int(row["fold"]) for row in rows])
    LinearProbe(Cs=[1.0]).fit(X[:50], np.arange(50) % 2)  # so that imports do not count
    if options.hard:
        race("2000 x 1024, 50 classes, 9 Cs", *hard(X, y, folds), np.logspace(-6, 5, 9), options.converged)
    else:
        race("400 x 1024, 10 classes, 45 Cs", X, y, folds, DEFAULT_CS, options.converged)


def hard(X: Any, y: Any, folds: Any) -> tuple[Any, Any, Any]:
    """Return noisy copies of rows, in a class for each class and fold, and random folds."""
    random = np.random.default_rng(0)
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    copies = np.concatenate([Z + random.normal(0, 1.0, Z.shape) for _ in range(5)])
    return copies, np.tile(5 * y + folds - 1, 5), random.permutation(np.arange(2000) % 5)


def race(title: str, X: Any, y: Any, folds: Any, Cs: Any, converged: bool) -> None:
    S = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    # the peer has no choice of scaling, so both get z-scores
    ours, probe = timed(lambda: LinearProbe(Cs=Cs, scaling="standard", sqrt=False).fit(S, y, folds=folds))
    print(f"{title}: LinearProbe {ours:.2f} s", flush=True)
    split = PredefinedSplit(np.unique(folds, return_inverse=True)[1])
    peer = LogisticRegressionCV(Cs=Cs, cv=split, l1_ratios=(0,), use_legacy_attributes=False, scoring="accuracy")
    theirs, peer = timed(lambda: peer.fit(S, y))
    best = float(np.max(peer.scores_.mean(axis=0)))
    print(f"   LogisticRegressionCV {theirs:.1f} s, ratio {theirs / ours:.0f}")
    print(f"   accuracy {100 * probe.scores_.max():.2f} (C = {probe.C_:.3g}) and {100 * best:.2f} per cent", flush=True)
    if converged:
        exact = LogisticRegression(C=probe.C_, tol=1e-6, max_iter=10_000)
        scores = [exact.fit(S[rest], y[rest]).score(S[out], y[out]) for rest, out in split.split()]
        print(f"   peer at tolerance 1e-6 and C = {probe.C_:.3g}: {100 * np.mean(scores):.2f} per cent", flush=True)


# -- the choice of C on a large set --------------------------------------------------------------------------------


def race_on_many(n: int, d: int, k: int, spread: float, scaling: str, with_peer: bool) -> None:
    warm, classes = network_rows(300, d, 2, spread)
    LinearProbe(Cs=[1.0]).fit(warm, classes)  # so that imports do not count
    timed(lambda: LogisticRegression(max_iter=1).fit(warm, classes))
    before = peak_memory()
    X, y = network_rows(n, d, k, spread)
    size = X.nbytes
    settings: dict[str, Any] = {} if scaling == "auto" else {"scaling": scaling, "sqrt": False}
    wall, (cpu, probe) = watched(lambda: timed(lambda: LinearProbe(**settings).fit(X, y)))
    memory, found = (peak_memory() - before) / size, probe.cross_validation_
    first = found.folds == 0
    accuracy = found.correct[first, found.position].mean()
    print(f"{n} x {d}, {k} classes: C = {probe.C_:.3g} of {len(found.Cs)} on all folds, {probe.preparation}")
    print(
        f"accuracy in all folds {100 * found.scores[found.position]:.2f}, at the best C {100 * found.scores.max():.2f}"
    )
    rows = [("LinearProbe", wall, cpu, accuracy, memory)]
    if with_peer:
        Z = PrincipalAxes.of(probe.preparation.rows(X), np.ones(n), scaling=probe.scaling_).Z
        inside, outside = Z[found.rows[first]], Z[found.folds != 0]
        del X, Z
        reset_peak_memory()
        peer = LogisticRegression(C=probe.C_, max_iter=1000)
        wall, (cpu, _) = watched(lambda: timed(lambda: peer.fit(outside, y[found.folds != 0])))
        memory = (peak_memory() - before) / size
        rows.append(("LogisticRegression, one C", wall, cpu, peer.score(inside, y[first]), memory))
    print(f"{'':26}{'seconds':>9}{'CPU s':>9}{'accuracy':>10}{'memory / rows':>15}")
    for name, wall, cpu, accuracy, memory in rows:
        print(f"{name:26}{wall:9.1f}{cpu:9.1f}{100 * accuracy:10.2f}{memory:15.2f}", flush=True)


def network_rows(n: int, d: int, k: int, spread: float, seed: int = 0) -> tuple[Any, Any]:
    """Return rows (n, d) like those of `random_network`, made in blocks, and classes (n,) that overlap less."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    means, mix = spread * random.normal(size=(k, 64)), random.normal(size=(64, d)) / 8
    X = np.empty((n, d), np.float32)
    for start in range(0, n, 1000):
        block = y[start : start + 1000]
        mixed = (means[block] + random.normal(size=(len(block), 64))) @ mix
        X[start : start + 1000] = np.maximum(mixed + 0.3 * random.normal(size=mixed.shape) - 0.3, 0)
    return X, y


def peak_memory() -> int:
    """Return the peak resident bytes of this process (Linux)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def reset_peak_memory() -> None:
    """Make the peak resident bytes of this process those of now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def watched(run: Any) -> tuple[float, Any]:
    """Return the seconds of a call by the wall clock, and what it returned."""
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


# -- the solver --------------------------------------------------------------------------------------------------


def race_solvers(n: int, d: int, k: int, Cs: list[float], tol: float, with_scikit_learn: bool) -> None:
    X, y = random_network(n, d, k)
    Y = np.eye(k)[y]
    ours, solutions = timed(lambda: path(X, Y, Softmax(), Cs, tol=tol))
    targets = [each.objective for each in solutions]
    rotation, axes = timed(lambda: PrincipalAxes.of(X, np.ones(n), exact=True))
    print(f"{n} x {d}, {k} classes, C = {Cs}: solver {ours:.1f} s", flush=True)
    scaled, missed = timed(lambda: preconditioned_lbfgs(axes, y, Cs, targets, tol))
    print(f"   L-BFGS, preconditioned: {scaled + rotation:.1f} s, ratio {(scaled + rotation) / ours:.2f}", flush=True)
    print(f"      objective over that of the solver: {missed}", flush=True)
    if with_scikit_learn:
        plain, missed = scikit_learn(axes.Z, y, Cs, targets, tol)
        print(f"   LogisticRegression, rotated: {plain + rotation:.1f} s, ratio {(plain + rotation) / ours:.2f}")
        print(f"      objective over that of the solver: {missed}", flush=True)


def random_network(n: int, d: int, k: int) -> tuple[Any, Any]:
    """Return float32 rows (n, d), the ReLU of mixed latent features and noise, and overlapping classes (n,)."""
    random = np.random.default_rng(0)
    y = np.arange(n) % k
    latent = (0.3 * random.normal(size=(k, 64)))[y] + random.normal(size=(n, 64))
    mixed = latent @ random.normal(size=(64, d)) / 8 + 0.3 * random.normal(size=(n, d)) - 0.3
    return np.maximum(mixed, 0).astype(np.float32), y


class Reached(Exception):
    """The objective is low enough."""


def preconditioned_lbfgs(axes: Any, y: Any, Cs: list[float], targets: list[float], tol: float) -> list[str]:
    """Fit a path of C; return the relative distances to the targets."""
    Z, (n, d), k = axes.Z, axes.Z.shape, y.max() + 1
    rows, Y = np.arange(n), np.eye(k)[y]
    W, b, missed = np.zeros((d, k)), np.zeros(k), []
    for C, target in zip(Cs, targets):
        P = Softmax().loss_state(Z @ W + b, Y)[1]
        curvature = C * (P * (1 - P)).sum(axis=0)
        scale_W = 1 / np.sqrt(1 + np.outer(axes.eigenvalues, curvature / n))
        scale_b = 1 / np.sqrt(np.maximum(curvature, 1e-6 * C * n))
        last: list[Any] = [None, np.inf]

        def objective(v: Any) -> tuple[float, Any]:
            W, b = v[: d * k].reshape(d, k) * scale_W, v[d * k :] * scale_b  # noqa: B023
            losses, P = Softmax().loss_state(Z @ W + b, Y)
            P[rows, y] -= 1
            P *= C  # noqa: B023
            value = C * losses.sum() + 0.5 * np.vdot(W, W)  # noqa: B023
            last[:] = [v.copy(), value]  # noqa: B023
            if value <= target * (1 + tol):  # noqa: B023
                raise Reached
            return value, np.concatenate([((Z.T @ P + W) * scale_W).ravel(), P.sum(axis=0) * scale_b])  # noqa: B023

        start = np.concatenate([(W / scale_W).ravel(), b / scale_b])
        limits = {"maxiter": 2000, "maxfun": 2000, "maxcor": 20, "ftol": 0, "gtol": 0}
        with contextlib.suppress(Reached):
            minimize(objective, start, jac=True, method="L-BFGS-B", options=limits)
        W, b = last[0][: d * k].reshape(d, k) * scale_W, last[0][d * k :] * scale_b
        missed.append(f"{last[1] / target - 1:.1e}")
    return missed


def scikit_learn(Z: Any, y: Any, Cs: list[float], targets: list[float], tol: float) -> tuple[float, list[str]]:
    """Fit a path of C; return the time of the fits that count, and the relative distances to the targets."""
    total, missed, last, Y = 0.0, [], None, np.eye(y.max() + 1)[y]
    for C, target in zip(Cs, targets):
        for stop in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
            model = LogisticRegression(C=C, tol=stop, max_iter=5000, warm_start=True)
            if last is not None:
                model.coef_, model.intercept_ = last.coef_.copy(), last.intercept_.copy()
                model.classes_ = last.classes_
            seconds, model = timed(lambda: model.fit(Z, y))  # noqa: B023
            losses, _ = Softmax().loss_state(Z @ model.coef_.T + model.intercept_, Y)
            value = C * losses.sum() + 0.5 * np.vdot(model.coef_, model.coef_)
            if value <= target * (1 + tol):
                break
        total, last = total + seconds, model
        missed.append(f"{value / target - 1:.1e}")
    return total, missed


def timed(run: Any) -> tuple[float, Any]:
    """Return the CPU seconds of a call, and what it returned."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where it has not converged
        found = run()
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
