"""Segments from the scores of windows, compared with a slow and simple reference on generated and on fixed cases."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightsound import SegmentRules, SightsoundError
from sightsound.classify.class_selection import ClassSelection
from sightsound.classify.segments import Segmenter, sort_segments

NAMES = ("Animal", "Dog", "Bark", "Cat", "Siren")
TREE = np.zeros((5, 5), bool)
TREE[0, [1, 2, 3]] = TREE[1, 2] = True  # Animal over Dog, Bark and Cat; Dog over Bark
WINDOW, HOP = 0.975, 0.48


def classes(below=TREE, selected=None) -> ClassSelection:
    selected = np.ones(len(below), bool) if selected is None else selected
    return ClassSelection(NAMES, tuple(f"/m/{i}" for i in range(5)), selected, below)


def spans(n: int, hop: float = HOP, seconds: float | None = None) -> np.ndarray:
    begin = hop * np.arange(n)
    return np.stack([begin, np.minimum(begin + WINDOW, np.inf if seconds is None else seconds)], axis=1)


def segments(scores, times, chosen, rules):
    segmenter = Segmenter(chosen, rules)
    return sort_segments([*segmenter.feed(scores, times), *segmenter.close()])


def run(rows, rules=None, **options):
    rules = rules or SegmentRules(**options)
    scores = np.array(rows, np.float32).reshape(-1, 5)
    return segments(scores, spans(len(scores)), classes(), rules)


def named(found):
    return [(s.label, round(s.start, 3), round(s.stop, 3)) for s in found]


# -- a reference that is slow and obvious ------------------------------------------------------------------------


def reference(scores, spans, below, wanted, rules):
    """Apply the rules of `SegmentRules` one after the other, to one class and one pair of regions at a time."""
    regions = {c: [] for c in range(scores.shape[1]) if wanted[c]}
    for c in regions:
        for i, (start, stop) in enumerate(spans):
            if scores[i, c] >= np.float32(rules.threshold):
                regions[c].append((start, stop, i, i))
        joined = True
        while joined:
            joined = False
            for a, b in itertools.pairwise(regions[c]):
                gap = b[0] - a[1]
                if gap < 1e-9 or gap < rules.min_separation - 1e-9:
                    place = regions[c].index(a)
                    regions[c][place : place + 2] = [(a[0], max(a[1], b[1]), a[2], b[3])]
                    joined = True
                    break
        regions[c] = [r for r in regions[c] if r[1] - r[0] >= least(spans, rules) - 1e-9]
    found = []
    for c in regions:
        for start, stop, first, last in regions[c]:
            takers = []
            for other in regions:
                above = below[other, c] if rules.specificity == "low" else below[c, other]
                if rules.specificity != "none" and above:
                    takers += regions[other]
            cuts = sorted({start, stop, *(t for r in takers for t in r[:2] if start < t < stop)})
            pieces = []
            for a, b in itertools.pairwise(cuts):
                middle = (a + b) / 2
                if b - a < 1e-9 or any(r[0] <= middle <= r[1] for r in takers):
                    continue
                if pieces and abs(pieces[-1][1] - a) < 1e-9:
                    pieces[-1] = (pieces[-1][0], b)
                else:
                    pieces.append((a, b))
            for a, b in pieces:
                if b - a >= least(spans, rules) - 1e-9:
                    inside = [
                        scores[i, c]
                        for i in range(first, last + 1)
                        if spans[i][0] < b - 1e-9 and spans[i][1] > a + 1e-9
                    ]
                    if inside:
                        found.append((NAMES[c], a, b, float(np.mean(inside)), float(max(inside))))
    return sorted(found, key=lambda f: (f[1], f[2], f[0]))


def least(times, rules):
    """The least seconds of a segment: that of the rules, unless the whole recording is shorter."""
    return min(rules.min_duration, times[-1][1] - times[0][0]) if len(times) else rules.min_duration


@st.composite
def cases(draw):
    n = draw(st.integers(0, 14))
    level = st.sampled_from([0.0, 0.2, 0.35, 0.5, 0.9])
    scores = np.array(draw(st.lists(level, min_size=5 * n, max_size=5 * n)), np.float32).reshape(n, 5)
    if draw(st.booleans()):
        scores[:] = draw(st.sampled_from([0.0, 0.9]))  # no class active, or all
    hop = draw(st.sampled_from([0.1, 0.48, 0.96, 1.5]))
    times = spans(n, hop, hop * max(0, n - 1) + draw(st.sampled_from([0.05, 0.6, WINDOW])))
    below = np.zeros((5, 5), bool)
    for i in range(5):
        for j in range(i + 1, 5):
            below[i, j] = draw(st.booleans())
    for _ in range(5):
        below |= (below.astype(int) @ below.astype(int)) > 0
    wanted = np.array(draw(st.lists(st.booleans(), min_size=5, max_size=5)))
    rules = SegmentRules(
        threshold=draw(st.sampled_from([0.0, 0.35, 0.6])),
        min_separation=draw(st.sampled_from([0.0, 0.25, 0.6, 1.5])),
        min_duration=draw(st.sampled_from([0.0, 0.5, 1.0, 2.5])),
        specificity=draw(st.sampled_from(["high", "low", "none"])),
    )
    return scores, times, classes(below, wanted), rules


def plain(found):
    return [(s.label, s.start, s.stop, s.mean, s.peak) for s in found]


def close(found, expected):
    assert [row[0] for row in found] == [row[0] for row in expected]
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one[1:], other[1:], atol=1e-6)


@given(cases())
def test_segments_are_those_of_the_reference(case):
    scores, times, chosen, rules = case
    expected = reference(scores.astype(float), times, chosen.descendants, chosen.selected, rules)
    close(plain(segments(scores, times, chosen, rules)), expected)


@given(cases(), st.data())
def test_windows_fed_in_parts_give_the_same_segments(case, data):
    scores, times, chosen, rules = case
    segmenter, found, at = Segmenter(chosen, rules), [], 0
    while at < len(scores):
        step = data.draw(st.integers(1, len(scores) - at))
        found += segmenter.feed(scores[at : at + step], times[at : at + step])
        at += step
    found += segmenter.close()
    assert sort_segments(found) == segments(scores, times, chosen, rules)


@given(cases())
def test_segments_obey_the_rules(case):
    scores, times, chosen, rules = case
    found = segments(scores, times, chosen, rules)
    for one in found:
        assert one.stop - one.start >= least(times, rules) - 1e-6
        assert times[0, 0] <= one.start < one.stop <= times[-1, 1]
        assert one.mean <= one.peak + 1e-6
        assert chosen.selected[NAMES.index(one.label)]
    if rules.specificity == "high":
        for one in found:
            for other in found:
                if chosen.descendants[NAMES.index(one.label), NAMES.index(other.label)]:
                    assert one.stop <= other.start + 1e-6 or other.stop <= one.start + 1e-6


# -- case by case ------------------------------------------------------------------------------------------------

SILENCE = [0.0] * 5
SIREN = [0, 0, 0, 0, 0.9]
DOG = [0.5, 0.8, 0.1, 0, 0]
BARK = [0.5, 0.8, 0.9, 0, 0]


def test_a_recording_without_windows_has_no_segments():
    assert segments(np.empty((0, 5), np.float32), np.empty((0, 2)), classes(), SegmentRules()) == ()


def test_one_window_makes_a_segment_of_its_seconds():
    assert named(run([SIREN])) == [("Siren", 0.0, 0.975)]


def test_a_segment_reaches_from_its_first_window_to_the_end_of_its_last():
    (found,) = run([SILENCE, SIREN, [0, 0, 0, 0, 0.5], SILENCE])
    assert (found.start, found.stop) == (0.48, pytest.approx(0.96 + 0.975))
    assert (found.mean, found.peak, found.id) == (pytest.approx(0.7), pytest.approx(0.9), "/m/4")


def test_regions_closer_than_the_separation_are_merged():
    rows = [SIREN, SILENCE, SILENCE, SIREN]  # 0.465 s apart
    assert len(run(rows, min_separation=0.4)) == 2
    (found,) = run(rows, min_separation=0.5)
    assert (found.start, found.stop) == (0, pytest.approx(3 * 0.48 + 0.975))
    assert found.mean == pytest.approx(0.45), "inactive windows between count"


def test_overlapping_windows_are_one_region_for_any_separation():
    assert len(run([SIREN, SILENCE, SIREN], min_separation=0)) == 1


def test_close_regions_are_merged_before_short_ones_are_removed():
    rows = [SIREN, SILENCE, SILENCE, SIREN]
    assert run(rows, min_separation=0.4, min_duration=2) == ()
    assert len(run(rows, min_separation=0.5, min_duration=2)) == 1


def test_with_high_specificity_the_specific_class_keeps_the_overlap():
    found = named(run([DOG, DOG, BARK, BARK, DOG, DOG]))
    assert found == [("Dog", 0.0, 0.96), ("Bark", 0.96, 2.415), ("Dog", 2.415, 3.375)]


def test_a_short_remainder_of_the_general_class_is_removed():
    assert named(run([DOG, BARK, BARK, DOG])) == [("Bark", 0.48, 1.935)]


def test_with_low_specificity_the_general_class_keeps_the_overlap():
    assert named(run([DOG, BARK, BARK, DOG], specificity="low")) == [("Animal", 0.0, 2.415)]


def test_without_specificity_all_classes_keep_the_overlap():
    labels = {s.label for s in run([DOG, BARK, BARK, DOG], specificity="none")}
    assert labels == {"Animal", "Dog", "Bark"}


def test_a_class_that_is_not_selected_takes_no_time():
    scores = np.array([BARK, BARK], np.float32)
    chosen = classes(selected=np.array([True, True, False, True, True]))
    assert [s.label for s in segments(scores, spans(2), chosen, SegmentRules())] == ["Dog"]


def test_a_remainder_without_windows_is_removed():
    """The hop is longer than a window, the gap between two windows was bridged, and both ends were taken."""
    scores = np.array([[0.9, 0.9, 0, 0, 0], [0.9, 0, 0, 0.9, 0]], np.float32)
    found = segments(scores, spans(2, 1.5), classes(), SegmentRules(min_separation=1))
    assert [s.label for s in found] == ["Dog", "Cat"]


def test_a_removed_region_takes_no_time():
    found = named(run([DOG, DOG, BARK, DOG, DOG], min_duration=1.2))
    assert found == [("Dog", 0.0, pytest.approx(4 * 0.48 + 0.975))]


def test_a_segment_is_returned_as_soon_as_no_later_window_can_change_it():
    segmenter = Segmenter(classes(), SegmentRules())
    times = spans(5)
    given = [
        segmenter.feed(np.array([row], np.float32), times[i : i + 1]) for i, row in enumerate([SIREN] + [SILENCE] * 4)
    ]
    assert [len(found) for found in given] == [0, 0, 0, 1, 0]  # at 1.44 s, 0.465 s behind its end
    assert segmenter.close() == []


def test_regions_that_cannot_matter_any_more_are_forgotten():
    segmenter = Segmenter(classes(), SegmentRules())
    times, rows = spans(3000), np.array([DOG, BARK, SIREN, SILENCE, SILENCE, SILENCE] * 500, np.float32)
    for i in range(len(rows)):
        segmenter.feed(rows[i : i + 1], times[i : i + 1])
    held = [len(segmenter._open), len(segmenter._pending), sum(map(len, segmenter._complete.values()))]
    assert held == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": 1.5}, "threshold: expected a score from 0 to 1, got 1.5"),
        ({"threshold": float("nan")}, "threshold: expected a score from 0 to 1, got nan"),
        ({"min_separation": -1}, "min_separation: expected seconds from 0, got -1"),
        ({"min_duration": float("inf")}, "min_duration: expected seconds from 0, got inf"),
        ({"specificity": "medium"}, "specificity: expected one of high, low, none, got 'medium'"),
    ],
)
def test_values_out_of_range_are_refused(options, text):
    with pytest.raises(SightsoundError, match=text):
        SegmentRules(**options)


def test_one_name_is_taken_as_a_list_of_one():
    assert SegmentRules(include="Dog").include == ("Dog",) and SegmentRules(exclude=["Dog"]).exclude == ("Dog",)


@pytest.mark.parametrize("number", [np.float32, np.float64, np.int64])
def test_numbers_of_numpy_become_those_of_python(number):
    rules = SegmentRules(threshold=number(1), min_separation=number(2), min_duration=number(3), backoff=np.bool_(True))
    assert rules == SegmentRules(threshold=1, min_separation=2, min_duration=3, backoff=True)
    assert rules.to_json() == SegmentRules(threshold=1, min_separation=2, min_duration=3, backoff=True).to_json()


def test_what_is_no_number_is_refused():
    with pytest.raises(SightsoundError, match="threshold: expected a number, got 'high'"):
        SegmentRules(threshold="high")  # type: ignore[arg-type]


# -- long recordings ---------------------------------------------------------------------------------------------


def lines_run(rows, block, **options) -> int:
    """Count the lines of sightsound.classify.segments that are run for some scores; NumPy and bisect count as one."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.endswith("segments.py"):
            return None
        count += event == "line"
        return trace

    segmenter = Segmenter(classes(), SegmentRules(**options))
    scores, times, found = np.array(rows, np.float32), spans(len(rows)), []
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for start in range(0, len(scores), block):
            found += segmenter.feed(scores[start : start + block], times[start : start + block])
        found += segmenter.close()
    finally:
        sys.settrace(before)
    assert len(found) > len(rows) / 20, "segments are what the work is about"
    return count


ONLY_ANIMAL, ONLY_DOG, ONLY_SIREN = ([float(name == each) for each in NAMES] for name in ("Animal", "Dog", "Siren"))
BOTH = [a + b for a, b in zip(ONLY_ANIMAL, ONLY_DOG)]
LONG = {
    "the general class is open, the specific one comes and goes": ([BOTH] * 3 + [ONLY_ANIMAL] * 5, {}),
    "the specific class is open, the general one comes and goes": ([BOTH] * 3 + [ONLY_DOG] * 5, {"specificity": "low"}),
    "both come and go while another class is open": (
        [[a + b for a, b in zip(BOTH, ONLY_SIREN)]] * 3 + [ONLY_SIREN] * 5,
        {"specificity": "low"},
    ),
}


@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("block", [8, 10_000])
def test_twice_the_windows_take_twice_the_work(case, block):
    pattern, options = LONG[case]
    assert lines_run(pattern * 100, block, **options) < 2.2 * lines_run(pattern * 50, block, **options)


def test_complete_regions_are_forgotten_while_an_unrelated_class_is_open():
    segmenter = Segmenter(classes(), SegmentRules(specificity="low"))
    rows = np.array(LONG["both come and go while another class is open"][0] * 50, np.float32)
    assert segmenter.feed(rows, spans(len(rows)))
    assert sum(map(len, segmenter._complete.values())) <= 2
