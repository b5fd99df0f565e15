"""`[decode=scaled]`: a space of its own with images that are decoded smaller; without it nothing changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import sightsound.cli
import sightsound.cli.models
from sightsound import Card, Host, Library, Space, classify_image, index, media, search
from sightsound.contract.errors import SightsoundError, SpaceMismatch, UnknownModel
from sightsound.contract.results import Item
from sightsound.library.check import check
from sightsound.pipeline.kept_inputs import keep_inputs
from sightsound.plugin import ClassList, Inputs, ModelSettings, Option, Output, hookimpl, with_option
from sightsound.testing import check_model

SIZE = 12
CARD = ModelSettings(name="crop.acme", size=(SIZE, SIZE), resize=16, mean=(0.5,), std=(0.25,)).card(
    dim=3 * SIZE * SIZE, input_shape=(3, SIZE, SIZE), constants={}
)
CARD = dataclasses.replace(
    CARD, classes=ClassList("two", ("dark", "light")), scores="softmax", constants=CARD.constants
)
OPTION = Option("half", help="half of the numbers")
SCALED = "crop.acme[decode=scaled]"


class Crop:
    """Its rows are the inputs, so that pixels can be compared."""

    def __init__(self, card: Card, sizes: list[tuple[int, int]]) -> None:
        self.card, self.sizes, self._inputs = card, sizes, Inputs(CARD)

    def preprocess(self, media, start, last):
        self.sizes.append(media.shape[:2])
        return self._inputs(media, start, last)

    def embed(self, inputs):
        light = 1 / (1 + np.exp(-inputs.mean(axis=(1, 2, 3))))
        return Output(inputs.reshape(len(inputs), -1), np.stack([1 - light, light], axis=1))

    def postprocess(self, output):
        return output.embeddings[:, : self.card.dim]


class Plugin:
    """`crop.acme` with an option, networks whose cards say other sizes, and one that says none."""

    def __init__(self):
        self.sizes = []

    def load(self, card):
        return lambda device, weights: Crop(card, self.sizes)

    @hookimpl
    def register_embedders(self, register):
        register(CARD, self.load(CARD))
        for name, constants in OTHERS.items():
            card = dataclasses.replace(CARD, name=f"{name}.acme", constants=constants)
            register(card, self.load(card))
        sound = Card(name="heard.acme", modality="sound", dim=1, input_shape=(8,), sample_rate=8, window=8, hop=8)
        register(sound, self.load(sound))

    @hookimpl
    def register_options(self, register):
        def apply(card, load, value):
            half = dataclasses.replace(card, name=with_option(card.name, OPTION, value), dim=card.dim // 2)
            return half, self.load(half)

        register(OPTION, lambda card: card.name.startswith("crop"), apply)


PLAIN = dict(CARD.constants)
OTHERS = {
    "squash": {**PLAIN, "resize": [20, 30], "crop": [20, 30], "resize_mode": "squash"},
    "other": {key: value for key, value in PLAIN.items() if key != "resize"},
    "text": {**PLAIN, "resize": "large"},
    "none": {**PLAIN, "resize": []},
    "own": {**PLAIN, "decode": 7},
}


@pytest.fixture
def plugin():
    return Plugin()


@pytest.fixture
def host(plugin):
    found = Host(installed=False)
    found.register(plugin, "acme")
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG of 400 x 300 pixels: a quarter has at least the 32 pixels that `crop.acme` needs, an eighth too."""
    random = np.random.default_rng(0)
    values = np.kron(random.integers(0, 256, (30, 40, 3)), np.ones((10, 10, 1)))
    pixels = (values + random.normal(0, 12, values.shape)).clip(0, 255).astype(np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.jpg", quality=92)
    return tmp_path / "photos/a.jpg"


# -- the name and the card ---------------------------------------------------------------------------------------------


def test_the_option_is_part_of_the_name_the_constants_and_the_space(host):
    plain, scaled = host.card("crop.acme"), host.card(SCALED)
    assert scaled == dataclasses.replace(
        plain, name=SCALED, constants={**PLAIN, "decode": {"jpeg": "scaled", "shortest": 32}}
    )
    differences = host.space("crop.acme").differences(host.space(SCALED))
    assert [line.partition(":")[0] for line in differences] == [
        "constants.decode.jpeg",
        "constants.decode.shortest",
        "name",
    ]
    assert Card.from_json(scaled.to_json()) == scaled


def test_without_the_option_nothing_changes(host):
    assert host.card("crop.acme[decode=full]") == host.card("crop.acme")
    assert "decode" not in host.card("crop.acme").constants
    assert host.load("crop.acme").shortest_side is None
    assert host.space("crop.acme") == Space.of(CARD, {})


def test_the_option_stands_behind_those_of_the_network(host):
    for given in ("crop.acme[half,decode=scaled]", "crop.acme[decode=scaled,half]"):
        card = host.card(given)
        assert (card.name, card.dim) == ("crop.acme[half,decode=scaled]", CARD.dim // 2)
        assert host.load(given).shortest_side == 32


def test_of_two_sides_the_larger_counts(host):
    assert host.card("squash.acme[decode=scaled]").constants["decode"]["shortest"] == 60


@pytest.mark.parametrize("name", ["other.acme", "text.acme", "none.acme", "heard.acme"])
def test_a_network_that_does_not_say_what_it_resizes_to_has_no_such_option(host, name):
    with pytest.raises(UnknownModel, match=rf"^{name}: decode=scaled: expected a network for images .*leave the op"):
        host.card(f"{name}[decode=scaled]")


def test_another_value_is_refused(host):
    with pytest.raises(UnknownModel, match=r"expected decode=full\|scaled, got decode=half"):
        host.card("crop.acme[decode=half]")


def test_a_constant_of_that_name_with_another_meaning_is_left_alone(host):
    assert host.load("own.acme").shortest_side is None


def test_the_network_conforms(host):
    assert [f"{each.check}: {each.reason}" for each in check_model(SCALED, host=host) if not each.passed] == []


def test_the_page_of_a_network_says_how_it_decodes(host, monkeypatch):
    monkeypatch.setattr(sightsound.cli.models, "host", lambda context: host)

    def run(*words):
        return CliRunner().invoke(sightsound.cli.cli, ["models", *words]).stdout

    assert "decode   full, scaled\n" in run("crop.acme")
    assert "decode   scaled (of a JPEG the shorter side keeps 32 pixels or more)\n" in run(SCALED)
    assert "decode" not in run("other.acme") + run("heard.acme")
    assert json.loads(run("crop.acme", "--json"))["decodings"] == ["full", "scaled"]
    described = json.loads(run(SCALED, "--json"))
    assert described["decodings"] == ["scaled"]
    assert described["constants"]["decode"] == {"jpeg": "scaled", "shortest": 32}
    assert json.loads(run("heard.acme", "--json"))["decodings"] == []


# -- what is decoded ---------------------------------------------------------------------------------------------------


def test_each_network_of_an_index_gets_its_own_decoding(host, plugin, photo, tmp_path):
    """The rows of a network without the option are bit-equal beside one with it."""
    index(photo.parent, tmp_path / "alone", models=["crop.acme"], host=host)
    plugin.sizes.clear()
    report = index(photo.parent, tmp_path / "both", models=["crop.acme", SCALED], host=host)
    assert report.counts == {"ok": 2}
    assert sorted(plugin.sizes) == [(38, 50), (300, 400)]
    found = {}
    for name in ("alone", "both"):
        with Library(tmp_path / name) as library:
            assert check(library) == []
            content = library.content(next(iter(library.items())).id)
            assert content is not None
            for space in library.spaces:
                found[name, space.name] = library.vectors(space, content)[0]
            facts = [outcome.facts for outcome, _ in library.outcomes()]
            assert all((each["width"], each["height"]) == (400, 300) for each in facts)
    np.testing.assert_array_equal(found["alone", "crop.acme"], found["both", "crop.acme"])
    exact, scaled = found["both", "crop.acme"][0], found["both", SCALED][0]
    assert not np.array_equal(exact, scaled)
    assert exact @ scaled > 0.98


def test_a_query_is_decoded_as_the_library_was(host, plugin, photo, tmp_path):
    index(photo.parent, tmp_path / "lib", models=["crop.acme", SCALED], host=host)
    plugin.sizes.clear()
    query = tmp_path / "query.jpg"
    Image.open(photo).save(query, quality=95)  # of another content, else the rows of the library are taken
    hits = search(query, tmp_path / "lib", models=[SCALED], host=host)
    assert plugin.sizes == [(38, 50)]
    assert hits[0].score > 0.99


def test_rows_of_the_two_are_never_compared(host, photo, tmp_path):
    index(photo.parent, tmp_path / "lib", models=[SCALED], host=host)
    with pytest.raises(SightsoundError, match=r"no vectors in space 'crop.acme'.*crop.acme\[decode=scaled\]"):
        search(photo, tmp_path / "lib", models=["crop.acme"], host=host)
    with pytest.raises(SpaceMismatch):
        host.space(SCALED).require(host.space("crop.acme"), "a probe")


def test_one_picture_and_what_is_kept_for_training_are_decoded_so_too(host, plugin, photo, tmp_path):
    plugin.sizes.clear()
    found = classify_image(photo, model=SCALED, host=host)
    assert (found.outcome.facts["width"], found.outcome.facts["height"]) == (400, 300)
    model = host.load(SCALED)
    kept = keep_inputs(model, [Item(str(photo.parent), photo.name)], tmp_path, False)
    assert plugin.sizes == [(38, 50)] * 2
    expected = model.preprocess(media.read_image(photo, shortest=32).pixels).inputs
    np.testing.assert_array_equal(kept.inputs(0), expected)
