"""Linear probes on ESC-10 with its official folds."""

from __future__ import annotations

import csv
import functools

import numpy as np
import pytest

from sightsound import Host, Labels, LinearProbe, fit_probe, index, load_dataset

F32, I8 = "yamnet.audioset_f32", "yamnet.audioset_i8"

pytestmark = pytest.mark.slow  # 400 clips


@pytest.fixture(scope="module")
def library_of(shared, tmp_path_factory):
    """`library_of(model)`: a library of ESC-10 in the space of a model, labelled by its table."""
    host = Host(weights=[shared / "weights" / "yamnet" / "yamnet.h5"])
    sounds = shared / "data" / "esc10"

    @functools.cache
    def indexed(model):
        place = tmp_path_factory.mktemp("esc10") / "library"
        report = index(sounds, place, models=[model], host=host, label_from=str(sounds / "meta" / "esc10.csv"))
        assert report.counts["ok"] == 400
        return place

    return indexed


@pytest.mark.parametrize(("model", "least"), [(F32, 0.970), (I8, 0.955)])
def test_a_probe_reaches_the_accuracy_of_the_reference(library_of, model, least):
    """Reference: scikit-learn on the float32 network reaches 0.970 for C = 0.1 and 1, 0.978 for C = 10."""
    data = load_dataset(library_of(model), model, Labels(column="category", fold_column="fold"))
    assert data.X.shape == (400, 1024) and len(data.classes) == 10
    probe = fit_probe(data)
    assert probe.report_.accuracy.value >= least and probe.report_.corrected >= least - 0.01
    assert probe.report_.how == "cross-validation over 5 folds" and probe.report_.notes == ()
    assert probe.report_.neighbours.value < probe.report_.accuracy.value


def test_the_accuracy_for_each_C_is_that_of_the_reference(library_of):
    data = load_dataset(library_of(F32), F32, Labels(column="category", fold_column="fold"), pool="mean")
    probe = LinearProbe(Cs=[0.1, 1.0, 10.0], scaling="standard", sqrt=False).fit(data.X, data.y, folds=data.folds)
    assert probe.scores_ == pytest.approx([0.970, 0.970, 0.978], abs=0.006)


def test_recordings_of_one_source_are_in_one_official_fold(library_of, shared):
    """The official folds have no leakage, so groups by source give about the same accuracy."""
    with (shared / "data" / "esc10" / "meta" / "esc10.csv").open(newline="") as file:
        sources = {(row["src_file"], row["fold"]) for row in csv.DictReader(file)}
    assert len(sources) == len({source for source, _ in sources})
    data = load_dataset(library_of(F32), F32, Labels(column="category", group_column="src_file"))
    grouped = LinearProbe(Cs=np.logspace(-4, 3, 8)).fit(data.X, data.y, groups=data.groups)
    assert grouped.scores_.max() >= 0.96
