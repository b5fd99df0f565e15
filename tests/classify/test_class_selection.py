"""Selection of classes by name, id and subtree, and the evidence for classes above them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import ClassList, Host, SightsoundError, UnknownClass, load_ontology
from sightsound.classify.class_selection import select_classes


@pytest.fixture(scope="module")
def audioset():
    return load_ontology()


@pytest.fixture(scope="module")
def card():
    return Host().card("yamnet.audioset_f32")


def selected(chosen) -> set[str]:
    return {label for label, counts in zip(chosen.labels, chosen.selected) if counts}


def scores(chosen, **given) -> np.ndarray:
    row = np.zeros((1, 521), np.float32)
    for label, score in given.items():
        row[0, chosen.labels.index(label.replace("_", " "))] = score
    return row


def test_all_classes_count_unless_some_are_named(card, audioset):
    assert len(selected(select_classes(card))) == 521
    assert selected(select_classes(card, include=["dog", "/m/03kmc9"])) == {"Dog", "Siren"}
    assert selected(select_classes(card, audioset, include=["subtree:Dog"], exclude=["Bark"])) == {
        *("Dog", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)")
    }


def test_a_subtree_of_an_abstract_kind_selects_the_classes_below_it(card, audioset):
    assert {"Speech", "Whistling"} <= selected(select_classes(card, audioset, include=["subtree:Human sounds"]))


def test_descendants_are_those_of_the_ontology(card, audioset):
    chosen = select_classes(card, audioset)
    dog, bark, siren = map(chosen.labels.index, ("Dog", "Bark", "Siren"))
    assert chosen.descendants[dog, bark] and not chosen.descendants[bark, dog] and not chosen.descendants[dog, siren]
    assert not select_classes(card).descendants.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Dogg", "yamnet.audioset_f32 has no class 'Dogg' among 521; did you mean 'Dog'?"),
        ("xyzzyplugh", "`sightsound ontology find WORD` finds AudioSet's"),
        ("Human voice", "has no class 'Human voice' of its own; did you mean 'subtree:Human voice'?"),
        ("subtree:Dogg", "no kind of sound 'Dogg' among 632; did you mean 'Dog'?"),
    ],
)
def test_an_unknown_class_is_refused_and_a_similar_one_suggested(card, audioset, text, message):
    for options in ({"include": [text]}, {"exclude": [text]}):
        with pytest.raises(UnknownClass) as error:
            select_classes(card, audioset, **options)
        assert message in str(error.value)


def test_a_subtree_needs_classes_of_audioset(tiny):
    with pytest.raises(UnknownClass, match="subtree:Dog: the classes of loudness.tiny are not AudioSet's"):
        select_classes(tiny.card("loudness.tiny"), include=["subtree:Dog"])


def test_a_network_without_classes_is_refused(tiny):
    with pytest.raises(SightsoundError, match="colours.tiny has no classes, only embeddings; name a model"):
        select_classes(tiny.card("colours.tiny"))


def test_without_back_off_scores_are_the_evidence(card, audioset):
    row = scores(select_classes(card, audioset), Bark=0.3)
    assert select_classes(card, audioset).evidence(row) is row


def test_with_back_off_the_evidence_of_classes_below_is_combined(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(scores(chosen, Bark=0.3, Howl=0.25, Dog=0.1))
    assert found.shape == (1, 627)  # all but the five roots that are no class
    assert found[0, chosen.labels.index("Dog")] == pytest.approx(1 - 0.7 * 0.75)
    assert found[0, chosen.labels.index("Bark")] == np.float32(0.3)
    assert found[0, chosen.labels.index("Animal")] >= found[0, chosen.labels.index("Dog")]


def test_with_back_off_the_evidence_of_a_class_is_at_least_that_of_each_class_below(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(np.random.default_rng(0).random((20, 521), np.float32))
    for i, j in np.argwhere(chosen.descendants):
        assert (found[:, i] >= np.where(found[:, j] < 0.1, 0, found[:, j]) - 1e-6).all()
    assert (found >= 0).all() and (found <= 1).all()


def test_scores_under_the_least_evidence_do_not_add_up(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(np.full((1, 521), 0.05, np.float32))
    assert found.max() == np.float32(0.05)


def test_excluded_classes_give_no_evidence(card, audioset):
    chosen = select_classes(card, audioset, backoff=True, exclude=["Bark"])
    assert chosen.evidence(scores(chosen, Bark=0.9))[0, chosen.labels.index("Dog")] == 0


def test_top_returns_the_best_selected_classes(card, audioset):
    chosen = select_classes(card, audioset, exclude=["Animal"])
    row = scores(chosen, Animal=0.9, Dog=0.8, Bark=0.7)[0]
    assert [(p.label, p.id) for p in chosen.top(row, 2, 0.35)] == [("Dog", "/m/0bt9lr"), ("Bark", "/m/05tny_")]
    assert chosen.top(row, 0, 0.35) == () and len(chosen.top(row, 1000, 0.35)) == 520


def test_with_back_off_top_begins_with_the_most_specific_classes_over_the_threshold(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    row = scores(chosen, Animal=0.6, Dog=0.2, Bark=0.3, Howl=0.25, Siren=0.4)[0]
    found = chosen.top(row, 4, 0.35)
    assert [p.label for p in found] == ["Dog", "Siren", "Bark", "Howl"], "Dog replaces Animal"
    assert found[0].score == pytest.approx(0.475)


def test_ids_are_empty_if_the_card_has_none(tiny):
    chosen = select_classes(tiny.card("loudness.tiny"))
    assert [p.id for p in chosen.top(np.array([0.1, 0.9], np.float32), 2, 0.0)] == ["", ""]


def test_back_off_works_for_a_network_with_some_of_the_classes_of_audioset(card, audioset):
    few = dataclasses.replace(
        card, name="few.acme", classes=ClassList("few", ("Bark", "Howl"), ("/m/05tny_", "/m/07qf0zm"))
    )
    chosen = select_classes(few, audioset, backoff=True)
    found = chosen.evidence(np.array([[0.3, 0.25]], np.float32))
    assert found[0, chosen.labels.index("Dog")] == pytest.approx(0.475)
    assert found[0, chosen.labels.index("Siren")] == 0
