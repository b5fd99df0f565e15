"""One pool of threads for all stages: how many work, what they do first, and what they do at the same time."""

from __future__ import annotations

import threading

import pytest

from made import register_variant, write_sound
from pipeline_runs import embed_after, events_of, flat_events, jobs_of, outcomes_of, pictures, sounds
from sightsound.contract.results import Rows


class Meeting:
    """Counts how many threads are in some stages at once."""

    def __init__(self):
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_one_thread_more_than_cores_works_and_with_one_core_one(tiny, tmp_path, monkeypatch, cores):
    monkeypatch.setenv("SIGHTSOUND_THREADS", str(cores))
    meeting, stop = Meeting(), threading.Event()

    def preprocess(inner, media, start, last):
        with meeting:
            stop.wait(0.002)
            return inner.preprocess(media, start, last)

    def embed(inner, inputs):
        with meeting:
            stop.wait(0.004)
            return inner.embed(inputs)

    name = register_variant(tiny, "met.tiny", workers=cores, batch_size=2, preprocess=preprocess, embed=embed)
    files = pictures(tmp_path, 60)
    assert flat_events(tiny.load(name), files) == flat_events(tiny.load("colours.tiny"), files)
    assert meeting.most == cores + (cores > 1)


def test_the_network_waits_for_nobody_once_a_batch_is_full(tiny, tmp_path, monkeypatch):
    """One thread does everything: it runs each batch before it decodes what the batch after the next one needs."""
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    done = []

    def preprocess(inner, media, start, last):
        done.append("p")
        return inner.preprocess(media, start, last)

    def embed(inner, inputs):
        done.append("E")
        return inner.embed(inputs)

    name = register_variant(tiny, "noted.tiny", workers=1, batch_size=2, preprocess=preprocess, embed=embed)
    flat_events(tiny.load(name), pictures(tmp_path, 8))
    assert "".join(done) == 4 * "ppE"


def test_blocks_of_one_recording_are_preprocessed_at_the_same_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    file, both, first = write_sound(tmp_path / "long.wav", 1, seconds=150), threading.Barrier(2, timeout=60), []

    def preprocess(inner, media, start, last):
        first.append(start)
        if len(first) <= 2:
            both.wait()
        return inner.preprocess(media, start, last)

    name = register_variant(tiny, "both.tiny", "loudness.tiny", workers=1, preprocess=preprocess)
    found = flat_events(tiny.load(name), [file])
    assert not both.broken and len(first) == 5
    assert found == flat_events(tiny.load("loudness.tiny"), [file])


@pytest.mark.parametrize("block", range(4))
def test_a_block_that_fails_fails_its_recording_alone(tiny, tmp_path, block):
    long, others = write_sound(tmp_path / "long.wav", 1, seconds=110), sounds(tmp_path, 4)

    def preprocess(inner, media, start, last):
        if start == block * 30 * 1600 and len(media) > 4 * 1600:
            raise ValueError("a bad block")
        return inner.preprocess(media, start, last)

    name = register_variant(tiny, "bad.tiny", "loudness.tiny", preprocess=preprocess)
    files = [others[0], long, *others[1:]]
    found = outcomes_of(tiny.load(name), files)
    assert {path: outcome.status for path, outcome in found.items()} == {
        file.name: "failed" if file == long else "ok" for file in files
    }
    assert "a bad block" in found["long.wav"].reason
    rows = [e for e in events_of(tiny.load(name), jobs_of(files)) if isinstance(e, Rows) and e.item.path == "long.wav"]
    assert sum(len(each.embeddings) for each in rows) <= 60 * block, "rows of the blocks before it, or fewer"


def test_a_network_on_another_device_has_a_thread_besides(tiny, tmp_path, monkeypatch):
    """While it waits for the device, the one core decodes the files of the next batch."""
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    name = register_variant(tiny, "far.tiny", batch_size=4, workers=1, device="cuda", **embed_after(5))
    found = outcomes_of(tiny.load(name), pictures(tmp_path, 12))
    assert {outcome.status for outcome in found.values()} == {"ok"}
