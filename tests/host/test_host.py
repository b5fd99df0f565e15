"""The host: loading, default models, and what is never imported."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fake_plugins import OneEmbedder, card
from sightsound import Card, Host, WeightFile, hookimpl
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.host.host import using_runtime

HEAVY = ("torch", "tensorflow", "faiss", "sklearn", "librosa", "pandas", "timm", "torchvision")


@pytest.mark.parametrize(
    "code",
    [
        "import sightsound",
        "import sightsound; sightsound.Card, sightsound.Host, sightsound.Model, sightsound.Library",
        "import sightsound; sightsound.embed, sightsound.index, sightsound.search",
        "from sightsound.cli import main; main(['--help'])",
        "from sightsound.cli import main; main(['index', '--help'])",
        "from sightsound.cli import main; main(['plugins'])",
        "from sightsound.cli import main; main(['models'])",
    ],
)
def test_no_framework_is_imported(code, install):
    """Beside tiny, every real plugin that is installed here."""
    watch = f"import atexit, sys\natexit.register(lambda: print('HEAVY', *(set({HEAVY}) & set(sys.modules))))\n{code}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(install("tiny")), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", watch], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY", done.stdout.splitlines()[-1]


# -- loading -----------------------------------------------------------------------------------------------------


def failing(device, weights):
    raise ValueError("no such layer\nand a second line")


def test_a_load_function_that_raises_is_reported_with_its_plugin(tiny):
    tiny.register(OneEmbedder("one.bad", failing), "bad")
    with pytest.raises(PluginError, match=r"loading one.bad \(plugin bad\): ValueError: no such layer") as caught:
        tiny.load("one.bad")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [MemoryError("no room"), SightsoundError("device 'cuda': none here")])
def test_memory_errors_and_errors_of_the_package_are_passed_on_by_load(tiny, error):
    def load(device, weights):
        raise error

    tiny.register(OneEmbedder("one.bad", load), "bad")
    with pytest.raises(type(error)) as caught:
        tiny.load("one.bad")
    assert caught.value is error


@pytest.mark.parametrize("found", [None, "text", type("Other", (), {"card": card("other.card")})()])
def test_an_embedder_with_another_card_is_reported_with_its_plugin(tiny, found):
    tiny.register(OneEmbedder("one.bad", lambda device, weights: found), "bad")
    with pytest.raises(PluginError, match=r"loading one.bad \(plugin bad\): expected an embedder with the registered"):
        tiny.load("one.bad")


def test_the_load_function_gets_the_device_and_the_files_by_name(tmp_path):
    file = tmp_path / "net.bin"
    file.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    weighed = Card(
        name="one.weighed",
        modality="image",
        dim=1,
        input_shape=(1,),
        weights=(WeightFile(name="net.bin", sha256=digest),),
    )
    got = []

    class Weighed:
        card = weighed

        @hookimpl
        def register_embedders(self, register):
            register(weighed, lambda device, weights: got.append((device, weights["net.bin"].read_bytes())) or self)

    host = Host(installed=False, weights=[tmp_path])
    host.register(Weighed(), "weighed")
    model = host.load("one.weighed", "cuda:1")
    assert got == [("cuda:1", b"numbers")]
    assert json.loads(model.space.facts)["weights"] == {"net.bin": digest}
    assert model.space == host.space("one.weighed")


def test_the_traceback_of_a_plugin_that_fails_is_logged(tiny, caplog):
    def fails_deeply(device, weights):
        raise KeyError("deep inside")

    tiny.register(OneEmbedder("one.bad", fails_deeply), "bad")
    with caplog.at_level("DEBUG", "sightsound"), pytest.raises(PluginError, match="deep inside"):
        tiny.load("one.bad")
    assert "Traceback" in caplog.text and "in fails_deeply" in caplog.text


def test_a_weight_file_of_the_user_that_no_network_has_gives_one_warning(tmp_path, caplog):
    class Weighted:
        @hookimpl
        def register_embedders(self, register):
            for name in ("one", "two"):
                file = WeightFile(name=f"{name}.onnx", sha256=hashlib.sha256(b"1").hexdigest())
                made = Card(name=f"{name}.net", modality="image", dim=1, input_shape=(1,), weights=(file,))
                register(made, lambda device, weights, made=made: SimpleNamespace(card=made))

    right, typo = tmp_path / "one.onnx", tmp_path / "one.onx"
    for path in (right, typo):
        path.write_bytes(b"1")
    for given in ([right], [f"two.onnx={right}", right]):
        host = Host(installed=False, weights=given)
        host.register(Weighted(), "weighted")
        host.load("one.net")
    assert caplog.text == "", "a file of another registered network is no mistake"
    host = Host(installed=False, weights=[right, typo])
    host.register(Weighted(), "weighted")
    host.load("one.net"), host.load("one.net")
    assert [record.getMessage() for record in caplog.records] == [
        "--weights one.onx: not used; weight files of one.net: one.onnx (give NAME=FILE)"
    ]


def test_another_host_of_the_same_plugins_can_have_another_runtime(tiny):
    other = using_runtime(tiny, "none")
    assert (other.runtime, tiny.runtime) == ("none", "") and other.cards == tiny.cards
    assert other.load("colours.tiny").execution.runtime == ""


def test_a_host_says_how_to_make_it_anew_unless_plugins_were_added(tmp_path):
    host = Host("one,two", weights=[tmp_path], prefer=["three"], runtime="none")
    assert host.settings == {
        "block": ["one", "two"],
        "weights": [str(tmp_path)],
        "prefer": ["three"],
        "runtime": "none",
    }
    again = Host(**host.settings)
    assert again.settings == host.settings and again.cards == host.cards
    assert Host(installed=False).settings is None
