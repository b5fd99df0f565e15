"""Layers in the name of a model, their columns in its rows, and where the list of layers comes from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import made
from made import write_image
from sightsound import Card, Host, Layer, Option, SightsoundError, embed, hookimpl
from sightsound.contract.errors import PluginError, UnknownModel
from sightsound.contract.layer_names import alone, named, split
from sightsound.pipeline.embeddings import save_embeddings

ROWS = np.arange(10, dtype=np.float32).reshape(2, 5)


def card(name, **constants):
    return Card(name=name, modality="image", dim=5, input_shape=(1,), constants=constants)


TWO = card("net.tag[fast,layer=a.1+b]", layers=[{"name": "a.1", "dim": 2}, {"name": "b", "dim": 3}])


@pytest.mark.parametrize(
    ("model", "layers", "pool", "name"),
    [
        ("net.tag", ["a.1", "b"], "", "net.tag[layer=a.1+b]"),
        ("net.tag", ["b"], "max", "net.tag[layer=b,pool=max]"),
        ("net.tag[hop=0.1]", ["b"], "avg+std", "net.tag[hop=0.1,layer=b,pool=avg+std]"),
        ("net.tag[layer=b]", [], "max", "net.tag[layer=b,pool=max]"),
        ("net.tag[pca, 8bit]", [], "", "net.tag[pca, 8bit]"),
        ("net.tag", [], "", "net.tag"),
    ],
)
def test_layers_follow_the_other_options_in_a_name(model, layers, pool, name):
    assert named(model, layers, pool) == name


def test_a_name_has_each_option_once():
    with pytest.raises(
        UnknownModel, match=r"^net\[layer=a\]: expected one layer, got layer=b too; leave one of them out"
    ):
        named("net[layer=a]", ["b"])
    with pytest.raises(UnknownModel, match="expected one pool, got pool=max too"):
        named("net[layer=a, pool=avg]", [], "max")


def test_rows_are_split_by_layer():
    assert {layer: part.tolist() for layer, part in split(TWO, ROWS).items()} == {
        "a.1": [[0, 1], [5, 6]],
        "b": [[2, 3, 4], [7, 8, 9]],
    }
    assert alone(TWO) == {"a.1": "net.tag[fast,layer=a.1]", "b": "net.tag[fast,layer=b]"}


@pytest.mark.parametrize("other", [card("net.tag"), card("net.tag", layers=12), card("net.tag[layer=3]", layers=12)])
def test_other_cards_have_no_layers(other):
    assert split(other, ROWS) == alone(other) == {}


class Corners:
    """`corners.tiny[layer=NAME+NAME]`: the first 12 of the numbers of `colours.tiny` (top) or the next 12 (below)."""

    sizes = {"top": slice(0, 12), "below": slice(12, 20)}  # noqa: RUF012

    def __init__(self, host):
        self.inner = host.load("colours.tiny").embedder

    @hookimpl
    def resolve_embedder(self, name, options):
        if name != "corners.tiny":
            return None
        if not options:
            card = dataclasses.replace(self.inner.card, name=name, options=(Option("layer", str),))
            return card, lambda device, weights: made.Variant(self.inner, card, {}, 4, 1)
        names = options["layer"].split("+")
        layers = [{"name": n, "dim": self.sizes[n].stop - self.sizes[n].start} for n in names]
        card = dataclasses.replace(
            self.inner.card,
            name=f"corners.tiny[layer={options['layer']}]",
            dim=sum(layer["dim"] for layer in layers),
            constants={"layers": layers},
        )

        def postprocess(inner, output):
            return np.concatenate([output.embeddings[:, self.sizes[n]] for n in names], axis=1)

        return card, lambda device, weights: made.Variant(self.inner, card, {"postprocess": postprocess}, 4, 1)


@pytest.fixture
def corners(tiny):
    tiny.register(Corners(tiny), "corners")
    return tiny


def test_saved_layers_have_their_own_spaces(corners, tmp_path):
    files = [write_image(tmp_path / f"{i}.png", i) for i in range(3)]
    rows = embed(files, "corners.tiny", host=corners, layers=["below", "top"])
    assert rows.spaces() == {}
    assert save_embeddings(rows, tmp_path / "rows.npz") == 3
    whole = embed(files, "colours.tiny", host=corners).matrix()
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as found:
        assert found["layers"].tolist() == ["below", "top"]
        np.testing.assert_array_equal(found["embeddings[below]"], whole[:, 12:20])
        np.testing.assert_array_equal(found["embeddings[top]"], whole[:, :12])
        for layer in ("top", "below"):
            space = corners.space(f"corners.tiny[layer={layer}]")
            assert str(found[f"space[{layer}]"]) == space.name
            assert str(found[f"fingerprint[{layer}]"]) == space.fingerprint
    assert [*rows.matrices()] == ["below", "top"] and rows.matrices()["top"].shape == (3, 12)


def test_saved_rows_without_layers_name_their_space_too(tiny, tmp_path):
    save_embeddings(embed(write_image(tmp_path / "a.png"), "colours.tiny", host=tiny), tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as found:
        assert (str(found["space"]), str(found["fingerprint"])) == (
            "colours.tiny",
            tiny.space("colours.tiny").fingerprint,
        )
        assert "layers" not in found and found["embeddings"].shape == (1, 48)


# -- the list of layers -----------------------------------------------------------------------------------------


class WithLayers:
    """A plugin with one network; `layers` is a method of the embedder, or of its load function."""

    def __init__(self, card, list_layers, by_load=False):
        self.card, self.list_layers, self.by_load = card, list_layers, by_load

    @hookimpl
    def register_embedders(self, register):
        def load(device, weights):
            if self.by_load:
                raise AssertionError("loaded")
            self.layers = self.list_layers
            return self

        if self.by_load:
            load.layers = self.list_layers
        register(self.card, load)


ONE = Layer("a", "Linear", (3, 4, 4), 0)


@pytest.mark.parametrize("by_load", [True, False])
def test_layers_come_from_the_load_function_or_else_from_the_embedder(by_load):
    host = Host(installed=False)
    host.register(WithLayers(card("net.tag"), lambda: [ONE], by_load), "layered")
    assert host.layers("net.tag") == [ONE] and ONE.dim == 3
    if not by_load:
        assert host.load("net.tag").layers() == [ONE]


def test_a_model_without_layers_is_an_error(tiny):
    error = "colours.tiny: plugin 'tiny' lists no layers of it; name another model"
    with pytest.raises(SightsoundError, match=error):
        tiny.layers("colours.tiny")
    with pytest.raises(SightsoundError, match=error):
        tiny.load("colours.tiny").layers()


@pytest.mark.parametrize(
    ("list_layers", "error"),
    [
        (lambda: [("a", "Linear")], r"layers of net.tag \(plugin layered\): expected Layer, got tuple"),
        (lambda: 1 / 0, r"layers of net.tag \(plugin layered\): ZeroDivisionError"),
    ],
)
def test_a_plugin_that_lists_its_layers_wrongly_is_named(list_layers, error):
    host = Host(installed=False)
    host.register(WithLayers(card("net.tag"), list_layers), "layered")
    with pytest.raises(PluginError, match=error):
        host.layers("net.tag")


def test_the_command_reports_it_in_one_line(command):
    ran = command("models", "layers", "colours.tiny")
    assert ran.returncode == 2 and ran.stderr.startswith(
        "sightsound: colours.tiny: plugin 'tiny' lists no layers of it"
    )
