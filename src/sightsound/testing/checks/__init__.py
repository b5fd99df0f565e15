"""All checks. The docstring of a check is its rule; its AssertionError names the likely cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sightsound.testing.checks.card import card_is_usual, card_survives_json, options_resolve, weights_are_as_declared
from sightsound.testing.checks.loading import device_is_honoured, embedder_loads, execution_is_valid
from sightsound.testing.checks.plugin import (
    golden_file_agrees,
    import_is_light,
    import_prints_nothing,
    load_is_light,
    same_numbers_plugins_keep_them,
)
from sightsound.testing.checks.repetition import (
    independent_of_the_batch,
    safe_in_threads,
    same_after_a_reload,
    same_twice,
)
from sightsound.testing.checks.runtimes import runtime_keeps_the_numbers
from sightsound.testing.checks.scores import labels_name_the_scores, scores_in_range
from sightsound.testing.checks.stages import (
    different_inputs_differ,
    inputs_stay_unchanged,
    odd_inputs_work,
    results_stay_unchanged,
    rows_are_finite,
    shapes_and_dtypes,
)
from sightsound.testing.checks.text import different_texts_differ, text_as_the_card_says, text_gives_rows, text_repeats
from sightsound.testing.checks.torch_module import (
    derive_gives_the_same_network,
    module_gives_the_rows,
    module_is_a_trainable_copy,
)
from sightsound.testing.checks.windows import (
    blocks_equal_the_whole,
    spans_are_ordered_and_inside,
    windows_as_the_card_says,
)
from sightsound.testing.subject import Subject

Check = Callable[[Subject], str | None]
"""A check raises `AssertionError`, or `NotApplicable` if there is nothing to check, or returns None or a remark."""

CHECKS: tuple[Check, ...] = (
    card_survives_json,
    card_is_usual,
    options_resolve,
    embedder_loads,
    execution_is_valid,
    device_is_honoured,
    import_is_light,
    import_prints_nothing,
    load_is_light,
    weights_are_as_declared,
    shapes_and_dtypes,
    rows_are_finite,
    same_twice,
    inputs_stay_unchanged,
    results_stay_unchanged,
    spans_are_ordered_and_inside,
    windows_as_the_card_says,
    blocks_equal_the_whole,
    same_after_a_reload,
    independent_of_the_batch,
    safe_in_threads,
    different_inputs_differ,
    odd_inputs_work,
    scores_in_range,
    labels_name_the_scores,
    text_as_the_card_says,
    text_gives_rows,
    text_repeats,
    different_texts_differ,
    runtime_keeps_the_numbers,
    module_gives_the_rows,
    module_is_a_trainable_copy,
    derive_gives_the_same_network,
    same_numbers_plugins_keep_them,
    golden_file_agrees,
)
"""In the order in which faults are best corrected."""

NEEDS: Mapping[Check, tuple[Check, ...]] = {
    execution_is_valid: (embedder_loads,),
    **dict.fromkeys(
        (device_is_honoured, import_is_light, import_prints_nothing, shapes_and_dtypes, text_as_the_card_says),
        (execution_is_valid,),
    ),
    load_is_light: (import_is_light,),
    **dict.fromkeys(
        (
            rows_are_finite,
            same_twice,
            spans_are_ordered_and_inside,
            windows_as_the_card_says,
            inputs_stay_unchanged,
            results_stay_unchanged,
            different_inputs_differ,
            odd_inputs_work,
            scores_in_range,
            golden_file_agrees,
        ),
        (shapes_and_dtypes,),
    ),
    **dict.fromkeys(
        (
            same_after_a_reload,
            independent_of_the_batch,
            runtime_keeps_the_numbers,
            same_numbers_plugins_keep_them,
        ),
        (same_twice,),
    ),
    module_gives_the_rows: (same_twice, runtime_keeps_the_numbers),
    blocks_equal_the_whole: (same_twice, results_stay_unchanged),
    safe_in_threads: (same_twice, results_stay_unchanged),
    labels_name_the_scores: (scores_in_range, different_inputs_differ),
    text_gives_rows: (text_as_the_card_says, shapes_and_dtypes),
    text_repeats: (text_gives_rows,),
    different_texts_differ: (text_gives_rows,),
    module_is_a_trainable_copy: (module_gives_the_rows,),
    derive_gives_the_same_network: (module_is_a_trainable_copy,),
}
"""The checks that a check relies on: if one of them fails, it is not run, so that one fault is reported once."""
