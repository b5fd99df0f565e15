"""The checks of `module()` and `derive()`: a correct network passes, and a fault fails its own check and no other."""

import pytest

pytest.importorskip("torch")

from faulty_embedders import CorrectSound
from faulty_networks import FAULTS, CorrectNetwork
from kit_runs import failures, results

CHECKS = ("module_gives_the_rows", "module_is_a_trainable_copy", "derive_gives_the_same_network")


def test_a_correct_network_passes_every_check():
    found = results(CorrectNetwork)
    assert [found[name].status for name in CHECKS] == ["passed"] * 3
    assert [name for name, each in found.items() if not each.passed] == []


@pytest.mark.parametrize(("embedder", "check", "text"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_a_wrong_network_fails_its_own_check_and_no_other(embedder, check, text):
    found = failures(embedder)
    assert list(found) == [check]
    assert text in found[check]


def test_an_embedder_without_a_module_is_not_asked_for_one():
    found = results(CorrectSound)
    assert [found[name].status for name in CHECKS] == ["skipped"] * 3
    assert found[CHECKS[0]].reason == "the embedder has no method module()"
