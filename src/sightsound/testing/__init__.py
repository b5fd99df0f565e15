"""The conformance kit: what every embedder must keep to, each rule one small function.

In a plugin's own tests, one line:

    test_conforms = sightsound.testing.conformance("logspec.acme")

or `check_model("logspec.acme")` for a list of results, or `sightsound check-model logspec.acme` in a terminal. The
stages are called as the host calls them, stage plugins included, but without the host's own checks, so that one fault
fails one check. A check raises `AssertionError`, whose text names the likely cause, or returns None or a remark.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.checks import CHECKS, Check
from sightsound.testing.media import Media, pictures, sounds
from sightsound.testing.subject import TOLERANCE, Subject

__all__ = ["CHECKS", "Check", "Result", "Subject", "check_model", "conformance", "pictures", "sounds", "write_golden"]


@dataclass(frozen=True)
class Result:
    """What one check found: `reason` is the fault, or a remark where it passed; `seconds` is how long it took."""

    check: str
    passed: bool
    reason: str
    seconds: float


def check_model(
    model: str | Model, *, host: Host | None = None, golden: str | os.PathLike[str] | None = None
) -> list[Result]:
    """Every check on one model, in the order of `CHECKS`. Raises `UnknownModel` and whatever loading raises."""
    subject = Subject(model, host=host, golden=golden)
    return [_result(check, subject) for check in CHECKS]


def conformance(
    name: str, *, host: Host | None = None, golden: str | os.PathLike[str] | None = None
) -> Callable[..., None]:
    """A test for pytest with one case for each check: `test_conforms = conformance("logspec.acme")`."""
    import pytest

    load = functools.cache(lambda: Subject(name, host=host, golden=golden))

    @pytest.mark.parametrize("check", CHECKS)
    def test(check: Check) -> None:
        check(load())

    return test


def write_golden(
    file: str | os.PathLike[str],
    model: str | Model,
    media: Mapping[str, Media] | None = None,
    embeddings: Mapping[str, Media] | None = None,
    *,
    about: str = "",
    tolerance: float = TOLERANCE,
    host: Host | None = None,
) -> None:
    """Writes a golden file (.npz): inputs by name, the rows that they must give, and how far off a row may be.

    `media` is uint8 RGB (h, w, 3) or float32 (samples,) at the card's rate; one generated item where none is given.
    `embeddings` (n, dim) belong to the same names and come best from the network's original program; where they are
    left out they are the model's own of today, which guards against change only. `about` says where they come from.
    `tolerance` is relative to a row's length.
    """
    subject = Subject(model, host=host)
    given = dict(media) if media is not None else dict(list(subject.media.items())[-1:])
    wanted = embeddings if embeddings is not None else {key: subject.rows(given[key]).embeddings for key in given}
    arrays = {f"media/{key}": value for key, value in given.items()}
    arrays |= {f"embeddings/{key}": np.asarray(wanted[key], np.float32) for key in given}
    facts = {"model": subject.card.name, "revision": subject.card.revision, "tolerance": tolerance, "about": about}
    with open(file, "wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays, **{key: np.array(value) for key, value in facts.items()})


def _result(check: Check, subject: Subject) -> Result:
    began = time.perf_counter()
    try:
        remark, passed = check(subject) or "", True
    except AssertionError as error:
        remark, passed = str(error), False
    except Exception as error:  # a fault that no check foresaw is a failed check too
        remark, passed = f"{type(error).__name__}: {error}", False
    return Result(check.__name__, passed, remark, time.perf_counter() - began)
