"""Recommended methods and the measurements behind them."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

import made
from sightsound import Labels, SightsoundError, advise, index, load_dataset
from sightsound.learn.near_duplicates import near_duplicates
from sightsound.learn.suggestions import MIN_CLASS_ITEMS, MIN_ITEMS
from sightsound.library.duplicates import pairs as module

pytestmark = pytest.mark.usefixtures("few_strengths")


def load(place, *models, **options):
    return [load_dataset(place, model, **options) for model in models]


def of(found, method):
    return next(each for each in found.suggestions if each.method == method)


def grown(data, times, noise, seed=0):
    """Return a data set with many times the items, each with noise."""
    random = np.random.default_rng(seed)
    X = np.concatenate([data.X + noise * random.normal(size=data.X.shape) for _ in range(times)]).astype(np.float32)
    n = len(X)
    items = tuple(dataclasses.replace(data.items[i % len(data.items)], id=i + 1) for i in range(n))
    ids = np.arange(n).astype(np.uint64)
    return dataclasses.replace(
        data, X=X, y=np.tile(data.y, times), items=items, item_index=np.arange(n), groups=np.arange(n), content_ids=ids
    )


def test_few_items_call_for_features_and_a_linear_classifier(coloured):
    found = advise(load(coloured, "colours.tiny", "tints.tiny"))
    assert found.best.method == "features and a linear classifier" and found.best.rank == 1
    assert "has 12 items, under 20" in found.best.reason
    assert found.counts[0][1] == 12 and found.imbalance == 1
    assert [network.model for network in found.networks] in (
        ["colours.tiny", "tints.tiny"],
        ["tints.tiny", "colours.tiny"],
    )
    assert found.networks[0].probe.value >= found.networks[1].probe.value and found.networks[0].neighbours.value > 0.5
    assert "needs 20 items of each class and 1000 in all" in of(found, "fine-tuning").reason


@pytest.mark.slow
def test_many_items_and_a_moderate_accuracy_call_for_fine_tuning(coloured):
    (data,) = load(coloured, "colours.tiny")
    found = advise([grown(data, 30, 0.25)])
    assert sum(count for _, count in found.counts) >= MIN_ITEMS and min(n for _, n in found.counts) >= MIN_CLASS_ITEMS
    assert found.networks[0].probe.value < 0.98
    assert of(found, "fine-tuning").suits and not of(found, "features and a linear classifier").suits
    assert found.suggestions[0].suits and found.best.method != "features and a linear classifier"


@pytest.mark.slow
def test_a_task_far_from_that_of_the_network_is_worth_a_fine_tuning_with_fewer_items(coloured):
    (data,) = load(coloured, "colours.tiny")
    far = of(advise([grown(data, 12, 1.5)]), "fine-tuning")
    near = of(advise([grown(data, 12, 0.1)]), "fine-tuning")
    few = of(advise([grown(data, 6, 1.5)]), "fine-tuning")
    assert far.suits and "the network is far from this task" in far.reason
    assert not near.suits and not few.suits and "1000 in all" in near.reason


@pytest.mark.slow
def test_features_are_enough_if_the_accuracy_is_high(coloured):
    (data,) = load(coloured, "colours.tiny")
    means = {name: data.X[data.y == name].mean(axis=0) for name in data.classes}
    easy = dataclasses.replace(data, X=np.stack([means[name] for name in data.y.tolist()]))
    found = advise([grown(easy, 30, 0.001)])
    assert found.best.method == "features and a linear classifier" and "little is left to gain" in found.best.reason
    assert not of(found, "fine-tuning").suits and not of(found, "more data").suits


@pytest.mark.slow
def test_an_accuracy_near_chance_calls_for_earlier_layers(coloured):
    (data,) = load(coloured, "colours.tiny")
    many = grown(data, 6, 0.0)
    random = np.random.default_rng(0)
    noise = dataclasses.replace(many, X=random.normal(size=many.X.shape).astype(np.float32))
    found = of(advise([noise]), "earlier layers")
    assert found.suits and "little better than saying the commonest class" in found.reason


def test_a_layer_that_is_measured_to_be_better_is_recommended(coloured):
    (data,) = load(coloured, "colours.tiny")
    random = np.random.default_rng(0)
    noise = dataclasses.replace(data, X=random.normal(size=data.X.shape).astype(np.float32))
    space = dataclasses.replace(data.feature_spec.space, name="colours.tiny[layer=a]")
    layer = dataclasses.replace(data, feature_spec=dataclasses.replace(data.feature_spec, space=space))
    found = of(advise([noise, layer]), "earlier layers")
    assert found.suits and found.reason.startswith("colours.tiny[layer=a] reaches")
    assert not of(advise([data, dataclasses.replace(noise, feature_spec=layer.feature_spec)]), "earlier layers").suits


@pytest.mark.slow
def test_networks_that_complement_each_other_call_for_stacking(coloured):
    (data,) = load(coloured, "colours.tiny")
    random = np.random.default_rng(0)
    y = np.eye(3)[np.unique(grown(data, 20, 0).y, return_inverse=True)[1]]
    parts = []
    for i in range(3):
        X = (y @ random.normal(size=(3, 6)) + 1.5 * random.normal(size=(len(y), 6))).astype(np.float32)
        space = dataclasses.replace(data.feature_spec.space, name=f"part{i}.x")
        parts.append(
            dataclasses.replace(
                grown(data, 20, 0), X=X, feature_spec=dataclasses.replace(data.feature_spec, space=space)
            )
        )
    found = advise(parts)
    assert of(found, "stacking").suits and found.average_gain.low > 0
    assert "index with another" in of(advise(parts[:1]), "stacking").reason


def test_near_duplicates_with_different_classes_are_found(tiny, shades, tmp_path):
    pixels = np.asarray(Image.open(shades / "red" / "0.png")).astype(int)
    Image.fromarray((pixels + 1).clip(0, 255).astype(np.uint8)).save(shades / "blue" / "again.png")
    index(shades, tmp_path / "lib", models=["tints.tiny"], host=_with_tints(tiny), label_from="folder")
    found = near_duplicates(load(tmp_path / "lib", "tints.tiny"))
    pair = next(each for each in found if {each.first.path, each.second.path} == {"red/0.png", "blue/again.png"})
    assert pair.across == "classes" and pair.similarity > 0.99 and set(pair.classes) == {"red", "blue"}


def test_near_duplicates_in_different_official_folds_are_found(tiny, shades, tmp_path):
    pixels = np.asarray(Image.open(shades / "red" / "0.png")).astype(int)
    Image.fromarray((pixels + 1).clip(0, 255).astype(np.uint8)).save(shades / "red" / "again.png")
    index(shades, tmp_path / "lib", models=["tints.tiny"], host=_with_tints(tiny))
    names = [f"{name}/{i}.png,{name},{i % 2}" for name in ("red", "blue") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,kind,part\n" + "\n".join([*names, "red/again.png,red,1"]))
    labels = Labels(str(tmp_path / "t.csv"), "kind", fold_column="part")
    found = near_duplicates(load(tmp_path / "lib", "tints.tiny", labels=labels))
    assert any({p.first.path, p.second.path} == {"red/0.png", "red/again.png"} and p.across == "folds" for p in found)


@pytest.mark.parametrize("networks", [1, 2])
def test_near_duplicates_of_many_items_are_those_of_all_pairs(monkeypatch, coloured, networks):
    """Of 600 items 40 are repeated with noise, some of them beyond the least similarity."""
    random = np.random.default_rng(0)
    (data,) = load(coloured, "colours.tiny")
    sets = []
    for _ in range(networks):
        X = random.normal(size=(600, 24))
        X[560:] = X[:40] + np.linspace(0, 0.6, 40)[:, None] * random.normal(size=(40, 24))
        items = tuple(dataclasses.replace(data.items[0], id=i + 1, path=f"{i}.png") for i in range(600))
        sets.append(dataclasses.replace(data, X=X.astype(np.float32), y=np.arange(600) // 50 % 3, items=items))
    expected = near_duplicates(sets)
    monkeypatch.setattr(module, "_ROWS", 64)
    monkeypatch.setattr(module, "_OTHERS", 100)
    monkeypatch.setattr(module, "_PAIRS", 7)
    found = near_duplicates(sets)
    assert 10 < len(expected) < 40 and [(p.first.id, p.second.id) for p in found] == [
        (p.first.id, p.second.id) for p in expected
    ]
    assert [p.similarity for p in found] == pytest.approx([p.similarity for p in expected], abs=1e-6)


def _with_tints(host):
    made.register_tints(host)
    return host


def test_windows_and_an_empty_list_are_refused(rhythms):
    with pytest.raises(SightsoundError, match="advise: expected items with one class each, of one network or more"):
        advise(load(rhythms, "loudness.tiny", level="window"))
    with pytest.raises(SightsoundError, match="advise: expected items"):
        advise([])


def test_the_imbalance_of_the_classes_is_measured(tiny, shades, tmp_path):
    for i in range(6, 12):
        (shades / "red" / f"{i}.png").unlink()
    shutil.rmtree(shades / "green")
    index(shades, tmp_path / "lib", models=["colours.tiny"], host=tiny, label_from="folder")
    found = advise(load(tmp_path / "lib", "colours.tiny"))
    assert found.counts == (("blue", 12), ("red", 6)) and found.imbalance == 2


def test_classes_that_cannot_be_held_out_get_one_line_and_not_a_failed_assertion(coloured):
    few = [data.subset([0, 12, 13, 24]) for data in load(coloured, "colours.tiny", "tints.tiny")]
    with pytest.raises(
        SightsoundError, match="advise: expected two classes with two items or more, got fewer; label som"
    ):
        advise(few)
