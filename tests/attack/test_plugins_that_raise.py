"""Plugins that raise any exception in any stage or hook: the other files and plugins are as they were."""

from __future__ import annotations

import types

import pytest

from made import register_variant
from sightsound import Library, SightsoundError, check, index
from sightsound.plugin import hookimpl


class Panic(BaseException):
    """As Rust code raises it (pyo3)."""


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Coloured(Exception):
    def __str__(self):
        return "\x1b[31m\nsecond line\udcff"


RAISED = {
    error.__name__: error
    for error in (ValueError, StopIteration, GeneratorExit, RecursionError, AssertionError, OSError, Panic)
} | {"Unprintable": Unprintable, "Coloured": Coloured}


@pytest.mark.parametrize("stage", ["preprocess", "embed", "postprocess"])
@pytest.mark.parametrize("error", RAISED)
def test_an_exception_in_a_stage_is_the_outcome_of_its_items_alone(tiny, zoo, tmp_path, stage, error):
    def broken(inner, *values):
        raise RAISED[error]

    name = register_variant(tiny, "broken.tiny", **{stage: broken})
    report = index(zoo, tmp_path / "lib", models=[name, "loudness.tiny"], host=tiny)
    assert report.counts["failed"] == 3, "the images"
    assert report.counts["ok"] == 2, "the recordings"
    with Library(tmp_path / "lib") as library:
        assert check(library) == []
        reasons = [outcome.reason for outcome, _ in library.outcomes() if outcome.status == "failed"]
        assert len(reasons) == 3 and all(reason and "\n" not in reason for reason in reasons)
    assert index(zoo, tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=tiny).counts["ok"] == 3


@pytest.mark.parametrize("error", ["ValueError", "GeneratorExit", "Panic", "Unprintable", "Coloured"])
@pytest.mark.parametrize("hook", ["register_embedders", "load", "resolve_embedder"])
def test_an_exception_in_a_hook_is_one_line_and_other_plugins_work(tiny, zoo, tmp_path, hook, error):
    card = tiny.load("colours.tiny").embedder.card

    def fails(*_):
        raise RAISED[error]

    def registers(register):
        register(type(card)(**{**vars(card), "name": "broken.raise"}), fails)

    plugin = types.SimpleNamespace()
    if hook == "resolve_embedder":
        plugin.resolve_embedder = hookimpl(lambda name: fails())
    else:
        plugin.register_embedders = hookimpl(registers if hook == "load" else lambda register: fails())
    with pytest.raises(SightsoundError) as caught:  # noqa: PT012
        tiny.register(plugin, "raise")
        tiny.load("broken.raise")
    assert "Traceback" not in str(caught.value)
    assert index(zoo, tmp_path / "lib", models=["colours.tiny"], host=tiny).counts["ok"] == 3
