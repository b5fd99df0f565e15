"""Items and outcomes: what the calls of the package return."""

from __future__ import annotations

import dataclasses

import pytest

from sightsound import Hit, Item, Outcome


@pytest.mark.parametrize("result", [Item("/a", "b"), Hit(Item("/a", "b"), 1.0)])
def test_a_result_is_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)


def test_an_item_is_a_path_under_a_root():
    item = Item("/data/zoo", "cats/a b.png", 3)
    assert str(item.file) == "/data/zoo/cats/a b.png"
    assert str(item) == "cats/a b.png"


def test_a_name_that_is_not_utf8_keeps_its_bytes():
    name = b"caf\xe9.png"
    item = Item("/data", name.decode("utf-8", "surrogateescape"))
    assert bytes(item.file) == b"/data/" + name


def test_the_exception_of_an_outcome_is_not_compared():
    item = Item("/a", "b")
    first, second = (Outcome(item, "failed", "broken", error=error) for error in (ValueError(), None))
    assert first == second and "ValueError" not in repr(first)
