"""The conformance kit: the rules for embedders, each as a small function.

In a plugin's tests it takes one line:

    test_conforms = sightsound.testing.conformance("logspec.acme")

`check_model("logspec.acme")` returns a list of results, and `sightsound check-model logspec.acme` prints them. The
stages are called as the host calls them, stage plugins included, but without the host's own checks, so that one fault
fails one check.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.checks import CHECKS, Check
from sightsound.testing.media import Media, images, sounds
from sightsound.testing.subject import TOLERANCE, Subject

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Subject",
    "check_model",
    "conformance",
    "images",
    "sounds",
    "write_golden",
]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes
    ----------
    check : str
        The name of the check.
    passed : bool
        Whether the model keeps to the rule.
    reason : str
        The fault with its likely cause, or a remark if the check passed.
    seconds : float
        How long the check took.
    """

    check: str
    passed: bool
    reason: str
    seconds: float


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
        In the order of `CHECKS`.

    Raises
    ------
    SightsoundError
        If the model is unknown or cannot be loaded.
    """
    subject = Subject(model, host=host, golden=golden)
    return [_result(check, subject) for check in CHECKS]


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
        A parametrised test.
    """
    import pytest

    load = functools.cache(lambda: Subject(name, host=host, golden=golden))

    @pytest.mark.parametrize("check", CHECKS)
    def test(check: Check) -> None:
        check(load())

    return test


def write_golden(
    file: PathLike,
    model: str | Model,
    media: Mapping[str, Media] | None = None,
    embeddings: Mapping[str, Media] | None = None,
    *,
    about: str = "",
    tolerance: float = TOLERANCE,
    host: Host | None = None,
) -> None:
    """Write a golden file: inputs, and the rows that the model must give for them.

    Parameters
    ----------
    file : path-like
        The .npz file to write.
    model : str or Model
        A name, or a loaded model.
    media : mapping of str to ndarray, optional
        Items by name: uint8 RGB (h, w, 3), or float32 (samples,) at the card's rate. By default one generated item.
    embeddings : mapping of str to ndarray, optional
        The rows (n, dim) of each item, best from the network's original program. By default they are the model's own
        of today, which detects later changes only.
    about : str
        Where the rows come from.
    tolerance : float
        The largest distance of a row, relative to its length.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.
    """
    subject = Subject(model, host=host)
    given = dict(media) if media is not None else dict(list(subject.media.items())[-1:])
    wanted = embeddings if embeddings is not None else {key: subject.answer(given[key]).embeddings for key in given}
    arrays = {f"media/{key}": value for key, value in given.items()}
    arrays |= {f"embeddings/{key}": np.asarray(wanted[key], np.float32) for key in given}
    facts = {"model": subject.card.name, "revision": subject.card.revision, "tolerance": tolerance, "about": about}
    with open(file, "wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays, **{key: np.array(value) for key, value in facts.items()})


def _result(check: Check, subject: Subject) -> CheckResult:
    start = time.perf_counter()
    try:
        remark, passed = check(subject) or "", True
    except AssertionError as error:
        remark, passed = str(error), False
    except Exception as error:  # an unexpected error is a failed check too
        remark, passed = f"{type(error).__name__}: {error}", False
    return CheckResult(check.__name__, passed, remark, time.perf_counter() - start)
