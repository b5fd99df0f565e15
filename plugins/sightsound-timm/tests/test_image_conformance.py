"""The conformance kit on a network of each way to build one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from sightsound import Model
from sightsound.testing import CHECKS, Check, NotApplicable, Subject
from sightsound_timm import cards

SLOW = [pytest.param(card.name, marks=pytest.mark.slow) for card in (cards.MOBILENET, cards.RESNET18, cards.SQUEEZENET)]


@functools.cache
def subject(name: str) -> Subject:
    return Subject(name)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [cards.LITE0.name, *SLOW])
def test_conforms(name: str, check: Check, model: Callable[[str], Model]) -> None:
    model(name)  # skips where there are no weights
    try:
        check(subject(name))
    except NotApplicable as reason:
        pytest.skip(str(reason))
