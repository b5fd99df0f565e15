"""Spaces: what makes two of them differ, and what the error says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re

import pytest

from sightsound import Card, ClassList, Option, SightsoundError, Space
from sightsound.contract.errors import SpaceMismatch
from sightsound.contract.space import Stage

CARD = Card(
    name="net.tag[pca]",
    modality="sound",
    dim=8,
    input_shape=(100,),
    sample_rate=1000,
    window=100,
    hop=50,
    classes=ClassList("some", ("low", "high")),
    scores="softmax",
    constants={"bands": 64, "log": {"offset": 0.01}},
)
WEIGHTS = {"net.pth": "a" * 64}
WHITEN = Stage("whiten", "3.1", "mean=0.5")


def test_a_space_is_the_name_of_the_card_and_a_sha256_of_its_facts():
    space = Space.of(CARD, WEIGHTS)
    assert (space.name, space.dim, space.modality) == ("net.tag[pca]", 8, "sound")
    assert space.fingerprint == hashlib.sha256(space.facts.encode()).hexdigest()
    assert json.loads(space.facts)["weights"] == WEIGHTS


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 9},
        {"input_shape": (100, 1)},
        {"sample_rate": 1001},
        {"window": 101},
        {"hop": 49},
        {"tail": "drop"},
        {"constants": {"bands": 65, "log": {"offset": 0.01}}},
        {"constants": {"bands": 64, "log": {"offset": 0.001}}},
        {"constants": {"bands": 64}},
        {"revision": 2},
        {"modality": "image", "sample_rate": None, "window": None, "hop": None},
    ],
    ids=str,
)
def test_every_fact_that_determines_the_rows_determines_the_space(change):
    space, other = (Space.of(card, WEIGHTS) for card in (CARD, dataclasses.replace(CARD, **change)))
    assert space.fingerprint != other.fingerprint
    fields = {line.partition(":")[0].partition(".")[0] for line in space.differences(other)}
    assert fields == set(change)


@pytest.mark.parametrize(
    "change",
    [
        {"license": "MIT"},
        {"about": "the same network"},
        {"params": 5, "depth": 3, "top1": 70.5, "top1_source": "its paper"},
        {"classes": ClassList("others", ("deep", "shrill"))},
        {"classes": None, "scores": None},
        {"tolerance": 1e-3, "default_for": "sound", "aliases": ("net",), "text": True},
        {"options": (Option("hop", float, help="seconds"),)},
        {"constants": {"log": {"offset": 0.01}, "bands": 64}},
    ],
    ids=str,
)
def test_other_fields_of_the_card_leave_the_space_unchanged(change):
    space, other = (Space.of(card, WEIGHTS) for card in (CARD, dataclasses.replace(CARD, **change)))
    assert space == other and space.fingerprint == other.fingerprint and space.differences(other) == []
    space.require(other, "zoo")


def test_the_fingerprint_is_the_same_wherever_it_is_computed():
    """A fixed value: libraries outlive the program, so a change of this line is a change of every stored space."""
    facts = {
        "modality": "sound",
        "dim": 8,
        "input_shape": [100],
        "sample_rate": 1000,
        "window": 100,
        "hop": 50,
        "tail": "pad",
        "constants": {"bands": 64, "layers": [{"dim": 8, "name": "a"}], "log": {"offset": 0.01}},
        "revision": 1,
        "weights": WEIGHTS,
        "stages": ["whiten 3.1 mean=0.5"],
    }
    text = json.dumps(dict(sorted(facts.items())))
    card = dataclasses.replace(CARD, constants=facts["constants"])
    assert Space.of(card, WEIGHTS, (WHITEN,)).fingerprint == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("weights", "differences"),
    [
        ({"net.pth": "b" * 64}, [f'weights.net.pth: expected "{"a" * 64}", got "{"b" * 64}"']),
        (
            {**WEIGHTS, "pca.npz": "c" * 64},
            [f'weights.pca.npz: expected nothing, got "{"c" * 64}"'],
        ),
    ],
)
def test_other_weights_are_another_space(weights, differences):
    assert Space.of(CARD, WEIGHTS).differences(Space.of(CARD, weights)) == differences


def test_the_order_of_weight_files_makes_no_difference():
    files = {"a": "1" * 64, "b": "2" * 64}
    assert Space.of(CARD, files) == Space.of(CARD, dict(reversed(files.items())))


def test_the_order_of_stages_makes_a_difference():
    """Whitening before or after another step gives other numbers."""
    other = Stage("norm", "1.0", "")
    assert Space.of(CARD, {}, (WHITEN, other)) != Space.of(CARD, {}, (other, WHITEN))


def test_options_are_part_of_the_space():
    other = Space.of(dataclasses.replace(CARD, name="net.tag"), WEIGHTS)
    space = Space.of(CARD, WEIGHTS)
    assert space.fingerprint == other.fingerprint and space != other
    with pytest.raises(SpaceMismatch, match=r"name: expected net\.tag\[pca\], got net\.tag"):
        space.require(other, "zoo")


def test_another_space_is_refused_with_every_difference_in_one_line():
    mine = Space.of(CARD, WEIGHTS, (WHITEN,))
    other = Space.of(dataclasses.replace(CARD, dim=9, revision=2), WEIGHTS)
    with pytest.raises(SpaceMismatch) as caught:
        mine.require(other, "probe dogs")
    assert isinstance(caught.value, SightsoundError)
    assert str(caught.value) == (
        "probe dogs: another space; dim: expected 8, got 9; revision: expected 1, got 2; "
        "stages: expected whiten 3.1 mean=0.5, got []; "
        "install the plugin whiten 3.1 mean=0.5, or index anew after `sightsound forget --space net.tag[pca]`"
    )


def test_without_a_missing_plugin_the_advice_is_the_model_and_the_weights():
    advice = "; use the model and weights that made it, or index anew after `sightsound forget --space net.tag[pca]`"
    with pytest.raises(SpaceMismatch, match=f"{re.escape(advice)}$"):
        Space.of(CARD, WEIGHTS).require(Space.of(CARD, {"net.pth": "b" * 64}), "zoo")


def test_a_surplus_plugin_is_named_with_the_option_that_blocks_it():
    plain, white = Space.of(CARD, WEIGHTS), Space.of(CARD, WEIGHTS, (WHITEN,))
    with pytest.raises(SpaceMismatch, match=re.escape("stages: expected [], got whiten 3.1 mean=0.5")) as caught:
        plain.require(white, "zoo")
    assert "--block whiten" in str(caught.value)


def test_a_space_is_shown_in_one_short_line():
    space = Space("net.acme", '{"dim": 4}')
    assert repr(space) == f"Space('net.acme', {space.fingerprint[:12]})"


def test_a_space_is_hashable_and_equal_by_its_facts():
    assert len({Space.of(CARD, WEIGHTS), Space.of(dataclasses.replace(CARD, about="x"), WEIGHTS)}) == 1
