"""Parameters of which the quick tests take some, and the slow tests the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Return the values, or tuples of them, as parameters of a test, which is slow for all but the `quick` ones."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else [value]), marks=[pytest.mark.slow] * (value not in quick))
        for value in values
    ]
