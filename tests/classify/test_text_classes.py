"""Classes that are given as words, for networks that take words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import (
    PluginError,
    SegmentRules,
    SightsoundError,
    UnknownClass,
    UnknownModel,
    classify_image,
    classify_sound,
    classify_stream,
    hookimpl,
    load_probe,
    media,
    tag,
)
from sightsound.classify.text_classes import text_probe
from words_host import BLUE, RED, words_host, write_colour, write_levels, write_zoo

COLOURS = ("red", "green", "blue")
LEVELS = ("loud", "quiet")


@pytest.fixture
def host(monkeypatch):
    return words_host(monkeypatch, "tiny")


@pytest.fixture
def zoo(tmp_path):
    return write_zoo(tmp_path / "zoo")


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def expected(host, model, row, classes, templates=("{}",), scale=100.0):
    """The softmax of scale times the cosines of a row with the mean of the texts of each class, by the book."""
    means = unit([unit(host.load(model).text([t.replace("{}", c) for t in templates])).mean(axis=0) for c in classes])
    logits = scale * (means @ unit(row))
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def register(host, like, name, **facts):
    """Register a network like one of the fake ones, with another name and other facts."""
    import sightsound_words

    base = {"image": sightsound_words.ColourWords, "sound": sightsound_words.SoundWords}[like]

    class Other(base):
        card = dataclasses.replace(base.card, name=name, **facts)

        def text(self, texts):
            self._tower = self._tower or sightsound_words.TextTower(base.card.name, base.card.dim - 1)
            return super().text(texts)

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(Other.card, lambda device, weights: Other())

    host.register(Plugin(), name.replace(".", "-"))
    return name


# -- images --------------------------------------------------------------------------------------------------------


def test_an_image_gets_the_class_that_its_words_describe(host, zoo):
    for name in COLOURS:
        found = classify_image(zoo / f"{name}.png", classes=COLOURS, host=host)
        assert found.top[0].label == name and found.model == "colourwords.words"
        assert [p.label for p in found.top[:1]] == [name] and len(found.top) == 3


@pytest.mark.parametrize("classes", [COLOURS, ("blue", "red"), ("red thing", "no such word", "white", "black")])
def test_scores_are_the_softmax_of_cosines_with_the_mean_of_the_templates(host, zoo, classes):
    found = classify_image(zoo / "red.png", classes=classes, host=host, k=9)
    row = host.load("colourwords.words").rows(media.read_image(zoo / "red.png").pixels)[1][0]
    probabilities = expected(host, "colourwords.words", row, classes, ("{}", "a photo of a {}."), 20.0)
    assert {p.label: p.score for p in found.top} == pytest.approx(dict(zip(classes, probabilities)), abs=1e-6)


def test_every_class_is_put_into_every_template(host, zoo):
    import sightsound_words

    classify_image(zoo / "red.png", classes=["red", "a {strange} one"], host=host)
    assert {text for _, text in sightsound_words.texts_seen} == {
        *("red", "a photo of a red."),
        *("a {strange} one", "a photo of a a {strange} one."),
    }


def test_without_constants_a_class_is_its_own_text_and_the_scale_is_100(host, zoo):
    register(host, "image", "plain.words", constants={"centre": 0.5})
    found = classify_image(zoo / "red.png", "plain.words", classes=COLOURS, host=host)
    row = host.load("plain.words").rows(media.read_image(zoo / "red.png").pixels)[1][0]
    assert found.top[0].score == pytest.approx(expected(host, "plain.words", row, COLOURS)[0], abs=1e-6)


def test_templates_that_are_given_stand_in_place_of_those_of_the_network(host, zoo):
    given = ["{} paint", "the sea in {}"]
    found = classify_image(zoo / "red.png", classes=COLOURS, templates=given, host=host, k=9)
    row = host.load("colourwords.words").rows(media.read_image(zoo / "red.png").pixels)[1][0]
    probabilities = expected(host, "colourwords.words", row, COLOURS, given, 20.0)
    assert {p.label: p.score for p in found.top} == pytest.approx(dict(zip(COLOURS, probabilities)), abs=1e-6)
    (tagged,) = tag(zoo / "red.png", models="colourwords.words", classes=COLOURS, templates=given, host=host)
    assert [(p.label, p.score) for p in tagged.top] == [(p.label, p.score) for p in found.top]


@pytest.mark.parametrize(
    ("templates", "classes", "text"),
    [
        (["a photo"], COLOURS, r"templates: expected texts with \{\} in place of the class, got 'a photo'"),
        ("a {}", COLOURS, "templates: expected a list of texts, got 'a {}'"),
        (["a {}"], (), "templates: expected classes in words"),
    ],
)
def test_wrong_templates_are_refused(host, zoo, templates, classes, text):
    with pytest.raises(SightsoundError, match=text):
        classify_image(zoo / "red.png", "colourwords.words", classes=classes, templates=templates, host=host)
    with pytest.raises(SightsoundError, match=text):
        tag(zoo, models="colourwords.words", classes=classes, templates=templates, host=host)


def test_the_scale_of_the_weights_has_precedence_over_that_of_the_card(host, zoo, monkeypatch):
    import sightsound_words

    monkeypatch.setattr(sightsound_words.ColourWords, "logit_scale", lambda self: 3.0, raising=False)
    found = classify_image(zoo / "red.png", classes=COLOURS, host=host)
    row = host.load("colourwords.words").rows(media.read_image(zoo / "red.png").pixels)[1][0]
    probabilities = expected(host, "colourwords.words", row, COLOURS, ("{}", "a photo of a {}."), 3.0)
    assert found.top[0].score == pytest.approx(probabilities[0], abs=1e-6)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "big"])
def test_a_scale_that_is_none_names_the_plugin(host, zoo, monkeypatch, wrong):
    import sightsound_words

    monkeypatch.setattr(sightsound_words.ColourWords, "logit_scale", lambda self: wrong, raising=False)
    with pytest.raises(PluginError, match=r"logit_scale.*colourwords\.words.*words"):
        classify_image(zoo / "red.png", classes=COLOURS, host=host)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"templates": ["a photo"]}, r"templates: expected texts with {}"),
        ({"templates": []}, r"templates: expected texts with {}"),
        ({"templates": "a {}"}, r"templates: expected texts with {}"),
        ({"logit_scale": 0}, r"logit_scale: expected a positive number, got 0"),
        ({"logit_scale": "big"}, r"logit_scale: expected a positive number, got 'big'"),
        (["{}"], r"expected a mapping"),
    ],
)
def test_wrong_constants_name_the_network(host, zoo, text, words):
    register(host, "image", "wrong.words", constants={"text": text})
    with pytest.raises(PluginError, match=rf"card 'wrong.words': constants\['text'\]: .*{words}"):
        classify_image(zoo / "red.png", "wrong.words", classes=COLOURS, host=host)


def test_pixels_and_a_loaded_model_take_classes_too(host):
    pixels = np.full((9, 9, 3), BLUE, np.uint8)
    found = classify_image(pixels, host.load("colourwords.words"), classes=COLOURS, host=host)
    assert found.top[0].label == "blue"


# -- sounds --------------------------------------------------------------------------------------------------------


def test_a_recording_has_segments_of_the_classes(host, tmp_path):
    file = write_levels(tmp_path / "x.wav", 0.9, 0.1, 0.9)
    found = classify_sound(file, classes=LEVELS, host=host, rules=SegmentRules(threshold=0.9))
    loud = [(s.start, s.stop) for s in found.segments if s.label == "loud"]
    assert {s.label for s in found.segments} == set(LEVELS) and len(loud) == 2
    assert found.windows.labels == LEVELS and found.windows.scores.sum(axis=1) == pytest.approx(1, abs=1e-6)
    model = host.load("soundwords.words")
    _, rows, _ = model.rows(media.read_sound(file, 1600))
    scores = [expected(host, "soundwords.words", row, LEVELS) for row in rows]
    assert found.windows.scores == pytest.approx(np.array(scores), abs=1e-6)
    assert found.top[0].score == pytest.approx(np.mean(scores, axis=0).max(), abs=1e-5)


def test_a_stream_has_the_segments_of_the_whole(host, tmp_path):
    file = write_levels(tmp_path / "x.wav", 0.9, 0.1, 0.9)
    samples = media.read_sound(file, 1600)
    blocks = [samples[a : a + 700] for a in range(0, len(samples), 700)]
    streamed = list(classify_stream(blocks, 1600, classes=LEVELS, host=host))
    assert sorted(streamed, key=lambda s: s.start) == list(
        classify_sound(samples, 1600, classes=LEVELS, host=host).segments
    )


# -- files and folders ---------------------------------------------------------------------------------------------


def test_a_folder_is_tagged_with_the_only_network_of_each_modality_that_takes_words(host, zoo):
    found = {tags.item.path: tags for tags in tag(zoo, classes=["red", "blue", "loud", "quiet"], host=host)}
    assert found["red.png"].top[0].label == "red" and found["blue.png"].top[0].label == "blue"
    assert found["loud.wav"].top[0].label == "loud" and found["quiet.wav"].top[0].label == "quiet"
    assert {s.label for s in found["loud.wav"].segments} == {"loud"}
    assert {tags.model for tags in found.values()} == {"colourwords.words", "soundwords.words"}


def test_the_texts_of_a_folder_go_through_the_network_once(host, zoo):
    import sightsound_words

    list(tag(zoo, classes=LEVELS, models="soundwords.words", host=host))
    assert sightsound_words.built == {"soundwords.words": 1}
    assert set(sightsound_words.texts_seen.values()) == {1}


def test_a_named_model_tags_its_modality_alone(host, zoo, caplog):
    found = list(tag(zoo, classes=LEVELS, models="soundwords.words", host=host))
    assert [tags.item.path for tags in found] == ["loud.wav", "quiet.wav"]
    assert "3 images skipped: no model for images was named" in caplog.text


def test_files_without_a_network_that_takes_words_are_counted(monkeypatch, zoo, caplog):
    import sightsound_words

    monkeypatch.setattr(sightsound_words, "LOUDNESS", dataclasses.replace(sightsound_words.LOUDNESS, text=False))
    found = list(tag(zoo, classes=COLOURS, host=words_host(monkeypatch)))
    assert len(found) == 3 and "2 sounds skipped: no model for sounds takes words" in caplog.text


def test_include_and_exclude_apply_to_the_classes(host, zoo):
    rules = SegmentRules(exclude=("loud",))
    (found,) = tag(zoo / "loud.wav", classes=LEVELS, rules=rules, host=host)
    assert [p.label for p in found.top] == ["quiet"]
    with pytest.raises(UnknownClass, match="bark"):
        tag(zoo / "loud.wav", classes=LEVELS, rules=SegmentRules(include=("bark",)), host=host)


# -- which model ---------------------------------------------------------------------------------------------------


def test_several_models_that_take_words_are_named(host, zoo):
    register(host, "image", "second.words")
    text = r"several models for images take words: colourwords.words, second.words; name one \(--model\)"
    with pytest.raises(UnknownModel, match=text):
        tag(zoo, classes=COLOURS, host=host)
    with pytest.raises(UnknownModel, match=text):
        classify_image(zoo / "red.png", classes=COLOURS, host=host)
    assert len(list(tag(zoo, classes=COLOURS, models="second.words", host=host))) == 3
    assert len(list(tag(zoo / "loud.wav", classes=LEVELS, host=host))) == 1, "no image, nothing to choose"


def test_of_several_models_the_default_one_is_taken(host, zoo, monkeypatch):
    register(host, "image", "second.words")
    monkeypatch.setenv("SIGHTSOUND_IMAGE_MODEL", "second.words")
    assert classify_image(zoo / "red.png", classes=COLOURS, host=host).model == "second.words"
    monkeypatch.setenv("SIGHTSOUND_IMAGE_MODEL", "colours.tiny")
    with pytest.raises(UnknownModel, match="several models for images take words"):
        classify_image(zoo / "red.png", classes=COLOURS, host=host)


def test_without_a_model_that_takes_words_nothing_is_read(tiny, zoo):
    with pytest.raises(UnknownModel, match="classes: no model in use takes words; install one that does"):
        tag(zoo, classes=COLOURS, host=tiny)
    with pytest.raises(UnknownModel, match="classes: no model for sounds in use takes words; install one that does"):
        classify_sound(zoo / "loud.wav", classes=LEVELS, host=tiny)


def test_a_named_model_must_take_words(host, zoo):
    text = "colours.tiny: takes no words; name a model that does: colourwords.words"
    with pytest.raises(SightsoundError, match=text):
        tag(zoo, classes=COLOURS, models="colours.tiny", host=host)
    with pytest.raises(SightsoundError, match=text):
        classify_image(zoo / "red.png", "colours.tiny", classes=COLOURS, host=host)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["red"], "classes: expected two or more, got 'red'; add what else it may be"),
        (["red", " "], "classes: expected names, got ' '"),
        (["red", 3], "classes: expected names, got 3"),
        (["red", "blue", "red"], "classes: expected each once, got 'red' twice"),
        ("red,blue", "classes: expected a list of names, got 'red,blue'"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(host, zoo, classes, words):
    with pytest.raises(SightsoundError, match=words):
        tag(zoo, classes=classes, host=host)
    with pytest.raises(SightsoundError, match=words):
        classify_image(zoo / "red.png", classes=classes, host=host)


def test_classes_and_a_probe_exclude_one_another(host, zoo):
    probe = text_probe(host.load("colourwords.words"), COLOURS)
    with pytest.raises(SightsoundError, match="classes and probes: expected one of them"):
        tag(zoo, classes=COLOURS, probes=[probe], host=host)


def test_the_classes_are_a_probe_of_the_network(host, tmp_path):
    probe = text_probe(host.load("colourwords.words"), COLOURS)
    assert probe.feature_spec_.space == host.space("colourwords.words") and probe.scaling_ == "unit"
    probe.save(tmp_path / "colours.probe")
    kept, image = load_probe(tmp_path / "colours.probe"), write_colour(tmp_path / "r.png", RED)
    (found,), (expected,) = tag(image, probes=[kept], host=host), tag(image, classes=COLOURS, host=host)
    assert found.top == expected.top and found.top[0].label == "red"
