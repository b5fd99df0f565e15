"""Declared options: parsing, canonical text, and one error for what is unknown or wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightsound import Option, PluginError, UnknownModel
from sightsound.contract.options import parse_options, with_option

HOP = Option("hop", float, low=0.01, high=60, step=0.01, default=0.48, help="seconds between windows")
BITS = Option("bits", int, low=2, high=8)
PCA = Option("pca")
POOL = Option("pool", str, choices=("avg", "max"), default="avg")
LAYER = Option("layer", str)
ALL = (HOP, BITS, PCA, POOL, LAYER)


@pytest.mark.parametrize(
    ("option", "text", "value", "written"),
    [
        (HOP, "0.240", 0.24, "hop=0.24"),
        (HOP, "1", 1.0, "hop=1"),
        (HOP, "1e-1", 0.1, "hop=0.1"),
        (BITS, "8", 8, "bits=8"),
        (BITS, "8.0", 8, "bits=8"),
        (PCA, True, True, "pca"),
        (POOL, "max", "max", "pool=max"),
        (LAYER, "a+b", "a+b", "layer=a+b"),
    ],
)
def test_a_text_becomes_a_value_with_one_way_of_writing_it(option, text, value, written):
    assert option.parse(text) == value and type(option.parse(text)) is type(value)
    assert option.written(value) == written
    assert with_option("net.tag", option, value) == f"net.tag[{written}]"
    assert with_option("net.tag[x]", option, value) == f"net.tag[x,{written}]"


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        (HOP, "0.005", "hop=a number from 0.01 to 60, a multiple of 0.01, got hop=0.005"),
        (HOP, "0.245", "a multiple of 0.01, got hop=0.245"),
        (HOP, "61", "from 0.01 to 60"),
        (HOP, "nan", "from 0.01 to 60"),
        (HOP, "inf", "from 0.01 to 60"),
        (HOP, "fast", "from 0.01 to 60"),
        (HOP, "", "from 0.01 to 60"),
        (HOP, True, "got hop$"),
        (BITS, "2.5", "bits=a whole number from 2 to 8, got bits=2.5"),
        (PCA, "1", "expected pca without a value, got pca=1"),
        (POOL, "sum", r"expected pool=avg\|max, got pool=sum"),
        (LAYER, "", "expected layer=TEXT, got layer="),
        (Option("n", int, low=1), "0", "n=a whole number from 1, got"),
        (Option("n", float, high=1), "2", "n=a number up to 1, got"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(option, text, expected):
    with pytest.raises(ValueError, match=expected):
        option.parse(text)


def test_options_come_in_the_order_of_their_declaration_without_defaults():
    given_ = {"layer": "a", "pca": True, "pool": "avg", "hop": "0.24"}
    assert list(parse_options("net.tag", ALL, given_).items()) == [("hop", 0.24), ("pca", True), ("layer", "a")]


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(UnknownModel, match=r"model 'net.tag' has no option 'hopp', only hop, .*; did you mean 'hop'\?"):
        parse_options("net.tag", ALL, {"hopp": "1"})
    with pytest.raises(UnknownModel, match="has no options, got 'pca'; leave the brackets out"):
        parse_options("net.tag", (), {"pca": True})
    with pytest.raises(UnknownModel, match=r"net.tag: expected bits=.* see `sightsound models net.tag`"):
        parse_options("net.tag", ALL, {"bits": "9"})


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_json_gives_back_an_equal_option(option):
    assert Option.from_json(option.to_json()) == option


@given(st.integers(1, 6000))
def test_a_multiple_of_the_step_survives_writing_and_parsing(hundredths):
    value = hundredths / 100
    assert HOP.parse(HOP.written(value).partition("=")[2]) == value


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "a b"}, "expected a name without"),
        ({"name": ""}, "expected a name without"),
        ({"name": "a", "type": list}, "type: expected bool, int, float or str"),
        ({"name": "a", "type": str, "low": 1}, "expected for int and float alone"),
        ({"name": "a", "choices": ("b",)}, "choices: expected for str alone"),
        ({"name": "a", "default": False}, "default: expected none, a bool is off unless named; leave it out"),
        ({"name": "a", "type": float, "high": 1, "default": 2.0}, "default: expected a=a number up to 1, got a=2"),
        ({"name": "a", "type": int, "default": 1.5}, "default: expected a=a whole number, got a=1.5"),
        ({"name": "a", "type": float, "default": "1"}, "default: expected float, got '1'"),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_refused(fields, problem):
    with pytest.raises(PluginError, match=problem):
        Option(**fields)
