"""Batches: filled across files, halved where they do not fit, and inputs that the network fails on."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from made import register_variant, write_image, write_sound
from pipeline_runs import flat_events, jitter, outcomes_of, pictures, sounds
from sightsound import Output, PluginError, SightsoundError, Windows, hookimpl, media
from sightsound.pipeline.batches import Batcher


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


# -- what a batch holds --------------------------------------------------------------------------------------------


def test_batches_are_filled_across_files(tiny, tmp_path, spy):
    flat_events(tiny.load("colours.tiny"), pictures(tmp_path, 10), batch_size=4)
    assert sorted(spy.sizes) == [2, 4, 4]


def test_batches_of_windows_are_filled_across_recordings(tiny, tmp_path, spy):
    flat_events(tiny.load("loudness.tiny"), sounds(tmp_path, 5, seconds=2), batch_size=8)
    assert sorted(spy.sizes) == [7, 8], "five recordings of three windows"


def test_what_a_batch_holds_does_not_depend_on_timing(tiny, tmp_path, spy):
    files = sounds(tmp_path, 20)
    flat_events(tiny.load("loudness.tiny"), files, batch_size=5)
    calm, spy.batches = sorted(batch.tobytes() for batch in spy.batches), []
    flat_events(
        tiny.load(register_variant(tiny, "jitter.tiny", "loudness.tiny", workers=3, **jitter(9))), files, batch_size=5
    )
    assert sorted(batch.tobytes() for batch in spy.batches) == calm


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_any_batch_size_gives_the_same_rows(tiny, tmp_path, size):
    files = sounds(tmp_path, 6)
    model = tiny.load("loudness.tiny")
    assert flat_events(model, files, batch_size=size) == flat_events(model, files)


# -- memory --------------------------------------------------------------------------------------------------------


def test_a_batch_that_does_not_fit_in_memory_is_halved_with_a_warning(tiny, tmp_path, caplog):
    fitted = []

    def embed(inner, inputs):
        if len(inputs) > 3:
            raise MemoryError("the device has 3 places")
        fitted.append(len(inputs))
        return inner.embed(inputs)

    files = pictures(tmp_path, 100)
    name = register_variant(tiny, "narrow.tiny", batch_size=8, workers=1, embed=embed)
    with caplog.at_level(logging.WARNING, "sightsound"):
        found = flat_events(tiny.load(name), files)
    assert found == flat_events(tiny.load("colours.tiny"), files)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 inputs at once; going on with 4 (the device has 3 places)",
        "out of memory with 4 inputs at once; going on with 2 (the device has 3 places)",
    ]
    assert set(fitted[-6:-1]) == {2}, "later batches have the size that fits"


def test_an_input_that_never_fits_in_memory_fails_its_item_alone(tiny, tmp_path):
    bad = write_image(tmp_path / "005.png", 5)
    bright = tiny.load("colours.tiny").preprocess(np.asarray(_pixels(bad))).inputs[0]

    def embed(inner, inputs):
        if any(np.array_equal(row, bright) for row in inputs):
            raise MemoryError("no room")
        return inner.embed(inputs)

    files = pictures(tmp_path, 12)
    found = outcomes_of(tiny.load(register_variant(tiny, "narrow.tiny", batch_size=8, embed=embed)), files)
    assert [name for name, outcome in found.items() if outcome.status == "failed"] == ["005.png"]
    assert "no room" in found["005.png"].reason


def _pixels(file):

    return media.read_image(file).pixels


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
    found = flat_events(tiny.load("loudness.tiny"), files)
    monkeypatch.undo()
    assert found == flat_events(tiny.load("loudness.tiny"), files)


# -- memory of the embedder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("like", ["colours.tiny", "loudness.tiny"])
@pytest.mark.parametrize("stage", ["embed", "postprocess"])
def test_an_embedder_that_writes_all_outputs_to_one_buffer_gives_the_right_rows(tiny, tmp_path, like, stage):
    """As a runtime does whose outputs are bound to a piece of memory."""
    files = pictures(tmp_path, 30) if like == "colours.tiny" else sounds(tmp_path, 10)
    kept = {}

    def bound(name, array):
        buffer = kept.setdefault(name, np.zeros((64, array.shape[1]), np.float32))
        buffer[:] = np.nan
        buffer[: len(array)] = array
        return buffer[: len(array)]

    def embed(inner, inputs):
        output = inner.embed(inputs)
        scores = None if output.scores is None else bound("scores", output.scores)
        return Output(bound("embeddings", output.embeddings), scores)

    def postprocess(inner, output):
        return bound("rows", inner.postprocess(output))

    stages = {"embed": embed} if stage == "embed" else {"postprocess": postprocess}
    name = register_variant(tiny, "bound.tiny", like, workers=1, batch_size=4, **stages)
    assert flat_events(tiny.load(name), files) == flat_events(tiny.load(like), files)


def test_the_pipeline_copies_each_row_once(tiny, tmp_path, monkeypatch):
    """What it costs that an embedder may write to one buffer, as bytes of a run of 30 images."""
    copied = []

    class Counted(np.ndarray):
        def copy(self, order="C"):
            copied.append(self.nbytes)
            return np.array(self)

    def embed(inner, inputs):
        return Output(inner.embed(inputs).embeddings.view(Counted))

    name = register_variant(tiny, "counted.tiny", embed=embed)
    flat_events(tiny.load(name), pictures(tmp_path, 30))
    assert sum(copied) == 30 * tiny.card("colours.tiny").dim * 4


# -- attributes of the embedder ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": "two"}, {"workers": 0}, {"workers": "two"}])
def test_a_wrong_attribute_ends_the_run_before_anything_is_read(tiny, tmp_path, wrong):
    files = pictures(tmp_path, 3)
    assert flat_events(tiny.load(register_variant(tiny, "fine.tiny")), files)
    (attribute,) = wrong
    with pytest.raises(PluginError, match=rf"wrong.tiny \(plugin wrong\): {attribute}: expected a whole number"):
        flat_events(tiny.load(register_variant(tiny, "wrong.tiny", **wrong)), files)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_below_1_is_refused(tiny, tmp_path, size):
    with pytest.raises(SightsoundError, match=f"batch_size: expected a whole number from 1, got {size}"):
        flat_events(tiny.load("colours.tiny"), pictures(tmp_path, 3), batch_size=size)


# -- failures ------------------------------------------------------------------------------------------------------


def poisoned(like, file, spoil):
    """An embed that treats the second window of `file` (or the only one) as `spoil(inner, inputs, i)` says."""

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
    good = [event for event in flat_events(model, files, batch_size=size) if event[0] != bad.name]
    broken = tiny.load(register_variant(tiny, "broken.tiny", like, embed=poisoned(model, bad, spoil)))
    found = flat_events(broken, files, batch_size=size)
    assert [event for event in found if event[0] != bad.name] == good
    assert [event for event in found if event[0] == bad.name][-1] == (bad.name, "failed", ())


def test_the_reason_and_the_note_name_stage_model_plugin_and_file(tiny, tmp_path):
    file = write_sound(tmp_path / "dog.wav", 1, seconds=3)
    model = tiny.load("loudness.tiny")
    name = register_variant(tiny, "broken.tiny", "loudness.tiny", embed=poisoned(model, file, raises))
    outcome = outcomes_of(tiny.load(name), [file])["dog.wav"]
    assert outcome.error.__notes__ == ["while embedding dog.wav with broken.tiny"]
    assert outcome.reason.startswith("embed of broken.tiny (plugin broken): ValueError: a number too far")
    assert isinstance(outcome.error.__cause__, ValueError)


def test_two_items_that_fail_in_one_batch_each_get_their_own_note(tiny, tmp_path):
    def embed(inner, inputs):
        raise ValueError("always")

    files = pictures(tmp_path, 5)
    found = outcomes_of(tiny.load(register_variant(tiny, "broken.tiny", batch_size=8, embed=embed)), files)
    for file in files:
        assert found[file.name].error.__notes__ == [f"while embedding {file.name} with broken.tiny"]


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
    name = register_variant(tiny, "wrong.tiny", **{stage: wrong})
    outcome = outcomes_of(tiny.load(name), [write_image(tmp_path / "a.png")])["a.png"]
    assert outcome.status == "failed" and words in outcome.reason
