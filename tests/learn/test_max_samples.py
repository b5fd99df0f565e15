"""A data set of more labelled rows than `max_samples` is a random sample of whole groups, in bounded memory."""

from __future__ import annotations

import gc
import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from sightsound import ClassList, Item, Labels, Library, advise, evaluate_stored, fit_probe, load_dataset, load_datasets
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.learn import labelled_sample
from sightsound.learn.label_table import read_label_table
from sightsound.linear.probe import LinearProbe

SPACE, OTHER = (Space(f"net.{tag}", json.dumps({"dim": 4, "modality": "sound", "stages": []})) for tag in ("a", "b"))
CLASSES = ClassList("made", ("bark", "song"))
RARE, COMMON, SONG = 60, 300, 640
"""Items of the class `rare`, of `call`, and of `song`."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library with recordings of two windows in two spaces, of three classes and a hundred groups."""
    where = tmp_path_factory.mktemp("sample") / "lib"
    kinds = np.random.default_rng(0).permutation(["rare"] * RARE + ["call"] * COMMON + ["song"] * SONG)
    with Library(where, create=True) as library, library.writing() as writer:
        ids = [writer.space_id(each) for each in (SPACE, OTHER)]
        writer.keep_scores(ids[0], "sigmoid", CLASSES)
        for number, kind in enumerate(kinds):
            item = Item("/made", f"{number}.wav")
            own = writer.items.record(item, (1, 1), hashlib.sha256(item.path.encode()).digest(), "sound")
            random = np.random.default_rng(number)
            spans = np.array([[0.0, 1], [1, 2]])
            rows = random.standard_normal((2, 4), dtype=np.float32)
            rows[:, 0] += 4 * (kind == "song")
            scores = np.full((2, 2), 0.25, np.float32)
            writer.add_rows(Rows(item, spans, rows, scores), ids[0])
            writer.add_rows(Rows(item, spans, rows), ids[1])
            for id_ in ids:
                writer.outcomes.record(Outcome(item, "ok", seconds=2.0), id_)
            writer.items.label(own, "label", [str(kind)])
            writer.items.label(own, "place", [f"place{number % 100}"])
    return where


LEAST = 250 // (2 * 3)  # rows of each class in a sample of 250, half of which they may have together


def counts(dataset):
    return Counter(dataset.y.tolist())


def test_each_class_has_its_share_and_a_rare_one_more(library):
    every = load_dataset(library, "net.a", max_samples=None)
    assert counts(every) == {"rare": RARE, "call": COMMON, "song": SONG} and not every.notes
    some = load_dataset(library, "net.a", max_samples=250)
    assert counts(some)["rare"] == LEAST
    assert 50 < counts(some)["call"] < 90 and 110 < counts(some)["song"] < 160
    assert len(some.items) == 250
    assert some.notes == ("a random sample of 250 of 1000 labelled items; see --max-samples",)


def test_rows_and_scores_are_those_of_the_items(library):
    every, some = (load_dataset(library, "net.a", max_samples=most) for most in (None, 600))
    at = [[item.id for item in every.items].index(item.id) for item in some.items]
    np.testing.assert_array_equal(some.X, every.X[at])
    np.testing.assert_array_equal(some.y, every.y[at])
    np.testing.assert_array_equal(some.content_ids, every.content_ids[at])
    np.testing.assert_array_equal(some.parts.scores, every.parts.scores[at])


def test_the_sample_is_random(library):
    some = load_dataset(library, "net.a", max_samples=250)
    numbers = np.array([int(item.path.split(".")[0]) for item in some.items])
    assert 430 < numbers.mean() < 570
    rare = numbers[some.y == "rare"]
    last = max(n for n, kind in enumerate(load_dataset(library, "net.a", max_samples=None).y) if kind == "rare")
    assert rare.max() > last - 150, "not the first fifty that were read"


def test_groups_are_whole_and_all_spaces_have_the_same(library):
    labels = Labels(column="label", group_column="place")
    every = load_dataset(library, "net.a", labels, max_samples=None)
    some = load_dataset(library, "net.a", labels, max_samples=400)
    place = {item.id: int(item.path.split(".")[0]) % 100 for item in every.items}
    sizes, taken = (Counter(place[item.id] for item in each.items) for each in (every, some))
    # all but the group at the bound, and those with items of the rare class beyond it
    whole = [name for name, count in taken.items() if count == sizes[name]]
    assert len(whole) > 25
    beyond = [item for item, kind in zip(some.items, some.y) if place[item.id] not in whole and kind != "rare"]
    assert len({place[item.id] for item in beyond}) <= 1
    first, second = load_datasets(library, ["net.a", "net.b"], labels, max_samples=400)
    assert [item.id for item in first.items] == [item.id for item in second.items]


def test_windows_count_as_rows(library):
    some = load_dataset(library, "net.a", level="window", max_samples=250)
    assert len(some.X) == 250
    assert len(some.X) == 2 * len(some.items) == len(some.spans)


def test_few_items_are_in_memory_at_a_time(library, monkeypatch):
    most, add = [], labelled_sample.LabelledSample.add

    def counting(self, item):
        add(self, item)
        if self.seen % 50 == 0:
            kept = sum(issubclass(type(each), labelled_sample.LabelledItem) for each in gc.get_objects())
            most.append((kept, self.seen))

    monkeypatch.setattr(labelled_sample.LabelledSample, "add", counting)
    load_dataset(library, "net.a", max_samples=100)
    assert most[-1][1] > 700 and 100 < max(kept for kept, _ in most) <= 125


def test_the_background_is_a_sample_too(library):
    labels = Labels(background="song")
    some = load_dataset(library, "net.a", labels, max_samples=300)
    assert len(some.background) == 300 and set(some.y) == {"rare", "call"}


def test_probes_say_so_and_serve_all_items(library, tmp_path, command):
    fit = ("probe", "fit", "--library", library, "--model", "net.a", "--label-column", "label", "--no-curve")
    done = command(*fit, "--max-samples", "500", "-o", tmp_path / "some.probe")
    assert done.returncode == 0, done.stderr
    assert "of 1000 labelled items; see --max-samples" in done.stdout
    done = command("probe", "eval", tmp_path / "some.probe", "--library", library, "--label-column", "label", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == 1000 and report["accuracy"]["value"] > 0.6
    less = command(
        *("probe", "eval", tmp_path / "some.probe", "--library", library, "--label-column", "label", "--json"),
        *("--max-samples", "400"),
    )
    assert json.loads(less.stdout)["rows"] == 400


def test_the_functions_take_the_same_number(library):
    data = load_dataset(library, "net.a", Labels(column="label"), max_samples=400)
    probe = fit_probe(data, LinearProbe(C=1.0))
    report = evaluate_stored(probe, library, Labels(column="label"), max_samples=300)
    assert report.rows == 300 and any("of 1000 labelled items" in note for note in report.notes)
    found = advise(load_datasets(library, ["net.a"], Labels(column="label"), max_samples=300))
    assert any("of 1000 labelled items" in note for note in found.notes)


def test_items_with_equal_labels_share_them(library):
    with Library(library) as opened:
        rows = list(read_label_table(opened, Labels()).values.values())
    assert len(rows) == 1000 and len({id(row) for row in rows}) < 400
