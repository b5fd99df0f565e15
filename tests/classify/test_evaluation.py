"""Evaluation with the ontology as a measure."""

from __future__ import annotations

import pytest

from sightsound import Prediction, SightsoundError
from sightsound.classify.evaluation import evaluate
from sightsound.classify.ontology_file import load_ontology
from sightsound.contract.errors import UnknownClass


@pytest.fixture(scope="module")
def audioset():
    return load_ontology()


def best(*labels):
    return [Prediction(label, 1 - i / 10) for i, label in enumerate(labels)]


def test_a_kind_below_the_expected_one_is_a_hit_and_one_above_is_none(audioset):
    found = evaluate(["Dog", "Dog", "Dog"], [best("Bark"), best("Dog"), best("Animal")], audioset)
    assert found.whole.hits == pytest.approx(2 / 3) and found.whole.items == 3


def test_a_bark_for_a_dog_costs_less_than_a_siren(audioset):
    assert evaluate(["Dog"], [best("Bark")], audioset).whole.distance == 1
    assert evaluate(["Dog"], [best("Siren")], audioset).whole.distance == 6


def test_only_the_best_k_count_for_a_hit_and_the_first_for_the_distance(audioset):
    found = evaluate(["Dog"], [best("Siren", "Rain", "Dog")], audioset, k=2)
    assert (found.whole.hits, found.whole.distance) == (0, 6)
    assert evaluate(["Dog"], [best("Siren", "Rain", "Dog")], audioset, k=3).whole.hits == 1


def test_each_expected_kind_has_its_own_score(audioset):
    found = evaluate(["dog", "/m/0bt9lr", "Rain"], [best("Dog"), best("Bark"), best("Dog")], audioset)
    assert {name: (s.items, s.hits) for name, s in found.classes.items()} == {"Dog": (2, 1.0), "Rain": (1, 0.0)}


def test_predictions_are_known_by_their_id_first(audioset):
    assert evaluate(["Dog"], [[Prediction("a dog", 1.0, "/m/0bt9lr")]], audioset).whole.distance == 0


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
def test_lists_that_make_no_sense_are_told(audioset, expected, predicted, error, text):
    with pytest.raises(error, match=text):
        evaluate(expected, predicted, audioset)
