"""Paths and names: one path or several, names that cannot be printed, and the nearest name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound.contract.paths import as_list, nearest, printable


@pytest.mark.parametrize("path", ["a", Path("a"), ""])
def test_one_path_becomes_a_list(path):
    assert as_list(path) == [path]


@pytest.mark.parametrize("paths", [[], ["a", Path("b")], ("a",)])
def test_several_paths_become_a_new_list(paths):
    assert as_list(paths) == list(paths) and as_list(paths) is not paths


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cats/a b.png", "cats/a b.png"),
        ("häuser/東京.png", "häuser/東京.png"),
        (Path("a\nb"), "a\\nb"),
        ("\x1b[1m\x07", "\\x1b[1m\\x07"),
        (os.fsdecode(b"caf\xe9.png"), "caf\\xe9.png"),
        ("a\u202eb", "a\\u202eb"),
        (3, "3"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text, shown):
    assert printable(text) == shown


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(codec=None)))
def test_every_text_is_printable_on_one_line(text):
    shown = printable(text)
    assert shown.isprintable() and "\n" not in shown


@pytest.mark.parametrize(
    ("name", "found"),
    [("dogg", "Dog"), ("DOG", "Dog"), ("catt", "cat"), ("zebra", None), ("", None)],
)
def test_the_nearest_name_ignores_case(name, found):
    assert nearest(name, ["Dog", "cat"]) == found


def test_the_cutoff_decides_how_similar_a_name_must_be():
    assert nearest("dxxg", ["dog"], cutoff=0.5) == "dog"
    assert nearest("dxxg", ["dog"], cutoff=0.7) is None


def test_a_word_of_a_name_is_nearer_than_similar_letters():
    known = ["tray", "strawberry", "tabby, tabby cat", "Persian cat", "tiger cat", "Dogsled, dog sled"]
    assert nearest("tabby", known, 0.5) == "tabby, tabby cat"
    assert nearest("cat", known) == "tiger cat"
    assert nearest("Tray", known) == nearest("traj", known) == "tray"
