"""The files of probes and stacks: safetensors with JSON, without pickle, read with NumPy alone."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from linear_data import rows
from sightsound import (
    FeatureSpec,
    LinearModel,
    LinearProbe,
    ProbeReport,
    SightsoundError,
    Space,
    Stack,
    StackModel,
    load_probe,
)
from sightsound.linear import file as probe_file

FORMAT_1 = Path(__file__).with_name("format_1")
"""Files of version 0.1.0, and the probabilities that it gave."""


@pytest.fixture(scope="module")
def fitted():
    """Return a probe with its report, and its rows."""
    X, y = rows(k=3, noise=3.0)
    probe = LinearProbe().fit(X, y)
    probe.report_ = probe.report(X)
    return probe, X


@pytest.fixture
def saved(fitted, tmp_path):
    """Return the file of a probe, the probe, and its rows."""
    probe, X = fitted
    probe.save(tmp_path / "a.probe")
    return tmp_path / "a.probe", probe, X


@pytest.mark.parametrize("scaling", ["none", "global", "unit", "centred", "standard"])
@pytest.mark.parametrize("sqrt", [False, True])
def test_the_scaling_is_saved_with_a_probe(tmp_path, scaling, sqrt):
    X, y = rows(k=3, noise=3.0)
    probe = LinearProbe(C=10.0, scaling=scaling, sqrt=sqrt).fit(X, y)
    probe.save(tmp_path / "a.probe")
    loaded = load_probe(tmp_path / "a.probe")
    assert (loaded.scaling_, loaded.sqrt_) == (scaling, sqrt)
    assert loaded.predict_proba(X).tolist() == probe.predict_proba(X).tolist()
    assert loaded.fitted_by == f"LinearProbe(scaling={scaling!r}, sqrt={sqrt})"
    assert metadata_of(tmp_path / "a.probe")["format"] == (3 if scaling == "centred" else 2)


def test_a_stack_of_few_rows_gives_the_same_answers(tmp_path):
    X, y = rows(n=30, noise=3.0)
    stack = Stack().fit([X, X[:, :35]], y)
    metadata = json.dumps({"modality": "image", "dim": 8, "stages": []})
    stack.feature_specs_ = [FeatureSpec(Space(name, metadata)) for name in ("a.x", "b.x")]
    stack.save(tmp_path / "a.probe")
    assert [probe.scaling_ for probe in stack.probes_] == ["centred", "centred"]
    assert load_probe(tmp_path / "a.probe").predict_proba([X, X[:, :35]]).tolist() == (
        stack.predict_proba([X, X[:, :35]]).tolist()
    )


@pytest.mark.parametrize(
    "centre", [None, np.zeros(39), np.zeros((1, 40)), np.full(40, np.nan), np.full(40, 1e9), np.zeros(40, np.int64)]
)
def test_a_file_with_a_wrong_centre_is_refused(tmp_path, centre):
    X, y = rows(n=30)
    arrays, metadata = LinearProbe(C=1.0).fit(X, y).state()
    given = {"coef": arrays["coef"], "intercept": arrays["intercept"], "seen": arrays["seen"]}
    assert set(arrays) - set(given) == {"centre"}
    given |= {} if centre is None else {"centre": centre}
    probe_file.write(tmp_path / "a.probe", "probe", given, metadata)
    with pytest.raises(SightsoundError, match=r"damaged \(centre\)"):
        load_probe(tmp_path / "a.probe")


@pytest.mark.parametrize("kind", ["classes", "two", "numbers", "several"])
def test_a_saved_probe_gives_the_same_answers(tmp_path, kind):
    X, y = rows(k=2 if kind == "two" else 3, noise=3.0)
    truth = {"numbers": np.arange(120) % 3, "several": np.stack([y == "ape", X[:, 0] > 0], axis=1)}.get(kind, y)
    probe = LinearProbe().fit(X, truth)
    probe.save(tmp_path / "a.probe")
    loaded = load_probe(tmp_path / "a.probe")
    assert type(loaded) is LinearModel and loaded.classes_.dtype == probe.classes_.dtype
    assert (loaded.predict(X) == probe.predict(X)).all()
    assert loaded.predict_proba(X).tolist() == probe.predict_proba(X).tolist()
    assert loaded.decision_function(X).tolist() == probe.decision_function(X).tolist()
    assert (loaded.C_, loaded.temperature_) == (probe.C_, probe.temperature_)
    assert loaded.score(X, truth) == probe.score(X, truth)
    loaded.save(tmp_path / "b.probe")
    assert (tmp_path / "b.probe").read_bytes() == (tmp_path / "a.probe").read_bytes()


@pytest.mark.parametrize(
    ("name", "fitted_by"),
    [
        ("classes", "LinearProbe(scaling='standard', sqrt=False)"),
        ("two", "LinearProbe(kind='svm', scaling='standard', sqrt=False)"),
        ("labels", "LinearProbe(kind='ridge', scaling='standard', sqrt=False)"),
    ],
)
def test_a_probe_of_an_earlier_version_gives_the_same_answers(name, fitted_by):
    expected = np.load(FORMAT_1 / "expected.npz")
    loaded = load_probe(FORMAT_1 / f"{name}.probe")
    assert loaded.predict_proba(expected["X"]).tolist() == expected[name].tolist()
    assert loaded.fitted_by == fitted_by
    assert loaded.report_.accuracy.value > 0.5 and loaded.seen_.tolist() == [0, 1, 2, 3, 4]
    assert loaded.require_feature_spec().space.name == "net.tiny" and loaded.feature_spec_.column == "animal"


def test_a_stack_of_an_earlier_version_gives_the_same_answers():
    expected = np.load(FORMAT_1 / "expected.npz")
    loaded = load_probe(FORMAT_1 / "stack.probe")
    assert type(loaded) is StackModel and loaded.fitted_by == "Stack()"
    assert loaded.predict_proba([expected["X"], expected["X2"]]).tolist() == expected["stack"].tolist()
    assert [spec.space.name for spec in loaded.feature_specs_] == ["net.a", "net.b"]


def test_a_file_is_safetensors_with_json(saved):
    file, probe, _ = saved
    tensors = load_file(file)
    assert tensors["coef"].shape == (3, 40) and tensors["coef"].dtype == np.float64
    metadata = metadata_of(file)
    assert metadata["classes"] == ["ape", "bee", "cow"] and metadata["versions"]["sightsound"]
    assert sum(metadata["folds"]) == 120 and ProbeReport.from_json(metadata["report"]) == probe.report_


@pytest.mark.parametrize("name", ["classes", "stack"])
def test_loading_and_predicting_need_numpy_alone(name):
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('sklearn', 'scipy', 'torch', 'faiss', 'librosa', 'soundfile', 'PIL'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy as np\n"
        "from sightsound import load_probe\n"
        "probe, data = load_probe(f'{sys.argv[1]}/{sys.argv[2]}.probe'), np.load(f'{sys.argv[1]}/expected.npz')\n"
        "X = data['X'] if sys.argv[2] == 'classes' else [data['X'], data['X2']]\n"
        "assert (probe.predict_proba(X) == data[sys.argv[2]]).all()\n"
        "assert set(probe.predict(X)) == {'ape', 'bee', 'cow'}\n"
        "print(probe, probe.rank(probe.predict_proba(X)[0])[0].label, probe.report_.accuracy.value > 0.5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FORMAT_1), name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = {
        "classes": "LinearModel(logistic, 3 classes, 4 features)",
        "stack": "StackModel(svm on concatenated, 2 networks",
    }
    assert done.stdout.startswith(shown[name]) and done.stdout.endswith("True\n")


def metadata_of(file):
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["sightsound"])


def edit_metadata(file, change):
    """Write the same arrays with other metadata and their checksum."""
    metadata = metadata_of(file)
    del metadata["sha256"]
    change(metadata)
    probe_file.write(file, metadata.pop("kind"), load_file(file), metadata)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: f.write_bytes(b""), "expected a probe, got another file or a damaged one; make one"),
        (lambda f: f.write_bytes(b"\xff" * 100), "expected a probe, got another file or a damaged one"),
        (lambda f: f.write_bytes(f.read_bytes()[:-10]), "expected a probe, got another file or a damaged one"),
        (lambda f: f.write_bytes(pickle.dumps({"coef": 1})), "expected a probe, got another file"),
        (lambda f: save_file({"a": np.ones(3)}, f), "expected a probe, got another file or a damaged one"),
        (lambda f: edit_metadata(f, lambda m: m.update(format=5)), "expected a probe of format 4 or less, got 5; upgr"),
        (lambda f: edit_metadata(f, lambda m: m.update(kind="tree")), "expected a probe or a stack, got 'tree'"),
        (
            lambda f: edit_metadata(f, lambda m: m.update(classes=["a"])),
            r"damaged \(.*\); make it anew: sightsound probe",
        ),
        (lambda f: edit_metadata(f, lambda m: m.pop("temperature")), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m.update(temperature=-1)), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m.update(C=0)), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m.update(scaling="log")), "damaged .scaling 'log', False"),
        (lambda f: edit_metadata(f, lambda m: m.pop("sqrt")), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m.update(params=[])), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m["params"].update(kind="tree")), "damaged"),
        (lambda f: edit_metadata(f, lambda m: m.update(report={"how": 1})), "damaged"),
    ],
)
def test_a_file_that_is_no_probe_or_damaged_is_refused(saved, damage, text):
    assert load_probe(saved[0]).C_ == saved[1].C_
    damage(saved[0])
    with pytest.raises(SightsoundError, match=text):
        load_probe(saved[0])


def test_arrays_that_do_not_match_the_checksum_are_refused(saved):
    tensors = load_file(saved[0])
    save_file(
        {**tensors, "intercept": tensors["intercept"] + 1}, saved[0], {"sightsound": json.dumps(metadata_of(saved[0]))}
    )
    with pytest.raises(SightsoundError, match="damaged .its content has changed.; take another copy"):
        load_probe(saved[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(classes=["ape", "bee", "cat"]),
        lambda m: m.update(temperature=2 * m["temperature"]),
        lambda m: m["report"].update(how="otherwise"),
        lambda m: m.update(format=1),
        lambda m: m["versions"].update(sightsound="0.0.1"),
    ],
)
def test_metadata_that_do_not_match_the_checksum_are_refused(saved, change):
    metadata = metadata_of(saved[0])
    save_file(load_file(saved[0]), saved[0], {"sightsound": json.dumps(metadata)})
    assert load_probe(saved[0]).classes_.tolist() == ["ape", "bee", "cow"], "another layout of the same JSON"
    before = json.dumps(metadata)
    change(metadata)
    if json.dumps(metadata) == before:
        pytest.skip("nothing changed")
    save_file(load_file(saved[0]), saved[0], {"sightsound": json.dumps(metadata)})
    with pytest.raises(SightsoundError, match="damaged .its content has changed"):
        load_probe(saved[0])


@pytest.mark.parametrize("value", [True, None, 1, [], {}])
@pytest.mark.parametrize("field", ["space", "facts", "column", "level"])
def test_a_feature_specification_of_other_types_is_refused(tmp_path, field, value):
    file = tmp_path / "b.probe"
    file.write_bytes((FORMAT_1 / "stack.probe").read_bytes())
    assert all(isinstance(spec[field], str) for spec in metadata_of(file)["origins"])
    edit_metadata(file, lambda metadata: metadata["origins"][0].update({field: value}))
    with pytest.raises(SightsoundError, match=r"damaged \("):
        load_probe(file)


@pytest.mark.parametrize("facts", ["", "{}", "[]", '{"dim": "x"}', '{"dim": -1}', "[" * 100_000])
def test_a_space_of_made_up_facts_is_refused(tmp_path, facts):
    file = tmp_path / "b.probe"
    file.write_bytes((FORMAT_1 / "stack.probe").read_bytes())
    edit_metadata(file, lambda metadata: metadata["origins"][0].update(facts=facts))
    with pytest.raises(SightsoundError, match=r"damaged"):
        load_probe(file)


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize("kind", ["probe", "stack"])
def test_a_small_file_with_a_class_of_extreme_length_is_refused_before_it_takes_memory(saved, tmp_path, count, kind):
    classes = ["x" * 5_000_000, *map(str, range(count - 1))]
    file = saved[0]
    if kind == "stack":
        file = tmp_path / "b.probe"
        file.write_bytes((FORMAT_1 / "stack.probe").read_bytes())

    def change(metadata):
        metadata["classes"] = classes
        for part in metadata.get("parts", {}).values():
            part["classes"] = classes

    edit_metadata(file, change)
    tracemalloc.start()
    try:
        with pytest.raises(SightsoundError, match=r"damaged \(classes"):
            load_probe(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * file.stat().st_size


def test_a_file_that_cannot_be_read_or_written_raises_an_error(saved, tmp_path):
    with pytest.raises(SightsoundError, match=r"cannot be read \(.*\); name a probe"):
        load_probe(tmp_path / "none.probe")
    with pytest.raises(SightsoundError, match="cannot be written"):
        saved[1].save(tmp_path / "no" / "a.probe")


def test_a_probe_that_is_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        LinearProbe().save(tmp_path / "a.probe")


def test_a_stack_with_a_part_missing_is_refused(tmp_path):
    file = tmp_path / "a.probe"
    file.write_bytes((FORMAT_1 / "stack.probe").read_bytes())
    edit_metadata(file, lambda metadata: metadata["parts"].pop("top"))
    with pytest.raises(SightsoundError, match="damaged .parts are missing.; make it anew: sightsound stack"):
        load_probe(file)
