"""The pipeline: order, batches across files, bounded memory, and what one bad input may not spoil."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from made import picture, sound, stand
from sightsound import Item, Output, Windows, hookimpl
from sightsound.contract.results import Outcome, Rows
from sightsound.pipeline.batches import Batcher
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items, embed_stream


def jobs(files):
    return [Job(Item(str(file.parent), file.name)) for file in files]


def events(model, work, **options):
    with embed_stream(model, work, **options) as found:
        return list(found)


def flat(model, files, **options):
    """Every event as comparable values, in order, rows one by one."""
    found = []
    for event in events(model, jobs(files), **options):
        if isinstance(event, Outcome):
            found.append((event.item.path, event.status, event.flags))
            continue
        for i, row in enumerate(event.embeddings):
            span = None if event.spans is None else tuple(event.spans[i])
            score = None if event.scores is None else event.scores[i].tobytes()
            found.append((event.item.path, span, row.tobytes(), score))
    return found


def outcomes(model, files, **options):
    found = [event for event in events(model, jobs(files), **options) if isinstance(event, Outcome)]
    return {outcome.item.path: outcome for outcome in found}


def pictures(folder: Path, count: int):
    return [picture(folder / f"{i:03}.png", i) for i in range(count)]


def sounds(folder: Path, count: int, seconds: float | None = None):
    return [sound(folder / f"{i:03}.wav", i, seconds or 0.3 + 0.7 * (i % 5)) for i in range(count)]


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sightsound")]


def jitter(seed):
    """Stages that sleep at random before they do what they should."""
    wait = random.Random(seed)

    def preprocess(inner, media, start, last):
        time.sleep(wait.random() * 0.004)
        return inner.preprocess(media, start, last)

    def embed(inner, inputs):
        time.sleep(wait.random() * 0.008)
        return inner.embed(inputs)

    return {"preprocess": preprocess, "embed": embed}


class Spy:
    """A stage plugin that keeps the inputs of every call of the network."""

    same_numbers = True

    def __init__(self):
        self.batches = []

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        self.batches.append(inputs.copy())
        return (yield)

    @property
    def sizes(self):
        return [len(batch) for batch in self.batches]


@pytest.fixture
def spy(tiny):
    found = Spy()
    tiny.register(found, "spy")
    return found


# -- order and batches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "like"), [(pictures, "colours.tiny"), (sounds, "loudness.tiny")])
def test_results_do_not_depend_on_how_threads_are_timed(tiny, tmp_path, make, like):
    files = make(tmp_path, 30)
    calm = flat(tiny.load(like), files, batch_size=4)
    for seed in range(2):
        name = stand(tiny, f"jitter{seed}.tiny", like, workers=3, **jitter(seed))
        assert flat(tiny.load(name), files) == calm


def test_events_come_in_the_order_of_the_jobs_and_rows_before_their_outcome(tiny, tmp_path):
    files = sounds(tmp_path, 12)
    random.Random(3).shuffle(files)
    found = flat(tiny.load(stand(tiny, "jitter.tiny", "loudness.tiny", workers=3, **jitter(1))), files)
    order = [name for name, previous in zip([e[0] for e in found], [None, *(e[0] for e in found)]) if name != previous]
    assert order == [file.name for file in files]
    ends = [i for i, event in enumerate(found) if event[1] == "ok"]
    assert all(i + 1 == len(found) or found[i + 1][0] != found[i][0] for i in ends)


def test_batches_are_filled_across_files(tiny, tmp_path, spy):
    flat(tiny.load("colours.tiny"), pictures(tmp_path, 10), batch_size=4)
    assert sorted(spy.sizes) == [2, 4, 4]


def test_batches_of_windows_are_filled_across_recordings(tiny, tmp_path, spy):
    flat(tiny.load("loudness.tiny"), sounds(tmp_path, 5, seconds=2), batch_size=8)
    assert sorted(spy.sizes) == [7, 8], "five recordings of three windows"


def test_what_a_batch_holds_does_not_depend_on_timing(tiny, tmp_path, spy):
    files = sounds(tmp_path, 20)
    flat(tiny.load("loudness.tiny"), files, batch_size=5)
    calm, spy.batches = sorted(batch.tobytes() for batch in spy.batches), []
    flat(tiny.load(stand(tiny, "jitter.tiny", "loudness.tiny", workers=3, **jitter(9))), files, batch_size=5)
    assert sorted(batch.tobytes() for batch in spy.batches) == calm


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_any_batch_size_gives_the_same_rows(tiny, tmp_path, size):
    files = sounds(tmp_path, 6)
    model = tiny.load("loudness.tiny")
    assert flat(model, files, batch_size=size) == flat(model, files)


def test_one_thread_gives_the_same_rows(tiny, tmp_path, monkeypatch):
    files = sounds(tmp_path, 12)
    many = flat(tiny.load("loudness.tiny"), files)
    monkeypatch.setenv("SIGHTSOUND_THREADS", "1")
    assert flat(tiny.load(stand(tiny, "narrow.tiny", "loudness.tiny", workers=1)), files) == many


def test_a_long_recording_gives_the_rows_of_all_of_it_at_once(tiny, tmp_path):
    file = sound(tmp_path / "long.wav", 1, seconds=95.3)
    model = tiny.load("loudness.tiny")
    from sightsound import media

    spans, embeddings, _ = model.rows(media.read_sound(file, 1600))
    rows = [event for event in events(model, jobs([file])) if isinstance(event, Rows)]
    np.testing.assert_array_equal(np.concatenate([part.spans for part in rows]), spans)
    np.testing.assert_array_equal(np.concatenate([part.embeddings for part in rows]), embeddings)


def test_the_network_runs_in_as_many_threads_as_it_allows(tiny, tmp_path):
    now, most, lock = 0, 0, threading.Lock()

    def embed(inner, inputs):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return inner.embed(inputs)

    flat(tiny.load(stand(tiny, "workers.tiny", workers=3, batch_size=2, embed=embed)), pictures(tmp_path, 24))
    assert most == 3


def test_reading_goes_on_while_the_network_works(tiny, tmp_path):
    def slow(seconds):
        def stage(inner, *values):
            time.sleep(seconds)
            return (inner.embed if len(values) == 1 else inner.preprocess)(*values)

        return stage

    name = stand(tiny, "slow.tiny", batch_size=4, workers=1, preprocess=slow(0.03), embed=slow(0.06))
    files = pictures(tmp_path, 24)
    began = time.monotonic()
    flat(tiny.load(name), files)
    assert time.monotonic() - began < 0.85 * (24 * 0.03 + 6 * 0.06), "decoding and network one after the other"


# -- memory ------------------------------------------------------------------------------------------------------


def watched():
    """A preprocess that counts the windows in memory, and the list whose last entry is the most there ever were."""
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


def slowly(inner, inputs):
    time.sleep(0.002)
    return inner.embed(inputs)


def test_the_windows_in_memory_do_not_grow_with_the_files(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    files = pictures(tmp_path, 400)
    preprocess, most = watched()
    flat(tiny.load(stand(tiny, "watched.tiny", preprocess=preprocess, embed=slowly)), files)
    assert 0 < most[0] <= 60, "eight items read ahead, and six batches of four"


def test_the_windows_in_memory_do_not_grow_with_a_recording(tiny, tmp_path):
    file = sound(tmp_path / "long.wav", 1, seconds=1800)
    preprocess, most = watched()
    name = stand(tiny, "watched.tiny", "loudness.tiny", batch_size=8, preprocess=preprocess, embed=slowly)
    flat(tiny.load(name), [file])
    assert 0 < most[0] <= 60 * 8, "of 3,600 windows; a block has 60"


def test_jobs_are_taken_as_they_are_needed(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    file, taken = picture(tmp_path / "a.png"), 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield Job(Item(str(tmp_path), file.name))

    with embed_stream(tiny.load("colours.tiny"), endless()) as running:
        for _ in range(24):
            next(running)
    assert taken < 80


def test_a_batch_that_does_not_fit_is_halved_and_the_user_is_told(tiny, tmp_path, caplog):
    fitted = []

    def embed(inner, inputs):
        if len(inputs) > 3:
            raise MemoryError("the device has 3 places")
        fitted.append(len(inputs))
        return inner.embed(inputs)

    files = pictures(tmp_path, 40)
    name = stand(tiny, "narrow.tiny", batch_size=8, workers=1, embed=embed)
    with caplog.at_level(logging.WARNING, "sightsound"):
        found = flat(tiny.load(name), files)
    assert found == flat(tiny.load("colours.tiny"), files)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 inputs at once; going on with 4 (the device has 3 places)",
        "out of memory with 4 inputs at once; going on with 2 (the device has 3 places)",
    ]
    assert set(fitted[-5:]) == {2}, "what comes later is cut to what fits"


def test_an_input_that_never_fits_fails_its_item_and_the_rest_goes_on(tiny, tmp_path):
    bad = picture(tmp_path / "005.png", 5)
    bright = tiny.load("colours.tiny").preprocess(np.asarray(_pixels(bad))).inputs[0]

    def embed(inner, inputs):
        if any(np.array_equal(row, bright) for row in inputs):
            raise MemoryError("no room")
        return inner.embed(inputs)

    files = pictures(tmp_path, 12)
    found = outcomes(tiny.load(stand(tiny, "narrow.tiny", batch_size=8, embed=embed)), files)
    assert [name for name, outcome in found.items() if outcome.status == "failed"] == ["005.png"]
    assert "no room" in found["005.png"].reason


def _pixels(file):
    from sightsound import media

    return media.read_image(file).pixels


# -- what one bad input may not spoil ----------------------------------------------------------------------------


def poisoned(like, file, spoil):
    """An embed that treats the second window of `file` (or the only one) as `spoil(inner, inputs, i)` says."""
    from sightsound import media

    model = like
    decoded = _pixels(file) if model.card.modality == "image" else media.read_sound(file, 1600)
    inputs = model.preprocess(decoded).inputs
    victim = inputs[min(1, len(inputs) - 1)]

    def embed(inner, inputs):
        for i, row in enumerate(inputs):
            if np.array_equal(row, victim):
                return spoil(inner, inputs, i)
        return inner.embed(inputs)

    return embed


def raises(inner, inputs, i):
    raise ValueError("a number too far")


def nans(inner, inputs, i):
    output = inner.embed(inputs)
    output.embeddings[i, 0] = np.nan
    return output


def infinities(inner, inputs, i):
    output = inner.embed(inputs)
    output.embeddings[i, -1] = -np.inf
    return output


def nan_scores(inner, inputs, i):
    output = inner.embed(inputs)
    output.scores[i] = np.nan
    return output


CASES = [
    *((like, spoil) for like in ("colours.tiny", "loudness.tiny") for spoil in (raises, nans, infinities)),
    ("loudness.tiny", nan_scores),
]


@pytest.mark.parametrize(("like", "spoil"), CASES)
@pytest.mark.parametrize("size", [1, 5, 64])
def test_an_input_that_the_network_fails_on_fails_its_item_alone(tiny, tmp_path, like, spoil, size):
    files = pictures(tmp_path, 15) if like == "colours.tiny" else sounds(tmp_path, 15)
    model = tiny.load(like)
    bad = files[7]
    good = [event for event in flat(model, files, batch_size=size) if event[0] != bad.name]
    broken = tiny.load(stand(tiny, "broken.tiny", like, embed=poisoned(model, bad, spoil)))
    found = flat(broken, files, batch_size=size)
    assert [event for event in found if event[0] != bad.name] == good
    assert [event for event in found if event[0] == bad.name][-1] == (bad.name, "failed", ())


def test_the_reason_and_the_notes_say_what_failed_where(tiny, tmp_path):
    file = sound(tmp_path / "dog.wav", 1, seconds=3)
    model = tiny.load("loudness.tiny")
    name = stand(tiny, "broken.tiny", "loudness.tiny", embed=poisoned(model, file, raises))
    outcome = outcomes(tiny.load(name), [file])["dog.wav"]
    assert outcome.error.__notes__ == ["while embedding dog.wav with broken.tiny"]
    assert outcome.reason.startswith("embed of broken.tiny (plugin broken): ValueError: a number too far")
    assert isinstance(outcome.error.__cause__, ValueError)


def test_two_items_that_fail_in_one_batch_each_get_their_own_note(tiny, tmp_path):
    def embed(inner, inputs):
        raise ValueError("always")

    files = pictures(tmp_path, 5)
    found = outcomes(tiny.load(stand(tiny, "broken.tiny", batch_size=8, embed=embed)), files)
    for file in files:
        assert found[file.name].error.__notes__ == [f"while embedding {file.name} with broken.tiny"]


def test_a_file_that_cannot_be_decoded_fails_with_its_note(tiny, tmp_path):
    file = tmp_path / "dog.wav"
    file.write_bytes(sound(tmp_path / "whole.wav").read_bytes()[:30])
    outcome = outcomes(tiny.load("loudness.tiny"), [file])["dog.wav"]
    assert (outcome.status, outcome.error.__notes__) == ("failed", ["while embedding dog.wav with loudness.tiny"])
    assert "dog.wav" not in outcome.reason and "\n" not in outcome.reason


def test_a_recording_that_breaks_off_fails_and_the_next_one_does_not(tiny, tmp_path):
    first, last = sound(tmp_path / "a.wav", 1), sound(tmp_path / "c.wav", 2)
    broken = sound(tmp_path / "b.wav", 3, seconds=80)
    data = bytearray(broken.read_bytes())
    data[-4000:-3996] = np.float32(np.nan).tobytes()
    broken.write_bytes(data)
    found = outcomes(tiny.load("loudness.tiny"), [first, broken, last])
    assert {name: outcome.status for name, outcome in found.items()} == {
        "a.wav": "ok",
        "b.wav": "failed",
        "c.wav": "ok",
    }
    assert "79.3" in found["b.wav"].reason


@pytest.mark.parametrize(
    ("stage", "wrong", "words"),
    [
        ("embed", lambda inner, inputs: inputs, "embed of wrong.tiny (plugin wrong): expected Output, got ndarray"),
        (
            "embed",
            lambda inner, inputs: Output(inner.embed(inputs).embeddings.astype(np.float64)),
            "embeddings: expected float32 (1, n), got float64 (1, 48)",
        ),
        (
            "postprocess",
            lambda inner, output: output.embeddings[:, :5],
            "rows: expected float32 (1, 48), got float32 (1, 5)",
        ),
        ("postprocess", lambda inner, output: None, "postprocess of wrong.tiny (plugin wrong): returned nothing"),
        (
            "preprocess",
            lambda inner, *values: Windows(np.zeros((1, 3), np.float32)),
            "preprocess of wrong.tiny (plugin wrong): inputs: expected float32 (n, 16, 16, 3), got float32 (1, 3)",
        ),
    ],
)
def test_a_stage_that_breaks_its_contract_is_named_with_its_plugin(tiny, tmp_path, stage, wrong, words):
    name = stand(tiny, "wrong.tiny", **{stage: wrong})
    outcome = outcomes(tiny.load(name), [picture(tmp_path / "a.png")])["a.png"]
    assert outcome.status == "failed" and words in outcome.reason


def test_a_file_that_changed_since_it_was_hashed_is_refused(tiny, tmp_path):
    file = picture(tmp_path / "a.png")
    job = Job(Item(str(tmp_path), "a.png"), stat=(file.stat().st_size, file.stat().st_mtime_ns - 1))
    *_, outcome = events(tiny.load("colours.tiny"), [job])
    assert (outcome.status, outcome.reason) == ("failed", "changed while it was read; index it again")


def test_a_thousand_unreadable_files_do_not_wait_for_a_window(tiny, tmp_path):
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


def test_nothing_to_embed_gives_nothing(tiny):
    assert events(tiny.load("colours.tiny"), []) == []


def test_flags_and_seconds_say_what_was_in_a_recording(tiny, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "still.wav", np.zeros(3200, np.float32), 1600)
    short = sound(tmp_path / "short.wav", 1, seconds=0.4)
    slow = sound(tmp_path / "slow.wav", 1, seconds=2, rate=1000)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 1600)
    files = [tmp_path / "still.wav", short, slow, tmp_path / "none.wav"]
    found = outcomes(tiny.load("loudness.tiny"), files)
    assert found["still.wav"].flags == ("silent",) and found["still.wav"].seconds == 2
    assert found["short.wav"].flags == ("padded",) and found["short.wav"].seconds == pytest.approx(0.4)
    assert "resampled-up" in found["slow.wav"].flags
    assert (found["none.wav"].status, found["none.wav"].reason) == ("no-windows", "no samples")


def test_a_part_of_a_recording_is_framed_anew_with_the_seconds_of_the_whole(tiny, tmp_path):
    file = sound(tmp_path / "dog.wav", 4, seconds=6)
    model = tiny.load("loudness.tiny")
    from sightsound import media

    _, expected, _ = model.rows(media.read_sound(file, 1600)[round(1.3 * 1600) : round(3.1 * 1600)])
    with embed_items(model, [Job(Item(str(tmp_path), "dog.wav"), 1.3, 3.1)]) as items:
        (rows,) = items
    np.testing.assert_array_equal(rows.embeddings, expected)
    np.testing.assert_allclose(rows.spans, [[1.3, 2.3], [1.8, 2.8], [2.3, 3.1]])


# -- stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 9])
def test_leaving_the_context_early_stops_the_threads(tiny, tmp_path, count):
    read = []

    def preprocess(inner, media, start, last):
        read.append(start)
        return inner.preprocess(media, start, last)

    files = sounds(tmp_path, 60, seconds=5)
    name = stand(tiny, "slow.tiny", "loudness.tiny", preprocess=preprocess, embed=slowly)
    with embed_stream(tiny.load(name), jobs(files)) as running:
        for _ in range(count):
            next(running)
    assert threads() == []
    assert len(read) < 60, "files that nobody waits for are not read"


def test_an_error_of_whoever_makes_the_jobs_comes_through_and_stops_the_threads(tiny, tmp_path):
    files = pictures(tmp_path, 20)

    def broken():
        yield from jobs(files)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        events(tiny.load("colours.tiny"), broken())
    assert threads() == []


@pytest.mark.parametrize("stage", ["preprocess", "embed"])
def test_a_plugin_that_calls_exit_does_not_hang_the_pipeline(tmp_path, stage):
    picture(tmp_path / "a.png")
    program = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "dists" / "tiny")]!r}
import sightsound_tiny, made
from sightsound import Host, embed
host = Host(installed=False)
host.register(sightsound_tiny, "tiny")
made.stand(host, "exits.tiny", {stage}=lambda inner, *values: sys.exit(3))
list(embed({str(tmp_path)!r}, "exits.tiny", host=host))
"""
    try:
        subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=15, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail(f"sys.exit in {stage} hangs the pipeline")


@pytest.mark.parametrize("reads", range(1, 16))
def test_a_batch_size_that_shrinks_at_any_moment_loses_and_repeats_no_window(tiny, tmp_path, reads, monkeypatch):
    """A worker that runs out of memory halves the size while the next batch is being filled."""
    times = 0

    def size(self):
        nonlocal times
        times += 1
        return 8 if times <= reads else 3

    monkeypatch.setattr(Batcher, "size", property(size, lambda self, value: None), raising=False)
    files = sounds(tmp_path, 5, seconds=3)
    found = flat(tiny.load("loudness.tiny"), files)
    monkeypatch.undo()
    assert found == flat(tiny.load("loudness.tiny"), files)
