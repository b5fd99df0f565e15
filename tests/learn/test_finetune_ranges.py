"""Fine-tuning on the windows of recordings that have labels of time ranges."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile
import torch

from distributions import DISTS
from sightsound import Host, Labels, SightsoundError, import_labels, index, media
from sightsound.learn.finetune import finetune
from sightsound.learn.training_set import training_set
from sightsound.torch.examples import NONE
from sightsound.torch.training import TrainingSettings

sys.path.insert(0, str(DISTS / "small"))
import sightsound_small

pytestmark = pytest.mark.usefixtures("few_strengths")

MODEL = "heard.acme"
RANGES = Labels(column="call", ranges=True, min_overlap=0.75)
FAST = TrainingSettings(epochs=4, learning_rate=0.02, backbone_factor=0.5, batch_size=8)


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    host = Host(installed=False)
    host.register(sightsound_small, "small")
    return host


@pytest.fixture
def mixed(host, tmp_path):
    """Ten recordings of 4 s: low hum or high hum in the first second, the other in the last, noise between."""
    random, at = np.random.default_rng(0), np.arange(2000) / 2000
    rows = ["path,start,stop,call"]
    (tmp_path / "in").mkdir()
    for i in range(10):
        hums = [np.sin(2 * np.pi * hertz * at + random.uniform(0, 6)) for hertz in (100, 700)]
        order = (0, 1) if i % 2 else (1, 0)
        parts = [hums[order[0]], np.zeros(4000), hums[order[1]]]
        samples = 0.3 * np.concatenate(parts) + random.normal(0, 0.05, 8000)
        soundfile.write(tmp_path / "in" / f"{i}.wav", samples.astype(np.float32), 2000, "FLOAT")
        rows += [f"{i}.wav,{start},{start + 1},{('low', 'high')[kind]}" for start, kind in zip((0, 3), order)]
    index(tmp_path / "in", tmp_path / "lib", models=[MODEL], host=host)
    (tmp_path / "r.csv").write_text("\n".join(rows) + "\n")
    import_labels(tmp_path / "r.csv", tmp_path / "lib")
    return tmp_path / "lib"


def tuned(host, source, name="mine", labels=RANGES, **how):
    how = {"settings": FAST, "augmentation": NONE, "patience": 9, "progress": False, **how}
    return finetune(source, MODEL, name, labels=labels, host=host, **how)


def test_windows_are_the_examples_and_those_of_a_recording_stay_together(host, mixed, tmp_path):
    given = training_set(
        mixed, host.load(MODEL), RANGES, balanced=True, seed=0, host=host, folder=tmp_path, progress=False
    )
    assert given.level == "window" and len(given.targets) == len(given.kept.arrays) == 60
    assert set(np.bincount(given.data.item_index)) == {6}, "three windows of half a second for each second"
    whole = {item.path: media.read_sound(item.file, 2000) for item in given.data.items}
    for number, (of, (start, stop)) in enumerate(zip(given.data.item_index, given.data.spans)):
        samples = whole[given.data.items[of].path]
        expected = given.model.preprocess(samples)
        at = np.flatnonzero(expected.spans[:, 0] == start)
        np.testing.assert_array_equal(given.kept.inputs(number), expected.inputs[at])
        assert expected.spans[at[0], 1] == stop
    for fold in range(5):
        train, held_out = given.sides(fold)
        assert held_out and not set(given.data.item_index[train]) & set(given.data.item_index[held_out])


def test_a_network_learns_the_labels_of_ranges(host, mixed):
    done = tuned(host, mixed)
    assert (done.level, done.items, done.held_out) == ("window", 48, 12)
    assert done.card.labels == ("high", "low") and done.accuracy.value == 1
    assert any("windows without a label left out" in note for note in done.notes)


def test_others_and_several_labels_are_learnt_too(host, mixed, tmp_path):
    (tmp_path / "loud.csv").write_text("path,start,stop,call\n" + "".join(
        f"{i}.wav,{start},{start + 1},{name}\n"
        for i in range(10)
        for start, name in ((0, "low" if i % 2 else "high"), (3, "high" if i % 2 else "low"), (0, "early"))
    ))  # fmt: skip
    import_labels(tmp_path / "loud.csv", mixed)
    labels = Labels(column="call", ranges=True, min_overlap=0.75, others="none", multi_label=True)
    done = tuned(host, mixed, labels=labels)
    assert done.card.labels == ("early", "high", "low", "none") and done.card.scores == "sigmoid"
    assert done.accuracy.value > 0.7


def test_a_stopped_training_goes_on_to_the_same_network(host, mixed, tmp_path):
    whole = tuned(host, mixed)
    steps = iter(range(99))
    at = tmp_path / "at.safetensors"
    assert tuned(host, mixed, "again", checkpoint=at, stopped=lambda: next(steps) == 9) is None
    done = tuned(host, mixed, "again", checkpoint=at)
    assert done.epochs[1:] == whole.epochs[1:] and done.best == whole.best
    first, second = (host.load(name).embedder.module().state_dict() for name in ("mine", "again"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(SightsoundError, match="is the checkpoint of another training"):
        tuned(host, mixed, "other", checkpoint=at, labels=Labels(column="call", ranges=True, min_overlap=0.5))


def test_a_file_that_became_shorter_is_left_out_and_named(host, mixed, tmp_path):
    samples, rate = soundfile.read(tmp_path / "in" / "3.wav")
    soundfile.write(tmp_path / "in" / "3.wav", samples[:3000], rate)
    done = tuned(host, mixed)
    assert any("3.wav: expected 4.00 s, got 1.50 s; index it again" in note for note in done.notes)
    assert done.items + done.held_out == 54


def test_what_cannot_be_learnt_is_refused_in_one_line(host, mixed, tmp_path):
    with pytest.raises(SightsoundError, match="column 'call': expected one of .*; it has labels of time ranges: use"):
        tuned(host, mixed, labels=Labels(column="call"))
    (tmp_path / "one.csv").write_text("path,start,stop,call\n0.wav,0,1,low\n0.wav,3,4,high\n" + "".join(
        f"{i}.wav,,,\n" for i in range(1, 10)
    ))  # fmt: skip
    import_labels(tmp_path / "one.csv", mixed)
    with pytest.raises(SightsoundError, match="class 'high': expected at least 2 items, one for each fold, got 1"):
        tuned(host, mixed)
    (tmp_path / "few.csv").write_text("path,start,stop,call\n0.wav,0,0.5,low\n0.wav,3,4,high\n1.wav,3,4,high\n")
    import_labels(tmp_path / "few.csv", mixed)
    with pytest.raises(SightsoundError, match="low: expected two windows or more of each class, got 1"):
        tuned(host, mixed)


def test_the_command_takes_windows(mixed, tmp_path, command, monkeypatch):
    words = ["finetune", "-m", MODEL, "--out", "mine", "--epochs", "2", "--no-augment", "--device", "cpu"]
    how = ["-l", mixed, "--label-column", "call", "--windows", "--min-overlap", "0.75"]
    done = command(*words, *how, plugins=("small",))
    assert done.returncode == 0, done.stderr
    assert "mine: 2 classes, from 48 windows and 12 held out; * is kept" in done.stdout
    shown = json.loads(command(*words, *how, "--replace", "--json", plugins=("small",)).stdout)
    assert (shown["level"], shown["items"]) == ("window", 48)
    done = command(*words, "--data", tmp_path / "in", "--windows", plugins=("small",))
    assert done.returncode == 2 and "--windows goes with --library" in done.stderr
