"""Lists of classes: what identifies a class and a list."""

from __future__ import annotations

import pytest

from sightsound import ClassList, PluginError


def test_classes_are_identified_by_their_ids_or_else_by_list_and_column():
    birds = ClassList("birds", ("Robin", "Wren"), ("eurrob1", "winwre4"))
    assert (len(birds), birds.keys) == (2, ("eurrob1", "winwre4"))
    assert ClassList("pets", ("cat", "dog")).keys == ("pets:0", "pets:1")


def test_the_fingerprint_is_that_of_the_ids_whatever_the_labels_are_called():
    english = ClassList("birds", ("Robin", "Wren"), ("eurrob1", "winwre4"))
    german = ClassList("Voegel", ("Rotkehlchen", "Zaunkönig"), ("eurrob1", "winwre4"))
    assert english.fingerprint == german.fingerprint and len(english.fingerprint) == 64
    others = [
        ClassList("birds", ("Robin", "Wren"), ("winwre4", "eurrob1")),
        ClassList("birds", ("Robin", "Wren")),
        ClassList("birds", ("Wren", "Robin")),
    ]
    assert len({english.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_a_long_list_has_a_short_repr():
    assert len(repr(ClassList("many", tuple(map(str, range(1000)))))) < 60


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (("", ("a",)), "name: expected a text"),
        (("l", ["a"]), "expected tuples of texts"),
        (("l", ("a", 3)), "expected tuples of texts"),
        (("l", ()), "labels: expected at least one class"),
        (("l", ("a", "b"), ("x",)), "ids: expected none, or one for each of 2 labels, got 1"),
        (("l", ("a", "b"), ("x", "x")), "ids: expected all different"),
    ],
    ids=str,
)
def test_a_wrong_list_is_refused(fields, problem):
    with pytest.raises(PluginError, match=problem):
        ClassList(*fields)
