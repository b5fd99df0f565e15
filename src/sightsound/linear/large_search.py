"""Choose C on a large set: few strengths, most of them on the first folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.linear.cross_validation import CrossValidation
from sightsound.linear.large_fits import LargeFits
from sightsound.linear.large_set import LargeSet
from sightsound.linear.newton import Solution
from sightsound.linear.scaling import Preparation

_COARSE = 11  # decades of the usual strengths; about one strength of each is tried on the first folds
_WORSE = 3.0  # standard errors by which a strength must be worse than the best to show that larger ones cannot win
_CLOSE = 2.0  # standard errors within which a strength on the first folds may be as good as the best on all
_WORSE_F1 = 0.02  # the same for macro F1, whose error is not known
_EARLY = 1e-2  # times the usual C, below which no strength shows that
_LATE = 1e2  # times the usual C, above which a strength must gain to go on


class LargeSearch:
    """The choice of C for one preparation of a large set.

    The first folds tell which strengths, about a decade apart, can win, and which between these is the best. That one
    and its neighbours, and others where they are nearer to the usual C, are tried on all folds.

    Parameters
    ----------
    given : LargeSet
        The set.
    preparation : Preparation
        How its rows are prepared.
    Cs : sequence of float, optional
        Values of C to choose from. None takes the usual one.
    """

    def __init__(self, given: LargeSet, preparation: Preparation, Cs: Sequence[float] | None = None) -> None:
        self._given, self._fits = given, LargeFits(given, preparation)
        self.preparation, self.Cs = preparation, sorted({self._fits.usual_C} if Cs is None else set(Cs))
        self._tried: list[float] = []  # on the first folds
        self._screened: float | None = None  # chosen there
        self._done: list[float] = []  # on all folds

    # -- the first folds -----------------------------------------------------------------------------------------

    def screen(self) -> float:
        """Try rising values of C on the first folds until larger ones cannot win. Return the chosen one there."""
        if self._screened is None:
            for C in self.Cs[:: self._stride]:
                self._fits.fit(self._given.first, [C])
                self._tried.append(C)
                if self._larger_cannot_win():
                    break
            self._screened = self._fits.chosen(self._tried, self._given.first)
        return self._screened

    def _larger_cannot_win(self) -> bool:
        """Return whether the last strengths on the first folds show that still larger ones cannot be chosen."""
        last, best, usual = self._tried[-1], self._fits.best(self._tried, self._given.first), self._fits.usual_C
        if best == last or last < usual * _EARLY:
            return False
        return last > usual * _LATE or self._is_worse(last, best, _WORSE)

    def _is_worse(self, C: float, best: float, errors: float) -> bool:
        """Return whether C is worse than the best on the first folds, by a number of standard errors."""
        folds = self._given.first
        if self._given.by_f1:
            return self._fits.score(C, folds) < self._fits.score(best, folds) - _WORSE_F1
        loss, error = self._fits.gain(self._fits.correct(C, folds), best, folds)
        return loss > errors * error

    def _refined(self) -> float:
        """Return the best C on the first folds, between the strengths that were tried there."""
        folds, step = self._given.first, self._stride
        best = self._fits.best(self._tried, folds)
        while step := step // 2:
            near = self._around(best, step)
            self._fits.fit(folds, near)
            best = self._fits.best(near, folds)
        return best

    # -- all folds -----------------------------------------------------------------------------------------------

    def choose(self) -> float:
        """Return the chosen C, after trying those that can win on all folds."""
        self.screen()
        fits, folds = self._fits, self._given.folds
        done = self._around(self._refined(), 1)
        fits.keep(done)  # the others, which are many, are fitted again where they are needed
        fits.fit(folds, done)
        while (best := fits.best(done, folds)) in (done[0], done[-1]):
            new = [C for C in self._around(best, 1) if C not in done]
            if not new:
                break
            fits.fit(folds, new)
            done = sorted([*done, *new])
        for C in self._nearer_to_usual(best, done):
            fits.fit(folds, [C])
            done = sorted([*done, C])
            if fits.chosen(done, folds) == C:
                break
        self._done = done
        return fits.chosen(done, folds)

    def _nearer_to_usual(self, best: float, done: Sequence[float]) -> list[float]:
        """Return values of C that may be as good as the best and are nearer to the usual one, the nearest first."""

        def distance(C: float) -> float:
            return float(abs(np.log(C / self._fits.usual_C)))

        others = [C for C in self._tried if C not in done and distance(C) < distance(best)]
        return sorted((C for C in others if not self._is_worse(C, best, _CLOSE)), key=distance)

    def correct(self, folds: Sequence[int]) -> NDArray[np.bool_]:
        """Return whether each held-out row (m,) of some folds is correct for the C of `screen`."""
        C = self.screen()
        self._fits.fit(folds, [C])
        return self._fits.correct(C, folds)

    def gain(self, correct: NDArray[np.bool_], folds: Sequence[int]) -> tuple[float, float]:
        """Return how much more often the C of `screen` is correct than others (m,), and the standard error of that."""
        self.correct(folds)
        return self._fits.gain(correct, self.screen(), folds)

    def unload(self) -> None:
        """Free the rotated rows, which come again where they are needed, and most classifiers."""
        self._fits.keep([C for C in self._tried if self._screened == C])
        self._fits.unload()

    # -- what was chosen -----------------------------------------------------------------------------------------

    def solution(self, C: float) -> Solution:
        """Return the classifier of all rows for C."""
        return self._fits.solution(C)

    def cross_validation(self) -> CrossValidation:
        """Return the held-out predictions for the values of C that `choose` has tried on all folds."""
        given, fits, Cs = self._given, self._fits, self._done
        C = fits.chosen(Cs, given.folds)
        held = fits.inside(given.folds)
        back = np.argsort(given.at.order[held], kind="stable")
        return CrossValidation(
            rows=given.at.order[held][back],
            truth=given.Y[held][back].astype(np.float64),
            groups=given.groups[held][back],
            folds=np.repeat(given.folds, np.diff(given.at.ends))[back],
            weights=fits.counts(given.folds)[back],
            Cs=tuple(Cs),
            scores=np.array([fits.score(each, given.folds) for each in Cs]),
            position=Cs.index(C),
            decisions=fits.decisions(C)[back],
            correct=np.stack([fits.correct(each, given.folds) for each in Cs], axis=1)[back],
            single=given.trainer.single,
        )

    def by_row(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return values (m,) of held-out rows by the order of folds, in the order in which rows were given."""
        return values[np.argsort(self._given.at.order[self._fits.inside(self._given.folds)], kind="stable")]

    # -- the strengths -------------------------------------------------------------------------------------------

    @property
    def _stride(self) -> int:
        """The number of strengths in about a decade."""
        return max(1, len(self.Cs) // _COARSE)

    def _around(self, C: float, step: int) -> list[float]:
        """Return a C and those a step below and above it, as far as there are any."""
        at = self.Cs.index(C)
        return [self.Cs[i] for i in (at - step, at, at + step) if 0 <= i < len(self.Cs)]
