"""The two plugins as the host sees them."""

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

import reference
from audioset_data import cosines
from sightsound import Card, Host
from sightsound.testing import CHECKS, NotApplicable, Subject
from sightsound_audioset import vggish, yamnet
from sightsound_audioset.classes import classes

CARDS = [vggish.F32, yamnet.F32, yamnet.I8]


def test_the_host_finds_both_plugins_and_their_three_cards():
    rows = {row.name: row for row in Host().plugins if row.distribution == "sightsound-audioset"}
    assert {name: row.status for name, row in rows.items()} == {"vggish": "ok", "yamnet": "ok"}
    assert rows["vggish"].embedders == ("vggish.audioset_f32",)
    assert rows["yamnet"].embedders == ("yamnet.audioset_f32", "yamnet.audioset_i8")


def test_importing_the_plugins_imports_no_framework():
    program = "import sys, sightsound_audioset.vggish, sightsound_audioset.yamnet; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "h5py", "tflite", "scipy", "tensorflow", "openvino"} & set(loaded)


@pytest.mark.parametrize(
    "name", ["vggish.audioset_f32[pca]", "vggish.audioset_f32[8bit, pca]", *(c.name for c in CARDS)]
)
def test_cards_survive_json(name):
    card = Host().card(name)
    assert Card.from_json(card.to_json()) == card


def test_options_are_part_of_the_name_and_the_constants():
    host = Host()
    names = ["vggish.audioset_f32", "vggish.audioset_f32[pca]", "vggish.audioset_f32[pca,8bit]"]
    cards = [host.card(name) for name in names]
    assert [card.name for card in cards] == names
    assert len({str(card.constants) for card in cards}) == 3
    assert [len(card.weights) for card in cards] == [1, 2, 2]


def test_labels_are_the_521_classes_in_order():
    assert len(classes()) == len(yamnet.F32.labels) == 521
    assert [label.index for label in classes()] == list(range(521))
    assert (classes()[0].mid, classes()[0].name) == ("/m/09x0r", "Speech")
    assert yamnet.F32.labels[-1] == "Field recording"


def test_labels_are_those_of_the_class_map(shared):
    with (shared / "weights/yamnet/yamnet_class_map.csv").open(newline="") as table:
        assert [(row.mid, row.name) for row in classes()] == [
            (row["mid"], row["display_name"]) for row in csv.DictReader(table)
        ]


@pytest.fixture(scope="module")
def embedders(tflite_file, tmp_path_factory):
    """YAMNet with seeded float32 weights, and the int8 build."""
    path = tmp_path_factory.mktemp("weights") / "yamnet.h5"
    with h5py.File(path, "w") as file:
        for name, values in reference.yamnet_weights().items():
            file[name] = values
    return [yamnet.load_f32("cpu", {"yamnet.h5": path}), yamnet.load_i8("cpu", {"yamnet.tflite": tflite_file})]


def test_batches_of_any_size_give_the_same_rows(embedders):
    inputs = reference.patches(64)
    for embedder in embedders:
        whole = embedder.embed(inputs).embeddings
        for size in (1, 2, 5, 16):
            parts = np.concatenate([embedder.embed(inputs[i : i + size]).embeddings for i in range(0, 32, size)])
            assert cosines(parts[:32], whole[:32]).min() > 0.999999


def test_int8_rows_are_the_same_to_the_last_step_in_any_batch(embedders):
    inputs = reference.patches(24)
    whole = embedders[1].embed(inputs).embeddings
    parts = np.concatenate([embedders[1].embed(inputs[i : i + 3]).embeddings for i in range(0, 24, 3)])
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_rows(embedders, threads):
    import torch

    inputs, before = reference.patches(20), torch.get_num_threads()
    for embedder in embedders:
        whole = embedder.embed(inputs).embeddings
        with ThreadPoolExecutor(threads) as pool:
            outputs = list(pool.map(embedder.embed, np.split(inputs, 5)))
        assert cosines(np.concatenate([output.embeddings for output in outputs]), whole).min() > 0.999999
        try:
            torch.set_num_threads(threads)
            assert cosines(embedder.embed(inputs).embeddings, whole).min() > 0.999999
        finally:
            torch.set_num_threads(before)


@pytest.fixture(scope="module")
def subject(tflite_file):
    return Subject("yamnet.audioset_i8", host=Host(weights=[tflite_file]))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_default_sound_model_conforms(subject, check):
    try:
        check(subject)
    except NotApplicable as reason:
        pytest.skip(str(reason))
