"""Networks compared on class folders: each number against an independent computation."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import made
from distributions import DISTS
from sightsound import (
    ClassList,
    ComparedModel,
    Host,
    LinearProbe,
    ModelComparison,
    SightsoundError,
    compare_models,
    comparison_csv,
    comparison_markdown,
    embed,
)
from sightsound.learn.comparison import compare as module
from sightsound.learn.comparison.classes import best_classes, match_classes
from sightsound.learn.comparison.compare import split_names
from sightsound.learn.comparison.measure import peak_memory
from sightsound.linear.cross_validation import COARSE_CS
from sightsound.linear.report import Estimate

pytestmark = pytest.mark.usefixtures("few_strengths")


def compared(host, models, data, **options):
    return compare_models(models, data, host=host, repeats=1, progress=False, **options)


@pytest.fixture
def numpyrun(monkeypatch, tmp_path):
    """A host with `tiny` and the runtime `numpyrun`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("tiny", "numpyrun"):
        monkeypatch.syspath_prepend(DISTS / name)
    import sightsound_numpyrun
    import sightsound_tiny

    host = Host(installed=False)
    host.register(sightsound_tiny, "tiny")
    host.register(sightsound_numpyrun, "numpyrun")
    return host


def ranked(host, name="ranked.tiny", labels=("red", "green", "blue", "black", "white", "grey"), ids=(), like=1):
    """Register a classifier of six classes: the mean of each channel, then 0.2, 0.1 and 0.05 of their sum."""

    def network(inner, inputs):
        output = inner.embed(inputs)
        means = inputs.mean(axis=(1, 2))
        rest = means.sum(axis=1, keepdims=True) * np.array([0.2, 0.1, 0.05])
        scores = np.concatenate([means**like, rest], axis=1)
        return dataclasses.replace(output, scores=(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32))

    facts = {"classes": ClassList("shades", labels, ids), "scores": "softmax"}
    return made.register_variant(host, name, facts=facts, embed=network)


# -- the accuracies --------------------------------------------------------------------------------------------------


def test_probe_and_neighbours_are_those_of_scikit_learn(tiny, tmp_path):
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    for colour, name in enumerate(("red", "green", "blue")):
        for i in range(15):
            made.write_shade(tmp_path / "data" / name / f"{i}.png", colour, 100 * colour + i, noise=110)
    made.register_tints(tiny)
    found = compared(tiny, ["tints.tiny", "colours.tiny"], tmp_path / "data")
    assert [each.name for each in found.models] == ["tints.tiny", "colours.tiny"]
    assert (found.items, found.classes, found.majority) == (45, ("blue", "green", "red"), pytest.approx(1 / 3))
    embeddings = embed(tmp_path / "data", "colours.tiny", host=tiny, progress=False)
    X, y = embeddings.matrix(), np.array([path.parent.name for path in embeddings.files()])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    nearest = KNeighborsClassifier(5, metric="cosine", weights=lambda distances: np.maximum(1 - distances, 0) + 1e-6)
    expected = (cross_val_predict(nearest, X, y, cv=folds) == y).mean()
    model = found.models[1]
    assert 0.4 < expected < 1 and model.neighbours.value == pytest.approx(expected)
    probe = LinearProbe(Cs=COARSE_CS).fit(X, y)
    decided = probe.classes_[probe.cross_validation_.decisions.argmax(axis=1)]
    assert model.probe.value == pytest.approx((decided == y[probe.cross_validation_.rows]).mean())
    for estimate in (model.probe, model.neighbours):
        assert 0 <= estimate.low < estimate.value < estimate.high <= 1
    assert (model.top1, model.top5, model.matched) == (None, None, 0), "it has no classes"


def test_top_1_and_top_5_count_folders_that_are_classes(tiny, tmp_path):
    """Each folder has images of one colour: the ranks of the classes are known."""
    from PIL import Image

    colours = {"red": (250, 120, 60), "green": (200, 90, 40), "grey": (200, 91, 40), "other": (0, 0, 9)}
    for name, colour in colours.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (20, 20), (colour[0], colour[1], colour[2] + i)).save(
                tmp_path / "data" / name / f"{i}.png"
            )
    found = compared(tiny, [ranked(tiny)], tmp_path / "data").models[0]
    # red is first for red; green is second for green; grey, of 0.05 of the sum, is the last of the six
    assert found.top1.value == pytest.approx(3 / 9) and found.top5.value == pytest.approx(6 / 9)
    assert found.matched == 3 and found.notes == ("1 of 4 folders are no class of shades: other",)
    assert found.top1.low < found.top1.value < found.top1.high


def test_top_5_of_five_classes_or_fewer_says_nothing(tiny, warm, shades):
    found = compared(tiny, ["warm.tiny"], shades).models[0]
    assert found.top5 is None and found.matched == 3
    embeddings = embed(shades, "warm.tiny", host=tiny, progress=False)
    names = [path.parent.name for path in embeddings.files()]
    right = [("red", "green", "blue")[int(row.scores.argmax())] == name for row, name in zip(embeddings, names)]
    assert found.top1.value == pytest.approx(np.mean(right))


def test_sounds_are_scored_by_the_mean_over_their_windows(tiny, tmp_path):
    for kind, name in enumerate(("quiet", "LOUD")):
        for i in range(6):
            path = tmp_path / "data" / name / f"{i}.wav"
            made.write_rhythm(path, kind, 10 * kind + i)
    found = compared(tiny, ["loudness.tiny"], tmp_path / "data")
    model = found.models[0]
    assert (found.modality, found.items, model.matched) == ("sound", 12, 2)
    right = []
    for item in embed(tmp_path / "data", "loudness.tiny", host=tiny, progress=False).items():
        quiet, loud = item.scores.mean(axis=0)
        right.append((item.item.path.startswith("LOUD")) == (loud > quiet))
    assert model.top1.value == pytest.approx(np.mean(right))
    assert model.probe.value > 0.9, "the halves of their seconds differ"


NAMES = ("cat, tabby", "tiger cat", "crane", "crane", "Domestic animals, pets")
IDS = ("n02123045", "n02123159", "/m/02d", "n03126707", "/m/068hy")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("N02123045", 0),
        ("tiger_cat", 1),
        ("Tiger-Cat", 1),
        ("TABBY", 0),
        ("cat, tabby", 0),
        ("m_068hy", 4),
        ("pets", 4),
    ],
)
def test_a_folder_is_a_class_by_id_label_or_synonym(name, column):
    assert match_classes([name], ClassList("some", NAMES, IDS)) == ({name: column}, ())


def test_a_name_of_several_classes_is_none_and_an_id_tells_them_apart():
    assert match_classes(["crane", "n03126707", "dog", "_"], ClassList("some", NAMES, IDS)) == (
        {"n03126707": 3},
        ("crane",),
    )


def test_the_best_classes_come_in_order():
    assert best_classes(np.array([0.1, 0.3, 0.2, 0.3, 0.05, 0.01], np.float32)).tolist() == [1, 3, 2, 0, 4]
    assert best_classes(np.array([0.1, 0.9], np.float32)).tolist() == [1, 0, -1, -1, -1]


# -- what cannot be measured -----------------------------------------------------------------------------------------


def test_a_network_that_fails_has_the_reason_and_the_others_go_on(tiny, shades):
    def broken(inner, inputs):
        raise ValueError("no\nluck")

    made.register_variant(tiny, "broken.tiny", embed=broken)
    found = compared(tiny, "broken.tiny,nonsense,colours.tiny", shades)
    broken, unknown, good = found.models
    assert "ValueError: no luck" in broken.reason and broken.probe is None and "\n" not in broken.reason
    assert unknown.reason.startswith("no embedder 'nonsense'")
    assert good.reason == "" and good.probe is not None and good.relative_network == good.relative_total == 1
    assert found.front() == ("colours.tiny",)


def test_bad_files_are_named_and_the_others_are_compared(tiny, shades):
    (shades / "red" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (shades / "red" / "text.png").write_bytes(b"text")
    found = compared(tiny, ["colours.tiny"], shades)
    assert [(each.item.path, each.status) for each in found.failures] == [
        ("red/text.png", "not-media"),
        ("red/bad.png", "failed"),
    ]
    assert found.items == 36 and "1 of 37 items left out, which have no rows in all networks" in found.notes


def test_items_count_that_all_networks_have_rows_of(tiny, shades):
    def preprocess(inner, media, start, last):
        if media[0, 0, 0] % 2:
            raise SightsoundError("odd")
        return inner.preprocess(media, start, last)

    made.register_variant(tiny, "even.tiny", preprocess=preprocess)
    found = compared(tiny, ["colours.tiny", "even.tiny"], shades)
    alone = compared(tiny, ["even.tiny"], shades)
    assert 0 < found.items == alone.items < 36 and len(found.failures) == 36 - found.items
    assert found.models[1].probe == alone.models[0].probe


@pytest.mark.parametrize("counts", [(3,), (1, 1), (3, 1)])
def test_too_few_items_leave_the_own_classes_and_say_why_there_is_no_probe(tiny, warm, tmp_path, counts):
    for colour, count in enumerate(counts):
        for i in range(count):
            made.write_shade(tmp_path / "data" / ("red", "green")[colour] / f"{i}.png", colour, 10 * colour + i)
    model = compared(tiny, ["warm.tiny"], tmp_path / "data").models[0]
    enough = sum(count > 1 for count in counts)
    assert (model.probe, model.neighbours) == (None, None) and model.top1 is not None
    assert model.notes == (
        f"no probe and no neighbours: expected two classes of two items or more, got {enough} of {len(counts)}; "
        "add items",
    )


def test_folders_that_are_no_classes_give_a_note(tiny, warm, tmp_path):
    for name in "vwxy":
        made.write_image(tmp_path / "data" / name / "1.png", ord(name))
        made.write_image(tmp_path / "data" / name / "2.png", ord(name) + 9)
    model = compared(tiny, ["warm.tiny"], tmp_path / "data").models[0]
    assert (model.top1, model.matched) == (None, 0) and model.probe is not None
    assert "4 of 4 folders are no class of warm: v, w, x and 1 more" in model.notes


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "models: expected the names of networks, got none"),
        (["colours.tiny", "loudness.tiny"], r"got colours.tiny \(images\) and loudness.tiny \(sounds\); compare"),
        (["nonsense"], "no embedder 'nonsense'"),
        (["colours.tiny@"], "expected a runtime after @, got none"),
    ],
)
def test_networks_that_cannot_be_compared_are_refused(tiny, shades, models, message):
    with pytest.raises(SightsoundError, match=message):
        compared(tiny, models, shades)


def test_networks_without_an_item_in_common_are_refused(tiny, shades):
    for name, odd in (("even.tiny", 0), ("odd.tiny", 1)):

        def preprocess(inner, media, start, last, odd=odd):
            if media[0, 0, 0] % 2 != odd:
                raise SightsoundError("not mine")
            return inner.preprocess(media, start, last)

        made.register_variant(tiny, name, preprocess=preprocess)
    with pytest.raises(
        SightsoundError, match="shades: expected files with rows in even.tiny, odd.tiny, got none in all"
    ):
        compared(tiny, ["even.tiny", "odd.tiny"], shades)


# -- time, size, memory ----------------------------------------------------------------------------------------------


def test_times_are_relative_to_the_fastest_and_an_item_has_the_time_of_all_its_windows(tiny, tmp_path, monkeypatch):
    for name in ("a", "b"):
        made.write_sound(tmp_path / "data" / name / "1.wav", ord(name), seconds=2)  # three windows of a second
    made.register_variant(tiny, "second.tiny", "loudness.tiny")
    measure = SimpleNamespace(**{"loudness.tiny": (2.0, 9.0), "second.tiny": (3.0, 6.0)}).__dict__
    names = "sightsound.learn.comparison.measure."
    monkeypatch.setattr(names + "network_timer", lambda model, items: lambda: measure[model.card.name][0])
    monkeypatch.setattr(names + "items_timer", lambda model, items, most: lambda: measure[model.card.name][1])
    first, second = compared(tiny, ["loudness.tiny", "second.tiny"], tmp_path / "data").models
    assert (first.network_ms, second.network_ms) == (6.0, 9.0) and (first.total_ms, second.total_ms) == (9.0, 6.0)
    assert (first.relative_network, second.relative_network) == (1.0, 1.5)
    assert (first.relative_total, second.relative_total) == (1.5, 1.0)
    assert (first.size, first.memory) == (0, None), "it has no weights, and shares its process"
    assert str(first.execution) == "cpu, float32, 2 workers of 1 thread, batches of 8"


def test_another_runtime_is_a_row_of_its_own(numpyrun, shades):
    found = compared(numpyrun, ["colours.tiny@numpyrun", "colours.tiny@none", "colours.tiny[precision=bf16]"], shades)
    fast, plain, coarse = found.models
    assert [each.name for each in found.models] == [
        "colours.tiny@numpyrun",
        "colours.tiny@none",
        "colours.tiny[precision=bf16]",
    ]
    assert (fast.execution.runtime, plain.execution.runtime) == ("numpyrun", "")
    assert fast.probe == plain.probe and fast.space == plain.space != coarse.space
    assert numpyrun.runtime == "", "the host itself has kept its setting"


def test_a_runtime_that_does_not_run_the_network_is_the_reason(numpyrun, shades):
    made.register_variant(numpyrun, "other.tiny", facts={"constants": {}})
    found = compared(numpyrun, ["colours.tiny", "other.tiny@numpyrun", "colours.tiny@nonsense"], shades)
    assert "expected to run in numpyrun, got the network itself" in found.models[1].reason
    assert found.models[2].reason.startswith("no runtime 'nonsense'")


def test_the_size_is_that_of_the_weight_files(tiny, tmp_path):
    from sightsound import WeightFile
    from sightsound.learn.comparison.measure import weight_bytes

    (tmp_path / "one.bin").write_bytes(b"12345")
    (tmp_path / "two.bin").write_bytes(b"123")
    host = Host(installed=False, weights=[tmp_path])
    card = dataclasses.replace(
        tiny.card("colours.tiny"), weights=(WeightFile(name="one.bin"), WeightFile(name="two.bin"))
    )
    assert weight_bytes(host, card) == 8
    assert weight_bytes(host, dataclasses.replace(card, weights=(WeightFile(name="gone.bin"),))) is None
    assert weight_bytes(host, dataclasses.replace(card, weights=())) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_memory_of_a_process_is_not_that_of_the_one_that_started_it():
    """`ru_maxrss` of a child is at least that of its parent at its start."""
    block = np.ones(40_000_000)  # 320 MB, all of which are touched
    code = "from sightsound.learn.comparison.measure import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5e6 < int(done.stdout) < block.nbytes < peak_memory()


def test_a_host_with_plugins_of_its_own_cannot_be_isolated(tiny, shades):
    assert tiny.settings is None
    with pytest.raises(SightsoundError, match="isolate: expected a host of installed plugins alone"):
        compared(tiny, ["colours.tiny"], shades, isolate=True)
    with pytest.raises(SightsoundError, match="repeats: expected a whole number from 1, got 0"):
        compare_models(["colours.tiny"], shades, host=tiny, repeats=0)


def test_names_are_separated_by_commas_outside_of_brackets():
    assert split_names(["a,b[layer=x,pool=max], c", "a"]) == ["a", "b[layer=x,pool=max]", "c"]
    assert split_names("a.b@none,a.b") == ["a.b@none", "a.b"]


# -- front and tables ------------------------------------------------------------------------------------------------


def model(name, accuracy, time, **more):
    estimate = None if accuracy is None else Estimate(accuracy, accuracy - 0.1, accuracy + 0.1)
    return ComparedModel(name, probe=estimate, relative_network=time, relative_total=1 / time, **more)


def comparison(*models):
    return ModelComparison(models, "birds", "image", 20, ("a", "b"), 0.5, 5, "a processor, 2 cores")


def test_the_front_has_the_networks_that_no_other_one_beats():
    models = [("a", 0.5, 1.0), ("b", 0.7, 2.0), ("c", 0.6, 3.0), ("d", 0.7, 2.5), ("e", 0.9, 9.0), ("f", 0.4, 1.0)]
    found = comparison(*[model(*each) for each in models], model("g", 0.5, 1.0), model("h", None, 0.5))
    beaten = {
        name
        for name, accuracy, time in models
        if any(a >= accuracy and t <= time and (a, t) != (accuracy, time) for _, a, t in models)
    }
    assert found.front() == ("a", "g", "b", "e") and beaten == {"c", "d", "f"}
    assert found.front(time="total") == ("e",)
    assert found.front("top1") == ()


def test_tables_have_all_numbers_and_no_formulas():
    found = comparison(
        model("a|b", 0.5, 1.0, size=2_500_000, published=70.25, network_ms=3.0, total_ms=4.0),
        ComparedModel("=cmd()", reason="no\nluck | at all"),
    )
    header, first, second, *rest = comparison_csv(found).splitlines()
    row = dict(zip(header.split(","), first.split(",")))
    assert (row["network"], row["probe"], row["probe_low"], row["top1"]) == ("a|b", "0.500000", "0.400000", "")
    assert (row["size_bytes"], row["published_top1_percent"], row["front"]) == ("2500000", "70.25", "1")
    assert second.startswith("'=cmd(),") and second.endswith("no\\nluck | at all") and rest == []
    lines = comparison_markdown(found).splitlines()
    assert lines[2].startswith("| a\\|b | 50.0 (40.0 to 60.0) |  |  |  | 70.2 | 1.00 | 3.00 | 4.00 | 2.5 |")
    assert lines[3].startswith("| =cmd() | failed |") and "=cmd(): no\\\\nluck \\| at all  " in lines
    assert "20 images of 2 classes in birds; commonest class 50.0 %; intervals of 95 % over items  " in lines
    assert json.loads(json.dumps(found.to_json()))["models"][0]["probe"] == {"value": 0.5, "low": 0.4, "high": 0.6}


INTERRUPTED = (
    "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); os.kill(os.getpid(), signal.SIGINT)"
)
"""A process that was started in the background ignores SIGINT, and so do those that it starts."""


def test_the_process_of_a_network_that_dies_is_the_reason(monkeypatch, tmp_path):
    from sightsound.learn.comparison import process

    request = module.Request("a.b", "", "cpu", str(tmp_path), (), 1)
    for code, message in [
        (
            "import os; os.kill(os.getpid(), 9)",
            "a.b: its process was ended by SIGKILL, which may be for want of memory",
        ),
        ("raise SystemExit('some message')", r"a.b: its process ended with exit code 1 \(some message\)"),
        ("pass", r"a.b: its process ended with exit code 0 \(no message\)"),
    ]:
        monkeypatch.setattr(process, "_PROGRAM", code)
        with pytest.raises(SightsoundError, match=message):
            process.measure_apart({}, request)
    monkeypatch.setattr(process, "_PROGRAM", INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        process.measure_apart({}, request)


def test_what_lies_in_the_working_folder_is_not_imported(monkeypatch, tmp_path):
    from sightsound.learn.comparison import process

    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if os.path.abspath(path or ".") != str(tmp_path)])
    request = module.Request("no.such", "", "cpu", str(tmp_path), (), 1)
    with pytest.raises(SightsoundError, match="no embedder 'no.such'"):
        process.measure_apart({}, request)
