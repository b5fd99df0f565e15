"""Cards: which fields are valid, that JSON gives back an equal card, and that a card cannot be changed."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound import Card, ClassList, Option, SightsoundError, WeightFile
from sightsound.contract.errors import PluginError

SOUND = Card(
    name="net.tag",
    modality="sound",
    dim=8,
    input_shape=(100,),
    sample_rate=1000,
    window=100,
    hop=50,
    classes=ClassList("some", ("low", "high")),
    scores="softmax",
    weights=(WeightFile(name="net.pth", sha256="0f" * 32, sources=("pypi:net==1.0!net.pth",), size=7),),
    constants={"offset": 0.01, "bands": 64, "means": [0.5, 0.5], "log": {"base": "e"}},
    params=12,
    depth=3,
    top1=71.5,
    top1_source="its paper",
    text=True,
    options=(Option("hop", float, low=0.1, high=2, default=0.5, help="seconds"), Option("pca")),
    aliases=("net",),
    default_for="sound",
    tolerance=1e-5,
    license="Apache-2.0",
    about="a net",
    revision=2,
)
IMAGE = Card(name="image.tag", modality="image", dim=8, input_shape=(3, 4, 4))


# -- JSON --------------------------------------------------------------------------------------------------------

texts = st.text(max_size=8)
names = st.from_regex(r"[A-Za-z0-9_\-]{1,8}(\.[A-Za-z0-9_\-]{1,8}){0,2}(\[[a-z=,0-9]{1,8}\])?", fullmatch=True)
counts = st.integers(1, 2**40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
files = st.builds(
    WeightFile,
    name=st.from_regex(r"[a-z]{1,8}\.pth", fullmatch=True),
    sha256=st.just("") | st.from_regex("[0-9a-f]{64}", fullmatch=True),
    sources=st.lists(texts, max_size=2).map(tuple),
    size=st.integers(0, 2**40),
    git_blob=st.just("") | st.from_regex("[0-9a-f]{40}", fullmatch=True),
)


@st.composite
def cards(draw: st.DrawFn) -> Card:
    labels = tuple(draw(st.lists(texts, max_size=3)))
    common = {
        "name": draw(names),
        "dim": draw(counts),
        "input_shape": tuple(draw(st.lists(counts, min_size=1, max_size=4))),
        "classes": ClassList("some", labels) if labels else None,
        "scores": draw(st.sampled_from(["sigmoid", "softmax"])) if labels else None,
        "weights": tuple(draw(st.lists(files, max_size=3, unique_by=lambda file: file.name))),
        "constants": draw(st.dictionaries(texts, values, max_size=3)),
        "params": draw(st.none() | counts),
        "depth": draw(st.none() | counts),
        "top1": draw(st.none() | st.floats(0, 100)),
        "top1_source": draw(texts),
        "license": draw(texts),
        "about": draw(texts),
        "revision": draw(counts),
        "tail": draw(st.sampled_from(["pad", "drop"])),
    }
    if draw(st.booleans()):
        return Card(modality="image", **common)
    cut = draw(st.tuples(counts, counts) | st.just((None, None)))
    return Card(modality="sound", sample_rate=draw(counts), window=cut[0], hop=cut[1], **common)


@settings(deadline=None, max_examples=12)
@given(cards())
def test_json_gives_back_an_equal_card(card):
    text = card.to_json()
    again = Card.from_json(text)
    assert again == card
    assert again.to_json() == text
    assert "\n" not in text and json.loads(text)["format"] == 2


def test_a_card_in_json_has_every_field():
    fields = json.loads(SOUND.to_json())
    assert set(fields) == {field.name for field in dataclasses.fields(Card)} | {"format"}
    assert fields["weights"][0]["sources"] == ["pypi:net==1.0!net.pth"]


@pytest.mark.parametrize("constants", [MappingProxyType({"bands": 64}), MappingProxyType({}), {"a": {"b": (1, 2)}}])
def test_constants_may_be_any_mapping_with_lists_or_tuples(constants):
    card = dataclasses.replace(IMAGE, constants=constants)
    assert Card.from_json(card.to_json()) == card


def test_fields_that_have_defaults_may_be_left_out_of_the_json():
    text = '{"format": 1, "name": "a.b", "modality": "image", "dim": 2, "input_shape": [3]}'
    assert Card.from_json(text) == Card(name="a.b", modality="image", dim=2, input_shape=(3,))


@pytest.mark.parametrize("version", [3, 0, "1", None])
def test_a_card_of_another_format_is_refused(version):
    text = json.dumps({**json.loads(IMAGE.to_json()), "format": version})
    with pytest.raises(PluginError, match="card: expected format 1 or 2, got .*; upgrade sightsound"):
        Card.from_json(text)


def test_a_card_of_format_1_has_its_labels_as_classes():
    fields = json.loads(SOUND.to_json())
    del fields["classes"], fields["options"], fields["aliases"], fields["text"], fields["default_for"]
    del fields["tolerance"]
    old = {**fields, "format": 1, "labels": ["low", "high"], "label_ids": ["/m/1", "/m/2"]}
    card = Card.from_json(json.dumps(old))
    assert card.classes == ClassList("net.tag", ("low", "high"), ("/m/1", "/m/2"))
    assert (card.labels, card.label_ids, card.dim) == (("low", "high"), ("/m/1", "/m/2"), 8)
    assert Card.from_json(json.dumps({**old, "labels": [], "label_ids": [], "scores": None})).classes is None


def test_unknown_fields_are_refused_and_named():
    text = json.dumps({**json.loads(IMAGE.to_json()), "colour": "red", "taste": 3})
    with pytest.raises(PluginError, match=r"card 'image.tag': unknown fields \['colour', 'taste'\]; upgrade"):
        Card.from_json(text)


def test_json_is_checked_by_the_same_rules():
    text = json.dumps({**json.loads(IMAGE.to_json()), "dim": 0})
    with pytest.raises(PluginError, match="dim: expected a positive int, got 0"):
        Card.from_json(text)


# -- rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a.b.c", "tf_efficientnet_lite0.in1k", "a-b.c_d", "a.b[pca]", "a.b[pca,layer=fc2]", "a[x y]"]
)
def test_a_valid_name_is_accepted(name):
    assert dataclasses.replace(IMAGE, name=name).name == name


WRONG = [
    *(
        ({"name": name}, "name: expected arch.tag or arch.tag[option,...]")
        for name in ("", ".", "a.", ".a", "a..b", "a b", "a/b", "a.b[]", "a.b[", "a.b]", "a.b[c][d]", "a.b\n", "ä.b", 3)
    ),
    ({"name": "a.b[c\nd]"}, "name: expected arch.tag"),
    ({"modality": "video"}, "modality: expected 'image' or 'sound', got 'video'"),
    ({"modality": None}, "modality: expected"),
    *(({"dim": dim}, f"dim: expected a positive int, got {dim!r}") for dim in (0, -1, 1.0, "8", None, True)),
    *(
        ({"input_shape": shape}, "input_shape: expected a tuple of positive ints")
        for shape in ((), [3, 4], (3, 0), (3, None), 3, (3.0,), "3")
    ),
    *(({"sample_rate": rate}, "sample_rate: expected Hz as a positive int") for rate in (None, 0, 16000.0, -1)),
    ({"window": None}, "window and hop: expected both or neither"),
    ({"hop": None}, "window and hop: expected both or neither"),
    *(({"hop": hop}, "window and hop: expected samples") for hop in (0, -5, 0.5)),
    *(({"window": window}, "window and hop: expected samples") for window in (0, -5, 0.975)),
    ({"tail": "cut"}, "tail: expected 'pad' or 'drop', got 'cut'"),
    ({"scores": "logits"}, "scores: expected 'sigmoid', 'softmax' or None, got 'logits'"),
    ({"scores": None}, "classes: expected exactly with scores"),
    ({"classes": None}, "classes: expected exactly with scores"),
    *(({"classes": found}, "classes: expected a ClassList or None") for found in (("a", "b"), "ab", 3)),
    *(({"tolerance": found}, "tolerance: expected a number between 0 and 1") for found in (0, 1, -1e-6, "1e-6", None)),
    *(({"options": found}, "options: expected a tuple of Option") for found in ([Option("a")], ("a",), None)),
    ({"options": (Option("a"), Option("a", int))}, "options: expected different names"),
    *(({"aliases": found}, "aliases: expected a tuple of names") for found in (["net"], ("net[pca]",), (3,), None)),
    *(({"default_for": found}, "default_for: expected 'sound' or None") for found in ("image", True, "")),
    ({"text": 1}, "text: expected True or False"),
    *(({"revision": revision}, "revision: expected a positive int") for revision in (0, 1.5, None)),
    *(({"weights": found}, "weights: expected") for found in (["net.pth"], ("net.pth",), None, (None,))),
    ({"weights": (WeightFile(name="a"), WeightFile(name="a"))}, "weights: expected files of different names"),
    *(
        ({"weights": (file,)}, "weights: expected")
        for file in (
            WeightFile(name=""),
            WeightFile(name=".."),
            WeightFile(name="a/b"),
            WeightFile(name="a\\b"),
            WeightFile(name="a\0b"),
            WeightFile(name=3),
            WeightFile(name="a", sha256="0f" * 31),
            WeightFile(name="a", sha256="0F" * 32),
            WeightFile(name="a", git_blob="0f" * 32),
            WeightFile(name="a", sources=["https://example.org/a"]),
            WeightFile(name="a", sources="https://example.org/a"),
            WeightFile(name="a", size="7"),
            WeightFile(name="a", size=-1),
        )
    ),
    *(
        ({"constants": found}, "constants: expected a mapping of finite JSON values")
        for found in (None, [1], {"a": float("nan")}, {1: 2}, {"a": {"b": {1, 2}}}, {"a": b"x"})
    ),
    *(({"params": params}, "params: expected") for params in ("5M", 0, 5.3, -1)),
    *(({"depth": depth}, "depth: expected") for depth in ("18", 0)),
    *(({"top1": top1}, "top1: expected") for top1 in ("75%", float("nan"), float("inf"))),
    *(({"top1_source": found}, "top1_source: expected") for found in (None, 3)),
    *(({"license": found}, "license: expected") for found in (None, 3)),
    *(({"about": found}, "about: expected") for found in (None, ["a net"])),
]
assert WRONG


@pytest.mark.parametrize(("change", "problem"), WRONG, ids=lambda value: str(value)[:60])
def test_an_invalid_field_is_refused_and_named(change, problem):
    with pytest.raises(PluginError) as caught:
        dataclasses.replace(SOUND, **change)
    text = str(caught.value)
    assert text.startswith(f"card {change.get('name', 'net.tag')!r}: {problem}"), text
    assert isinstance(caught.value, SightsoundError)


@pytest.mark.parametrize("change", [{"sample_rate": 16000}, {"window": 3, "hop": 3}])
def test_a_card_for_images_has_no_field_of_sound(change):
    with pytest.raises(PluginError, match="card 'image.tag': sample_rate, window, hop: not for images"):
        dataclasses.replace(IMAGE, **change)


def test_of_several_problems_the_most_basic_is_reported():
    with pytest.raises(PluginError, match="name: expected"):
        Card(name="", modality="video", dim=0, input_shape=())


def test_a_sound_card_may_have_no_window():
    card = dataclasses.replace(SOUND, window=None, hop=None)
    assert (card.window, card.hop) == (None, None)


# -- immutability ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [SOUND, SOUND.weights[0]])
def test_a_card_and_a_weight_file_are_frozen(frozen):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(frozen, dataclasses.fields(frozen)[0].name, None)


def test_constants_are_read_only_at_every_level():
    for change in ('constants["bands"] = 1', 'constants["log"]["base"] = 2', 'constants["means"][0] = 0.1'):
        with pytest.raises(TypeError, match="does not support item assignment"):
            exec(change, {"constants": SOUND.constants})
    assert SOUND.constants == {"offset": 0.01, "bands": 64, "means": (0.5, 0.5), "log": {"base": "e"}}


def test_a_card_does_not_change_with_the_mapping_that_it_was_made_from():
    given = {"means": [0.5], "log": {"base": "e"}}
    card = dataclasses.replace(IMAGE, constants=given)
    before = card.to_json()
    given["means"].append(0.1)
    given["log"]["base"] = 2
    assert card.to_json() == before


def test_equal_cards_have_equal_hashes():
    again = dataclasses.replace(SOUND)
    assert again == SOUND and hash(again) == hash(SOUND)
    others = [dataclasses.replace(SOUND, revision=3), dataclasses.replace(SOUND, constants={})]
    assert len({SOUND, again, *others}) == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda card: pickle.loads(pickle.dumps(card))])
def test_a_card_can_be_copied_and_pickled(copied):
    assert copied(SOUND) == SOUND
