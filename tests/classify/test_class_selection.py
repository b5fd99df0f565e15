"""Which classes count, and what their evidence says of the kinds above them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import Host, SightsoundError
from sightsound.classify.class_selection import select_classes
from sightsound.classify.ontology_file import load_ontology
from sightsound.contract.errors import UnknownClass


@pytest.fixture(scope="module")
def audioset():
    return load_ontology()


@pytest.fixture(scope="module")
def card():
    return Host().card("yamnet.audioset_f32")


def wanted(chosen) -> set[str]:
    return {label for label, counts in zip(chosen.labels, chosen.selected) if counts}


def scores(chosen, **given) -> np.ndarray:
    row = np.zeros((1, 521), np.float32)
    for label, score in given.items():
        row[0, chosen.labels.index(label.replace("_", " "))] = score
    return row


def test_all_classes_count_unless_some_are_named(card, audioset):
    assert len(wanted(select_classes(card))) == 521
    assert wanted(select_classes(card, include=["dog", "/m/03kmc9"])) == {"Dog", "Siren"}
    assert wanted(select_classes(card, audioset, include=["subtree:Dog"], exclude=["Bark"])) == {
        *("Dog", "Yip", "Howl", "Bow-wow", "Growling", "Whimper (dog)")
    }


def test_a_subtree_of_an_abstract_kind_stands_for_the_classes_below(card, audioset):
    assert {"Speech", "Whistling"} <= wanted(select_classes(card, audioset, include=["subtree:Human sounds"]))


def test_what_lies_below_what_is_that_of_the_ontology(card, audioset):
    chosen = select_classes(card, audioset)
    dog, bark, siren = map(chosen.labels.index, ("Dog", "Bark", "Siren"))
    assert chosen.descendants[dog, bark] and not chosen.descendants[bark, dog] and not chosen.descendants[dog, siren]
    assert not select_classes(card).descendants.any()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Dogg", "yamnet.audioset_f32 has no class 'Dogg' among 521; did you mean 'Dog'?"),
        ("xyzzyplugh", "`sightsound ontology find WORD` finds AudioSet's"),
        ("Human voice", "has no class 'Human voice' of its own; did you mean 'subtree:Human voice'?"),
        ("subtree:Dogg", "no kind of sound 'Dogg' among 632; did you mean 'Dog'?"),
    ],
)
def test_a_name_that_no_class_has_is_refused(card, audioset, text, told):
    for options in ({"include": [text]}, {"exclude": [text]}):
        with pytest.raises(UnknownClass) as error:
            select_classes(card, audioset, **options)
        assert told in str(error.value)


def test_a_subtree_needs_classes_of_audioset(tiny):
    with pytest.raises(UnknownClass, match="subtree:Dog: the classes of loudness.tiny are not AudioSet's"):
        select_classes(tiny.card("loudness.tiny"), include=["subtree:Dog"])


def test_a_network_without_classes_is_refused(tiny):
    with pytest.raises(SightsoundError, match="colours.tiny has no classes, only embeddings; name a model"):
        select_classes(tiny.card("colours.tiny"))


def test_without_back_off_scores_are_the_evidence(card, audioset):
    row = scores(select_classes(card, audioset), Bark=0.3)
    assert select_classes(card, audioset).evidence(row) is row


def test_faint_kinds_below_add_up_with_back_off(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(scores(chosen, Bark=0.3, Howl=0.25, Dog=0.1))
    assert found.shape == (1, 627)  # all but the five roots that are no class
    assert found[0, chosen.labels.index("Dog")] == pytest.approx(1 - 0.7 * 0.75)
    assert found[0, chosen.labels.index("Bark")] == np.float32(0.3)
    assert found[0, chosen.labels.index("Animal")] >= found[0, chosen.labels.index("Dog")]


def test_a_kind_above_is_never_less_likely_than_a_kind_below_that_is_not_faint(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(np.random.default_rng(0).random((20, 521), np.float32))
    for i, j in np.argwhere(chosen.descendants):
        assert (found[:, i] >= np.where(found[:, j] < 0.1, 0, found[:, j]) - 1e-6).all()
    assert (found >= 0).all() and (found <= 1).all()


def test_hundreds_of_faint_classes_are_no_evidence(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    found = chosen.evidence(np.full((1, 521), 0.05, np.float32))
    assert found.max() == np.float32(0.05)


def test_excluded_classes_give_no_evidence(card, audioset):
    chosen = select_classes(card, audioset, backoff=True, exclude=["Bark"])
    assert chosen.evidence(scores(chosen, Bark=0.9))[0, chosen.labels.index("Dog")] == 0


def test_the_top_is_the_best_classes_that_count(card, audioset):
    chosen = select_classes(card, audioset, exclude=["Animal"])
    row = scores(chosen, Animal=0.9, Dog=0.8, Bark=0.7)[0]
    assert [(p.label, p.id) for p in chosen.top(row, 2, 0.35)] == [("Dog", "/m/0bt9lr"), ("Bark", "/m/05tny_")]
    assert chosen.top(row, 0, 0.35) == () and len(chosen.top(row, 1000, 0.35)) == 520


def test_with_back_off_the_top_begins_with_the_most_specific_kinds_that_are_strong(card, audioset):
    chosen = select_classes(card, audioset, backoff=True)
    row = scores(chosen, Animal=0.6, Dog=0.2, Bark=0.3, Howl=0.25, Siren=0.4)[0]
    found = chosen.top(row, 4, 0.35)
    assert [p.label for p in found] == ["Dog", "Siren", "Bark", "Howl"], "not Animal: Dog says more"
    assert found[0].score == pytest.approx(0.475)


def test_ids_are_empty_where_the_card_has_none(tiny):
    chosen = select_classes(tiny.card("loudness.tiny"))
    assert [p.id for p in chosen.top(np.array([0.1, 0.9], np.float32), 2, 0.0)] == ["", ""]


def test_a_network_of_some_of_audiosets_classes_has_its_kinship_and_back_off(card, audioset):
    few = dataclasses.replace(card, name="few.acme", labels=("Bark", "Howl"), label_ids=("/m/05tny_", "/m/07qf0zm"))
    chosen = select_classes(few, audioset, backoff=True)
    found = chosen.evidence(np.array([[0.3, 0.25]], np.float32))
    assert found[0, chosen.labels.index("Dog")] == pytest.approx(0.475)
    assert found[0, chosen.labels.index("Siren")] == 0
