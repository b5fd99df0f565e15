"""Rows in the order of the files, whatever the timing of threads, and threads that stop."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from made import register_variant, write_image, write_sound
from pipeline_runs import (
    breaks_off,
    embed_after,
    events_of,
    flat_events,
    jitter,
    jobs_of,
    outcomes_of,
    pictures,
    running_threads,
    slow_embed,
    sounds,
)
from sightsound import Item, media
from sightsound.contract.results import Rows
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items, embed_stream

# -- order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "like"), [(pictures, "colours.tiny"), (sounds, "loudness.tiny")])
def test_results_do_not_depend_on_the_timing_of_threads(tiny, tmp_path, make, like):
    files = make(tmp_path, 30)
    calm = flat_events(tiny.load(like), files, batch_size=4)
    for seed in range(2):
        name = register_variant(tiny, f"jitter{seed}.tiny", like, workers=3, **jitter(seed))
        assert flat_events(tiny.load(name), files) == calm


def test_rows_come_in_the_order_of_the_jobs_and_before_their_outcome(tiny, tmp_path):
    files = sounds(tmp_path, 12)
    random.Random(3).shuffle(files)
    found = flat_events(
        tiny.load(register_variant(tiny, "jitter.tiny", "loudness.tiny", workers=3, **jitter(1))), files
    )
    order = [name for name, previous in zip([e[0] for e in found], [None, *(e[0] for e in found)]) if name != previous]
    assert order == [file.name for file in files]
    ends = [i for i, event in enumerate(found) if event[1] == "ok"]
    assert all(i + 1 == len(found) or found[i + 1][0] != found[i][0] for i in ends)


def test_one_thread_gives_the_same_rows(tiny, tmp_path, monkeypatch):
    files = sounds(tmp_path, 12)
    many = flat_events(tiny.load("loudness.tiny"), files)
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    assert flat_events(tiny.load(register_variant(tiny, "narrow.tiny", "loudness.tiny", workers=1)), files) == many


def test_a_long_recording_gives_the_rows_of_all_of_it_at_once(tiny, tmp_path):
    file = write_sound(tmp_path / "long.wav", 1, seconds=95.3)
    model = tiny.load("loudness.tiny")

    spans, embeddings, _ = model.rows(media.read_sound(file, 1600))
    rows = [event for event in events_of(model, jobs_of([file])) if isinstance(event, Rows)]
    np.testing.assert_array_equal(np.concatenate([part.spans for part in rows]), spans)
    np.testing.assert_array_equal(np.concatenate([part.embeddings for part in rows]), embeddings)


def test_nothing_to_embed_gives_nothing(tiny):
    assert events_of(tiny.load("colours.tiny"), []) == []
    with embed_items(tiny.load("colours.tiny"), []) as items:
        assert list(items) == []


# -- complete items ------------------------------------------------------------------------------------------------


def test_an_item_has_all_its_rows(tiny, tmp_path):
    model, files = tiny.load("loudness.tiny"), sounds(tmp_path, 5, seconds=9)
    with embed_items(model, jobs_of(files), batch_size=4) as items:
        found = list(items)
    assert [item.item.path for item in found] == [file.name for file in files]
    for item, file in zip(found, files):
        spans, embeddings, scores = model.rows(media.read_sound(file, 1600))
        np.testing.assert_array_equal(item.spans, spans)
        np.testing.assert_array_equal(item.embeddings, embeddings)
        np.testing.assert_array_equal(item.scores, scores)
        assert item.outcome.status == "ok" and item.outcome.seconds == 9


def test_an_item_that_fails_late_has_no_rows(tiny, tmp_path):
    model = tiny.load("loudness.tiny")
    jobs = jobs_of(
        [write_sound(tmp_path / "a.wav", 1), breaks_off(tmp_path / "b.wav", 600), write_sound(tmp_path / "c.wav", 2)]
    )
    came = [event for event in events_of(model, jobs) if isinstance(event, Rows) and event.item.path == "b.wav"]
    assert sum(len(rows.embeddings) for rows in came) > 100, "rows came before the recording failed"
    with embed_items(model, jobs) as items:
        first, broken, last = items
    assert broken.outcome.status == "failed"
    assert broken.embeddings is None and broken.scores is None and broken.spans is None
    assert len(first.embeddings) == len(last.embeddings) == 1


def test_items_without_seconds_and_scores_have_none(tiny, tmp_path):
    with embed_items(tiny.load("colours.tiny"), jobs_of(pictures(tmp_path, 3))) as items:
        assert [(item.embeddings.shape, item.spans, item.scores) for item in items] == 3 * [((1, 48), None, None)]


def test_a_thousand_unreadable_files_are_reported_as_they_come(tiny, tmp_path):
    items = [Job(Item(str(tmp_path), f"{i}.png")) for i in range(1000)]
    taken = 0

    def counted():
        nonlocal taken
        for job in items:
            taken += 1
            yield job

    with embed_stream(tiny.load("colours.tiny"), counted()) as found:
        first = next(found)
        assert taken < 500, "the first outcome comes before all files are read"
        outcomes = [first, *found]
    assert [outcome.item.path for outcome in outcomes] == [job.item.path for job in items]
    assert {outcome.status for outcome in outcomes} == {"failed"}


# -- threads -------------------------------------------------------------------------------------------------------


def test_the_network_runs_in_as_many_threads_as_it_allows(tiny, tmp_path):
    """Twelve batches: each waits until three are in the network, and there are never more."""
    now, most, lock, three = 0, 0, threading.Lock(), threading.Barrier(3, timeout=60)

    def embed(inner, inputs):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait()
        with lock:
            now -= 1
        return inner.embed(inputs)

    name = register_variant(tiny, "workers.tiny", workers=3, batch_size=2, embed=embed)
    found = outcomes_of(tiny.load(name), pictures(tmp_path, 24))
    assert {outcome.status for outcome in found.values()} == {"ok"}
    assert most == 3


def test_reading_goes_on_while_the_network_works(tiny, tmp_path):
    """The network holds the first batch until files of the second one have been decoded."""
    name = register_variant(tiny, "slow.tiny", batch_size=4, workers=1, **embed_after(5))
    found = outcomes_of(tiny.load(name), pictures(tmp_path, 24))
    assert {outcome.status for outcome in found.values()} == {"ok"}


@pytest.mark.parametrize("count", [0, 1, 9])
def test_leaving_the_context_early_stops_the_threads(tiny, tmp_path, count):
    read = []

    def preprocess(inner, media, start, last):
        read.append(start)
        return inner.preprocess(media, start, last)

    files = sounds(tmp_path, 60, seconds=5)
    name = register_variant(tiny, "slow.tiny", "loudness.tiny", preprocess=preprocess, embed=slow_embed)
    with embed_stream(tiny.load(name), jobs_of(files)) as running:
        for _ in range(count):
            next(running)
    assert running_threads() == []
    assert len(read) < 60, "not all files were read"


def test_an_error_of_the_jobs_is_raised_and_stops_the_threads(tiny, tmp_path):
    files = pictures(tmp_path, 20)

    def broken():
        yield from jobs_of(files)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        events_of(tiny.load("colours.tiny"), broken())
    assert running_threads() == []


@pytest.mark.parametrize("stage", ["preprocess", "embed"])
def test_a_plugin_that_calls_exit_does_not_hang_the_pipeline(tmp_path, stage):
    write_image(tmp_path / "a.png")
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "dists" / "tiny")]!r}
import sightsound_tiny, made
from sightsound import Host, embed
host = Host(installed=False)
host.register(sightsound_tiny, "tiny")
made.register_variant(host, "exits.tiny", {stage}=lambda inner, *values: sys.exit(3))
list(embed({str(tmp_path)!r}, "exits.tiny", host=host))
"""
    try:
        subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail(f"sys.exit in {stage} hangs the pipeline")


def test_a_callback_follows_the_last_event_of_each_batch(tiny, tmp_path):
    names, counts, taken = [file.name for file in pictures(tmp_path, 10)], [], []
    jobs = [Job(Item(str(tmp_path), name)) for name in names]
    stream = embed_stream(tiny.load("colours.tiny"), jobs, batch_size=4, after_batch=lambda: counts.append(len(taken)))
    with stream as events:
        for event in events:
            taken.append(event)  # noqa: PERF402
    assert [event.item.path for event in taken if isinstance(event, Rows)] == names
    assert counts == [8, 16, 20], "rows and outcomes of four, four and two files"


def test_the_device_and_the_size_of_batches_are_logged(tiny, caplog, tmp_path):
    file = write_image(tmp_path / "a.png", 1)
    with caplog.at_level("INFO", "sightsound"):
        assert outcomes_of(tiny.load("colours.tiny"), [file])
    assert "colours.tiny: 4 inputs at a time (cpu, float32, 2 workers of 1 thread, batches of 4)" in caplog.messages
