"""Data sets of a library: rows, labels, folds and groups, and what is left out."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import made
from sightsound import Labels, Library, SightsoundError, index, load_dataset, load_datasets
from sightsound.learn.dataset import align_datasets
from sightsound.linear.folds import count_split_groups


def load(place, model="colours.tiny", labels=None, **options):
    return load_dataset(place, model, labels, **options)


def table(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_the_stored_labels_are_the_classes(coloured):
    data = load(coloured)
    assert data.X.shape == (36, 48) and data.X.dtype == np.float32 and data.single
    assert data.classes == ("blue", "green", "red") and (data.y == "red").sum() == 12
    assert [item.path.split("/")[0] for item in data.items] == data.y.tolist()
    assert data.truth.sum(axis=0).tolist() == [12, 12, 12] and len(set(data.groups)) == 36
    assert data.model == "colours.tiny" and data.folds is None and data.notes == ()


def test_labels_come_from_folders_or_a_table_without_being_stored(tiny, shades, tmp_path):
    place = tmp_path / "bare"
    index(shades, place, models=["colours.tiny"], host=tiny)
    with pytest.raises(SightsoundError, match="labels: expected some in the library, found none; give --label-from"):
        load(place)
    assert load(place, labels=Labels("folder")).classes == ("blue", "green", "red")
    lines = [
        f"{name}/{i}.png,{'warm' if name == 'red' else 'cold'},{i % 3},{i // 2}"
        for name in ("red", "blue")
        for i in range(12)
    ]
    text = table(tmp_path / "t.csv", "path,feel,part,who", *lines, "gone.png,warm,0,0")
    data = load(place, labels=Labels(text, "feel", fold_column="part", group_column="who"))
    assert data.classes == ("cold", "warm") and len(data.X) == 24
    assert set(data.folds) == {"0", "1", "2"} and len(set(data.groups)) == 6
    assert data.notes == ("12 items without a label left out", "rows of the label table that mean no item: gone.png")
    with Library(place) as library:
        assert library.labels(1) == {}


def test_a_path_that_means_several_files_labels_none_of_them(tiny, shades, tmp_path):
    made.write_shade(tmp_path / "more" / "red" / "0.png", 2, 99)
    index([shades, tmp_path / "more"], tmp_path / "two", models=["colours.tiny"], host=tiny)
    lines = [f"{name}/{i}.png,{name}" for name in ("red", "blue") for i in range(12)]
    data = load(tmp_path / "two", labels=Labels(table(tmp_path / "t.csv", "path,label", *lines)))
    assert len(data.X) == 23
    assert data.notes[1].startswith("rows of the label table that mean no item: red/0.png: 2 files of this path; say")


def test_the_only_column_that_is_left_has_the_classes(coloured, tmp_path):
    text = table(tmp_path / "t.csv", "path,kind,part", "red/0.png,a,1", "red/1.png,b,2")
    assert load(coloured, labels=Labels(text, fold_column="part")).feature_spec.column == "kind"
    with pytest.raises(SightsoundError, match=r"columns \['kind', 'part'\]: expected one to have the classes; name it"):
        load(coloured, labels=Labels(text))
    with pytest.raises(SightsoundError, match=r"column 'sort': expected one of \['kind', 'part'\]; see --label-from"):
        load(coloured, labels=Labels(text, "sort"))


def test_windows_of_an_item_are_in_one_group(rhythms):
    data = load(rhythms, "loudness.tiny", level="window")
    assert data.X.shape == (20 * 7, 17) and data.spans.shape == (140, 2)
    assert data.spans[:2].tolist() == [[0, 1], [0.5, 1.5]]
    assert count_split_groups(data.groups, data.item_index) == count_split_groups(data.item_index, data.groups) == 0
    items = load(rhythms, "loudness.tiny", pool="mean")
    assert items.X[3] == pytest.approx(data.X[data.item_index == 3].mean(axis=0)) and items.spans is None


@pytest.mark.parametrize(("pool", "count"), [("auto", 34), ("max", 17), ("mean+max", 34), ("mean+std", 34)])
def test_windows_can_be_pooled_by_maximum_and_by_mean_and_deviation(rhythms, pool, count):
    data, windows = (load(rhythms, "loudness.tiny", **more) for more in ({"pool": pool}, {"level": "window"}))
    rows = windows.X[windows.item_index == 0]
    mean, most, deviation = rows.mean(axis=0), rows.max(axis=0), rows.std(axis=0)
    both = np.concatenate([mean, most])
    expected = {"max": most, "auto": both, "mean+max": both, "mean+std": np.concatenate([mean, deviation])}[pool]
    assert data.X.shape == (20, count) and data.X[0] == pytest.approx(expected)


def test_copies_count_once_and_copies_with_different_labels_are_left_out(tiny, shades, tmp_path):
    shutil.copy(shades / "red" / "0.png", shades / "red" / "copy.png")
    shutil.copy(shades / "red" / "1.png", shades / "blue" / "copy.png")
    index(shades, tmp_path / "lib", models=["colours.tiny"], host=tiny, label_from="folder")
    data = load(tmp_path / "lib")
    assert len(data.X) == 35 and (data.y == "red").sum() == 11
    assert data.notes == ("2 copies of one content with different labels left out",)


def test_items_with_several_labels_are_refused_unless_asked_for(coloured, tmp_path):
    text = table(tmp_path / "t.csv", "path,kind", "red/0.png,a", "red/0.png,b", "red/1.png,b", "red/2.png,a")
    with pytest.raises(
        SightsoundError, match="red/0.png: expected one kind, got a, b; use --multi-label, or correct its labels"
    ):
        load(coloured, labels=Labels(text))
    data = load(coloured, labels=Labels(text, multi_label=True))
    assert data.y.tolist() == [[1, 1], [0, 1], [1, 0]] and not data.single


@pytest.mark.parametrize(
    ("model", "labels", "text"),
    [
        (
            "vggish.audioset_f32",
            Labels(),
            r"has no vectors in space 'vggish.audioset_f32'; it has 'colours.tiny'",
        ),
        (
            "colours.tiny",
            Labels("one.csv"),
            r"expected items of 2 classes or more in colours.tiny, got 1 labelled",
        ),
        (
            "colours.tiny",
            Labels("parts.csv", "kind", fold_column="part"),
            "red/1.png: expected one value of 'part', got 0",
        ),
        ("colours.tiny", Labels("none.csv"), "none.csv: cannot be read as CSV"),
    ],
)
def test_a_library_without_enough_labels_or_vectors_is_refused(coloured, tmp_path, monkeypatch, model, labels, text):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "shades" / "one.csv", "path,kind", "red/0.png,a")
    table(tmp_path / "one.csv", "path,kind", "red/0.png,a")
    table(tmp_path / "parts.csv", "path,kind,part", "red/0.png,a,1", "red/1.png,b,")
    with pytest.raises(SightsoundError, match=text):
        load(coloured, model, labels)


def test_an_unknown_level_or_pool_is_refused(coloured):
    with pytest.raises(SightsoundError, match="level: expected one of item, window, got 'file'"):
        load(coloured, level="file")
    with pytest.raises(SightsoundError, match="pool: expected one of mean, max, mean.max, mean.std, got 'min'"):
        load(coloured, pool="min")


def test_the_spaces_of_the_modality_with_most_labelled_items_are_loaded(coloured, tiny, tmp_path):
    made.write_rhythm(tmp_path / "more" / "a.wav", 0)
    index(tmp_path / "more", coloured, models=["loudness.tiny"], host=tiny)
    with Library(coloured) as library:
        assert [data.model for data in load_datasets(library)] == ["colours.tiny", "tints.tiny"]
        assert [data.model for data in load_datasets(library, ["tints.tiny"])] == ["tints.tiny"]


def test_data_sets_of_several_spaces_are_reduced_to_their_common_items(coloured, tiny, shades):
    made.write_shade(shades / "red" / "new.png", 0, 99)
    index(shades, coloured, models=["colours.tiny"], host=tiny, label_from="folder")
    first, second = (load(coloured, model) for model in ("colours.tiny", "tints.tiny"))
    assert len(first.X) == 37 and len(second.X) == 36
    a, b = align_datasets([first, second])
    assert [item.path for item in a.items] == [item.path for item in b.items] and len(a.X) == len(b.X) == 36


def test_a_network_may_be_named_without_its_tag(coloured):
    assert load(coloured, "colours").feature_spec.space.name == "colours.tiny"
