"""All checks. The docstring of a check is its rule; its AssertionError names the likely cause."""

from __future__ import annotations

from collections.abc import Callable

from sightsound.testing.checks.plugin import (
    card_survives_json,
    golden_file_agrees,
    import_is_light,
    same_numbers_plugins_keep_them,
)
from sightsound.testing.checks.repetition import (
    independent_of_the_batch,
    safe_in_threads,
    same_after_a_reload,
    same_twice,
)
from sightsound.testing.checks.scores import labels_name_the_scores, scores_in_range
from sightsound.testing.checks.stages import (
    different_inputs_differ,
    inputs_stay_unchanged,
    odd_inputs_work,
    results_stay_unchanged,
    rows_are_finite,
    shapes_and_dtypes,
)
from sightsound.testing.checks.windows import (
    blocks_equal_the_whole,
    spans_are_ordered_and_inside,
    windows_as_the_card_says,
)
from sightsound.testing.subject import Subject

Check = Callable[[Subject], str | None]
"""A check raises `AssertionError`, or returns None or a remark."""

CHECKS: tuple[Check, ...] = (
    shapes_and_dtypes,
    rows_are_finite,
    spans_are_ordered_and_inside,
    windows_as_the_card_says,
    blocks_equal_the_whole,
    inputs_stay_unchanged,
    results_stay_unchanged,
    same_twice,
    same_after_a_reload,
    independent_of_the_batch,
    safe_in_threads,
    different_inputs_differ,
    odd_inputs_work,
    scores_in_range,
    labels_name_the_scores,
    card_survives_json,
    import_is_light,
    same_numbers_plugins_keep_them,
    golden_file_agrees,
)
"""In the order in which faults are best corrected."""
