"""Running the checks: in Python, and as a test of pytest."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sightsound.contract.errors import MissingWeights, SightsoundError, UnknownModel
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.checks import CHECKS, NEEDS, Check
from sightsound.testing.subject import NotApplicable, Subject

Status = Literal["passed", "failed", "skipped"]

NOT_RUN = "not run: "
"""How the reason of a check begins that relies on one that has failed."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    check : str
        The name of the check.
    status : {"passed", "failed", "skipped"}
        "skipped" if there is nothing to check, or if a check that it relies on has failed.
    reason : str
        The fault with its likely cause, why it was skipped, or a remark if the check passed.
    seconds : float
        How long the check took.
    traceback : str
        Where a failed check failed, "" for others.
    """

    check: str
    status: Status
    reason: str
    seconds: float
    traceback: str = field(default="", repr=False)

    @property
    def passed(self) -> bool:
        """Whether the check did not fail."""
        return self.status != "failed"


class Run:
    """The results of the checks of one model, each found when it is first asked for.

    Parameters
    ----------
    subject : Subject
        The model.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._results: dict[Check, CheckResult] = {}
        self._roots: dict[Check, Check] = {}  # the check that failed first, for those that were not run
        self._errors: dict[Check, BaseException] = {}
        self._absent: SightsoundError | None = None

    def result(self, check: Check) -> CheckResult:
        """Return the result of a check; those that it relies on are run before."""
        if self._absent is not None:  # weights are not fetched again for each check
            raise self._absent
        if check not in self._results:
            for needed in NEEDS.get(check, ()):
                self.result(needed)
            root = self._root(check)
            if root is not None:
                self._roots[check] = root
                reason = f"{NOT_RUN}{root.__name__.replace('_', ' ')} failed first"
                self._results[check] = CheckResult(check.__name__, "skipped", reason, 0.0)
            else:
                self._results[check] = self._run(check)
        return self._results[check]

    def error(self, check: Check) -> BaseException:
        """Return the error of a failed check."""
        return self._errors[check]

    def _root(self, check: Check) -> Check | None:
        for needed in NEEDS.get(check, ()):
            if needed in self._errors:
                return needed
            if needed in self._roots:
                return self._roots[needed]
        return None

    def _run(self, check: Check) -> CheckResult:
        start = time.perf_counter()

        def result(status: Status, reason: str, trace: str = "") -> CheckResult:
            return CheckResult(check.__name__, status, reason, time.perf_counter() - start, trace)

        try:
            return result("passed", check(self._subject) or "")
        except (MissingWeights, UnknownModel) as error:
            self._absent = error
            raise
        except NotApplicable as nothing:
            return result("skipped", str(nothing))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            self._errors[check] = error
            reason = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            return result("failed", reason, "".join(traceback.format_exception(error)))


def check_model(model: str | Model, *, host: Host | None = None, golden: PathLike | None = None) -> list[CheckResult]:
    """Run every check on one model.

    Parameters
    ----------
    model : str or Model
        A name, or a loaded model.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.
    golden : path-like, optional
        A file of `write_golden` to compare with.

    Returns
    -------
    list of CheckResult
        In the order of `CHECKS`. A check that relies on a failed one is skipped.

    Raises
    ------
    UnknownModel
        If no plugin knows the name.
    MissingWeights
        If a weight file is neither found nor fetched.
    """
    run = Run(Subject(model, host=host, golden=golden))
    return [run.result(check) for check in CHECKS]


def conformance(name: str, *, host: Host | None = None, golden: PathLike | None = None) -> Callable[..., None]:
    """Return a test for pytest with one case for each check: `test_conforms = conformance("logspec.acme")`.

    Parameters
    ----------
    name : str
        The name of the model. It is loaded when the first case runs.
    host, golden
        As in `check_model`.

    Returns
    -------
    callable
        A parametrised test. A case is skipped if its check has nothing to check, or relies on one that failed.
    """
    import pytest

    run = functools.cache(lambda: Run(Subject(name, host=host, golden=golden)))

    @pytest.mark.parametrize("check", CHECKS)
    def test(check: Check) -> None:
        result = run().result(check)
        if result.status == "skipped":
            pytest.skip(result.reason)
        if result.status == "failed":
            raise run().error(check)

    return test
