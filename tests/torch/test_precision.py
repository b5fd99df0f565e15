"""Networks of torch at reduced precision: the code for GPUs, run on the CPU."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from on_cpu import with_reduced_precision  # noqa: E402
from sightsound import ClassList, Host, hookimpl, index  # noqa: E402
from sightsound._threads import has_gpu  # noqa: E402
from sightsound.contract.errors import CannotRun, PluginError, UnknownModel  # noqa: E402
from sightsound.host.derived import Derived  # noqa: E402
from sightsound.host.torch_runtime import TorchRuntime  # noqa: E402
from sightsound.plugin import Inputs, ModelSettings, SightsoundError  # noqa: E402
from sightsound.torch import TorchEmbedder, precision, write_state  # noqa: E402

SIZE = 32
CARD = ModelSettings(name="small.test", size=(SIZE, SIZE), mean=(0.5,), std=(0.25,)).card(
    dim=24, input_shape=(3, SIZE, SIZE), constants={"seed": 0}
)
LOUD = ModelSettings(name="loud.test", size=(SIZE, SIZE), mean=(0.5,), std=(0.25,)).card(
    dim=2, input_shape=(3, SIZE, SIZE), constants={"weight": 15}
)
LABELS = ("one", "two", "three")
REDUCED = ("bf16", "fp16")
ROUNDING = {"bf16": 2.0**-9, "fp16": 2.0**-12}
"""Half of the distance of two neighbouring numbers, relative to them: 8 and 11 bits."""


class Small(TorchEmbedder):
    def __init__(self, card, device):
        super().__init__(card, device, cpu_batch_size=4)
        self.preprocess = Inputs(card)

    def build(self):
        if self.card.name == LOUD.name:
            layer = nn.Linear(3 * SIZE * SIZE, 2)
            nn.init.constant_(layer.weight, 15.0)
            return nn.Sequential(nn.Flatten(), layer)
        torch.manual_seed(0)
        convolution = [nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.Hardswish(), nn.AdaptiveAvgPool2d(1)]
        return nn.Sequential(*convolution, nn.Flatten(), nn.Linear(24, 24), nn.LayerNorm(24))

    def postprocess(self, output):
        return output.embeddings


class Networks:
    """The plugin, whose embedders have the attributes that are given."""

    def __init__(self, **attributes):
        self.attributes = attributes

    @hookimpl
    def register_embedders(self, register):
        for card in (CARD, LOUD):
            register(card, lambda device, weights, card=card: self.made(card, device))

    def made(self, card, device):
        embedder = Small(card, device)
        vars(embedder).update(self.attributes)
        return embedder


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SIGHTSOUND_RUNTIME", "SIGHTSOUND_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def new(**attributes):
        found = Host(installed=False)
        found.register(Networks(**attributes), "networks")
        return with_reduced_precision(found)

    return new


@pytest.fixture
def pictures(tmp_path):
    """A folder with a picture of noise, a grey one and a white one."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    grey, white = np.full_like(noise, 130), np.full_like(noise, 255)
    (folder := tmp_path / "pictures").mkdir()
    for name, pixels in {"noise": noise, "grey": grey, "white": white}.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def inputs(count=3):
    return np.random.default_rng(1).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("capability", [(7, 0), (7, 5)])
def test_a_gpu_before_ampere_has_fp16_alone(capability):
    assert precision.precisions_of(capability) == ("float32", "fp16")


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0), (12, 0), None])
def test_later_ones_and_a_cpu_have_both(capability):
    assert precision.precisions_of(capability) == ("float32", *REDUCED)


def test_bf16_on_a_gpu_without_it_is_one_line_that_says_what_there_is(host, monkeypatch):
    monkeypatch.setattr(precision, "capability_of", lambda device: (7, 5))
    text = "runtime 'on_cpu' cannot run small.test.precision=bf16.: .* compute capability 7.5 has float32, fp16; ask"
    with pytest.raises(CannotRun, match=text):
        host().load("small.test[precision=bf16]", "cpu")
    assert host().load("small.test[precision=fp16]", "cpu").execution.precision == "fp16"
    assert host().load("small.test", "cpu").execution.precision == "float32"


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_the_runtime_of_the_host_offers_nothing_and_says_so(command):
    assert (TorchRuntime().precisions, TorchRuntime().fits(CARD, "auto")) == ((), False)
    found = Host(installed=False)
    found.register(Networks(), "networks")
    text = "precision=fp16: no runtime offers it .* which has no GPU, only float32; .*leave the option out"
    with pytest.raises(UnknownModel, match=text) as caught:
        found.card("small.test[precision=fp16]")
    assert "\n" not in str(caught.value)
    assert "runtimes: torch (nothing without a GPU)" in command("plugins").stdout
    (row,) = [each for each in json.loads(command("plugins", "--json").stdout) if each["name"] == "torch"]
    assert row["runtimes"] == ["torch"] and row["precisions"] == {"torch": []}
    named = Host(runtime="torch")
    named.register(Networks(), "networks")
    assert named.load("small.test", "cpu").execution.runtime == ""
    with_reduced_precision(named)
    with pytest.raises(PluginError, match="'torch': precision=bf16: it needs a GPU, and this machine has none; leave"):
        named.load("small.test[precision=bf16]", "cpu")


@pytest.mark.parametrize("name", REDUCED)
def test_rows_are_float32_and_differ_by_the_rounding(host, name):
    found = host()
    exact, reduced = found.load("small.test", "cpu"), found.load(f"small.test[precision={name}]", "cpu")
    assert (reduced.execution.precision, reduced.execution.runtime) == (name, "on_cpu")
    assert (reduced.batch_size, reduced.device) == (exact.batch_size, "cpu")
    a, b = (each.embed(inputs()).embeddings for each in (exact, reduced))
    assert b.dtype == np.float32
    difference = np.abs(a - b).max() / np.abs(a).max()
    assert ROUNDING[name] / 8 < difference < 8 * ROUNDING[name], difference


def test_each_is_a_space_of_its_own_whose_difference_is_measured(host):
    found = host()
    for name in REDUCED:
        model = found.load(f"small.test[precision={name}]", "cpu")
        assert found.space("small.test").differences(model.space) == [
            f"name: expected small.test, got small.test[precision={name}]",
            f"stages: expected [], got on_cpu {torch.__version__.partition('+')[0]} {name}",
        ]
    noted = host().precisions("small.test")
    assert list(noted) == ["float32", *REDUCED] and noted["float32"] is None
    assert 1e-10 < noted["fp16"].rows < noted["bf16"].rows < 1e-4


def test_float32_stays_as_it_is_bit_for_bit(host):
    found = host()
    module = Small(CARD, "cpu").module()
    with torch.inference_mode():
        expected = module(torch.from_numpy(inputs()).to(memory_format=torch.channels_last)).numpy()
    found.load("small.test[precision=fp16]", "cpu")
    np.testing.assert_array_equal(found.load("small.test", "cpu").embed(inputs()).embeddings, expected)


@pytest.mark.parametrize("name", REDUCED)
def test_parameters_that_are_rounded_once_give_what_autocast_gives(name):
    module = Small(CARD, "cpu").module().requires_grad_(False)
    x = torch.from_numpy(inputs())
    with torch.inference_mode(), torch.autocast("cpu", precision.DTYPES[name]):
        expected = module(x).float()
    reduced = precision.at_precision(Small(CARD, "cpu").module(), name).requires_grad_(False)
    with torch.inference_mode():
        torch.testing.assert_close(reduced(x), expected, rtol=0, atol=0)
    dtypes = {type(each).__name__: each.weight.dtype for each in reduced.network if hasattr(each, "weight")}
    rounded = precision.DTYPES[name]
    assert dtypes == {"Conv2d": rounded, "BatchNorm2d": torch.float32, "Linear": rounded, "LayerNorm": torch.float32}


def test_a_head_of_the_users_own_is_computed_in_float32():
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(3, 24)).astype(np.float32), random.normal(size=3).astype(np.float32)
    card = dataclasses.replace(CARD, classes=ClassList("mine", LABELS), scores="softmax")
    found = Small(CARD, "cpu").derive(card, None, (weight, bias)).network_at("bf16")(inputs())
    logits = found.embeddings @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)


def test_rows_beyond_the_range_of_fp16_are_refused_and_the_others_kept(host, pictures, tmp_path):
    found, model = host(), "loud.test[precision=fp16]"
    report = index(pictures, tmp_path / "zoo", models=[model], host=found)
    (failed,) = report.failed
    assert str(failed.item).endswith("white.png") and report.counts == {"ok": 2, "failed": 1}
    assert "precision=fp16: expected finite numbers up to 65504" in failed.reason
    assert "use [precision=bf16] or float32" in failed.reason and "\n" not in failed.reason
    assert index(pictures, tmp_path / "zoo2", models=["loud.test[precision=bf16]"], host=found).counts == {"ok": 3}


def test_a_batch_that_is_not_finite_is_refused(host):
    white = np.full((2, 3, SIZE, SIZE), 2, np.float32)
    with pytest.raises(SightsoundError, match=r"NaN or infinity in 2 of 2 rows; use \[precision=bf16\] or float32"):
        host().load("loud.test[precision=fp16]", "cpu").embed(white)


def test_a_derived_network_has_it_too(tmp_path):
    parent, card = Small(CARD, "cpu"), dataclasses.replace(CARD, name="mine")
    write_state(tmp_path / "mine.safetensors", parent.module().state_dict(), None, {})
    found = Derived(card, parent, tmp_path / "mine.safetensors").network_at("bf16")(inputs())
    np.testing.assert_array_equal(found.embeddings, parent.network_at("bf16")(inputs()).embeddings)


def test_a_gpu_that_torch_does_not_see_is_refused():
    with pytest.raises(CannotRun, match=r"torch sees no GPU, only cpu; leave \[precision=fp16\] out"):
        TorchRuntime().compile(Small(CARD, "cpu"), device="auto", precision="fp16", weights={}, cache=None)


def test_a_network_of_another_precision_or_framework_is_refused(host):
    with pytest.raises(PluginError, match=r"the network is in int8; leave \[precision=bf16\] out"):
        host(precision="int8").load("small.test[precision=bf16]", "cpu")
    with pytest.raises(CannotRun, match=r"it is no network of torch"):
        TorchRuntime().compile(object(), device="cpu", precision="bf16", weights={}, cache=None)
