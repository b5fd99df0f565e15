"""The solver against scikit-learn and SciPy, which minimise the same objective by other methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from sightsound.linear.losses import Sigmoid, Softmax, SquaredError, SquaredHinge
from sightsound.linear.newton import path

CS = [1e-6, 1e-3, 1e-1, 1.0, 1e2]


def problem(n, d, k, seed=0, noise=1.0):
    """Features of very different scales, classes that overlap: X (n, d), y (n,), targets (n, k)."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    X = random.normal(size=(k, d))[y] + noise * random.normal(size=(n, d)) @ random.normal(size=(d, d)) / np.sqrt(d)
    return X * np.logspace(-2, 2, d) + 3, y, np.eye(k)[y]


def standardised(X, weights=None):
    mean = np.average(X, axis=0, weights=weights)
    return (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))


def logistic_objective(coef, intercept, S, Y, C, weights):
    """scikit-learn's objective for one class of several, written out."""
    F = S @ coef + intercept
    losses = np.log(np.exp(F - F.max(1, keepdims=True)).sum(1)) + F.max(1) - (F * Y).sum(1)
    return 0.5 * (coef**2).sum() + C * (weights @ losses)


def on_standardised(solution, X, weights=None):
    """Coefficients on standardised features."""
    mean = np.average(X, axis=0, weights=weights)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    return solution.coef * deviation[:, None], solution.intercept + mean @ solution.coef


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(60, 150, 4), (300, 12, 3), (90, 40, 10)])
def test_the_minimum_of_logistic_regression_is_that_of_scikit_learn(n, d, k, exact):
    X, y, Y = problem(n, d, k)
    S, ones = standardised(X), np.ones(n)
    for solution in path(X, Y, Softmax(), CS, exact=exact):
        oracle = LogisticRegression(C=solution.C, tol=1e-8, max_iter=100_000).fit(S, y)
        expected = logistic_objective(oracle.coef_.T, oracle.intercept_, S, Y, solution.C, ones)
        found = logistic_objective(*on_standardised(solution, X), S, Y, solution.C, ones)
        assert found <= expected * (1 + 1e-4) and found >= expected * (1 - 1e-4)
        assert solution.objective == pytest.approx(found, rel=1e-4)
        predicted = (X @ solution.coef + solution.intercept).argmax(1)
        gaps = np.diff(np.sort(S @ oracle.coef_.T + oracle.intercept_, axis=1)[:, -2:])[:, 0]
        clear = gaps > 0.02 * gaps.max()
        assert (predicted == oracle.predict(S))[clear].all() and clear.mean() > 0.8


def test_the_decisions_for_two_classes_are_those_of_scikit_learn():
    X, y, Y = problem(80, 30, 2)
    S = standardised(X)
    for solution in path(X, Y[:, 1:], Sigmoid(), CS, exact=True, tol=1e-12):
        oracle = LogisticRegression(C=solution.C, tol=1e-8, max_iter=100_000).fit(S, y)
        coef, intercept = on_standardised(solution, X)
        assert S @ coef[:, 0] + intercept == pytest.approx(oracle.decision_function(S), rel=1e-3, abs=1e-3)


def test_the_decisions_of_ridge_are_those_of_scikit_learn():
    X, y, Y = problem(70, 25, 4)
    S = standardised(X)
    for solution in path(X, Y, SquaredError(), CS, exact=True, tol=1e-14):
        oracle = RidgeClassifier(alpha=1 / (2 * solution.C)).fit(S, y)
        assert X @ solution.coef + solution.intercept == pytest.approx(oracle.decision_function(S), abs=1e-6)


@pytest.mark.parametrize("loss", [Softmax, Sigmoid, SquaredHinge, SquaredError])
def test_no_general_minimiser_goes_lower(loss):
    X, _, Y = problem(50, 8, 3, noise=3.0)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(X))
    S, C, made = standardised(X, weights), 0.5, loss()

    def objective(flat):
        coef, intercept = flat[:24].reshape(8, 3), flat[24:]
        losses, state = made.loss_state(S @ coef + intercept, Y)
        G = C * weights[:, None] * made.gradient(state, Y)
        value = 0.5 * (coef**2).sum() + C * (weights @ losses)
        return value, np.concatenate([(S.T @ G + coef).ravel(), G.sum(0)])

    expected = minimize(objective, np.zeros(27), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "maxiter": 5000})
    (solution,) = path(X, Y, made, [C], weights=weights, exact=True, tol=1e-12)
    coef, intercept = on_standardised(solution, X, weights)
    found = objective(np.concatenate([coef.ravel(), intercept]))[0]
    assert found == pytest.approx(expected.fun, rel=1e-6) == pytest.approx(solution.objective, rel=1e-6)


@pytest.mark.parametrize("loss", [Softmax, SquaredHinge])
def test_a_solution_is_the_same_alone_and_at_the_end_of_a_path(loss):
    X, _, Y = problem(60, 90, 4)
    (alone,) = path(X, Y, loss(), [30.0], exact=True, tol=1e-12)
    last = path(X, Y, loss(), np.logspace(-5, np.log10(30), 20), exact=True, tol=1e-12)[-1]
    assert last.objective == pytest.approx(alone.objective, rel=1e-8)
    assert last.coef == pytest.approx(alone.coef, abs=1e-4 * np.abs(alone.coef).max())


def test_the_gradient_is_zero_up_to_the_largest_C_on_separable_rows():
    """scikit-learn stops before the minimum there, so the oracle is the gradient, written out."""
    X, _, Y = problem(60, 150, 4, noise=0.3)
    S = standardised(X)
    for solution in path(X, Y, Softmax(), np.logspace(-6, 5, 45), exact=True, tol=1e-12):
        coef, intercept = on_standardised(solution, X)
        F = S @ coef + intercept
        P = np.exp(F - F.max(1, keepdims=True))
        G = solution.C * (P / P.sum(1, keepdims=True) - Y)
        assert np.abs(S.T @ G + coef).max() < 1e-4 * max(1.0, np.abs(coef).max())
        assert np.abs(G.sum(0)).max() < 1e-4


@given(st.integers(0, 10_000), st.sampled_from([Softmax, Sigmoid, SquaredHinge, SquaredError]))
@settings(max_examples=40, deadline=None)
def test_a_row_of_weight_w_acts_as_w_copies(seed, loss):
    random = np.random.default_rng(seed)
    X, _, Y = problem(24, int(random.integers(2, 40)), 3, seed)
    copies = random.integers(0, 4, len(X))
    copies[:3] = 1  # so that every class is there
    (weighted,) = path(X, Y, loss(), [0.3], weights=copies.astype(float), exact=True, tol=1e-13)
    (repeated,) = path(np.repeat(X, copies, axis=0), np.repeat(Y, copies, axis=0), loss(), [0.3], exact=True, tol=1e-13)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-9)
    assert X @ weighted.coef + weighted.intercept == pytest.approx(X @ repeated.coef + repeated.intercept, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_fits_with_more_features_than_rows_converge_for_large_C(seed):
    """P (1 - P) in float32 holds rounding errors alone where every class is certain."""
    y = np.arange(40) % 3
    X, Y = np.random.default_rng(seed).normal(size=(40, 500)), np.eye(3)[y]
    for C in (1e5, 1e6):
        (alone,) = path(X, Y, Softmax(), [C], exact=True, tol=1e-12)
        rough = path(X, Y, Softmax(), np.logspace(-6, np.log10(C), 45))[-1]
        assert alone.converged and rough.converged and rough.objective == pytest.approx(alone.objective, rel=1e-3)
        assert ((X @ alone.coef + alone.intercept).argmax(axis=1) == y).all()


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e200])
@pytest.mark.parametrize("n", [30, 200])
def test_the_scale_of_features_and_weights_does_not_matter(n, factor):
    X, _, Y = problem(n, 60, 3)
    (plain,), (scaled,) = (path(rows, Y, Softmax(), [1.0], exact=True, tol=1e-12) for rows in (X, X * factor))
    assert scaled.objective == pytest.approx(plain.objective, rel=1e-9)
    (heavy,) = path(X, Y, Softmax(), [1e-30], weights=np.full(n, 1e30), exact=True, tol=1e-12)
    assert heavy.objective == pytest.approx(plain.objective, rel=1e-9)


def test_features_whose_squares_overflow_raise_an_error():
    X, _, Y = problem(30, 60, 3)
    with pytest.raises(ValueError, match="X: expected numbers whose squares can be added up"):
        path(X * 1e200, Y, Softmax(), [1.0], scaling="none")


def test_constant_features_get_no_coefficient_and_change_nothing():
    X, _, Y = problem(40, 10, 3)
    more = np.hstack([X, np.full((40, 1), 0.1), np.zeros((40, 1))])
    (plain,), (found,) = (path(rows, Y, Softmax(), [1.0], exact=True) for rows in (X, more))
    assert found.coef[:10] == pytest.approx(plain.coef) and np.abs(found.coef[10:]).max() < 1e-9


def test_shifted_and_scaled_features_give_the_same_decisions():
    X, _, Y = problem(40, 10, 3)
    (plain,) = path(X, Y, Softmax(), [1.0], exact=True, tol=1e-12)
    other = X * np.logspace(-4, 8, 10) + 10
    (moved,) = path(other, Y, Softmax(), [1.0], exact=True, tol=1e-12)
    assert other @ moved.coef + moved.intercept == pytest.approx(X @ plain.coef + plain.intercept, abs=1e-5)
