"""Layers of VGGish and YAMNet: their numbers, their names, and errors for layers that do not exist."""

import h5py
import numpy as np
import pytest
import torch

import reference
from sightsound import Host, UnknownModel
from sightsound.contract.layer_names import split
from sightsound.testing import check_model
from sightsound.torch.layers import Tapped, choose, survey
from sightsound_audioset import vggish, yamnet
from sightsound_audioset.vggish_network import SHAPES, Vggish

F32 = "yamnet.audioset_f32"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host with seeded float32 weights of YAMNet."""
    path = tmp_path_factory.mktemp("weights") / "own.h5"
    with h5py.File(path, "w") as file:
        for name, values in reference.yamnet_weights().items():
            file[name] = values
    host = Host(installed=False, weights=[f"yamnet.h5={path}"])
    host.register(yamnet, "yamnet")
    host.register(vggish, "vggish")
    return host


def hooked(network, names, inputs):
    seen = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.__setitem__(name, output.clone().double().numpy())
        )
    with torch.inference_mode():
        network(torch.from_numpy(inputs))
    return seen


def test_yamnets_layers_are_what_plain_hooks_see(host):
    """body.0 comes before a ReLU in place; body.53, averaged, is the embedding."""
    names = ["body.0", "body.1", "body.25", "body.52", "body.53", "classifier"]
    inputs, model = reference.patches(3), host.load(f"{F32}[layer={'+'.join(names)}]", "cpu")
    output = model.embed(inputs)
    whole = host.load(F32, "cpu")
    seen = hooked(whole.embedder.network.module, names, inputs)
    for layer, part in split(model.card, output.embeddings).items():
        known = seen[layer] if seen[layer].ndim == 2 else seen[layer].mean((2, 3))
        np.testing.assert_allclose(part, known, rtol=1e-5, atol=1e-5 * np.abs(known).max())
    assert output.scores is None and (seen["body.0"] < 0).any()
    np.testing.assert_allclose(
        split(model.card, output.embeddings)["body.53"], whole.embed(inputs).embeddings, rtol=1e-5, atol=1e-5
    )


def test_a_hop_goes_together_with_a_layer(host):
    card = host.card(f"{F32}[pool=max,layer=body.25,hop=0.24]")
    assert card.name == f"{F32}[hop=0.24,layer=body.25,pool=max]"
    assert (card.hop, card.dim, card.labels, card.scores) == (3840, 512, (), None)
    assert list(card.constants["layers"]) == [{"name": "body.25", "dim": 512, "axis": 0}]
    assert host.card(f"{F32}[layer=body.25,hop=0.48]").name == f"{F32}[layer=body.25]"
    assert host.load(card.name, "cpu").rows(np.zeros(32000, np.float32))[1].shape == (6, 512)


def test_a_layer_of_sound_conforms(host):
    results = check_model(f"{F32}[layer=body.25,pool=avg+max]", host=host)
    assert [(result.check, result.reason) for result in results if not result.passed] == []


def test_vggishs_layers_are_what_plain_hooks_see():
    weights = reference.vggish_weights()

    def narrow():
        return Vggish({name: torch.from_numpy(value) for name, value in weights.items()})

    names, inputs = ["features.0", "features.15", "embeddings.0", "embeddings.4"], reference.patches(2)
    plan = choose(vggish.F32.name, {"layer": "+".join(names)}, survey(narrow, vggish.F32.input_shape))
    with torch.inference_mode():
        rows = Tapped(narrow(), plan)(torch.from_numpy(inputs)).numpy()
    seen = hooked(narrow(), names, inputs)
    known = np.concatenate([v.mean((2, 3)) if v.ndim == 4 else v for v in map(seen.get, names)], axis=1)
    np.testing.assert_allclose(rows, known, rtol=1e-5, atol=1e-5 * np.abs(known).max())


def test_vggishs_cards(host):
    card = host.card("vggish.audioset_f32[layer=features.15+embeddings.1]")
    assert (card.dim, card.weights, card.hop) == (512 + 4096, (vggish.NETWORK,), vggish.F32.hop)
    assert {layer.name for layer in host.layers("vggish.audioset_f32[pca]")} >= set(SHAPES)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("yamnet.audioset_i8[layer=body.3]", "'yamnet.audioset_i8' has no option 'layer', only hop; see"),
        ("yamnet.audioset_i8[hop=0.1,layer=body.3]", "'yamnet.audioset_i8' has no option 'layer', only hop; see"),
        (f"{F32}[layer=bdy.3]", r"layer 'bdy\.3' of yamnet\.audioset_f32: .* did you mean 'body\.3'\? see `sightsound"),
        (f"{F32}[layer=body.3,hop=0.005]", "expected hop=a number from 0.01 to 60, a multiple of 0.01, got hop=0.005"),
        (f"{F32}[layer=body.3,pca]", "no option 'pca', only hop, layer, pool"),
        ("vggish.audioset_f32[pca,layer=embeddings.1]", "expected layer and pool alone, for other options follow the"),
        ("vggish.audioset_f32[pool=max]", "expected layer=NAME"),
    ],
)
def test_mistakes_in_options(host, name, error):
    with pytest.raises(UnknownModel, match=error):
        host.card(name)


def test_layers_are_listed_without_weights(host):
    layers = {layer.name: layer for layer in host.layers(F32)}
    assert (layers["body.25"].shape, layers["body.25"].dim, layers["classifier"].dim) == ((512, 6, 4), 512, 521)
    assert host.load(F32, "cpu").layers() == list(layers.values())
    with pytest.raises(UnknownModel, match="expected layers of real numbers, got whole numbers; use"):
        host.layers("yamnet.audioset_i8")
