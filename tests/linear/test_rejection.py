"""The threshold of the highest probability under which an item gets no class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from linear_data import rows
from sightsound import LinearProbe, SightsoundError, load_probe
from sightsound.linear import file as probe_file
from sightsound.linear.rejection import threshold, threshold_of_background, threshold_of_held_out


@pytest.mark.parametrize("n", [19, 40, 100, 999])
def test_at_most_5_percent_of_the_background_reach_the_threshold_and_of_new_background_too(n):
    random = np.random.default_rng(n)
    shares = []
    for _ in range(400):
        scores, new = random.beta(2, 2, n), random.beta(2, 2, 500)
        least = threshold_of_background(scores)
        assert (scores >= least).mean() <= 0.05
        shares.append((new >= least).mean())
    assert 0.02 < np.mean(shares) < 0.055


def test_the_threshold_of_a_small_background_is_above_all_of_it():
    assert threshold_of_background(np.array([0.4, 0.7, 0.6])) == np.nextafter(0.7, 1)
    assert threshold_of_background(np.ones(5)) > 1


def test_95_percent_of_the_correct_items_reach_the_threshold():
    scores = np.random.default_rng(0).uniform(0.3, 1, 200)
    correct = scores > 0.4
    least = threshold_of_held_out(scores, correct)
    assert 0.95 <= (scores[correct] >= least).mean() < 0.96
    assert threshold_of_held_out(scores, np.zeros(200, bool)) is None


def test_auto_is_the_threshold_of_the_probe_and_numbers_are_checked():
    X, y = rows()
    probe = LinearProbe(C=1.0).fit(X, y)
    assert threshold(probe, None) is None and threshold(probe, 0.25) == 0.25
    with pytest.raises(
        SightsoundError, match="none below auto: expected a probe with a threshold, got none; give a nu"
    ):
        threshold(probe, "auto")
    probe.none_below_ = 0.5
    assert threshold(probe, "auto") == 0.5
    for value in (1.5, -0.1, float("nan"), "much", True):
        with pytest.raises(SightsoundError, match="none below: expected auto or a number from 0 to 1, got"):
            threshold(probe, value)


def test_the_threshold_is_saved_and_a_file_without_one_opens(tmp_path):
    X, y = rows()
    probe = LinearProbe(C=1.0).fit(X, y)
    probe.none_below_ = 0.625
    probe.save(tmp_path / "a.probe")
    assert load_probe(tmp_path / "a.probe").none_below_ == 0.625
    arrays, metadata = probe.state()
    del metadata["none_below"]  # as in files of before
    probe_file.write(tmp_path / "b.probe", "probe", arrays, metadata)
    assert load_probe(tmp_path / "b.probe").none_below_ is None
    with safe_open(tmp_path / "a.probe", framework="numpy") as file:
        assert json.loads(file.metadata()["sightsound"])["format"] == 2


@pytest.mark.parametrize("value", [-1, 2, "high", [1]])
def test_a_file_with_another_threshold_is_refused(tmp_path, value):
    X, y = rows()
    arrays, metadata = LinearProbe(C=1.0).fit(X, y).state()
    probe_file.write(tmp_path / "a.probe", "probe", arrays, {**metadata, "none_below": value})
    with pytest.raises(SightsoundError, match="damaged"):
        load_probe(tmp_path / "a.probe")
