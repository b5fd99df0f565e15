"""Milliseconds of models: which are measured, and on how many files."""

from __future__ import annotations

import logging

import pytest

from made import register_variant
from pipeline_runs import pictures
from sightsound import Item, SightsoundError
from sightsound.pipeline import latency
from sightsound.pipeline.latency import items_timer, measure_latency, medians, network_timer


def test_each_model_is_measured_on_at_most_twelve_files_twice(tiny, tmp_path):
    seen = []

    def preprocess(inner, media, start, last):
        seen.append(media)
        return inner.preprocess(media, start, last)

    items = [Item(str(tmp_path), file.name) for file in pictures(tmp_path, 30)]
    name = register_variant(tiny, "counted.tiny", preprocess=preprocess)
    found = measure_latency(tiny, [name, "colours.tiny"], items)
    assert list(found) == [name, "colours.tiny"] and all(value > 0 for value in found.values())
    assert len(seen) == 2 * 12


def test_a_model_that_cannot_be_measured_is_left_out_with_a_warning(tiny, tmp_path, caplog):
    items = [Item(str(tmp_path), "gone.png")]
    with caplog.at_level(logging.WARNING, "sightsound"):
        assert measure_latency(tiny, ["colours.tiny", "nonsense"], items) == {}
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["colours.tiny", "nonsense"]


def test_the_network_alone_gets_full_batches_of_all_workers(tiny, tmp_path):
    sizes, decoded = [], []

    def embed(inner, inputs):
        sizes.append(len(inputs))
        return inner.embed(inputs)

    def preprocess(inner, media, start, last):
        decoded.append(media)
        return inner.preprocess(media, start, last)

    items = [Item(str(tmp_path), file.name) for file in pictures(tmp_path, 3)]
    name = register_variant(tiny, "alone.tiny", batch_size=4, workers=2, embed=embed, preprocess=preprocess)
    assert network_timer(tiny.load(name), items)() > 0
    assert set(sizes) == {4}, "three images are repeated to fill two batches"
    assert len(decoded) == 3, "they are decoded once, before anything is measured"


def test_the_median_of_the_repeats_counts(tiny, tmp_path, monkeypatch):
    items = [Item(str(tmp_path), file.name) for file in pictures(tmp_path, 2)]
    model = tiny.load("colours.tiny")
    clock = iter([0.0, 0.1, 1.0, 1.9, 2.0, 2.2])  # passes of 100, 900 and 200 ms; the first pass is not measured
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock))
    assert medians([items_timer(model, items)], 2) == [pytest.approx((900 + 200) / 2 / 2)]


def test_a_network_without_inputs_is_refused(tiny, tmp_path):
    with pytest.raises(SightsoundError, match=r"loudness.tiny: expected an input for its network, got none"):
        network_timer(tiny.load("loudness.tiny"), [Item(str(tmp_path), "gone.wav")])


def test_timers_take_turns():
    calls = iter(range(100))
    first, second = [], []

    def timer(kept):
        return lambda: kept.append(next(calls)) or float(kept[-1])

    assert medians([timer(first), timer(second)], 3) == [4.0, 5.0]
    assert (first, second) == ([0, 2, 4, 6], [1, 3, 5, 7])
