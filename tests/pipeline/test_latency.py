"""Milliseconds of models: which are measured, and on how many files."""

from __future__ import annotations

import logging

from made import register_variant
from pipeline_runs import pictures
from sightsound import Item
from sightsound.pipeline.latency import measure_latency


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
