"""The runtime `openvino`: the numbers of torch, files that are found again, and a start without torch."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sightsound import ClassList, Host, MissingWeights, ModelSettings, SightsoundError, hookimpl
from sightsound.host.compiler import difference, example_inputs
from sightsound.plugin import Inputs, LinearHead
from sightsound.torch import TorchEmbedder

openvino = pytest.importorskip("openvino", reason="needs OpenVINO")
import sightsound_openvino  # noqa: E402
from sightsound_openvino.compiled import CompiledNetwork, has_bf16  # noqa: E402

SIZE = 32
IMAGE = ModelSettings(name="small.test", size=(SIZE, SIZE), mean=(0.5,), std=(0.25,)).card(
    dim=24, input_shape=(3, SIZE, SIZE), constants={"seed": 0}
)
SOUND = ModelSettings(name="heard.test", rate=2000, window=0.5, hop=0.25).card(
    dim=24, input_shape=(1000,), constants={"seed": 0}
)
IMAGE, SOUND = (dataclasses.replace(card, params=1000) for card in (IMAGE, SOUND))
ODD = dataclasses.replace(IMAGE, name="odd.test", constants={**IMAGE.constants, "seed": 1})


class Branching(nn.Module):
    """Looks at its numbers, and uses an operation that cannot be read."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * SIZE * SIZE, 24)

    def forward(self, x):
        return torch.linalg.eigh(self.layer(x.flatten(1))[:, :, None] @ self.layer(x.flatten(1))[:, None])[0]


class Small(TorchEmbedder):
    def __init__(self, card, device):
        super().__init__(card, device, cpu_batch_size=4)
        self.preprocess = Inputs(card)
        self.built = 0

    def build(self):
        self.built += 1
        torch.manual_seed(0)
        if self.card.name.startswith("odd"):
            return Branching()
        if self.card.modality == "sound":
            layers = [nn.Unflatten(1, (1, 1000)), nn.Conv1d(1, 24, 25, 10), nn.ReLU(), nn.AdaptiveAvgPool1d(1)]
        else:
            layers = [nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.Hardswish(), nn.AdaptiveAvgPool2d(1)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 24))

    def postprocess(self, output):
        return output.embeddings


class Networks:
    def __init__(self):
        self.loaded = []

    @hookimpl
    def register_embedders(self, register):
        for card in (IMAGE, SOUND, ODD):
            register(card, lambda device, weights, card=card: self.made(card, device))

    def made(self, card, device):
        self.loaded.append(Small(card, device))
        return self.loaded[-1]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SIGHTSOUND_RUNTIME", "SIGHTSOUND_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "sightsound" / "compiled"


@pytest.fixture
def host(cache):
    def new(**options):
        found = Host(installed=False, **options)
        found.networks = Networks()
        found.register(found.networks, "networks")
        found.register(sightsound_openvino, "openvino")
        return found

    return new


@pytest.mark.parametrize("name", ["small.test", "heard.test"])
def test_rows_are_those_of_torch_for_any_number_of_inputs(host, name):
    ours, plain = host().load(name, "cpu"), host(runtime="none").load(name, "cpu")
    assert (ours.execution.runtime, plain.execution.runtime) == ("openvino", "")
    assert ours.space == plain.space
    assert ours.embed(np.empty((0, *plain.card.input_shape), np.float32)).embeddings.shape == (0, 24)
    for count in (1, 2, 3, 8, 11):
        inputs = np.resize(example_inputs(plain.embedder), (count, *plain.card.input_shape))
        apart = difference(plain.embed(inputs.copy()), ours.embed(inputs.copy()))
        assert apart.rows < 1e-6 and apart.lengths < 1e-5, count


def test_a_network_is_built_once_and_found_again(host, cache):
    first = host()
    inputs = example_inputs(first.load("small.test", "cpu").embedder)
    rows = first.load("small.test", "cpu").embed(inputs).embeddings
    again = host()
    assert np.array_equal(again.load("small.test", "cpu").embed(inputs).embeddings, rows)
    assert sum(each.built for each in first.networks.loaded) > 0
    assert sum(each.built for each in again.networks.loaded) == 0
    assert [file.name for file in cache.rglob("*.blob")] == ["batch2.blob"]


@pytest.mark.parametrize("damaged", ["batch2.blob", "network.xml"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty", marks=pytest.mark.slow),
        pytest.param(b"damaged", id="other", marks=pytest.mark.slow),
        pytest.param(None, id="cut"),
    ],
)
def test_a_damaged_file_is_made_anew(host, cache, damaged, content):
    inputs = example_inputs(host().load("small.test", "cpu").embedder)
    rows = host().load("small.test", "cpu").embed(inputs).embeddings
    (file,) = cache.rglob(damaged)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    found = host().load("small.test", "cpu")
    assert found.execution.runtime == "openvino"
    assert np.array_equal(found.embed(inputs).embeddings, rows)
    assert np.array_equal(found.embed(inputs[:1]).embeddings, rows[:1]), "which compiles another size of batches"


def test_a_head_that_was_derived_gives_the_scores(host, tmp_path):
    plain = host(runtime="none").load("small.test", "cpu").embedder
    random = np.random.default_rng(0)
    head = LinearHead(
        weight=random.normal(size=(3, 24)), bias=random.normal(size=3), kind="softmax", labels=("a", "b", "c")
    )
    card = dataclasses.replace(plain.card, name="mine", classes=ClassList("mine", ("a", "b", "c")), scores="softmax")
    derived = plain.derive(card, None, head)
    inputs = example_inputs(plain)
    found = CompiledNetwork(derived, tmp_path, "float32", (2, 1))(inputs)
    expected = derived.embed(inputs)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_read_runs_by_itself(host, caplog):
    with caplog.at_level(logging.INFO, "sightsound"):
        found = host().load("odd.test", "cpu")
    assert found.execution.runtime == "" and "cannot run odd.test, so it runs by itself" in caplog.text
    assert found.embed(example_inputs(found.embedder)).embeddings.shape == (4, 24)


def test_bf16_is_a_space_of_its_own_and_nearly_the_same(host):
    if not has_bf16():
        with pytest.raises(SightsoundError, match="no bf16"):
            host().load("small.test[precision=bf16]", "cpu")
        return
    found, plain = host().load("small.test[precision=bf16]", "cpu"), host().load("small.test", "cpu")
    assert found.space != plain.space and found.execution.precision == "bf16"
    inputs = example_inputs(plain.embedder)
    apart = difference(plain.embed(inputs), found.embed(inputs))
    assert 1e-9 < apart.rows < 1e-2


def test_it_is_used_by_itself_on_a_cpu_alone(monkeypatch):
    from sightsound_openvino.runtime import OpenVinoRuntime

    ours = OpenVinoRuntime()
    for there in (True, False):
        monkeypatch.setattr("sightsound._threads.has_gpu", lambda there=there: there)
        assert not ours.fits(dataclasses.replace(IMAGE, params=None), "cpu")
        assert ours.fits(IMAGE, "cpu") and ours.fits(IMAGE, "auto") is not there and not ours.fits(IMAGE, "cuda")


@pytest.mark.slow
def test_a_picture_is_classified_without_torch(cache, tmp_path):
    try:
        host = Host()
        host.load("mobilenet_v2.tv_in1k", "cpu")
    except (MissingWeights, SightsoundError) as error:
        pytest.skip(f"needs mobilenet_v2.tv_in1k: {error}")
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    words = [
        "sightsound",
        "--runtime",
        "openvino",
        "tag",
        str(tmp_path / "a.png"),
        "-m",
        "mobilenet_v2.tv_in1k",
        "--json",
    ]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from sightsound.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print([name for name in ('torch', 'timm', 'torchvision', 'faiss', 'sklearn') if name in sys.modules])"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    found, _, modules = done.stdout.rstrip().rpartition("\n")
    assert json.loads(found) and modules == "[]"


@pytest.mark.slow
def test_threads_that_use_a_network_first_do_not_wait_for_each_other(tmp_path):
    """Before `engine` one of ten processes hung, so that this test failed in two of three runs."""
    program = """
import sys, threading
import numpy as np
from sightsound_openvino.engine import openvino
ops = openvino.opset13
given = ops.parameter([-1, 64], np.float32)
network = ops.matmul(given, ops.constant(np.ones((64, 64), np.float32)), False, False)
compiled = openvino.Core().compile_model(openvino.Model([network], [given]), "CPU")
def run():
    request = compiled.create_infer_request()
    for _ in range(50):
        request.infer([np.ones((8, 64), np.float32)])
        request.get_output_tensor(0).data.copy()
threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
sys.exit(any(thread.is_alive() for thread in threads))
"""
    for _ in range(12):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stderr


def test_the_converter_of_openvino_is_imported_when_a_program_asks_for_it():
    script = (
        "import sys; from sightsound_openvino.engine import openvino; name = 'openvino.tools.ovc'\n"
        "print(name in sys.modules, hasattr(openvino, 'no_such_thing'))\n"
        "from openvino import convert_model\n"
        "print(name in sys.modules, convert_model is openvino.convert_model, convert_model.__name__)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False", "True", "True", "convert_model"]
