"""Reading ahead: bounded memory, flags, parts of recordings, and files that cannot be read."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

from made import register_variant, write_image, write_sound
from pipeline_runs import breaks_off, events_of, flat_events, outcomes_of, pictures, running_threads, slow_embed, sounds
from sightsound import Item, Windows, media
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items, embed_stream


def watched():
    """A preprocess that counts the windows in memory, and a list whose only entry is the most there ever were."""
    alive, most, lock = 0, [0], threading.Lock()

    def gone(count):
        nonlocal alive
        with lock:
            alive -= count

    def preprocess(inner, media, start, last):
        nonlocal alive
        windows = inner.preprocess(media, start, last)
        inputs = windows.inputs.copy()
        with lock:
            alive += len(inputs)
            most[0] = max(most[0], alive)
        weakref.finalize(inputs, gone, len(inputs))
        return Windows(inputs, windows.spans, windows.padded)

    return preprocess, most


def test_the_windows_in_memory_do_not_grow_with_the_files(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    files = pictures(tmp_path, 400)
    preprocess, most = watched()
    flat_events(tiny.load(register_variant(tiny, "watched.tiny", preprocess=preprocess, embed=slow_embed)), files)
    assert 0 < most[0] <= 60, "sixteen items read ahead, and some batches of four"


def test_the_windows_in_memory_do_not_grow_with_a_recording(tiny, tmp_path):
    file = write_sound(tmp_path / "long.wav", 1, seconds=1800)
    preprocess, most = watched()
    name = register_variant(
        tiny, "watched.tiny", "loudness.tiny", batch_size=8, preprocess=preprocess, embed=slow_embed
    )
    flat_events(tiny.load(name), [file])
    assert 0 < most[0] <= 60 * 8, "of 3,600 windows; a block has 60"


def test_whole_recordings_do_not_wait_for_the_network(tiny, tmp_path, monkeypatch):
    """A card without windows gets each recording whole, and may return a part of that very memory."""
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    alive, most, lock = [0], [0], threading.Lock()

    def gone():
        with lock:
            alive[0] -= 1

    def preprocess(inner, media, start, last):
        with lock:
            alive[0] += 1
            most[0] = max(most[0], alive[0])
        weakref.finalize(media, gone)
        return Windows(media[None, :1600], np.array([[0.0, 1.0]]))

    whole = {"window": None, "hop": None}
    name = register_variant(
        tiny, "whole.tiny", "loudness.tiny", facts=whole, batch_size=1, preprocess=preprocess, embed=slow_embed
    )
    found = outcomes_of(tiny.load(name), sounds(tmp_path, 30, seconds=3))
    assert {outcome.status for outcome in found.values()} == {"ok"}
    assert 0 < most[0] <= 4, "three readers, and one that is just done"


def test_jobs_are_taken_as_they_are_needed(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    file, taken = write_image(tmp_path / "a.png"), 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield Job(Item(str(tmp_path), file.name))

    with embed_stream(tiny.load("colours.tiny"), endless()) as running:
        for _ in range(24):
            next(running)
    assert taken < 400, "a few batches, and the files that are read ahead"


def test_a_file_that_cannot_be_decoded_fails_with_its_note(tiny, tmp_path):
    file = tmp_path / "dog.wav"
    file.write_bytes(write_sound(tmp_path / "whole.wav").read_bytes()[:30])
    outcome = outcomes_of(tiny.load("loudness.tiny"), [file])["dog.wav"]
    assert (outcome.status, outcome.error.__notes__) == ("failed", ["while embedding dog.wav with loudness.tiny"])
    assert "dog.wav" not in outcome.reason and "\n" not in outcome.reason


def test_a_damaged_recording_fails_and_the_next_one_does_not(tiny, tmp_path):
    first, last = write_sound(tmp_path / "a.wav", 1), write_sound(tmp_path / "c.wav", 2)
    broken = breaks_off(tmp_path / "b.wav", 80)
    found = outcomes_of(tiny.load("loudness.tiny"), [first, broken, last])
    assert {name: outcome.status for name, outcome in found.items()} == {
        "a.wav": "ok",
        "b.wav": "failed",
        "c.wav": "ok",
    }
    assert "79.3" in found["b.wav"].reason


def test_a_file_that_changed_since_it_was_hashed_is_refused(tiny, tmp_path):
    file = write_image(tmp_path / "a.png")
    job = Job(Item(str(tmp_path), "a.png"), stat=(file.stat().st_size, file.stat().st_mtime_ns - 1))
    *_, outcome = events_of(tiny.load("colours.tiny"), [job])
    assert (outcome.status, outcome.reason) == ("failed", "changed while it was read; index it again")


def test_flags_and_seconds_describe_a_recording(tiny, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "still.wav", np.zeros(3200, np.float32), 1600)
    short = write_sound(tmp_path / "short.wav", 1, seconds=0.4)
    slow = write_sound(tmp_path / "slow.wav", 1, seconds=2, rate=1000)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 1600)
    files = [tmp_path / "still.wav", short, slow, tmp_path / "none.wav"]
    found = outcomes_of(tiny.load("loudness.tiny"), files)
    assert found["still.wav"].flags == ("silent",) and found["still.wav"].seconds == 2
    assert found["short.wav"].flags == ("padded",) and found["short.wav"].seconds == pytest.approx(0.4)
    assert "resampled-up" in found["slow.wav"].flags
    assert (found["none.wav"].status, found["none.wav"].reason) == ("no-windows", "no samples")


def test_a_part_of_a_recording_is_framed_anew_with_the_seconds_of_the_whole(tiny, tmp_path):
    file = write_sound(tmp_path / "dog.wav", 4, seconds=6)
    model = tiny.load("loudness.tiny")

    _, expected, _ = model.rows(media.read_sound(file, 1600)[round(1.3 * 1600) : round(3.1 * 1600)])
    with embed_items(model, [Job(Item(str(tmp_path), "dog.wav"), 1.3, 3.1)]) as items:
        (rows,) = items
    np.testing.assert_array_equal(rows.embeddings, expected)
    np.testing.assert_allclose(rows.spans, [[1.3, 2.3], [1.8, 2.8], [2.3, 3.1]])


class Panic(BaseException):
    """As the exception of pyo3 for a panic of Rust."""


@pytest.mark.parametrize("stage", ["preprocess", "embed", "postprocess"])
def test_a_plugin_that_panics_fails_its_item_alone(tiny, tmp_path, stage):
    files, calls = pictures(tmp_path, 6), []

    def panics(inner, *values):
        calls.append(stage)
        if len(calls) == 3:
            raise Panic("index out of bounds")
        return getattr(inner, stage)(*values)

    name = register_variant(tiny, "panics.tiny", batch_size=1, **{stage: panics})
    found = outcomes_of(tiny.load(name), files)
    assert sorted(outcome.status for outcome in found.values()) == ["failed"] + ["ok"] * 5
    (reason,) = {outcome.reason for outcome in found.values() if outcome.status == "failed"}
    assert reason.startswith(f"{stage} of panics.tiny (plugin panics): Panic: index out of bounds")


@pytest.mark.parametrize("stage", ["preprocess", "embed"])
def test_an_interrupt_inside_a_plugin_ends_the_run(tiny, tmp_path, stage):
    def interrupted(inner, *values):
        raise KeyboardInterrupt

    files = pictures(tmp_path, 6)
    assert flat_events(tiny.load("colours.tiny"), files)
    with pytest.raises(KeyboardInterrupt):
        flat_events(tiny.load(register_variant(tiny, "stopped.tiny", **{stage: interrupted})), files)
    assert running_threads() == []
