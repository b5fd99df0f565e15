"""Fine-tuning: what is frozen stays as it was, the result is a model, and the same seed gives the same."""

from __future__ import annotations

import csv
import dataclasses
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import made
from distributions import DISTS
from sightsound import Host, Labels, SightsoundError, classify_image, index
from sightsound.learn.finetune import finetune, write_log
from sightsound.learn.finetune_search import Grid
from sightsound.learn.training_set import training_set
from sightsound.torch.examples import NONE, Augmentation, changed_sound, masked, moved_images
from sightsound.torch.fitting import FirstOutputs, Fit
from sightsound.torch.training import TrainingSettings, frozen_layers

sys.path.insert(0, str(DISTS / "small"))
import sightsound_small
from sightsound_small import IMAGE, SIZE, Small

pytestmark = pytest.mark.usefixtures("few_strengths")


def new_host():
    host = Host(installed=False)
    host.register(sightsound_small, "small")
    host.reload_models()
    return host


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    return new_host()


@pytest.fixture
def woven(tmp_path):
    """Pictures of three classes, 30 each: faint rows, faint columns, and noise alone."""
    random, at = np.random.default_rng(0), np.arange(SIZE)
    waves = {"columns": np.cos(np.pi * at)[None], "noise": np.zeros((1, 1)), "rows": np.cos(np.pi * at)[:, None]}
    for name, wave in waves.items():
        (tmp_path / "woven" / name).mkdir(parents=True)
        for i in range(30):
            grey = 128 + 12 * random.choice([-1, 1]) * wave + random.normal(0, 40, (SIZE, SIZE))
            shades = np.clip(grey, 0, 255).astype(np.uint8)
            Image.fromarray(shades).convert("RGB").save(tmp_path / "woven" / name / f"{i}.png")
    return tmp_path / "woven"


LONG = TrainingSettings(epochs=12, learning_rate=0.05, backbone_factor=0.2, batch_size=8)
FAST = TrainingSettings(epochs=4, learning_rate=0.02, backbone_factor=0.5, batch_size=8)


def tuned(host, source, name="mine", **how):
    how = {"settings": FAST, "freeze_until": 0.5, "augmentation": NONE, "patience": 12, "progress": False, **how}
    return finetune(source, how.pop("model", "small.acme"), name, host=host, **how)


def states(host, name):
    return {key: each.clone() for key, each in host.load(name).embedder.module().state_dict().items()}


def test_a_fine_tuned_network_is_a_model_with_the_new_classes(host, woven, tmp_path):
    done = tuned(host, woven, settings=LONG)
    assert (done.card.labels, done.parent) == (("columns", "noise", "rows"), "small.acme")
    assert (done.items, done.held_out) == (72, 18)
    assert done.accuracy.value > done.probe.value > 0.5 and done.best > 0
    again = new_host()
    files = sorted(woven.rglob("*.png"))
    right = [classify_image(file, "mine", host=again).top[0].label == file.parent.name for file in files]
    assert np.mean(right) > done.probe.value
    assert again.space("mine") != again.space("small.acme")
    assert again.card("mine").constants["parent_fingerprint"] == again.space("small.acme").fingerprint
    write_log(done, tmp_path / "log.csv")
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [int(row["number"]) for row in rows] == [each.number for each in done.epochs]


class Noise:
    """Examples whose class no linear classifier of the network knows at first."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.images = random.normal(size=(24, 1, 3, SIZE, SIZE)).astype(np.float32)
        self.targets = np.arange(24) % 2
        self.images[self.targets == 1, :, :, ::2] *= 3
        self.asked: list[tuple[int, bool]] = []

    def __len__(self):
        return len(self.images)

    def inputs(self, item, random):
        self.asked.append((item, random is not None))
        return self.images[item]

    change_at_random = True


def test_frozen_layers_and_their_statistics_stay_bit_equal():
    module, examples = Small(IMAGE, "cpu").module(), Noise()
    before = {key: each.clone() for key, each in module.state_dict().items()}
    items = list(range(24))
    fit = Fit(
        module=module,
        make_head=lambda rows, targets: nn.Linear(6, 2),
        examples=examples,
        targets=examples.targets,
        train=items[:16],
        held_out=items[16:],
        until="3",
        settings=dataclasses.replace(LONG, learn_statistics=True),
        outputs=FirstOutputs(lambda array: array),
        patience=9,
    )
    assert fit.run(lambda epoch: None, lambda: False)
    after = module.state_dict()
    assert fit.best > 0, "it has learnt something"
    assert {item for item, changed in examples.asked if changed} == set(items[:16]), "no held-out item is changed"
    assert set(items[16:]) <= {item for item, changed in examples.asked if not changed}
    frozen = [key for key in before if key.startswith(("0.", "1."))]
    assert len(frozen) == 7
    assert all(torch.equal(before[key], after[key]) for key in frozen)
    assert not torch.equal(before["3.weight"], after["3.weight"])
    assert not torch.equal(before["4.running_mean"], after["4.running_mean"])


def test_where_no_epoch_is_more_accurate_than_the_probe_the_network_is_as_it_was(host, shades):
    done = tuned(host, shades, settings=dataclasses.replace(FAST, learning_rate=1e-9))
    assert done.best == 0 and done.accuracy == done.probe and len(done.epochs) > 1
    before, after = states(host, "small.acme"), states(host, "mine")
    assert all(torch.equal(before[key], after[key]) for key in before)
    items = sorted(shades.rglob("*.png"))
    found = [classify_image(file, "mine", host=new_host()).top[0].label == file.parent.name for file in items]
    assert np.mean(found) > done.probe.value - 0.1, "its head is a probe of all items"


def test_with_all_frozen_only_the_head_learns(host, shades):
    tuned(host, shades, freeze_until=1.0)
    before, after = states(host, "small.acme"), states(host, "mine")
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_others(host, woven):
    tuned(host, woven, "one", settings=LONG)
    tuned(host, woven, "two", settings=LONG)
    tuned(host, woven, "three", settings=dataclasses.replace(LONG, seed=1))
    one, two, three = (states(host, name) for name in ("one", "two", "three"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], three[key]) for key in one)


@pytest.mark.parametrize("batches", [30, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 8, 9, 100))])
def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(host, woven, tmp_path, batches):
    how = {"settings": LONG, "augmentation": Augmentation(rotate=0)}
    whole = tuned(host, woven, "whole", **how)
    left = iter(range(batches))
    stopped = tuned(
        host, woven, "resumed", checkpoint=tmp_path / "at.safetensors", stopped=lambda: next(left, None) is None, **how
    )
    assert stopped is None and "resumed" not in host.cards
    resumed = tuned(host, woven, "resumed", checkpoint=tmp_path / "at.safetensors", **how)
    assert resumed.epochs[1:] == whole.epochs[1:] and resumed.accuracy == whole.accuracy
    before, one, two = states(host, "small.acme"), states(host, "whole"), states(host, "resumed")
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert whole.best == 0 or not all(torch.equal(one[key], before[key]) for key in one)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(host, shades, tmp_path):
    at = tmp_path / "at.safetensors"
    assert tuned(host, shades, checkpoint=at, stopped=lambda: True) is None
    whole = at.read_bytes()
    (tmp_path / "other").touch()
    assert at.stat().st_mode == (tmp_path / "other").stat().st_mode
    with pytest.raises(SightsoundError, match="at.safetensors: is the checkpoint of another training"):
        tuned(host, shades, checkpoint=at, freeze_until=0.2)
    (shades / "red" / "0.png").unlink()
    with pytest.raises(SightsoundError, match="is the checkpoint of another training"):
        tuned(host, shades, checkpoint=at)
    for damaged in (whole[:1000], b"", b"no safetensors at all"):
        at.write_bytes(damaged)
        with pytest.raises(SightsoundError, match=r"at.safetensors: expected a checkpoint .*; remove it"):
            tuned(host, shades, checkpoint=at)
    assert "mine" not in host.cards


@pytest.mark.slow
def test_depth_and_rate_are_searched_by_cross_validation(host, woven):
    grid = Grid(freeze_until=(1.0, 0.5), learning_rate=(1e-9, 0.05), folds=2)
    done = tuned(host, woven, search=grid, settings=LONG)
    found = [(each.freeze_until, each.learning_rate) for each in done.candidates]
    assert found == [(1.0, 1e-9), (1.0, 0.05), (0.5, 1e-9), (0.5, 0.05)]
    chosen = max(done.candidates, key=lambda each: (each.accuracy.value, -each.loss))
    assert chosen.learning_rate == 0.05 and chosen.epoch > 0, "a rate of nothing does not win"
    assert done.freeze_until == chosen.freeze_until
    assert max(each.rate for each in done.epochs) > 0.01
    assert all(each.accuracy.low <= each.accuracy.value <= each.accuracy.high for each in done.candidates)
    stopped = iter(range(5))
    assert tuned(host, woven, "other", search=grid, stopped=lambda: next(stopped, None) is None) is None


def test_items_of_a_group_are_on_one_side(host, shades, tmp_path):
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "group"])
        for each in sorted(shades.rglob("*.png")):
            name = each.parent.name
            rows.writerow([each.relative_to(shades), name, f"{name}{int(each.stem) // 4}"])
    index(shades, tmp_path / "lib", models=["small.acme"], host=host)
    loaded = host.load("small.acme")
    given = training_set(
        tmp_path / "lib",
        loaded,
        Labels(str(table), group_column="group"),
        balanced=True,
        seed=0,
        host=host,
        folder=tmp_path,
        progress=False,
    )
    train, held_out = given.sides(0)
    assert len(held_out) >= 4 and len(train) + len(held_out) == 36
    assert not {*given.groups[train]} & {*given.groups[held_out]}


def test_sounds_are_fine_tuned_too(host, tmp_path):
    for kind, name in enumerate(("first", "second")):
        for i in range(10):
            made.write_rhythm(tmp_path / "rhythms" / name / f"{i}.wav", kind, 10 * kind + i)
    done = tuned(host, tmp_path / "rhythms", model="heard.acme")
    assert done.card.modality == "sound" and done.card.labels == ("first", "second")
    scores = new_host().load("mine").rows(np.zeros(2000, np.float32))[2]
    assert scores.shape == (3, 2) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_library_with_labels_is_a_source_and_a_bad_file_is_left_out(host, shades, tmp_path):
    index(shades, tmp_path / "lib", models=["small.acme"], host=host, label_from="folder")
    (shades / "red" / "0.png").write_bytes(b"gone bad")
    done = tuned(host, tmp_path / "lib", labels=Labels())
    assert done.items + done.held_out == 35
    assert any("0.png" in note for note in done.notes)


def test_what_cannot_be_trained_is_refused_in_one_line(host, tiny, shades, tmp_path):
    def refused(message, *, of=host, source=shades, **how):
        with pytest.raises(SightsoundError, match=message) as raised:
            tuned(of, source, **how)
        assert "\n" not in str(raised.value)

    refused(
        r"colours.tiny: cannot be trained, since it has no module\(\) and derive\(\)", of=tiny, model="colours.tiny"
    )
    refused(r"small.acme: expected the name of a stage \(0, 1, 3, 4, 7\), got 'layer3'", freeze_until="layer3")
    (tmp_path / "one" / "red").mkdir(parents=True)
    made.write_image(tmp_path / "one" / "red" / "0.png", 0)
    refused("^one: expected items of 2 classes or more", source=tmp_path / "one")
    index(shades, tmp_path / "bare", models=["small.acme"], host=host)
    refused("label", source=tmp_path / "bare")
    for file in sorted((shades / "red").iterdir())[1:]:
        file.unlink()
    refused("red: expected two items or more of each class, got 1; add some, or leave the class out")
    made.write_image(shades / "red" / "more.png", 3)
    (shades / "red" / "0.png").write_bytes(b"gone bad")
    refused("red: expected two items or more of each class, got 1")
    (tmp_path / "empty").mkdir()
    refused("has no vectors|no space|expected", source=tmp_path / "empty")


def test_a_batch_that_does_not_fit_is_halved(host, shades, monkeypatch):
    sizes = []

    def forward(self, inputs, plain=nn.Sequential.forward):
        if self.training:
            sizes.append(len(inputs))
            if len(inputs) > 3:
                raise torch.OutOfMemoryError("too large")
        return plain(self, inputs)

    monkeypatch.setattr(nn.Sequential, "forward", forward)
    assert tuned(host, shades).epochs[-1].number > 0
    assert max(sizes) == 8 and sizes[-1] <= 3


def test_frozen_layers_by_proportion_and_by_name():
    network = nn.Sequential(
        nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 1)
    )
    assert [name for name, _ in frozen_layers(network, 0.5)] == ["0", "2.0"]
    assert [name for name, _ in frozen_layers(network, "2")] == ["0"]
    assert [name for name, _ in frozen_layers(network, "2.1")] == ["0", "2.0"]
    with pytest.raises(ValueError, match="from 0 to 1"):
        frozen_layers(network, 1.5)


def test_a_stage_has_the_name_of_the_network_itself_also_within_a_module_of_the_plugin():
    around = nn.ModuleDict({"network": nn.ModuleDict({"stem": nn.Linear(2, 2), "layer3": nn.Linear(2, 2)})})
    for name in ("layer3", "network.layer3"):
        assert [name for name, _ in frozen_layers(around, name)] == ["network.stem"]
    with pytest.raises(ValueError, match=r"expected the name of a stage \(stem, layer3\), got 'layer4'"):
        frozen_layers(around, "layer4")


def test_images_are_moved_and_mirrored_and_stay_without_a_change():
    random = np.random.default_rng(0)
    images = torch.rand(5, 3, 12, 12)
    same = moved_images(images, NONE, random)
    assert torch.allclose(same, images, atol=1e-5)
    flipped = moved_images(images, dataclasses.replace(NONE, flip=True), random)
    mirrored = [torch.allclose(one, two.flip(-1), atol=1e-5) for one, two in zip(flipped, images)]
    kept = [torch.allclose(one, two, atol=1e-5) for one, two in zip(flipped, images)]
    assert all(a != b for a, b in zip(mirrored, kept)) and any(mirrored)
    assert not torch.allclose(moved_images(images, Augmentation(), random), images, atol=1e-2)


def test_sounds_are_changed_in_their_loudness_and_mixed():
    random = np.random.default_rng(0)
    samples = np.sin(np.arange(2000) / 3).astype(np.float32)
    assert np.array_equal(changed_sound(samples, None, 1000, NONE, random), samples)
    louder = changed_sound(samples, None, 1000, dataclasses.replace(NONE, gain=6.0), random)
    assert 0.5 < abs(louder).max() / abs(samples).max() < 2
    mixed = changed_sound(
        samples, random.normal(size=500).astype(np.float32), 1000, dataclasses.replace(NONE, mix=1.0), random
    )
    noise = mixed - samples
    assert -20.1 < 10 * np.log10(np.mean(noise**2) / np.mean(samples**2)) < -9.9
    patches = random.normal(size=(3, 96, 64)).astype(np.float32)
    hidden = masked(patches, 2, random)
    assert hidden.shape == patches.shape and (hidden != patches).any() and (hidden == patches).mean() > 0.3
