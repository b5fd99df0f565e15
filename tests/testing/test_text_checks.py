"""The checks of texts: a correct embedder of words passes, and a fault fails its own check and no other."""

import dataclasses

import pytest

from faulty_words import FAULTS, WORDS, CorrectWords
from kit_runs import WithOptions, failures, results
from sightsound import Host, testing
from sightsound.plugin import Option


def test_a_correct_embedder_of_words_passes_every_check():
    found = results(CorrectWords)
    names = ("text_as_the_card_says", "text_gives_rows", "text_repeats", "different_texts_differ")
    assert [found[name].status for name in names] == ["passed"] * 4
    assert all(each.passed for each in found.values())


@pytest.mark.parametrize(("embedder", "check", "text"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_a_wrong_embedder_of_words_fails_its_own_check_and_no_other(embedder, check, text):
    found = failures(embedder)
    assert list(found) == [check]
    assert text in found[check]


def test_rows_with_options_may_leave_the_space_of_the_words():
    class Words(CorrectWords):
        card = dataclasses.replace(WORDS, options=(Option("layer", str, help="rows from a layer"),))

    host = Host(installed=False)
    host.register(WithOptions(Words, text=False), "words")
    (found,) = (
        each
        for each in testing.check_model("correct.words[layer=a]", host=host)
        if each.check == "text_as_the_card_says"
    )
    assert found.status == "passed"
    assert "right if rows with these options cannot be compared with words" in found.reason
