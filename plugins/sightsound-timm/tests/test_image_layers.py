"""Rows of named layers, against plain forward hooks on the plain networks of timm and torchvision."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import sightsound
import sightsound_timm
from command_line import Finished
from sampling import sampled
from seeded_networks import hooked, saved, seeded
from sightsound import Host, Library, MissingWeights, SightsoundError, UnknownModel
from sightsound.contract.layer_names import split
from sightsound.testing import check_model
from sightsound.torch import layers as torch_layers
from sightsound_timm import cards
from sightsound_timm import layers as timm_layers
from sightsound_timm.frameworks import timm, torchvision

RESNET = "resnet18.tv_in1k"
SHARED = "resnet18.IMAGENET1K_V1"
"""torchvision's ResNet, where one ReLU is called twice in a block."""


def pooled(values: torch.Tensor, pool: str = "avg", axis: int = 1) -> NDArray[Any]:
    """By the definition, in float64."""
    array = values.double().numpy()
    if array.ndim == 2 or pool == "flat":
        return array.reshape(len(array), -1)
    array = np.moveaxis(array, axis, 1).reshape(len(array), array.shape[axis], -1)
    return np.concatenate(
        [{"avg": np.mean, "max": np.max, "std": np.std}[part](array, 2) for part in pool.split("+")], 1
    )


def same(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def noise(shape: tuple[int, ...], count: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)


def host_with(name: str, net: nn.Module, path: Path) -> Host:
    host = Host(installed=False)
    host.register(sightsound_timm, "timm")
    (file,) = host.card(name).weights
    host = Host(installed=False, weights=[f"{file.name}={saved(net, path)}"])
    host.register(sightsound_timm, "timm")
    return host


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return seeded(lambda: timm.create_model("resnet18"))


@pytest.fixture(scope="module")
def weights(resnet: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(resnet, tmp_path_factory.mktemp("weights") / "resnet18.safetensors")


@pytest.fixture(scope="module")
def zoo(weights: Path) -> Host:
    """A host with a file for timm's resnet18, which the user gives."""
    host = Host(installed=False, weights=[f"{cards.RESNET18.weights[0].name}={weights}"])
    host.register(sightsound_timm, "timm")
    return host


def row(host: Host, name: str, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    model = host.load(name, device="cpu")
    output = model.embed(inputs)
    assert output.scores is None
    return model.postprocess(output)


# -- the numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    sampled(
        ("conv1", "bn1", "act1", "layer2", "layer3.1.act2", "layer4.0.downsample.1", "fc"),
        *("bn1", "layer3.1.act2", "layer4.0.downsample.1", "fc"),
    ),
)
def test_a_layer_gives_what_a_plain_forward_hook_sees(zoo: Host, resnet: nn.Module, layer: str) -> None:
    """conv1 and bn1 would be other numbers in a folded network; what bn1 gives, act1 changes in place."""
    inputs = noise((3, 224, 224))
    seen = hooked(resnet, [layer], inputs)[layer]
    same(row(zoo, f"{RESNET}[layer={layer}]", inputs), pooled(seen))
    assert layer != "bn1" or (seen < 0).any()


@pytest.mark.parametrize(
    "pool",
    sampled(("avg", "max", "std", "avg+std", "max+avg", "flat"), "avg", "std", "max+avg", "flat"),
)
def test_pools(zoo: Host, resnet: nn.Module, pool: str) -> None:
    inputs = noise((3, 224, 224))
    seen = hooked(resnet, ["layer3.1.act2"], inputs)["layer3.1.act2"]
    name = f"{RESNET}[layer=layer3.1.act2,pool={pool}]"
    expected = pooled(seen, pool)
    assert zoo.card(name).dim == expected.shape[1]
    assert zoo.card(name).name == (f"{RESNET}[layer=layer3.1.act2]" if pool == "avg" else name)
    same(row(zoo, name, inputs), expected)


def test_several_layers_come_in_the_order_named(zoo: Host, resnet: nn.Module) -> None:
    inputs = noise((3, 224, 224))
    seen = hooked(resnet, ["layer2", "layer3.1.act2"], inputs)
    for names in (["layer2", "layer3.1.act2"], ["layer3.1.act2", "layer2"]):
        found = row(zoo, f"{RESNET}[layer={'+'.join(names)}]", inputs)
        same(found, np.concatenate([pooled(seen[name]) for name in names], axis=1))


def test_of_a_module_that_is_called_twice_the_last_call_counts(tmp_path: Path) -> None:
    net = seeded(lambda: torchvision.models.resnet18(weights=None))
    host, inputs = host_with(SHARED, net, tmp_path / "own.pth"), noise((3, 224, 224))
    seen = hooked(net, ["layer3.1.relu", "layer3.1", "layer3.1.bn1"], inputs)
    assert torch.equal(seen["layer3.1.relu"], seen["layer3.1"])
    found = row(host, f"{SHARED}[layer=layer3.1.relu+layer3.1.bn1]", inputs)
    same(found, np.concatenate([pooled(seen["layer3.1.relu"]), pooled(seen["layer3.1.bn1"])], axis=1))
    assert next(layer for layer in host.layers(SHARED) if layer.name == "layer3.1.relu").calls == 2


@pytest.mark.parametrize(
    "name",
    sampled(
        ("test_resnet", "test_convnext", "test_vit", "test_efficientnet", "squeezenet1_1"), "test_resnet", "test_vit"
    ),
)
def test_every_layer_that_is_listed_gives_what_a_hook_sees(name: str, tmp_path: Path) -> None:
    probe = Host(installed=False)
    probe.register(sightsound_timm, "timm")
    known = probe.card(name)
    timms = timm.is_model(name)
    net = seeded(lambda: timm.create_model(name) if timms else torchvision.models.get_model(name))
    host = host_with(name, net, tmp_path / "own.pth")
    names = [layer.name for layer in host.layers(name)]
    inputs = noise(known.input_shape)
    seen, model = hooked(net, names, inputs), host.load(f"{name}[layer={'+'.join(names)},pool=flat]", device="cpu")
    parts = split(model.card, model.embed(inputs).embeddings)
    assert list(parts) == names and len(names) > 10
    for layer, part in parts.items():
        expected = pooled(seen[layer], "flat")
        np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", sampled((cards.LITE0.name, cards.MOBILENET.name), cards.LITE0.name))
def test_layers_of_networks_with_real_weights(name: str, host: Host) -> None:
    layers = "blocks.3+conv_head" if name == cards.LITE0.name else "features.7+features.18.0"
    try:
        model = host.load(f"{name}[layer={layers}]", "cpu")
    except MissingWeights as error:
        pytest.skip(f"needs weights: {error}")
    path = host.weights.get(host.card(name).weights[0]).path
    tensors = torch.load(path, weights_only=True)
    if name == cards.LITE0.name:
        net: Any = timm.create_model("tf_efficientnet_lite0").eval()
        tensors = dict(zip(net.state_dict(), tensors.values(), strict=True))
    else:
        net = torchvision.models.mobilenet_v2(weights=None).eval()
    net.load_state_dict(tensors)
    parts = split(model.card, model.embed(noise((3, 224, 224))).embeddings)
    for layer, seen in hooked(net, parts, noise((3, 224, 224))).items():
        same(parts[layer], pooled(seen))


def test_places365_has_layers_too(tmp_path: Path) -> None:
    net = seeded(lambda: torchvision.models.resnet18(weights=None, num_classes=365))
    host, inputs = host_with("resnet18.places365", net, tmp_path / "own.pth"), noise((3, 224, 224))
    card = host.card("resnet18.places365[layer=layer3]")
    assert card.constants["resize_mode"] == "squash" and not card.labels
    same(row(host, card.name, inputs), pooled(hooked(net, ["layer3"], inputs)["layer3"]))


# -- where the channels are --------------------------------------------------------------------------------------------

LAYOUTS = {
    "swin_tiny_patch4_window7_224": {"patch_embed.proj": 0, "patch_embed": 2, "layers.1": 2, "layers.1.blocks.1": 2},
    "convnext_tiny": {"stages.1": 0, "stages.1.blocks.0.conv_dw": 0, "stages.1.blocks.0.mlp.act": 2},
    "vit_tiny_patch16_224": {"patch_embed.proj": 0, "blocks.3": 1, "norm": 1, "fc_norm": 0, "head": 0},
    "swin_t.IMAGENET1K_V1": {"features.0.0": 0, "features.1": 2, "features.1.0.mlp.1": 2},
    "maxvit_t": {"blocks.0": 0, "blocks.1.layers.0.layers.window_attention.attn_layer": 2},
    "mobilevit_xxs": {"stages.2.1": 0, "stages.2.1.conv_kxk.bn": 0},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_maps_and_tokens_of_any_layout(host: Host, name: str) -> None:
    found = {layer.name: layer.axis for layer in host.layers(name)}
    assert {layer: found[layer] for layer in LAYOUTS[name]} == LAYOUTS[name]
    card = host.card(f"{name}[layer={'+'.join(LAYOUTS[name])}]")
    widths = {layer.name: layer.dim for layer in host.layers(name)}
    assert card.dim == sum(widths[layer] for layer in LAYOUTS[name])


def test_a_map_with_channels_last_is_pooled_over_its_positions() -> None:
    def build(**size: Any) -> nn.Module:
        settings = {"img_size": 64, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4, **size}
        return timm.models.SwinTransformer(**settings)

    for larger in (lambda: build(img_size=128), None):  # without it timm's output_fmt tells
        found = torch_layers.survey(build, (3, 64, 64), larger)
        plan = torch_layers.choose("swin", {"layer": "layers.0+patch_embed.proj", "pool": "avg+max"}, found)
        net = seeded(build)
        seen = hooked(net, ["layers.0", "patch_embed.proj"], noise((3, 64, 64)))
        assert seen["layers.0"].shape == (2, 16, 16, 24) and plan.dim == 96
        with torch.inference_mode():
            rows = torch_layers.Tapped(net, plan)(torch.from_numpy(noise((3, 64, 64)))).numpy()
        same(rows[:, :48], pooled(seen["layers.0"], "avg+max", axis=3))
        same(rows[:, 48:], pooled(seen["patch_embed.proj"], "avg+max"))


# -- cards and names ---------------------------------------------------------------------------------------------------


def test_each_layer_and_pool_is_a_space_without_classes(zoo: Host) -> None:
    names = [RESNET, *(f"{RESNET}[layer={rest}]" for rest in ("layer2", "layer3", "layer3,pool=max", "layer2+layer3"))]
    assert len({zoo.space(name).fingerprint for name in names}) == 5
    card = zoo.card(f"{RESNET}[layer=layer2+layer3,pool=max]")
    assert (card.dim, card.labels, card.label_ids, card.scores, card.top1) == (384, (), (), None, None)
    assert card.name == f"{RESNET}[layer=layer2+layer3,pool=max]" == zoo.load(card.name).card.name
    assert card.constants["pool"] == "max" and card.constants["mean"] == zoo.card(RESNET).constants["mean"]
    assert list(card.constants["layers"]) == [
        {"name": "layer2", "dim": 128, "axis": 0},
        {"name": "layer3", "dim": 256, "axis": 0},
    ]
    assert zoo.card("resnet18.tv_in1k[pool=max, layer=layer2+layer3]") == card
    assert type(card).from_json(card.to_json()) == card


SEE = r"see `sightsound models layers resnet18\.tv_in1k`"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("layer=layr3", rf"^layer 'layr3' of {RESNET}: expected a module's name; did you mean 'layer3'\? {SEE}$"),
        ("layer=q", rf"^layer 'q' of {RESNET}: expected a module's name; {SEE}$"),
        ("layer=layer2+layer2", "expected each layer once"),
        ("layer=layer2+", "expected layer=NAME or layer=NAME\\+NAME"),
        ("layer", "expected layer=TEXT, got layer;"),
        ("pool=max", "expected layer=NAME"),
        ("layer=layer2,hop=1", "no option 'hop', only layer, pool"),
        ("layer=layer2,pool=mean", r"expected flat, or some of avg, max, std joined by \+, got 'mean'; use pool=avg"),
        ("layer=layer2,pool=flat+avg", "got 'flat\\+avg'"),
        ("layer=layer2,pool", "expected pool=TEXT, got pool;"),
    ],
)
def test_mistakes_in_options(zoo: Host, options: str, error: str) -> None:
    with pytest.raises(UnknownModel, match=error):
        zoo.card(f"{RESNET}[{options}]")


@pytest.mark.slow
def test_modules_that_give_no_rows(host: Host) -> None:
    with pytest.raises(UnknownModel, match="expected a module that gives rows, but it is never called; see"):
        host.card("vit_b_16.IMAGENET1K_V1[layer=encoder.layers.encoder_layer_0.self_attention.out_proj]")
    with pytest.raises(UnknownModel, match="but it gives no tensor of real numbers but tuple"):
        host.card("vit_b_16.IMAGENET1K_V1[layer=encoder.layers.encoder_layer_0.self_attention]")
    with pytest.raises(UnknownModel, match=r"gives \(128, 49, 96\) for 2 inputs, which is not one row for each"):
        host.card("swin_tiny_patch4_window7_224[layer=layers.0.blocks.0.attn]")


def test_names_without_options_do_not_look_for_layers(monkeypatch: pytest.MonkeyPatch, zoo: Host) -> None:
    monkeypatch.setattr(timm_layers, "survey", lambda *args: pytest.fail("looked for layers"))
    assert zoo.load("resnet18.tv_in1k", "cpu").card.dim == 512


# -- in threads, in the kit, in a library ------------------------------------------------------------------------------


def test_threads_do_not_mix_their_rows(zoo: Host) -> None:
    model = zoo.load(f"{RESNET}[layer=layer1+layer2]", device="cpu")
    inputs = np.split(noise((3, 224, 224), 12), 6)
    expected = [model.embed(part).embeddings for part in inputs]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(2):
            for found, known in zip(pool.map(model.embed, inputs), expected):
                np.testing.assert_allclose(found.embeddings, known, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_layer_conforms(zoo: Host) -> None:
    results = check_model(f"{RESNET}[layer=layer2+layer3.1.act2,pool=avg+std]", host=zoo)
    assert [(result.check, result.reason) for result in results if not result.passed] == []


@pytest.fixture(scope="module")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_library_keeps_a_layer_beside_the_whole_network(zoo: Host, photos_folder: Path, tmp_path: Path) -> None:
    models = [RESNET, f"{RESNET}[layer=layer3]"]
    sightsound.index(photos_folder, tmp_path / "zoo", models=models, host=zoo)
    with Library(tmp_path / "zoo") as library:
        assert {space.name: space.dim for space in library.spaces} == {models[0]: 512, models[1]: 256}
        hits = sightsound.search(photos_folder / "1.png", library, host=zoo, models=[models[1]], k=2)
    assert hits[0].item.path != "1.png" and hits[0].spaces == (models[1],)


def test_the_parts_of_rows_in_python(zoo: Host, photos_folder: Path) -> None:
    rows = sightsound.embed(photos_folder, f"{RESNET}[layer=layer2+layer3]", host=zoo, progress=False)
    parts, whole = rows.matrices(), rows.matrix()
    assert {layer: part.shape for layer, part in parts.items()} == {"layer2": (3, 128), "layer3": (3, 256)}
    np.testing.assert_array_equal(np.concatenate([*parts.values()], axis=1), whole)
    assert rows.spaces() == {layer: zoo.space(f"{RESNET}[layer={layer}]") for layer in parts}
    same_rows = sightsound.embed(photos_folder, RESNET, host=zoo, layers=["layer2", "layer3"]).matrix()
    np.testing.assert_array_equal(same_rows, whole)
    with pytest.raises(SightsoundError, match="expected a model that names layers; use matrix"):
        sightsound.embed(photos_folder, RESNET, host=zoo).matrices()


# -- the command line --------------------------------------------------------------------------------------------------

Run = Callable[..., Finished]


@pytest.fixture
def command(command: Run, weights: Path) -> Run:
    """The command line with the weights of the tests."""
    return functools.partial(command, "--weights", f"{cards.RESNET18.weights[0].name}={weights}", plugins=())


def test_the_layers_of_a_network_are_listed_without_its_weights(command: Run) -> None:
    ran = command("models", "layers", "resnet34.tv_in1k")
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, ran.stderr
    assert lines[0] == ["layer", "kind", "output", "dim", "calls"]
    assert ["layer3.1.act2", "ReLU", "256x14x14", "256", "1"] in lines
    assert lines[-1] == ["fc", "Linear", "1000", "1000", "1"]
    for words in (("models", "layers", RESNET, "--json"), ("models", "--json", "layers", f"{RESNET}[layer=fc]")):
        rows = {row["name"]: row for row in json.loads(command(*words).stdout)}
        assert rows["layer2"] == {
            "name": "layer2",
            "kind": "Sequential",
            "shape": [128, 28, 28],
            "axis": 0,
            "calls": 1,
            "dim": 128,
        }


def test_models_alone_lists_models_as_before(command: Run) -> None:
    assert "tf_efficientnet_lite0.in1k *" in command("models").stdout
    assert {row["name"] for row in json.loads(command("models", "--json").stdout)} >= {cards.LITE0.name}


def test_embed_writes_an_array_for_each_layer(command: Run, zoo: Host, photos_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.npz"
    words = ("embed", photos_folder, "--model", RESNET, "--pool", "max", "--out", out, "--device", "cpu")
    ran = command(*words, "--layer", "layer3.1.act2", "--layer", "layer2")
    assert ran.returncode == 0 and ran.stdout.startswith(f"3 rows of 3 files in {out}\n"), ran.stderr
    with np.load(out, allow_pickle=False) as found:
        assert found["layers"].tolist() == ["layer3.1.act2", "layer2"] and "embeddings" not in found
        assert found["paths"].tolist() == ["0.png", "1.png", "2.png"]
        for layer, dim in (("layer3.1.act2", 256), ("layer2", 128)):
            name = f"{RESNET}[layer={layer},pool=max]"
            assert str(found[f"space[{layer}]"]) == name
            assert str(found[f"fingerprint[{layer}]"]) == zoo.space(name).fingerprint
            alone = sightsound.embed(photos_folder, name, host=zoo).matrix()
            assert found[f"embeddings[{layer}]"].dtype == np.float32 and alone.shape == (3, dim)
            same(found[f"embeddings[{layer}]"], alone)


def test_embed_of_one_layer_writes_plain_arrays(command: Run, zoo: Host, photos_folder: Path, tmp_path: Path) -> None:
    ran = command("embed", photos_folder, "-m", RESNET, "--layer", "layer2", "-o", tmp_path / "rows.npz")
    assert ran.returncode == 0, ran.stderr
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as found:
        assert found["embeddings"].shape == (3, 128) and found["layers"].tolist() == ["layer2"]
        assert str(found["space"]) == f"{RESNET}[layer=layer2]"
        assert str(found["fingerprint"]) == zoo.space(f"{RESNET}[layer=layer2]").fingerprint


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("models", "layers", "resnet"), "no embedder 'resnet'"),
        (("models", "layers"), "Missing argument 'NAME'"),
        (("embed", "{photos}", "-m", RESNET, "--layer", "layr3", "-o", "rows.npz"), "did you mean 'layer3'?"),
        (("embed", "{photos}", "-m", RESNET, "--pool", "max", "-o", "rows.npz"), "expected layer=NAME"),
        (("embed", "{photos}", "-m", f"{RESNET}[layer=fc]", "--layer", "fc", "-o", "rows.npz"), "expected one layer"),
    ],
)
def test_a_mistake_is_one_line(command: Run, photos_folder: Path, words: tuple[str, ...], text: str) -> None:
    ran = command(*(word.format(photos=photos_folder) for word in words))
    assert ran.returncode == 2 and text in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.slow
def test_check_model_takes_a_layer(command: Run) -> None:
    ran = command("check-model", f"{RESNET}[layer=layer1.0.act1]")
    assert ran.returncode == 0, ran.stdout + ran.stderr
