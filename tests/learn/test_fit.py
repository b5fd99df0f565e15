"""From a library to a probe that knows how good it is."""

from __future__ import annotations

import pytest

import made
from sightsound import Labels, Library, LinearProbe, SightsoundError, fit_probe, index, load_probe
from sightsound.contract.errors import SpaceMismatch
from sightsound.learn import dataset
from sightsound.learn.fit import evaluate_probe


def load(place, model="colours.tiny", given=None, **more):
    with Library(place) as library:
        return dataset.load_dataset(library, model, given, **more)


def test_a_probe_is_fitted_and_knows_its_space_and_its_worth(coloured, tmp_path):
    data = load(coloured)
    probe = fit_probe(data)
    assert probe.feature_spec_ == data.origin and probe.report_.accuracy.value > 0.6
    assert probe.report_.groups == 36 and probe.report_.neighbours is not None and len(probe.report_.curve) == 5
    probe.save(tmp_path / "a.probe")
    found = load_probe(tmp_path / "a.probe")
    assert (found.feature_spec_, found.report_) == (probe.feature_spec_, probe.report_)
    assert (found.predict(data.X) == probe.predict(data.X)).all()


def test_settings_are_kept_and_the_given_probe_is_not_touched(coloured):
    given = LinearProbe("svm", Cs=[0.1, 1.0])
    probe = fit_probe(load(coloured), given, curve=False)
    assert probe.kind == "svm" and probe.C_ in (0.1, 1.0) and not hasattr(given, "coef_")
    assert probe.report_.curve == ()


def test_official_folds_are_used(coloured, tmp_path):
    lines = [f"{name}/{i}.png,{name},{i % 4}" for name in ("red", "blue", "green") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,kind,part\n" + "\n".join(lines))
    probe = fit_probe(load(coloured, given=Labels(str(tmp_path / "t.csv"), "kind", folds="part")))
    assert probe.report_.how == "cross-validation over 4 folds"
    assert probe.folds_.tolist() == [
        int(i) for i in load(coloured, given=Labels(str(tmp_path / "t.csv"), "kind", folds="part")).folds
    ]


def test_windows_are_reported_over_their_items(rhythms):
    report = fit_probe(load(rhythms, "loudness.tiny", level="window")).report_
    assert (report.rows, report.groups) == (140, 20)


def test_several_labels_have_their_names(coloured, tmp_path):
    lines = []
    for name in ("red", "blue", "green"):
        for i in range(12):
            lines += [f"{name}/{i}.png,{name}", f"{name}/{i}.png,{'even' if i % 2 else 'odd'}"]
    (tmp_path / "t.csv").write_text("path,kind\n" + "\n".join(lines))
    data = load(coloured, given=Labels(str(tmp_path / "t.csv"), several=True))
    probe = fit_probe(data)
    assert probe.classes_.tolist() == ["blue", "even", "green", "odd", "red"] and not probe.single
    assert evaluate_probe(probe, data).groups == 36


def test_what_cannot_be_fitted_names_the_space_and_the_column(coloured):
    with pytest.raises(SightsoundError, match="colours.tiny, label: class 'blue': expected at least 20 items"):
        fit_probe(load(coloured), LinearProbe(cv=20))


def test_items_that_it_was_fitted_on_are_noted_and_others_not(coloured, tiny, tmp_path):
    probe = fit_probe(load(coloured))
    assert evaluate_probe(probe, load(coloured)).notes == (
        "36 of 36 items were among those it was fitted on, and say little",
    )
    for colour, name in enumerate(("red", "green", "blue")):
        for i in range(4):
            made.shade(tmp_path / "new" / name / f"{i}.png", colour, 100 + 4 * colour + i)
    index(tmp_path / "new", tmp_path / "other", models=["colours.tiny"], host=tiny, label_from="folder")
    found = evaluate_probe(probe, load(tmp_path / "other"))
    assert found.notes == () and found.groups == 12 and found.how == "12 items of a library"


def test_vectors_of_another_space_are_refused(coloured):
    with pytest.raises(SpaceMismatch, match="probe: another space; .*dim: expected 48, got 12"):
        evaluate_probe(fit_probe(load(coloured)), load(coloured, "tints.tiny"))
    data = load(coloured)
    with pytest.raises(SightsoundError, match="probe: expected one that was fitted from a library"):
        evaluate_probe(LinearProbe().fit(data.X, data.y), data)
