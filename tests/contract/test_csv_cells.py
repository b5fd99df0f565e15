"""Texts in the cells of CSV come back as they were, alone and several in one cell."""

from __future__ import annotations

import itertools

import pytest

from sightsound.contract.csv_cells import guarded, guarded_path, joined, parted, unguarded

TEXTS = ["a", "a; b", "a;b", ";", "; ", ";; ", "a;", " a", "", '"', '"a"', '"a"; b', 'a"; "b', '""', "a\nb", "'; '"]


def test_several_texts_come_back_from_one_cell():
    for count in (1, 2, 3):
        for texts in itertools.product(TEXTS, repeat=count):
            assert parted(joined(texts)) == list(texts)
            assert parted(unguarded(guarded(joined(texts)))) == list(texts)


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("owl; tit", ["owl", "tit"]),
        ('"owl; tawny"; tit', ["owl; tawny", "tit"]),
        ('the "big"; tit', ['the "big"', "tit"]),
        ('"open; tit', ['"open', "tit"]),
        ('"a" b; c', ['"a" b', "c"]),
        ("", [""]),
    ],
)
def test_what_stands_in_a_cell(cell, texts):
    assert parted(cell) == texts


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *[(text, f"'{text}") for text in ("=1+1", "+a", "-a", "@a", "+", "--1", "-1-2", "'=1", "''-x")],
        *[(text, text) for text in ("a", "-", "-5", "+1.5e-3", "'", "'a", "")],
    ],
)
def test_no_text_is_a_formula(text, cell):
    assert guarded(text) == cell and unguarded(cell) == text


def test_a_path_that_begins_like_a_formula_names_the_same_file():
    assert [guarded_path(path) for path in ("=a", "-a/b", "a", "-", "/-a")] == ["./=a", "./-a/b", "a", "-", "/-a"]
