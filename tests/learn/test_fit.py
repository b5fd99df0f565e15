"""Probes fitted to a library, their reports, and their evaluation on another one."""

from __future__ import annotations

import pytest

import made
from sightsound import (
    Labels,
    LinearProbe,
    SightsoundError,
    SpaceMismatch,
    evaluate_probe,
    evaluate_stored,
    fit_probe,
    index,
    load_dataset,
    load_probe,
)

pytestmark = pytest.mark.usefixtures("few_strengths")


def load(place, model="colours.tiny", labels=None, **options):
    return load_dataset(place, model, labels, **options)


def test_a_probe_keeps_its_feature_spec_and_its_report(coloured, tmp_path):
    data = load(coloured)
    probe = fit_probe(data)
    assert probe.feature_spec_ == data.feature_spec and probe.report_.accuracy.value > 0.6
    assert probe.report_.groups == 36 and probe.report_.neighbours is not None and len(probe.report_.curve) == 5
    probe.save(tmp_path / "a.probe")
    found = load_probe(tmp_path / "a.probe")
    assert (found.feature_spec_, found.report_) == (probe.feature_spec_, probe.report_)
    assert (found.predict(data.X) == probe.predict(data.X)).all()


def test_the_settings_are_used_and_the_given_probe_is_not_changed(coloured):
    given = LinearProbe("svm", Cs=[0.1, 1.0])
    probe = fit_probe(load(coloured), given, curve=False)
    assert probe.kind == "svm" and probe.C_ in (0.1, 1.0) and not hasattr(given, "coef_")
    assert probe.report_.curve == ()


def test_official_folds_are_used(coloured, tmp_path):
    lines = [f"{name}/{i}.png,{name},{i % 4}" for name in ("red", "blue", "green") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,kind,part\n" + "\n".join(lines))
    probe = fit_probe(load(coloured, labels=Labels(str(tmp_path / "t.csv"), "kind", fold_column="part")))
    assert probe.report_.how == "cross-validation over 4 folds"
    assert probe.folds_.tolist() == [
        int(i) for i in load(coloured, labels=Labels(str(tmp_path / "t.csv"), "kind", fold_column="part")).folds
    ]


def test_the_report_counts_items_as_independent_not_windows(rhythms):
    report = fit_probe(load(rhythms, "loudness.tiny", level="window")).report_
    assert (report.rows, report.groups) == (140, 20)


def test_the_classes_of_multi_label_data_keep_their_names(coloured, tmp_path):
    lines = []
    for name in ("red", "blue", "green"):
        for i in range(12):
            lines += [f"{name}/{i}.png,{name}", f"{name}/{i}.png,{'even' if i % 2 else 'odd'}"]
    (tmp_path / "t.csv").write_text("path,kind\n" + "\n".join(lines))
    data = load(coloured, labels=Labels(str(tmp_path / "t.csv"), multi_label=True))
    probe = fit_probe(data, LinearProbe(Cs=(1e-2, 1.0)), curve=False)
    assert probe.classes_.tolist() == ["blue", "even", "green", "odd", "red"] and not probe.single
    assert evaluate_probe(probe, data).groups == 36
    assert evaluate_stored(probe, coloured, Labels(str(tmp_path / "t.csv"))) == evaluate_probe(probe, data)


def test_an_error_of_fitting_names_the_space_and_the_column(coloured):
    with pytest.raises(SightsoundError, match="colours.tiny, label: class 'blue': expected at least 20 items"):
        fit_probe(load(coloured), LinearProbe(cv=20))


def test_the_report_notes_items_that_the_probe_was_fitted_to(coloured, tiny, tmp_path):
    probe = fit_probe(load(coloured), LinearProbe(Cs=(1e-2, 1.0)), curve=False)
    assert evaluate_probe(probe, load(coloured)).notes == (
        "36 of 36 items were among those it was fitted on, and say little",
    )
    for colour, name in enumerate(("red", "green", "blue")):
        for i in range(4):
            made.write_shade(tmp_path / "new" / name / f"{i}.png", colour, 100 + 4 * colour + i)
    index(tmp_path / "new", tmp_path / "other", models=["colours.tiny"], host=tiny, label_from="folder")
    found = evaluate_probe(probe, load(tmp_path / "other"))
    assert evaluate_stored(probe, tmp_path / "other") == found
    assert found.notes == () and found.groups == 12 and found.how == "12 items of a library"


def test_vectors_of_another_space_are_refused(coloured):
    with pytest.raises(SpaceMismatch, match="probe: another space; .*dim: expected 48, got 12"):
        evaluate_probe(fit_probe(load(coloured), LinearProbe(C=1.0)), load(coloured, "tints.tiny"))
    data = load(coloured)
    with pytest.raises(SightsoundError, match="probe: expected one that was fitted from a library"):
        evaluate_probe(LinearProbe().fit(data.X, data.y), data)
