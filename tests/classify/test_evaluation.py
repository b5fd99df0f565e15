"""Comparison of predicted classes with expected ones, by the ontology."""

from __future__ import annotations

import pytest

from sightsound import Prediction, SightsoundError, UnknownClass, evaluate_tags, load_ontology


@pytest.fixture(scope="module")
def audioset():
    return load_ontology()


def best(*labels):
    return [Prediction(label, 1 - i / 10) for i, label in enumerate(labels)]


def test_a_descendant_of_the_expected_kind_is_a_hit_and_an_ancestor_is_not(audioset):
    found = evaluate_tags(["Dog", "Dog", "Dog"], [best("Bark"), best("Dog"), best("Animal")], audioset)
    assert found.overall.hit_rate == pytest.approx(2 / 3) and found.overall.items == 3


def test_the_distance_of_bark_from_dog_is_less_than_that_of_siren(audioset):
    assert evaluate_tags(["Dog"], [best("Bark")], audioset).overall.distance == 1
    assert evaluate_tags(["Dog"], [best("Siren")], audioset).overall.distance == 6


def test_the_best_k_count_for_hits_and_the_first_for_the_distance(audioset):
    found = evaluate_tags(["Dog"], [best("Siren", "Rain", "Dog")], audioset, k=2)
    assert (found.overall.hit_rate, found.overall.distance) == (0, 6)
    assert evaluate_tags(["Dog"], [best("Siren", "Rain", "Dog")], audioset, k=3).overall.hit_rate == 1


def test_each_expected_kind_has_its_own_score(audioset):
    found = evaluate_tags(["dog", "/m/0bt9lr", "Rain"], [best("Dog"), best("Bark"), best("Dog")], audioset)
    assert {name: (s.items, s.hit_rate) for name, s in found.by_class.items()} == {"Dog": (2, 1.0), "Rain": (1, 0.0)}


def test_predictions_are_identified_by_their_id_before_their_label(audioset):
    assert evaluate_tags(["Dog"], [[Prediction("a dog", 1.0, "/m/0bt9lr")]], audioset).overall.distance == 0


@pytest.mark.parametrize(
    ("expected", "predicted", "error", "text"),
    [
        (["Dog"], [], SightsoundError, "expected one list of predictions an item, got 0"),
        ([], [], SightsoundError, "expected one list of predictions an item, got 0"),
        (["Dog"], [[]], SightsoundError, "expected at least one prediction an item"),
        (["Dogg"], [best("Dog")], UnknownClass, "did you mean 'Dog'"),
        (["Dog"], [best("xyzzy")], UnknownClass, "no kind of sound 'xyzzy'"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(audioset, expected, predicted, error, text):
    with pytest.raises(error, match=text):
        evaluate_tags(expected, predicted, audioset)
