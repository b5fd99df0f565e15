"""Runtimes: which one runs a network, what it has compiled, whether it keeps the numbers, and how that is shown."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import made
from distributions import DISTS
from sightsound import ClassList, Host, SightsoundError, embed, hookimpl, index
from sightsound.contract.errors import PluginError, SpaceMismatch, UnknownModel
from sightsound.contract.execution import Execution
from sightsound.contract.results import Item
from sightsound.library.library import Library
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
SECONDS = np.random.default_rng(0).normal(0, 0.3, 4000).astype(np.float32)
BF16 = "colours.tiny[precision=bf16]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where compiled files are kept in this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SIGHTSOUND_RUNTIME", "SIGHTSOUND_CACHE", "NUMPYRUN_FAULT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "sightsound" / "compiled"


@pytest.fixture
def numpyrun(monkeypatch: pytest.MonkeyPatch):
    """The module of the runtime, with its counts at zero."""
    monkeypatch.syspath_prepend(DISTS / "tiny")
    monkeypatch.syspath_prepend(DISTS / "numpyrun")
    import sightsound_numpyrun

    sightsound_numpyrun.calls.clear()
    return sightsound_numpyrun


@pytest.fixture
def host(folder, numpyrun):
    """`host()` is a new host with `tiny` and the runtime; the arguments are those of `Host`."""
    import sightsound_tiny

    def new(**options) -> Host:
        found = Host(installed=False, **options)
        found.register(sightsound_tiny, "tiny")
        found.register(numpyrun, "numpyrun")
        return found

    return new


class Lazy:
    """A plugin with `lazy.tiny`, the network of `colours.tiny`, which is built in `prepare`."""

    def __init__(self, tiny: Host, example=None, **facts):
        self.inner = tiny.load("colours.tiny").embedder
        self.card = dataclasses.replace(self.inner.card, name="lazy.tiny", **facts)
        self.built, self.ran = 0, 0
        if example is not None:
            self.examples = lambda: example

    @hookimpl
    def register_embedders(self, register):
        register(self.card, lambda device, weights: self)

    def prepare(self):
        self.built += 1

    def embed(self, inputs):
        assert self.built
        self.ran += 1
        return self.inner.embed(inputs)

    def preprocess(self, media, start, last):
        return self.inner.preprocess(media, start, last)

    def postprocess(self, output):
        return output.embeddings


def with_lazy(host: Host, **options) -> Lazy:
    import sightsound_tiny

    plain = Host(installed=False, runtime="none")
    plain.register(sightsound_tiny, "tiny")
    lazy = Lazy(plain, **options)
    host.register(lazy, "lazy")
    return lazy


# -- a runtime stands in for a network -----------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "media"), [("colours.tiny", IMAGE), ("loudness.tiny", SECONDS)])
def test_a_runtime_that_fits_runs_the_network_with_equal_numbers_in_the_same_space(host, tiny, numpyrun, model, media):
    running, plain = host().load(model, "cpu"), tiny.load(model, "cpu")
    got, expected = running.rows(media), plain.rows(media)
    assert numpyrun.calls["run"] >= 2, "once to compare, once for the rows"
    np.testing.assert_allclose(got[1], expected[1], atol=1e-6)
    if expected[2] is not None:
        np.testing.assert_allclose(got[2], expected[2], atol=1e-6)
    assert running.space == plain.space and running.card == plain.card


def test_a_network_that_was_compared_is_not_built_again(host, numpyrun, folder):
    first, second, third = host(), host(), host(runtime="none")
    lazy = with_lazy(first)
    first.load("lazy.tiny", "cpu").rows(IMAGE)
    assert (lazy.built, lazy.ran, numpyrun.calls["read"]) == (1, 1, 0), "the comparison ran the network once"
    (stamp,) = folder.rglob("compared.json")
    assert json.loads(stamp.read_text())["rows"] < 1e-9
    assert (stamp.parent / "matrix.npy").exists()
    lazy = with_lazy(second)
    second.load("lazy.tiny", "cpu").rows(IMAGE)
    assert (lazy.built, lazy.ran, numpyrun.calls["read"]) == (0, 0, 1)
    lazy = with_lazy(third)
    third.load("lazy.tiny", "cpu").rows(IMAGE)
    assert (lazy.built, lazy.ran) == (1, 1)


def test_a_network_with_examples_is_compared_with_them_and_never_built(host, tiny, numpyrun):
    inputs = np.concatenate([tiny.load("colours.tiny").preprocess(IMAGE).inputs] * 2)
    lazy = with_lazy(found := host(), example=(inputs, tiny.load("colours.tiny").embed(inputs)))
    found.load("lazy.tiny", "cpu").rows(IMAGE)
    assert (lazy.built, lazy.ran, numpyrun.calls["run"]) == (0, 0, 2)
    wrong = tiny.load("colours.tiny").embed(inputs[::-1] * np.linspace(0, 1, 16, dtype=np.float32)[:, None])
    with_lazy(other := host(runtime="numpyrun"), example=(inputs * np.float32(0.5), wrong))
    next(folder_of(other)).unlink()
    with pytest.raises(PluginError, match=r"numpyrun.*the numbers of lazy.tiny differ"):
        other.load("lazy.tiny", "cpu")


def folder_of(host: Host):
    return (host.weights.cache.folder.parent / "compiled").rglob("compared.json")


def test_what_runs_says_batch_size_workers_and_device(host, tiny):
    assert host().load("colours.tiny", "cpu").execution == Execution(
        batch_size=16, workers=2, device="cpu", precision="float32", runtime="numpyrun"
    )
    assert str(host().load("loudness.tiny").execution) == "numpyrun, cpu, float32, 2 workers of 1 thread, batches of 16"
    assert tiny.load("colours.tiny").execution.batch_size == 4
    assert host(runtime="none").load("colours.tiny").execution == tiny.load("colours.tiny").execution


@pytest.mark.parametrize(("size", "batches"), [(None, [16, 16, 8]), (20, [20, 20])])
def test_the_batches_are_those_of_the_runtime_unless_the_user_says_otherwise(host, tmp_path, size, batches):
    seen = []

    class Watch:
        same_numbers = True

        @hookimpl(wrapper=True)
        def embed(self, embedder, inputs):
            seen.append(len(inputs))
            return (yield)

    (found := host()).register(Watch(), "watch")
    jobs = [Job(Item(str(tmp_path), made.write_image(tmp_path / f"{i}.png", i).name)) for i in range(40)]
    with embed_items(found.load("colours.tiny"), jobs, batch_size=size) as items:
        assert [each.outcome.status for each in items] == ["ok"] * 40
    assert sorted(seen, reverse=True) == batches


@pytest.mark.parametrize("size", [0, -3, 1.5, "16", True])
def test_a_batch_size_of_the_user_that_is_no_number_is_refused(host, tmp_path, size):
    made.write_image(tmp_path / "a.png")
    with pytest.raises(Exception, match=f"batch_size: expected a whole number from 1, got {size!r}"):
        embed(tmp_path, "colours.tiny", host=host(), batch_size=size).matrix()


def test_stage_plugins_see_the_calls_of_a_runtime(host, monkeypatch, numpyrun):
    monkeypatch.syspath_prepend(DISTS / "count")
    import sightsound_count

    (found := host()).register(sightsound_count, "count")
    sightsound_count.calls.clear()
    model = found.load("colours.tiny")
    model.rows(IMAGE)
    assert (sightsound_count.calls["colours.tiny"], numpyrun.calls["run"]) == (1, 2)


def test_the_other_methods_are_those_of_the_embedder(host):
    lazy = with_lazy(found := host())
    model = found.load("lazy.tiny")
    assert model.embedder.preprocess(IMAGE, 0, True).inputs.shape == (1, 16, 16, 3)
    assert model.embedder.inner is lazy.inner and model.card is lazy.card
    assert not hasattr(model.embedder, "no_such_method")


# -- a runtime that is wrong ---------------------------------------------------------------------------------------

WRONG = {
    "numbers": r"runtime numpyrun \(plugin numpyrun\): the numbers of colours.tiny differ \(1 - cosine of rows 0.083",
    "lengths": r"colours.tiny differ \(1 - cosine of rows \S+, lengths 0.0099, scores 0; expected at most 1e-06, 0.001",
    "nan": "the numbers of colours.tiny differ .1 - cosine of rows inf",
    "shape": r"expected embeddings \(4, 48\) of colours.tiny, got embeddings \(4, 47\)",
    "compile": r"compiling colours.tiny for the runtime numpyrun \(plugin numpyrun\): RuntimeError: an operator that",
    "none": r"compiling colours.tiny for the runtime numpyrun \(plugin numpyrun\): expected Compiled, got NoneType",
    "run": r"running colours.tiny in the runtime numpyrun \(plugin numpyrun\): RuntimeError: illegal instruction",
    "type": r"runtime numpyrun \(plugin numpyrun\): embed: expected Output, got ndarray",
    "size": "batch_size: expected a whole number from 1, got 0",
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_runtime_is_left_out_with_a_warning_unless_it_was_named(host, tiny, monkeypatch, caplog, fault):
    monkeypatch.setenv("NUMPYRUN_FAULT", fault)
    with pytest.raises(PluginError, match=WRONG[fault]) as caught:
        host(runtime="numpyrun").load("colours.tiny")
    assert "--runtime none" in str(caught.value) and "\n" not in str(caught.value)
    caplog.clear()
    model = host().load("colours.tiny")
    np.testing.assert_array_equal(model.rows(IMAGE)[1], tiny.load("colours.tiny").rows(IMAGE)[1])
    assert model.execution.runtime == ""
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.getMessage().startswith("runtime numpyrun ")
    assert "so colours.tiny runs by itself: " in record.getMessage()


def test_scores_that_are_missing_or_wrong_are_a_difference(host, monkeypatch):
    monkeypatch.setenv("NUMPYRUN_FAULT", "scores")
    expected = r"expected embeddings \(4, 17\) and scores \(4, 2\) of loudness.tiny, got embeddings \(4, 17\);"
    with pytest.raises(PluginError, match=expected):
        host(runtime="numpyrun").load("loudness.tiny")


def test_scores_of_another_scale_are_a_difference(host, monkeypatch):
    monkeypatch.setenv("NUMPYRUN_FAULT", "scaled")
    with pytest.raises(PluginError, match=r"1 - cosine of rows \S+, lengths \S+, scores 0\.1; expected at most"):
        host(runtime="numpyrun").load("loudness.tiny")


def test_a_runtime_may_decline_a_network_which_then_runs_by_itself(host, monkeypatch, caplog):
    monkeypatch.setenv("NUMPYRUN_FAULT", "declines")
    assert host().load("colours.tiny").execution.runtime == "" and not caplog.records
    assert host(runtime="numpyrun").load("colours.tiny").execution.runtime == ""
    assert "runtime numpyrun cannot run colours.tiny, so it runs by itself: it has no `module`" in caplog.text
    with pytest.raises(SightsoundError, match="it has no `module`"):
        host().load(BF16)


CODE = """
import numpy as np
from sightsound.plugin import Compiled, Execution, Output, hookimpl


class Edited:
    name, version = "edited", "1.0"

    def fits(self, card, device):
        return card.name == "colours.tiny"

    def compile(self, embedder, *, device, precision, weights, cache):
        (cache / "compiled").touch()
        return Compiled(lambda inputs: Output(FACTOR * embedder.embed(inputs).embeddings), Execution())


@hookimpl
def register_runtimes(register):
    register(Edited())
"""


def test_a_runtime_whose_code_has_changed_is_compared_again(folder, tmp_path, monkeypatch):
    """Its version stays the same while its author works on it."""
    import sightsound_tiny

    def load(factor):
        file = tmp_path / f"{factor}" / "acme_edited.py"
        file.parent.mkdir()
        file.write_text(CODE.replace("FACTOR", f"np.float32({factor})"))
        spec = importlib.util.spec_from_file_location("acme_edited", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "acme_edited", module)
        spec.loader.exec_module(module)
        found = Host(installed=False, runtime="edited")
        found.register(sightsound_tiny, "tiny")
        found.register(module, "edited")
        return found.load("colours.tiny")

    assert load(1).execution.runtime == "edited"
    with pytest.raises(PluginError, match="the numbers of colours.tiny differ .*lengths 0.23"):
        load(1.3)
    assert load(1.0).execution.runtime == "edited", "a corrected runtime is compared again too"


def test_two_networks_of_one_space_do_not_share_compiled_files(host, numpyrun):
    """As where their cards do not say what tells them apart."""
    for classes, scores in ((None, None), (ClassList("two", ("a", "b")), "softmax")):
        numpyrun.calls.clear()
        with_lazy(found := host(runtime="numpyrun"), classes=classes, scores=scores)
        assert found.load("lazy.tiny").execution.runtime == "numpyrun"
        assert (numpyrun.calls["compile"], numpyrun.calls["read"]) == (1, 0)


def test_it_is_said_whether_a_network_is_compiled_anew(host, caplog):
    caplog.set_level("INFO", "sightsound")
    host().load("colours.tiny")
    assert "for the first time" in caplog.text
    caplog.clear()
    host().load("colours.tiny")
    assert "with the files of last time" in caplog.text


def test_the_folder_of_the_cache_can_be_set(host, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_CACHE", str(tmp_path / "mine"))
    host().load("colours.tiny")
    assert list((tmp_path / "mine" / "compiled").rglob("compared.json"))


def test_a_runtime_that_gave_other_numbers_is_not_compiled_and_compared_at_every_start(
    host, numpyrun, monkeypatch, caplog, folder
):
    monkeypatch.setenv("NUMPYRUN_FAULT", "numbers")
    host().load("colours.tiny")
    assert numpyrun.calls == {"compile": 1, "run": 1}
    host().load("colours.tiny")
    assert numpyrun.calls == {"compile": 1, "run": 1}
    (stamp,) = folder.rglob("compared.json")
    assert f"or remove {stamp.parent} to compare them again" in caplog.text
    monkeypatch.delenv("NUMPYRUN_FAULT")
    stamp.unlink()
    assert host().load("colours.tiny").execution.runtime == "numpyrun"


def test_a_card_says_how_much_a_runtime_may_differ(host, monkeypatch):
    monkeypatch.setenv("NUMPYRUN_FAULT", "numbers")
    with_lazy(found := host(runtime="numpyrun"), tolerance=0.5)
    assert found.load("lazy.tiny").execution.runtime == "numpyrun"
    with_lazy(other := host(runtime="numpyrun"), tolerance=1e-6)
    with pytest.raises(PluginError, match="expected at most 1e-06"):
        other.load("lazy.tiny")


def test_a_runtime_whose_fits_raises_does_not_fit_and_is_named(host, monkeypatch, caplog):
    monkeypatch.setenv("NUMPYRUN_FAULT", "fits")
    assert host().load("colours.tiny").execution.runtime == ""
    assert "runtime numpyrun (plugin numpyrun) left out: RuntimeError: no such processor" in caplog.text


def test_a_runtime_that_runs_elsewhere_than_asked_is_said(host, monkeypatch, caplog):
    monkeypatch.setenv("NUMPYRUN_FAULT", "device")
    host().load("colours.tiny", "cpu")
    assert "colours.tiny (plugin tiny): runs on wrong:0, not on 'cpu' (--device)" in caplog.text


# -- what the user asks for ----------------------------------------------------------------------------------------


def test_a_missing_package_leaves_a_runtime_out_and_names_the_line_that_installs_it(host, monkeypatch, install):
    monkeypatch.setenv("NUMPYRUN_FAULT", "absent")
    assert host().load("colours.tiny").execution.runtime == ""
    assert host().offered_runtimes() == {
        "numpyrun": (("float32", "bf16"), "an_engine is not installed; pip install an_engine")
    }
    with pytest.raises(PluginError, match="^runtime 'numpyrun': an_engine is not installed; pip install an_engine$"):
        host(runtime="numpyrun").load("colours.tiny")
    monkeypatch.syspath_prepend(install("numpyrun"))
    with pytest.raises(PluginError, match=r'is not installed; pip install "sightsound-numpyrun\[engine\]"$'):
        host(runtime="numpyrun").load("colours.tiny")


def test_the_setting_names_a_runtime_or_none(host, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_RUNTIME", "none")
    assert host().load("colours.tiny").execution.runtime == ""
    assert host(runtime="numpyrun").load("colours.tiny").execution.runtime == "numpyrun"
    monkeypatch.setenv("SIGHTSOUND_RUNTIME", "numpyrun")
    assert host().load("colours.tiny").execution.runtime == "numpyrun"
    assert (host().runtimes("colours.tiny"), host(runtime="none").runtimes("colours.tiny")) == (["numpyrun"], [])
    assert (host(runtime="auto").runtime, host(runtime="torch").runtimes("colours.tiny")) == ("", [])


def test_an_unknown_runtime_suggests_the_nearest(host, tiny):
    with pytest.raises(PluginError, match="^no runtime 'numpirun'; did you mean 'numpyrun'"):
        host(runtime="numpirun").load("colours.tiny")
    with pytest.raises(PluginError, match="^no runtime 'openvino'; there are: numpyrun; see `sightsound plugins`"):
        host(runtime="openvino").load("colours.tiny")


def test_a_network_that_a_runtime_cannot_run_runs_by_itself_and_that_is_said_if_the_runtime_was_named(host, caplog):
    made.register_variant(found := host(), "other.tiny", facts={"constants": {}})
    caplog.clear()
    assert found.load("other.tiny", "cpu").execution.runtime == "" and caplog.text == ""
    made.register_variant(named := host(runtime="numpyrun"), "other.tiny", facts={"constants": {}})
    assert [named.load(name).execution.runtime for name in ("other.tiny", "colours.tiny")] == ["", "numpyrun"]
    text = "other.tiny (plugin other): the runtime 'numpyrun' cannot run it, so it runs by itself"
    assert [record.getMessage() for record in caplog.records] == [text]
    assert (named.runtimes("other.tiny"), named.runtimes("colours.tiny")) == ([], ["numpyrun"])


def test_a_runtime_name_that_two_plugins_claim_belongs_to_neither_until_the_user_chooses(
    host, numpyrun, monkeypatch, install
):
    class Second:
        @hookimpl
        def register_runtimes(self, register):
            register(numpyrun.NumpyRun())

    with pytest.raises(PluginError, match="runtime 'numpyrun' is taken by plugin 'numpyrun'; rename one or block one"):
        host().register(Second(), "second")
    from sightsound.host import discovery

    def point(name, plugin):
        dist = SimpleNamespace(name=f"acme-{name}", version="1.0")
        return SimpleNamespace(name=name, dist=dist, load=lambda: plugin)

    import sightsound_tiny

    points = [point("tiny", sightsound_tiny), point("first", numpyrun), point("second", Second())]
    monkeypatch.setattr(discovery, "entry_points", lambda group: points)
    text = r"runtime 'numpyrun' is claimed by the plugins 'first' \(acme-first\) and 'second' .*--prefer PLUGIN"
    with pytest.raises(PluginError, match=text):
        Host(runtime="numpyrun").load("colours.tiny")
    assert Host().load("colours.tiny").execution.runtime == "", "nobody has the name"
    assert {plugin.name: plugin.status for plugin in Host().plugins} == {
        "tiny": "ok",
        "first": "contested",
        "second": "contested",
        "torch": "ok",
    }
    assert Host(prefer=["second"]).load("colours.tiny").execution.runtime == "numpyrun"


# -- other precisions ----------------------------------------------------------------------------------------------


def test_another_precision_is_part_of_the_name_and_with_runtime_and_version_of_the_space(host, tiny):
    found = host()
    model = found.load(BF16, "cpu")
    assert (model.card.name, model.space.name) == (BF16, BF16)
    assert model.execution.precision == "bf16"
    assert found.space("colours.tiny").differences(model.space) == [
        f"name: expected colours.tiny, got {BF16}",
        "stages: expected [], got numpyrun 1.1 bf16",
    ]
    rounded, exact = model.rows(IMAGE)[1], tiny.load("colours.tiny").rows(IMAGE)[1]
    assert 1e-5 < np.abs(rounded - exact).max() < 1e-2, "it is rounded"
    assert found.load("colours.tiny[precision=float32]").space == found.space("colours.tiny")


def test_an_embedder_that_its_plugin_returns_for_both_precisions_keeps_its_card(host):
    lazy = with_lazy(found := host())
    assert found.load("lazy.tiny[precision=bf16]").card.name == "lazy.tiny[precision=bf16]"
    assert found.load("lazy.tiny").card is lazy.card and lazy.card.name == "lazy.tiny"


def test_how_far_another_precision_is_from_float32_is_noted_when_it_is_first_compiled(host, command, numpyrun):
    found = host()
    assert found.precisions("colours.tiny") == {"float32": None, "bf16": None}
    found.load(BF16, "cpu")
    noted = found.precisions("colours.tiny")["bf16"]
    assert 1e-8 < noted.rows < 1e-4 and noted.lengths < 1e-2
    assert host().precisions(BF16) == {"bf16": noted}, "also in another process, and under its own name"
    compiled = numpyrun.calls["compile"], numpyrun.calls["read"]
    host().load(BF16, "cpu")
    assert (numpyrun.calls["compile"], numpyrun.calls["read"]) == (compiled[0] + 1, compiled[1] + 1), "files are kept"


def test_the_page_of_a_network_shows_how_far_other_precisions_are(host, command):
    words = ("models", "colours.tiny")
    plugins = ("tiny", "numpyrun")
    before = command(*words, plugins=plugins).stdout
    assert "float32, bf16 (not measured yet)" in before
    host().load(BF16, "cpu")
    assert "float32, bf16 (1 - cosine to float32 up to " in command(*words, plugins=plugins).stdout
    (exact, rounded) = json.loads(command(*words, "--json", plugins=plugins).stdout)["precisions"]
    assert exact == {"name": "float32", "difference": None}
    assert rounded["name"] == "bf16" and set(rounded["difference"]) == {"rows", "lengths", "scores"}


def test_an_embedder_in_a_runtime_can_be_copied(host):
    for name in ("colours.tiny", BF16):
        embedder = host().load(name).embedder
        assert copy.copy(embedder).card == embedder.card


def test_a_library_in_float32_refuses_rows_of_another_precision_with_the_differences(host, tmp_path):
    made.write_image(tmp_path / "media" / "a.png")
    found = host()
    index(tmp_path / "media", tmp_path / "zoo", models=["colours.tiny"], host=found)
    rows = found.load(BF16).rows(IMAGE)[1]
    with Library(tmp_path / "zoo") as library:
        assert library.search({found.space("colours.tiny"): rows}), "the same numbers under the name of its space"
        with pytest.raises(SpaceMismatch, match="zoo has no vectors in space 'colours.tiny.precision=bf16.'"):
            library.search({found.space(BF16): rows})
        with pytest.raises(SpaceMismatch) as caught:
            next(iter(library.spaces)).require(found.space(BF16), "zoo")
        for text in ("name: expected colours.tiny, got", "stages: expected [], got numpyrun 1.1 bf16"):
            assert text in str(caught.value)


def test_a_library_in_another_precision_refuses_another_version_of_the_runtime(host, tmp_path, numpyrun, monkeypatch):
    made.write_image(tmp_path / "media" / "a.png")
    index(tmp_path / "media", tmp_path / "zoo", models=[BF16], host=host())
    assert index(tmp_path / "media", tmp_path / "zoo", models=[BF16], host=host()).counts == {"unchanged": 1}
    monkeypatch.setattr(numpyrun.NumpyRun, "version", "2.0")
    with pytest.raises(SpaceMismatch, match="stages: expected numpyrun 1.1 bf16, got numpyrun 2.0 bf16"):
        index(tmp_path / "media", tmp_path / "zoo", models=[BF16], host=host())


def test_a_precision_that_nobody_offers_is_refused(host, tiny, monkeypatch):
    for found, name in ((tiny, "bf16"), (host(), "int4")):
        with pytest.raises(UnknownModel, match=f"precision={name}: no runtime offers it for this network"):
            found.card(f"colours.tiny[precision={name}]")
    with pytest.raises(PluginError, match="runtime 'numpyrun' cannot run .*bf16.* on 'cuda'"):
        host().load(BF16, "cuda")
    assert host(runtime="none").load(BF16).execution.runtime == "numpyrun", "the name needs it"


def test_only_the_precisions_of_the_runtime_that_the_user_names_are_listed(host):
    assert list(host(runtime="numpyrun").precisions("colours.tiny")) == ["float32", "bf16"]
    assert host(runtime="torch").precisions("colours.tiny") == {"float32": None}


# -- compiled files ------------------------------------------------------------------------------------------------


def test_compiled_files_of_another_version_device_precision_or_space_are_not_used(host, numpyrun, monkeypatch, folder):
    host().load("colours.tiny", "cpu")
    host().load("colours.tiny", "auto")
    host().load(BF16, "cpu")
    host().load("loudness.tiny", "cpu")
    monkeypatch.setattr(numpyrun.NumpyRun, "version", "2.0")
    host().load("colours.tiny", "cpu")
    assert numpyrun.calls["compile"] == 5 and numpyrun.calls["read"] == 0
    assert len(list(folder.rglob("matrix.npy"))) == 5
    host().load("colours.tiny", "cpu")
    assert numpyrun.calls["read"] == 1


def test_compiled_files_stay_if_the_package_of_the_runtime_is_missing_for_a_while(host, folder, monkeypatch):
    host().load("colours.tiny")
    monkeypatch.setenv("NUMPYRUN_FAULT", "import")
    with pytest.raises(
        PluginError, match=r"ModuleNotFoundError: .*; install it: pip install an_engine; or run it without"
    ):
        host(runtime="numpyrun").load("colours.tiny")
    assert list(folder.rglob("matrix.npy")) and list(folder.rglob("compared.json"))


@pytest.mark.parametrize("runtime", ["", "numpyrun"])
def test_a_damaged_compiled_file_is_removed_and_compiled_again(host, numpyrun, folder, caplog, runtime):
    host().load("colours.tiny", "cpu")
    (file,) = folder.rglob("matrix.npy")
    file.write_bytes(file.read_bytes()[:-40])
    with caplog.at_level("INFO", "sightsound"):
        model = host(runtime=runtime).load("colours.tiny", "cpu")
    assert model.execution.runtime == "numpyrun" and model.rows(IMAGE)[1].shape == (1, 48)
    assert "compiling it again" in caplog.text
    assert (file.parent / "compared.json").exists(), "it was compared again too"
    caplog.clear()
    host().load("colours.tiny", "cpu")
    assert caplog.text == ""


def test_several_threads_compile_a_network_one_after_the_other(host, numpyrun, monkeypatch):
    inside, most, compile_ = [], [], numpyrun.NumpyRun.compile

    def watched(self, *arguments, **options):
        inside.append(1)
        most.append(len(inside))
        try:
            return compile_(self, *arguments, **options)
        finally:
            inside.pop()

    monkeypatch.setattr(numpyrun.NumpyRun, "compile", watched)
    hosts = [host() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        models = list(pool.map(lambda each: each.load("colours.tiny"), hosts))
    assert {model.execution.runtime for model in models} == {"numpyrun"}
    assert (max(most), numpyrun.calls["compile"], numpyrun.calls["read"]) == (1, 6, 5)
    assert numpyrun.calls["run"] == 1, "and one of them compares"


def test_files_on_a_medium_that_cannot_be_written_are_used(host, numpyrun, folder, monkeypatch):
    host().load("colours.tiny")

    def acquire(self, *arguments, **options):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", acquire)
    assert host().load("colours.tiny").execution.runtime == "numpyrun"
    assert numpyrun.calls["read"] == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"network": "colours.tiny 48 ", "rows": "much"}'])
def test_a_damaged_note_of_the_comparison_means_that_it_is_compared_again(host, numpyrun, folder, content):
    host().load("colours.tiny")
    (stamp,) = folder.rglob("compared.json")
    stamp.write_text(content)
    before = numpyrun.calls["run"]
    host().load("colours.tiny")
    assert numpyrun.calls["run"] == before + 1
    assert json.loads(stamp.read_text())["rows"] < 1e-9


def test_a_cache_that_cannot_be_written_leaves_the_runtime_out_with_a_warning(host, folder, caplog):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    assert host().load("colours.tiny").execution.runtime == ""
    assert "so colours.tiny runs by itself: " in caplog.text and "make it writable" in caplog.text
    with pytest.raises(Exception, match=r"compiled/.*: cannot be made .*--runtime none"):
        host(runtime="numpyrun").load("colours.tiny")


def test_a_comparison_that_cannot_be_noted_is_made_again_next_time(host, folder, monkeypatch, caplog, numpyrun):
    monkeypatch.setattr("sightsound.host.compiler.os.replace", refuse)
    assert host().load("colours.tiny").execution.runtime == "numpyrun"
    assert "compared.json: cannot be written (No space left on device)" in caplog.text
    monkeypatch.undo()


def refuse(*arguments):
    raise OSError(28, "No space left on device")


# -- the command line ----------------------------------------------------------------------------------------------

PLUGINS = ("tiny", "numpyrun")
RUN = "numpyrun, cpu, float32, 2 workers of 1 thread, batches of 16"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    made.write_image(tmp_path / "media" / "a.png")
    made.write_sound(tmp_path / "media" / "b.wav", seconds=2)
    return tmp_path / "media"


def indexing(command, media, *words, before=(), **options):
    models = ("-m", "colours.tiny", "-m", "loudness.tiny")
    return command(*before, "index", media, "--library", media.parent / "zoo", *models, *words, **options)


def test_index_shows_how_each_model_ran_and_only_those_that_did(command, media, folder):
    ran = indexing(command, media, plugins=PLUGINS)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("2 embedded; 4 new vectors in ")
    assert lines[1:] == [f"colours.tiny: {RUN}", f"loudness.tiny: {RUN}"]
    assert len(indexing(command, media, plugins=PLUGINS).stdout.splitlines()) == 1
    made.write_image(media / "c.png", 3)
    plain = indexing(command, media, before=("--runtime", "none"), plugins=PLUGINS).stdout.splitlines()
    assert plain[1:] == ["colours.tiny: cpu, float32, 2 workers of 1 thread, batches of 4"]


def test_index_shows_how_each_model_ran_as_json_and_in_python(command, media, folder, host):
    ran = indexing(command, media, "--json", plugins=PLUGINS)
    expected = {"batch_size": 16, "workers": 2, "threads": 1, "device": "cpu", "precision": "float32"}
    assert json.loads(ran.stdout)["execution"]["colours.tiny"] == {**expected, "runtime": "numpyrun"}
    report = index(media, media.parent / "other", models=["loudness.tiny"], host=host())
    assert {name: str(execution) for name, execution in report.execution.items()} == {"loudness.tiny": RUN}


def test_embed_shows_how_the_model_ran(command, media, folder, host, tmp_path):
    ran = command("embed", media / "a.png", "-m", "colours.tiny", "--out", tmp_path / "a.npz", plugins=PLUGINS)
    assert ran.stdout.splitlines()[1:] == [f"colours.tiny: {RUN}"]
    rows = embed(media / "a.png", "colours.tiny", host=host())
    assert (rows.model, rows.execution) == ("", None)
    rows.matrix()
    assert (rows.model, str(rows.execution)) == ("colours.tiny", RUN)


def test_models_says_which_runtime_a_network_would_get(command, folder):
    listed = command("models", plugins=PLUGINS).stdout.splitlines()
    assert listed[0].endswith("runs in")
    assert [line.split()[-1] for line in listed if line.startswith(("colours", "loudness"))] == ["numpyrun"] * 2
    assert "runs in" not in command("--runtime", "none", "models", plugins=PLUGINS).stdout
    described = json.loads(command("models", "--json", plugins=PLUGINS).stdout)
    assert {each["runtime"] for each in described if each["name"].endswith(".tiny")} == {"numpyrun"}
    assert "runs in  " in command("models", "colours.tiny", plugins=PLUGINS).stdout
    assert json.loads(command("models", "colours.tiny", "--json", plugins=PLUGINS).stdout)["runtime"] == "numpyrun"
    assert "precision" not in command("models", "colours.tiny").stdout
    assert "precision  float32, bf16 (not measured yet)\n" in command("models", "colours.tiny", plugins=PLUGINS).stdout
    wrong = command("--runtime", "numpirun", "models", plugins=PLUGINS)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1) and "did you mean 'numpyrun'?" in wrong.stderr


def test_plugins_shows_a_runtime_and_the_package_that_it_lacks(command, folder):
    shown = command("plugins", plugins=PLUGINS)
    assert "runtimes: numpyrun (float32, bf16)\n" in shown.stdout
    lacking = command("plugins", plugins=PLUGINS, NUMPYRUN_FAULT="absent").stdout
    assert 'runtimes: numpyrun (an_engine is not installed; pip install "sightsound-numpyrun[engine]")' in lacking
    as_json = json.loads(command("plugins", "--json", plugins=PLUGINS, NUMPYRUN_FAULT="absent").stdout)
    (row,) = [each for each in as_json if each["name"] == "numpyrun"]
    assert row["missing"] == ['an_engine is not installed; pip install "sightsound-numpyrun[engine]"']


def test_a_wrong_runtime_that_was_named_ends_the_command_with_one_line(command, media, folder):
    ran = indexing(command, media, before=("--runtime", "numpyrun"), plugins=PLUGINS, NUMPYRUN_FAULT="numbers")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("sightsound: runtime numpyrun (plugin numpyrun): the numbers of ")
    left = indexing(command, media, plugins=PLUGINS, NUMPYRUN_FAULT="numbers")
    assert left.returncode == 0 and left.stderr.count("runtime numpyrun is not used, so ") == 2
